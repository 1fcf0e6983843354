//! Local chat models, tiny ones with random weights and real ones where they are at hand.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod tiny;

use std::path::Path;

use corbie_core::testing::conformance::{self, Finding};
use corbie_core::{
    ChatEvent, ChatModel, ChatRequest, ErrorKind, FinishReason, Message, ResponseFormat, Sampling,
    ToolChoice, ToolSpec,
};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use futures::StreamExt;
use serde_json::json;

use tiny::{Storage, TinyModel};

fn tiny_model(name: &str, options: LocalChatOptions) -> LocalChatModel {
    let file = TinyModel::fixture(name)
        .with_vocabulary()
        .file(Storage::F32);
    LocalChatModel::from_file(&file, "tiny", options).unwrap()
}

fn llama() -> LocalChatModel {
    tiny_model("llama", LocalChatOptions::default())
}

fn ask(question: &str, max_tokens: usize) -> ChatRequest {
    ChatRequest {
        max_tokens: Some(max_tokens),
        ..ChatRequest::new([Message::user(question)])
    }
}

#[tokio::test]
async fn tiny_models_keep_the_laws() {
    for name in ["llama", "gemma3"] {
        conformance::chat_model(&tiny_model(name, LocalChatOptions::default())).await;
    }
}

#[tokio::test]
async fn smollm2_keeps_the_laws_and_knows_capitals() {
    let Some(path) = std::env::var_os("CORBIE_SMOLLM2") else {
        eprintln!("skipped: CORBIE_SMOLLM2 is not set to the path of its GGUF file");
        return;
    };
    let options = LocalChatOptions {
        context_length: Some(512),
        ..LocalChatOptions::default()
    };
    let model = LocalChatModel::load(Path::new(&path), options).unwrap();
    for behaviour in conformance::chat_model_behaviours(&model).await {
        eprintln!("{behaviour}");
        assert_eq!(behaviour.finding, Finding::Kept);
    }
    let request = ask("What is the capital of France? Answer with one word.", 24);
    let reply = model.complete(request).await.unwrap();
    assert!(reply.message.content.contains("Paris"), "{reply:?}");
}

#[tokio::test]
async fn a_prompt_that_goes_on_is_not_read_again() {
    let model = llama();
    let first = model
        .complete(ask("Where do ravens live?", 4))
        .await
        .unwrap();
    assert_eq!(first.usage.cached_tokens, 0);
    let longer = ChatRequest {
        max_tokens: Some(4),
        ..ChatRequest::new([
            Message::user("Where do ravens live?"),
            Message::assistant("住在山里。"),
            Message::user("And crows?"),
        ])
    };
    let second = model.complete(longer.clone()).await.unwrap();
    assert!(
        second.usage.cached_tokens >= first.usage.prompt_tokens - 4,
        "{second:?}"
    );
    let fresh = llama().complete(longer.clone()).await.unwrap();
    assert_eq!(second.message, fresh.message, "reuse changes nothing");
    let again = model.complete(longer).await.unwrap();
    assert_eq!(again.usage.cached_tokens, again.usage.prompt_tokens - 1);
    assert_eq!(again.message, fresh.message);
}

/// Tools told and called as Hermes does. A line break behind a block would be trimmed.
const HERMES: &str = r#"{% if tools %}<|im_start|>system
Tools:
{% for tool in tools %}{{ tool | tojson }}{{ "\n" }}{% endfor %}Answer with <tool_call>
{"name": NAME, "arguments": ARGUMENTS}
</tool_call><|im_end|>{{ "\n" }}{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}{% if message.content %}{{ "\n" + message.content }}{% endif %}{% for call in message.tool_calls or [] %}{{ '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}\n</tool_call>' }}{% endfor %}<|im_end|>{{ "\n" }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ "\n" }}{% endif %}"#;

