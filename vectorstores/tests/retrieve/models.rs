//! Questions that a model puts better.

use std::sync::Arc;

use corbie_core::testing::{ScriptedChatModel, Step};
use corbie_core::{ChatModel, Error, ErrorKind, ResponseFormat, RetrieveRequest, Retriever};
use corbie_vectorstores::retrieve::{Hyde, RetrieverExt, SearchMode};
use futures::executor::block_on;
use serde_json::json;

use super::corpus::{Fixed, embedder, find, search, store, texts};

fn down() -> Error {
    Error::new(ErrorKind::Unavailable, "model", "it is down")
}

fn writes(texts: &[&str]) -> Step {
    json!({ "texts": texts }).to_string().into()
}

/// A model that goes through these steps, which are all to be used.
fn scripted(steps: impl IntoIterator<Item = Step>) -> Arc<ScriptedChatModel> {
    Arc::new(ScriptedChatModel::new(steps))
}

#[test]
fn other_words_find_what_the_question_does_not() {
    for (question, other, expected) in [
        (
            "Do corvids recognise humans?",
            "Do crows know people's faces?",
            "Crows know the faces of people.",
        ),
        (
            "鸦科鸟类能辨识人类吗？",
            "乌鸦认得脸吗？",
            "乌鸦认得人的脸。",
        ),
    ] {
        let model = scripted([writes(&[other, " ", question, other])]);
        let retriever = search(SearchMode::Keyword).multi_query(model.clone());
        let hits = find(&retriever, question, 3);
        assert_eq!(hits[0].chunk.text, expected, "{:?}", texts(&hits));
        model.assert_done();
    }
}

#[test]
fn each_question_is_asked_once_beside_the_plain_one() {
    let found = Fixed::new(&[("a", 1.0)]);
    let model = scripted([writes(&["渡鸦吃什么？", "", "渡鸦住在哪里？", "第三个？"])]);
    let parts = Arc::clone(&found).decompose(model.clone()).with_count(2);
    find(&parts, "渡鸦吃什么，住在哪里？", 3);
    let asked: Vec<String> = found.asked().into_iter().map(|it| it.question).collect();
    assert_eq!(
        asked,
        ["渡鸦吃什么，住在哪里？", "渡鸦吃什么？", "渡鸦住在哪里？"]
    );
    let request = &model.requests()[0];
    assert!(
        request.messages[0].content.contains("最多 2 个"),
        "in the question's language"
    );
    let ResponseFormat::JsonSchema(schema) = &request.response_format else {
        panic!("the form is held to a schema");
    };
    assert_eq!(schema["properties"]["texts"]["maxItems"], 2);
    assert_eq!(request.messages[1].content, "渡鸦吃什么，住在哪里？");
}

#[test]
fn a_model_that_fails_or_says_nothing_costs_no_hits() {
    let replies = || -> [Step; 5] {
        [
            down().into(),
            "no JSON".into(),
            writes(&[]),
            writes(&["", "  "]),
            r#"{"texts": "渡鸦"}"#.into(),
        ]
    };
    for question in ["Where do ravens cache food?", "渡鸦把食物藏在哪里？"] {
        let keyword = || search(SearchMode::Keyword);
        let plain = find(&keyword(), question, 3);
        for reply in replies() {
            let hits = find(&keyword().multi_query(scripted([reply])), question, 3);
            assert_eq!(texts(&hits), texts(&plain));
        }
        let plain = find(&search(SearchMode::Dense), question, 3);
        for reply in replies() {
            let hyde = Hyde::new(store(), embedder(), scripted([reply]));
            assert_eq!(texts(&find(&hyde, question, 3)), texts(&plain));
        }
    }
}

#[test]
fn a_made_up_passage_finds_the_real_one() {
    for (question, passage, expected) in [
        (
            "How good is a corvid's memory?",
            "They remember each cache for weeks, even months.",
            "They remember each cache for weeks.",
        ),
        (
            "鸟类记性如何？",
            "它们几周后还记得每个地方，甚至更久。",
            "它们几周后还记得每个地方。",
        ),
    ] {
        let model = scripted([writes(&[passage])]);
        let hyde = Hyde::new(store(), embedder(), model.clone());
        let hits = find(&hyde, question, 3);
        assert_eq!(hits[0].chunk.text, expected);
        assert_eq!(hits[0].scores.dense, Some(hits[0].score), "a cosine");
        model.assert_done();
    }
}

#[test]
fn where_nothing_is_asked_no_model_is() {
    let model = scripted([]);
    let retriever = search(SearchMode::Keyword).multi_query(model.clone() as Arc<dyn ChatModel>);
    for (question, limit) in [("", 3), (" \n", 3), ("ravens", 0)] {
        let request = RetrieveRequest::new(question).with_limit(limit);
        assert!(block_on(retriever.retrieve(request)).unwrap().is_empty());
    }
    model.assert_done();
}
