//! What happens in a run, as its journal keeps it.

use corbie_core::{FinishReason, Message, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outcome::{Outcome, Spent};
use super::policy::Rule;

/// The version of the journal's format.
pub const JOURNAL_VERSION: u32 = 1;

/// One entry of a run's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
    /// Milliseconds of work since the entry before; waiting for people does not count.
    #[serde(default)]
    pub millis: u64,
}

/// What happens in a run. A run is a fold over these ([`RunState`](super::RunState)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunEvent {
    /// It began.
    Started {
        /// The version of the format.
        version: u32,
        /// What is to be reached.
        goal: String,
        /// Whether the goal holds text from outside, such as passages of documents.
        tainted: bool,
    },
    /// It is a copy of the beginning of another run, which follows.
    Forked {
        /// The version of the format.
        version: u32,
        /// The other run.
        from: String,
        /// Answers of the model that are copied.
        steps: usize,
        /// Events that are copied.
        events: usize,
    },
    /// The model answered.
    Replied {
        /// Its answer, calls and thoughts among it.
        message: Message,
        /// Why it ended.
        finish: FinishReason,
        /// What it cost.
        usage: Usage,
        /// How many calls of the answer were too many and are not in it.
        #[serde(default, skip_serializing_if = "is_zero")]
        dropped: usize,
    },
    /// It was decided about a call.
    Judged {
        /// The call's id.
        call: String,
        /// What was decided.
        judgement: Judgement,
    },
    /// A hook gave a call other arguments, before it was decided about.
    Amended {
        /// The call's id.
        call: String,
        /// The arguments.
        arguments: Value,
    },
    /// A person allowed calls of a kind for the rest of the run.
    Granted {
        /// Which.
        rule: Rule,
    },
    /// A call that may change something begins; written before it does.
    Begun {
        /// The call's id.
        call: String,
        /// The key of the effect.
        key: String,
    },
    /// A call ended.
    Ended {
        /// The call's id.
        call: String,
        /// What came of it.
        result: ToolResult,
    },
    /// The model was told that it makes no progress.
    Nudged {
        /// In these words.
        text: String,
    },
    /// Another agent takes the conversation over.
    HandedOff {
        /// Its name.
        to: String,
    },
    /// Old messages are read as this summary from now on.
    Summarised {
        /// How many messages behind the goal.
        messages: usize,
        /// The summary.
        text: String,
        /// What making it cost.
        usage: Usage,
    },
    /// A person said something more.
    Told {
        /// What.
        text: String,
    },
    /// The run stopped, for good or until it is resumed.
    Stopped {
        /// With what.
        outcome: Outcome,
    },
    /// It goes on after a stop.
    Resumed,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What is decided about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// It may run.
    Allowed,
    /// A person must be asked, for this reason.
    Asked(String),
    /// It may run with other arguments.
    Edited(Value),
    /// It must not run, for this reason; the model is told.
    Refused(String),
}

/// What came of a call, as the model reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// What the model reads.
    pub content: String,
    /// Whether the tool failed, or was not run.
    #[serde(default)]
    pub failed: bool,
    /// Whether the content is the application's own words.
    #[serde(default)]
    pub trusted: bool,
    /// What another agent used to make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

impl ToolResult {
    /// The application's own words.
    pub fn trusted(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            failed: false,
            trusted: true,
            spent: None,
        }
    }

    /// What the model is told when a tool did not do what it asked.
    pub fn failure(content: impl Into<String>) -> Self {
        Self {
            failed: true,
            ..Self::trusted(content)
        }
    }
}
