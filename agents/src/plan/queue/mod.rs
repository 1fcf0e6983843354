//! A queue of tasks: do the first, see whether the goal is reached, think of more, put them in
//! order.

mod judge;
mod list;

use std::sync::Arc;

use corbie_core::{ChatModel, EmbedKind, Embedder, Embedding, Result};
use serde::{Deserialize, Serialize};

pub use list::{Added, Listed, State, TaskList};

use super::ask::Halt;
use super::child::{Errand, add, left};
use super::honest::{checked, done};
use super::log::Log;
use super::run::{PlanEvent, PlanOptions, PlanRun, PlanWatcher, Status, Step};
use super::steps::task;
use super::words::words;
use crate::likeness::cosine;
use crate::text::Language;
use crate::{Agent, Outcome, Spent, fresh_run_id};

/// Decides from what was done whether the goal is reached, and with which answer.
pub type ReachedCheck = Arc<dyn Fn(&[Step]) -> Option<String> + Send + Sync>;

/// A model that keeps a queue of tasks, and an agent that does them.
///
/// It ends when the goal is reached, when no task is left, or when a limit is; tasks that say the
/// same are done once, and what became of each is in the [`PlanRun`].
#[derive(Clone)]
pub struct TaskQueue {
    /// What judges, thinks of tasks and puts them in order.
    pub model: Arc<dyn ChatModel>,
    /// What does the tasks, each in a run of its own. Its journal is the queue's.
    pub agent: Agent,
    /// Finds tasks that say the same in other words; `None`: only the same words are the same.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// The cosine from which tasks say the same.
    pub alike: f32,
    /// Judges whether the goal is reached, where a program can tell; `None`: the model judges.
    pub reached: Option<ReachedCheck>,
    /// How it works; `steps` is the most tasks that are queued in all.
    pub options: PlanOptions,
}

/// A task that an embedder finds to say what another says.
#[derive(Serialize, Deserialize)]
struct Alike {
    of: usize,
    cosine: f32,
}

struct Live {
    list: TaskList,
    /// The vectors of the tasks that are no duplicates, with their numbers.
    vectors: Vec<(usize, Embedding)>,
    steps: Vec<Step>,
    spent: Spent,
    tainted: bool,
}

impl TaskQueue {
    /// A queue with usual options.
    pub fn new(model: Arc<dyn ChatModel>, agent: Agent) -> Self {
        Self {
            model,
            agent,
            embedder: None,
            alike: 0.95,
            reached: None,
            options: PlanOptions::default(),
        }
    }

    /// Pursues a goal until the run stops.
    ///
    /// # Errors
    ///
    /// Those of [`TaskQueue::start`].
    pub async fn run(&self, goal: &str) -> Result<PlanRun> {
        self.start(&fresh_run_id(), goal, &|_| ()).await
    }

    /// Begins the run `id`, or goes on with it from the journal: tasks that are done are not done
    /// again.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](corbie_core::ErrorKind::Mismatch) when a run of this id has another goal; those
    /// of the journal and the embedder. What models and agents do wrong is an [`Outcome`], not an
    /// error.
    pub async fn start(&self, id: &str, goal: &str, watch: PlanWatcher<'_>) -> Result<PlanRun> {
        let log = Log::open(self.agent.journal.as_ref(), id, "queue", goal).await?;
        let mut live = Live {
            list: TaskList::new(self.options.steps),
            vectors: Vec::new(),
            steps: Vec::new(),
            spent: Spent::default(),
            tainted: false,
        };
        let (outcome, said, waits_for) = match self.drive(&log, goal, &mut live, watch).await {
            Ok(said) => (None, said, None),
            Err(Halt::Stop(outcome, waits_for)) => (Some(outcome), None, waits_for),
            Err(Halt::Broken(error)) => return Err(error),
        };
        let some = done(&live.steps).next().is_some();
        let (answer, struck) = match &said {
            // The application's own words need no check.
            Some(said) if self.reached.is_some() => (said.clone(), Vec::new()),
            _ if some && waits_for.is_none() => {
                checked(said.as_deref().unwrap_or_default(), goal, &live.steps)
            }
            _ => (String::new(), Vec::new()),
        };
        let outcome = outcome.unwrap_or_else(|| match said {
            Some(_) => Outcome::Done {
                answer: answer.clone(),
                value: None,
            },
            None => Outcome::Stuck {
                why: "no task is left, and the goal is not reached".to_owned(),
            },
        });
        watch(PlanEvent::Stopped(outcome.clone()));
        let mut steps = live.steps;
        steps.extend(undone(&live.list));
        Ok(PlanRun {
            id: id.to_owned(),
            outcome,
            answer,
            steps,
            struck,
            waits_for,
            spent: live.spent,
        })
    }

