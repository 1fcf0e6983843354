//! A hit with the sentences around it.

use std::ops::Range;
use std::sync::Arc;

use corbie_core::{BoxFuture, Chunk, Document, Hit, Result, RetrieveRequest, Retriever, sentences};

use super::around::grown;
use super::{Documents, traced};

/// Sentences are looked for no further than so many bytes from a hit.
const REACH: usize = 4096;

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
    let floor = text.ceil_char_boundary(at.saturating_sub(REACH));
    let mut start = paragraph_start(text, at).max(floor);
    let mut end = paragraph_end(text, at).min(text.floor_char_boundary(at.saturating_add(REACH)));
    let (mut found, mut left) = (at, count);
    loop {
        for sentence in sentences(text, start..end).into_iter().rev() {
            let said = &text[sentence.clone()];
            let begin = sentence.end - said.trim_start().len();
            if sentence.start > at || said.trim().is_empty() {
                continue;
            }
            found = begin.min(found);
            if left == 0 {
                return found;
            }
            left -= 1;
        }
        end = text[..start].trim_end().len();
        if end <= floor {
            return found;
        }
        start = paragraph_start(text, end).max(floor);
    }
}

/// The end of the sentence `count` after the one that ends at or behind `at`.
fn end_after(text: &str, at: usize, count: usize) -> usize {
    let ceiling = text.floor_char_boundary(at.saturating_add(REACH));
    let mut start =
        paragraph_start(text, at).max(text.ceil_char_boundary(at.saturating_sub(REACH)));
    let mut end = paragraph_end(text, at).min(ceiling);
    let (mut found, mut left) = (at, count);
    loop {
        for sentence in sentences(text, start..end) {
            let said = &text[sentence.clone()];
            if sentence.end < at || said.trim().is_empty() {
                continue;
            }
            found = (sentence.start + said.trim_end().len()).max(found);
            if left == 0 {
                return found;
            }
            left -= 1;
        }
        start = text.len() - text[end..].trim_start().len();
        if start >= ceiling {
            return found;
        }
        end = paragraph_end(text, start).min(ceiling);
    }
}

/// Behind the last blank line before `at`.
fn paragraph_start(text: &str, at: usize) -> usize {
    text[..at].rfind("\n\n").map_or(0, |blank| blank + 2)
}

/// At the first blank line behind `at`.
fn paragraph_end(text: &str, at: usize) -> usize {
    text[at..]
        .find("\n\n")
        .map_or(text.len(), |blank| at + blank)
}
