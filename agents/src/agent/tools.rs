//! The tools of an agent: found by name, their arguments checked, run within limits.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result, Tool, ToolCall, ToolSpec};
use futures::FutureExt;
use serde_json::Value;

use super::arguments::Arguments;
use super::event::ToolResult;
use super::offload::{Offload, READ_RESULT};
use super::outcome::Outcome;
use super::{ASK_PERSON, HAND_OFF};

/// The most complaints about one call's arguments.
const MAX_COMPLAINTS: usize = 5;

/// Tools by name.
#[derive(Clone, Default)]
pub struct Tools {
    all: Vec<Entry>,
    by_name: HashMap<String, usize>,
    offload: Option<Arc<Offload>>,
}

#[derive(Clone)]
struct Entry {
    tool: Arc<dyn Tool>,
    arguments: Arc<Arguments>,
}

/// How a run of a tool ended.
pub(crate) enum Ran {
    /// With this.
    Ended(ToolResult),
    /// Nobody knows whether its effect happened.
    Unknown(String),
    /// Another agent's run waits for a person.
    Waits(Outcome),
    /// Another agent's run cannot go on.
    Broke(Error),
}

impl Tools {
    /// These tools.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a name that is taken or has other characters than
    /// letters, digits, `_` and `-`, and for a schema that is none;
    /// [`Unsupported`](ErrorKind::Unsupported) and [`LimitExceeded`](ErrorKind::LimitExceeded) for
    /// a schema that leads out of itself or costs too much ([`corbie_core::schema`]).
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self> {
        let mut all = Self::default();
        tools.into_iter().try_for_each(|tool| all.add(tool))?;
        Ok(all)
    }

    /// Adds a tool.
    ///
    /// # Errors
    ///
    /// Those of [`Tools::new`].
    pub fn add(&mut self, tool: Arc<dyn Tool>) -> Result<()> {
        let spec = tool.spec();
        let subject = || format!("tool `{}`", spec.name);
        let refuse = |why: String| Err(Error::new(ErrorKind::BadInput, subject(), why));
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if spec.name.is_empty() || spec.name.len() > 64 || !spec.name.chars().all(fits) {
            return refuse("a name has 1 to 64 letters, digits, `_` and `-`".into());
        }
        if [ASK_PERSON, HAND_OFF].contains(&spec.name.as_str()) {
            return refuse("agents have a tool of their own of this name".into());
        }
        if self.by_name.contains_key(&spec.name) {
            return refuse("another tool has this name".into());
        }
        let arguments = Arc::new(Arguments::new(&subject(), &spec.parameters)?);
        self.by_name.insert(spec.name.clone(), self.all.len());
        self.all.push(Entry { tool, arguments });
        Ok(())
    }

    /// Keeps results that are too long for a model whole, and adds the tool `read_result`, by
    /// which the model pages through them.
    ///
    /// # Errors
    ///
    /// Those of [`Tools::add`].
    pub fn offload(&mut self, offload: Offload) -> Result<()> {
        let offload = Arc::new(offload);
        self.add(Arc::new(Arc::clone(&offload).reader()))?;
        self.offload = Some(offload);
        Ok(())
    }

    /// What a model must know of them, in the order they were added.
    pub fn specs(&self) -> impl Iterator<Item = &ToolSpec> {
        self.all.iter().map(|entry| entry.tool.spec())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What the tool of this name does to the world; the worst for one that is not there.
    pub fn effects(&self, name: &str) -> Effects {
        self.find(name)
            .map(|entry| entry.tool.effects())
            .unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.by_name.get(name).map(|index| &self.all[*index])
    }

    /// What is wrong with a call, in words for the model; `None`: nothing.
    pub fn complaint(&self, call: &ToolCall) -> Option<String> {
        let Some(entry) = self.find(&call.name) else {
            let names: Vec<&str> = self.specs().map(|spec| spec.name.as_str()).collect();
            return Some(format!(
                "There is no tool `{}`. The tools are: {}.",
                call.name,
                names.join(", ")
            ));
        };
        let errors = entry.arguments.complaints(&call.arguments, MAX_COMPLAINTS);
        (!errors.is_empty())
            .then(|| format!("The arguments do not fit the tool: {}.", errors.join("; ")))
    }

    /// Runs a call that has been checked, for `usual` unless the tool says otherwise, never longer
    /// than what is `left`. Of a result of more than `most` bytes the model gets the beginning.
    pub(crate) async fn run(
        &self,
        name: &str,
        run: Invocation,
        (usual, left): (Duration, Duration),
        most: usize,
    ) -> Ran {
        let Some(entry) = self.find(name) else {
            return Ran::Ended(ToolResult::failure(format!("There is no tool `{name}`.")));
        };
        let effects = entry.tool.effects();
        let timeout = entry.tool.timeout().unwrap_or(usual).min(left);
        let asked = run.clone();
        let work = AssertUnwindSafe(async { entry.tool.call(run).await }).catch_unwind();
        let ended = |content: String, failed| {
            let trusted = effects.trusted && !asked.has_outside_text();
            let content = match &self.offload {
                Some(offload) if name != READ_RESULT => {
                    offload.keep(&asked.key, content, most, trusted)
                }
                _ => cut(content, most),
            };
            Ran::Ended(ToolResult {
                content,
                failed,
                trusted,
                spent: None,
            })
        };
        let failure = match tokio::time::timeout(timeout, work).await {
            Ok(Ok(Ok(value))) => return ended(text(value), false),
            Ok(Ok(Err(error))) => return ended(format!("Error: {error}"), true),
            Ok(Err(_)) => "it broke down (a bug in the tool)".to_owned(),
            Err(_) => format!("it took longer than {} s", timeout.as_secs_f32()),
        };
        match effects.read_only || effects.idempotent {
            true => Ran::Ended(ToolResult::failure(format!("Error: {failure}"))),
            false => Ran::Unknown(failure),
        }
    }
}

impl std::fmt::Debug for Tools {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.specs().map(|spec| &spec.name))
            .finish()
    }
}

/// A result as a model reads it.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The beginning of a long result.
pub(super) fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = text.floor_char_boundary(most);
        let rest = text.len() - end;
        text.truncate(end);
        text.push_str(&format!("\n[cut off: {rest} more bytes]"));
    }
    text
}
