//! A hit with the sentences around it.

use std::ops::Range;
use std::sync::Arc;

use corbie_core::{BoxFuture, Chunk, Document, Hit, Result, RetrieveRequest, Retriever, sentences};

use super::around::grown;
use super::{Documents, traced};

/// Sentences are looked for so many bytes from a hit, then further, and then no further: finding
/// them takes the most time of all that is done here.
const REACHES: [usize; 3] = [256, 1024, 4096];

/// So many bytes beside a place show whether a sentence ends there.
const CONTEXT: usize = 64;

/// Returns the hits of another retriever with the sentences before and after them, for chunks as
/// small as a sentence.
///
/// A hit that begins or ends within a sentence has the whole of it. Sentences end where
/// [`sentences`] says, in English as in Chinese, and are counted across paragraphs; hits whose
/// texts then overlap are one result. As with [`Parents`](super::Parents), a text is byte-equal to
/// its range, and the request's filter holds for it.
#[derive(Clone)]
pub struct SentenceWindow {
    /// Who finds.
    pub retriever: Arc<dyn Retriever>,
    /// Where the documents are.
    pub documents: Arc<dyn Documents>,
    /// How many sentences before a hit.
    pub before: usize,
    /// How many sentences after it.
    pub after: usize,
}

impl SentenceWindow {
    /// The hits of `retriever`, each with two sentences before and two after it.
    pub fn new(retriever: impl Retriever + 'static, documents: Arc<dyn Documents>) -> Self {
        Self {
            retriever: Arc::new(retriever),
            documents,
            before: 2,
            after: 2,
        }
    }

    /// The same with this many sentences before and after.
    #[must_use]
    pub fn with_sentences(mut self, before: usize, after: usize) -> Self {
        (self.before, self.after) = (before, after);
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let (limit, filter) = (request.limit, request.filter.clone());
        // Neighbours become one result.
        let wide = request.with_limit(limit.saturating_mul(2));
        let hits = self.retriever.retrieve(wide).await?;
        let reach = |document: &Document, chunk: &Chunk| self.around(&document.text, chunk);
        grown(hits, limit, filter.as_ref(), self.documents.as_ref(), reach).await
    }

    fn around(&self, text: &str, chunk: &Chunk) -> Range<usize> {
        if chunk.text.trim().is_empty() {
            return chunk.start..chunk.end;
        }
        let first = chunk.end - chunk.text.trim_start().len();
        let last = chunk.start + chunk.text.trim_end().len();
        start_before(text, first, self.before)..end_after(text, last, self.after)
    }
}

impl Retriever for SentenceWindow {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("sentence_window", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}

/// The start of the sentence `count` before the one that holds the byte at `at`.
fn start_before(text: &str, at: usize, count: usize) -> usize {
    let mut found = at;
    for reach in REACHES {
        let enough;
        (found, enough) = start_within(text, at, count, reach);
        if enough {
            break;
        }
    }
    found
}

/// The same, looked for in the `reach` bytes before `at`, and whether it was found there.
fn start_within(text: &str, at: usize, count: usize, reach: usize) -> (usize, bool) {
    let floor = text.ceil_char_boundary(at.saturating_sub(reach));
    let mut start = paragraph_start(text, floor, at);
    let mut end = paragraph_end(text, at, text.floor_char_boundary(at + CONTEXT));
    let (mut found, mut left) = (at, count);
    loop {
        for sentence in sentences(text, start..end).into_iter().rev() {
            let said = &text[sentence.clone()];
            if sentence.start > at || said.trim().is_empty() {
                continue;
            }
            found = found.min(sentence.end - said.trim_start().len());
            let is_cut = sentence.start == floor && floor > 0;
            if is_cut || left == 0 {
                return (found, !is_cut);
            }
            left -= 1;
        }
        end = text[..start].trim_end().len();
        if end <= floor {
            return (found, end == 0);
        }
        start = paragraph_start(text, floor, end);
    }
}

/// The end of the sentence `count` after the one that ends at or behind `at`.
fn end_after(text: &str, at: usize, count: usize) -> usize {
    let mut found = at;
    for reach in REACHES {
        let enough;
        (found, enough) = end_within(text, at, count, reach);
        if enough {
            break;
        }
    }
    found
}

/// The same, looked for in the `reach` bytes behind `at`, and whether it was found there.
fn end_within(text: &str, at: usize, count: usize, reach: usize) -> (usize, bool) {
    let ceiling = text.floor_char_boundary(at + reach);
    let context = text.ceil_char_boundary(at.saturating_sub(CONTEXT));
    let mut start = paragraph_start(text, context, at);
    let mut end = paragraph_end(text, at, ceiling);
    let (mut found, mut left) = (at, count);
    loop {
        for sentence in sentences(text, start..end) {
            let said = &text[sentence.clone()];
            if sentence.end < at || said.trim().is_empty() {
                continue;
            }
            found = found.max(sentence.start + said.trim_end().len());
            let is_cut = sentence.end == ceiling && ceiling < text.len();
            if is_cut || left == 0 {
                return (found, !is_cut);
            }
            left -= 1;
        }
        start = text.len() - text[end..].trim_start().len();
        if start >= ceiling {
            return (found, start == text.len());
        }
        end = paragraph_end(text, start, ceiling);
    }
}

/// Behind the last blank line between `floor` and `at`.
fn paragraph_start(text: &str, floor: usize, at: usize) -> usize {
    let blank = text[floor..at].rfind("\n\n");
    blank.map_or(floor, |blank| floor + blank + 2)
}

/// At the first blank line between `at` and `ceiling`.
fn paragraph_end(text: &str, at: usize, ceiling: usize) -> usize {
    let blank = text[at..ceiling].find("\n\n");
    blank.map_or(ceiling, |blank| at + blank)
}
