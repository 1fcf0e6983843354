//! Chat models in directories as Hugging Face keeps them, and several models in one process, all
//! tiny and with random weights.

#![cfg(all(feature = "local", feature = "hub"))]
#![allow(clippy::unwrap_used)]

mod tiny;

use std::path::Path;

use corbie_core::testing::conformance;
use corbie_core::{ChatModel, ChatRequest, ErrorKind, Message};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use corbie_models::decoder::DecoderSize;
use corbie_models::estimate;
use corbie_models::hub::{Hub, HubOptions, ModelKind, silent};
use corbie_models::kernels::Precision;
use corbie_models::pool::{Duty, ModelState, PoolOptions};
use corbie_models::{Models, describe};

use tiny::{Storage, TinyModel};

fn tiny(name: &str) -> TinyModel {
    let mut model = TinyModel::fixture(name).with_vocabulary();
    model.says("max_position_embeddings", 2048.into());
    model.says("architectures", serde_json::json!(["TinyForCausalLM"]));
    model
}

/// The model's directory, and the same model from its GGUF file.
fn both(name: &str, files: usize) -> (tempfile::TempDir, LocalChatModel) {
    let model = tiny(name);
    let folder = tempfile::tempdir().unwrap();
    model.write_directory(folder.path(), files);
    model.write_chat_files(folder.path());
    let gguf = model.file(Storage::F32);
    let options = LocalChatOptions::default();
    (
        folder,
        LocalChatModel::from_file(&gguf, "gguf", options).unwrap(),
    )
}

fn load(folder: &Path) -> LocalChatModel {
    LocalChatModel::load(folder, LocalChatOptions::default()).unwrap()
}

fn ask(question: &str) -> ChatRequest {
    ChatRequest {
        max_tokens: Some(24),
        ..ChatRequest::new([Message::user(question)])
    }
}

#[tokio::test]
async fn a_directory_says_what_its_gguf_file_says() {
    for (name, files) in [("llama", 1), ("qwen3", 3), ("lfm2", 1), ("gemma3", 2)] {
        let (folder, gguf) = both(name, files);
        let directory = load(folder.path());
        assert_eq!(
            directory.info().context_length,
            gguf.info().context_length,
            "{name}"
        );
        let tokenizer = directory.tokenizer();
        assert_eq!(tokenizer.eos_ids(), gguf.tokenizer().eos_ids(), "{name}");
        assert_eq!(tokenizer.bos(), gguf.tokenizer().bos(), "{name}");
        assert_eq!(tokenizer.adds_bos(), gguf.tokenizer().adds_bos(), "{name}");
        for question in [
            "where do ravens live?",
            "乌鸦住在哪里？",
            "<|im_end|> <eos>",
            "",
        ] {
            let request = ask(question);
            let tokens = gguf.prompt_tokens(&request).unwrap();
            assert_eq!(directory.prompt_tokens(&request).unwrap(), tokens, "{name}");
            let expected = gguf.complete(request.clone()).await.unwrap();
            let found = directory.complete(request).await.unwrap();
            assert_eq!(found.message, expected.message, "{name}: {question}");
            assert_eq!(found.usage.prompt_tokens, expected.usage.prompt_tokens);
        }
        let options = GenerateOptions {
            max_tokens: 24,
            ..GenerateOptions::default()
        };
        let expected = gguf.generate(vec![5, 6, 7], options.clone()).await.unwrap();
        let found = directory.generate(vec![5, 6, 7], options).await.unwrap();
        assert_eq!(found.ids, expected.ids, "{name}");
        assert_eq!(found.text, expected.text, "{name}");
    }
}

#[tokio::test]
async fn a_directory_keeps_the_laws() {
    for name in ["llama", "gemma3"] {
        let (folder, _) = both(name, 1);
        conformance::chat_model(&load(folder.path())).await;
    }
}

#[tokio::test]
async fn templates_are_found_wherever_they_are() {
    let (folder, gguf) = both("llama", 1);
    let expected = gguf.prompt_tokens(&ask("x")).unwrap();
    let source = gguf.template().source().unwrap().to_owned();
    let write = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
    };
    write("tokenizer_config.json", r#"{"eos_token": "<|im_end|>"}"#);
    assert!(load(folder.path()).template().source().is_none());
    let several = serde_json::json!([
        { "name": "tool_use", "template": "no" },
        { "name": "default", "template": source },
    ]);
    let config = serde_json::json!({ "eos_token": "<|im_end|>", "chat_template": several });
    write("tokenizer_config.json", &config.to_string());
    assert_eq!(
        load(folder.path()).prompt_tokens(&ask("x")).unwrap(),
        expected
    );
    write("chat_template.jinja", "{{ messages[0].content }}");
    assert_eq!(load(folder.path()).prompt_tokens(&ask("x")).unwrap(), 1);
    for hostile in [
        "{% if %}",
        "{% for a in range(100000) %}{% for b in range(100000) %}x",
    ] {
        write("chat_template.jinja", hostile);
        let options = LocalChatOptions::default();
        let refused = LocalChatModel::load(folder.path(), options).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Malformed, "{refused}");
    }
}

