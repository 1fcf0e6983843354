//! A plan as a graph: typed tasks, checked before anything runs, done side by side.

mod task;
mod worker;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use corbie_core::{ChatModel, Error, ErrorKind, Journal, Message, Result};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};

pub use task::{Dag, Kind, Task};
pub use worker::Worker;

use super::ask::{Halt, Question};
use super::child::{Errand, add, left};
use super::honest::{checked, done};
use super::log::Log;
use super::run::{PlanEvent, PlanOptions, PlanRun, PlanWatcher, Status, Step, Tried};
use super::steps::results;
use super::words::words;
use crate::text::Language;
use crate::{Budget, Outcome, Spent, fresh_run_id};

/// A model that splits a goal into tasks, and workers that do them.
///
/// A task whose worker fails falls to the next worker of its kind; what needs the result of a task
/// that nobody could do is skipped.
#[derive(Clone)]
pub struct DagPlanner {
    /// What plans, and writes the answer.
    pub model: Arc<dyn ChatModel>,
    /// The kinds of tasks.
    pub kinds: Vec<Kind>,
    /// Who does them, in the order in which they are asked.
    pub workers: Vec<Worker>,
    /// Where the run is kept; `None`: nowhere.
    pub journal: Option<Arc<dyn Journal>>,
    /// How it works.
    pub options: PlanOptions,
}

/// What came of a task.
struct Ended {
    index: usize,
    status: Result<Status, Halt>,
    tried: Vec<Tried>,
    tainted: bool,
    spent: Spent,
}

/// A run at work.
#[derive(Default)]
struct Live {
    dag: Dag,
    steps: Vec<Step>,
    tainted: HashSet<usize>,
    spent: Spent,
}

impl DagPlanner {
    /// A planner with usual options, whose runs are not kept.
    pub fn new(model: Arc<dyn ChatModel>, kinds: Vec<Kind>, workers: Vec<Worker>) -> Self {
        Self {
            model,
            kinds,
            workers,
            journal: None,
            options: PlanOptions::default(),
        }
    }

    /// Pursues a goal until the run stops.
    ///
    /// # Errors
    ///
    /// Those of [`DagPlanner::start`].
    pub async fn run(&self, goal: &str) -> Result<PlanRun> {
        self.start(&fresh_run_id(), goal, &|_| ()).await
    }

