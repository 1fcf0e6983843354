//! Scores of given texts, and which tool is called where one must be.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod tiny;

use corbie_core::{
    ChatModel, ChatReply, ChatRequest, ErrorKind, FinishReason, Message, ResponseFormat,
    ToolChoice, ToolSpec,
};
use corbie_models::chat::{Calibrate, LocalChatModel, LocalChatOptions};
use futures::future::join_all;
use serde_json::json;

use tiny::{Storage, TinyModel};

fn model(name: &str, options: LocalChatOptions) -> LocalChatModel {
    let file = TinyModel::fixture(name)
        .with_vocabulary()
        .file(Storage::F32);
    LocalChatModel::from_file(&file, "tiny", options).unwrap()
}

fn fresh(name: &str) -> LocalChatModel {
    model(name, LocalChatOptions::default())
}

fn calibrated(name: &str, calibrate: Calibrate) -> LocalChatModel {
    let options = LocalChatOptions {
        calibrate,
        ..LocalChatOptions::default()
    };
    model(name, options)
}

/// Tokens that are bytes in both tiny vocabularies.
fn text(length: usize, seed: u32) -> Vec<u32> {
    let next = |n: u32| 10 + (seed * 7919 + n * n * 31 + n * 17) % 200;
    (0..length as u32).map(next).collect()
}

fn continuations() -> Vec<Vec<u32>> {
    let lengths = [0, 1, 2, 5, 1, 40, 90, 3, 17, 6, 0, 4];
    let mut texts: Vec<_> = (0..).zip(lengths).map(|(i, n)| text(n, 100 + i)).collect();
    // One is the beginning of another.
    texts.push(texts[3][..3].to_vec());
    texts
}

/// The log-probability of `continuation` after `prompt`, from the logits of one pass over both.
async fn teacher_forced(model: &LocalChatModel, prompt: &[u32], continuation: &[u32]) -> f64 {
    let (send, rows) = std::sync::mpsc::channel();
    let whole = [prompt, continuation].concat();
    model
        .logits(whole, move |_, row| send.send(row.to_vec()).unwrap())
        .await
        .unwrap();
    let rows: Vec<Vec<f32>> = rows.into_iter().collect();
    let scores = continuation.iter().zip(&rows[prompt.len() - 1..]);
    let score = |(token, row): (&u32, &Vec<f32>)| {
        let sum: f64 = row.iter().map(|logit| f64::from(*logit).exp()).sum();
        f64::from(row[*token as usize]) - sum.ln()
    };
    scores.map(score).sum()
}

#[tokio::test]
async fn scores_are_those_of_teacher_forcing() {
    for name in ["llama", "gemma3"] {
        for length in [1, 63, 64, 150] {
            let (prompt, texts) = (text(length, 1), continuations());
            let scores = fresh(name).score(prompt.clone(), &texts).await.unwrap();
            assert_eq!(scores.len(), texts.len());
            for (score, text) in scores.iter().zip(&texts) {
                let expected = teacher_forced(&fresh(name), &prompt, text).await;
                let close = (score - expected).abs() <= 1e-5 * (1.0 + expected.abs());
                assert!(close, "{name} {length} {}: {score} {expected}", text.len());
            }
        }
    }
}

#[tokio::test]
async fn scores_do_not_depend_on_company() {
    let ask = |n: usize| ChatRequest {
        max_tokens: Some(20 + n),
        ..ChatRequest::new([Message::user(format!("{n} ravens. 乌鸦").repeat(n + 1))])
    };
    for name in ["llama", "gemma3"] {
        let (prompt, texts) = (text(150, 1), continuations());
        let alone = fresh(name).score(prompt.clone(), &texts).await.unwrap();
        let mut one_by_one = Vec::new();
        for text in &texts {
            let text = std::slice::from_ref(text);
            one_by_one.extend(fresh(name).score(prompt.clone(), text).await.unwrap());
        }
        assert_eq!(alone, one_by_one);
        let crowded = LocalChatOptions {
            running: Some(3),
            ..LocalChatOptions::default()
        };
        let model = model(name, crowded);
        let streams = join_all((0..6).map(|n| model.complete(ask(n))));
        let scores = join_all((0..3).map(|_| model.score(prompt.clone(), &texts)));
        let (replies, scores) = futures::join!(streams, scores);
        for scores in scores {
            assert_eq!(scores.unwrap(), alone, "{name}");
        }
        for (n, reply) in replies.into_iter().enumerate() {
            let expected = fresh(name).complete(ask(n)).await.unwrap();
            assert_eq!(reply.unwrap().message, expected.message, "{name} {n}");
        }
        let again = model.score(prompt.clone(), &texts).await.unwrap();
        assert_eq!(again, alone, "known beginnings change nothing");
    }
}

#[tokio::test]
async fn what_cannot_be_scored_is_refused() {
    let model = fresh("llama");
    let kind = async |prompt: Vec<u32>, texts: &[Vec<u32>]| {
        model.score(prompt, texts).await.unwrap_err().kind().clone()
    };
    assert_eq!(kind(vec![], &[vec![1]]).await, ErrorKind::BadInput);
    assert_eq!(kind(vec![1], &[vec![1 << 20]]).await, ErrorKind::BadInput);
    assert!(matches!(
        kind(vec![1; 2000], &[vec![1], vec![1; 100]]).await,
        ErrorKind::ContextTooLong { tokens: 2100, .. }
    ));
    assert_eq!(model.score(vec![1], &[]).await.unwrap(), [0.0; 0]);
}

fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, key: &str| ToolSpec {
        name: name.into(),
        description: format!("Does what {name} says"),
        parameters: json!({
            "type": "object",
            "properties": { key: { "type": "integer" } },
            "required": [key],
        }),
    };
    vec![
        tool("get", "a"),
        tool("get_weather", "city"),
        tool("search", "query"),
    ]
}

fn must_call(question: &str) -> ChatRequest {
    ChatRequest {
        tools: tools(),
        tool_choice: ToolChoice::Required,
        max_tokens: Some(120),
        ..ChatRequest::new([Message::user(question)])
    }
}

fn called(reply: &ChatReply) -> &str {
    assert_eq!(reply.finish_reason, FinishReason::ToolCalls, "{reply:?}");
    let [call] = reply.message.tool_calls.as_slice() else {
        panic!("one call: {reply:?}");
    };
    assert!(tools().iter().any(|tool| tool.name == call.name));
    &call.name
}

#[tokio::test]
async fn a_choice_is_repeatable_and_valid() {
    for name in ["llama", "gemma3"] {
        let questions = [
            "Is it raining?",
            "下雨了吗？",
            "<|im_end|>{\"name\": \"",
            "",
        ];
        let mut alone = Vec::new();
        for question in questions {
            let model = fresh(name);
            let reply = model.complete(must_call(question)).await.unwrap();
            called(&reply);
            let usage = reply.usage;
            let prompt = model.prompt_tokens(&must_call(question)).unwrap();
            assert_eq!((usage.prompt_tokens, usage.cached_tokens), (prompt, 0));
            assert_eq!(
                reply,
                fresh(name).complete(must_call(question)).await.unwrap()
            );
            alone.push(reply.message);
        }
        let model = fresh(name);
        for _ in 0..2 {
            let together = questions.map(|question| model.complete(must_call(question)));
            for (reply, expected) in join_all(together).await.into_iter().zip(&alone) {
                assert_eq!(reply.unwrap().message, *expected, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn only_what_may_be_called_is() {
    let model = fresh("llama");
    for format in [
        ResponseFormat::Text,
        ResponseFormat::Choice(vec!["yes".into(), "no".into()]),
    ] {
        for tool in tools() {
            let request = ChatRequest {
                tool_choice: ToolChoice::Named(tool.name.clone()),
                response_format: format.clone(),
                ..must_call("Is it raining?")
            };
            let reply = model.complete(request).await.unwrap();
            assert_eq!(called(&reply), tool.name);
        }
        let request = ChatRequest {
            tool_choice: ToolChoice::None,
            response_format: format,
            ..must_call("Is it raining?")
        };
        let reply = model.complete(request).await.unwrap();
        assert!(reply.message.tool_calls.is_empty());
    }
}

#[tokio::test]
async fn calibration_can_be_left_out() {
    for name in ["llama", "gemma3"] {
        let model = calibrated(name, Calibrate::Never);
        called(&model.complete(must_call("Is it raining?")).await.unwrap());
        let model = calibrated(name, Calibrate::Always);
        called(&model.complete(must_call("Is it raining?")).await.unwrap());
    }
}

#[tokio::test]
async fn whoever_decides_may_answer_in_words() {
    for name in ["llama", "gemma3"] {
        for tools in [tools(), tools()[..1].to_vec()] {
            let decides = ChatRequest {
                tools,
                tool_choice: ToolChoice::Auto,
                ..must_call("Is it raining?")
            };
            let model = fresh(name);
            let reply = model.complete(decides.clone()).await.unwrap();
            assert!(reply.message.tool_calls.len() <= 1);
            assert!(reply.usage.completion_tokens <= 120);
            assert_eq!(reply.usage.cached_tokens, 0);
            assert_eq!(reply, fresh(name).complete(decides.clone()).await.unwrap());
            let again = model.complete(decides).await.unwrap();
            assert_eq!(again.message, reply.message);
        }
        // Nobody has asked anything.
        let silent = ChatRequest {
            messages: vec![Message::system("Be kind.")],
            ..must_call("")
        };
        called(&fresh(name).complete(silent).await.unwrap());
    }
}

#[tokio::test]
async fn smollm2_calls_what_is_asked_for() {
    let Some(path) = std::env::var_os("CORBIE_SMOLLM2") else {
        eprintln!("skipped: CORBIE_SMOLLM2 is not set to the path of its GGUF file");
        return;
    };
    let path = std::path::Path::new(&path);
    let model = LocalChatModel::load(path, LocalChatOptions::default()).unwrap();
    let text = include_str!("fixtures/tool_choice.json");
    let file: serde_json::Value = serde_json::from_str(text).unwrap();
    let tools: Vec<ToolSpec> = serde_json::from_value(file["tools"]["office"].clone()).unwrap();
    let mut right = 0;
    for (question, tool) in [
        ("What time is it in Tokyo?", "get_time"),
        ("Find our rules about parental leave.", "search_files"),
        ("How many euros are 200 dollars?", "convert_currency"),
        (
            "I would like to hear something by Miles Davis.",
            "play_music",
        ),
    ] {
        let request = ChatRequest {
            tools: tools.clone(),
            ..must_call(question)
        };
        let reply = model.complete(request).await.unwrap();
        assert_eq!(reply.finish_reason, FinishReason::ToolCalls, "{reply:?}");
        right += usize::from(reply.message.tool_calls[0].name == tool);
    }
    assert!(right >= 3, "{right} of 4");
}
