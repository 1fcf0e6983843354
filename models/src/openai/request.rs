//! A chat request in the service's JSON.

use std::borrow::Cow;

use corbie_core::{
    ChatRequest, Error, ErrorKind, Message, ResponseFormat, Result, Role, Sampling, ToolChoice,
};
use serde_json::{Map, Value, json};

use super::RemoteOptions;
use crate::validated::say;

/// The body of `POST /chat/completions`.
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) for options out of range,
/// [`Unsupported`](ErrorKind::Unsupported) for those the service has not got.
pub fn body(options: &RemoteOptions, request: &ChatRequest) -> Result<Value> {
    request.sampling.validate()?;
    let quirks = &options.quirks;
    let mut body = Map::new();
    body.insert("model".into(), json!(options.model));
    let mut said = Cow::Borrowed(&request.messages);
    if let ResponseFormat::JsonSchema(_) = &request.response_format
        && !quirks.json_schema
    {
        // Such a service makes some JSON, and wants to be told in words that it is wanted.
        say(
            said.to_mut(),
            &request.response_format,
            request.tools.is_empty(),
        );
    }
    let messages: Vec<Value> = said.iter().map(message).collect();
    body.insert("messages".into(), json!(messages));
    body.insert("stream".into(), json!(true));
    if quirks.stream_usage {
        body.insert("stream_options".into(), json!({"include_usage": true}));
    }
    tools(options, request, &mut body)?;
    form(options, request, &mut body)?;
    sampling(options, &request.sampling, &mut body)?;
    if let Some(max_tokens) = request.max_tokens {
        let field = match quirks.max_completion_tokens {
            true => "max_completion_tokens",
            false => "max_tokens",
        };
        body.insert(field.into(), json!(max_tokens));
    }
    if !request.stop.is_empty() {
        body.insert("stop".into(), json!(request.stop));
    }
    Ok(Value::Object(body))
}

/// The form of the answer, as far as the service holds to it.
fn form(
    options: &RemoteOptions,
    request: &ChatRequest,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let quirks = &options.quirks;
    // Held to such a form, no answer can be a call.
    let calls = !request.tools.is_empty() && request.tool_choice != ToolChoice::None;
    let (field, value) = match &request.response_format {
        ResponseFormat::Text => return Ok(()),
        ResponseFormat::JsonSchema(_) if !quirks.json_schema => {
            ("response_format", json!({"type": "json_object"}))
        }
        ResponseFormat::JsonSchema(schema) => {
            let mut inner = json!({"name": "answer", "schema": schema});
            if quirks.strict {
                inner["strict"] = json!(is_strict(schema));
            }
            let format = json!({"type": "json_schema", "json_schema": inner});
            ("response_format", format)
        }
        ResponseFormat::Choice(options) if quirks.structured_outputs && !calls => {
            ("structured_outputs", json!({"choice": options}))
        }
        ResponseFormat::Regex(regex) if quirks.structured_outputs && !calls => {
            ("structured_outputs", json!({"regex": regex}))
        }
        _ => {
            let cause = "the service itself holds no answer to this form";
            let error = Error::new(ErrorKind::Unsupported, options.subject(), cause);
            return Err(error.hint("wrap it in `Validated`, ask for JSON, or take a local model"));
        }
    };
    body.insert(field.into(), value);
    Ok(())
}

/// Reasoning is left out: services refuse it or think anew.
fn message(message: &Message) -> Value {
    match message.role {
        Role::System => json!({"role": "system", "content": message.content}),
        Role::User => json!({"role": "user", "content": message.content}),
        Role::Tool => json!({
            "role": "tool",
            "content": message.content,
            "tool_call_id": message.tool_call_id.as_deref().unwrap_or_default(),
        }),
        Role::Assistant if message.tool_calls.is_empty() => {
            json!({"role": "assistant", "content": message.content})
        }
        Role::Assistant => {
            let calls: Vec<Value> = message
                .tool_calls
                .iter()
                .map(|call| {
                    let function =
                        json!({"name": call.name, "arguments": call.arguments.to_string()});
                    json!({"id": call.id, "type": "function", "function": function})
                })
                .collect();
            let content = (!message.content.is_empty()).then_some(&message.content);
            json!({"role": "assistant", "content": content, "tool_calls": calls})
        }
    }
}

