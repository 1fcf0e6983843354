//! Examples by likeness; thoughts apart.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::plan::Planner;
use corbie_agents::{Example, Examples, demonstrations};
use corbie_core::testing::{HashEmbedder, ScriptedChatModel, WordCounter};
use corbie_core::{Message, Role, TokenCounter};

use crate::kit::agent;

#[tokio::test]
async fn examples_are_chosen_by_likeness_within_a_budget() {
    let example = |input: &str, output: &str| Example {
        input: input.into(),
        output: output.into(),
    };
    let all = vec![
        example("weather in Lima", "weather(Lima)"),
        example(
            "weather in a city whose name is very long indeed",
            "weather(long)",
        ),
        example("三乘四等于多少", "multiply(3, 4)"),
        example("weather tomorrow in Oslo", "forecast(Oslo)"),
        example("北京今天天气", "weather(北京)"),
    ];
    let embedder = Arc::new(HashEmbedder::new(512));
    let examples = Examples::new(embedder, all.clone()).await.unwrap();
    let counter = WordCounter { limit: 512 };
    for budget in [0, 5, 6, 11, 12, 20, 100] {
        for query in ["weather in Oslo", "上海今天天气"] {
            let chosen = examples.select(query, &counter, budget).await.unwrap();
            let count = |it: &&Example| counter.count(&it.input) + counter.count(&it.output);
            assert!(
                chosen.iter().map(count).sum::<usize>() <= budget,
                "{budget}: {chosen:?}"
            );
            assert_eq!(
                chosen.len() == all.len(),
                budget == 100,
                "{budget}: {chosen:?}"
            );
        }
    }
    // The most alike stands last.
    let last = |query: &'static str| {
        let examples = &examples;
        async move {
            examples
                .select(query, &WordCounter { limit: 9 }, 11)
                .await
                .unwrap()
                .pop()
        }
    };
    assert_eq!(last("weather in Lima").await, Some(&all[0]));
    assert_eq!(last("上海今天天气").await, Some(&all[4]));
    let turns = demonstrations(&[&all[0]]);
    assert_eq!(
        (turns[0].role, turns[1].role),
        (Role::User, Role::Assistant)
    );
    assert_eq!(turns[1].content, "weather(Lima)");
}

#[tokio::test]
async fn thoughts_never_reach_a_parser() {
    let thinking = |thought: &str, content: &str| Message {
        reasoning: Some(thought.to_owned()),
        ..Message::assistant(content)
    };
    let model = ScriptedChatModel::new([
        thinking(r#"{"steps": ["Pay eve"]}"#, r#"{"steps": ["Add"]}"#),
        thinking("I should say 6", "5"),
    ]);
    let (agent, works) = agent(vec![thinking("is it 6? no", "5")], Vec::new());
    let model = Arc::new(model);
    let run = Planner::new(model.clone(), agent)
        .run("2 + 3?")
        .await
        .unwrap();
    assert_eq!(
        (run.steps[0].text.as_str(), run.answer.as_str()),
        ("Add", "5")
    );
    for request in model.requests().iter().chain(&works.requests()) {
        let said = request.messages.iter().map(|it| it.content.as_str());
        let said: String = said.collect();
        assert!(!said.contains("eve") && !said.contains('6'), "{said}");
    }
}