#[tokio::test]
async fn later_steps_of_an_agent_read_only_what_is_new() {
    let tool = |name: &str, argument: &str| ToolSpec {
        name: name.into(),
        description: format!("Knows the {argument}. 知道天气。"),
        parameters: json!({
            "type": "object",
            "properties": {argument: {"enum": ["北京", "Monday", "Paris"]}},
            "required": [argument],
        }),
    };
    for (template, writes_where_it_reads) in [(Some(HERMES), true), (None, false)] {
        let mut tiny = TinyModel::fixture("llama").with_vocabulary();
        if let Some(template) = template {
            tiny = tiny.with_template(template);
        }
        let options = LocalChatOptions::default();
        let model = LocalChatModel::from_file(&tiny.file(Storage::F32), "tiny", options).unwrap();
        let dialect = if template.is_some() {
            "hermes"
        } else {
            "plain"
        };
        assert_eq!(model.template().dialect().name, dialect);
        let mut request = ChatRequest {
            tools: vec![tool("weather", "city"), tool("calendar", "day")],
            tool_choice: ToolChoice::Required,
            max_tokens: Some(200),
            ..ChatRequest::new([Message::user("How is the weather in 北京?")])
        };
        let mut before = None;
        for step in 0..4 {
            let reply = model.complete(request.clone()).await.unwrap();
            let usage = reply.usage;
            assert_eq!(reply.finish_reason, FinishReason::ToolCalls, "{reply:?}");
            if let Some((read, written)) = before {
                // A line break before a call is a part of it. The token that ends an answer was
                // never read.
                let known = if writes_where_it_reads {
                    read + written
                } else {
                    read
                };
                assert!(
                    usage.cached_tokens + 4 >= known,
                    "step {step}: {usage:?}, {read} read and {written} written before"
                );
            }
            before = Some((usage.prompt_tokens, usage.completion_tokens));
            let call = reply.message.tool_calls[0].id.clone();
            request.messages.push(reply.message);
            request.messages.push(Message::tool(call, "3 degrees, 晴"));
        }
    }
}

#[tokio::test]
async fn seeds_repeat_answers() {
    let model = llama();
    let warm = |seed| ChatRequest {
        sampling: Sampling {
            temperature: 1.0,
            seed: Some(seed),
            ..Sampling::default()
        },
        ..ask("Say anything.", 24)
    };
    let one = model.complete(warm(1)).await.unwrap();
    let other = model.complete(warm(2)).await.unwrap();
    assert_eq!(model.complete(warm(1)).await.unwrap().message, one.message);
    assert_ne!(other.message, one.message);
}

#[tokio::test]
async fn limits_end_answers() {
    let full = ask("x", usize::MAX);
    let prompt = llama().prompt_tokens(&full).unwrap();
    let options = LocalChatOptions {
        context_length: Some(prompt + 5),
        ..LocalChatOptions::default()
    };
    let model = tiny_model("llama", options);
    for (request, written) in [(full, 5), (ask("x", 3), 3), (ask("x", 0), 0)] {
        let reply = model.complete(request).await.unwrap();
        assert_eq!(reply.finish_reason, FinishReason::Length);
        assert_eq!(reply.usage.completion_tokens, written);
    }
}

#[tokio::test]
async fn stop_texts_end_answers_and_never_show() {
    let model = llama();
    let whole = model
        .complete(ask("Say anything.", 24))
        .await
        .unwrap()
        .message
        .content;
    let middle: String = whole.chars().skip(6).take(2).collect();
    assert_eq!(middle.chars().count(), 2, "{whole:?}");
    let request = ChatRequest {
        stop: vec![middle.clone()],
        ..ask("Say anything.", 24)
    };
    let stopped = model.complete(request).await.unwrap();
    assert_eq!(stopped.finish_reason, FinishReason::Stop);
    let before = whole.split(&middle).next().unwrap();
    assert_eq!(stopped.message.content, before);
}

#[tokio::test]
async fn a_dropped_stream_frees_the_model() {
    let model = llama();
    let mut streams = Vec::new();
    for _ in 0..40 {
        let mut stream = model.stream(ask("x", usize::MAX)).await.unwrap();
        if streams.is_empty() {
            assert!(matches!(stream.next().await, Some(Ok(ChatEvent::Text(_)))));
        }
        streams.push(stream);
    }
    drop(streams);
    let reply = model.complete(ask("x", 2)).await.unwrap();
    assert_eq!(reply.usage.completion_tokens, 2);
}

