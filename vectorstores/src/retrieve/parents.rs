//! Small chunks are found, what they stand in is returned.

use std::ops::Range;
use std::sync::Arc;

use corbie_core::{BoxFuture, Chunk, Document, Hit, Result, RetrieveRequest, Retriever};

use super::around::grown;
use super::{Documents, traced};

/// How far a hit's text reaches in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The section under the nearest heading, the sections within it included; without those where
    /// it would be longer than `longest` bytes, and where it still is, as much of it around the
    /// hit. A document without headings is one section.
    Section {
        /// The most bytes. A hit that is longer stays as it is.
        longest: usize,
    },
    /// So many bytes before and after the hit, less what is cut off at the border of a line, a
    /// sentence or a word.
    Window {
        /// The most bytes before.
        before: usize,
        /// The most bytes after.
        after: usize,
    },
}

impl Default for Extent {
    /// Sections of up to 4 KiB: some 700 English words, or 1,300 Chinese characters.
    fn default() -> Self {
        Self::Section { longest: 4096 }
    }
}

/// Returns what the hits of another retriever stand in: what is small enough to be found exactly is
/// seldom enough to be understood.
///
/// Hits of one section are one result, with the score of the best of them; a result's text is
/// byte-equal to `start..end` of its document, its page and headings are those of its start, and
/// its id is [`ids::piece`](corbie_core::ids::piece). The request's filter holds for results as
/// well: a hit whose section does not pass stays as it was found.
#[derive(Clone)]
pub struct Parents {
    /// Who finds the small chunks.
    pub retriever: Arc<dyn Retriever>,
    /// Where their documents are.
    pub documents: Arc<dyn Documents>,
    /// How far a result reaches.
    pub extent: Extent,
}

impl Parents {
    /// The sections that the hits of `retriever` stand in, up to 4 KiB each.
    pub fn new(retriever: impl Retriever + 'static, documents: Arc<dyn Documents>) -> Self {
        Self {
            retriever: Arc::new(retriever),
            documents,
            extent: Extent::default(),
        }
    }

    /// The same with another extent.
    #[must_use]
    pub fn with_extent(mut self, extent: Extent) -> Self {
        self.extent = extent;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let (limit, filter) = (request.limit, request.filter.clone());
        let wide = request.with_limit(limit.saturating_mul(CHILDREN));
        let hits = self.retriever.retrieve(wide).await?;
        let documents = self.documents.as_ref();
        let reach = |document: &Document, chunk: &Chunk| self.extent.around(document, chunk);
        grown(hits, limit, filter.as_ref(), documents, reach).await
    }
}

/// How many hits are asked for each result that is wanted: several may stand in one section.
const CHILDREN: usize = 4;

impl Retriever for Parents {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("parents", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}

impl Extent {
    fn around(self, document: &Document, chunk: &Chunk) -> Range<usize> {
        let text = document.text.as_str();
        let range = match self {
            Self::Window { before, after } => window(text, chunk, 0..text.len(), before, after),
            Self::Section { longest } => {
                let whole = section(document, chunk, |level, next| next <= level);
                let own = section(document, chunk, |_, _| true);
                let room = longest.saturating_sub(chunk.end - chunk.start) / 2;
                match (whole.len() <= longest, own.len() <= longest) {
                    (true, _) => whole,
                    (false, true) => own,
                    (false, false) => window(text, chunk, own, room, room),
                }
            }
        };
        trimmed(text, chunk, range)
    }
}

/// From the heading above the chunk's start to the first heading below it that `ends` the section,
/// given the levels of both.
fn section(document: &Document, chunk: &Chunk, ends: impl Fn(u8, u8) -> bool) -> Range<usize> {
    let headings = &document.headings;
    let after = headings.partition_point(|heading| heading.start <= chunk.start);
    let own = after.checked_sub(1).and_then(|at| headings.get(at));
    let (start, level) = own.map_or((0, 0), |heading| (heading.start, heading.level));
    let next = headings[after..]
        .iter()
        .find(|next| next.start >= chunk.end && (own.is_none() || ends(level, next.level)));
    start..next.map_or(document.text.len(), |next| next.start)
}

/// So many bytes around the chunk, within `bounds`.
fn window(
    text: &str,
    chunk: &Chunk,
    bounds: Range<usize>,
    before: usize,
    after: usize,
) -> Range<usize> {
    let start = match chunk.start.saturating_sub(before) {
        start if start <= bounds.start => bounds.start,
        start => {
            let start = text.ceil_char_boundary(start);
            let lead = text.get(start..chunk.start).unwrap_or_default();
            start + first_border(lead).unwrap_or(0)
        }
    };
    let end = match chunk.end.saturating_add(after) {
        end if end >= bounds.end => bounds.end,
        end => {
            let end = text.floor_char_boundary(end);
            let tail = text.get(chunk.end..end).unwrap_or_default();
            chunk.end + last_border(tail).unwrap_or(tail.len())
        }
    };
    start.min(chunk.start)..end.max(chunk.end)
}

/// What a sentence ends with, the space behind it included where there must be one.
const ENDS: [&str; 7] = ["\n", "。", "！", "？", ". ", "! ", "? "];

/// Behind the first line or sentence that ends in `text` and is followed by more, else behind its
/// first word.
fn first_border(text: &str) -> Option<usize> {
    let ends = ENDS.iter();
    ends.filter_map(|end| Some(text.find(end)? + end.len()))
        .min()
        .filter(|border| *border < text.len())
        .or_else(|| text.find(char::is_whitespace))
}

/// Behind the last line or sentence that ends in `text`, else before its last word.
fn last_border(text: &str) -> Option<usize> {
    let ends = ENDS.iter();
    ends.filter_map(|end| Some(text.rfind(end)? + end.len()))
        .max()
        .or_else(|| text.rfind(char::is_whitespace))
}

/// Without white space at its ends, but never less than the chunk.
fn trimmed(text: &str, chunk: &Chunk, range: Range<usize>) -> Range<usize> {
    let piece = text.get(range.clone()).unwrap_or_default();
    let start = range.end - piece.trim_start().len();
    let end = range.start + piece.trim_end().len();
    start.min(chunk.start)..end.max(chunk.end)
}
