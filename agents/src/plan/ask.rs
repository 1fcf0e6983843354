//! Asking a model for something in a form, again when it does not fit, and never twice.

use std::time::Instant;

use corbie_core::{ChatModel, ChatRequest, Error, ErrorKind, Message, ResponseFormat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::child::add;
use super::log::Log;
use super::run::PlanOptions;
use crate::{Outcome, Spent};

/// The least that results are shortened to.
const LEAST_BYTES: usize = 64;

/// Why a planner's program stops before its end.
pub(super) enum Halt {
    /// It stops with this; the run of an agent may wait for a person.
    Stop(Outcome, Option<String>),
    /// The journal failed, or does not fit.
    Broken(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

/// An answer that is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    text: String,
    spent: Spent,
}

/// What a model is asked.
pub(super) struct Question<'a> {
    pub model: &'a dyn ChatModel,
    /// Names it in the run.
    pub name: &'a str,
    /// The messages, when each result in them has at most so many bytes.
    pub prompt: &'a (dyn Fn(usize) -> Vec<Message> + Send + Sync),
    pub options: &'a PlanOptions,
}

impl Log {
    /// An answer in words.
    pub async fn ask_words(
        &self,
        question: Question<'_>,
        spent: &mut Spent,
    ) -> Result<String, Halt> {
        let right = |text: &str| match text.trim() {
            "" => Err("Say something.".to_owned()),
            text => Ok(text.to_owned()),
        };
        self.ask(question, ResponseFormat::Text, &right, spent)
            .await
    }

    /// An answer by a JSON Schema that `check` finds right; what it finds wrong is told to the
    /// model.
    pub async fn ask_value<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        schema: Value,
        check: &(dyn Fn(&T) -> Result<(), String> + Send + Sync),
        spent: &mut Spent,
    ) -> Result<T, Halt> {
        let right = |text: &str| {
            let value: T = serde_json::from_str(text.trim())
                .map_err(|error| format!("This is not the JSON that was asked for: {error}."))?;
            check(&value).map(|()| value)
        };
        let format = ResponseFormat::JsonSchema(schema);
        self.ask(question, format, &right, spent).await
    }

    async fn ask<T>(
        &self,
        question: Question<'_>,
        format: ResponseFormat,
        read: &(dyn Fn(&str) -> Result<T, String> + Send + Sync),
        spent: &mut Spent,
    ) -> Result<T, Halt> {
        if let Some(kept) = self.known::<Kept>(question.name)? {
            add(spent, &kept.spent);
            return read(&kept.text).map_err(|why| {
                let subject = format!("run `{}`", self.id());
                Halt::Broken(Error::new(ErrorKind::Malformed, subject, why))
            });
        }
        let options = question.options;
        let failed = |error: Error| {
            let retryable = error.is_retryable();
            let why = error.to_string();
            Halt::Stop(Outcome::Failed { why, retryable }, None)
        };
        let mut request = ChatRequest {
            response_format: format,
            max_tokens: Some(options.max_tokens),
            ..ChatRequest::default()
        };
        fit(&question, &mut request).map_err(failed)?;
        let mut used = Spent::default();
        let mut complaint = String::new();
        for _ in 0..=options.repairs {
            let mut total = *spent;
            add(&mut total, &used);
            if let Some(limit) = total.reaches(&options.budget) {
                *spent = total;
                return Err(Halt::Stop(Outcome::BudgetExceeded { limit }, None));
            }
            let begun = Instant::now();
            let reply = question.model.complete(request.clone()).await;
            let reply = reply.map_err(failed)?;
            used.steps += 1;
            used.usage += reply.usage;
            used.millis += u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let text = reply.message.content;
            match read(&text) {
                Ok(value) => {
                    self.keep(question.name, &Kept { text, spent: used })
                        .await?;
                    add(spent, &used);
                    return Ok(value);
                }
                Err(why) => {
                    request.messages.push(Message::assistant(text));
                    request.messages.push(Message::user(why.as_str()));
                    complaint = why;
                }
            }
        }
        add(spent, &used);
        let why = format!(
            "asked {} times, the model gave no usable answer: {complaint}",
            options.repairs + 1
        );
        let retryable = false;
        Err(Halt::Stop(Outcome::Failed { why, retryable }, None))
    }
}

/// Shortens the results in a prompt until it leaves room for the answer.
fn fit(question: &Question<'_>, request: &mut ChatRequest) -> corbie_core::Result<()> {
    let limit = question.model.info().context_length;
    let room = question.options.max_tokens.min(limit / 2);
    let mut bytes = question.options.result_bytes.max(LEAST_BYTES);
    loop {
        request.messages = (question.prompt)(bytes);
        let tokens = question.model.prompt_tokens(request)?;
        if tokens + room <= limit {
            return Ok(());
        }
        if bytes <= LEAST_BYTES {
            let cause = format!("the plan has {tokens} tokens, the context holds {limit}");
            let kind = ErrorKind::ContextTooLong { tokens, limit };
            return Err(
                Error::new(kind, "plan", cause).hint("shorten the goal, or allow fewer steps")
            );
        }
        bytes = (bytes / 2).max(LEAST_BYTES);
    }
}

/// The beginning of a text of more than so many bytes.
pub(super) fn brief(text: &str, bytes: usize) -> String {
    match text.len() > bytes {
        true => format!("{} […]", &text[..text.floor_char_boundary(bytes)]),
        false => text.to_owned(),
    }
}
