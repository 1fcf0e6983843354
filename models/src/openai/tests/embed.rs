//! Remote embedding models.

use corbie_core::testing::{HashEmbedder, conformance};
use corbie_core::{EmbedKind, Embedder, ErrorKind};
use serde_json::{Value, json};

use super::*;

/// A service that embeds by a hash, twice as long as unit length, last vector first.
fn service() -> Server {
    Server::start(|request| {
        assert_eq!(request.path, "/v1/embeddings");
        let asked = request.json();
        assert_eq!(
            (&asked["encoding_format"], &asked["model"]),
            (&json!("float"), &json!("tiny"))
        );
        let texts: Vec<String> = serde_json::from_value(asked["input"].clone()).unwrap();
        assert!(texts.len() <= 2 && texts.iter().all(|text| !text.is_empty()));
        let embed = |text: String| {
            let text = [format!("something {text}")];
            let embedder = HashEmbedder::new(16);
            let vectors = futures::executor::block_on(embedder.embed(&text, EmbedKind::Document));
            let vectors = vectors.unwrap();
            vectors[0].iter().map(|x| x * 2.0).collect::<Vec<f32>>()
        };
        let mut data: Vec<Value> = texts
            .into_iter()
            .enumerate()
            .map(|(index, text)| json!({"index": index, "object": "embedding", "embedding": embed(text)}))
            .collect();
        data.reverse();
        Reply::new(
            200,
            json!({"object": "list", "data": data, "usage": {}}).to_string(),
        )
    })
}

fn small() -> EmbedOptions {
    EmbedOptions {
        batch: 2,
        token_limit: 50,
        ..EmbedOptions::default()
    }
}

#[tokio::test]
async fn it_keeps_the_laws_of_embedders_and_learns_its_dimension() {
    let server = service();
    let embedder = OpenAiEmbedder::connect(options("openai", &server), small())
        .await
        .unwrap();
    assert_eq!(embedder.info().dimension, 16);
    assert_eq!(server.requests().len(), 1);
    conformance::embedder(&embedder).await;
    let texts = ["a".to_owned(), "乌鸦".repeat(500), "c".into()];
    let vectors = embedder.embed(&texts, EmbedKind::Query).await.unwrap();
    for vector in vectors {
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5, "unit length");
    }
    let longest = server
        .requests()
        .iter()
        .map(|request| request.body.len())
        .max();
    assert!(longest.unwrap() < 1000, "long texts are cut off");
    assert!(!format!("{embedder:?}").contains(CANARY));
}

#[tokio::test]
async fn prefixes_are_part_of_the_text_and_of_the_identity() {
    let server = service();
    let plain = EmbedOptions {
        dimension: Some(16),
        ..small()
    };
    let prefixed = EmbedOptions {
        query_prefix: "query: ".into(),
        ..plain.clone()
    };
    let plain = OpenAiEmbedder::connect(options("openai", &server), plain)
        .await
        .unwrap();
    let prefixed = OpenAiEmbedder::connect(options("openai", &server), prefixed)
        .await
        .unwrap();
    assert!(
        server.requests().is_empty(),
        "a given dimension need not be asked for"
    );
    assert_ne!(plain.info().fingerprint, prefixed.info().fingerprint);
    prefixed
        .embed(&["raven".to_owned()], EmbedKind::Query)
        .await
        .unwrap();
    prefixed
        .embed(&["raven".to_owned()], EmbedKind::Document)
        .await
        .unwrap();
    let sent: Vec<Value> = server
        .requests()
        .iter()
        .map(|r| r.json()["input"][0].clone())
        .collect();
    assert_eq!(sent, [json!("query: raven"), json!("raven")]);
}

#[tokio::test]
async fn impossible_answers_are_refused() {
    for data in [
        json!([]),
        json!([{"index": 0, "embedding": []}]),
        json!([{"index": 0, "embedding": [0.0, 0.0]}]),
        json!([{"index": 1, "embedding": [1.0, 0.0]}]),
        json!([{"index": 0, "embedding": [1.0]}]),
        json!([{"index": 0, "embedding": [1.0, 0.0]}, {"index": 0, "embedding": [1.0, 0.0]}]),
        json!([{"index": 0, "embedding": "AACAPw=="}]),
        json!([{"index": 0, "embedding": [1e39, 0.0]}]),
    ] {
        let reply = json!({"data": data}).to_string();
        let server = Server::start(move |_| Reply::new(200, reply.clone()));
        let embed = EmbedOptions {
            dimension: Some(2),
            ..small()
        };
        let embedder = OpenAiEmbedder::connect(options("openai", &server), embed)
            .await
            .unwrap();
        let error = embedder
            .embed(&["x".to_owned()], EmbedKind::Document)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{data}: {error}");
    }
}
