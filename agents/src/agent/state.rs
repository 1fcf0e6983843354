//! A run as a fold over its events, and what follows from it. No I/O, no clock, no model.

use std::collections::HashSet;

use corbie_core::{FinishReason, Message, ToolCall};
use serde_json::Value;

use super::event::{Judgement, Record, RunEvent, ToolResult};
use super::outcome::{Budget, Inquiry, Limit, Outcome, Pending, Spent};
use super::policy::Rule;
use super::progress::{Pace, Progress};
use super::{ASK_PERSON, MAX_CALLS};

/// Where a run stands.
///
/// ```
/// use corbie_agents::{Budget, Next, Record, RunEvent, RunState};
///
/// let mut state = RunState::default();
/// let event = RunEvent::Started { version: 1, goal: "What is 2 + 3?".into(), tainted: false };
/// state.apply(&Record { event, millis: 0 });
/// assert_eq!(state.next(&Budget::default()), Next::AskModel);
/// ```
#[derive(Debug, Clone, Default)]
pub struct RunState {
    goal: String,
    messages: Vec<Message>,
    /// The calls of the last answer, until all have ended.
    calls: Vec<CallState>,
    ids: HashSet<String>,
    /// Calls of the last answer that were not taken.
    dropped: usize,
    finish: Option<FinishReason>,
    /// Answers of the model, those of other agents not counted.
    answers: usize,
    spent: Spent,
    progress: Progress,
    grants: Vec<Rule>,
    tainted: bool,
    /// The agent that has the conversation; `None`: the one that began.
    active: Option<String>,
    /// So many messages behind the goal are read as this text.
    summary: Option<(usize, String)>,
    /// Runs of other agents that ended.
    sub_runs: usize,
    /// Events of a copied run that are still to come.
    to_copy: usize,
    outcome: Option<Outcome>,
}

/// A call of the last answer.
#[derive(Debug, Clone, PartialEq)]
pub struct CallState {
    /// The call, with an id that no other of the run has.
    pub call: ToolCall,
    /// How many calls the run made before it.
    pub ordinal: usize,
    /// What became of it.
    pub status: CallStatus,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum CallStatus {
    /// Nothing yet.
    New,
    /// A person is asked about it, for this reason.
    Asked(String),
    /// It may run.
    Allowed,
    /// It was begun.
    Begun {
        /// The key of its effect.
        key: String,
    },
    /// It ended.
    Ended(ToolResult),
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Decide about the calls that are new.
    Judge,
    /// Run the calls that may run.
    RunTools,
    /// Find out what became of a call that was begun and not seen to end.
    Settle(ToolCall),
    /// Tell the model this.
    Nudge(String),
    /// Ask the model.
    AskModel,
    /// Stop.
    Stop(Outcome),
    /// It has stopped.
    Stopped,
}

impl RunState {
    /// The fold of a whole journal.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        records.into_iter().for_each(|record| state.apply(record));
        state
    }

    /// What is to be reached.
    pub fn goal(&self) -> &str {
        &self.goal
    }

    /// The conversation: results stand behind the answer that called for them, all or none.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The conversation as the model reads it: what was summarised is its summary.
    pub fn prompt(&self) -> Vec<Message> {
        let Some((count, text)) = &self.summary else {
            return self.messages.clone();
        };
        let behind = self.messages.len().min(1 + count);
        let note = format!(
            "[Summary of {count} earlier messages. It tells what happened and asks for nothing.]\n{text}"
        );
        let mut prompt = self.messages[..self.messages.len().min(1)].to_vec();
        prompt.push(Message::user(note));
        prompt.extend_from_slice(&self.messages[behind..]);
        prompt
    }

    /// The agent that has the conversation; `None`: the one that began.
    pub fn active(&self) -> Option<&str> {
        self.active.as_deref()
    }

    /// How many messages behind the goal are read as a summary.
    pub(super) fn summarised(&self) -> usize {
        self.summary.as_ref().map_or(0, |(count, _)| *count)
    }

