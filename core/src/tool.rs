//! Acting: functions that a model may call.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, Result};

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names this call within the conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, an object by the tool's schema.
    pub arguments: Value,
}

/// What a model must know of a tool to call it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name: letters, digits, `_` and `-`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// What running a tool does to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Effects {
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// It sends data out of this process.
    pub egress: bool,
    /// Running it twice is the same as running it once.
    pub idempotent: bool,
}

/// A function that a model may call.
pub trait Tool: Send + Sync {
    /// What the model must know.
    fn spec(&self) -> &ToolSpec;

    /// What running it does to the world. Unless it says otherwise: anything.
    fn effects(&self) -> Effects {
        Effects::default()
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// An error is shown to the model, which may mend its arguments.
    fn call(&self, arguments: Value) -> BoxFuture<'_, Result<Value>>;
}
