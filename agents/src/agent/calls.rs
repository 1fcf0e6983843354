//! What becomes of calls: judging, running, settling them.

use std::time::Duration;

use corbie_core::{Invocation, Result, ToolCall};
use futures::channel::mpsc;
use futures::stream::FuturesUnordered;
use futures::{StreamExt, future};
use serde_json::Value;

use super::event::{Judgement, RunEvent, ToolResult};
use super::outcome::{Inquiry, Outcome};
use super::policy::Action;
use super::runner::Live;
use super::state::CallStatus;
use super::tools::Ran;
use super::{ASK_PERSON, Agent, AgentEvent, Watcher};

impl Agent {
    /// Decides about the calls that are new.
    pub(super) fn judge(&self, run: &mut Live<'_>) {
        let new = run
            .state
            .calls()
            .iter()
            .filter(|it| it.status == CallStatus::New);
        let new: Vec<ToolCall> = new.map(|it| it.call.clone()).collect();
        for call in new {
            let event = match self.verdict(run, &call) {
                Ok(judgement) => RunEvent::Judged {
                    call: call.id,
                    judgement,
                },
                Err(complaint) => RunEvent::Ended {
                    result: ToolResult::failure(complaint),
                    call: call.id,
                },
            };
            if let RunEvent::Ended { call, result } = &event {
                let (call, result) = (call.clone(), result.clone());
                (run.watch)(AgentEvent::Result { call, result });
            }
            self.note(run, event);
        }
    }

    /// What is decided about a call, or what is wrong with it.
    fn verdict(&self, run: &Live<'_>, call: &ToolCall) -> Result<Judgement, String> {
        if call.name == ASK_PERSON && self.options.ask_person {
            return match &call.arguments["question"] {
                Value::String(_) => Ok(Judgement::Asked("the model asks".into())),
                _ => Err("`question` must be a text.".into()),
            };
        }
        if let Some(complaint) = self.tools.complaint(call) {
            return Err(complaint);
        }
        let effects = self.tools.effects(&call.name);
        let tainted = run.state.is_tainted();
        let mut granted = run.state.grants().iter();
        if !effects.approval && granted.any(|rule| rule.matches(call, &effects, tainted)) {
            return Ok(Judgement::Allowed);
        }
        let (action, why) = self.options.policy.judge(call, &effects, tainted);
        Ok(match action {
            Action::Allow => Judgement::Allowed,
            Action::Ask => Judgement::Asked(why),
            Action::Refuse => Judgement::Refused(format!("This call is not allowed: {why}.")),
        })
    }

    /// Runs the calls that may run: what changes nothing runs together, the rest one by one.
    pub(super) async fn run_tools(&self, run: &mut Live<'_>) -> Result<()> {
        let allowed = run
            .state
            .calls()
            .iter()
            .filter(|it| it.status == CallStatus::Allowed);
        let (together, alone): (Vec<_>, Vec<_>) = allowed
            .map(|it| (it.call.clone(), it.ordinal))
            .partition(|(call, _)| self.tools.effects(&call.name).read_only);
        let (id, watch) = (run.id, run.watch);
        let left = self.left(run).unwrap_or(Duration::MAX);
        let mut running: FuturesUnordered<_> = together
            .iter()
            .map(|(call, ordinal)| async move {
                (call, self.call(id, watch, call, *ordinal, left).await)
            })
            .collect();
        while let Some((call, ran)) = running.next().await {
            self.ended(run, call, ran).await?;
        }
        for (call, ordinal) in &alone {
            let key = key(id, *ordinal);
            let begun = RunEvent::Begun {
                call: call.id.clone(),
                key,
            };
            self.record(run, begun).await?;
            let left = self.left(run).unwrap_or(Duration::MAX);
            let ran = self.call(id, watch, call, *ordinal, left).await;
            self.ended(run, call, ran).await?;
            if run.state.outcome().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Runs one call.
    async fn call(
        &self,
        id: &str,
        watch: Watcher<'_>,
        call: &ToolCall,
        ordinal: usize,
        left: Duration,
    ) -> Ran {
        watch(AgentEvent::Begun(call.id.clone()));
        let (reports, mut heard) = mpsc::unbounded();
        let invocation = Invocation::new(key(id, ordinal), call.arguments.clone())
            .on_progress(move |text| drop(reports.unbounded_send(text.to_owned())));
        let timeout = self.options.tool_timeout.min(left);
        let most = self.options.result_bytes;
        let work = self.tools.run(&call.name, invocation, timeout, most);
        let listen = async {
            while let Some(text) = heard.next().await {
                let call = call.id.clone();
                watch(AgentEvent::Progress { call, text });
            }
        };
        future::join(work, listen).await.0
    }

    /// Takes in what came of a call.
    async fn ended(&self, run: &mut Live<'_>, call: &ToolCall, ran: Ran) -> Result<()> {
        match ran {
            Ran::Ended(result) => {
                (run.watch)(AgentEvent::Result {
                    call: call.id.clone(),
                    result: result.clone(),
                });
                let call = call.id.clone();
                self.record(run, RunEvent::Ended { call, result }).await
            }
            Ran::Unknown(why) => {
                tracing::warn!(
                    tool = call.name,
                    why,
                    "nobody knows whether a call took effect"
                );
                self.ask_about(run, call).await
            }
        }
    }

    /// Finds out what became of a call that was begun and not seen to end: what may be repeated
    /// is, about the rest a person is asked.
    pub(super) async fn settle(&self, run: &mut Live<'_>, call: &ToolCall) -> Result<()> {
        let effects = self.tools.effects(&call.name);
        if !(effects.read_only || effects.idempotent) {
            return self.ask_about(run, call).await;
        }
        let again = RunEvent::Judged {
            call: call.id.clone(),
            judgement: Judgement::Allowed,
        };
        self.record(run, again).await
    }

    async fn ask_about(&self, run: &mut Live<'_>, call: &ToolCall) -> Result<()> {
        let state = run.state.calls().iter().find(|it| it.call.id == call.id);
        let question = Inquiry::Unfinished {
            key: key(run.id, state.map_or(0, |state| state.ordinal)),
            call: call.clone(),
        };
        self.stop(run, Outcome::NeedsInput { question }).await
    }
}

/// The key of an effect: the same for every attempt at it.
fn key(run: &str, ordinal: usize) -> String {
    format!("{run}-{ordinal}")
}
