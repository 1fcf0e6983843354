//! Generating: a chat model answers messages.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, Error, ErrorKind, Result, TokenCounter, ToolCall, ToolSpec};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The application.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool's result.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(default)]
    pub content: String,
    /// What the model thought before it spoke. Never shown to tools or parsers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The calls an assistant makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: which call it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message of `role` with `content` and nothing else.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }

    /// The application's instructions.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new(Role::System, content)
    }

    /// A person's words.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }

    /// A model's words.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }

    /// The result of the call `id`.
    pub fn tool(id: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(id.into()),
            ..Self::new(Role::Tool, content)
        }
    }
}

/// How the next token is chosen. The default is greedy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token always (greedy).
    pub temperature: f32,
    /// Keep the k likeliest tokens; `None`: all.
    pub top_k: Option<usize>,
    /// Keep the fewest likeliest tokens that together have this probability; 1: all.
    pub top_p: f32,
    /// Drop tokens less likely than this share of the likeliest; 0: none.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens seen before; 1: no penalty.
    pub repetition_penalty: f32,
    /// How many of the last tokens count as seen before.
    pub repetition_window: usize,
    /// Makes the choice repeatable; `None`: a different one each time.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            repetition_window: 64,
            seed: None,
        }
    }
}

impl Sampling {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) that names the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let refuse = |field: &str, why: &str| {
            Err(Error::new(
                ErrorKind::BadInput,
                format!("sampling.{field}"),
                why,
            ))
        };
        if !(self.temperature.is_finite() && (0.0..=100.0).contains(&self.temperature)) {
            return refuse("temperature", "must be between 0 and 100");
        }
        if self.top_k == Some(0) {
            return refuse("top_k", "must be at least 1");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", "must be above 0 and at most 1");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return refuse("min_p", "must be between 0 and 1");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return refuse("repetition_penalty", "must be above 0");
        }
        Ok(())
    }
}

/// Whether the model may, must or must not call tools.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// At least one call.
    Required,
    /// No call.
    None,
    /// This tool.
    Named(String),
}

/// The form the answer must have.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// A JSON value that satisfies this JSON Schema.
    JsonSchema(Value),
    /// A text that this regular expression matches from its start to its end.
    Regex(String),
    /// A text of this grammar, written in Lark's syntax.
    Grammar(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A piece of one of these texts, word for word.
    Quote(Vec<String>),
}

/// What a [`ChatModel`] is asked.
///
/// ```
/// use corbie_core::{ChatRequest, Message};
///
/// let request = ChatRequest {
///     max_tokens: Some(64),
///     ..ChatRequest::new([Message::user("Where do ravens cache food?")])
/// };
/// # assert_eq!(request.messages.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatRequest {
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools the model may call.
    pub tools: Vec<ToolSpec>,
    /// Whether it may, must or must not call them.
    pub tool_choice: ToolChoice,
    /// Whether it may make several calls in one answer.
    pub parallel_tool_calls: bool,
    /// The form of the answer.
    pub response_format: ResponseFormat,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The most tokens to write; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// How long the answer may take, waiting included; `None`: as long as it takes.
    pub timeout: Option<Duration>,
}

impl Default for ChatRequest {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::default(),
            parallel_tool_calls: true,
            response_format: ResponseFormat::default(),
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            timeout: None,
        }
    }
}

impl ChatRequest {
    /// A request with these messages and defaults for the rest.
    pub fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            messages: messages.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// What a request cost, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt, cached ones among them.
    pub prompt_tokens: usize,
    /// Tokens of the prompt that did not have to be computed.
    pub cached_tokens: usize,
    /// Tokens written.
    pub completion_tokens: usize,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.cached_tokens += other.cached_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// It said all it wanted, or a stop text came.
    Stop,
    /// The token limit or the context ended it.
    Length,
    /// It waits for tool results.
    ToolCalls,
    /// A remote service withheld the rest.
    ContentFilter,
}

/// One event of a model's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatEvent {
    /// The next piece of text; whole characters only.
    Text(String),
    /// The next piece of the model's thinking.
    Reasoning(String),
    /// A complete call.
    ToolCall(ToolCall),
    /// The last event.
    Finish {
        /// Why it ended.
        reason: FinishReason,
        /// What it cost.
        usage: Usage,
    },
}

/// The events of one answer. Dropping it cancels the work behind it.
pub type ChatStream = BoxStream<'static, Result<ChatEvent>>;

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatReply {
    /// The assistant's message.
    pub message: Message,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

/// What a [`ChatModel`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatModelInfo {
    /// The name to load it by.
    pub model: String,
    /// The most tokens of prompt and answer together.
    pub context_length: usize,
}

/// Answers messages.
pub trait ChatModel: Send + Sync {
    /// What it is.
    fn info(&self) -> &ChatModelInfo;

    /// Its token counter, where it has a local one.
    fn tokens(&self) -> Option<&dyn TokenCounter>;

    /// How many tokens the request's prompt is, template and tools included. Remote models
    /// estimate, never too low by more than the estimate's nature.
    ///
    /// # Errors
    ///
    /// When the request cannot be rendered.
    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize>;

    /// Starts an answer.
    ///
    /// # Errors
    ///
    /// [`ContextTooLong`](ErrorKind::ContextTooLong) before any work, with the numbers;
    /// [`BadInput`](ErrorKind::BadInput) for options out of range; a remote's errors by kind.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>>;

    /// The whole answer: the stream, folded.
    ///
    /// # Errors
    ///
    /// Those of [`ChatModel::stream`] and of its events.
    fn complete(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatReply>> {
        Box::pin(async move { ChatReply::fold(self.stream(request).await?).await })
    }
}

impl ChatReply {
    /// Folds a stream into the whole answer.
    ///
    /// # Errors
    ///
    /// The stream's first error, or [`Malformed`](ErrorKind::Malformed) when it ends without
    /// [`ChatEvent::Finish`].
    pub async fn fold(mut stream: ChatStream) -> Result<Self> {
        let mut message = Message::assistant("");
        while let Some(event) = stream.next().await {
            match event? {
                ChatEvent::Text(text) => message.content.push_str(&text),
                ChatEvent::Reasoning(text) => {
                    message.reasoning.get_or_insert_default().push_str(&text);
                }
                ChatEvent::ToolCall(call) => message.tool_calls.push(call),
                ChatEvent::Finish { reason, usage } => {
                    return Ok(Self {
                        message,
                        finish_reason: reason,
                        usage,
                    });
                }
            }
        }
        Err(Error::new(
            ErrorKind::Malformed,
            "chat stream",
            "it ended without a finish event",
        ))
    }
}
