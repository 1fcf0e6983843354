//! What the planners have in common: how they are limited, and what came of a run.

use serde::{Deserialize, Serialize};

use crate::{AgentEvent, Budget, Outcome, Spent};

/// How a planner works.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanOptions {
    /// The limits of the whole run, those of its agents' runs among them.
    pub budget: Budget,
    /// The most steps of one plan.
    pub steps: usize,
    /// How often a plan may be revised, a draft rewritten.
    pub revisions: usize,
    /// How often a model is asked again when its plan does not fit the form.
    pub repairs: usize,
    /// How many tasks may be done side by side.
    pub parallel: usize,
    /// The most tokens of one plan, and of the last answer.
    pub max_tokens: usize,
    /// The most bytes of one result that a later prompt is given.
    pub result_bytes: usize,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            budget: Budget {
                steps: Some(200),
                ..Budget::default()
            },
            steps: 8,
            revisions: 2,
            repairs: 2,
            parallel: 4,
            max_tokens: 512,
            result_bytes: 2 << 10,
        }
    }
}

/// A planner's run up to where it stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRun {
    /// Names it in the journal.
    pub id: String,
    /// How it stopped.
    pub outcome: Outcome,
    /// The answer, as far as it goes: written from what was done, checked against it, and with
    /// what was not done stated behind it. Empty when nothing was done.
    pub answer: String,
    /// What was to be done and what became of it, in the order it was begun.
    pub steps: Vec<Step>,
    /// Sentences of the model that were taken out of its answer: what was done does not bear
    /// them out.
    pub struck: Vec<String>,
    /// The run of an agent that waits for a person: resume it, then start this one again.
    pub waits_for: Option<String>,
    /// What it used, its agents' runs included.
    pub spent: Spent,
}

/// One thing that was to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Names it in the run.
    pub id: String,
    /// What was to be done.
    pub text: String,
    /// What became of it.
    pub status: Status,
    /// Who tried it before and failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

/// A worker's failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// The worker.
    pub worker: String,
    /// What happened.
    pub why: String,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not begun, or not ended.
    Open,
    /// It was done.
    Done {
        /// With this result.
        result: String,
    },
    /// It failed.
    Failed {
        /// What happened.
        why: String,
    },
    /// It was not tried.
    Skipped {
        /// Why.
        why: String,
    },
}

impl Status {
    /// The result of what was done.
    pub fn result(&self) -> Option<&str> {
        match self {
            Self::Done { result } => Some(result),
            _ => None,
        }
    }

    /// Why it was not done.
    pub fn trouble(&self) -> Option<&str> {
        match self {
            Self::Failed { why } | Self::Skipped { why } => Some(why),
            _ => None,
        }
    }
}

/// What whoever watches a planner sees.
#[derive(Debug, Clone, PartialEq)]
pub enum PlanEvent {
    /// There is a plan, or a new one.
    Planned {
        /// What is to be done, in order.
        steps: Vec<String>,
        /// How many plans there were before.
        revision: usize,
    },
    /// A step begins.
    Begun {
        /// The step's id.
        step: String,
        /// What is to be done.
        text: String,
    },
    /// Something happened in the run of an agent.
    Agent {
        /// That run.
        run: String,
        /// What happened.
        event: AgentEvent,
    },
    /// A step ended.
    Ended(Step),
    /// The run stopped.
    Stopped(Outcome),
}

/// Watches a planner's run.
pub type PlanWatcher<'a> = &'a (dyn Fn(PlanEvent) + Send + Sync);
