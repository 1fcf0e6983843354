//! An answer, what is wrong with it, and a better one.

use std::sync::Arc;

use corbie_core::{ChatModel, Message, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ask::{Halt, Question, brief};
use super::child::{Errand, add, left};
use super::log::Log;
use super::run::{PlanEvent, PlanOptions, PlanRun, PlanWatcher, Step};
use super::words::words;
use crate::text::Language;
use crate::{Agent, Outcome, Spent, fresh_run_id};

/// The most faults of one draft.
const ISSUES: usize = 5;

/// Finds faults that a program can tell: a length, a form, a number that must be there.
pub type Critic = Arc<dyn Fn(&str) -> Vec<String> + Send + Sync>;

/// An agent that writes, and a model that finds fault with it.
///
/// The draft with the fewest faults is the answer; of two with as many, the earlier one. Every
/// draft is a [`Step`] of the run.
#[derive(Clone)]
pub struct Reflection {
    /// What writes and rewrites, each time in a run of its own. Its journal is the reflection's.
    pub agent: Agent,
    /// What finds fault; it may be the writer's own model.
    pub critic: Arc<dyn ChatModel>,
    /// Finds what a program can tell, before the model is asked.
    pub check: Option<Critic>,
    /// How it works; `revisions` is how often a draft is rewritten.
    pub options: PlanOptions,
}

/// A draft and its faults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub issues: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critique {
    ok: bool,
    issues: Vec<String>,
}

#[derive(Default)]
struct Live {
    drafts: Vec<Draft>,
    steps: Vec<Step>,
    spent: Spent,
    tainted: bool,
}

impl Reflection {
    /// A reflection with usual options.
    pub fn new(agent: Agent, critic: Arc<dyn ChatModel>) -> Self {
        Self {
            agent,
            critic,
            check: None,
            options: PlanOptions::default(),
        }
    }

    /// Pursues a goal until the run stops.
    ///
    /// # Errors
    ///
    /// Those of [`Reflection::start`].
    pub async fn run(&self, goal: &str) -> Result<PlanRun> {
        self.start(&fresh_run_id(), goal, &|_| ()).await
    }

    /// Begins the run `id`, or goes on with it from the journal.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](corbie_core::ErrorKind::Mismatch) when a run of this id has another goal; those
    /// of the journal. What models and agents do wrong is an [`Outcome`], not an error.
    pub async fn start(&self, id: &str, goal: &str, watch: PlanWatcher<'_>) -> Result<PlanRun> {
        let log = Log::open(self.agent.journal.as_ref(), id, "reflection", goal).await?;
        let mut live = Live::default();
        let halted = match self.drive(&log, goal, &mut live, watch).await {
            Ok(()) => None,
            Err(Halt::Stop(outcome, waits_for)) => Some((outcome, waits_for)),
            Err(Halt::Broken(error)) => return Err(error),
        };
        let best = live.drafts.iter().min_by_key(|draft| draft.issues.len());
        let answer = best.map(|draft| draft.text.clone()).unwrap_or_default();
        let done = Outcome::Done {
            answer: answer.clone(),
            value: None,
        };
        let (outcome, waits_for) = halted.unwrap_or((done, None));
        watch(PlanEvent::Stopped(outcome.clone()));
        Ok(PlanRun {
            id: id.to_owned(),
            outcome,
            answer,
            steps: live.steps,
            struck: Vec::new(),
            waits_for,
            spent: live.spent,
        })
    }

    async fn drive(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        watch: PlanWatcher<'_>,
    ) -> Result<(), Halt> {
        for round in 0..=self.options.revisions {
            let text = self.write(log, goal, live, round, watch).await?;
            // What is written again word for word has the faults that it had.
            if live.drafts.iter().any(|draft| draft.text == text) {
                break;
            }
            let mut issues = self.check.as_ref().map_or_else(Vec::new, |it| it(&text));
            if issues.is_empty() {
                issues = self.critique(log, goal, live, &text, round).await?;
            }
            let perfect = issues.is_empty();
            live.drafts.push(Draft { text, issues });
            if perfect {
                break;
            }
        }
        Ok(())
    }

    async fn write(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        round: usize,
        watch: PlanWatcher<'_>,
    ) -> Result<String, Halt> {
        if let Some(limit) = live.spent.reaches(&self.options.budget) {
            return Err(Halt::Stop(Outcome::BudgetExceeded { limit }, None));
        }
        let words = words(Language::of(goal));
        let told = match live.drafts.last() {
            None => goal.to_owned(),
            Some(draft) => format!(
                "{}{goal}\n\n{}\n{}\n\n{}{}",
                words.goal,
                words.draft,
                draft.text,
                words.list(words.issues, &draft.issues),
                words.rewrite
            ),
        };
        let name = round.to_string();
        watch(PlanEvent::Begun {
            step: name.clone(),
            text: goal.to_owned(),
        });
        let errand = Errand {
            agent: &self.agent,
            name: &name,
            goal: &told,
            tainted: live.tainted,
            left: left(&self.options.budget, &live.spent),
        };
        let observation = log.errand(errand, watch).await?;
        add(&mut live.spent, &observation.spent);
        live.tainted |= observation.tainted;
        let step = Step {
            id: name.clone(),
            text: goal.to_owned(),
            status: observation.status(),
            tried: Vec::new(),
        };
        watch(PlanEvent::Ended(step.clone()));
        live.steps.push(step);
        let waits_for = observation.waits().then(|| format!("{}.{name}", log.id()));
        let verdict = observation.verdict().map(str::to_owned);
        verdict.map_err(|_| Halt::Stop(observation.outcome, waits_for))
    }

    async fn critique(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        text: &str,
        round: usize,
    ) -> Result<Vec<String>, Halt> {
        let words = words(Language::of(goal));
        // A draft is what is judged: it is shortened only where it does not fit.
        let options = PlanOptions {
            result_bytes: self.options.result_bytes.max(text.len()),
            ..self.options.clone()
        };
        let prompt = |bytes: usize| {
            let asked = format!(
                "{}{goal}\n\n{}\n{}",
                words.goal,
                words.draft,
                brief(text, bytes)
            );
            vec![Message::system(words.critique), Message::user(asked)]
        };
        let schema = json!({
            "type": "object",
            "properties": {
                "ok": {"type": "boolean"},
                "issues": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": 200},
                    "maxItems": ISSUES,
                },
            },
            "required": ["ok", "issues"],
            "additionalProperties": false,
        });
        let check = |found: &Critique| match !found.ok && found.issues.is_empty() {
            true => Err("It is not ok, so say what is wrong.".to_owned()),
            false => Ok(()),
        };
        let name = format!("critique.{round}");
        let question = Question {
            model: self.critic.as_ref(),
            name: &name,
            prompt: &prompt,
            options: &options,
        };
        let found = log.ask_value(question, schema, &check, &mut live.spent);
        let found: Critique = found.await?;
        Ok(match found.ok {
            true => Vec::new(),
            false => found.issues,
        })
    }
}
