//! Scripted models, tools and journals.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::{Agent, FunctionTool, Tools};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{Effects, Error, ErrorKind, Invocation, Message, Tool};
use serde_json::{Value, json};

pub use corbie_core::testing::call;

pub const READ: Effects = Effects::READ;

/// A model that says these texts.
pub fn says(texts: &[&str]) -> Arc<ScriptedChatModel> {
    Arc::new(ScriptedChatModel::new(texts.iter().copied()))
}

/// A schema of one text.
pub fn one(name: &str) -> Value {
    json!({
        "type": "object",
        "properties": {name: {"type": "string"}},
        "required": [name],
        "additionalProperties": false,
    })
}

/// A tool that answers by a function of its text.
pub fn tool(
    name: &str,
    effects: Effects,
    work: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
) -> Arc<dyn Tool> {
    let subject = format!("service `{name}`");
    let run = move |run: Invocation| {
        let result = work(run.arguments["text"].as_str().unwrap_or_default());
        let result = result
            .map(Value::String)
            .map_err(|why| Error::new(ErrorKind::Unavailable, subject.as_str(), why));
        async move { result }
    };
    Arc::new(FunctionTool::new(name, name, one("text"), run).with_effects(effects))
}

/// An agent of a script, with these tools.
pub fn agent(script: Vec<Message>, tools: Vec<Arc<dyn Tool>>) -> (Agent, Arc<ScriptedChatModel>) {
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(100_000));
    let mut agent = Agent::new(model.clone());
    agent.tools = Tools::new(tools).unwrap();
    (agent, model)
}
