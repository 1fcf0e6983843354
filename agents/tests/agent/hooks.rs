//! What hooks may do, and what they may not; answers as Rust types; forks; summaries; spans.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_agents::{
    Agent, Bundle, Decision, FunctionTool, Hook, Outcome, Policy, Ruling, RunState, ToolResult,
    fork,
};
use corbie_core::testing::{MemoryJournal, ScriptedChatModel};
use corbie_core::{
    BoxFuture, ChatRequest, Error, ErrorKind, Message, Result, Role, Tool, ToolCall,
};
use serde_json::{Value, json};

use crate::kit::{Ledger, READ, agent, calls};

/// Says the same of every call.
struct Says(Ruling);

impl Hook for Says {
    fn before_tool<'a>(
        &'a self,
        _: &'a RunState,
        _: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Ruling>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

fn pay(sum: i64) -> Vec<Message> {
    vec![
        calls(&[("pay", json!({"sum": sum}))]),
        Message::assistant("done"),
    ]
}

#[tokio::test]
async fn a_hook_makes_a_policy_stricter_and_never_looser() {
    let ask = || Ruling::Ask("so".into());
    let refuse = || Ruling::Refuse("so".into());
    let amend = |sum: Value| Ruling::Amend(json!({"sum": sum}));
    let open = Policy::unattended;
    let closed = Policy::read_only;
    // The policy, the hooks, what was paid, and whether a person is asked.
    type Case = (fn() -> Policy, Vec<Ruling>, &'static [i64], bool);
    let cases: Vec<Case> = vec![
        (open, vec![Ruling::Pass], &[5], false),
        (open, vec![ask()], &[], true),
        (open, vec![refuse()], &[], false),
        (open, vec![ask(), refuse()], &[], false),
        (open, vec![amend(json!(3))], &[3], false),
        (open, vec![amend(json!(3)), ask()], &[], true),
        (open, vec![amend(json!("many"))], &[], false),
        (closed, vec![Ruling::Pass], &[], false),
        (closed, vec![ask()], &[], false),
        (closed, vec![amend(json!(3))], &[], false),
        (Policy::default, vec![Ruling::Pass], &[], true),
    ];
    for (policy, hooks, paid, asked) in cases {
        let ledger = Ledger::default();
        let (mut agent, _) = agent(pay(5), &ledger);
        agent.options.policy = policy();
        let name = format!("{hooks:?}");
        agent.hooks = hooks
            .into_iter()
            .map(|it| Arc::new(Says(it)) as Arc<dyn Hook>)
            .collect();
        let run = agent.run("Pay.").await.unwrap();
        let sums: Vec<Value> = ledger.entries().into_iter().map(|(_, sum)| sum).collect();
        assert_eq!(
            sums,
            paid.iter().map(|it| json!(it)).collect::<Vec<_>>(),
            "{name}"
        );
        let waits = matches!(run.outcome, Outcome::NeedsApproval { .. });
        assert_eq!(waits, asked, "{name}: {:?}", run.outcome);
    }
}

/// Shortens, counts, and rewrites.
#[derive(Default)]
struct Editor {
    fails_at: Option<&'static str>,
    seen: Mutex<Vec<&'static str>>,
}

impl Editor {
    fn at(&self, place: &'static str) -> Result<()> {
        self.seen.lock().unwrap().push(place);
        match self.fails_at == Some(place) {
            true => Err(Error::new(ErrorKind::BadInput, place, "no")),
            false => Ok(()),
        }
    }
}

impl Hook for Editor {
    fn before_model<'a>(
        &'a self,
        _: &'a RunState,
        mut request: ChatRequest,
    ) -> BoxFuture<'a, Result<ChatRequest>> {
        Box::pin(async move {
            self.at("before model")?;
            request.tools.retain(|tool| tool.name == "weather");
            Ok(request)
        })
    }

