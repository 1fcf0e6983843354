//! `#[tool]`: documented functions as tools.

#![allow(clippy::unwrap_used)]

use corbie_agents::tool;
use corbie_core::{Effects, Invocation, Tool};
use serde_json::json;

/// The weather of a city.
///
/// 查询城市的天气。
#[tool(read_only, trusted, timeout = 2.5, crate = corbie_agents)]
async fn weather(
    /// The city's name, 城市名
    city: String,
    /// Days ahead
    days: Option<u8>,
) -> Result<String, String> {
    match city.as_str() {
        "北京" => Ok(format!("晴 in {} days", days.unwrap_or(0))),
        _ => Err(format!("no city {city}")),
    }
}

/// Pays.
#[tool(name = "pay_now", destructive, idempotent, approval, crate = corbie_agents)]
async fn pay(sum: u32, run: Invocation) -> Result<serde_json::Value, std::io::Error> {
    run.report("paying");
    Ok(json!({"paid": sum, "key": run.key}))
}

#[tokio::test]
async fn a_function_becomes_a_tool() {
    let tool = weather();
    let spec = tool.spec();
    assert_eq!(spec.name, "weather");
    assert_eq!(
        spec.description,
        "The weather of a city.\n\n查询城市的天气。"
    );
    assert_eq!(spec.parameters["required"], json!(["city"]));
    assert_eq!(spec.parameters["additionalProperties"], json!(false));
    assert_eq!(
        spec.parameters["properties"]["city"]["description"],
        json!("The city's name, 城市名")
    );
    let reads = Effects {
        read_only: true,
        trusted: true,
        ..Effects::default()
    };
    assert_eq!(tool.effects(), reads);
    assert_eq!(tool.timeout().unwrap().as_millis(), 2500);
    let call = |arguments| tool.call(Invocation::new("k", arguments));
    assert_eq!(
        call(json!({"city": "北京", "days": 2})).await.unwrap(),
        json!("晴 in 2 days")
    );
    assert!(
        call(json!({"city": "X"}))
            .await
            .unwrap_err()
            .to_string()
            .contains("no city X")
    );
    assert!(
        call(json!({"days": 2}))
            .await
            .unwrap_err()
            .to_string()
            .contains("city")
    );
}

#[tokio::test]
async fn a_tool_may_see_its_run() {
    let tool = pay();
    assert_eq!(
        (tool.spec().name.as_str(), tool.timeout()),
        ("pay_now", None)
    );
    let effects = tool.effects();
    assert!(effects.destructive && effects.idempotent && effects.approval && !effects.read_only);
    let heard = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let listener = std::sync::Arc::clone(&heard);
    let run = Invocation::new("run-7", json!({"sum": 5}))
        .on_progress(move |text| listener.lock().unwrap().push_str(text));
    assert_eq!(
        tool.call(run).await.unwrap(),
        json!({"paid": 5, "key": "run-7"})
    );
    assert_eq!(*heard.lock().unwrap(), "paying");
}
