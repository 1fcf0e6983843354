//! What asking gives: events, and the whole answer.

use corbie_core::{Error, ErrorKind, Result, Usage};
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

/// How a question ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was answered from the citations.
    Answered,
    /// The documents hold nothing about it.
    NoEvidence,
    /// It was not let through, see [`QuestionCheck`](crate::QuestionCheck).
    Refused,
}

/// A passage that the model was given, and where it stands.
///
/// `text` is byte-equal to `start..end` of the stored document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// Its number, from 1: the `[n]` of the answer.
    pub n: usize,
    /// The document: its path relative to the ingested root, or its URL.
    pub source: String,
    /// The page on which it starts.
    pub page: Option<u32>,
    /// The headings above its start, outermost first.
    pub heading: Vec<String>,
    /// First byte in the document's text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The retriever's score.
    pub score: f32,
    /// The text.
    pub text: String,
    /// Whether the answer refers to it.
    pub cited: bool,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this form: 1.
    pub v: u32,
    /// The text, with `[n]` marks; without an answer, a sentence that says so.
    pub answer: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The passages the model was given, best first.
    pub citations: Vec<Citation>,
    /// What it cost.
    pub usage: Usage,
    /// Whether it was made earlier, and no document it cites has changed since.
    #[serde(default)]
    pub cached: bool,
}

/// One event of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// The passages the model is given, before it says anything. `cited` is not known yet.
    Citations(Vec<Citation>),
    /// The next piece of the answer.
    Text(String),
    /// The last event: the whole answer. Its text is the pieces joined.
    Done(Answer),
}

/// The events of one answer. Dropping it cancels the work behind it.
pub type AnswerStream = BoxStream<'static, Result<AnswerEvent>>;

impl Answer {
    /// The whole answer of a stream.
    ///
    /// # Errors
    ///
    /// The stream's first error, or [`Malformed`](ErrorKind::Malformed) when it ends without
    /// [`AnswerEvent::Done`].
    pub async fn fold(mut stream: AnswerStream) -> Result<Self> {
        while let Some(event) = stream.next().await {
            if let AnswerEvent::Done(answer) = event? {
                return Ok(answer);
            }
        }
        let cause = "it ended without its last event";
        Err(Error::new(ErrorKind::Malformed, "answer stream", cause))
    }
}
