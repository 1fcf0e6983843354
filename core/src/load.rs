//! Loading: where bytes come from and what they mean.

use serde::{Deserialize, Serialize};

use crate::{BoxFuture, Document, Error, Result};

/// One thing a [`Source`] can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Stable name: path relative to the root with `/`, or URL. Becomes [`Document::source`].
    pub source: String,
    /// Changes when the content may have changed. Two equal fingerprints mean equal content.
    pub fingerprint: String,
}

/// Something that was found but will not be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its name, like [`Item::source`].
    pub source: String,
    /// Why, in words for the user.
    pub reason: String,
}

impl Skipped {
    /// The record of a failure about `source`.
    pub fn because(source: impl Into<String>, error: &Error) -> Self {
        let reason = match error.next_step() {
            Some(hint) => format!("{} ({hint})", error.cause()),
            None => error.cause().to_owned(),
        };
        Self {
            source: source.into(),
            reason,
        }
    }
}

/// What a [`Source`] holds at one moment, in a stable order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// What can be read.
    pub items: Vec<Item>,
    /// What cannot, with the reason.
    pub skipped: Vec<Skipped>,
}

/// A place that documents come from: lists items and reads one.
pub trait Source: Send + Sync {
    /// All items, sorted by name.
    ///
    /// # Errors
    ///
    /// When the place itself cannot be read; an unreadable item is listed in
    /// [`Listing::skipped`].
    fn list(&self) -> BoxFuture<'_, Result<Listing>>;

    /// The bytes of one item.
    ///
    /// # Errors
    ///
    /// When the item is gone or cannot be read.
    fn read<'a>(&'a self, item: &'a Item) -> BoxFuture<'a, Result<Vec<u8>>>;
}

/// A media type (RFC 6838) without parameters, such as `text/markdown`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(pub std::borrow::Cow<'static, str>);

impl MediaType {
    /// Plain text.
    pub const TEXT: Self = Self(std::borrow::Cow::Borrowed("text/plain"));
    /// Markdown.
    pub const MARKDOWN: Self = Self(std::borrow::Cow::Borrowed("text/markdown"));
    /// HTML.
    pub const HTML: Self = Self(std::borrow::Cow::Borrowed("text/html"));
    /// PDF.
    pub const PDF: Self = Self(std::borrow::Cow::Borrowed("application/pdf"));
}

impl std::fmt::Display for MediaType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What bytes mean: turns an item's bytes into a [`Document`].
pub trait Parser: Send + Sync {
    /// Parses `bytes`, which came from `source` (a name: its extension is at most a hint).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a media type it does not know,
    /// [`Malformed`](crate::ErrorKind::Malformed) for damaged content,
    /// [`LimitExceeded`](crate::ErrorKind::LimitExceeded) for content that would take too much
    /// time or memory. It never panics.
    fn parse<'a>(&'a self, source: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<Document>>;
}
