//! Agents: a model that calls functions, looks at what they give, and answers.
//!
//! A run is a fold over its events ([`RunState`], which does no I/O); an [`Agent`] drives it: it
//! asks the model, lets a [`Policy`] judge the calls, runs them, and writes what happens to a
//! [`Journal`]: answers before they are acted on, effects before they begin and behind their end,
//! what only follows from others together with the next. So a run survives the process: an effect
//! that was seen to end is never repeated, and one that was not stops the run with a question.

mod arguments;
mod ask;
mod calls;
mod delegate;
mod event;
mod family;
mod fork;
mod function;
mod handoff;
mod hook;
mod narrow;
mod offload;
mod outcome;
mod person;
mod policy;
mod progress;
mod runner;
mod state;
mod structured;
mod summary;
mod tools;
pub mod typed;
mod window;

use std::sync::Arc;
use std::time::Duration;

use corbie_core::{
    ChatModel, Journal, Message, ResponseFormat, Result, Role, Sampling, ToolCall, ToolChoice,
};
use serde_json::Value;

pub use delegate::Delegate;
pub use event::{JOURNAL_VERSION, Judgement, Record, RunEvent, ToolResult};
pub use fork::fork;
pub use function::FunctionTool;
pub use handoff::{HAND_OFF, Peer};
pub use hook::{Bundle, Hook, Ruling};
pub use narrow::ToolRetrieval;
pub use offload::{Offload, READ_RESULT};
pub use outcome::{Budget, Inquiry, Limit, Outcome, Pending, Prices, Spent};
pub use person::Decision;
pub use policy::{Action, Policy, Rule};
pub use runner::{fresh_run_id, history};
pub use state::{CallState, CallStatus, Next, RunState};
#[cfg(feature = "mcp")]
pub(crate) use tools::Ran;
pub use tools::Tools;

/// The name of the tool by which a model asks the person.
pub const ASK_PERSON: &str = "ask_person";
/// The most calls of one answer; more are dropped.
const MAX_CALLS: usize = 32;

/// A model with tools and limits.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Agent, Outcome};
/// use corbie_core::{Message, testing::ScriptedChatModel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> corbie_core::Result<()> {
/// let model = ScriptedChatModel::new([Message::assistant("5")]);
/// let agent = Agent::new(Arc::new(model));
/// let run = agent.run("What is 2 + 3?").await?;
/// assert!(matches!(run.outcome, Outcome::Done { answer, .. } if answer == "5"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Agent {
    /// Its name, for other agents and for traces.
    pub name: String,
    /// What plans and answers.
    pub model: Arc<dyn ChatModel>,
    /// What it may call.
    pub tools: Tools,
    /// What steps in before and after the model and the tools, in this order.
    pub hooks: Vec<Arc<dyn Hook>>,
    /// Agents that the conversation may be handed to.
    pub peers: Vec<Peer>,
    /// Where events are kept; `None`: nowhere, so a run cannot be resumed.
    pub journal: Option<Arc<dyn Journal>>,
    /// How it works.
    pub options: AgentOptions,
}

/// How an [`Agent`] works.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The system message; empty: none.
    pub instructions: String,
    /// The limits of a run.
    pub budget: Budget,
    /// Which calls run.
    pub policy: Policy,
    /// Whether the model may, must or must not call tools.
    pub tool_choice: ToolChoice,
    /// Whether one answer may hold several calls.
    pub parallel: bool,
    /// The form of the final answer.
    pub response_format: ResponseFormat,
    /// How the model chooses tokens.
    pub sampling: Sampling,
    /// The most tokens of one answer of the model; `None`: what the context leaves.
    pub max_tokens: Option<usize>,
    /// How long one call may take, where the tool does not say.
    pub tool_timeout: Duration,
    /// The most bytes of one result.
    pub result_bytes: usize,
    /// Whether the model may ask the person.
    pub ask_person: bool,
    /// Whether the model summarises what the context holds no longer, before it is left out.
    pub summarise: bool,
    /// How deep runs of other agents ([`Delegate`]) may be nested.
    pub max_depth: usize,
    /// How many runs of other agents a run may begin, theirs included.
    pub max_sub_runs: usize,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            instructions: String::new(),
            budget: Budget::default(),
            policy: Policy::default(),
            tool_choice: ToolChoice::Auto,
            parallel: true,
            response_format: ResponseFormat::Text,
            sampling: Sampling::default(),
            max_tokens: None,
            tool_timeout: Duration::from_secs(60),
            result_bytes: 8 << 10,
            ask_person: false,
            summarise: false,
            max_depth: 3,
            max_sub_runs: 16,
        }
    }
}

