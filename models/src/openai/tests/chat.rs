//! Streams as services send them, and what becomes of them.

use std::sync::mpsc;

use corbie_core::testing::conformance::{self, Finding};
use corbie_core::{
    ChatEvent, ChatModel, ChatReply, ChatRequest, ErrorKind, FinishReason, Message, Result,
    ToolCall, ToolSpec, Usage,
};
use futures::StreamExt;
use serde_json::json;

use super::*;

fn request() -> ChatRequest {
    ChatRequest::new([Message::user("Where do ravens cache food? 乌鸦?")])
}

/// What a service's stream becomes.
async fn heard(lines: &[&str]) -> Result<Vec<ChatEvent>> {
    let reply = events(lines);
    let server = Server::start(move |_| reply.clone());
    let model = OpenAiChatModel::new(options("openai", &server)).unwrap();
    let stream = model.stream(request()).await?;
    stream.collect::<Vec<_>>().await.into_iter().collect()
}

fn usage(prompt_tokens: usize, cached_tokens: usize, completion_tokens: usize) -> Usage {
    Usage {
        prompt_tokens,
        cached_tokens,
        completion_tokens,
    }
}

#[tokio::test]
async fn it_keeps_the_laws_of_chat_models() {
    let server = Server::start(|request| {
        let asked = request.json();
        assert_eq!(asked["stream"], json!(true));
        let piece =
            |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
        let pieces = match asked["stop"][0].as_str() {
            Some(stop) => vec!["In woods. 树林里。".split(stop).next().map(piece).unwrap()],
            None => ["In woods. ", "树林里。"].map(piece).to_vec(),
        };
        let mut lines: Vec<&str> =
            vec![r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#];
        lines.extend(pieces.iter().map(String::as_str));
        lines.extend([
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
            r#"{"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":8}}"#,
            "[DONE]",
        ]);
        events(&lines)
    });
    let model = OpenAiChatModel::new(RemoteOptions {
        context_length: Some(2048),
        ..options("openai", &server)
    })
    .unwrap();
    // What a service writes is its own: this one only follows stop texts.
    for behaviour in conformance::chat_model_behaviours(&model).await {
        if behaviour.required {
            assert_eq!(behaviour.finding, Finding::Kept, "{behaviour}");
        }
    }
    for request in server.requests() {
        assert_eq!(request.path, "/v1/chat/completions");
        assert_eq!(
            request.header("authorization"),
            Some(format!("Bearer {CANARY}").as_str())
        );
    }
}

#[tokio::test]
async fn text_and_usage() {
    let heard = heard(&[
        r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":null,"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"Under "},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"苔藓。"},"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"length"}],"usage":null}"#,
        r#"{"id":"c","choices":[],"usage":{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38,"prompt_tokens_details":{"cached_tokens":16,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#,
        "[DONE]",
    ])
    .await
    .unwrap();
    assert_eq!(
        heard,
        [
            ChatEvent::Text("Under ".into()),
            ChatEvent::Text("苔藓。".into()),
            ChatEvent::Finish {
                reason: FinishReason::Length,
                usage: usage(31, 16, 7),
            },
        ]
    );
}

#[tokio::test]
async fn calls_in_fragments_become_whole_calls() {
    let call = |id: &str, name: &str, arguments| {
        ChatEvent::ToolCall(ToolCall {
            id: id.into(),
            name: name.into(),
            arguments,
        })
    };
    let finish = |usage| ChatEvent::Finish {
        reason: FinishReason::ToolCalls,
        usage,
    };
    let estimated = usage(estimate::of_request(&request()), 0, 0);
    let cases: Vec<(&str, Vec<&str>, Vec<ChatEvent>)> = vec![
        (
            "OpenAI: two calls, interleaved by index",
            vec![
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"weather","arguments":""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_b","type":"function","function":{"name":"time","arguments":""}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"北京\"}"}}]}}]}"#,
                r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
                r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#,
                "[DONE]",
            ],
            vec![
                call("call_a", "weather", json!({"city": "北京"})),
                call("call_b", "time", json!({})),
                finish(usage(5, 0, 3)),
            ],
        ),
        (
            "Ollama: whole, without end reason of its own",
            vec![
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[{"id":"call_x","index":0,"type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}}]},"finish_reason":null}]}"#,
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}"#,
                "[DONE]",
            ],
            vec![
                call("call_x", "weather", json!({"city": "Oslo"})),
                finish(estimated),
            ],
        ),
        (
            "without index and id: the name starts a call",
            vec![
                r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"a","arguments":"{}"}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"b","arguments":"{\"x\""}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":":1}"}}]},"finish_reason":"tool_calls"}]}"#,
            ],
            vec![
                call("call_0", "a", json!({})),
                call("call_1", "b", json!({"x": 1})),
                finish(estimated),
            ],
        ),
    ];
    for (what, lines, expected) in cases {
        assert_eq!(heard(&lines).await.unwrap(), expected, "{what}");
    }
}

