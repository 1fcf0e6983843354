//! How a run stops.

use std::time::Duration;

use corbie_core::{ToolCall, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a run stopped. Its work up to there is kept; all but `Done` and `Refused` can be resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The model gave its answer.
    Done {
        /// The answer.
        answer: String,
        /// The answer as JSON, where a form was asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
    /// A person must decide about calls.
    NeedsApproval {
        /// Which, and why.
        calls: Vec<Pending>,
    },
    /// A person must say something.
    NeedsInput {
        /// What is asked.
        question: Inquiry,
    },
    /// It made no progress, and a nudge did not help.
    Stuck {
        /// What it did over and over.
        why: String,
    },
    /// A limit was reached.
    BudgetExceeded {
        /// Which.
        limit: Limit,
    },
    /// The goal is not to be pursued.
    Refused {
        /// Why.
        why: String,
    },
    /// The model or the journal failed.
    Failed {
        /// What happened, with the next step.
        why: String,
        /// Whether the same may succeed later.
        retryable: bool,
    },
}

impl Outcome {
    /// Whether the run has ended for good.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Refused { .. })
    }

    /// The same as seen from the run whose call `parent` this run is: calls are named below it.
    pub(super) fn of_call(mut self, parent: &str) -> Self {
        let below = |id: &mut String| *id = format!("{parent}/{id}");
        match &mut self {
            Self::NeedsApproval { calls } => {
                calls.iter_mut().for_each(|it| below(&mut it.call.id));
            }
            Self::NeedsInput { question } => match question {
                Inquiry::Model { call, .. } => below(call),
                Inquiry::Unfinished { call, .. } => below(&mut call.id),
            },
            _ => {}
        }
        self
    }
}

/// A call that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// The call.
    pub call: ToolCall,
    /// Why it waits.
    pub why: String,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inquiry {
    /// The model asks.
    Model {
        /// The call of [`ASK_PERSON`](super::ASK_PERSON).
        call: String,
        /// Its question.
        text: String,
    },
    /// A call was begun and never seen to end: did it happen?
    Unfinished {
        /// The call.
        call: ToolCall,
        /// The key of its effect.
        key: String,
    },
}

/// The limits of a run; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Answers of the model.
    pub steps: Option<usize>,
    /// Tokens read and written, those of cached prefixes not counted.
    pub tokens: Option<usize>,
    /// Time of work; waiting for people does not count.
    pub time: Option<Duration>,
    /// Money, by [`Budget::prices`].
    pub cost: Option<f64>,
    /// What a million tokens cost.
    pub prices: Prices,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: Some(50),
            tokens: None,
            time: None,
            cost: None,
            prices: Prices::default(),
        }
    }
}

/// What a million tokens cost, in any currency.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Prices {
    /// Of a prompt.
    pub read: f64,
    /// Of a prompt, found in the service's cache.
    pub cached: f64,
    /// Of an answer.
    pub written: f64,
}

/// Which limit a run reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Answers of the model.
    Steps,
    /// Tokens.
    Tokens,
    /// Time.
    Time,
    /// Money.
    Cost,
    /// The model's own: its answer was cut off.
    AnswerLength,
}

/// What a run has used.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spent {
    /// Answers of the model.
    pub steps: usize,
    /// Tools that ran.
    pub calls: usize,
    /// Tokens.
    pub usage: Usage,
    /// Milliseconds of work.
    pub millis: u64,
}

impl Spent {
    /// The money it cost.
    pub fn cost(&self, prices: &Prices) -> f64 {
        let Usage {
            prompt_tokens,
            cached_tokens,
            completion_tokens,
        } = self.usage;
        let computed = prompt_tokens.saturating_sub(cached_tokens);
        let of = |tokens: usize, price: f64| tokens as f64 * price / 1e6;
        of(computed, prices.read)
            + of(cached_tokens, prices.cached)
            + of(completion_tokens, prices.written)
    }

    /// The first limit of `budget` that it reaches.
    pub fn reaches(&self, budget: &Budget) -> Option<Limit> {
        let tokens = self.usage.prompt_tokens
            - self.usage.cached_tokens.min(self.usage.prompt_tokens)
            + self.usage.completion_tokens;
        let time = Duration::from_millis(self.millis);
        let checks = [
            (
                budget.steps.is_some_and(|most| self.steps >= most),
                Limit::Steps,
            ),
            (
                budget.tokens.is_some_and(|most| tokens >= most),
                Limit::Tokens,
            ),
            (budget.time.is_some_and(|most| time >= most), Limit::Time),
            (
                budget
                    .cost
                    .is_some_and(|most| self.cost(&budget.prices) >= most),
                Limit::Cost,
            ),
        ];
        checks
            .into_iter()
            .find_map(|(reached, limit)| reached.then_some(limit))
    }
}
