//! Plan-and-execute: a plan, its steps one by one, another plan when one fails.

use std::collections::VecDeque;
use std::sync::Arc;

use corbie_core::{ChatModel, Message, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ask::{Halt, Question, brief};
use super::child::{Errand, add, left};
use super::honest::{checked, done};
use super::log::Log;
use super::run::{PlanEvent, PlanOptions, PlanRun, PlanWatcher, Status, Step};
use super::words::{Words, words};
use crate::text::Language;
use crate::{Agent, Outcome, Spent, fresh_run_id};

/// A model that writes a plan, and an agent that does its steps.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Agent, plan::Planner};
/// use corbie_core::{Message, testing::ScriptedChatModel};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> corbie_core::Result<()> {
/// let plans = ScriptedChatModel::new([
///     Message::assistant(r#"{"steps": ["Add 2 and 3", "Double the sum"]}"#),
///     Message::assistant("The sum doubled is 10."),
/// ]);
/// let works = ScriptedChatModel::new(["5", "10"].map(Message::assistant));
/// let planner = Planner::new(Arc::new(plans), Agent::new(Arc::new(works)));
/// let run = planner.run("Add 2 and 3 and double the sum").await?;
/// assert_eq!(run.answer, "The sum doubled is 10.");
/// assert_eq!(run.steps[1].status.result(), Some("10"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Planner {
    /// What plans, and writes the answer.
    pub model: Arc<dyn ChatModel>,
    /// What does the steps, each in a run of its own that knows the goal, the step and the results
    /// before it. Its journal is the planner's.
    pub agent: Agent,
    /// How it works.
    pub options: PlanOptions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    steps: Vec<String>,
}

/// A planner's run at work.
struct Live {
    steps: Vec<Step>,
    spent: Spent,
    tainted: bool,
    revisions: usize,
    /// Why the plan was not carried to its end.
    broken_off: Option<String>,
}

impl Planner {
    /// A planner with usual options.
    pub fn new(model: Arc<dyn ChatModel>, agent: Agent) -> Self {
        Self {
            model,
            agent,
            options: PlanOptions::default(),
        }
    }

    /// Pursues a goal until the run stops.
    ///
    /// # Errors
    ///
    /// Those of [`Planner::start`].
    pub async fn run(&self, goal: &str) -> Result<PlanRun> {
        self.start(&fresh_run_id(), goal, &|_| ()).await
    }

