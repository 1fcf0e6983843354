//! What servers can do for a model.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::mcp::{Clients, Consent};
use corbie_agents::{Agent, Outcome, Policy, Tools};
use corbie_core::testing::{ScriptedChatModel, calls, conformance, says};
use corbie_core::{ErrorKind, Invocation};
use serde_json::{Value, json};

use crate::kit::{Person, Place, call, find, names};

#[tokio::test]
async fn all_that_a_server_has_can_be_called() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    assert_eq!(client.protocol_version(), "2025-06-18");
    let all = names(&client);
    for name in [
        "fix__echo",
        "fix__list_resources",
        "fix__read_resource",
        "fix__get_prompt",
    ] {
        assert!(all.iter().any(|it| it == name), "{all:?}");
    }
    let said = call(&client, "fix__echo", json!({"text": "乌鸦"}))
        .await
        .unwrap();
    assert_eq!(said, "乌鸦");
    let listed = call(&client, "fix__list_resources", json!({}))
        .await
        .unwrap();
    assert_eq!(listed, "note://1: first: 一\nnote://{n}: any");
    let read = call(&client, "fix__read_resource", json!({"uri": "note://1"}))
        .await
        .unwrap();
    assert_eq!(read, "乌鸦藏食物。");
    let listed = call(&client, "fix__list_prompts", json!({})).await.unwrap();
    assert_eq!(listed, "greet(who): ");
    let arguments = json!({"name": "greet", "arguments": {"who": "世界"}});
    let prompt = call(&client, "fix__get_prompt", arguments).await.unwrap();
    assert_eq!(prompt, "user: Hello 世界");
}

#[tokio::test]
async fn a_servers_tools_keep_the_laws() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Believed));
    let client = place.connect(&person).await.unwrap();
    let cases = [
        ("fix__echo", json!({"text": "乌鸦"})),
        ("fix__list_resources", json!({})),
        ("fix__read_resource", json!({"uri": "note://1"})),
        ("fix__list_prompts", json!({})),
        (
            "fix__get_prompt",
            json!({"name": "greet", "arguments": {"who": "世界"}}),
        ),
    ];
    for (name, arguments) in cases {
        conformance::tool(find(&client, name).as_ref(), &arguments).await;
    }
}

#[tokio::test]
async fn a_failure_says_what_the_server_says() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    let error = call(&client, "fix__fail", json!({})).await.unwrap_err();
    assert!(
        error.to_string().contains("there is no such thing"),
        "{error}"
    );
    let error = call(&client, "fix__leave", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
    let error = call(&client, "fix__echo", json!({"text": "x"}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_person_answers_a_servers_question() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    let said = call(&client, "fix__ask", json!({})).await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["action"], "accept");
    assert_eq!(said["content"], json!({"city": "北京"}));
    let questions = person.questions.lock().unwrap();
    assert_eq!(questions[0].message, "Which city?\\u{200b}");
    assert_eq!(questions[0].schema["required"], json!(["city"]));
}

#[tokio::test]
async fn progress_is_heard() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    let heard = place.path("heard");
    let run = Invocation::new("k", json!({})).on_progress(move |text| {
        std::fs::write(&heard, text).unwrap();
    });
    let said = find(&client, "fix__steps").call(run).await.unwrap();
    assert_eq!(said, json!("all"));
    let heard = std::fs::read_to_string(place.path("heard")).unwrap();
    assert_eq!(heard, "1 of 2: half");
}

async fn until(path: &std::path::Path) {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_dropped_call_is_cancelled() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    let tool = find(&client, "fix__wait");
    let waiting = place.path("waiting");
    tokio::select! {
        _ = tool.call(Invocation::new("k", json!({}))) => panic!("it waits"),
        () = until(&waiting) => {}
    }
    until(&place.path("cancelled")).await;
    let said = call(&client, "fix__echo", json!({"text": "still here"})).await;
    assert_eq!(said.unwrap(), "still here");
}

/// A model that calls a server's tool and then answers.
fn model(tool: &str, arguments: Value) -> Arc<ScriptedChatModel> {
    let script = [calls([(tool, arguments)]), says("done")];
    Arc::new(ScriptedChatModel::new(script).with_context_length(99_999))
}

#[tokio::test]
async fn an_agent_asks_before_it_calls_what_may_do_anything() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let client = place.connect(&person).await.unwrap();
    let mut tools = Tools::default();
    let clients = Clients {
        connected: vec![client],
        failed: Vec::new(),
    };
    assert!(clients.add_to(&mut tools).is_empty());
    let script = model("fix__echo", json!({"text": "hi"}));
    let mut agent = Agent {
        tools: tools.clone(),
        ..Agent::new(script)
    };
    agent.options.policy = Policy::default();
    let run = agent.run("echo hi").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::NeedsApproval { .. }),
        "{:?}",
        run.outcome
    );
    // Where everything runs, its result is text from outside.
    agent.model = model("fix__echo", json!({"text": "hi"}));
    agent.options.policy = Policy::unattended();
    let run = agent.run("echo hi").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
    assert!(!tools.effects("fix__echo").trusted);
}

#[tokio::test]
async fn a_reading_tool_runs_unasked_where_its_server_is_believed() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Believed));
    let client = place.connect(&person).await.unwrap();
    let mut tools = Tools::default();
    client
        .tools()
        .iter()
        .for_each(|tool| tools.add(Arc::clone(tool)).unwrap());
    assert!(tools.effects("fix__echo").read_only);
    // What claims nothing may do anything all the same.
    assert!(!tools.effects("fix__ask").read_only);
    let agent = Agent {
        tools,
        ..Agent::new(model("fix__echo", json!({"text": "hi"})))
    };
    let run = agent.run("echo hi").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
}
