//! Every retriever keeps the laws.

use std::sync::Arc;

use corbie_core::testing::{ScriptedChatModel, WordReranker, conformance, says};
use corbie_core::{ChatModel, Error, ErrorKind, Retriever};
use corbie_vectorstores::retrieve::{
    Adaptive, Extent, Field, FieldKind, Hybrid, Hyde, Mmr, Parents, RetrieverExt, ScoreOf,
    SearchMode, SentenceWindow,
};
use futures::executor::block_on;
use serde_json::json;

use super::corpus::{QUESTIONS, documents, embedder, search, store};

#[track_caller]
fn check(retriever: impl Retriever) {
    block_on(conformance::retriever(&retriever, &QUESTIONS));
}

/// Writes two texts for any question, in any form that asks for texts.
fn writer() -> Arc<dyn ChatModel> {
    Arc::new(ScriptedChatModel::answering(|_, request| {
        let question = &request.messages[1].content;
        says(json!({"texts": [format!("{question} 苔藓"), "caches under moss"]}).to_string())
    }))
}

/// Fails whatever it is asked.
fn broken() -> Arc<dyn ChatModel> {
    Arc::new(ScriptedChatModel::answering(|_, _| {
        Error::new(ErrorKind::Unavailable, "model", "it is down")
    }))
}

/// Reads the question's language out of it, and forgets the form where there is none.
fn reader() -> Arc<dyn ChatModel> {
    Arc::new(ScriptedChatModel::answering(|_, request| {
        let question = &request.messages[1].content;
        let language = match question {
            it if it.contains('渡') => "zh",
            it if it.contains("raven") => "en",
            _ => return says("no JSON"),
        };
        let condition = json!({"field": "metadata.language", "operator": "is", "value": language});
        says(json!({"conditions": [condition], "question": question}).to_string())
    }))
}

#[test]
fn searches_of_one_store_keep_the_laws() {
    check(search(SearchMode::Dense));
    check(search(SearchMode::Keyword));
    check(search(SearchMode::Hybrid));
}

#[test]
fn what_orders_and_narrows_keeps_the_laws() {
    let keyword = || search(SearchMode::Keyword);
    let hybrid = || Hybrid::new(search(SearchMode::Dense), keyword());
    check(hybrid());
    check(hybrid().with(keyword(), 0.5));
    check(keyword().rerank(Arc::new(WordReranker)));
    check(keyword().rerank(Arc::new(WordReranker)).with_depth(0));
    check(keyword().threshold(0.1));
    check(hybrid().threshold(0.05).of(ScoreOf::Dense));
    check(keyword().limit(5));
    check(hybrid().mmr(embedder()));
    check(
        Mmr::new(keyword(), embedder())
            .stored_in(store())
            .with_lambda(0.2),
    );
    check(hybrid().rerank(Arc::new(WordReranker)).limit(8));
}

#[test]
fn what_grows_texts_keeps_the_laws() {
    let keyword = || search(SearchMode::Keyword);
    check(keyword().parents(documents()));
    for extent in [
        Extent::Section { longest: 60 },
        Extent::Section { longest: 0 },
        Extent::Window {
            before: 40,
            after: 40,
        },
    ] {
        check(Parents::new(keyword(), documents()).with_extent(extent));
    }
    check(keyword().sentence_window(documents()));
    check(SentenceWindow::new(keyword(), documents()).with_sentences(0, 1));
    check(keyword().parents(Arc::new(|_: &str| Ok(None))));
    check(keyword().parents(documents()).mmr(embedder()));
}

#[test]
fn what_asks_models_keeps_the_laws_whether_they_answer_or_not() {
    let hybrid = || search(SearchMode::Hybrid);
    let language = Field::new("metadata.language", "language", FieldKind::Text);
    let fields = || vec![language.clone().one_of(["en", "zh"])];
    for model in [writer(), broken()] {
        check(hybrid().multi_query(Arc::clone(&model)));
        check(hybrid().decompose(Arc::clone(&model)));
        check(Hyde::new(store(), embedder(), Arc::clone(&model)).with_count(2));
        check(hybrid().self_query(model, fields()).unwrap());
    }
    check(hybrid().self_query(reader(), fields()).unwrap());
    check(Adaptive::new(search(SearchMode::Keyword), hybrid()));
}
