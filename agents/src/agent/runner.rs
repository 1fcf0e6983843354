//! Driving a run: keeping the journal, stopping and going on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_core::{BoxFuture, Error, ErrorKind, Journal, JournalEntry, ResponseFormat, Result};
use tracing::Instrument;

use super::event::{JOURNAL_VERSION, Record, RunEvent};
use super::family::{Family, Kin};
use super::outcome::{Inquiry, Limit, Outcome};
use super::state::{CallStatus, Next, RunState};
use super::{Agent, AgentEvent, Decision, Run, Watcher};

/// A name for a run that no other has.
pub fn fresh_run_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// The events of the run `id` in a journal.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) for an unknown run, [`Malformed`](ErrorKind::Malformed) for
/// events that are none.
pub async fn history(journal: &dyn Journal, id: &str) -> Result<Vec<Record>> {
    let entries = journal.read(id, 0).await?;
    if entries.is_empty() {
        return Err(unknown(id));
    }
    let record = |entry: JournalEntry| {
        serde_json::from_value(entry.event).map_err(|error| {
            let cause = format!("event {} is not understood: {error}", entry.sequence);
            Error::new(ErrorKind::Malformed, format!("run `{id}`"), cause)
        })
    };
    entries.into_iter().map(record).collect()
}

fn unknown(id: &str) -> Error {
    let cause = "the journal has no such run";
    Error::new(ErrorKind::NotFound, format!("run `{id}`"), cause)
        .hint("`corbie runs list` shows those of this machine")
}

/// A run at work.
pub(super) struct Live<'a> {
    pub id: &'a str,
    /// The agent that began it.
    pub root: &'a Agent,
    pub state: RunState,
    pub watch: Watcher<'a>,
    /// It and the runs it is among.
    family: Arc<Family>,
    /// How deep among them; 0: the first.
    depth: usize,
    /// What people decided about the calls of other agents' runs, by the call that is the run.
    decisions: HashMap<String, Vec<Decision>>,
    /// The number of the next entry.
    sequence: u64,
    /// What happened and is written with the next entry.
    unwritten: Vec<Record>,
    /// When the last entry was written.
    since: Instant,
}

impl Agent {
    /// Begins the run `id` and drives it until it stops. Dropping the future cancels it; what the
    /// journal has of it can be resumed.
    ///
    /// # Errors
    ///
    /// [`Mismatch`](ErrorKind::Mismatch) when there is such a run already; those of the journal.
    /// What the model does wrong is an [`Outcome`], not an error.
    pub async fn start(&self, id: &str, goal: &str, watch: Watcher<'_>) -> Result<Run> {
        let started = RunEvent::Started {
            version: JOURNAL_VERSION,
            goal: goal.to_owned(),
            tainted: false,
        };
        self.begin_as(id, started, watch, None).await
    }

