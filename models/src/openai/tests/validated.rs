//! A service that must be told in words, and told again.

use corbie_core::{ChatModel, ChatRequest, ErrorKind, Message, ResponseFormat, ToolSpec};
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;
use crate::validated::{Validated, ValidatedOptions};

fn model(provider: &str, server: &Server) -> Validated {
    let model = OpenAiChatModel::new(options(provider, server)).unwrap();
    Validated::new(Arc::new(model), ValidatedOptions::default())
}

fn text(text: &str) -> Reply {
    let piece =
        json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}});
    events(&[&piece.to_string(), &usage.to_string(), "[DONE]"])
}

fn ask(response_format: ResponseFormat) -> ChatRequest {
    ChatRequest {
        response_format,
        ..ChatRequest::new([Message::user("乌鸦住在树上吗? Do ravens live in trees?")])
    }
}

#[tokio::test]
async fn a_choice_is_asked_for_as_json() {
    let server = Server::start(|_| text(r#"{"answer": "是"}"#));
    let choice = ResponseFormat::Choice(vec!["是".into(), "否".into()]);
    let reply = model("openai", &server)
        .complete(ask(choice))
        .await
        .unwrap();
    assert_eq!(reply.message.content, "是");
    let format = server.requests()[0].json()["response_format"].clone();
    assert_eq!(format["json_schema"]["strict"], json!(true));
    let schema = &format["json_schema"]["schema"];
    assert_eq!(schema["properties"]["answer"]["enum"], json!(["是", "否"]));
}

#[tokio::test]
async fn a_regular_expression_is_asked_for_in_words_and_again() {
    let server = Server::start(|request| match request.json()["messages"].as_array() {
        Some(messages) if messages.len() > 2 => text("`12-乌鸦`"),
        _ => text("twelve ravens"),
    });
    let regex = ResponseFormat::Regex("[0-9]+-乌鸦".into());
    let reply = model("mistral", &server)
        .complete(ask(regex))
        .await
        .unwrap();
    assert_eq!(reply.message.content, "12-乌鸦");
    assert_eq!(reply.usage.completion_tokens, 4);
    let sent: Vec<Value> = server.requests().iter().map(|it| it.json()).collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0]["messages"][0]["role"], json!("system"));
    let told = sent[1]["messages"][3]["content"].as_str().unwrap();
    assert!(told.contains(r#"found "twelve ravens""#), "{told}");
}

#[tokio::test]
async fn a_service_that_refuses_schemas_is_told_in_words() {
    let server = Server::start(|request| match request.json().get("response_format") {
        Some(_) => Reply::new(400, r#"{"error":{"message":"no json_schema here"}}"#),
        None => text("```json\n[1]\n```"),
    });
    let schema = ResponseFormat::JsonSchema(json!({"type": "array"}));
    let reply = model("groq", &server).complete(ask(schema)).await.unwrap();
    assert_eq!(reply.message.content, "[1]");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn arguments_that_are_no_json_are_made_again() {
    let call = |arguments: &str| {
        let function = json!({"name": "find", "arguments": arguments});
        let calls = json!([{"index": 0, "id": "a", "function": function}]);
        let piece = json!({"choices": [{"delta": {"tool_calls": calls},
            "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 7, "completion_tokens": 2}});
        events(&[&piece.to_string(), "[DONE]"])
    };
    let server = Server::start(move |request| match request.json()["messages"].as_array() {
        Some(messages) if messages.len() > 1 => call(r#"{"place": "拉萨"}"#),
        _ => call(r#"{"place": "拉萨"#),
    });
    let request = ChatRequest {
        tools: vec![ToolSpec {
            name: "find".into(),
            description: "Finds".into(),
            parameters: json!({"properties": {"place": {"type": "string"}}}),
        }],
        ..ask(ResponseFormat::Text)
    };
    let reply = model("vllm", &server).complete(request).await.unwrap();
    assert_eq!(
        reply.message.tool_calls[0].arguments,
        json!({"place": "拉萨"})
    );
    assert_eq!(reply.usage.prompt_tokens, 14, "the unread answer cost, too");
}

#[tokio::test]
async fn an_answer_that_is_late_is_given_up() {
    let (told, _closed) = std::sync::mpsc::channel();
    let server = Server::start(move |_| Reply {
        hold: Some(told.clone()),
        ..events(&[r#"{"choices":[{"delta":{"content":"Und"}}]}"#])
    });
    let request = ChatRequest {
        timeout: Some(Duration::from_millis(20)),
        ..ask(ResponseFormat::Regex(".*".into()))
    };
    let error = model("vllm", &server).complete(request).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded, "{error}");
}
