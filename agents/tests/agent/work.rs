//! What agents reach.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use corbie_agents::{Agent, AgentEvent, FunctionTool, Outcome, RunState, Tools};
use corbie_core::{Message, ResponseFormat, Role, Tool};
use serde_json::json;

use crate::kit::{Ledger, READ, agent, calls};

#[tokio::test]
async fn two_cities_are_two_calls_and_one_answer() {
    let script = vec![
        calls(&[
            ("weather", json!({"city": "北京"})),
            ("weather", json!({"city": "上海"})),
        ]),
        Message::assistant("北京晴,3 度;上海有雨,11 度。"),
    ];
    let (agent, model) = agent(script, &Ledger::default());
    let seen = Mutex::new(Vec::new());
    let watch = |event| seen.lock().unwrap().push(event);
    let run = agent
        .start("r", "北京和上海今天天气?", &watch)
        .await
        .unwrap();

    assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer.contains("11 度")));
    assert_eq!((run.spent.steps, run.spent.calls), (2, 2));
    let roles: Vec<Role> = run.messages.iter().map(|message| message.role).collect();
    assert_eq!(
        roles,
        [
            Role::User,
            Role::Assistant,
            Role::Tool,
            Role::Tool,
            Role::Assistant
        ]
    );
    assert!(run.messages[2].content.contains("晴") && run.messages[3].content.contains("雨"));
    let asked = model.requests();
    assert_eq!((asked.len(), asked[0].tools.len()), (2, 5));
    // A person who watches sees it all, and the journal gives the same run again.
    let seen = seen.into_inner().unwrap();
    assert!(matches!(
        seen.last(),
        Some(AgentEvent::Stopped(Outcome::Done { .. }))
    ));
    let text: String = seen
        .iter()
        .filter_map(|event| match event {
            AgentEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(text, "北京晴,3 度;上海有雨,11 度。");
    let history = agent.history("r").await.unwrap();
    let state = RunState::of(&history);
    assert_eq!(
        (state.messages(), state.outcome()),
        (&run.messages[..], Some(&run.outcome))
    );
}

#[tokio::test]
async fn mistakes_go_back_to_the_model() {
    let script = vec![
        calls(&[("weather", json!({"town": "北京"}))]),
        calls(&[("wether", json!({"city": "北京"}))]),
        calls(&[("weather", json!({"city": "Atlantis"}))]),
        calls(&[("weather", json!({"city": "北京"}))]),
        Message::assistant("3 度"),
    ];
    let (agent, _) = agent(script, &Ledger::default());
    let run = agent.run("北京天气?").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
    let results: Vec<&str> = run
        .messages
        .iter()
        .filter(|m| m.role == Role::Tool)
        .map(|m| m.content.as_str())
        .collect();
    for (result, wanted) in
        results
            .iter()
            .zip(["city", "There is no tool `wether`", "unknown", "晴"])
    {
        assert!(result.contains(wanted), "{result}: {wanted}");
    }
}

#[tokio::test]
async fn what_changes_nothing_runs_together() {
    let barrier = Arc::new(tokio::sync::Barrier::new(2));
    let meet = FunctionTool::new(
        "meet",
        "Waits for another",
        json!({"type": "object"}),
        move |_| {
            let barrier = Arc::clone(&barrier);
            async move {
                barrier.wait().await;
                Ok("met".into())
            }
        },
    )
    .with_effects(READ);
    let script = vec![
        calls(&[("meet", json!({})), ("meet", json!({"again": true}))]),
        Message::assistant("both"),
    ];
    let (agent, _) = agent(script, &Ledger::default());
    let meet: Arc<dyn Tool> = Arc::new(meet);
    let agent = Agent {
        tools: Tools::new([meet]).unwrap(),
        ..agent
    };
    let run = agent.run("Meet.").await.unwrap();
    assert!(matches!(run.outcome, Outcome::Done { .. }));
}

#[tokio::test]
async fn an_answer_in_a_form_is_a_value() {
    let (mut agent, _) = agent(vec![Message::assistant("{\"sum\": 5}")], &Ledger::default());
    agent.options.response_format = ResponseFormat::JsonSchema(json!({"type": "object"}));
    let run = agent.run("2 + 3?").await.unwrap();
    assert!(matches!(run.outcome, Outcome::Done { value: Some(value), .. } if value["sum"] == 5));
}
