//! Memory as tools: remember, recall, forget.

use std::sync::Arc;

use corbie_core::{Effects, Error, ErrorKind, Invocation};
use serde_json::{Value, json};

use super::{Memory, NewNote};
use crate::FunctionTool;

/// The tools of a memory, for one scope: a model cannot name another.
#[derive(Debug, Clone)]
pub struct MemoryTools {
    /// The memory.
    pub memory: Arc<Memory>,
    /// What is written belongs to it.
    pub scope: String,
    /// Notes of these are recalled, too.
    pub also: Vec<String>,
    /// The most notes that are recalled at once.
    pub limit: usize,
    /// Whether a person is asked about every change, whatever a policy allows. Without it a policy
    /// may allow changes while no text from outside is in the conversation.
    pub approval: bool,
}

impl MemoryTools {
    /// Tools for this scope; a person is asked about every change.
    pub fn new(memory: Arc<Memory>, scope: impl Into<String>) -> Self {
        Self {
            memory,
            scope: scope.into(),
            also: Vec::new(),
            limit: 5,
            approval: true,
        }
    }

    /// `remember`, `recall` and `forget`.
    pub fn tools(&self) -> [FunctionTool; 3] {
        [self.remember(), self.recall(), self.forget()]
    }

    fn remember(&self) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {
                "text": {"type": "string", "description": "One fact, in a whole sentence"},
                "replaces": {"type": "integer", "description": "The id of a note that is wrong now"},
            },
            "required": ["text"],
            "additionalProperties": false,
        });
        let description = "Notes a fact that is worth knowing the next time. 记住以后有用的事实。";
        let own = self.clone();
        FunctionTool::new("remember", description, schema, move |run: Invocation| {
            let own = own.clone();
            async move {
                let note = NewNote {
                    replaces: run.arguments["replaces"].as_i64(),
                    outside: run.tainted,
                    key: Some(run.key.clone()),
                    ..NewNote::new(
                        own.scope,
                        run.arguments["text"].as_str().unwrap_or_default(),
                    )
                };
                let note = own.memory.remember(note).await?;
                Ok(format!("noted as {}", note.id).into())
            }
        })
        .with_effects(Effects {
            idempotent: true,
            trusted: true,
            approval: self.approval,
            ..Effects::default()
        })
    }

    fn recall(&self) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {"query": {"type": "string", "description": "What to know"}},
            "required": ["query"],
            "additionalProperties": false,
        });
        let description = "Finds what was noted earlier. 查找以前记下的事实。";
        let own = self.clone();
        FunctionTool::new("recall", description, schema, move |run: Invocation| {
            let own = own.clone();
            async move {
                let query = run.arguments["query"].as_str().unwrap_or_default();
                let also = own.also.iter().map(String::as_str);
                let scopes: Vec<&str> = std::iter::once(own.scope.as_str()).chain(also).collect();
                let notes = own.memory.recall(query, &scopes, own.limit).await?;
                if notes.iter().any(|note| note.outside) {
                    run.brings_outside_text();
                }
                if notes.is_empty() {
                    return Ok("Nothing is noted about that.".into());
                }
                serde_json::to_value(&notes)
                    .map_err(|error| Error::new(ErrorKind::Internal, "notes", error))
            }
        })
        .with_effects(Effects {
            read_only: true,
            idempotent: true,
            trusted: true,
            ..Effects::default()
        })
    }

    fn forget(&self) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {"id": {"type": "integer", "description": "The note's id"}},
            "required": ["id"],
            "additionalProperties": false,
        });
        let description = "Forgets a note for good. 永久忘记一条记录。";
        let own = self.clone();
        FunctionTool::new("forget", description, schema, move |run: Invocation| {
            let own = own.clone();
            async move {
                let id = run.arguments["id"].as_i64().unwrap_or_default();
                let said = match own.memory.forget(&own.scope, id)? {
                    true => "it is forgotten",
                    false => "there is no such note",
                };
                Ok(Value::from(said))
            }
        })
        .with_effects(Effects {
            destructive: true,
            idempotent: true,
            trusted: true,
            approval: self.approval,
            ..Effects::default()
        })
    }
}
