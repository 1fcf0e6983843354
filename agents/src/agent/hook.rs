//! Stepping in before and after the model and the tools.

use std::sync::Arc;

use corbie_core::{BoxFuture, ChatRequest, Message, Result, Tool, ToolCall};
use serde_json::Value;

use super::event::ToolResult;
use super::state::RunState;
use super::{Agent, AgentOptions};

/// What a [`Hook`] says of a call. It can make a policy stricter, never looser.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// Nothing: the policy decides.
    Pass,
    /// It gets these arguments; they are checked, and the policy decides about them.
    Amend(Value),
    /// A person is asked, for this reason, unless the policy refuses it.
    Ask(String),
    /// It does not run, for this reason; the model is told.
    Refuse(String),
}

/// Steps in before and after the model and the tools. All methods do nothing by default; an error
/// of any ends the run as [`Failed`](super::Outcome::Failed), before the model or the tool is
/// asked or what came of it is written down.
///
/// ```
/// use corbie_agents::{Hook, RunState, Ruling};
/// use corbie_core::{BoxFuture, Result, ToolCall};
///
/// /// Nobody pays more than a hundred.
/// struct Thrift;
///
/// impl Hook for Thrift {
///     fn before_tool<'a>(&'a self, _: &'a RunState, call: &'a ToolCall) -> BoxFuture<'a, Result<Ruling>> {
///         let dear = call.name == "pay" && call.arguments["sum"].as_f64().is_some_and(|it| it > 100.0);
///         let verdict = if dear { Ruling::Refuse("more than a hundred".into()) } else { Ruling::Pass };
///         Box::pin(async move { Ok(verdict) })
///     }
/// }
/// ```
pub trait Hook: Send + Sync {
    /// May change what the model is asked: the messages, the tools it sees, the sampling.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn before_model<'a>(
        &'a self,
        _run: &'a RunState,
        request: ChatRequest,
    ) -> BoxFuture<'a, Result<ChatRequest>> {
        Box::pin(async move { Ok(request) })
    }

    /// May change the model's answer before it is written down. Who watches the run has seen it.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn after_model<'a>(
        &'a self,
        _run: &'a RunState,
        reply: Message,
    ) -> BoxFuture<'a, Result<Message>> {
        Box::pin(async move { Ok(reply) })
    }

    /// Looks at a call before the policy does. After a crash it may be asked again.
    ///
    /// # Errors
    ///
    /// Ends the run.
    fn before_tool<'a>(
        &'a self,
        _run: &'a RunState,
        _call: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Ruling>> {
        Box::pin(async { Ok(Ruling::Pass) })
    }

    /// May change what came of a call before it is written down and the model reads it.
    ///
    /// # Errors
    ///
    /// Ends the run. The effect of the call has happened and will be asked about.
    fn after_tool<'a>(
        &'a self,
        _run: &'a RunState,
        _call: &'a ToolCall,
        result: ToolResult,
    ) -> BoxFuture<'a, Result<ToolResult>> {
        Box::pin(async move { Ok(result) })
    }
}

/// What belongs together: tools, how to use them, and what watches over them.
#[derive(Clone, Default)]
pub struct Bundle {
    /// Added to the agent's instructions.
    pub instructions: String,
    /// Added to its tools.
    pub tools: Vec<Arc<dyn Tool>>,
    /// Added to its hooks.
    pub hooks: Vec<Arc<dyn Hook>>,
}

impl Agent {
    /// The agent with a bundle added.
    ///
    /// # Errors
    ///
    /// Those of [`Tools::add`](super::Tools::add).
    pub fn with(mut self, bundle: Bundle) -> Result<Self> {
        for tool in bundle.tools {
            self.tools.add(tool)?;
        }
        self.hooks.extend(bundle.hooks);
        let AgentOptions { instructions, .. } = &mut self.options;
        if !instructions.is_empty() && !bundle.instructions.is_empty() {
            instructions.push_str("\n\n");
        }
        instructions.push_str(&bundle.instructions);
        Ok(self)
    }
}
