//! What a person decides about a run that waits.

use corbie_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Judgement, RunEvent, ToolResult};
use super::policy::{Action, Rule};
use super::state::{CallStatus, RunState};
use super::{ASK_PERSON, Tools};

/// What a person decides. All but [`Decision::Say`] name a call by its id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Decision {
    /// The call may run, this once.
    Approve {
        /// The call.
        call: String,
    },
    /// The call may run, and so may all of the same tool for the rest of the run, or until text
    /// from outside comes in.
    ApproveTool {
        /// The call.
        call: String,
    },
    /// The call may run, and so may those with the same arguments for the rest of the run.
    ApproveAlike {
        /// The call.
        call: String,
    },
    /// The call may run with other arguments.
    Edit {
        /// The call.
        call: String,
        /// The arguments.
        arguments: Value,
    },
    /// The call must not run.
    Reject {
        /// The call.
        call: String,
        /// Why, in words for the model.
        reason: String,
    },
    /// The call need not run: this is its result. It also settles a call that was begun and not
    /// seen to end: it happened, with this result.
    Answer {
        /// The call.
        call: String,
        /// The result.
        result: String,
    },
    /// A call that was begun and not seen to end did not happen: it may run.
    Repeat {
        /// The call.
        call: String,
    },
    /// Something for the model: the answer to its question, or more about the goal.
    Say {
        /// What.
        text: String,
    },
}

impl Decision {
    /// The call it is about.
    pub fn call(&self) -> Option<&str> {
        match self {
            Self::Approve { call }
            | Self::ApproveTool { call }
            | Self::ApproveAlike { call }
            | Self::Edit { call, .. }
            | Self::Reject { call, .. }
            | Self::Answer { call, .. }
            | Self::Repeat { call } => Some(call),
            Self::Say { .. } => None,
        }
    }

    /// The same about another call.
    pub(super) fn about(mut self, other: &str) -> Self {
        match &mut self {
            Self::Approve { call }
            | Self::ApproveTool { call }
            | Self::ApproveAlike { call }
            | Self::Edit { call, .. }
            | Self::Reject { call, .. }
            | Self::Answer { call, .. }
            | Self::Repeat { call } => other.clone_into(call),
            Self::Say { .. } => {}
        }
        self
    }

    /// What it makes happen.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when no such call waits for it, or edited arguments do
    /// not fit the tool.
    pub(super) fn events(self, state: &RunState, tools: &Tools) -> Result<Vec<RunEvent>> {
        let judged = |call: &str, judgement| RunEvent::Judged {
            call: call.to_owned(),
            judgement,
        };
        let ended = |call: String, result: String| RunEvent::Ended {
            call,
            result: ToolResult::trusted(result),
        };
        Ok(match self {
            Self::Approve { call } => {
                waiting(state, &call, false)?;
                vec![judged(&call, Judgement::Allowed)]
            }
            Self::ApproveTool { call } => {
                let tool = Some(waiting(state, &call, false)?.name.clone());
                // Given before text from outside came in, it does not hold behind it.
                let rule = Rule {
                    tool,
                    tainted: Some(state.is_tainted()),
                    ..Rule::any(Action::Allow)
                };
                vec![
                    RunEvent::Granted { rule },
                    judged(&call, Judgement::Allowed),
                ]
            }
            Self::ApproveAlike { call } => {
                let rule = Rule::like(waiting(state, &call, false)?, Action::Allow);
                vec![
                    RunEvent::Granted { rule },
                    judged(&call, Judgement::Allowed),
                ]
            }
            Self::Edit { call, arguments } => {
                let mut edited = waiting(state, &call, false)?.clone();
                edited.arguments = arguments.clone();
                if let Some(complaint) = tools.complaint(&edited) {
                    return Err(Error::new(
                        ErrorKind::BadInput,
                        format!("call `{call}`"),
                        complaint,
                    ));
                }
                vec![judged(&call, Judgement::Edited(arguments))]
            }
            Self::Reject { call, reason } => {
                waiting(state, &call, false)?;
                let why = match reason.trim() {
                    "" => "A person refused this call.".to_owned(),
                    reason => format!("A person refused this call: {reason}"),
                };
                vec![judged(&call, Judgement::Refused(why))]
            }
            Self::Answer { call, result } => {
                waiting(state, &call, true)?;
                vec![ended(call, result)]
            }
            Self::Repeat { call } => {
                waiting(state, &call, true)?;
                vec![judged(&call, Judgement::Allowed)]
            }
            Self::Say { text } => {
                let asked = state.calls().iter().find(|it| {
                    it.call.name == ASK_PERSON && matches!(it.status, CallStatus::Asked(_))
                });
                match asked {
                    Some(question) => vec![ended(question.call.id.clone(), text)],
                    None if state.calls().is_empty() => vec![RunEvent::Told { text }],
                    None => {
                        let cause = "calls wait for a decision first";
                        return Err(Error::new(ErrorKind::BadInput, "run", cause));
                    }
                }
            }
        })
    }
}

/// The call of this id, if it waits for a person, or was begun and that is asked for.
fn waiting<'a>(state: &'a RunState, id: &str, or_begun: bool) -> Result<&'a corbie_core::ToolCall> {
    let fits = |status: &CallStatus| match status {
        CallStatus::Asked(_) => true,
        CallStatus::Begun { .. } => or_begun,
        _ => false,
    };
    let found = state
        .calls()
        .iter()
        .find(|it| it.call.id == id && fits(&it.status));
    found.map(|it| &it.call).ok_or_else(|| {
        let cause = "no call of this id waits for a decision";
        Error::new(ErrorKind::BadInput, format!("call `{id}`"), cause)
            .hint("the run's outcome lists those that do")
    })
}
