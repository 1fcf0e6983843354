//! From a model's stream to an answer's.

use std::collections::VecDeque;
use std::sync::Arc;

use corbie_core::{
    ChatEvent, ChatModel, ChatStream, Error, ErrorKind, FinishReason, Result, Usage,
};
use futures::StreamExt;
use tracing::{Instrument, Span};

use super::prompt::Words;
use super::support::on_one_line;
use super::writer::Writer;
use super::{Answer, AnswerEvent, Citation, Verdict};
use crate::spans;
use crate::text::without_list_mark;

/// An answer in the making.
pub(super) struct Run {
    /// Kept to count what it wrote when it is stopped early.
    model: Arc<dyn ChatModel>,
    chat: Option<ChatStream>,
    /// What traces see of it.
    span: Span,
    writer: Writer,
    words: &'static Words,
    citations: Vec<Citation>,
    raw: String,
    ready: VecDeque<AnswerEvent>,
    usage: Usage,
}

impl Run {
    /// A run of a chat, which `model` started on a prompt of this many tokens.
    pub(super) fn new(
        model: Arc<dyn ChatModel>,
        (chat, span): (ChatStream, Span),
        prompt_tokens: usize,
        writer: Writer,
        words: &'static Words,
        citations: Vec<Citation>,
    ) -> Self {
        Self {
            model,
            chat: Some(chat),
            span,
            writer,
            words,
            raw: String::new(),
            ready: VecDeque::from([AnswerEvent::Citations(citations.clone())]),
            citations,
            usage: Usage {
                prompt_tokens,
                ..Usage::default()
            },
        }
    }

    /// The next event and the run after it.
    pub(super) async fn next(mut self) -> Result<Option<(AnswerEvent, Self)>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some((event, self)));
            }
            let Some(chat) = &mut self.chat else {
                return Ok(None);
            };
            let event = chat.next().instrument(self.span.clone()).await.transpose();
            match event.inspect_err(|error| spans::failed(&self.span, error))? {
                Some(ChatEvent::Text(piece)) => {
                    self.raw.push_str(&piece);
                    let shown = self.writer.push(&piece);
                    self.show(shown);
                    if self.writer.stopped {
                        self.usage.completion_tokens = self.count_written();
                        self.end(FinishReason::Stop);
                    }
                }
                Some(ChatEvent::Finish { reason, usage }) => {
                    self.usage = usage;
                    self.end(reason);
                }
                Some(ChatEvent::Reasoning(_) | ChatEvent::ToolCall(_)) => {}
                None => {
                    let cause = "its stream ended without a finish event";
                    let subject = format!("model `{}`", self.model.info().model);
                    return Err(Error::new(ErrorKind::Malformed, subject, cause));
                }
            }
        }
    }

    fn count_written(&self) -> usize {
        let tokens = self.model.tokens();
        tokens.map_or(0, |tokens| tokens.count(&self.raw))
    }

    fn show(&mut self, text: String) {
        if !text.is_empty() {
            self.ready.push_back(AnswerEvent::Text(text));
        }
    }

    /// Dropping the model's stream frees what it holds.
    fn end(&mut self, reason: FinishReason) {
        self.chat = None;
        spans::answered(&self.span, reason, self.usage);
        let rest = self.writer.finish(reason == FinishReason::Length);
        self.show(rest);
        let mut verdict = Verdict::Answered;
        let mut text = std::mem::take(&mut self.writer.text);
        if text.is_empty() {
            (text, verdict) = self.instead();
            self.show(text.clone());
        }
        for citation in &mut self.citations {
            citation.cited = self.writer.cited.contains(&citation.n);
        }
        self.ready.push_back(AnswerEvent::Done(Answer {
            v: 1,
            answer: text,
            verdict,
            citations: std::mem::take(&mut self.citations),
            usage: self.usage,
            cached: false,
        }));
    }

    /// What is said when the model said nothing that can be shown.
    fn instead(&mut self) -> (String, Verdict) {
        self.writer.cited.clear();
        let quotation = match self.writer.not_found {
            true => None,
            false => self.writer.grounds.quotation(),
        };
        let Some((n, range)) = quotation else {
            return (self.words.no_evidence.to_owned(), Verdict::NoEvidence);
        };
        self.writer.cited.insert(n);
        let quote = on_one_line(without_list_mark(&self.citations[n - 1].text[range]));
        let (open, close) = self.words.quotation;
        let space = if self.words.space { " " } else { "" };
        (
            format!("{open}{quote}{close}{space}[{n}]"),
            Verdict::Answered,
        )
    }
}
