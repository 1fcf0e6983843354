//! The weather assistant of OpenAI's function calling.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::{Agent, Run, Tools, tool};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{Message, Tool};
use serde_json::{Value, json};

use crate::kit::calls;

/// Gets the current weather of a city. 查询城市现在的天气。
#[tool(read_only, trusted, crate = corbie_agents)]
async fn get_current_weather(
    /// The city, 城市
    city: String,
    /// Degrees Celsius or Fahrenheit
    fahrenheit: Option<bool>,
) -> Result<Value, String> {
    let celsius = match city.as_str() {
        "北京" | "Beijing" => 3,
        "上海" | "Shanghai" => 11,
        other => return Err(format!("no station in {other}")),
    };
    let degrees = match fahrenheit {
        Some(true) => celsius * 9 / 5 + 32,
        _ => celsius,
    };
    Ok(json!({"city": city, "degrees": degrees}))
}

const TOOL: &str = "get_current_weather";

/// A run of this script.
async fn ask(question: &str, script: Vec<Message>) -> Run {
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(100_000));
    let tool: Arc<dyn Tool> = Arc::new(get_current_weather());
    let agent = Agent {
        tools: Tools::new([tool]).unwrap(),
        ..Agent::new(model.clone())
    };
    let run = agent.run(question).await.unwrap();
    assert_eq!(model.requests()[0].tools[0].name, TOOL);
    run
}

#[track_caller]
fn answered(run: &Run, values: [&str; 2]) {
    let answer = run.answer().unwrap_or_default();
    assert!(
        values.iter().all(|value| answer.contains(value)),
        "{:?}",
        run.outcome
    );
}

#[tokio::test]
async fn two_cities_are_two_calls_and_an_answer_with_both_values() {
    let cases = [
        (
            "北京和上海今天天气?",
            ["北京", "上海"],
            "北京 3 度,上海 11 度。",
        ),
        (
            "What is the weather in Beijing and Shanghai today?",
            ["Beijing", "Shanghai"],
            "It is 3 degrees in Beijing and 11 in Shanghai.",
        ),
    ];
    for (question, cities, answer) in cases {
        let call = |city: &str| (TOOL, json!({ "city": city }));
        let together = vec![calls(cities.map(call)), Message::assistant(answer)];
        let in_turn = vec![
            calls(&[call(cities[0])]),
            calls(&[call(cities[1])]),
            Message::assistant(answer),
        ];
        for script in [together, in_turn] {
            let run = ask(question, script).await;
            answered(&run, ["3", "11"]);
            let wanted = cities.map(|city| json!({ "city": city }));
            assert_eq!(run.calls(), [(TOOL, &wanted[0]), (TOOL, &wanted[1])]);
            assert_eq!(run.spent.calls, 2, "no third call");
            let results = run.results();
            assert!(
                results[0].contains(":3}") && results[1].contains(":11}"),
                "{results:?}"
            );
        }
    }
}

#[tokio::test]
async fn bad_arguments_and_unknown_tools_are_told_to_the_model() {
    let script = vec![
        calls(&[(TOOL, json!({"town": "北京"})), (TOOL, json!("上海"))]),
        calls(&[("get_weather", json!({"city": "北京"}))]),
        calls(&[
            (TOOL, json!({"city": "北京"})),
            (TOOL, json!({"city": "上海"})),
        ]),
        Message::assistant("北京 3 度,上海 11 度。"),
    ];
    let run = ask("北京和上海今天天气?", script).await;
    answered(&run, ["3", "11"]);
    let wanted = [
        "\"city\" is a required property",
        "is not of type \"object\"",
        "There is no tool `get_weather`. The tools are: get_current_weather.",
        "\"degrees\":3",
        "\"degrees\":11",
    ];
    assert_eq!(run.results().len(), wanted.len());
    for (result, wanted) in run.results().into_iter().zip(wanted) {
        assert!(result.contains(wanted), "{result}: {wanted}");
    }
}
