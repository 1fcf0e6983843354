//! What becomes of calls: judging, running, settling them.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use corbie_core::{Invocation, Result, ToolCall};
use futures::channel::mpsc;
use futures::future::{self, Either};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use tracing::Instrument;

use super::event::{Judgement, RunEvent, ToolResult};
use super::family::Kin;
use super::handoff::HAND_OFF;
use super::hook::Ruling;
use super::outcome::{Inquiry, Outcome};
use super::policy::Action;
use super::runner::Live;
use super::state::CallStatus;
use super::tools::Ran;
use super::{ASK_PERSON, Agent, AgentEvent, Watcher};

impl Agent {
    /// Decides about the calls that are new.
    pub(super) async fn judge(&self, run: &mut Live<'_>) -> Result<()> {
        let new = run
            .state
            .calls()
            .iter()
            .filter(|it| it.status == CallStatus::New);
        let new: Vec<ToolCall> = new.map(|it| it.call.clone()).collect();
        for mut call in new {
            let mut said = Vec::new();
            for hook in &self.hooks {
                match hook.before_tool(&run.state, &call).await {
                    Ok(Ruling::Pass) => {}
                    Ok(Ruling::Amend(arguments)) => call.arguments = arguments,
                    Ok(Ruling::Ask(why)) => said.push(Judgement::Asked(why)),
                    Ok(Ruling::Refuse(why)) => said.push(refusal(&why)),
                    Err(error) => return self.fail(run, &error).await,
                }
            }
            let judged = run.state.calls().iter().find(|it| it.call.id == call.id);
            if judged.is_some_and(|it| it.call.arguments != call.arguments) {
                let (call, arguments) = (call.id.clone(), call.arguments.clone());
                run.note(RunEvent::Amended { call, arguments });
            }
            let event = match self.verdict(run, &call) {
                Ok(judgement) => RunEvent::Judged {
                    judgement: strictest(judgement, said),
                    call: call.id,
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
            run.note(event);
        }
        Ok(())
    }

    /// What is decided about a call, or what is wrong with it.
    fn verdict(&self, run: &Live<'_>, call: &ToolCall) -> Result<Judgement, String> {
        if call.name == ASK_PERSON && self.options.ask_person {
            return match &call.arguments["question"] {
                Value::String(_) => Ok(Judgement::Asked("the model asks".into())),
                _ => Err("`question` must be a text.".into()),
            };
        }
        if call.name == HAND_OFF && !run.root.peers.is_empty() {
            return run.recipient(call).map(|_| Judgement::Allowed);
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
            Action::Refuse => refusal(&why),
        })
    }

    /// Runs the calls that may run: what changes nothing runs together, the rest one by one.
    pub(super) async fn run_tools(&self, run: &mut Live<'_>) -> Result<()> {
        let allowed = run
            .state
            .calls()
            .iter()
            .filter(|it| it.status == CallStatus::Allowed);
        let allowed: Vec<(ToolCall, usize)> =
            allowed.map(|it| (it.call.clone(), it.ordinal)).collect();
        let (leaving, allowed): (Vec<_>, Vec<_>) = allowed
            .into_iter()
            .partition(|(call, _)| call.name == HAND_OFF && !run.root.peers.is_empty());
        let (together, alone): (Vec<_>, Vec<_>) = allowed
            .into_iter()
            .partition(|(call, _)| self.tools.effects(&call.name).read_only);
        let mut waits = Vec::new();
        let together = together
            .into_iter()
            .map(|(call, ordinal)| self.invocation(run, call, ordinal));
        let mut running: FuturesUnordered<_> = together
            .map(|work| async { (self.call(&work).await, work) })
            .collect();
        while let Some((ran, work)) = running.next().await {
            self.ended(run, &work.call, ran, &mut waits).await?;
        }
        for (call, ordinal) in alone {
            let begun = RunEvent::Begun {
                call: call.id.clone(),
                key: key(run.id, ordinal),
            };
            run.record(begun).await?;
            let work = self.invocation(run, call, ordinal);
            let ran = self.call(&work).await;
            self.ended(run, &work.call, ran, &mut waits).await?;
            if run.state.outcome().is_some() {
                return Ok(());
            }
        }
        if run.state.outcome().is_some() {
            return Ok(());
        }
        for (call, _) in leaving {
            run.hand_off(&call).await?;
        }
        match merged(waits) {
            Some(outcome) => self.stop(run, outcome).await,
            None => Ok(()),
        }
    }

    /// What a call needs of the run, so that it can run beside others.
    fn invocation<'a>(&self, run: &Live<'a>, call: ToolCall, ordinal: usize) -> Work<'a> {
        Work {
            key: key(run.id, ordinal),
            watch: run.watch,
            left: self.left(run).unwrap_or(Duration::MAX),
            kin: run.kin(&call.id),
            tainted: run.state.is_tainted(),
            call,
        }
    }

    /// Runs one call.
    async fn call(&self, work: &Work<'_>) -> Ran {
        let (call, watch) = (&work.call, work.watch);
        watch(AgentEvent::Begun(call.id.clone()));
        let (reports, mut heard) = mpsc::unbounded();
        let invocation = Invocation::new(&work.key, call.arguments.clone())
            .with_context(work.kin.clone())
            .with_taint(work.tainted)
            .on_progress(move |text| drop(reports.unbounded_send(text.to_owned())));
        let times = (self.options.tool_timeout, work.left);
        let most = self.options.result_bytes;
        let run = self.tools.run(&call.name, invocation, times, most);
        let tell = |text| {
            let call = call.id.clone();
            watch(AgentEvent::Progress { call, text });
        };
        let span = tracing::info_span!(
            "execute_tool",
            otel.name = format!("execute_tool {}", call.name),
            gen_ai.operation.name = "execute_tool",
            gen_ai.tool.name = call.name,
            gen_ai.tool.call.id = call.id,
            gen_ai.tool.r#type = "function",
            error.type = tracing::field::Empty,
        );
        let told = async {
            let listen = async {
                while let Some(text) = heard.next().await {
                    tell(text);
                }
            };
            match future::select(pin!(run), pin!(listen)).await {
                Either::Left((ran, _)) => ran,
                Either::Right(((), run)) => run.await,
            }
        };
        let ran = told.instrument(span.clone()).await;
        // What it reported last is heard; what it reports behind its end, if it kept the
        // invocation, is not waited for.
        while let Some(Some(text)) = heard.next().now_or_never() {
            tell(text);
        }
        if matches!(&ran, Ran::Ended(result) if result.failed) {
            span.record("error.type", "tool_error");
        }
        work.came(ran)
    }

    /// Takes in what came of a call.
    async fn ended(
        &self,
        run: &mut Live<'_>,
        call: &ToolCall,
        ran: Ran,
        waits: &mut Vec<Outcome>,
    ) -> Result<()> {
        match ran {
            Ran::Ended(mut result) => {
                for hook in &self.hooks {
                    result = match hook.after_tool(&run.state, call, result).await {
                        Ok(result) => result,
                        Err(error) => return self.fail(run, &error).await,
                    };
                }
                (run.watch)(AgentEvent::Result {
                    call: call.id.clone(),
                    result: result.clone(),
                });
                let call = call.id.clone();
                run.record(RunEvent::Ended { call, result }).await
            }
            Ran::Unknown(why) => {
                tracing::warn!(
                    tool = call.name,
                    why,
                    "nobody knows whether a call took effect"
                );
                self.ask_about(run, call).await
            }
            Ran::Waits(outcome) => {
                waits.push(outcome);
                Ok(())
            }
            Ran::Broke(error) => Err(error),
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
        run.record(again).await
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

/// One call at work.
struct Work<'a> {
    call: ToolCall,
    key: String,
    watch: Watcher<'a>,
    left: Duration,
    kin: Arc<Kin>,
    tainted: bool,
}

impl Work<'_> {
    /// How the call ended, by what came back from another agent's run if it was one.
    fn came(&self, ran: Ran) -> Ran {
        let mut back = self.kin.back.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = back.broke.take() {
            return Ran::Broke(error);
        }
        if let Some(outcome) = back.waits.take() {
            return Ran::Waits(outcome.of_call(&self.call.id));
        }
        match ran {
            Ran::Ended(mut result) => {
                result.spent = back.spent;
                result.trusted |= back.trusted;
                Ran::Ended(result)
            }
            other => other,
        }
    }
}

/// What several runs wait for, in one.
fn merged(waits: Vec<Outcome>) -> Option<Outcome> {
    let mut all = Vec::new();
    for outcome in waits {
        match outcome {
            Outcome::NeedsApproval { calls } => all.extend(calls),
            question => return Some(question),
        }
    }
    (!all.is_empty()).then_some(Outcome::NeedsApproval { calls: all })
}

/// The strictest of what a policy and hooks decided.
fn strictest(policy: Judgement, hooks: Vec<Judgement>) -> Judgement {
    let strictness = |judgement: &Judgement| match judgement {
        Judgement::Allowed | Judgement::Edited(_) => 0,
        Judgement::Asked(_) => 1,
        Judgement::Refused(_) => 2,
    };
    // Of equals the policy's stands.
    hooks.into_iter().fold(policy, |most, next| {
        match strictness(&next) > strictness(&most) {
            true => next,
            false => most,
        }
    })
}

fn refusal(why: &str) -> Judgement {
    Judgement::Refused(format!("This call is not allowed: {why}."))
}

/// The key of an effect: the same for every attempt at it.
fn key(run: &str, ordinal: usize) -> String {
    format!("{run}-{ordinal}")
}