    /// Answers of the model, those of other agents not counted.
    pub(super) fn answers(&self) -> usize {
        self.answers
    }

    /// Runs of other agents that ended.
    pub(super) fn sub_runs(&self) -> usize {
        self.sub_runs
    }

    /// Whether it is a copy of another run that was not finished.
    pub(super) fn is_half_copied(&self) -> bool {
        self.to_copy > 0
    }

    /// The calls of the last answer that have not all ended.
    pub fn calls(&self) -> &[CallState] {
        &self.calls
    }

    /// What it has used.
    pub fn spent(&self) -> &Spent {
        &self.spent
    }

    /// Whether text from outside is in the conversation.
    pub fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// What a person allowed for the rest of the run.
    pub fn grants(&self) -> &[Rule] {
        &self.grants
    }

    /// How it stopped, unless it goes on.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Takes in what happened.
    pub fn apply(&mut self, record: &Record) {
        self.spent.millis += record.millis;
        self.to_copy = self.to_copy.saturating_sub(1);
        match &record.event {
            RunEvent::Started { goal, tainted, .. } => {
                self.goal.clone_from(goal);
                self.tainted |= tainted;
                self.messages.push(Message::user(goal.as_str()));
            }
            RunEvent::Forked { events, .. } => self.to_copy = *events,
            RunEvent::Replied {
                message,
                finish,
                usage,
                dropped,
            } => {
                self.answers += 1;
                self.spent.steps += 1;
                self.spent.usage += *usage;
                self.finish = Some(*finish);
                self.dropped = *dropped;
                self.take_reply(message.clone());
            }
            RunEvent::Judged { call, judgement } => self.judge(call, judgement),
            RunEvent::Amended { call, arguments } => {
                if let Some(state) = self.calls.iter_mut().find(|it| it.call.id == *call) {
                    state.call.arguments = arguments.clone();
                }
            }
            RunEvent::Granted { rule } => self.grants.push(rule.clone()),
            RunEvent::Begun { call, key } => {
                let key = key.clone();
                self.set(call, CallStatus::Begun { key });
            }
            RunEvent::Ended { call, result } => {
                self.spent.calls += 1;
                if let Some(spent) = result.spent {
                    self.sub_runs += 1;
                    self.spent.steps += spent.steps;
                    self.spent.calls += spent.calls;
                    self.spent.usage += spent.usage;
                }
                self.set(call, CallStatus::Ended(result.clone()));
                self.gather();
            }
            RunEvent::Nudged { text } => {
                self.progress.nudge();
                self.messages.push(Message::user(text.as_str()));
            }
            RunEvent::HandedOff { to } => self.active = Some(to.clone()),
            RunEvent::Summarised {
                messages,
                text,
                usage,
            } => {
                self.spent.usage += *usage;
                self.summary = Some((*messages, text.clone()));
            }
            RunEvent::Told { text } => {
                self.progress.forgive();
                self.messages.push(Message::user(text.as_str()));
            }
            RunEvent::Stopped { outcome } => self.outcome = Some(outcome.clone()),
            RunEvent::Resumed => {
                if matches!(self.outcome, Some(Outcome::Stuck { .. })) {
                    self.progress.forgive();
                }
                self.outcome = None;
            }
        }
    }

    fn take_reply(&mut self, mut message: Message) {
        for call in &mut message.tool_calls {
            while call.id.is_empty() || !self.ids.insert(call.id.clone()) {
                call.id = format!("call_{}", self.ids.len());
            }
            self.calls.push(CallState {
                ordinal: self.ids.len() - 1,
                call: call.clone(),
                status: CallStatus::New,
            });
        }
        if message.tool_calls.is_empty() && message.content.trim().is_empty() {
            self.progress.observe_silence();
        }
        self.messages.push(message);
    }

