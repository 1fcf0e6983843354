//! Contexts of chunks.

use std::sync::Arc;

use corbie_core::testing::{ScriptedChatModel, Step, says};
use corbie_core::{ChatModel, Chunk, Document, Error, ErrorKind, ResponseFormat, Result};
use corbie_vectorstores::retrieve::Contextualizer;
use futures::executor::block_on;
use serde_json::json;

use super::corpus::{chunks, plain, source};

/// Writes the passage it is asked about.
fn echo() -> ScriptedChatModel {
    ScriptedChatModel::answering(|_, request| {
        let prompt = &request.messages[0].content;
        let passage = prompt.split("<passage>\n").nth(1).unwrap();
        let passage = passage.split("\n</passage>").next().unwrap();
        says(json!({ "context": format!(" About:\n{passage} ") }).to_string())
    })
}

fn write(model: Arc<dyn ChatModel>, document: &Document, chunks: &[Chunk]) -> Result<Vec<String>> {
    block_on(Contextualizer::new(model).contexts(document, chunks))
}

#[test]
fn each_chunk_gets_its_context_after_the_whole_document() {
    for (name, words) in [
        ("ravens.md", "Say in one or two"),
        ("渡鸦.md", "请用一两句"),
    ] {
        let document = source(name);
        let chunks = chunks(document);
        let model = Arc::new(echo());
        let contexts = write(model.clone(), document, &chunks).unwrap();
        let expected: Vec<String> = chunks
            .iter()
            .map(|it| format!("About: {}", it.text))
            .collect();
        assert_eq!(contexts, expected, "one for each, in order, on one line");
        for request in model.requests() {
            let beginning = format!("<document>\n{}\n</document>", document.text);
            let prompt = &request.messages[0].content;
            assert!(prompt.starts_with(&beginning), "all begin alike");
            assert!(prompt.contains(words), "in the document's language");
            assert!(matches!(
                request.response_format,
                ResponseFormat::JsonSchema(_)
            ));
            assert_eq!(request.max_tokens, Some(160));
        }
    }
}

#[test]
fn a_document_too_long_is_read_in_pieces() {
    let lines: Vec<String> = (0..40)
        .map(|i| format!("渡鸦 number {i} hides its food."))
        .collect();
    let document = plain(&lines.join("\n"));
    let chunks: Vec<_> = lines
        .iter()
        .map(|line| super::corpus::chunk(&document, line))
        .collect();
    let model = Arc::new(echo().with_context_length(400));
    let contexts = write(model.clone(), &document, &chunks).unwrap();
    assert_eq!(contexts.len(), chunks.len());
    let mut beginnings = Vec::new();
    for (request, chunk) in model.requests().iter().zip(&chunks) {
        assert!(model.prompt_tokens(request).unwrap() + 160 <= 400);
        let prompt = &request.messages[0].content;
        let piece = prompt.split("\n</document>").next().unwrap().to_owned();
        assert!(
            piece.contains(&chunk.text),
            "each with the piece that holds it"
        );
        beginnings.push(piece);
    }
    beginnings.dedup();
    assert!(
        (2..=4).contains(&beginnings.len()),
        "the fewest: {}",
        beginnings.len()
    );
}

#[test]
fn a_text_of_the_document_fills_no_blank() {
    let document = plain("A template says {passage} and {document}.");
    let chunk = super::corpus::chunk(&document, "{document}");
    let contexts = write(Arc::new(echo()), &document, &[chunk]);
    assert_eq!(contexts.unwrap(), ["About: {document}"]);
}

#[test]
fn a_chunk_goes_without_its_context_only_where_the_model_wrote_none() {
    let document = source("crows.md");
    let chunks = &chunks(document)[..1];
    let ask = |step: Step| write(Arc::new(ScriptedChatModel::new([step])), document, chunks);
    assert_eq!(ask(r#"{"context": " "}"#.into()).unwrap(), [""]);
    assert_eq!(
        ask("no JSON".into()).unwrap_err().kind(),
        &ErrorKind::Malformed
    );
    let down = Error::new(ErrorKind::Unavailable, "model", "it is down");
    assert!(ask(down.into()).unwrap_err().is_retryable());
    let model = Arc::new(ScriptedChatModel::new(Vec::<Step>::new()));
    assert!(write(model, document, &[]).unwrap().is_empty());
}

#[test]
fn another_model_is_another_identity() {
    let of = |max_tokens| {
        let contextualizer = Contextualizer::new(Arc::new(echo()));
        Contextualizer {
            max_tokens,
            ..contextualizer
        }
        .identity()
    };
    assert_ne!(of(10), of(20));
    assert!(of(10).contains("scripted"));
}
