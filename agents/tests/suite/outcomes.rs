use std::sync::Arc;
use std::sync::atomic::Ordering;

use corbie_agents::{Answer, AnswerEvent, Answerer, Ungrounded, Verdict};
use corbie_core::ErrorKind;
use futures::StreamExt;

use crate::kit::{Fixed, answerer, model};

const RAVENS: &str = "Ravens cache their food under moss and bark. They remember 2,000 places.";

#[tokio::test]
async fn an_answer_streams_citations_then_text_then_itself() {
    let (answerer, _) = answerer(
        &[RAVENS],
        &["They cache food under moss [1]. They remember 2,000 places."],
    );
    let stream = answerer.ask("Where do ravens cache food?").await.unwrap();
    let events: Vec<AnswerEvent> = stream.map(Result::unwrap).collect().await;
    let AnswerEvent::Citations(citations) = &events[0] else {
        panic!("citations come first: {events:?}");
    };
    assert_eq!((citations[0].n, citations[0].cited), (1, false));
    let AnswerEvent::Done(answer) = events.last().unwrap() else {
        panic!("the answer comes last: {events:?}");
    };
    let text = |event: &AnswerEvent| match event {
        AnswerEvent::Text(text) => text.clone(),
        _ => String::new(),
    };
    assert_eq!(
        events.iter().map(text).collect::<String>(),
        answer.answer,
        "the pieces join"
    );
    assert_eq!(
        answer.answer,
        "They cache food under moss [1]. They remember 2,000 places [1]."
    );
    assert_eq!(answer.verdict, Verdict::Answered);
    assert!(answer.citations[0].cited && answer.usage.prompt_tokens > 0);
}

#[tokio::test]
async fn a_blocked_question_costs_nothing() {
    let model = model(&[]);
    let retriever = Arc::new(Fixed::new(&[RAVENS]));
    let check = |question: &str| question.contains("secret").then(|| "Not that.".to_owned());
    let answerer = Answerer {
        check: Some(Arc::new(check)),
        ..Answerer::new(model.clone(), retriever.clone())
    };
    let answer = answerer.answer("Where is the secret cache?").await.unwrap();
    assert_eq!(
        (answer.verdict, answer.answer.as_str()),
        (Verdict::Refused, "Not that.")
    );
    assert_eq!(
        retriever.calls.load(Ordering::SeqCst),
        0,
        "nothing is looked up or embedded"
    );
    assert!(model.requests().is_empty(), "no model is asked");
}

#[tokio::test]
async fn without_evidence_the_model_is_not_asked() {
    for (question, sentence) in [
        (
            "What does a football cost in Brazil?",
            "The documents say nothing about this.",
        ),
        ("巴西的足球多少钱一个？", "这些文档中没有相关内容。"),
    ] {
        let model = model(&[]);
        let documents = [corbie_core::Document::new("a.md", RAVENS)];
        let retriever = Arc::new(crate::kit::collection(&documents, 0).await);
        let answer = Answerer::new(model.clone(), retriever)
            .answer(question)
            .await
            .unwrap();
        assert_eq!(
            (answer.verdict, answer.answer.as_str()),
            (Verdict::NoEvidence, sentence)
        );
        assert!(answer.citations.is_empty() && model.requests().is_empty());
    }
}

#[tokio::test]
async fn an_empty_collection_has_no_evidence_and_an_empty_question_is_refused_as_input() {
    let (answerer, _) = answerer(&[], &[]);
    assert_eq!(
        answerer.answer("Where?").await.unwrap().verdict,
        Verdict::NoEvidence
    );
    let error = answerer.answer(" \n").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
}

#[tokio::test]
async fn a_model_that_finds_nothing_says_so_in_the_verdict() {
    let (answerer, _) = answerer(&[RAVENS], &["NOT FOUND"]);
    let answer = answerer.answer("Do ravens cache gold?").await.unwrap();
    assert_eq!(answer.verdict, Verdict::NoEvidence);
    assert_eq!(
        answer.citations.len(),
        1,
        "what the model was given is still told"
    );
    assert!(!answer.citations[0].cited);
}

#[tokio::test]
async fn unsupported_text_gives_way_to_a_quotation() {
    let nonsense = "Ravens live in Paris hotels. They play 40 pianos. They drink tea.";
    for reply in [nonsense, "", "[7]"] {
        let (answerer, _) = answerer(&["Crows are black.", RAVENS], &[reply]);
        let answer = answerer
            .answer("Where do ravens cache food?")
            .await
            .unwrap();
        let expected = "The documents say: “Ravens cache their food under moss and bark.” [2]";
        assert_eq!(answer.answer, expected, "{reply:?}");
        let cited: Vec<bool> = answer
            .citations
            .iter()
            .map(|citation| citation.cited)
            .collect();
        assert_eq!(cited, [false, true]);
    }
    let (mut answerer, _) = answerer(&[RAVENS], &[nonsense]);
    answerer.options.ungrounded = Ungrounded::Show;
    let answer = answerer
        .answer("Where do ravens cache food?")
        .await
        .unwrap();
    assert_eq!(answer.answer, nonsense, "shown on request, without a mark");
    assert!(!answer.citations[0].cited);
}

#[tokio::test]
async fn a_rambling_model_is_stopped() {
    let ramble =
        "They cache food under moss. They cache food under moss. They cache food under moss.";
    let (answerer, _) = answerer(&[RAVENS], &[ramble]);
    let answer = answerer
        .answer("Where do ravens cache food?")
        .await
        .unwrap();
    assert_eq!(answer.answer, "They cache food under moss [1].");
    assert!(
        answer.usage.completion_tokens > 0,
        "what was written is counted"
    );
}

#[tokio::test]
async fn chinese_is_answered_in_chinese() {
    let text = "渡鸦把食物藏在苔藓下面，能记住两千个地点。乌鸦不藏食物。";
    let (answerer, model) = answerer(&[text], &["渡鸦把食物藏在苔藓下面。"]);
    let answer = answerer.answer("渡鸦把食物藏在哪里？").await.unwrap();
    assert_eq!(answer.answer, "渡鸦把食物藏在苔藓下面[1]。");
    let instructions = &model.requests()[0].messages[0].content;
    assert!(instructions.contains("段落"), "{instructions}");
    let (quoting, _) = crate::kit::answerer(&[text], &["Bonjour la lune."]);
    let answer = quoting.answer("渡鸦把食物藏在哪里？").await.unwrap();
    assert_eq!(
        answer.answer,
        "文档中写道：“渡鸦把食物藏在苔藓下面，能记住两千个地点。”[1]"
    );
}

#[tokio::test]
async fn the_json_has_the_promised_keys() {
    let (answerer, _) = answerer(&[RAVENS], &["Under moss [1]."]);
    let answer = answerer
        .answer("Where do ravens cache food?")
        .await
        .unwrap();
    let json = serde_json::to_value(&answer).unwrap();
    let keys = |value: &serde_json::Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(keys(&json), "answer cached citations usage v verdict");
    let citation = "cited end heading n page score source start text";
    assert_eq!(keys(&json["citations"][0]), citation);
    assert_eq!(
        keys(&json["usage"]),
        "cached_tokens completion_tokens prompt_tokens"
    );
    assert_eq!(
        (&json["v"], &json["verdict"]),
        (&1.into(), &"answered".into())
    );
    assert!(json["citations"][0]["page"].is_null());
    assert_eq!(serde_json::from_value::<Answer>(json).unwrap(), answer);
}