/// A run up to where it stopped.
#[derive(Debug, Clone)]
pub struct Run {
    /// Names it in the journal.
    pub id: String,
    /// How it stopped.
    pub outcome: Outcome,
    /// The conversation.
    pub messages: Vec<Message>,
    /// What it used.
    pub spent: Spent,
    /// Whether text from outside came into the conversation.
    pub tainted: bool,
}

impl Run {
    /// The calls that the model made, in order, each by the tool's name and its arguments.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use corbie_agents::{Agent, Tools, tools};
    /// use corbie_core::Tool;
    /// use corbie_core::testing::{ScriptedChatModel, call, says};
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> corbie_core::Result<()> {
    /// let script = [call("calculator", json!({"expression": "2 + 3"})), says("五")];
    /// let calculator: Arc<dyn Tool> = Arc::new(tools::calculator());
    /// let agent = Agent {
    ///     tools: Tools::new([calculator])?,
    ///     ..Agent::new(Arc::new(ScriptedChatModel::new(script)))
    /// };
    /// let run = agent.run("二加三等于几？").await?;
    /// assert_eq!(run.calls(), [("calculator", &json!({"expression": "2 + 3"}))]);
    /// assert_eq!(run.results(), ["5"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn calls(&self) -> Vec<(&str, &Value)> {
        let calls = self.messages.iter().flat_map(|it| &it.tool_calls);
        calls
            .map(|call| (call.name.as_str(), &call.arguments))
            .collect()
    }

    /// What came of the calls, in the order in which the model reads it.
    pub fn results(&self) -> Vec<&str> {
        let results = self.messages.iter().filter(|it| it.role == Role::Tool);
        results.map(|it| it.content.as_str()).collect()
    }

    /// The answer, of a run that is done.
    pub fn answer(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Done { answer, .. } => Some(answer),
            _ => None,
        }
    }
}

/// What whoever watches a run sees.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// The next piece of the model's text.
    Text(String),
    /// The next piece of its thinking.
    Reasoning(String),
    /// It calls a tool.
    Call(ToolCall),
    /// A call is about to run.
    Begun(String),
    /// How a call gets on.
    Progress {
        /// The call's id.
        call: String,
        /// What the tool says.
        text: String,
    },
    /// What came of a call.
    Result {
        /// The call's id.
        call: String,
        /// What came of it.
        result: ToolResult,
    },
    /// The model was told that it makes no progress.
    Nudged(String),
    /// The run stopped.
    Stopped(Outcome),
}

/// Watches a run.
pub type Watcher<'a> = &'a (dyn Fn(AgentEvent) + Send + Sync);

impl Agent {
    /// An agent without tools.
    pub fn new(model: Arc<dyn ChatModel>) -> Self {
        Self {
            name: "agent".into(),
            model,
            tools: Tools::default(),
            hooks: Vec::new(),
            peers: Vec::new(),
            journal: None,
            options: AgentOptions::default(),
        }
    }

    /// Pursues a goal until the run stops.
    ///
    /// # Errors
    ///
    /// Those of [`Agent::start`].
    pub async fn run(&self, goal: &str) -> Result<Run> {
        self.start(&fresh_run_id(), goal, &|_| ()).await
    }
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("name", &self.name)
            .field("model", self.model.info())
            .field("tools", &self.tools)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