fn tools(
    options: &RemoteOptions,
    request: &ChatRequest,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::BadInput, "tool_choice", why));
    match &request.tool_choice {
        ToolChoice::Required if request.tools.is_empty() => {
            return refuse("a call is required, but there are no tools".into());
        }
        ToolChoice::Named(name) if request.tools.iter().all(|tool| tool.name != *name) => {
            return refuse(format!("there is no tool `{name}`"));
        }
        _ => {}
    }
    if request.tools.is_empty() {
        return Ok(());
    }
    let tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            let mut function = json!({
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
            });
            if options.quirks.strict && is_strict(&tool.parameters) {
                function["strict"] = json!(true);
            }
            json!({"type": "function", "function": function})
        })
        .collect();
    body.insert("tools".into(), json!(tools));
    let choice = match &request.tool_choice {
        ToolChoice::Auto => json!("auto"),
        ToolChoice::Required => json!("required"),
        ToolChoice::None => json!("none"),
        ToolChoice::Named(name) => json!({"type": "function", "function": {"name": name}}),
    };
    body.insert("tool_choice".into(), choice);
    if !request.parallel_tool_calls {
        body.insert("parallel_tool_calls".into(), json!(false));
    }
    Ok(())
}

fn sampling(
    options: &RemoteOptions,
    sampling: &Sampling,
    body: &mut Map<String, Value>,
) -> Result<()> {
    let quirks = &options.quirks;
    let default = Sampling::default();
    let fixed = quirks
        .fixed_sampling
        .iter()
        .any(|prefix| options.model.starts_with(prefix));
    // Models with fixed sampling refuse even the values they use.
    if !fixed {
        body.insert("temperature".into(), json!(sampling.temperature));
        if sampling.top_p < 1.0 {
            body.insert("top_p".into(), json!(sampling.top_p));
        }
    }
    if let Some(seed) = sampling.seed.filter(|_| quirks.seed) {
        body.insert("seed".into(), json!(seed));
    }
    let extra = [
        ("top_k", sampling.top_k.map(|k| json!(k))),
        (
            "min_p",
            (sampling.min_p != default.min_p).then(|| json!(sampling.min_p)),
        ),
        (
            quirks.repetition_penalty,
            (sampling.repetition_penalty != default.repetition_penalty)
                .then(|| json!(sampling.repetition_penalty)),
        ),
    ];
    for (field, value) in extra {
        match value {
            Some(value) if quirks.extra_sampling => {
                body.insert(field.into(), value);
            }
            Some(_) => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("sampling.{field}"),
                    format!("`{}` does not have it", options.provider),
                )
                .hint("leave it at its default"));
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether a schema is of the kind that strict mode demands: every object closed, every property
/// required. Others would be refused with strict mode on.
fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            let is_object = properties.is_some() || object.get("type") == Some(&json!("object"));
            let closed = object.get("additionalProperties") == Some(&json!(false));
            let required = object.get("required").and_then(Value::as_array);
            let all_required = properties.is_none_or(|properties| {
                properties.keys().all(|name| {
                    required.is_some_and(|names| names.iter().any(|other| other == name))
                })
            });
            (!is_object || (closed && all_required)) && object.values().all(is_strict)
        }
        Value::Array(values) => values.iter().all(is_strict),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::{ToolCall, ToolSpec};

    use super::*;

    fn request() -> ChatRequest {
        ChatRequest {
            tools: vec![ToolSpec {
                name: "find".into(),
                description: "Finds".into(),
                parameters: json!({"type": "object", "properties": {"q": {"type": "string"}},
                    "required": ["q"], "additionalProperties": false}),
            }],
            max_tokens: Some(9),
            stop: vec!["END".into()],
            sampling: Sampling {
                temperature: 0.5,
                seed: Some(7),
                ..Sampling::default()
            },
            ..ChatRequest::new([
                Message::system("s"),
                Message::user("乌鸦"),
                Message {
                    tool_calls: vec![ToolCall {
                        id: "c1".into(),
                        name: "find".into(),
                        arguments: json!({"q": "x"}),
                    }],
                    reasoning: Some("secret thoughts".into()),
                    ..Message::assistant("")
                },
                Message::tool("c1", "found"),
            ])
        }
    }

    #[test]
    fn a_request_is_written_as_each_service_wants_it() {
        let openai = RemoteOptions::new("openai", "gpt-4.1").unwrap();
        assert_eq!(
            body(&openai, &request()).unwrap(),
            json!({
                "model": "gpt-4.1",
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "乌鸦"},
                    {"role": "assistant", "content": null, "tool_calls": [{"id": "c1",
                        "type": "function",
                        "function": {"name": "find", "arguments": "{\"q\":\"x\"}"}}]},
                    {"role": "tool", "content": "found", "tool_call_id": "c1"},
                ],
                "stream": true,
                "stream_options": {"include_usage": true},
                "tools": [{"type": "function", "function": {"name": "find",
                    "description": "Finds", "strict": true,
                    "parameters": {"type": "object", "properties": {"q": {"type": "string"}},
                        "required": ["q"], "additionalProperties": false}}}],
                "tool_choice": "auto",
                "temperature": 0.5,
                "seed": 7,
                "max_completion_tokens": 9,
                "stop": ["END"],
            })
        );
        let mistral = RemoteOptions::new("mistral", "m").unwrap();
        let body = body(&mistral, &request()).unwrap();
        assert_eq!(body["max_tokens"], json!(9));
        for absent in ["max_completion_tokens", "stream_options", "seed"] {
            assert_eq!(body.get(absent), None, "{absent}");
        }
        assert_eq!(body["tools"][0]["function"].get("strict"), None);
    }

    #[test]
    fn choices_formats_and_sampling_follow_the_request() {
        let vllm = RemoteOptions::new("vllm", "m").unwrap();
        let asked = ChatRequest {
            tool_choice: ToolChoice::Named("find".into()),
            response_format: ResponseFormat::JsonSchema(json!({"type": "object"})),
            sampling: Sampling {
                top_k: Some(5),
                repetition_penalty: 1.5,
                top_p: 0.5,
                ..Sampling::default()
            },
            ..request()
        };
        let written = body(&vllm, &asked).unwrap();
        assert_eq!(written["tool_choice"]["function"]["name"], json!("find"));
        assert_eq!(
            written["response_format"]["json_schema"]["schema"],
            json!({"type": "object"})
        );
        assert_eq!(
            (&written["top_k"], &written["top_p"]),
            (&json!(5), &json!(0.5))
        );
        assert_eq!(written["repetition_penalty"], json!(1.5));

        let openai = RemoteOptions::new("openai", "gpt-5-mini").unwrap();
        assert_eq!(
            body(&openai, &asked).unwrap_err().kind(),
            &ErrorKind::Unsupported
        );
        let plain = body(&openai, &request()).unwrap();
        assert_eq!(plain.get("temperature"), None, "it takes none");

        let deepseek = RemoteOptions::new("deepseek", "deepseek-chat").unwrap();
        let asked = ChatRequest {
            sampling: Sampling::default(),
            ..asked
        };
        let written = body(&deepseek, &asked).unwrap();
        assert_eq!(written["response_format"], json!({"type": "json_object"}));
        let system = written["messages"][0]["content"].as_str().unwrap();
        assert!(
            system.starts_with("s\n\nWhenever you do not call a tool:"),
            "{system}"
        );
        assert!(system.contains("JSON") && system.ends_with(r#"{"type":"object"}"#));
    }

    #[test]
    fn forms_are_sent_where_the_service_holds_to_them() {
        let choice = ResponseFormat::Choice(vec!["yes".into(), "是".into()]);
        let regex = ResponseFormat::Regex("[0-9]+".into());
        let quote = ResponseFormat::Quote(vec!["Moss.".into()]);
        let without_tools = |response_format: &ResponseFormat| ChatRequest {
            response_format: response_format.clone(),
            ..ChatRequest::new([Message::user("x")])
        };
        for (provider, format, expected) in [
            ("vllm", &choice, Some(json!({"choice": ["yes", "是"]}))),
            ("vllm", &regex, Some(json!({"regex": "[0-9]+"}))),
            ("vllm", &quote, None),
            ("openai", &choice, None),
            ("llama.cpp", &regex, None),
        ] {
            let options = RemoteOptions::new(provider, "m").unwrap();
            match (body(&options, &without_tools(format)), expected) {
                (Ok(written), Some(expected)) => {
                    assert_eq!(written["structured_outputs"], expected, "{provider}");
                }
                (Err(error), None) => assert_eq!(error.kind(), &ErrorKind::Unsupported),
                (written, _) => panic!("{provider} {format:?}: {written:?}"),
            }
        }
        // With tools the service could not call any.
        let vllm = RemoteOptions::new("vllm", "m").unwrap();
        let asked = ChatRequest {
            response_format: choice,
            ..request()
        };
        assert_eq!(
            body(&vllm, &asked).unwrap_err().kind(),
            &ErrorKind::Unsupported
        );
    }

    #[test]
    fn impossible_choices_are_the_callers() {
        let options = RemoteOptions::new("openai", "m").unwrap();
        for tool_choice in [ToolChoice::Required, ToolChoice::Named("gone".into())] {
            let asked = ChatRequest {
                tool_choice,
                ..ChatRequest::new([Message::user("x")])
            };
            assert_eq!(
                body(&options, &asked).unwrap_err().kind(),
                &ErrorKind::BadInput
            );
        }
    }

    #[test]
    fn strict_schemas_are_told_apart() {
        for (schema, strict) in [
            (
                json!({"type": "object", "properties": {}, "additionalProperties": false}),
                true,
            ),
            (json!({"type": "object", "properties": {}}), false),
            (
                json!({"type": "object", "properties": {"a": {}}, "additionalProperties": false}),
                false,
            ),
            (
                json!({"type": "array", "items": {"type": "object", "properties": {"a": {}}}}),
                false,
            ),
            (json!({"type": "string"}), true),
        ] {
            assert_eq!(is_strict(&schema), strict, "{schema}");
        }
    }
}