#[tokio::test]
async fn an_answer_outlives_the_handle() {
    let model = llama();
    let stream = model.stream(ask("x", 8)).await.unwrap();
    drop(model);
    let events: Vec<_> = stream.collect().await;
    assert!(matches!(events.last(), Some(Ok(ChatEvent::Finish { .. }))));
}

#[tokio::test]
async fn what_cannot_be_promised_is_refused() {
    let model = llama();
    let plain = ask("x", 8);
    for tool_choice in [ToolChoice::Required, ToolChoice::Named("gone".into())] {
        let request = ChatRequest {
            tool_choice,
            ..plain.clone()
        };
        let refused = model.stream(request).await.err().unwrap();
        assert_eq!(refused.kind(), &ErrorKind::BadInput);
    }
    for (format, kind) in [
        (ResponseFormat::Regex("(".into()), ErrorKind::BadInput),
        (
            ResponseFormat::Choice(vec!["a much longer text than eight tokens".repeat(9)]),
            ErrorKind::LimitExceeded,
        ),
    ] {
        let request = ChatRequest {
            response_format: format,
            ..plain.clone()
        };
        let refused = model.stream(request).await.err().unwrap();
        assert_eq!(refused.kind(), &kind, "{refused}");
    }
    for stop in ["".to_owned(), "x".repeat(10_000)] {
        let request = ChatRequest {
            stop: vec![stop],
            ..plain.clone()
        };
        let refused = model.stream(request).await.err().unwrap();
        assert_eq!(refused.kind(), &ErrorKind::BadInput);
    }
    for (field, options) in [
        (
            "threads",
            LocalChatOptions {
                threads: Some(0),
                ..LocalChatOptions::default()
            },
        ),
        (
            "context_length",
            LocalChatOptions {
                context_length: Some(0),
                ..LocalChatOptions::default()
            },
        ),
    ] {
        let file = TinyModel::fixture("llama")
            .with_vocabulary()
            .file(Storage::F32);
        let refused = LocalChatModel::from_file(&file, "tiny", options).unwrap_err();
        assert!(refused.to_string().contains(field), "{refused}");
    }
}

#[tokio::test]
async fn completions_go_on_from_token_ids() {
    let model = llama();
    let options = GenerateOptions {
        max_tokens: 9,
        ..GenerateOptions::default()
    };
    let first = model
        .generate(vec![5, 6, 7], options.clone())
        .await
        .unwrap();
    assert_eq!(
        (first.prompt_tokens, first.cached_tokens, first.ids.len()),
        (3, 0, 9)
    );
    let prompt = [&[5, 6, 7], &first.ids[..4]].concat();
    let rest = model
        .generate(
            prompt,
            GenerateOptions {
                max_tokens: 5,
                ..options.clone()
            },
        )
        .await
        .unwrap();
    assert_eq!(rest.cached_tokens, 6);
    assert_eq!(rest.ids, first.ids[4..]);
    assert_eq!(
        model
            .generate(vec![], options.clone())
            .await
            .unwrap_err()
            .kind(),
        &ErrorKind::BadInput
    );
    assert_eq!(
        model
            .generate(vec![1 << 20], options.clone())
            .await
            .unwrap_err()
            .kind(),
        &ErrorKind::BadInput
    );
    let endless = model
        .generate(vec![1; 10_000], options.clone())
        .await
        .unwrap_err();
    assert!(matches!(
        endless.kind(),
        ErrorKind::ContextTooLong { tokens: 10_000, .. }
    ));
}

#[tokio::test]
async fn threads_do_not_change_answers() {
    let answers = [1, 3].map(|threads| {
        let options = LocalChatOptions {
            threads: Some(threads),
            ..LocalChatOptions::default()
        };
        tiny_model("gemma3", options)
    });
    let [one, three] = answers
        .each_ref()
        .map(|model| model.complete(ask("Say anything.", 32)));
    assert_eq!(one.await.unwrap(), three.await.unwrap());
}