    /// The answer, if the goal is reached.
    async fn drive(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        watch: PlanWatcher<'_>,
    ) -> Result<Option<String>, Halt> {
        let words = words(Language::of(goal));
        // The first task is the goal itself: what one task reaches needs no more of them.
        self.add(log, live, 0, goal).await?;
        for round in 0.. {
            let Some(number) = live.list.take() else {
                break;
            };
            self.work(log, goal, live, number, watch).await?;
            if let Some(answer) = self.is_reached(log, goal, live, round, words).await? {
                return Ok(Some(answer));
            }
            let created = self.create(log, goal, live, round, words).await?;
            for text in created {
                let count = live.list.tasks().len();
                self.add(log, live, count, &text).await?;
            }
            if live.list.queue().len() > 1 {
                self.prioritise(log, goal, live, round, words).await?;
            }
            let queue = live.list.queue().iter();
            let queue = queue.map(|number| live.list.tasks()[*number].text.clone());
            watch(PlanEvent::Planned {
                steps: queue.collect(),
                revision: round,
            });
        }
        Ok(None)
    }

    /// Adds a task, unless another one says the same.
    async fn add(&self, log: &Log, live: &mut Live, count: usize, text: &str) -> Result<(), Halt> {
        let Some(embedder) = &self.embedder else {
            live.list.add(text);
            return Ok(());
        };
        let name = format!("alike.{count}");
        let texts = [text.to_owned()];
        let vector = embedder.embed(&texts, EmbedKind::Document).await?.pop();
        let vector = vector.unwrap_or_default();
        let alike: Option<Alike> = match log.known(&name)? {
            Some(alike) => alike,
            None => {
                let near = live.vectors.iter().map(|(of, other)| Alike {
                    of: *of,
                    cosine: cosine(&vector, other),
                });
                let nearest = near.max_by(|a, b| a.cosine.total_cmp(&b.cosine));
                let alike = nearest.filter(|near| near.cosine >= self.alike);
                log.keep(&name, &alike).await?;
                alike
            }
        };
        match alike {
            Some(Alike { of, cosine }) => {
                let why = format!("their cosine is {cosine:.2}");
                live.list.duplicate(text, of, why);
            }
            None => {
                if let Added::Queued(number) = live.list.add(text) {
                    live.vectors.push((number, vector));
                }
            }
        }
        Ok(())
    }

    async fn work(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        number: usize,
        watch: PlanWatcher<'_>,
    ) -> Result<(), Halt> {
        if let Some(limit) = live.spent.reaches(&self.options.budget) {
            return Err(Halt::Stop(Outcome::BudgetExceeded { limit }, None));
        }
        let words = words(Language::of(goal));
        let text = live.list.tasks()[number].text.clone();
        let name = number.to_string();
        watch(PlanEvent::Begun {
            step: name.clone(),
            text: text.clone(),
        });
        let told = match number {
            0 => goal.to_owned(),
            _ => task(words, goal, &live.steps, &text, self.options.result_bytes),
        };
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
        if observation.waits() {
            let run = format!("{}.{name}", log.id());
            return Err(Halt::Stop(observation.outcome, Some(run)));
        }
        let status = observation.status();
        live.list
            .end(number, observation.verdict().map(str::to_owned));
        let step = Step {
            id: name,
            text,
            status,
            tried: Vec::new(),
        };
        watch(PlanEvent::Ended(step.clone()));
        live.steps.push(step);
        Ok(())
    }
}

/// The tasks that were not tried, and why.
fn undone(list: &TaskList) -> Vec<Step> {
    let step = |(number, listed): (usize, &Listed)| {
        let status = match &listed.state {
            State::Queued | State::Taken => Status::Open,
            State::Duplicate { of, why } => Status::Skipped {
                why: format!("task {of} says the same: {why}"),
            },
            State::Declined => Status::Skipped {
                why: "there were too many tasks".to_owned(),
            },
            State::Done(_) | State::Failed(_) => return None,
        };
        Some(Step {
            id: number.to_string(),
            text: listed.text.clone(),
            status,
            tried: Vec::new(),
        })
    };
    list.tasks().iter().enumerate().filter_map(step).collect()
}
