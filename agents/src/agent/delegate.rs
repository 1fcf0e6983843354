//! An agent as a tool of another.

use std::sync::Arc;
use std::time::Duration;

use corbie_core::{BoxFuture, Effects, Error, ErrorKind, Invocation, Result, Tool, ToolSpec};
use serde_json::{Value, json};

use super::event::RunEvent;
use super::family::Kin;
use super::outcome::Outcome;
use super::{Agent, AgentEvent, Run};

/// An agent as a [`Tool`]: it works on a task in a conversation of its own and gives its answer.
///
/// Its run is named by the key of the call and kept in the journal of the run that calls, so it
/// goes on where it stopped. What its own policy asks a person, the run that calls asks, under ids
/// like `call_0/call_2`; text from outside taints the task it gets, and its answer. It works
/// within what is left of the budget of the run that calls, and depth and number of such runs are
/// limited ([`AgentOptions::max_depth`](super::AgentOptions::max_depth),
/// [`max_sub_runs`](super::AgentOptions::max_sub_runs)). The call itself counts as read-only:
/// what the agent's own tools may do, its own policy decides.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Agent, Delegate, Tools};
/// use corbie_core::Tool;
/// use corbie_core::testing::{ScriptedChatModel, call, says};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> corbie_core::Result<()> {
/// let writer = Agent::new(Arc::new(ScriptedChatModel::new(["鸦不是乌鸦。"])));
/// let delegate: Arc<dyn Tool> = Arc::new(Delegate::new("writer", "Writes Chinese.", writer));
/// let model = ScriptedChatModel::new([call("writer", json!({"task": "Write."})), says("Done.")]);
/// let agent = Agent { tools: Tools::new([delegate])?, ..Agent::new(Arc::new(model)) };
/// let run = agent.run("Have something written.").await?;
/// assert_eq!((run.spent.steps, run.results()), (3, vec!["鸦不是乌鸦。"]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Delegate {
    spec: ToolSpec,
    agent: Agent,
}

/// How long such a call may take where the run that calls has no limit of time.
const LONG: Duration = Duration::from_secs(24 * 60 * 60);

impl Delegate {
    /// A tool of this name that has `agent` work on a task.
    pub fn new(name: impl Into<String>, description: impl Into<String>, agent: Agent) -> Self {
        let parameters = json!({
            "type": "object",
            "properties": {"task": {
                "type": "string",
                "description": "What to do, with all that must be known for it",
            }},
            "required": ["task"],
            "additionalProperties": false,
        });
        Self {
            spec: ToolSpec {
                name: name.into(),
                description: description.into(),
                parameters,
            },
            agent,
        }
    }

    /// Begins the run of the call, or goes on with it.
    async fn run(&self, call: &Invocation, kin: Option<&Arc<Kin>>) -> Result<Run> {
        let mut agent = self.agent.clone();
        if agent.journal.is_none() {
            agent.journal = kin.and_then(|kin| kin.journal.clone());
        }
        let watch = |event: AgentEvent| {
            if let Some(text) = told(&event) {
                call.report(&text);
            }
        };
        let known = match &agent.journal {
            Some(journal) => !journal.read(&call.key, 0).await?.is_empty(),
            None => false,
        };
        if known {
            let decisions = kin.map(|kin| kin.decisions()).unwrap_or_default();
            return agent.continue_as(&call.key, decisions, &watch, kin).await;
        }
        let started = RunEvent::Started {
            version: super::JOURNAL_VERSION,
            goal: call.arguments["task"].as_str().unwrap_or_default().into(),
            tainted: kin.is_some_and(|kin| kin.tainted),
        };
        agent.begin_as(&call.key, started, &watch, kin).await
    }
}

impl Tool for Delegate {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn effects(&self) -> Effects {
        Effects {
            read_only: true,
            idempotent: true,
            ..Effects::default()
        }
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.agent.options.budget.time.unwrap_or(LONG))
    }

    fn call(&self, call: Invocation) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let kin = call.context::<Kin>();
            if let Some(kin) = &kin {
                kin.family
                    .begin(kin.depth + 1)
                    .map_err(|cause| Error::new(ErrorKind::LimitExceeded, self.subject(), cause))?;
            }
            let run = match (self.run(&call, kin.as_ref()).await, &kin) {
                (Ok(run), _) => run,
                (Err(error), None) => return Err(error),
                (Err(error), Some(kin)) => {
                    kin.give(|back| back.broke = Some(error));
                    return Ok(Value::Null);
                }
            };
            if let Some(kin) = &kin {
                kin.give(|back| {
                    back.spent = Some(run.spent);
                    back.trusted = !run.tainted;
                });
            }
            self.answer(run, kin.as_ref())
        })
    }
}

impl Delegate {
    fn subject(&self) -> String {
        format!("agent `{}`", self.spec.name)
    }

    /// What came of a run, for the model that asked for it.
    fn answer(&self, run: Run, kin: Option<&Arc<Kin>>) -> Result<Value> {
        let said = || {
            let last = run.messages.iter().rev();
            let mut last = last.filter(|it| it.role == corbie_core::Role::Assistant);
            let text = last.find_map(|it| Some(it.content.trim()).filter(|text| !text.is_empty()));
            text.map_or(String::new(), |text| format!("; its last words: {text}"))
        };
        let (kind, cause) = match run.outcome {
            Outcome::Done {
                value: Some(value), ..
            } => return Ok(value),
            Outcome::Done { answer, .. } => return Ok(answer.into()),
            waits @ (Outcome::NeedsApproval { .. } | Outcome::NeedsInput { .. }) => match kin {
                Some(kin) => {
                    kin.give(|back| back.waits = Some(waits));
                    return Ok(Value::Null);
                }
                None => (
                    ErrorKind::Unavailable,
                    "it waits for a person, and nobody can be asked".to_owned(),
                ),
            },
            Outcome::Stuck { ref why } => (
                ErrorKind::Unavailable,
                format!("it is stuck: {why}{}", said()),
            ),
            Outcome::BudgetExceeded { .. } => (
                ErrorKind::LimitExceeded,
                format!("its budget is spent{}", said()),
            ),
            Outcome::Refused { why } => (ErrorKind::Unavailable, format!("it refuses: {why}")),
            Outcome::Failed { why, .. } => (ErrorKind::Unavailable, format!("it failed: {why}")),
        };
        Err(Error::new(kind, self.subject(), cause))
    }
}

/// What whoever watches the run that calls is told.
fn told(event: &AgentEvent) -> Option<String> {
    match event {
        AgentEvent::Call(call) => Some(format!("→ {}({})", call.name, call.arguments)),
        AgentEvent::Progress { text, .. } => Some(format!("… {text}")),
        AgentEvent::Result { result, .. } => {
            let mark = if result.failed { "✗" } else { "←" };
            Some(format!("{mark} {}", result.content))
        }
        AgentEvent::Nudged(text) => Some(format!("! {text}")),
        _ => None,
    }
}