    /// Begins the run `id`, or goes on with it from the journal: what is planned and done already
    /// is neither planned nor done again.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](corbie_core::ErrorKind::Mismatch) when a run of this id has another goal; those
    /// of the journal. What models and agents do wrong is an [`Outcome`], not an error.
    pub async fn start(&self, id: &str, goal: &str, watch: PlanWatcher<'_>) -> Result<PlanRun> {
        let log = Log::open(self.agent.journal.as_ref(), id, "steps", goal).await?;
        let mut live = Live {
            steps: Vec::new(),
            spent: Spent::default(),
            tainted: false,
            revisions: 0,
            broken_off: None,
        };
        let (outcome, said, waits_for) = match self.drive(&log, goal, &mut live, watch).await {
            Ok(said) => (None, said, None),
            Err(Halt::Stop(outcome, waits_for)) => (Some(outcome), String::new(), waits_for),
            Err(Halt::Broken(error)) => return Err(error),
        };
        let (answer, struck) = match waits_for.is_some() || done(&live.steps).next().is_none() {
            true => (String::new(), Vec::new()),
            false => checked(&said, goal, &live.steps),
        };
        let outcome = outcome.unwrap_or_else(|| match live.broken_off.take() {
            Some(why) => Outcome::Stuck { why },
            None => Outcome::Done {
                answer: answer.clone(),
                value: None,
            },
        });
        watch(PlanEvent::Stopped(outcome.clone()));
        Ok(PlanRun {
            id: id.to_owned(),
            outcome,
            answer,
            steps: live.steps,
            struck,
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
    ) -> Result<String, Halt> {
        let words = words(Language::of(goal));
        let mut pending = self.plan(log, goal, live, &VecDeque::new(), watch).await?;
        while let Some(text) = pending.pop_front() {
            let id = (live.steps.len() + 1).to_string();
            watch(PlanEvent::Begun {
                step: id.clone(),
                text: text.clone(),
            });
            let status = self.step(log, goal, live, &id, &text, watch).await?;
            let failed = matches!(status, Status::Failed { .. });
            let step = Step {
                id,
                text,
                status,
                tried: Vec::new(),
            };
            watch(PlanEvent::Ended(step.clone()));
            live.steps.push(step);
            if !failed {
                continue;
            }
            if live.revisions < self.options.revisions {
                live.revisions += 1;
                pending = self.plan(log, goal, live, &pending, watch).await?;
                if !pending.is_empty() {
                    continue;
                }
            }
            let last = live.steps.len();
            live.broken_off = Some(format!(
                "step {last} failed, and the plan was revised {} times",
                live.revisions
            ));
            let behind = live.steps[last - 1].text.clone();
            let skipped = pending
                .drain(..)
                .zip(last + 1..)
                .map(|(text, number)| Step {
                    id: number.to_string(),
                    text,
                    status: Status::Skipped {
                        why: words.behind(&behind),
                    },
                    tried: Vec::new(),
                });
            live.steps.extend(skipped);
        }
        if done(&live.steps).next().is_none() {
            return Ok(String::new());
        }
        let steps = live.steps.clone();
        let prompt = |bytes: usize| {
            let text = format!("{}{goal}\n\n{}", words.goal, results(words, &steps, bytes));
            vec![Message::system(words.answer), Message::user(text)]
        };
        let question = Question {
            model: self.model.as_ref(),
            name: "answer",
            prompt: &prompt,
            options: &self.options,
        };
        log.ask_words(question, &mut live.spent).await
    }

    /// The first plan, or another one after a failure.
    async fn plan(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        pending: &VecDeque<String>,
        watch: PlanWatcher<'_>,
    ) -> Result<VecDeque<String>, Halt> {
        let words = words(Language::of(goal));
        let (revision, steps) = (live.revisions, live.steps.clone());
        let prompt = |bytes: usize| {
            let mut text = format!("{}{goal}\n", words.goal);
            if revision > 0 {
                text.push_str(&results(words, &steps, bytes));
                let failed = |step: &Step| {
                    let why = step.status.trouble()?;
                    Some(words.result(&step.text, &brief(why, bytes)))
                };
                let failed: Vec<String> = steps.iter().filter_map(failed).collect();
                text.push_str(&words.list(words.failures, &failed));
                let pending: Vec<String> = pending.iter().cloned().collect();
                text.push_str(&words.list(words.remaining, &pending));
            }
            let instructions = match revision {
                0 => words.plan,
                _ => words.revise,
            };
            vec![Message::system(instructions), Message::user(text)]
        };
        let name = format!("plan.{revision}");
        let question = Question {
            model: self.model.as_ref(),
            name: &name,
            prompt: &prompt,
            options: &self.options,
        };
        let least = usize::from(revision == 0);
        let schema = schema(least, self.options.steps);
        let check = |plan: &Plan| complaint(plan, least, self.options.steps);
        let plan: Plan = log
            .ask_value(question, schema, &check, &mut live.spent)
            .await?;
        watch(PlanEvent::Planned {
            steps: plan.steps.clone(),
            revision,
        });
        Ok(plan.steps.into())
    }

    async fn step(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        id: &str,
        text: &str,
        watch: PlanWatcher<'_>,
    ) -> Result<Status, Halt> {
        if let Some(limit) = live.spent.reaches(&self.options.budget) {
            return Err(Halt::Stop(Outcome::BudgetExceeded { limit }, None));
        }
        let words = words(Language::of(goal));
        let task = task(words, goal, &live.steps, text, self.options.result_bytes);
        let errand = Errand {
            agent: &self.agent,
            name: id,
            goal: &task,
            tainted: live.tainted,
            left: left(&self.options.budget, &live.spent),
        };
        let observation = log.errand(errand, watch).await?;
        add(&mut live.spent, &observation.spent);
        live.tainted |= observation.tainted;
        if observation.waits() {
            let run = format!("{}.{id}", log.id());
            return Err(Halt::Stop(observation.outcome, Some(run)));
        }
        Ok(observation.status())
    }
}

/// What an agent is told that does one step.
pub(super) fn task(words: &Words, goal: &str, steps: &[Step], task: &str, bytes: usize) -> String {
    let mut text = format!("{}{goal}\n", words.goal);
    if done(steps).next().is_some() {
        text.push_str(&results(words, steps, bytes));
    }
    text.push_str(&format!("{}{task}\n{}", words.task, words.only_this));
    text
}

/// The results of what was done, each of at most so many bytes.
pub(super) fn results(words: &Words, steps: &[Step], bytes: usize) -> String {
    let results = done(steps).map(|(step, result)| words.result(&step.text, &brief(result, bytes)));
    words.list(words.results, &results.collect::<Vec<_>>())
}

fn schema(least: usize, most: usize) -> Value {
    json!({
        "type": "object",
        "properties": {"steps": {
            "type": "array",
            "items": {"type": "string", "minLength": 1, "maxLength": 200},
            "minItems": least,
            "maxItems": most,
        }},
        "required": ["steps"],
        "additionalProperties": false,
    })
}

fn complaint(plan: &Plan, least: usize, most: usize) -> Result<(), String> {
    if plan.steps.len() < least || plan.steps.len() > most {
        return Err(format!("A plan has {least} to {most} steps."));
    }
    match plan.steps.iter().any(|step| step.trim().is_empty()) {
        true => Err("A step is empty.".to_owned()),
        false => Ok(()),
    }
}
