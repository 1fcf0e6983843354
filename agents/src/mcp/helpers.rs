//! Tools of our own that list and read what a server has beside its tools.

use std::sync::Arc;

use corbie_core::{Effects, Invocation, Tool};
use serde_json::{Value, json};

use super::client::Client;
use super::tool;
use crate::FunctionTool;

/// Reading from a server tells it what is read. That nothing else happens is its claim.
fn effects(believed: bool) -> Effects {
    Effects {
        read_only: believed,
        idempotent: believed,
        egress: true,
        ..Effects::default()
    }
}

fn schema(fields: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": false,
    })
}

/// The tools that fit what the server has.
pub fn tools(client: &Client, believed: bool) -> Vec<Arc<dyn Tool>> {
    let capabilities = client.capabilities();
    let named = |name: &str| tool::name(client.namespace(), name);
    let server = client.name();
    let mut tools = Vec::new();
    let mut add = |tool: FunctionTool| {
        tools.push(Arc::new(tool.with_effects(effects(believed))) as Arc<dyn Tool>);
    };
    // These tools hold no tools themselves, so nothing holds itself.
    let bare = client.without_tools();
    if capabilities.resources.is_some() {
        let about = format!("Lists the resources of `{server}`. 列出资源。");
        let client = bare.clone();
        add(FunctionTool::new(
            named("list_resources"),
            about,
            schema(&json!({}), &[]),
            move |_run: Invocation| {
                let client = client.clone();
                async move { Ok(json!(client.resources().await?.join("\n"))) }
            },
        ));
        let about = format!("Reads a resource of `{server}`. 读取资源。");
        let client = bare.clone();
        add(FunctionTool::new(
            named("read_resource"),
            about,
            schema(
                &json!({"uri": {"type": "string", "description": "Its address"}}),
                &["uri"],
            ),
            move |run: Invocation| {
                let client = client.clone();
                async move {
                    let uri = run.arguments["uri"].as_str().unwrap_or_default();
                    Ok(json!(client.read_resource(uri).await?))
                }
            },
        ));
    }
    if capabilities.prompts.is_some() {
        let about = format!("Lists the prompts of `{server}`. 列出提示。");
        let client = bare.clone();
        add(FunctionTool::new(
            named("list_prompts"),
            about,
            schema(&json!({}), &[]),
            move |_run: Invocation| {
                let client = client.clone();
                async move { Ok(json!(client.prompts().await?.join("\n"))) }
            },
        ));
        let about = format!("Gets a prompt of `{server}`, filled in. 获取提示。");
        let fields = json!({
            "name": {"type": "string", "description": "Its name"},
            "arguments": {
                "type": "object",
                "description": "What to fill in",
                "additionalProperties": {"type": "string"},
            },
        });
        add(FunctionTool::new(
            named("get_prompt"),
            about,
            schema(&fields, &["name"]),
            move |run: Invocation| {
                let client = bare.clone();
                async move {
                    let name = run.arguments["name"].as_str().unwrap_or_default();
                    let arguments = run.arguments["arguments"].as_object().cloned();
                    Ok(json!(
                        client.prompt(name, arguments.unwrap_or_default()).await?
                    ))
                }
            },
        ));
    }
    tools
}
