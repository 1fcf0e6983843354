//! The to-do list of a run.

use std::sync::{Arc, Mutex, PoisonError};

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{FunctionTool, Record, RunEvent, RunState};

/// The name of the tool.
const NAME: &str = "todo";
/// The most entries of a list.
const MAX_ENTRIES: usize = 200;
/// The most bytes of an entry.
const MAX_BYTES: usize = 1000;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Todo {
    /// What.
    pub text: String,
    /// Whether it is done.
    pub done: bool,
}

/// The to-do list of one run: its tool lets the model add to it, mark entries as done and see it,
/// and whoever holds a copy sees it, too.
///
/// It changes nothing outside the run, so nobody is asked about it; a run that is resumed gets its
/// list back from the journal.
#[derive(Debug, Clone, Default)]
pub struct TodoList(Arc<Mutex<Vec<Todo>>>);

impl TodoList {
    /// The list as it was at the end of a run's events.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let list = Self::default();
        let mut state = RunState::default();
        for record in records {
            if let RunEvent::Ended { call, result } = &record.event
                && !result.failed
            {
                let mut calls = state.calls().iter().map(|it| &it.call);
                if let Some(own) = calls.find(|it| it.id == *call && it.name == NAME) {
                    // What went well then goes well again.
                    drop(list.change(&own.arguments));
                }
            }
            state.apply(record);
        }
        list
    }

    /// Its entries, in order.
    pub fn entries(&self) -> Vec<Todo> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The tool `todo`.
    pub fn tool(&self) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": ["add", "done", "list"]},
                "text": {"type": "string", "description": "For add: what is to be done"},
                "number": {"type": "integer", "minimum": 1, "description": "For done: which"},
            },
            "required": ["action"],
            "additionalProperties": false,
        });
        let description = "Your own to-do list: add an entry, mark one as done, or list them. \
                           待办清单：添加、完成或列出。";
        let list = self.clone();
        FunctionTool::new(NAME, description, schema, move |run: Invocation| {
            let result = list.change(&run.arguments);
            async move { result }
        })
        .with_effects(Effects {
            read_only: true,
            trusted: true,
            ..Effects::default()
        })
    }

    /// Does what is asked and gives the list.
    fn change(&self, arguments: &Value) -> Result<Value> {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, "to-do list", cause));
        match arguments["action"].as_str() {
            Some("add") => {
                let text = arguments["text"].as_str().unwrap_or_default().trim();
                if text.is_empty() || text.len() > MAX_BYTES {
                    return refuse(format!("`text` must have 1 to {MAX_BYTES} bytes"));
                }
                if list.len() == MAX_ENTRIES {
                    return refuse(format!("it has {MAX_ENTRIES} entries, which is the most"));
                }
                list.push(Todo {
                    text: text.to_owned(),
                    done: false,
                });
            }
            Some("done") => {
                let number = arguments["number"].as_u64().unwrap_or(0);
                let index = usize::try_from(number).unwrap_or(0).checked_sub(1);
                let count = list.len();
                match index.and_then(|index| list.get_mut(index)) {
                    Some(entry) => entry.done = true,
                    None => return refuse(format!("`number` must be one of its {count} entries")),
                }
            }
            _ => {}
        }
        let line = |(index, entry): (usize, &Todo)| {
            let mark = if entry.done { "x" } else { " " };
            format!("{}. [{mark}] {}", index + 1, entry.text)
        };
        let lines: Vec<String> = list.iter().enumerate().map(line).collect();
        Ok(match lines.is_empty() {
            true => "The list is empty.".into(),
            false => lines.join("\n").into(),
        })
    }
}