    fn after_model<'a>(
        &'a self,
        _: &'a RunState,
        mut reply: Message,
    ) -> BoxFuture<'a, Result<Message>> {
        Box::pin(async move {
            self.at("after model")?;
            reply.content = reply.content.replace("rain", "雨");
            Ok(reply)
        })
    }

    fn before_tool<'a>(
        &'a self,
        _: &'a RunState,
        _: &'a ToolCall,
    ) -> BoxFuture<'a, Result<Ruling>> {
        Box::pin(async move { self.at("before tool").map(|()| Ruling::Pass) })
    }

    fn after_tool<'a>(
        &'a self,
        _: &'a RunState,
        _: &'a ToolCall,
        mut result: ToolResult,
    ) -> BoxFuture<'a, Result<ToolResult>> {
        Box::pin(async move {
            self.at("after tool")?;
            result.content = "masked".into();
            Ok(result)
        })
    }
}

#[tokio::test]
async fn hooks_see_and_change_what_passes() {
    let script = || {
        vec![
            calls(&[("weather", json!({"city": "上海"}))]),
            Message::assistant("rain"),
        ]
    };
    let ledger = Ledger::default();
    let (mut watched, model) = agent(script(), &ledger);
    let editor = Arc::new(Editor::default());
    watched.hooks.push(editor.clone());
    let run = watched.run("Weather?").await.unwrap();
    assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "雨"));
    assert_eq!(run.messages[2].content, "masked");
    assert!(model.requests().iter().all(|it| it.tools.len() == 1));
    let order = [
        "before model",
        "after model",
        "before tool",
        "after tool",
        "before model",
        "after model",
    ];
    assert_eq!(*editor.seen.lock().unwrap(), order);

    for place in &order[..4] {
        let (mut watched, _) = agent(script(), &ledger);
        watched.hooks.push(Arc::new(Editor {
            fails_at: Some(place),
            ..Editor::default()
        }));
        let run = watched.run("Weather?").await.unwrap();
        let failed = matches!(&run.outcome, Outcome::Failed { why, .. } if why.contains(place));
        assert!(failed, "{place}: {:?}", run.outcome);
    }
}

#[tokio::test]
async fn an_effect_whose_result_was_lost_to_a_hook_is_asked_about() {
    let ledger = Ledger::default();
    let script = vec![
        calls(&[("post", json!({"text": "hi"}))]),
        Message::assistant("ok"),
    ];
    let (mut agent, _) = agent(script, &ledger);
    agent.options.policy = Policy::unattended();
    agent.hooks.push(Arc::new(Editor {
        fails_at: Some("after tool"),
        ..Editor::default()
    }));
    let run = agent.start("r", "Post.", &|_| ()).await.unwrap();
    assert!(matches!(run.outcome, Outcome::Failed { .. }));
    agent.hooks.clear();
    let run = agent.resume("r", [], &|_| ()).await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::NeedsInput { .. }),
        "{:?}",
        run.outcome
    );
    assert_eq!(ledger.len(), 1);
}

#[tokio::test]
async fn a_bundle_brings_all_that_belongs_together() {
    let model = Arc::new(ScriptedChatModel::new([
        calls(&[("echo", json!({}))]),
        Message::assistant("ok"),
    ]));
    let echo: Arc<dyn Tool> = Arc::new(
        FunctionTool::new("echo", "Echoes", json!({"type": "object"}), |_| async {
            Ok(json!("hi"))
        })
        .with_effects(READ),
    );
    let editor = Arc::new(Editor::default());
    let mut agent = Agent::new(model.clone());
    agent.options.instructions = "Be brief.".into();
    let agent = agent
        .with(Bundle {
            instructions: "Echo first.".into(),
            tools: vec![echo],
            hooks: vec![editor.clone()],
        })
        .unwrap();
    let run = agent.run("Go.").await.unwrap();
    assert_eq!(run.messages[2].content, "masked");
    assert_eq!(
        model.requests()[0].messages[0].content,
        "Be brief.\n\nEcho first."
    );
}

