//! What the agents of one run share: its budget, its depth, its journal.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use corbie_core::{Error, Journal, Usage};

use super::outcome::{Budget, Limit, Outcome, Spent};
use super::{Agent, Decision};

/// A run and the runs of other agents that it began, theirs included.
pub(super) struct Family {
    /// The budget of the first.
    budget: Budget,
    /// What all have spent, also those still at work.
    spent: Mutex<Spent>,
    /// How deep they may be nested.
    max_depth: usize,
    /// How many may be begun.
    max_runs: usize,
    runs: AtomicUsize,
}

impl Family {
    /// That of an agent's own run, which has spent so much and begun so many others.
    pub fn new(agent: &Agent, spent: Spent, runs: usize) -> Self {
        Self {
            budget: agent.options.budget,
            spent: Mutex::new(spent),
            max_depth: agent.options.max_depth,
            max_runs: agent.options.max_sub_runs,
            runs: runs.into(),
        }
    }

    pub fn add(&self, steps: usize, usage: Usage) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.steps += steps;
        spent.usage += usage;
    }

    /// The limit that all together reached. Time runs for the first alone: the others work within
    /// its calls.
    pub fn reached(&self) -> Option<Limit> {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.reaches(&self.budget)
    }

    /// Takes note of one more run at this depth; `Err`: what there is too much of.
    pub fn begin(&self, depth: usize) -> Result<(), String> {
        if depth > self.max_depth {
            return Err(format!(
                "agents may be nested {} deep, no deeper",
                self.max_depth
            ));
        }
        let before = self.runs.fetch_add(1, Ordering::Relaxed);
        match before < self.max_runs {
            true => Ok(()),
            false => Err(format!(
                "no more than {} runs of other agents may be begun",
                self.max_runs
            )),
        }
    }
}

/// What a call of a tool that is an agent gets from the run that calls, and gives back.
pub(super) struct Kin {
    pub family: Arc<Family>,
    /// The depth of the run that calls; 0: the first.
    pub depth: usize,
    /// Whether text from outside is in its conversation.
    pub tainted: bool,
    pub journal: Option<Arc<dyn Journal>>,
    /// What people decided about the other run's calls.
    pub decisions: Mutex<Vec<Decision>>,
    pub back: Mutex<Back>,
}

/// What comes back beside the answer.
#[derive(Default)]
pub(super) struct Back {
    pub spent: Option<Spent>,
    /// Whether no text from outside came in.
    pub trusted: bool,
    /// What it waits for.
    pub waits: Option<Outcome>,
    /// Why it cannot go on.
    pub broke: Option<Error>,
}

impl Kin {
    pub fn decisions(&self) -> Vec<Decision> {
        let mut decisions = self
            .decisions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut decisions)
    }

    pub fn give(&self, change: impl FnOnce(&mut Back)) {
        change(&mut self.back.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
