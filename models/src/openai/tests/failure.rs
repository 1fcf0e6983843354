//! Failures by kind, retries, and the key that is never shown (threat T16).

use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_core::{ChatModel, ChatRequest, Error, ErrorKind, Message};

use super::*;

async fn ask(options: RemoteOptions) -> Error {
    let model = OpenAiChatModel::new(options).unwrap();
    let asked = ChatRequest::new([Message::user("x")]);
    model.complete(asked).await.unwrap_err()
}

#[tokio::test]
async fn refusals_are_sorted_by_what_the_caller_can_do() {
    let openai = |code: &str, message: &str| {
        format!(r#"{{"error":{{"message":"{message}","type":"t","param":null,"code":"{code}"}}}}"#)
    };
    let too_long = openai(
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    );
    let llama_cpp = r#"{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#;
    let rate = |seconds| ErrorKind::RateLimited {
        retry_after: Some(Duration::from_secs(seconds)),
    };
    // Whether it is sent again shows in the number of requests.
    let cases: Vec<(Reply, ErrorKind, usize)> = vec![
        (
            Reply::new(401, openai("invalid_api_key", "wrong key")),
            ErrorKind::Unauthorized,
            1,
        ),
        (Reply::new(403, "no"), ErrorKind::Unauthorized, 1),
        (
            Reply::new(404, openai("model_not_found", "no such model")),
            ErrorKind::NotFound,
            1,
        ),
        (
            Reply::new(400, openai("x", "bad field")),
            ErrorKind::BadInput,
            1,
        ),
        (
            Reply::new(400, too_long),
            ErrorKind::ContextTooLong {
                tokens: 9000,
                limit: 8192,
            },
            1,
        ),
        (
            Reply::new(400, llama_cpp),
            ErrorKind::ContextTooLong {
                tokens: 9000,
                limit: 8192,
            },
            1,
        ),
        (Reply::new(402, "no credit"), ErrorKind::LimitExceeded, 1),
        (
            Reply::new(429, openai("insufficient_quota", "pay")),
            ErrorKind::LimitExceeded,
            1,
        ),
        (
            Reply::new(429, "slow").header("retry-after", "0"),
            rate(0),
            3,
        ),
        (
            Reply::new(429, "slow").header("retry-after", "600"),
            rate(600),
            1,
        ),
        (
            Reply::new(429, "slow"),
            ErrorKind::RateLimited { retry_after: None },
            3,
        ),
        (Reply::new(500, "oops"), ErrorKind::Unavailable, 3),
        (
            Reply::new(503, "<html>busy</html>"),
            ErrorKind::Unavailable,
            3,
        ),
        (
            Reply::new(307, "").header("location", "http://elsewhere.test"),
            ErrorKind::Malformed,
            1,
        ),
    ];
    for (reply, expected, requests) in cases {
        let status = reply.status;
        let server = Server::start(move |_| reply.clone());
        let error = ask(options("openai", &server)).await;
        assert_eq!(error.kind(), &expected, "{status}: {error}");
        assert_eq!(server.requests().len(), requests, "{status}: {error}");
        assert!(error.to_string().contains("openai:tiny"), "{error}");
    }
}

#[tokio::test]
async fn a_service_that_recovers_is_asked_again() {
    let count = AtomicUsize::new(0);
    let server = Server::start(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::new(503, "starting"),
        _ => events(&[r#"{"choices":[{"delta":{"content":"ok"},"finish_reason":"stop"}]}"#]),
    });
    let model = OpenAiChatModel::new(options("vllm", &server)).unwrap();
    let reply = model
        .complete(ChatRequest::new([Message::user("x")]))
        .await
        .unwrap();
    assert_eq!(reply.message.content, "ok");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_host() {
    let options = RemoteOptions {
        base_url: format!("http://user:{CANARY}@127.0.0.1:9/v1"),
        retries: 0,
        ..RemoteOptions::new("ollama", "tiny").unwrap()
    };
    let error = ask(options).await;
    assert_eq!(error.kind(), &ErrorKind::Unavailable);
    assert!(
        error.cause().starts_with("127.0.0.1 does not answer"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains(CANARY));
}

#[tokio::test]
async fn the_key_is_in_no_message_and_no_debug_output() {
    for status in [400, 401, 500] {
        let repeated = format!(r#"{{"error":{{"message":"bad key {CANARY}\u001b[31m"}}}}"#);
        let server = Server::start(move |_| Reply::new(status, repeated.clone()));
        let options = options("openai", &server);
        assert!(!format!("{options:?}").contains(CANARY));
        let model = OpenAiChatModel::new(options.clone()).unwrap();
        assert!(!format!("{model:?}").contains(CANARY));
        let error = ask(options).await;
        let shown = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!shown.contains(CANARY), "{shown}");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert!(shown.contains("bad key [key]"), "{shown}");
    }
    for key in ["a\nb", "a\u{7f}b"] {
        let options = RemoteOptions {
            key: Some(key.to_owned().into()),
            ..RemoteOptions::new("openai", "tiny").unwrap()
        };
        let error = OpenAiChatModel::new(options).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput);
        assert!(!error.to_string().contains(key));
    }
}

#[test]
fn offline_and_impossible_addresses_are_refused_when_made() {
    let refused = |options| OpenAiChatModel::new(options).unwrap_err().kind().clone();
    let plain = || RemoteOptions::new("openai", "tiny").unwrap();
    let offline = RemoteOptions {
        offline: true,
        ..plain()
    };
    assert_eq!(refused(offline), ErrorKind::Offline);
    for base_url in ["", "no url", "file:///etc/passwd", "ftp://x/v1"] {
        let options = RemoteOptions {
            base_url: base_url.into(),
            ..plain()
        };
        assert_eq!(refused(options), ErrorKind::BadInput, "{base_url}");
    }
    let unknown = RemoteOptions::new("martian", "m").unwrap_err();
    assert_eq!(unknown.kind(), &ErrorKind::NotFound);
}

#[test]
fn the_environment_gives_key_and_address_by_custom() {
    let options = RemoteOptions::from_env("openai", "m", |name| match name {
        "OPENAI_API_KEY" => Some(CANARY.into()),
        "OPENAI_BASE_URL" => Some("http://127.0.0.1:1/v1".into()),
        _ => None,
    })
    .unwrap();
    assert!(options.key.is_some());
    assert_eq!(options.base_url, "http://127.0.0.1:1/v1");
    let options = RemoteOptions::from_env("ollama", "m", |_| Some(CANARY.into())).unwrap();
    assert!(
        options.key.is_none(),
        "a service without a key gets nobody's"
    );
}
