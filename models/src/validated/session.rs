//! One answer, through all its attempts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use corbie_core::{
    ChatEvent, ChatModel, ChatRequest, ChatStream, Error, ErrorKind, FinishReason, Message, Result,
    Usage,
};
use futures::{StreamExt, stream};

use super::ValidatedOptions;
use super::ask;
use super::checks::{Checks, Verdict};
use super::fault::{Fault, InvalidAnswer, Unreadable, shorten};
use super::repair;

/// The most bytes of one answer that are held back.
const MAX_HELD: usize = 4 << 20;
/// How often an answer that the token limit cut off is asked for again.
const CUT_OFF_REPAIRS: usize = 1;
/// The most characters of the last answer in an error.
const MAX_SHOWN: usize = 200;

/// An answer under way. Dropping it drops the model's stream.
pub struct Session {
    model: Arc<dyn ChatModel>,
    options: ValidatedOptions,
    checks: Checks,
    /// The request in the way that the model took it, without any repair.
    request: ChatRequest,
    deadline: Option<Instant>,
    /// The attempt under way; `None` when it is over.
    stream: Option<ChatStream>,
    /// What was released and not yet taken.
    ready: VecDeque<ChatEvent>,
    /// What the attempt said so far.
    answer: Message,
    held: usize,
    /// Whether the text of this attempt streams at once.
    streams_text: bool,
    /// Whether any text has.
    has_shown: bool,
    attempts: usize,
    cut_off: usize,
    usage: Usage,
}