#[tokio::test]
async fn reasoning_is_kept_apart_from_the_answer() {
    for field in ["reasoning_content", "reasoning"] {
        let thought = format!(r#"{{"choices":[{{"delta":{{"{field}":"Hm. "}}}}]}}"#);
        let heard = heard(&[
            &thought,
            r#"{"choices":[{"delta":{"content":"Moss."}}]}"#,
            r#"{"choices":[{"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_cache_hit_tokens":8}}"#,
            "[DONE]",
        ])
        .await
        .unwrap();
        let replay = futures::stream::iter(heard.into_iter().map(Ok)).boxed();
        let reply = ChatReply::fold(replay).await.unwrap();
        assert_eq!(reply.message.reasoning.as_deref(), Some("Hm. "));
        assert_eq!(reply.message.content, "Moss.");
        assert_eq!(reply.usage, usage(9, 8, 4));
    }
}

#[tokio::test]
async fn what_goes_wrong_in_mid_stream_is_the_last_item() {
    let text = r#"{"choices":[{"delta":{"content":"Und"}}]}"#;
    for (then, expected) in [
        (
            r#"{"error":{"message":"overloaded","type":"server_error"}}"#,
            ErrorKind::Unavailable,
        ),
        (
            r#"{"error":{"code":429,"message":"slow down"}}"#,
            ErrorKind::RateLimited { retry_after: None },
        ),
        ("no json", ErrorKind::Malformed),
        ("[DONE]", ErrorKind::Unavailable),
        (
            r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{oops"}}]},"finish_reason":"tool_calls"}]}"#,
            ErrorKind::Malformed,
        ),
    ] {
        let reply = events(&[text, then]);
        let server = Server::start(move |_| reply.clone());
        let model = OpenAiChatModel::new(options("openai", &server)).unwrap();
        let stream = model.stream(request()).await.unwrap();
        let heard: Vec<Result<ChatEvent>> = stream.collect().await;
        assert_eq!(heard.len(), 2, "{then}");
        assert_eq!(heard[0].as_ref().unwrap(), &ChatEvent::Text("Und".into()));
        assert_eq!(heard[1].as_ref().unwrap_err().kind(), &expected, "{then}");
        assert_eq!(server.requests().len(), 1, "no retry after the first event");
    }
}

#[tokio::test]
async fn a_call_cut_off_by_the_limit_is_no_call() {
    let heard = heard(&[
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]},"finish_reason":"length"}]}"#,
    ])
    .await
    .unwrap();
    assert_eq!(heard.len(), 1);
    assert!(matches!(
        heard[0],
        ChatEvent::Finish {
            reason: FinishReason::Length,
            ..
        }
    ));
}

#[tokio::test]
async fn endless_calls_are_stopped() {
    let lines: Vec<String> = (0..1000)
        .map(|index| {
            format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{{"index":{index},"id":"{index}","function":{{"name":"f","arguments":"{{}}"}}}}]}}}}]}}"#)
        })
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(
        heard(&lines).await.unwrap_err().kind(),
        &ErrorKind::LimitExceeded
    );
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let (told, closed) = mpsc::channel();
    let server = Server::start(move |_| Reply {
        hold: Some(told.clone()),
        ..events(&[r#"{"choices":[{"delta":{"content":"Und"}}]}"#])
    });
    let model = OpenAiChatModel::new(options("openai", &server)).unwrap();
    let mut stream = model.stream(request()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Ok(ChatEvent::Text(_)))));
    assert!(closed.try_recv().is_err(), "it is open while it is read");
    drop(stream);
    let closed = tokio::task::spawn_blocking(move || closed.recv_timeout(Duration::from_secs(10)));
    assert!(closed.await.unwrap().is_ok(), "the service sees it closed");
}

#[tokio::test]
async fn tools_and_history_reach_the_service() {
    let server = Server::start(|_| {
        events(&[r#"{"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}"#])
    });
    let model = OpenAiChatModel::new(options("llama.cpp", &server)).unwrap();
    let asked = ChatRequest {
        tools: vec![ToolSpec {
            name: "find".into(),
            description: "Finds".into(),
            parameters: json!({"type": "object"}),
        }],
        ..request()
    };
    let reply = model.complete(asked).await.unwrap();
    assert_eq!(reply.message.content, "ok");
    let sent = server.requests()[0].json();
    assert_eq!(sent["tools"][0]["function"]["name"], json!("find"));
    assert_eq!(sent["tool_choice"], json!("auto"));
}
