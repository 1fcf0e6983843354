//! Who does tasks: tools, models and agents, by the kinds they declare.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, FinishReason, Result,
    Role, TokenCounter, Tool, ToolCall, Usage,
};
use futures::StreamExt;
use serde_json::Value;

use super::task::Kind;
use crate::plan::child::Observation;
use crate::{Agent, Tools};

/// Somebody who does tasks of some kinds. Those that come first are asked first.
///
/// Whatever it is, it works in the run of an agent: its policy judges the calls, its journal keeps
/// them, and a tool's effect happens once.
#[derive(Debug, Clone)]
pub struct Worker {
    /// The name: letters, digits, `_` and `-`.
    pub name: String,
    /// The kinds of tasks it can do.
    pub abilities: Vec<String>,
    /// What does them.
    pub agent: Agent,
    /// The tool that is called with a task's arguments; `None`: the agent is told them.
    tool: Option<String>,
}

impl Worker {
    /// A tool: it is called with the arguments of a task. Whether that may be is for the policy
    /// of [`Worker::agent`] to say.
    ///
    /// # Errors
    ///
    /// Those of [`Tools::new`].
    pub fn tool(tool: Arc<dyn Tool>, abilities: &[&str]) -> Result<Self> {
        let name = tool.spec().name.clone();
        let mut agent = Agent::new(Arc::new(Caller::new(&name, Value::Null)));
        agent.tools = Tools::new([tool])?;
        let mut worker = Self::agent(&name, agent, abilities);
        worker.tool = Some(name);
        Ok(worker)
    }

    /// A chat model, with instructions for its system message.
    pub fn model(
        name: &str,
        model: Arc<dyn ChatModel>,
        instructions: &str,
        abilities: &[&str],
    ) -> Self {
        let mut agent = Agent::new(model);
        agent.options.instructions = instructions.to_owned();
        Self::agent(name, agent, abilities)
    }

    /// An agent.
    pub fn agent(name: &str, agent: Agent, abilities: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            abilities: abilities.iter().map(|it| (*it).to_owned()).collect(),
            agent,
            tool: None,
        }
    }

    /// Whether it can do tasks of this kind.
    pub(super) fn can(&self, kind: &str) -> bool {
        self.abilities.iter().any(|ability| ability == kind)
    }

    /// The agent that does a task, and what it is told.
    pub(super) fn prepare(&self, kind: &Kind, arguments: &Value) -> (Agent, String) {
        let mut agent = self.agent.clone();
        let mut goal = kind.description.clone();
        match &self.tool {
            Some(tool) => agent.model = Arc::new(Caller::new(tool, arguments.clone())),
            None => {
                for (name, value) in arguments.as_object().into_iter().flatten() {
                    let value = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    goal.push_str(&format!("\n{name}: {value}"));
                }
            }
        }
        (agent, goal)
    }

    /// The result of a task, or why it failed.
    pub(super) fn verdict(&self, observation: &Observation) -> Result<String, String> {
        let answer = observation.verdict()?;
        match (&self.tool, &observation.last) {
            (None, _) => Ok(answer.to_owned()),
            (Some(_), Some(result)) if !result.failed => Ok(result.content.clone()),
            // What the tool, its checks or the policy said against it.
            (Some(_), _) => Err(answer.to_owned()),
        }
    }
}

/// A model that calls one tool and says what it gave.
struct Caller {
    info: ChatModelInfo,
    tool: String,
    arguments: Value,
}

impl Caller {
    fn new(tool: &str, arguments: Value) -> Self {
        Self {
            info: ChatModelInfo {
                model: format!("tool:{tool}"),
                context_length: usize::MAX / 2,
            },
            tool: tool.to_owned(),
            arguments,
        }
    }
}

impl ChatModel for Caller {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        None
    }

    fn prompt_tokens(&self, _: &ChatRequest) -> Result<usize> {
        Ok(0)
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        let mut messages = request.messages.iter().rev();
        let (event, reason) = match messages.find(|it| it.role == Role::Tool) {
            None => {
                let call = ToolCall {
                    id: "task".into(),
                    name: self.tool.clone(),
                    arguments: self.arguments.clone(),
                };
                (ChatEvent::ToolCall(call), FinishReason::ToolCalls)
            }
            Some(result) if result.content.trim().is_empty() => {
                (ChatEvent::Text("–".into()), FinishReason::Stop)
            }
            Some(result) => (ChatEvent::Text(result.content.clone()), FinishReason::Stop),
        };
        let usage = Usage::default();
        let events = [event, ChatEvent::Finish { reason, usage }];
        Box::pin(async move { Ok(futures::stream::iter(events).map(Ok).boxed()) })
    }
}
