//! Answers that are checked before anybody sees them, and asked for again when they are wrong.
//!
//! A local model cannot leave the form it is held to; a remote one can. [`Validated`] wraps any
//! chat model and serves the same request fields: it reads the finished answer, checks it
//! mechanically against `response_format` and `tools`, and releases it only when it is right. A
//! wrong answer goes back to the model with a short list of what is wrong, a bounded number of
//! times; what is still wrong then is an error that names the faults and keeps the answer.
//!
//! | asked for | an answer is right when |
//! |---|---|
//! | JSON Schema | it is one JSON value that satisfies the schema, formats included |
//! | regular expression | the expression matches from its start to its end |
//! | grammar | Lark's grammar derives it (feature `local`) |
//! | choice | it is one of the options |
//! | quotation | it is a piece of one of the texts, byte for byte |
//! | tools | every call names a tool, its arguments satisfy the tool's schema, and the tool choice and the number of calls are honoured |
//!
//! What stands around the answer is taken off when it is beyond doubt: a code fence, prose around
//! the only JSON value, quotation marks, the case of an option. Values are never mended.
//!
//! # What streams
//!
//! Without a form and without tools every event passes straight through. With one of them,
//! thinking streams at once, that of refused attempts included; calls, and text that a form or a
//! required call binds, are held back until the check, and come whole. Text beside tools that need
//! not be called is free: it streams at once, and only a call in it can make the answer wrong.
//!
//! # How the form is asked for
//!
//! First by the request's own field, for models and services that hold to it. Where they refuse
//! that, a choice is asked for as JSON with an `enum`; everything else is said in words at the end
//! of the last system message.

mod ask;
mod calls;
mod checks;
mod fault;
mod form;
mod json;
mod repair;
mod schema;
mod session;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Result, TokenCounter,
};

#[cfg(feature = "openai")]
pub(crate) use ask::say;
pub use fault::{Fault, InvalidAnswer, Unreadable};

use checks::Checks;
use session::Session;

/// How answers are checked and asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ValidatedOptions {
    /// How often a wrong answer is asked for again.
    pub repairs: usize,
    /// The most faults of one answer that are listed.
    pub faults: usize,
}

impl Default for ValidatedOptions {
    /// Two repairs, eight faults.
    fn default() -> Self {
        Self {
            repairs: 2,
            faults: 8,
        }
    }
}

/// A chat model whose answers are checked.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::sync::Arc;
///
/// use corbie_core::testing::ScriptedChatModel;
/// use corbie_core::{ChatModel, ChatRequest, Message, ResponseFormat};
/// use corbie_models::validated::{Validated, ValidatedOptions};
/// use serde_json::json;
///
/// // The model is wrong first; told what is wrong, it does better, if wordily.
/// let replies = [r#"{"wings": "two"}"#, "Here you are:\n```json\n{\"wings\": 2}\n```"];
/// let scripted = Arc::new(ScriptedChatModel::new(replies.map(Message::assistant)));
/// let model = Validated::new(scripted.clone(), ValidatedOptions::default());
///
/// let schema = json!({"type": "object", "properties": {"wings": {"type": "integer"}}});
/// let reply = model
///     .complete(ChatRequest {
///         response_format: ResponseFormat::JsonSchema(schema),
///         ..ChatRequest::new([Message::user("How many wings has a raven? 乌鸦有几只翅膀?")])
///     })
///     .await?;
/// assert_eq!(reply.message.content, r#"{"wings": 2}"#);
///
/// let told = &scripted.requests()[1].messages[2].content;
/// assert!(told.contains(r#"at /wings: expected integer, found "two""#));
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Validated {
    model: Arc<dyn ChatModel>,
    options: ValidatedOptions,
}

impl Validated {
    /// The same model with its answers checked.
    pub fn new(model: Arc<dyn ChatModel>, options: ValidatedOptions) -> Self {
        Self { model, options }
    }
}

impl fmt::Debug for Validated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validated")
            .field("model", self.model.info())
            .field("options", &self.options)
            .finish()
    }
}

impl ChatModel for Validated {
    fn info(&self) -> &ChatModelInfo {
        self.model.info()
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.model.tokens()
    }

    /// Of the request as it is given: words that ask for a form, and repairs, come on top.
    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        self.model.prompt_tokens(request)
    }

    /// Starts an answer.
    ///
    /// The usage is that of all attempts together, and so is the time that the request allows.
    ///
    /// # Errors
    ///
    /// Those of the model; of the request, before anything is sent:
    /// [`BadInput`](corbie_core::ErrorKind::BadInput) for a form or a tool's schema that is none,
    /// [`Unsupported`](corbie_core::ErrorKind::Unsupported) for one that cannot be checked (in a
    /// schema, references to other documents), and
    /// [`LimitExceeded`](corbie_core::ErrorKind::LimitExceeded) for one too large.
    ///
    /// As the last event: [`Malformed`](corbie_core::ErrorKind::Malformed) for an answer that is
    /// still wrong after the repairs, and [`LimitExceeded`](corbie_core::ErrorKind::LimitExceeded)
    /// for one that the token limit cuts off twice or that is late. [`InvalidAnswer::of`] finds
    /// the last answer in both.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            match Checks::of(&request)? {
                None => self.model.stream(request).await,
                Some(checks) => {
                    Session::start(Arc::clone(&self.model), self.options, request, checks).await
                }
            }
        })
    }
}