    fn judge(&mut self, call: &str, judgement: &Judgement) {
        match judgement {
            Judgement::Allowed => self.set(call, CallStatus::Allowed),
            Judgement::Asked(why) => self.set(call, CallStatus::Asked(why.clone())),
            Judgement::Edited(arguments) => {
                if let Some(state) = self.calls.iter_mut().find(|it| it.call.id == call) {
                    state.call.arguments = arguments.clone();
                    state.status = CallStatus::Allowed;
                }
            }
            Judgement::Refused(why) => {
                self.set(call, CallStatus::Ended(ToolResult::failure(why.as_str())));
                self.gather();
            }
        }
    }

    fn set(&mut self, call: &str, status: CallStatus) {
        if let Some(state) = self.calls.iter_mut().find(|it| it.call.id == call) {
            state.status = status;
        }
    }

    /// Puts the results into the conversation when all are there.
    fn gather(&mut self) {
        let ended = |state: &CallState| matches!(state.status, CallStatus::Ended(_));
        if !self.calls.iter().all(ended) {
            return;
        }
        for state in std::mem::take(&mut self.calls) {
            if let CallStatus::Ended(result) = state.status {
                self.progress.observe(&state.call, &result);
                self.tainted |= !result.trusted;
                self.messages
                    .push(Message::tool(state.call.id, result.content));
            }
        }
        if self.dropped > 0 {
            let note = format!(
                "[{} more calls of this answer were dropped: one answer may hold {MAX_CALLS}.]",
                std::mem::take(&mut self.dropped)
            );
            self.messages.push(Message::user(note));
        }
    }

    /// What is to be done next.
    pub fn next(&self, budget: &Budget) -> Next {
        if self.outcome.is_some() || self.messages.is_empty() {
            return Next::Stopped;
        }
        if !self.calls.is_empty() {
            return self.next_call();
        }
        let said = self
            .messages
            .last()
            .filter(|last| last.role == corbie_core::Role::Assistant);
        let answer = said
            .map(|message| message.content.trim())
            .unwrap_or_default();
        if !answer.is_empty() {
            return Next::Stop(match self.finish {
                Some(FinishReason::Length) => Outcome::BudgetExceeded {
                    limit: Limit::AnswerLength,
                },
                Some(FinishReason::ContentFilter) => Outcome::Refused {
                    why: "the model's service withheld the answer".into(),
                },
                _ => Outcome::Done {
                    answer: answer.to_owned(),
                    value: None,
                },
            });
        }
        match self.progress.pace() {
            Pace::Stuck(why) => return Next::Stop(Outcome::Stuck { why }),
            Pace::Slow(why) => {
                return Next::Nudge(format!(
                    "Note: {why}. Do something else, or answer with what you have."
                ));
            }
            Pace::Good => {}
        }
        match self.spent.reaches(budget) {
            Some(limit) => Next::Stop(Outcome::BudgetExceeded { limit }),
            None => Next::AskModel,
        }
    }

    fn next_call(&self) -> Next {
        let has = |status: fn(&CallStatus) -> bool| self.calls.iter().find(|it| status(&it.status));
        if has(|it| *it == CallStatus::New).is_some() {
            return Next::Judge;
        }
        if let Some(state) = has(|it| matches!(it, CallStatus::Begun { .. })) {
            return Next::Settle(state.call.clone());
        }
        if has(|it| *it == CallStatus::Allowed).is_some() {
            return Next::RunTools;
        }
        let waiting = self.calls.iter().filter_map(|state| match &state.status {
            CallStatus::Asked(why) => Some(Pending {
                call: state.call.clone(),
                why: why.clone(),
            }),
            _ => None,
        });
        let (questions, calls): (Vec<Pending>, Vec<Pending>) =
            waiting.partition(|pending| pending.call.name == ASK_PERSON);
        Next::Stop(match questions.into_iter().next() {
            Some(pending) if calls.is_empty() => Outcome::NeedsInput {
                question: Inquiry::Model {
                    text: match &pending.call.arguments["question"] {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    },
                    call: pending.call.id,
                },
            },
            _ => Outcome::NeedsApproval { calls },
        })
    }
}
