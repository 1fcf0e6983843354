//! What is read, cut and found: documents, chunks and hits.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Free-form facts about a document: title, author, language and the like.
pub type Metadata = serde_json::Map<String, serde_json::Value>;

/// The extracted text of one source, with the places of its pages and headings.
///
/// `text` is UTF-8 in Unicode normal form C with `\n` line ends; structure is written as clean
/// Markdown. Every byte range in Corbie (`start..end`, half-open) points into such a text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Document {
    /// Path relative to the ingested root with `/` as separator, or the URL.
    pub source: String,
    /// The whole extracted text.
    pub text: String,
    /// The pages in order; empty where the format has none.
    #[serde(default)]
    pub pages: Vec<Page>,
    /// The headings in order; empty where the format has none.
    #[serde(default)]
    pub headings: Vec<Heading>,
    /// Facts the parser found, `title` and `media_type` among them.
    #[serde(default)]
    pub metadata: Metadata,
}

/// One page of a [`Document`]: where its text lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's number, from 1.
    pub number: u32,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

/// One heading of a [`Document`]: where it stands, how deep, and its plain title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heading {
    /// Depth: 1 is the outermost.
    pub level: u8,
    /// First byte of the heading's own line.
    pub start: usize,
    /// One past the last byte of the heading's own line.
    pub end: usize,
    /// The title without markup.
    pub title: String,
}

impl Document {
    /// A document with this source and text and nothing else.
    ///
    /// ```
    /// let document = corbie_core::Document::new("notes.txt", "One line.");
    /// assert_eq!(document.page_at(0), None);
    /// ```
    pub fn new(source: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// The number of the page that holds the byte at `offset`.
    pub fn page_at(&self, offset: usize) -> Option<u32> {
        let after = self.pages.partition_point(|page| page.start <= offset);
        let page = self.pages.get(after.checked_sub(1)?)?;
        Some(page.number)
    }

    /// The titles of the headings above the byte at `offset`, outermost first. A heading's own
    /// line stands under that heading.
    ///
    /// ```
    /// use corbie_core::{Document, Heading};
    ///
    /// let mut document = Document::new("a.md", "# A\n\n## B\n\nText.");
    /// document.headings = vec![
    ///     Heading { level: 1, start: 0, end: 3, title: "A".into() },
    ///     Heading { level: 2, start: 5, end: 9, title: "B".into() },
    /// ];
    /// assert_eq!(document.heading_path_at(12), ["A", "B"]);
    /// ```
    pub fn heading_path_at(&self, offset: usize) -> Vec<String> {
        let mut path: Vec<&Heading> = Vec::new();
        for heading in self.headings.iter().take_while(|h| h.start <= offset) {
            while path.last().is_some_and(|top| top.level >= heading.level) {
                path.pop();
            }
            path.push(heading);
        }
        path.into_iter().map(|h| h.title.clone()).collect()
    }
}

/// A byte range of a document, as a [`Splitter`](crate::Splitter) cuts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First byte in [`Document::text`].
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// Length in the splitter's tokens.
    pub tokens: usize,
    /// The page on which it starts.
    pub page: Option<u32>,
    /// The headings above its start, outermost first.
    pub heading: Vec<String>,
}

/// A piece of a document as a collection keeps it: text, identity and provenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Chunk {
    /// Deterministic identity, see [`ids::chunk`](crate::ids::chunk).
    pub id: Uuid,
    /// Identity of its document, see [`ids::document`](crate::ids::document).
    pub document: Uuid,
    /// The document's [`Document::source`].
    pub source: String,
    /// The text: byte-equal to `start..end` of the stored document.
    pub text: String,
    /// First byte in the document's text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The page on which it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// The headings above its start, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heading: Vec<String>,
    /// Facts inherited from the document.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// A chunk that a search found, with how well it matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// What was found.
    pub chunk: Chunk,
    /// The score of the mode that found it: cosine, BM25, or from 0 to 1 where both are fused.
    /// Scores of different modes cannot be compared.
    pub score: f32,
    /// The scores of the modes behind a fused score.
    #[serde(default)]
    pub scores: Scores,
}

/// What each search mode said of one [`Hit`]; `None` where the mode did not return it.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Scores {
    /// Cosine of the embeddings.
    pub dense: Option<f32>,
    /// BM25.
    pub sparse: Option<f32>,
}
