//! How runs stop that would not.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use corbie_agents::{Agent, AgentEvent, Budget, Inquiry, Limit, Outcome, Policy, Prices, Tools};
use corbie_core::testing::{ScriptedTool, says};
use corbie_core::{Effects, Message, Role, Tool};
use serde_json::{Value, json};

use crate::kit::{Ledger, READ, agent, calls};

fn again(wanted: &[(&str, Value)], times: usize) -> Vec<Message> {
    vec![calls(wanted); times]
}

fn nudges(messages: &[Message]) -> usize {
    let notes = messages
        .iter()
        .filter(|it| it.role == Role::User && it.content.starts_with("Note:"));
    notes.count()
}

#[tokio::test]
async fn loops_are_nudged_once_and_then_stuck() {
    let beijing = ("weather", json!({"city": "北京"}));
    let shanghai = ("weather", json!({"city": "上海"}));
    let alternating: Vec<Message> = (0..50)
        .map(|turn| {
            calls(std::slice::from_ref(if turn % 2 == 0 {
                &beijing
            } else {
                &shanghai
            }))
        })
        .collect();
    let cases = [
        (
            "the same call",
            again(std::slice::from_ref(&beijing), 50),
            3,
        ),
        ("two calls in turn", alternating, 8),
        ("a call that fails", again(&[("fail", json!({}))], 50), 3),
        (
            "a tool that is none",
            (0..50)
                .map(|n| calls(&[("none", json!({"n": n}))]))
                .collect(),
            6,
        ),
        ("silence", vec![Message::assistant(" "); 50], 2),
    ];
    for (name, script, most) in cases {
        let (agent, _) = agent(script, &Ledger::default());
        let run = agent.run("天气?").await.unwrap();
        assert!(
            matches!(run.outcome, Outcome::Stuck { .. }),
            "{name}: {:?}",
            run.outcome
        );
        assert_eq!(nudges(&run.messages), 1, "{name}");
        assert!(run.spent.steps <= most, "{name}: {} steps", run.spent.steps);
    }
}

#[tokio::test]
async fn budgets_end_a_run_and_keep_its_work() {
    let work = || -> Vec<Message> {
        let sums = 0..100;
        sums.map(|n| calls(&[("pay", json!({"sum": n}))])).collect()
    };
    let none = Budget {
        steps: None,
        ..Budget::default()
    };
    let prices = Prices {
        read: 1e6,
        ..Prices::default()
    };
    let cases = [
        (
            Budget {
                steps: Some(4),
                ..none
            },
            Limit::Steps,
        ),
        (
            Budget {
                tokens: Some(30),
                ..none
            },
            Limit::Tokens,
        ),
        (
            Budget {
                time: Some(Duration::ZERO),
                ..none
            },
            Limit::Time,
        ),
        (
            Budget {
                cost: Some(20.0),
                prices,
                ..none
            },
            Limit::Cost,
        ),
    ];
    for (budget, expected) in cases {
        let (mut agent, _) = agent(work(), &Ledger::default());
        agent.options.budget = budget;
        agent.options.policy = Policy::unattended();
        let run = agent
            .start("r", "天气 天气 天气 天气 天气?", &|_| ())
            .await
            .unwrap();
        let reached = matches!(run.outcome, Outcome::BudgetExceeded { limit } if limit == expected);
        assert!(reached, "{expected:?}: {:?}", run.outcome);
        // With a larger budget it goes on from there.
        let steps = run.spent.steps;
        agent.options.budget = Budget {
            steps: Some(steps + 1),
            ..none
        };
        let more = agent.resume("r", [], &|_| ()).await.unwrap();
        assert_eq!(more.spent.steps, steps + 1);
    }
}

#[tokio::test]
async fn a_tool_that_hangs_or_panics_costs_one_call() {
    let never = |effects: Effects| {
        let odd = ScriptedTool::new("odd").hangs();
        odd.with_timeout(Duration::ZERO).with_effects(effects)
    };
    let broken = ScriptedTool::new("odd").answering(|_| panic!("a bug"));
    let cases = [(never(READ), "took longer"), (broken, "a bug in the tool")];
    for (tool, wanted) in cases {
        let script = vec![calls(&[("odd", json!({}))]), Message::assistant("well")];
        let (agent, _) = agent(script, &Ledger::default());
        let tool: Arc<dyn Tool> = Arc::new(tool);
        let agent = Agent {
            tools: Tools::new([tool]).unwrap(),
            ..agent
        };
        let run = agent.run("Try.").await.unwrap();
        assert!(matches!(run.outcome, Outcome::Done { .. }));
        assert!(
            run.messages[2].content.contains(wanted),
            "{}",
            run.messages[2].content
        );
    }
    // What may have changed something is not taken for failed.
    let (mut agent, _) = agent(vec![calls(&[("odd", json!({}))])], &Ledger::default());
    agent.options.policy = Policy::unattended();
    let tool: Arc<dyn Tool> = Arc::new(never(Effects::default()));
    let agent = Agent {
        tools: Tools::new([tool]).unwrap(),
        ..agent
    };
    let run = agent.run("Try.").await.unwrap();
    let asks = matches!(
        &run.outcome,
        Outcome::NeedsInput {
            question: Inquiry::Unfinished { .. }
        }
    );
    assert!(asks, "{:?}", run.outcome);
}

#[tokio::test]
async fn a_tool_that_keeps_its_invocation_holds_nothing_up() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeper = Arc::clone(&kept);
    let odd = ScriptedTool::new("odd").answering(move |run| {
        run.report("half");
        run.report("一半");
        keeper.lock().unwrap().push(run.clone());
        Ok(json!("all"))
    });
    let (agent, _) = agent(
        vec![calls(&[("odd", json!({}))]), says("ok")],
        &Ledger::default(),
    );
    let odd: Arc<dyn Tool> = Arc::new(odd);
    let agent = Agent {
        tools: Tools::new([odd]).unwrap(),
        ..agent
    };
    let heard = Mutex::new(Vec::new());
    let watch = |event| match event {
        AgentEvent::Progress { text, .. } => heard.lock().unwrap().push(text),
        AgentEvent::Result { result, .. } => heard.lock().unwrap().push(result.content),
        _ => {}
    };
    let run = agent.start("r", "Try.", &watch).await.unwrap();
    assert_eq!(run.answer(), Some("ok"));
    assert_eq!(*heard.lock().unwrap(), ["half", "一半", "all"]);
    kept.lock().unwrap()[0].report("too late");
}
