//! The runs of agents that a planner begins.

use std::sync::Arc;
use std::time::Duration;

use corbie_core::{ErrorKind, Journal, Result};
use serde::{Deserialize, Serialize};

use super::log::Log;
use super::run::{PlanEvent, PlanWatcher, Status};
use crate::{
    Agent, Budget, JOURNAL_VERSION, Outcome, Record, RunEvent, RunState, Spent, ToolResult, history,
};

/// What came of an agent's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Observation {
    pub outcome: Outcome,
    /// Whether text from outside is in it.
    pub tainted: bool,
    pub spent: Spent,
    /// What came of its last call.
    pub last: Option<ToolResult>,
}

impl Observation {
    /// Whether a person must decide before it goes on.
    pub fn waits(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::NeedsApproval { .. } | Outcome::NeedsInput { .. }
        )
    }

    /// What became of the step that it was for.
    pub fn status(&self) -> Status {
        match self.verdict() {
            _ if self.waits() => Status::Open,
            Ok(result) => Status::Done {
                result: result.to_owned(),
            },
            Err(why) => Status::Failed { why },
        }
    }

    /// The answer, or what went wrong.
    pub fn verdict(&self) -> Result<&str, String> {
        match &self.outcome {
            Outcome::Done { answer, .. } => Ok(answer),
            Outcome::Stuck { why } | Outcome::Refused { why } | Outcome::Failed { why, .. } => {
                Err(why.clone())
            }
            Outcome::BudgetExceeded { limit } => {
                let limit = serde_json::to_value(limit).unwrap_or_default();
                Err(format!(
                    "the limit of {} was reached",
                    limit.as_str().unwrap_or("work").replace('_', " ")
                ))
            }
            Outcome::NeedsApproval { .. } | Outcome::NeedsInput { .. } => {
                Err("it waits for a person".to_owned())
            }
        }
    }
}

/// What an agent is to do.
pub(super) struct Errand<'a> {
    pub agent: &'a Agent,
    /// Names it in the planner's run.
    pub name: &'a str,
    pub goal: &'a str,
    /// Whether the goal holds text from outside.
    pub tainted: bool,
    /// What is left of the planner's budget.
    pub left: Budget,
}

impl Log {
    /// Has an agent do something, unless that is done already. A run that waits for a person is
    /// not kept: it is looked at again the next time.
    pub async fn errand(&self, errand: Errand<'_>, watch: PlanWatcher<'_>) -> Result<Observation> {
        if let Some(known) = self.known(errand.name)? {
            return Ok(known);
        }
        let run = format!("{}.{}", self.id(), errand.name);
        let mut agent = errand.agent.clone();
        agent.journal = Some(Arc::clone(self.journal()));
        agent.options.budget = tighter(agent.options.budget, errand.left);
        let journal = self.journal().as_ref();
        let state = match records(journal, &run).await? {
            None => {
                begin(journal, &run, errand.goal, errand.tainted).await?;
                None
            }
            Some(records) => Some(RunState::of(&records)),
        };
        // One that stopped is not driven on: what it stopped with is its answer.
        if state.is_none_or(|state| state.outcome().is_none()) {
            let heard = |event| {
                watch(PlanEvent::Agent {
                    run: run.clone(),
                    event,
                });
            };
            agent.resume(&run, [], &heard).await?;
        }
        let records = history(journal, &run).await?;
        let state = RunState::of(&records);
        let last = records.iter().rev().find_map(|record| match &record.event {
            RunEvent::Ended { result, .. } => Some(result.clone()),
            _ => None,
        });
        let observation = Observation {
            outcome: state.outcome().cloned().unwrap_or(Outcome::Failed {
                why: "it did not stop".to_owned(),
                retryable: true,
            }),
            tainted: state.is_tainted(),
            spent: *state.spent(),
            last,
        };
        if !observation.waits() {
            self.keep(errand.name, &observation).await?;
        }
        Ok(observation)
    }
}

async fn records(journal: &dyn Journal, run: &str) -> Result<Option<Vec<Record>>> {
    match history(journal, run).await {
        Ok(records) => Ok(Some(records)),
        Err(error) if error.kind() == &ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the first event of a run whose goal may hold text from outside.
async fn begin(journal: &dyn Journal, run: &str, goal: &str, tainted: bool) -> Result<()> {
    let event = RunEvent::Started {
        version: JOURNAL_VERSION,
        goal: goal.to_owned(),
        tainted,
    };
    let record = Record { event, millis: 0 };
    let event = serde_json::to_value(&record).map_err(|error| {
        corbie_core::Error::new(ErrorKind::Internal, format!("run `{run}`"), error)
    })?;
    journal.append(run, 0, event).await?;
    Ok(())
}

/// What a budget leaves after this was used.
pub(super) fn left(budget: &Budget, spent: &Spent) -> Budget {
    let usage = &spent.usage;
    let tokens = usage.prompt_tokens.saturating_sub(usage.cached_tokens) + usage.completion_tokens;
    Budget {
        steps: budget.steps.map(|most| most.saturating_sub(spent.steps)),
        tokens: budget.tokens.map(|most| most.saturating_sub(tokens)),
        time: budget
            .time
            .map(|most| most.saturating_sub(Duration::from_millis(spent.millis))),
        cost: budget
            .cost
            .map(|most| (most - spent.cost(&budget.prices)).max(0.0)),
        prices: budget.prices,
    }
}

/// The budget that keeps both. An agent's own limit of money is at its own prices, a planner's at
/// the planner's: where both have one, the agent's prices hold.
fn tighter(own: Budget, left: Budget) -> Budget {
    fn least<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if b < a { b } else { a }),
            (a, b) => a.or(b),
        }
    }
    Budget {
        steps: least(own.steps, left.steps),
        tokens: least(own.tokens, left.tokens),
        time: least(own.time, left.time),
        prices: match own.cost {
            Some(_) => own.prices,
            None => left.prices,
        },
        cost: least(own.cost, left.cost),
    }
}

/// Adds what a run used to what was used before it.
pub(super) fn add(spent: &mut Spent, more: &Spent) {
    spent.steps += more.steps;
    spent.calls += more.calls;
    spent.usage += more.usage;
    spent.millis += more.millis;
}
