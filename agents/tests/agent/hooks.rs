//! What hooks may do, and what they may not.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_agents::{
    Agent, Bundle, FunctionTool, Hook, Outcome, Policy, Ruling, RunState, ToolResult,
};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{BoxFuture, ChatRequest, Error, ErrorKind, Message, Result, Tool, ToolCall};
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
