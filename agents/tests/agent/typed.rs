//! Answers as values of Rust types.

#![allow(clippy::unwrap_used)]

use corbie_agents::Outcome;
use corbie_core::{ErrorKind, Message};
use serde_json::json;

use crate::kit::{Ledger, agent, calls};

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
