//! Where in its document a chunk stands, in a model's words.

use std::ops::Range;
use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatModel, ChatRequest, Chunk, Document, Message, ResponseFormat, Result,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::json;

use super::ask::{Bilingual, read_reply};

/// Writes for each chunk of a document one or two sentences that say what it is about and where in
/// the document it stands: put before the chunk's text when it is embedded and its words are
/// weighed, they let it be found by what only its surroundings say ("Introducing Contextual
/// Retrieval", Anthropic, 2024).
///
/// The document stands first in every prompt, so that an engine that keeps the beginnings of
/// prompts reads it once for all its chunks. A document too long for the model's context is read in
/// pieces of equal size, each chunk with the piece it begins in.
///
/// What is written comes from a model that read an untrusted text: it is there to be searched, not
/// to be shown or followed.
#[derive(Clone)]
pub struct Contextualizer {
    /// Who writes.
    pub model: Arc<dyn ChatModel>,
    /// The most tokens that are written for a chunk.
    pub max_tokens: usize,
    /// How many chunks are written about at once, after the first one of a piece of the document,
    /// which has to be read for the others.
    pub at_once: usize,
}

const PROMPT: Bilingual = Bilingual {
    english: "<document>\n{document}\n</document>\n\nHere is a passage of this document:\n\n\
        <passage>\n{passage}\n</passage>\n\nSay in one or two short sentences what this passage \
        is about and where in the document it stands, so that it can be found by a search: name \
        the persons, things and times that it only refers to. Write nothing else.",
    chinese: "<document>\n{document}\n</document>\n\n以下是这份文档中的一个段落：\n\n\
        <passage>\n{passage}\n</passage>\n\n请用一两句简短的话说明这个段落讲的是什么、\
        位于文档的什么位置，以便检索：写出它只是间接提到的人物、事物和时间。不要写其他内容。",
};

#[derive(Deserialize)]
struct Written {
    context: String,
}

impl Contextualizer {
    /// Up to 160 tokens for each chunk, four chunks at once.
    pub fn new(model: Arc<dyn ChatModel>) -> Self {
        Self {
            model,
            max_tokens: 160,
            at_once: 4,
        }
    }

    /// Names what decides the texts: chunks with texts of another identity are to be embedded
    /// anew.
    pub fn identity(&self) -> String {
        format!("context-1:{}:{}", self.model.info().model, self.max_tokens)
    }

    /// One text for each of `chunks`, which were cut from `document`, in order; an empty one where
    /// the model wrote nothing.
    ///
    /// # Errors
    ///
    /// Those of the model: a chunk that silently went without its context would be found worse
    /// than others.
    /// [`ContextTooLong`](corbie_core::ErrorKind::ContextTooLong) when not even a chunk alone fits
    /// its context.
    pub async fn contexts(&self, document: &Document, chunks: &[Chunk]) -> Result<Vec<String>> {
        let mut contexts = Vec::with_capacity(chunks.len());
        let pieces = self.pieces(document, chunks)?;
        let piece_of = |chunk: &Chunk| {
            let after = pieces.partition_point(|piece| piece.start <= chunk.start);
            after.saturating_sub(1)
        };
        for together in chunks.chunk_by(|left, right| piece_of(left) == piece_of(right)) {
            let Some((first, rest)) = together.split_first() else {
                continue;
            };
            let piece = pieces.get(piece_of(first)).cloned().unwrap_or_default();
            let text = document.text.get(piece).unwrap_or_default();
            contexts.push(self.context(text, first).await?);
            // Boxed one by one: a closure of futures would keep the whole from being `Send`.
            let mut others: Vec<BoxFuture<'_, Result<String>>> = Vec::with_capacity(rest.len());
            for chunk in rest {
                others.push(Box::pin(self.context(text, chunk)));
            }
            let rest: Vec<String> = stream::iter(others)
                .buffered(self.at_once.max(1))
                .try_collect()
                .await?;
            contexts.extend(rest);
        }
        Ok(contexts)
    }

    /// The document whole, or in halves, quarters and so on, cut at ends of lines where there are
    /// any: as few parts as fit the model's context beside the longest chunk.
    fn pieces(&self, document: &Document, chunks: &[Chunk]) -> Result<Vec<Range<usize>>> {
        let Some(longest) = chunks.iter().max_by_key(|chunk| chunk.text.len()) else {
            return Ok(Vec::new());
        };
        let room = self.model.info().context_length;
        let mut parts = 1;
        loop {
            let pieces = split(&document.text, parts);
            let mut fit = true;
            for piece in &pieces {
                let text = document.text.get(piece.clone()).unwrap_or_default();
                let tokens = self.model.prompt_tokens(&self.request(text, longest))?;
                fit &= tokens.saturating_add(self.max_tokens) <= room;
            }
            // A piece as short as a chunk gets no shorter: then the model says what is too long.
            if fit || document.text.len() / parts <= longest.text.len() {
                return Ok(pieces);
            }
            parts *= 2;
        }
    }

    async fn context(&self, document: &str, chunk: &Chunk) -> Result<String> {
        let model = self.model.as_ref();
        let reply = model.complete(self.request(document, chunk)).await?;
        let written: Written = read_reply(model, &reply)?;
        let context = written
            .context
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        if context.is_empty() {
            let (source, start) = (&chunk.source, chunk.start);
            tracing::warn!(source, start, "a model wrote no context for a chunk");
        }
        Ok(context)
    }

    fn request(&self, document: &str, chunk: &Chunk) -> ChatRequest {
        // The template is taken apart before it is filled: no text can open a blank.
        let prompt = PROMPT.like(document);
        let (before, after) = prompt.split_once("{document}").unwrap_or((prompt, ""));
        let (between, after) = after.split_once("{passage}").unwrap_or((after, ""));
        let message = [before, document, between, &chunk.text, after].concat();
        ChatRequest {
            response_format: ResponseFormat::JsonSchema(json!({
                "type": "object",
                "properties": { "context": { "type": "string" } },
                "required": ["context"],
                "additionalProperties": false,
            })),
            max_tokens: Some(self.max_tokens),
            ..ChatRequest::new([Message::user(message)])
        }
    }
}

/// The text in so many parts of about equal length, cut at ends of lines where they are near.
fn split(text: &str, parts: usize) -> Vec<Range<usize>> {
    let mut pieces = Vec::with_capacity(parts);
    let mut start = 0;
    for part in 1..=parts {
        let aim = text.floor_char_boundary(text.len() / parts * part);
        let end = match part == parts {
            true => text.len(),
            false => match text.get(start..aim).and_then(|piece| piece.rfind('\n')) {
                Some(line) => start + line + 1,
                None => aim.max(start),
            },
        };
        if end > start {
            pieces.push(start..end);
            start = end;
        }
    }
    pieces
}
