//! Driving a run: keeping the journal, asking the model, stopping and going on.

use std::time::{Duration, Instant};

use corbie_core::{
    ChatEvent, ChatRequest, Error, ErrorKind, Journal, JournalEntry, Message, ResponseFormat,
    Result, ToolSpec,
};
use futures::StreamExt;
use serde_json::json;

use super::event::{JOURNAL_VERSION, Record, RunEvent};
use super::outcome::{Limit, Outcome};
use super::state::{Next, RunState};
use super::{ASK_PERSON, Agent, AgentEvent, Decision, MAX_CALLS, Run, Watcher, window};

/// Tokens that are kept free for an answer where none are asked for.
const ROOM: usize = 512;

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
    pub state: RunState,
    /// The number of the next entry.
    sequence: u64,
    /// What happened and is written with the next entry.
    unwritten: Vec<Record>,
    /// When the last entry was written.
    since: Instant,
    pub watch: Watcher<'a>,
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
        let mut run = Live::new(id, watch);
        let started = RunEvent::Started {
            version: JOURNAL_VERSION,
            goal: goal.to_owned(),
            tainted: false,
        };
        self.record(&mut run, started).await?;
        self.drive(run).await
    }

    /// Goes on with a run from its journal: after a crash, or after a person decided.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown run; [`BadInput`](ErrorKind::BadInput) for
    /// decisions about calls that do not wait, and for a run that has ended;
    /// [`Malformed`](ErrorKind::Malformed) for a journal that is none.
    pub async fn resume(
        &self,
        id: &str,
        decisions: impl IntoIterator<Item = Decision>,
        watch: Watcher<'_>,
    ) -> Result<Run> {
        let mut run = Live::new(id, watch);
        for record in self.history(id).await? {
            run.state.apply(&record);
            run.sequence += 1;
        }
        if run.state.outcome().is_some_and(Outcome::is_final) {
            let cause = "it has ended; there is nothing to resume";
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("run `{id}`"),
                cause,
            ));
        }
        let mut events = Vec::new();
        let mut state = run.state.clone();
        // All decisions are checked before the first is taken.
        for decision in decisions {
            for event in decision.events(&state, &self.tools)? {
                let record = Record { event, millis: 0 };
                state.apply(&record);
                events.push(record.event);
            }
        }
        if run.state.outcome().is_some() {
            self.record(&mut run, RunEvent::Resumed).await?;
        }
        for event in events {
            self.record(&mut run, event).await?;
        }
        self.drive(run).await
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

    /// Writes an event down, then takes it in.
    pub(super) async fn record(&self, run: &mut Live<'_>, event: RunEvent) -> Result<()> {
        let record = run.now(event);
        run.state.apply(&record);
        run.unwritten.push(record);
        let records = std::mem::take(&mut run.unwritten);
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let mut appends = Vec::with_capacity(records.len());
        for record in records {
            let event = serde_json::to_value(&record).map_err(|error| {
                Error::new(ErrorKind::Internal, format!("run `{}`", run.id), error)
            })?;
            // All are on their way before the first is waited for: they share a sync.
            appends.push(journal.append(run.id, run.sequence, event));
            run.sequence += 1;
        }
        for append in appends {
            append.await?;
        }
        Ok(())
    }

    /// Takes in an event that follows from those before it, and leaves it to be written with the
    /// next: lost with the process, it happens again.
    pub(super) fn note(&self, run: &mut Live<'_>, event: RunEvent) {
        let record = run.now(event);
        run.state.apply(&record);
        run.unwritten.push(record);
    }

    async fn drive(&self, mut run: Live<'_>) -> Result<Run> {
        loop {
            match run.state.next(&self.options.budget) {
                Next::Stopped => break,
                Next::Stop(outcome) => self.stop(&mut run, outcome).await?,
                Next::Judge => self.judge(&mut run),
                Next::RunTools => self.run_tools(&mut run).await?,
                Next::Settle(call) => self.settle(&mut run, &call).await?,
                Next::Nudge(text) => {
                    (run.watch)(AgentEvent::Nudged(text.clone()));
                    self.record(&mut run, RunEvent::Nudged { text }).await?;
                }
                Next::AskModel => self.ask(&mut run).await?,
            }
        }
        let missing = || {
            Error::new(
                ErrorKind::NotFound,
                format!("run `{}`", run.id),
                "it has not begun",
            )
        };
        Ok(Run {
            outcome: run.state.outcome().cloned().ok_or_else(missing)?,
            messages: run.state.messages().to_vec(),
            spent: *run.state.spent(),
            id: run.id.to_owned(),
        })
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
        self.record(run, RunEvent::Stopped { outcome }).await
    }

    /// What the model may call, as it is told.
    fn specs(&self) -> Vec<ToolSpec> {
        let mut specs: Vec<ToolSpec> = self.tools.specs().cloned().collect();
        if self.options.ask_person {
            specs.push(ToolSpec {
                name: ASK_PERSON.into(),
                description: "Asks the person a question that no tool can answer.".into(),
                parameters: json!({
                    "type": "object",
                    "properties": {"question": {"type": "string"}},
                    "required": ["question"],
                    "additionalProperties": false,
                }),
            });
        }
        specs
    }

    async fn ask(&self, run: &mut Live<'_>) -> Result<()> {
        match self.reply(run).await {
            Ok(event) => self.record(run, event).await,
            Err(error) => {
                let why = error.to_string();
                let late = error.kind() == &ErrorKind::LimitExceeded
                    && self.left(run).is_some_and(|left| left.is_zero());
                let outcome = match late {
                    true => Outcome::BudgetExceeded { limit: Limit::Time },
                    false => Outcome::Failed {
                        why,
                        retryable: error.is_retryable(),
                    },
                };
                self.stop(run, outcome).await
            }
        }
    }

    /// The model's answer.
    async fn reply(&self, run: &Live<'_>) -> Result<RunEvent> {
        let options = &self.options;
        let system = Some(Message::system(options.instructions.as_str()));
        let system = system.filter(|message| !message.content.is_empty());
        let messages = system
            .into_iter()
            .chain(run.state.messages().iter().cloned());
        let mut request = ChatRequest {
            tools: self.specs(),
            tool_choice: options.tool_choice.clone(),
            parallel_tool_calls: options.parallel,
            response_format: options.response_format.clone(),
            sampling: options.sampling,
            max_tokens: options.max_tokens,
            timeout: self.left(run),
            ..ChatRequest::new(messages)
        };
        window::fit(
            self.model.as_ref(),
            &mut request,
            options.max_tokens.unwrap_or(ROOM),
        )?;
        let mut stream = self.model.stream(request).await?;
        let mut message = Message::assistant("");
        let mut dropped = 0;
        while let Some(event) = stream.next().await {
            match event? {
                ChatEvent::Text(text) => {
                    message.content.push_str(&text);
                    (run.watch)(AgentEvent::Text(text));
                }
                ChatEvent::Reasoning(text) => {
                    message.reasoning.get_or_insert_default().push_str(&text);
                    (run.watch)(AgentEvent::Reasoning(text));
                }
                // What a model floods with is worth neither the memory nor the journal.
                ChatEvent::ToolCall(_) if message.tool_calls.len() >= MAX_CALLS => dropped += 1,
                ChatEvent::ToolCall(call) => {
                    (run.watch)(AgentEvent::Call(call.clone()));
                    message.tool_calls.push(call);
                }
                ChatEvent::Finish { reason, usage } => {
                    return Ok(RunEvent::Replied {
                        message,
                        finish: reason,
                        usage,
                        dropped,
                    });
                }
            }
        }
        Err(Error::new(
            ErrorKind::Malformed,
            "chat stream",
            "it ended without a finish event",
        ))
    }

    /// The time that is left.
    pub(super) fn left(&self, run: &Live<'_>) -> Option<Duration> {
        let spent = Duration::from_millis(run.state.spent().millis) + run.since.elapsed();
        self.options
            .budget
            .time
            .map(|most| most.saturating_sub(spent))
    }
}

impl<'a> Live<'a> {
    /// What happens now, with the time since the last.
    fn now(&mut self, event: RunEvent) -> Record {
        let millis = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since += Duration::from_millis(millis);
        Record { event, millis }
    }

    fn new(id: &'a str, watch: Watcher<'a>) -> Self {
        Self {
            id,
            state: RunState::default(),
            sequence: 0,
            unwritten: Vec::new(),
            since: Instant::now(),
            watch,
        }
    }
}
