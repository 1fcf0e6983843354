//! One error for every seam, sorted by what the caller can do about it.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The result of everything in Corbie that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, to what, and what to do next.
///
/// An error names the thing it concerns (a file, a model, a collection, a field), says what
/// happened to it, and carries a hint when there is a next step. [`Error::kind`] sorts it by what
/// a program can do: mend the input, wait and retry, fetch something, give up.
///
/// ```
/// use corbie_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::NotFound, "model `tiny`", "no such model")
///     .hint("`corbie models list` shows the names");
/// assert_eq!(error.to_string(), "model `tiny`: no such model (`corbie models list` shows the names)");
/// assert!(!error.is_retryable());
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    subject: String,
    cause: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds of [`Error`], by what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input is wrong: mend it and call again.
    BadInput,
    /// The named thing does not exist.
    NotFound,
    /// The thing exists but its content is damaged, hostile or not what it claims to be.
    Malformed,
    /// What was asked is valid, but this build or this model cannot do it.
    Unsupported,
    /// Two things that must agree do not, such as a collection and its embedding model.
    Mismatch,
    /// Somebody else holds the thing now: wait, or ask them.
    Busy,
    /// Too many wait already: try again later.
    Overloaded {
        /// How many requests wait.
        waiting: usize,
    },
    /// The input does not fit the model's context.
    ContextTooLong {
        /// Tokens that were asked for.
        tokens: usize,
        /// Tokens that fit.
        limit: usize,
    },
    /// The credentials were refused or are missing.
    Unauthorized,
    /// A remote service asks to slow down.
    RateLimited {
        /// How long it asks to wait, if it says.
        retry_after: Option<Duration>,
    },
    /// A service or the network does not answer now: retrying may help.
    Unavailable,
    /// Refused because the network may not be used (`--offline`).
    Offline,
    /// A limit of time, memory or size was reached.
    LimitExceeded,
    /// The work was given up on the caller's request.
    Cancelled,
    /// The operating system refused to read or write.
    Io,
    /// A promise inside Corbie was broken: please report it.
    Internal,
}

impl Error {
    /// An error of `kind` about `subject` (the thing, as the user knows it), because of `cause`.
    pub fn new(kind: ErrorKind, subject: impl Into<String>, cause: impl fmt::Display) -> Self {
        Self(Box::new(Inner {
            kind,
            subject: subject.into(),
            cause: cause.to_string(),
            hint: None,
            source: None,
        }))
    }

    /// An [`ErrorKind::Io`] error (or [`ErrorKind::NotFound`]) about `subject`.
    pub fn io(subject: impl Into<String>, error: std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Self::new(kind, subject, &error).caused_by(error)
    }

    /// Adds the next step, in words a user can follow.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Keeps the error that caused this one, for [`StdError::source`].
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The thing it concerns.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// What happened to the thing.
    pub fn cause(&self) -> &str {
        &self.0.cause
    }

    /// The next step, if there is one.
    pub fn next_step(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed later without a change.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Unavailable
                | ErrorKind::RateLimited { .. }
                | ErrorKind::Busy
                | ErrorKind::Overloaded { .. }
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.subject, self.0.cause)?;
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