#[tokio::test]
async fn answers_come_as_rust_types() {
    #[derive(serde::Deserialize, schemars::JsonSchema, Debug, PartialEq)]
    struct Forecast {
        city: String,
        celsius: i32,
    }
    let (weather, model) = agent(
        vec![
            calls(&[("weather", json!({"city": "北京"}))]),
            Message::assistant(r#"{"city": "北京", "celsius": 3}"#),
        ],
        &Ledger::default(),
    );
    let (value, run) = weather.run_as::<Forecast>("北京天气？").await.unwrap();
    let wanted = Forecast {
        city: "北京".into(),
        celsius: 3,
    };
    assert_eq!(value, Some(wanted));
    assert_eq!(run.spent.steps, 2);
    assert!(matches!(
        &model.requests()[0].response_format,
        corbie_core::ResponseFormat::JsonSchema(schema) if schema["properties"]["celsius"].is_object()
    ));
    let (stuck, _) = agent(vec![Message::assistant("no json")], &Ledger::default());
    let (value, run) = stuck.run_as::<Forecast>("?").await.unwrap();
    assert!(value.is_none() && matches!(run.outcome, Outcome::Failed { .. }));
    let (other, _) = agent(
        vec![Message::assistant(r#"{"city": 1}"#)],
        &Ledger::default(),
    );
    let error = other.run_as::<Forecast>("?").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Malformed);
}

#[tokio::test]
async fn a_fork_goes_another_way_and_repeats_nothing() {
    let ledger = Ledger::default();
    let (mut first, _) = agent(
        vec![
            calls(&[("post", json!({"text": "one"}))]),
            calls(&[("post", json!({"text": "two"}))]),
            Message::assistant("both"),
        ],
        &ledger,
    );
    first.options.policy = Policy::unattended();
    first.start("r", "Post.", &|_| ()).await.unwrap();
    assert_eq!(ledger.len(), 2);
    let journal = first.journal.as_deref().unwrap();
    for (steps, answers, texts) in [(0, 1, 2), (1, 2, 2), (2, 3, 2), (3, 4, 2)] {
        let to = format!("fork{steps}");
        fork(journal, "r", steps, &to).await.unwrap();
        let (other, model) = agent(vec![Message::assistant("another end")], &ledger);
        let other = Agent {
            journal: first.journal.clone(),
            ..other
        };
        let more: Vec<Decision> = (steps == 3)
            .then(|| Decision::Say {
                text: "And?".into(),
            })
            .into_iter()
            .collect();
        let run = other.resume(&to, more, &|_| ()).await.unwrap();
        assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "another end"));
        assert_eq!(run.spent.steps, answers, "{steps}");
        assert_eq!(ledger.len(), texts);
        let results = model.requests()[0]
            .messages
            .iter()
            .filter(|it| it.role == Role::Tool)
            .count();
        assert_eq!(results, steps.min(2));
    }
    // The first run is as it was; names are taken once; steps that are not there are refused.
    assert!(fork(journal, "r", 4, "x").await.is_err());
    assert!(fork(journal, "r", 1, "fork0").await.is_err());
    assert!(fork(journal, "nobody", 0, "x").await.is_err());
}

#[tokio::test]
async fn a_half_copied_fork_is_no_run() {
    use corbie_core::Journal;
    let journal = Arc::new(MemoryJournal::default());
    let event = json!({"kind": "forked", "version": 1, "from": "r", "steps": 1, "events": 3});
    journal.append("half", 0, event).await.unwrap();
    let event = json!({"kind": "started", "version": 1, "goal": "g", "tainted": false});
    journal.append("half", 1, event).await.unwrap();
    let (agent, _) = agent(vec![Message::assistant("?")], &Ledger::default());
    let agent = Agent {
        journal: Some(journal),
        ..agent
    };
    let error = agent.resume("half", [], &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("broken off"), "{error}");
}