    /// Begins a run for another one, or for itself.
    pub(super) fn begin_as<'a>(
        &'a self,
        id: &'a str,
        started: RunEvent,
        watch: Watcher<'a>,
        kin: Option<&'a Arc<Kin>>,
    ) -> BoxFuture<'a, Result<Run>> {
        Box::pin(async move {
            let mut run = self.live(id, RunState::default(), 0, watch, kin);
            run.record(started).await?;
            self.drive(run).await
        })
    }

    /// Goes on with a run from its journal: after a crash, after a person decided, or with
    /// something more that is said behind its answer.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown run; [`BadInput`](ErrorKind::BadInput) for
    /// decisions about calls that do not wait, and for a run that has ended, unless the decision
    /// is [`Decision::Say`]; [`Malformed`](ErrorKind::Malformed) for a journal that is none.
    pub async fn resume(
        &self,
        id: &str,
        decisions: impl IntoIterator<Item = Decision>,
        watch: Watcher<'_>,
    ) -> Result<Run> {
        let decisions = decisions.into_iter().collect();
        self.continue_as(id, decisions, watch, None).await
    }

    /// Goes on with a run, for another one or for itself. One that has ended is returned to
    /// another as it is.
    pub(super) fn continue_as<'a>(
        &'a self,
        id: &'a str,
        decisions: Vec<Decision>,
        watch: Watcher<'a>,
        kin: Option<&'a Arc<Kin>>,
    ) -> BoxFuture<'a, Result<Run>> {
        Box::pin(async move {
            let records = self.history(id).await?;
            let state = RunState::of(&records);
            if state.is_half_copied() {
                let cause = "it is a copy that was broken off";
                return Err(
                    Error::new(ErrorKind::BadInput, format!("run `{id}`"), cause)
                        .hint("fork the other run once more, under another name"),
                );
            }
            let ended = state.outcome().is_some_and(Outcome::is_final);
            let mut run = self.live(id, state, records.len() as u64, watch, kin);
            if ended && decisions.is_empty() {
                if kin.is_some() {
                    return run.finish();
                }
                let cause = "it has ended; there is nothing to resume";
                return Err(
                    Error::new(ErrorKind::BadInput, format!("run `{id}`"), cause).hint(
                        "say something more, `--decide say=TEXT`, to go on with its conversation",
                    ),
                );
            }
            let events = run.take(decisions)?;
            if run.state.outcome().is_some() {
                run.record(RunEvent::Resumed).await?;
            }
            for event in events {
                run.record(event).await?;
            }
            self.drive(run).await
        })
    }

    fn live<'a>(
        &'a self,
        id: &'a str,
        state: RunState,
        sequence: u64,
        watch: Watcher<'a>,
        kin: Option<&Arc<Kin>>,
    ) -> Live<'a> {
        let family = match kin {
            Some(kin) => {
                kin.family.add(state.spent().steps, state.spent().usage);
                Arc::clone(&kin.family)
            }
            None => Arc::new(Family::new(self, *state.spent(), state.sub_runs())),
        };
        Live {
            id,
            root: self,
            state,
            watch,
            family,
            depth: kin.map_or(0, |kin| kin.depth + 1),
            decisions: HashMap::new(),
            sequence,
            unwritten: Vec::new(),
            since: Instant::now(),
        }
    }

    /// The events of a run.
    ///
    /// # Errors
    ///
    /// Those of [`history`].
    pub async fn history(&self, id: &str) -> Result<Vec<Record>> {
        match &self.journal {
            Some(journal) => history(journal.as_ref(), id).await,
            None => Err(unknown(id)),
        }
    }

    async fn drive(&self, mut run: Live<'_>) -> Result<Run> {
        let span = tracing::info_span!(
            "invoke_agent",
            otel.name = format!("invoke_agent {}", self.name),
            gen_ai.operation.name = "invoke_agent",
            gen_ai.agent.name = self.name,
            gen_ai.conversation.id = run.id,
            gen_ai.usage.input_tokens = tracing::field::Empty,
            gen_ai.usage.output_tokens = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        let steps = async {
            loop {
                let agent = self.on_duty(&run.state)?;
                match run.state.next(&self.options.budget) {
                    Next::Stopped => return Ok(()),
                    Next::Stop(outcome) => agent.stop(&mut run, outcome).await?,
                    Next::Judge => agent.judge(&mut run).await?,
                    Next::RunTools => agent.run_tools(&mut run).await?,
                    Next::Settle(call) => agent.settle(&mut run, &call).await?,
                    Next::Nudge(text) => {
                        (run.watch)(AgentEvent::Nudged(text.clone()));
                        run.record(RunEvent::Nudged { text }).await?;
                    }
                    Next::AskModel => match run.family.reached() {
                        Some(limit) => {
                            agent
                                .stop(&mut run, Outcome::BudgetExceeded { limit })
                                .await?;
                        }
                        None => agent.ask(&mut run).await?,
                    },
                }
            }
        };
        let driven: Result<()> = steps.instrument(span.clone()).await;
        let usage = run.state.spent().usage;
        span.record("gen_ai.usage.input_tokens", usage.prompt_tokens);
        span.record("gen_ai.usage.output_tokens", usage.completion_tokens);
        if driven.is_err() || matches!(run.state.outcome(), Some(Outcome::Failed { .. })) {
            span.record("error.type", "run_failed");
        }
        driven?;
        run.finish()
    }

    pub(super) async fn stop(&self, run: &mut Live<'_>, mut outcome: Outcome) -> Result<()> {
        if let Outcome::Done { answer, value } = &mut outcome
            && matches!(self.options.response_format, ResponseFormat::JsonSchema(_))
        {
            match serde_json::from_str(answer) {
                Ok(parsed) => *value = Some(parsed),
                Err(error) => {
                    outcome = Outcome::Failed {
                        why: format!(
                            "the answer is no JSON: {error}; say so to the model to go on"
                        ),
                        retryable: false,
                    };
                }
            }
        }
        (run.watch)(AgentEvent::Stopped(outcome.clone()));
        run.record(RunEvent::Stopped { outcome }).await
    }

    /// Stops a run that cannot go on now.
    pub(super) async fn fail(&self, run: &mut Live<'_>, error: &Error) -> Result<()> {
        let late = error.kind() == &ErrorKind::LimitExceeded
            && self.left(run).is_some_and(|left| left.is_zero());
        let outcome = match late {
            true => Outcome::BudgetExceeded { limit: Limit::Time },
            false => Outcome::Failed {
                why: error.to_string(),
                retryable: error.is_retryable(),
            },
        };
        self.stop(run, outcome).await
    }

    /// The time that is left.
    pub(super) fn left(&self, run: &Live<'_>) -> Option<Duration> {
        let spent = Duration::from_millis(run.state.spent().millis) + run.since.elapsed();
        let budget = &run.root.options.budget;
        budget.time.map(|most| most.saturating_sub(spent))
    }
}

