//! Asking a chat model for something small in a fixed form.

use corbie_core::{
    ChatModel, ChatReply, ChatRequest, Error, ErrorKind, Message, ResponseFormat, Result,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tracing::Instrument;

/// The most tokens of a reply: a few questions, a short passage, some conditions.
const MAX_TOKENS: usize = 768;

/// The model's reply to `message` under `instructions`, a JSON value of this schema.
pub(super) async fn ask<T: DeserializeOwned>(
    model: &dyn ChatModel,
    instructions: &str,
    message: &str,
    schema: Value,
) -> Result<T> {
    let name = &model.info().model;
    let request = ChatRequest {
        response_format: ResponseFormat::JsonSchema(schema),
        max_tokens: Some(MAX_TOKENS),
        ..ChatRequest::new([Message::system(instructions), Message::user(message)])
    };
    let span = tracing::info_span!(
        "chat",
        otel.name = format!("chat {name}"),
        gen_ai.operation.name = "chat",
        gen_ai.request.model = name,
        gen_ai.request.max_tokens = MAX_TOKENS,
        error.type = tracing::field::Empty,
    );
    let reply = model.complete(request).instrument(span.clone()).await;
    let reply = reply.inspect_err(|error| {
        span.record("error.type", tracing::field::debug(error.kind()));
    })?;
    read_reply(model, &reply)
}

/// The value that a model wrote.
pub(super) fn read_reply<T: DeserializeOwned>(
    model: &dyn ChatModel,
    reply: &ChatReply,
) -> Result<T> {
    serde_json::from_str(reply.message.content.trim()).map_err(|error| {
        let name = &model.info().model;
        // Where, not what: the reply speaks of the question, and traces hold no text of it.
        let (line, column) = (error.line(), error.column());
        let cause = format!(
            "its reply is not of the form that was asked for, from line {line}, column {column}"
        );
        Error::new(ErrorKind::Malformed, format!("model `{name}`"), cause)
            .hint("use a model that can be held to a JSON Schema")
            .caused_by(error)
    })
}

/// Whether a text is to be answered in Chinese: when its Han characters outnumber the words of
/// other scripts.
pub(super) fn is_chinese(text: &str) -> bool {
    let is_han = |c: char| matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}');
    let han = text.chars().filter(|c| is_han(*c)).count();
    let words = text
        .split(|c: char| !c.is_alphanumeric() || is_han(c))
        .filter(|word| word.chars().any(char::is_alphabetic))
        .count();
    han > words
}

/// A text in both languages that prompts are written in.
pub(super) struct Bilingual {
    pub(super) english: &'static str,
    pub(super) chinese: &'static str,
}

impl Bilingual {
    /// In the language of `text`.
    pub(super) fn like(&self, text: &str) -> &'static str {
        match is_chinese(text) {
            true => self.chinese,
            false => self.english,
        }
    }
}

#[derive(Deserialize)]
struct Texts {
    texts: Vec<String>,
}

/// At most `count` texts that the model writes for a question, none of them empty or twice.
/// `{count}` in the instructions is the number. A model that fails or writes nothing is traced as
/// a warning: then there are none, and the question has to do.
pub(super) async fn texts(
    model: &dyn ChatModel,
    instructions: &Bilingual,
    question: &str,
    count: usize,
) -> Vec<String> {
    if question.trim().is_empty() || count == 0 {
        return Vec::new();
    }
    let instructions = instructions.like(question);
    let instructions = instructions.replace("{count}", &count.to_string());
    let schema = json!({
        "type": "object",
        "properties": {
            "texts": {
                "type": "array",
                "items": { "type": "string" },
                "minItems": 1,
                "maxItems": count,
            },
        },
        "required": ["texts"],
        "additionalProperties": false,
    });
    let mut written: Vec<String> = Vec::new();
    match ask::<Texts>(model, &instructions, question, schema).await {
        Ok(reply) => {
            for text in reply.texts.iter().map(|text| text.trim()) {
                let new = !text.is_empty() && written.iter().all(|known| known != text);
                if new && written.len() < count {
                    written.push(text.to_owned());
                }
            }
            if written.is_empty() {
                let model = &model.info().model;
                tracing::warn!(model, "a model wrote nothing: the plain question has to do");
            }
        }
        Err(error) => tracing::warn!(%error, "a model failed: the plain question has to do"),
    }
    written
}