#[test]
fn what_is_missing_is_named() {
    for (file, kind) in [
        ("tokenizer.json", ErrorKind::NotFound),
        ("config.json", ErrorKind::NotFound),
        ("model.safetensors", ErrorKind::NotFound),
    ] {
        let (folder, _) = both("llama", 1);
        std::fs::remove_file(folder.path().join(file)).unwrap();
        let options = LocalChatOptions::default();
        let refused = LocalChatModel::load(folder.path(), options).unwrap_err();
        assert_eq!(refused.kind(), &kind, "{file}: {refused}");
        assert!(refused.to_string().contains(file), "{refused}");
    }
    let (folder, _) = both("llama", 1);
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
    ] {
        let path = folder.path().join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let options = LocalChatOptions::default();
        let refused = LocalChatModel::load(folder.path(), options).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Malformed, "{file}: {refused}");
        assert!(refused.to_string().contains(file), "{refused}");
        std::fs::write(&path, whole).unwrap();
    }
}

fn models(folder: &Path, memory: usize) -> Models {
    let hub = Hub::new(HubOptions {
        offline: true,
        ..HubOptions::new(folder)
    });
    let options = PoolOptions {
        memory,
        ..PoolOptions::default()
    };
    Models::with_options(hub, |_| None, options, LocalChatOptions::default())
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn two_models_take_turns_in_the_memory_of_one() {
    let cache = tempfile::tempdir().unwrap();
    let (folder, gguf) = both("qwen3", 1);
    let file = cache.path().join("other.gguf");
    std::fs::write(&file, tiny("llama").writer(Storage::Q8_0).to_bytes()).unwrap();
    let needs = [folder.path(), file.as_path()].map(|path| {
        let need = estimate::chat(path, &LocalChatOptions::default()).unwrap();
        assert!(need.total() > need.least() && need.longest_context >= need.context);
        need
    });
    // Room for either beside the other's tokenizer, not for both.
    let kept = needs.map(|need| need.tokenizer);
    let needs = needs.map(|need| need.least());
    let limit = (needs[0] + kept[1]).max(needs[1] + kept[0]);
    assert!(limit < needs[0] + needs[1]);
    let models = models(cache.path(), limit);
    let one = models.chat(name(folder.path()), &silent).await.unwrap();
    let other = models.chat(name(&file), &silent).await.unwrap();
    let expected = gguf.complete(ask("乌鸦?")).await.unwrap();
    let mut written = None;
    for _ in 0..2 {
        let found = one.complete(ask("乌鸦?")).await.unwrap();
        assert_eq!(found.message, expected.message);
        let found = other.complete(ask("raven?")).await.unwrap();
        assert_eq!(written.get_or_insert(found.message.clone()), &found.message);
        let status = models.pool().status();
        assert!(status.taken <= status.limit, "{status:?}");
        let ready = |it: &&corbie_models::pool::ModelStatus| it.state == ModelState::Ready;
        let ready: Vec<_> = status.models.iter().filter(ready).collect();
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].name, name(&file));
    }
    conformance::chat_model(&*one).await;

    let small = self::models(cache.path(), needs[1] - 1);
    let refused = small.chat(name(&file), &silent).await.err().unwrap();
    assert_eq!(refused.kind(), &ErrorKind::LimitExceeded, "{refused}");
}

#[tokio::test]
async fn a_name_leads_to_what_its_files_are() {
    let cache = tempfile::tempdir().unwrap();
    let models = models(cache.path(), usize::MAX);
    let (folder, _) = both("llama", 1);
    let here = name(folder.path());
    let kind = |models: &Models| models.hub().cached(here).unwrap().kind;
    assert_eq!(kind(&models), Some(ModelKind::Chat));
    models.warm_up(Duty::Chat, here, &silent).await.unwrap();
    let refused = models.embedder(here, &silent).await.err().unwrap();
    assert_eq!(refused.kind(), &ErrorKind::BadInput, "{refused}");

    let facts = describe(&models.hub().cached(here).unwrap()).unwrap();
    let fact = |key: &str| {
        facts
            .iter()
            .find(|(name, _)| *name == key)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(fact("architecture"), "llama");
    assert_eq!(fact("format"), "safetensors");
    assert_eq!(fact("context_length"), 2048);
    assert_eq!(fact("chat_template"), true);
    let size = DecoderSize::of_directory(folder.path(), Precision::default()).unwrap();
    assert_eq!(fact("memory")["weights"], size.weights);
    let files: Vec<String> = fact("files")
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        files,
        [
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "model.safetensors"
        ]
    );

    for (config, expected) in [
        (r#"{"architectures": ["BertModel"]}"#, ModelKind::Embedding),
        (
            r#"{"architectures": ["BertForMaskedLM"]}"#,
            ModelKind::Embedding,
        ),
        (
            r#"{"architectures": ["XLMRobertaForSequenceClassification"]}"#,
            ModelKind::Reranking,
        ),
        (
            r#"{"architectures": ["Qwen3ForCausalLM"]}"#,
            ModelKind::Chat,
        ),
        (r#"{"model_type": "llama"}"#, ModelKind::Chat),
        (r#"{"model_type": "bert"}"#, ModelKind::Embedding),
        ("{}", ModelKind::Embedding),
        ("no json", ModelKind::Embedding),
    ] {
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert_eq!(kind(&models), Some(expected), "{config}");
    }
    // A sentence encoder may be a decoder by its architecture.
    let causal = r#"{"architectures": ["Qwen3ForCausalLM"]}"#;
    std::fs::write(folder.path().join("config.json"), causal).unwrap();
    std::fs::write(folder.path().join("modules.json"), "[]").unwrap();
    assert_eq!(kind(&models), Some(ModelKind::Embedding));
    let fresh = self::models(cache.path(), usize::MAX);
    let refused = fresh.chat(here, &silent).await.err().unwrap();
    assert_eq!(refused.kind(), &ErrorKind::BadInput, "{refused}");
}