    /// Begins the run `id`, or goes on with it from the journal: tasks that are done are not done
    /// again.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for workers of the same name, and kinds whose schema is
    /// none; [`Mismatch`](ErrorKind::Mismatch) when a run of this id has another goal; those of the
    /// journal. What models and workers do wrong is an [`Outcome`], not an error.
    pub async fn start(&self, id: &str, goal: &str, watch: PlanWatcher<'_>) -> Result<PlanRun> {
        self.check()?;
        let log = Log::open(self.journal.as_ref(), id, "dag", goal).await?;
        let mut live = Live::default();
        let (outcome, said, waits_for) = match self.drive(&log, goal, &mut live, watch).await {
            Ok(said) => (None, said, None),
            Err(Halt::Stop(outcome, waits_for)) => (Some(outcome), String::new(), waits_for),
            Err(Halt::Broken(error)) => return Err(error),
        };
        let nothing = done(&live.steps).next().is_none();
        let (answer, struck) = match nothing || waits_for.is_some() {
            true => (String::new(), Vec::new()),
            false => checked(&said, goal, &live.steps),
        };
        let outcome = outcome.unwrap_or_else(|| match nothing {
            true => Outcome::Failed {
                why: failures(&live.steps),
                retryable: false,
            },
            false => Outcome::Done {
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

    /// Kinds that somebody can do: the others are not offered.
    fn able_kinds(&self) -> Vec<Kind> {
        let able = |kind: &&Kind| self.workers.iter().any(|it| it.can(&kind.name));
        self.kinds.iter().filter(able).cloned().collect()
    }

    fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        for worker in &self.workers {
            let subject = format!("worker `{}`", worker.name);
            if !task::is_name(&worker.name) {
                let cause = "a name has 1 to 64 letters, digits, `_` and `-`";
                return Err(Error::new(ErrorKind::BadInput, subject, cause));
            }
            if !names.insert(&worker.name) {
                let cause = "another worker has this name";
                return Err(Error::new(ErrorKind::BadInput, subject, cause));
            }
        }
        self.kinds
            .iter()
            .try_for_each(|kind| task::validator(kind).map(drop))
    }

    async fn drive(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        watch: PlanWatcher<'_>,
    ) -> Result<String, Halt> {
        live.dag = self.plan(log, goal, &mut live.spent).await?;
        let step = |task: &Task| Step {
            id: task.id.clone(),
            text: format!("{} {}", task.kind, task.arguments),
            status: Status::Open,
            tried: Vec::new(),
        };
        live.steps = live.dag.tasks.iter().map(step).collect();
        watch(PlanEvent::Planned {
            steps: live.steps.iter().map(|step| step.text.clone()).collect(),
            revision: 0,
        });
        self.carry_out(log, goal, live, watch).await?;
        if done(&live.steps).next().is_none() {
            return Ok(String::new());
        }
        let words = words(Language::of(goal));
        let prompt = |bytes: usize| {
            let results = results(words, &live.steps, bytes);
            let text = format!("{}{goal}\n\n{results}", words.goal);
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

    async fn plan(&self, log: &Log, goal: &str, spent: &mut Spent) -> Result<Dag, Halt> {
        let kinds = self.able_kinds();
        let words = words(Language::of(goal));
        let listed = kinds.iter().map(|kind| {
            let properties = kind.parameters.get("properties");
            let listed = json!({
                "kind": kind.name,
                "description": kind.description,
                "arguments": properties.unwrap_or(&Value::Null),
            });
            listed.to_string()
        });
        let listed = words.list(words.kinds, &listed.collect::<Vec<_>>());
        let prompt = |_: usize| {
            let text = format!("{listed}\n{}{goal}", words.goal);
            vec![Message::system(words.dag), Message::user(text)]
        };
        let question = Question {
            model: self.model.as_ref(),
            name: "plan",
            prompt: &prompt,
            options: &self.options,
        };
        let most = self.options.steps;
        let check = |dag: &Dag| match dag.complaints(&kinds, most) {
            Ok(complaints) if complaints.is_empty() => Ok(()),
            Ok(complaints) => Err(complaints.join(" ")),
            Err(error) => Err(error.to_string()),
        };
        let schema = task::schema(&kinds, most);
        log.ask_value(question, schema, &check, spent).await
    }

    /// Does the tasks, as many side by side as may be. One that waits for a person holds up only
    /// what needs it.
    async fn carry_out(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        watch: PlanWatcher<'_>,
    ) -> Result<(), Halt> {
        let dag = live.dag.clone();
        let order = dag.in_order();
        let index: HashMap<&str, usize> = dag
            .tasks
            .iter()
            .enumerate()
            .map(|(index, task)| (task.id.as_str(), index))
            .collect();
        let mut begun = HashSet::new();
        let (mut halt, mut waiting) = (None, None);
        let mut running = FuturesUnordered::new();
        loop {
            for &at in &order {
                let free = running.len() < self.options.parallel.max(1);
                if begun.contains(&at) || halt.is_some() || !free {
                    continue;
                }
                let task = &dag.tasks[at];
                let needs: Vec<usize> = task
                    .needs()
                    .into_iter()
                    .filter_map(|id| index.get(id).copied())
                    .collect();
                let trouble = |at: &&usize| live.steps[**at].status.trouble().is_some();
                if let Some(&behind) = needs.iter().find(trouble) {
                    begun.insert(at);
                    let why = words(Language::of(goal)).behind(&dag.tasks[behind].id);
                    live.steps[at].status = Status::Skipped { why };
                    watch(PlanEvent::Ended(live.steps[at].clone()));
                    continue;
                }
                let ready = |at: &usize| live.steps[*at].status.result().is_some();
                if !needs.iter().all(ready) {
                    continue;
                }
                if let Some(limit) = live.spent.reaches(&self.options.budget) {
                    halt = Some(Halt::Stop(Outcome::BudgetExceeded { limit }, None));
                    continue;
                }
                begun.insert(at);
                watch(PlanEvent::Begun {
                    step: task.id.clone(),
                    text: live.steps[at].text.clone(),
                });
                let result = |id: &str| {
                    let result = live.steps[*index.get(id)?].status.result();
                    result.map(str::to_owned)
                };
                let kind = self.kinds.iter().find(|kind| kind.name == task.kind);
                let Some(kind) = kind else { continue };
                let arguments = task::resolved(task, kind, &result)?;
                let tainted = task.takes().into_iter().any(|id| {
                    let from = index.get(id);
                    from.is_some_and(|at| live.tainted.contains(at))
                });
                let left = left(&self.options.budget, &live.spent);
                let work = Work {
                    index: at,
                    kind,
                    arguments,
                    tainted,
                    left,
                };
                running.push(self.work(log, task, work, watch));
            }
            let Some(ended) = running.next().await else {
                break;
            };
            add(&mut live.spent, &ended.spent);
            let step = &mut live.steps[ended.index];
            step.tried = ended.tried;
            if ended.tainted {
                live.tainted.insert(ended.index);
            }
            match ended.status {
                Ok(status) => {
                    step.status = status;
                    watch(PlanEvent::Ended(step.clone()));
                }
                Err(Halt::Broken(error)) => return Err(Halt::Broken(error)),
                Err(person) => waiting = waiting.or(Some(person)),
            }
        }
        waiting.or(halt).map_or(Ok(()), Err)
    }

    /// Has one worker after the other do a task, until one succeeds.
    async fn work(&self, log: &Log, task: &Task, work: Work<'_>, watch: PlanWatcher<'_>) -> Ended {
        let mut ended = Ended {
            index: work.index,
            status: Ok(Status::Open),
            tried: Vec::new(),
            tainted: work.tainted,
            spent: Spent::default(),
        };
        let able = self.workers.iter().filter(|it| it.can(&task.kind));
        for worker in able {
            let (agent, goal) = worker.prepare(work.kind, &work.arguments);
            let name = format!("{}.{}", task.id, worker.name);
            let errand = Errand {
                agent: &agent,
                name: &name,
                goal: &goal,
                tainted: work.tainted,
                left: left(&work.left, &ended.spent),
            };
            let observation = match log.errand(errand, watch).await {
                Ok(observation) => observation,
                Err(error) => {
                    ended.status = Err(Halt::Broken(error));
                    return ended;
                }
            };
            add(&mut ended.spent, &observation.spent);
            if observation.waits() {
                let run = format!("{}.{name}", log.id());
                ended.status = Err(Halt::Stop(observation.outcome, Some(run)));
                return ended;
            }
            match worker.verdict(&observation) {
                Ok(result) => {
                    ended.tainted |= observation.tainted;
                    ended.status = Ok(Status::Done { result });
                    return ended;
                }
                Err(why) => ended.tried.push(Tried {
                    worker: worker.name.clone(),
                    why,
                }),
            }
        }
        let why = ended.tried.last().map(|tried| tried.why.clone());
        let why = why.unwrap_or_else(|| "nobody can do it".to_owned());
        ended.status = Ok(Status::Failed { why });
        ended
    }
}

/// What the workers get.
struct Work<'a> {
    index: usize,
    kind: &'a Kind,
    arguments: Value,
    tainted: bool,
    left: Budget,
}

/// Why nothing was done.
fn failures(steps: &[Step]) -> String {
    let failed = steps.iter().filter_map(|step| {
        let why = step.status.trouble()?;
        Some(format!("{}: {why}", step.id))
    });
    let failed: Vec<String> = failed.collect();
    format!("no task could be done: {}", failed.join("; "))
}
