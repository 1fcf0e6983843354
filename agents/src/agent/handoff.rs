//! Handing the conversation to another agent.

use corbie_core::{Error, ErrorKind, Result, ToolCall, ToolSpec};
use serde_json::{Value, json};

use super::Agent;
use super::event::{RunEvent, ToolResult};
use super::runner::Live;
use super::state::RunState;

/// The name of the tool by which a model hands the conversation to another agent.
pub const HAND_OFF: &str = "hand_off";

/// An agent that may take the conversation over: with the same messages, its own model, tools,
/// instructions, hooks and policy, and the budget and journal of the run.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// What it is for, in words for a model.
    pub about: String,
    /// The agent. Its own peers are not asked.
    pub agent: Agent,
}

impl Agent {
    /// The agent that has the conversation.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](ErrorKind::Mismatch) when it is none of this agent's peers.
    pub(super) fn on_duty(&self, state: &RunState) -> Result<&Self> {
        let Some(name) = state.active().filter(|name| *name != self.name) else {
            return Ok(self);
        };
        let found = self.peers.iter().find(|peer| peer.name == name);
        found.map(|peer| &peer.agent).ok_or_else(|| {
            let cause = "it has the conversation, and is no peer of this agent";
            Error::new(ErrorKind::Mismatch, format!("agent `{name}`"), cause)
                .hint("resume the run with the agents it was begun with")
        })
    }

    /// The tool by which whoever has the conversation hands it on; `None`: there is nobody else.
    pub(super) fn hand_off_spec(&self, state: &RunState) -> Option<ToolSpec> {
        if self.peers.is_empty() {
            return None;
        }
        let others = self.others(state);
        let about: Vec<String> = others
            .iter()
            .map(|(name, about)| format!("{name}: {about}"))
            .collect();
        let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
        Some(ToolSpec {
            name: HAND_OFF.into(),
            description: format!(
                "Hands the conversation to another agent, who answers in your place. {}",
                about.join("; ")
            ),
            parameters: json!({
                "type": "object",
                "properties": {"to": {"type": "string", "enum": names}},
                "required": ["to"],
                "additionalProperties": false,
            }),
        })
    }

    /// Who does not have the conversation, with what they are for.
    fn others(&self, state: &RunState) -> Vec<(&str, &str)> {
        let own = (self.name.as_str(), "the agent that began");
        let peers = self
            .peers
            .iter()
            .map(|peer| (peer.name.as_str(), peer.about.as_str()));
        let active = state.active().unwrap_or(&self.name);
        std::iter::once(own)
            .chain(peers)
            .filter(|(name, _)| *name != active)
            .collect()
    }
}

impl Live<'_> {
    /// Hands the conversation over. After a crash in between, it is handed over once more.
    pub(super) async fn hand_off(&mut self, call: &ToolCall) -> Result<()> {
        let (event, result) = match self.recipient(call) {
            Ok(to) => {
                let told = format!("The conversation is now with {to}.");
                (Some(RunEvent::HandedOff { to }), ToolResult::trusted(told))
            }
            Err(complaint) => (None, ToolResult::failure(complaint)),
        };
        if let Some(event) = event {
            self.record(event).await?;
        }
        let call = call.id.clone();
        self.record(RunEvent::Ended { call, result }).await
    }

    /// Whom a call hands the conversation to, or what is wrong with it.
    pub(super) fn recipient(&self, call: &ToolCall) -> Result<String, String> {
        let others = self.root.others(&self.state);
        match &call.arguments["to"] {
            Value::String(to) if others.iter().any(|(name, _)| name == to) => Ok(to.clone()),
            _ => {
                let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
                Err(format!("`to` must be one of: {}.", names.join(", ")))
            }
        }
    }
}
