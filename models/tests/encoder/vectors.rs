//! The vectors are right, and the same in every batch.

use std::sync::Arc;

use corbie_core::testing::conformance;
use corbie_core::{EmbedKind, Embedder};
use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};
use futures::executor::block_on;

use crate::fixture::{Case, Fixture};

pub fn load(case: &Case, options: LocalEmbedderOptions) -> LocalEmbedder {
    let dir = tempfile::tempdir().unwrap();
    case.write(dir.path());
    LocalEmbedder::load(dir.path(), options).unwrap()
}

fn assert_close(name: &str, actual: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (text, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(actual.len(), expected.len(), "{name}");
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 1e-4, "{name}, text {text}: {a} is not {e}");
        }
    }
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let fixture = Fixture::read();
    for case in &fixture.cases {
        let embedder = load(case, LocalEmbedderOptions::default());
        let document = block_on(embedder.embed(&fixture.texts, EmbedKind::Document)).unwrap();
        assert_close(&case.name, &document, &case.expected.document);
        let query = block_on(embedder.embed(&fixture.texts, EmbedKind::Query)).unwrap();
        let expected = case.expected.query.as_ref();
        assert_close(
            &case.name,
            &query,
            expected.unwrap_or(&case.expected.document),
        );
    }
}

#[tokio::test]
async fn the_laws_hold() {
    for case in &Fixture::read().cases {
        conformance::embedder(&load(case, LocalEmbedderOptions::default())).await;
    }
}

#[test]
fn the_budget_of_a_batch_changes_nothing() {
    let fixture = Fixture::read();
    let vectors = |max_tokens_per_batch| {
        let options = LocalEmbedderOptions {
            max_tokens_per_batch,
            ..LocalEmbedderOptions::default()
        };
        let embedder = load(&fixture.cases[0], options);
        block_on(embedder.embed(&fixture.texts, EmbedKind::Document)).unwrap()
    };
    let whole = vectors(4096);
    for budget in [0, 1, 17, 40] {
        assert_eq!(vectors(budget), whole, "a budget of {budget} tokens");
    }
}

#[test]
fn callers_at_the_same_time_get_their_own_vectors() {
    let fixture = Fixture::read();
    let embedder = Arc::new(load(&fixture.cases[0], LocalEmbedderOptions::default()));
    let expected = block_on(embedder.embed(&fixture.texts, EmbedKind::Document)).unwrap();
    let callers: Vec<_> = fixture
        .texts
        .iter()
        .cloned()
        .zip(expected)
        .map(|(text, expected)| {
            let embedder = Arc::clone(&embedder);
            std::thread::spawn(move || {
                for _ in 0..20 {
                    let texts = std::slice::from_ref(&text);
                    let vectors = block_on(embedder.embed(texts, EmbedKind::Document)).unwrap();
                    assert_eq!(vectors[0], expected);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.join().unwrap();
    }
}

#[test]
fn a_dropped_call_does_not_disturb_the_next() {
    let fixture = Fixture::read();
    let embedder = load(&fixture.cases[0], LocalEmbedderOptions::default());
    for _ in 0..10 {
        let mut call = embedder.embed(&fixture.texts, EmbedKind::Document);
        let waker = futures::task::noop_waker();
        let _ = call
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker));
    }
    let vectors = block_on(embedder.embed(&fixture.texts, EmbedKind::Document)).unwrap();
    assert_close("after", &vectors, &fixture.cases[0].expected.document);
}

#[test]
fn tokens_are_counted_without_the_special_ones() {
    let embedder = load(&Fixture::first(), LocalEmbedderOptions::default());
    let tokens = embedder.tokens();
    let cases = [("", 0), ("A raven caches food", 5), ("乌鸦会藏食物。", 7)];
    for (text, count) in cases {
        assert_eq!(tokens.count(text), count, "{text}");
    }
    assert_eq!(tokens.count(&"raven ".repeat(40)), 40, "never cut");
    assert_eq!(tokens.limit(), 14, "16 without [CLS] and [SEP]");

    let options = LocalEmbedderOptions {
        document_prompt: Some("they use: ".into()),
        ..LocalEmbedderOptions::default()
    };
    let prompted = load(&Fixture::first(), options);
    assert_eq!(prompted.tokens().limit(), 11, "a prompt takes its place");
}

#[test]
fn whatever_decides_the_vectors_decides_the_fingerprint() {
    let fixture = Fixture::read();
    let info = |case: &Case, options| load(case, options).info().clone();
    let mut seen = std::collections::BTreeMap::new();
    for case in &fixture.cases {
        let info = info(case, LocalEmbedderOptions::default());
        assert_eq!(info.dimension, case.expected.document[0].len());
        // The new key of pooling says the same as the old one.
        let same = ["cls", "pooling by its new key"];
        if let Some(other) = seen.insert(info.fingerprint, &*case.name) {
            assert!(
                same.contains(&other) && same.contains(&&*case.name),
                "{other}, {}",
                case.name
            );
        }
    }
    let named = LocalEmbedderOptions {
        name: Some("tiny".into()),
        max_tokens_per_batch: 7,
        ..LocalEmbedderOptions::default()
    };
    let named = info(&fixture.cases[0], named);
    assert_eq!(named.model, "tiny");
    assert!(
        seen.contains_key(&named.fingerprint),
        "a name decides nothing"
    );
    let prompted = LocalEmbedderOptions {
        query_prompt: Some("for ".into()),
        ..LocalEmbedderOptions::default()
    };
    assert!(!seen.contains_key(&info(&fixture.cases[0], prompted).fingerprint));
}