/// Calls for the weather again and again, and summarises when it is told to.
struct Rambler {
    info: corbie_core::ChatModelInfo,
    requests: Mutex<Vec<ChatRequest>>,
}

impl corbie_core::ChatModel for Rambler {
    fn info(&self) -> &corbie_core::ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn corbie_core::TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let words = |it: &Message| it.content.split_whitespace().count();
        Ok(request.messages.iter().map(words).sum())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<corbie_core::ChatStream>> {
        use corbie_core::{ChatEvent, FinishReason, Usage};
        use futures::StreamExt;
        let mut requests = self.requests.lock().unwrap();
        let events = if request.tools.is_empty() {
            vec![ChatEvent::Text("it was sunny".into())]
        } else if requests.len() > 60 {
            vec![ChatEvent::Text("the end".into())]
        } else {
            let call = ToolCall {
                id: String::new(),
                name: "weather".into(),
                arguments: json!({}),
            };
            let thought = format!("thought {} {}", requests.len(), "word ".repeat(30));
            vec![ChatEvent::Text(thought), ChatEvent::ToolCall(call)]
        };
        requests.push(request);
        let usage = Usage {
            completion_tokens: 1,
            ..Usage::default()
        };
        let finish = ChatEvent::Finish {
            reason: FinishReason::Stop,
            usage,
        };
        let events = events.into_iter().chain([finish]).map(Ok);
        Box::pin(async move { Ok(futures::stream::iter(events).boxed()) })
    }
}

#[tokio::test]
async fn old_messages_are_summarised_and_the_goal_stays() {
    let model = Arc::new(Rambler {
        info: corbie_core::ChatModelInfo {
            model: "rambler".into(),
            context_length: 1500,
        },
        requests: Mutex::default(),
    });
    let mut agent = Agent {
        tools: crate::window::counting(),
        journal: Some(Arc::new(MemoryJournal::default())),
        ..Agent::new(model.clone())
    };
    agent.options.summarise = true;
    agent.options.budget.steps = None;
    let run = agent.start("r", "GOAL", &|_| ()).await.unwrap();
    assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "the end"));
    let history = agent.history("r").await.unwrap();
    let summaries = history
        .iter()
        .filter(|it| matches!(it.event, corbie_agents::RunEvent::Summarised { .. }))
        .count();
    let requests = model.requests.lock().unwrap();
    let asked = requests.iter().filter(|it| it.tools.is_empty()).count();
    assert_eq!(summaries, asked);
    // One summary serves many steps.
    assert!((2..20).contains(&summaries), "{summaries}");
    let steps: Vec<&ChatRequest> = requests.iter().filter(|it| !it.tools.is_empty()).collect();
    let last = steps.last().unwrap();
    assert_eq!(last.messages[0].content, "GOAL");
    assert!(last.messages[1].content.starts_with("[Summary of"));
    assert!(last.messages[1].content.ends_with("it was sunny"));
    // What it cost is counted, and the run's own conversation is whole.
    assert_eq!(run.spent.usage.completion_tokens, steps.len() + summaries);
    assert!(
        run.messages
            .iter()
            .all(|it| !it.content.contains("[Summary of"))
    );
}

#[tokio::test]
async fn many_tools_are_narrowed_to_the_likely_few() {
    let (mut narrowed, model) = agent(
        vec![
            calls(&[("weather", json!({"city": "北京"}))]),
            Message::assistant("sunny"),
        ],
        &Ledger::default(),
    );
    narrowed.options.ask_person = true;
    narrowed.hooks.push(Arc::new(corbie_agents::ToolRetrieval {
        embedder: Arc::new(corbie_core::testing::HashEmbedder::new(256)),
        keep: 1,
    }));
    narrowed.run("weather").await.unwrap();
    for request in model.requests() {
        let names: Vec<&str> = request.tools.iter().map(|it| it.name.as_str()).collect();
        assert!(
            names.contains(&"ask_person") && names.len() <= 2,
            "{names:?}"
        );
    }
}