impl Live<'_> {
    /// Writes an event down, and what was noted before it.
    pub async fn record(&mut self, event: RunEvent) -> Result<()> {
        self.note(event);
        let records = std::mem::take(&mut self.unwritten);
        let Some(journal) = &self.root.journal else {
            return Ok(());
        };
        let mut appends = Vec::with_capacity(records.len());
        for record in records {
            let event = serde_json::to_value(&record).map_err(|error| {
                Error::new(ErrorKind::Internal, format!("run `{}`", self.id), error)
            })?;
            // All are on their way before the first is waited for: they share a sync.
            appends.push(journal.append(self.id, self.sequence, event));
            self.sequence += 1;
        }
        for append in appends {
            append.await?;
        }
        Ok(())
    }

    /// Takes in an event that follows from those before it, and leaves it to be written with the
    /// next: lost with the process, it happens again.
    pub fn note(&mut self, event: RunEvent) {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since += Duration::from_millis(millis);
        let record = Record { event, millis };
        match &record.event {
            RunEvent::Replied { usage, .. } => self.family.add(1, *usage),
            RunEvent::Summarised { usage, .. } => self.family.add(0, *usage),
            _ => {}
        }
        self.state.apply(&record);
        self.unwritten.push(record);
    }

    /// What the call of this id hands to another agent's run.
    pub fn kin(&self, call: &str) -> Arc<Kin> {
        let decisions = self.decisions.get(call).cloned().unwrap_or_default();
        Arc::new(Kin {
            family: Arc::clone(&self.family),
            depth: self.depth,
            tainted: self.state.is_tainted(),
            journal: self.root.journal.clone(),
            decisions: decisions.into(),
            back: Default::default(),
        })
    }

    /// What decisions make happen; those about calls of other agents' runs are kept for them. All
    /// are checked before the first is taken.
    fn take(&mut self, decisions: Vec<Decision>) -> Result<Vec<RunEvent>> {
        let mut events = Vec::new();
        let mut state = self.state.clone();
        for decision in decisions {
            if let Some((call, below)) = self.of_another(&decision) {
                self.decisions.entry(call).or_default().push(below);
                continue;
            }
            let agent = self.root.on_duty(&state)?;
            for event in decision.events(&state, &agent.tools)? {
                let record = Record { event, millis: 0 };
                state.apply(&record);
                events.push(record.event);
            }
        }
        Ok(events)
    }

    /// The call whose run a decision is for, and the decision as that run knows it.
    fn of_another(&self, decision: &Decision) -> Option<(String, Decision)> {
        let question = match self.state.outcome() {
            Some(Outcome::NeedsInput {
                question: Inquiry::Model { call, .. },
            }) => Some(call.as_str()),
            _ => None,
        };
        let id = decision.call().or(question)?;
        let calls = self.state.calls();
        if calls.iter().any(|it| it.call.id == id) {
            return None;
        }
        let runs = calls.iter().filter(|it| it.status == CallStatus::Allowed);
        let mut found = runs.filter_map(|it| Some((it, id.strip_prefix(&it.call.id)?)));
        let (run, below) = found.find_map(|(it, rest)| Some((it, rest.strip_prefix('/')?)))?;
        Some((run.call.id.clone(), decision.clone().about(below)))
    }

    fn finish(self) -> Result<Run> {
        let missing = || {
            let cause = "it has not stopped";
            Error::new(ErrorKind::Internal, format!("run `{}`", self.id), cause)
        };
        Ok(Run {
            outcome: self.state.outcome().cloned().ok_or_else(missing)?,
            messages: self.state.messages().to_vec(),
            spent: *self.state.spent(),
            tainted: self.state.is_tainted(),
            id: self.id.to_owned(),
        })
    }
}