impl Session {
    /// Starts the first attempt, in the firmest way that the model takes.
    ///
    /// # Errors
    ///
    /// Those of the model.
    pub async fn start(
        model: Arc<dyn ChatModel>,
        options: ValidatedOptions,
        request: ChatRequest,
        checks: Checks,
    ) -> Result<ChatStream> {
        let deadline = request
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout));
        let mut refusal = None;
        for request in ask::ways(&request) {
            match model.stream(request.clone()).await {
                Ok(stream) => {
                    let session = Self {
                        streams_text: checks.text_is_free(),
                        model,
                        options,
                        checks,
                        request,
                        deadline,
                        stream: Some(stream),
                        ready: VecDeque::new(),
                        answer: Message::assistant(""),
                        held: 0,
                        has_shown: false,
                        attempts: 1,
                        cut_off: 0,
                        usage: Usage::default(),
                    };
                    return Ok(session.events());
                }
                // Services refuse forms in their own ways, many of them as bad input.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::BadInput) =>
                {
                    tracing::debug!(model = model.info().model, %error, "asking in another way");
                    refusal = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            Error::new(ErrorKind::Internal, "request", "there was no way to ask it")
        }))
    }

    fn events(self) -> ChatStream {
        stream::unfold(self, |mut session| async move {
            let event = session.next().await?;
            Some((event, session))
        })
        .fuse()
        .boxed()
    }

    /// The next event that may be released.
    async fn next(&mut self) -> Option<Result<ChatEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let event = self.stream.as_mut()?.next().await;
            let outcome = match event {
                Some(Ok(ChatEvent::Finish { reason, usage })) => self.finish(reason, usage).await,
                Some(Ok(event)) => self.hear(event),
                Some(Err(error)) if error.kind() == &ErrorKind::Malformed => {
                    self.misread(&error).await
                }
                Some(Err(error)) => Err(error),
                None => Err(Error::new(
                    ErrorKind::Malformed,
                    self.subject(),
                    "its answer ended without a finish event",
                )),
            };
            if let Err(error) = outcome {
                self.stream = None;
                return Some(Err(error));
            }
        }
    }

    fn subject(&self) -> String {
        format!("model `{}`", self.model.info().model)
    }

    /// Keeps or releases an event.
    fn hear(&mut self, event: ChatEvent) -> Result<()> {
        match event {
            ChatEvent::Reasoning(text) => {
                self.answer
                    .reasoning
                    .get_or_insert_default()
                    .push_str(&text);
                self.held += text.len();
                self.ready.push_back(ChatEvent::Reasoning(text));
            }
            ChatEvent::Text(text) => {
                self.answer.content.push_str(&text);
                self.held += text.len();
                if self.streams_text {
                    self.has_shown = true;
                    self.ready.push_back(ChatEvent::Text(text));
                }
            }
            ChatEvent::ToolCall(call) => {
                self.held += call.arguments.to_string().len();
                self.answer.tool_calls.push(call);
            }
            ChatEvent::Finish { .. } => {}
        }
        match self.held > MAX_HELD {
            true => Err(Error::new(
                ErrorKind::LimitExceeded,
                self.subject(),
                format!("its answer has more than {MAX_HELD} bytes"),
            )),
            false => Ok(()),
        }
    }

    /// Checks a whole answer, and releases it or asks for it again.
    async fn finish(&mut self, reason: FinishReason, usage: Usage) -> Result<()> {
        self.usage += usage;
        let text = match self
            .checks
            .check(&self.answer, self.options.faults.max(1))?
        {
            Verdict::Right(text) => text,
            Verdict::Wrong(mut faults) => {
                if reason == FinishReason::Length {
                    self.cut_off += 1;
                    let found = format!(
                        "one that the limit cut off after {} tokens: be shorter",
                        usage.completion_tokens
                    );
                    faults.insert(0, Fault::new("a whole answer", found));
                }
                return self.ask_again(faults, reason).await;
            }
        };
        self.stream = None;
        self.release(text);
        self.ready.push_back(ChatEvent::Finish {
            reason,
            usage: self.usage,
        });
        Ok(())
    }

    /// An answer that the model's client could not read is a wrong one.
    async fn misread(&mut self, error: &Error) -> Result<()> {
        let mut found = error.cause().to_owned();
        if let Some(unread) = Unreadable::of(error) {
            self.usage += unread.usage;
            let text = shorten(&unread.text, MAX_SHOWN);
            found += &format!(" in {}", serde_json::Value::from(text));
        }
        let fault = Fault::new("an answer that can be read", found);
        self.ask_again(vec![fault], FinishReason::Stop).await
    }

    fn release(&mut self, text: String) {
        let answer = std::mem::replace(&mut self.answer, Message::assistant(""));
        // Free text that came before wrong calls stands: what comes with the right ones would say
        // it twice, and an answer without calls goes on from it.
        let text = match self.has_shown {
            _ if self.streams_text => String::new(),
            true if !answer.tool_calls.is_empty() => String::new(),
            true if !text.is_empty() => format!("\n\n{text}"),
            _ => text,
        };
        if !text.is_empty() {
            self.ready.push_back(ChatEvent::Text(text));
        }
        let calls = answer.tool_calls.into_iter().map(ChatEvent::ToolCall);
        self.ready.extend(calls);
    }

    async fn ask_again(&mut self, faults: Vec<Fault>, reason: FinishReason) -> Result<()> {
        let in_vain = reason == FinishReason::ContentFilter || self.cut_off > CUT_OFF_REPAIRS;
        if self.attempts > self.options.repairs || in_vain {
            return Err(self.give_up(faults, reason, None));
        }
        let mut request = self.request.clone();
        request
            .messages
            .extend(repair::messages(&request, &self.answer, &faults));
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late(faults));
            }
            request.timeout = Some(left);
        }
        tracing::debug!(model = self.model.info().model, ?faults, "asking again");
        self.stream = Some(match self.model.stream(request).await {
            Ok(stream) => stream,
            // The wrong answer is the news, not that it leaves no room to mend it.
            Err(error) if matches!(error.kind(), ErrorKind::ContextTooLong { .. }) => {
                return Err(self.give_up(faults, reason, Some(&error)));
            }
            Err(error) => return Err(error),
        });
        self.attempts += 1;
        self.answer = Message::assistant("");
        self.held = 0;
        self.streams_text = false;
        Ok(())
    }

    /// The error of an answer that stays wrong.
    fn give_up(&mut self, faults: Vec<Fault>, reason: FinishReason, why: Option<&Error>) -> Error {
        let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let mut cause = format!(
            "its answer is not what was asked for, {}: {}",
            match self.attempts {
                1 => "after one attempt".to_owned(),
                attempts => format!("after {attempts} attempts"),
            },
            list.join("; ")
        );
        if let Some(why) = why {
            cause += &format!("; it was not asked again: {}", why.cause());
        }
        let said = serde_json::Value::from(shorten(self.answer.content.trim(), MAX_SHOWN));
        cause += &format!("; it said {said}");
        let (kind, hint) = match reason {
            FinishReason::Length => (
                ErrorKind::LimitExceeded,
                "raise max_tokens, or ask for a shorter answer",
            ),
            FinishReason::ContentFilter => (
                ErrorKind::Malformed,
                "the service withheld the rest: change the question",
            ),
            _ => (
                ErrorKind::Malformed,
                "ask for a simpler form, or take another model",
            ),
        };
        self.failed(faults, Error::new(kind, self.subject(), cause).hint(hint))
    }

    fn late(&mut self, faults: Vec<Fault>) -> Error {
        let cause = "the answer took longer than the request allows";
        let error = Error::new(ErrorKind::LimitExceeded, self.subject(), cause);
        self.failed(
            faults,
            error.hint("allow more time, or ask for fewer tokens"),
        )
    }

    /// The error with the last answer behind it.
    fn failed(&mut self, faults: Vec<Fault>, error: Error) -> Error {
        error.caused_by(InvalidAnswer {
            message: std::mem::replace(&mut self.answer, Message::assistant("")),
            faults,
            attempts: self.attempts,
            usage: self.usage,
        })
    }
}
