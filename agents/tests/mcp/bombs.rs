//! T19: schemas that fetch, and schemas that explode.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use corbie_agents::Tools;
use corbie_agents::mcp::{Clients, Consent};
use serde_json::{Value, json};

use crate::kit::{Person, Place};

fn tool(name: &str, schema: Value) -> Value {
    json!({"name": name, "description": "x", "inputSchema": schema})
}

/// Definitions of which each holds the next one twice: `2^levels` when unfolded.
fn folded(levels: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
        definitions.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
    }
    definitions.insert(format!("d{levels}"), json!({"type": "string"}));
    json!({"type": "object", "$ref": "#/$defs/d0", "$defs": definitions})
}

#[tokio::test]
async fn a_schema_that_explodes_costs_its_own_tool() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    // Deeper ones than 128 levels are no message any more: the next test.
    let deep = (0..52).fold(json!({}), |inner, _| json!({"anyOf": [inner]}));
    place.set_tools(&json!([
        tool("good", object(json!({"a": {"type": "string"}}))),
        tool(
            "remote",
            object(json!({"a": {"$ref": "http://127.0.0.1:1/schema.json"}}))
        ),
        tool(
            "secure",
            object(json!({"a": {"$ref": "https://evil.test/schema.json#/x"}}))
        ),
        tool("file", object(json!({"a": {"$ref": "file:///etc/passwd"}}))),
        tool(
            "wide",
            json!({"type": "object", "anyOf": vec![json!({}); 1 << 17]})
        ),
        tool("folded", folded(40)),
        tool("deep", json!({"type": "object", "properties": {"a": deep}})),
    ]));
    let start = Instant::now();
    let client = place.connect(&person).await.unwrap();
    let mut tools = Tools::default();
    let clients = Clients {
        connected: vec![client],
        failed: Vec::new(),
    };
    let blocked = clients.add_to(&mut tools);
    assert!(start.elapsed() < Duration::from_secs(60));
    let names: Vec<&str> = tools.specs().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"fix__good"), "{names:?}");
    for (name, why) in [
        ("remote", "http://127.0.0.1:1/schema.json"),
        ("secure", "https://evil.test/schema.json#/x"),
        ("file", "file:///etc/passwd"),
        ("wide", "50000 values"),
        ("folded", "multiply"),
        ("deep", "100 levels"),
    ] {
        let found = blocked.iter().find(|it| it.tool.ends_with(name));
        let found = found.unwrap_or_else(|| panic!("{name} is blocked: {blocked:?}"));
        assert!(found.why.contains(why), "{found:?}");
        assert!(!names.iter().any(|it| it.ends_with(name)));
    }
}

#[tokio::test]
async fn a_bomb_on_the_wire_ends_the_connection_and_nothing_else() {
    let (place, person) = (Place::new(), Person::who_says(Consent::Approved));
    // 2^20 levels: deeper than any parser should go.
    let levels = 1 << 20;
    let schema = format!(
        "{}{{}}{}",
        r#"{"anyOf":["#.repeat(levels),
        "]}".repeat(levels)
    );
    let tools = format!(r#"[{{"name": "bomb", "inputSchema": {schema}}}]"#);
    place.write("tools.json", &tools);
    let start = Instant::now();
    let options = corbie_agents::mcp::ConnectOptions {
        host: person,
        timeout: Duration::from_secs(5),
        ..Default::default()
    };
    let endpoint = place.endpoint(&[]);
    let connected =
        corbie_agents::mcp::Client::connect("fix", &endpoint, &place.pins, &options).await;
    assert!(connected.is_err());
    assert!(start.elapsed() < Duration::from_secs(60));
}
