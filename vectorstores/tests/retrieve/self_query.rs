//! Conditions that a question names itself.

use std::sync::Arc;

use corbie_core::testing::{ScriptedChatModel, Step};
use corbie_core::{Error, ErrorKind, Filter, Range, ResponseFormat, RetrieveRequest, Retriever};
use corbie_vectorstores::retrieve::{Field, FieldKind, RetrieverExt, SearchMode, SelfQuery};
use futures::executor::block_on;
use serde_json::{Value, json};

use super::corpus::{Fixed, search};

fn fields() -> Vec<Field> {
    vec![
        Field::new("metadata.language", "language / 语言", FieldKind::Text).one_of(["en", "zh"]),
        Field::new(
            "metadata.year",
            "year of publication / 出版年份",
            FieldKind::Integer,
        ),
        Field::new("metadata.price", "price / 价格", FieldKind::Number),
        Field::new(
            "metadata.draft",
            "whether it is a draft / 是否草稿",
            FieldKind::Boolean,
        ),
        Field::new("source", "file name / 文件名", FieldKind::Text),
    ]
}

fn reads(conditions: Value, question: &str) -> Step {
    let reading = json!({ "conditions": conditions, "question": question });
    reading.to_string().into()
}

fn condition(field: &str, operator: &str, value: impl Into<Value>) -> Value {
    json!({ "field": field, "operator": operator, "value": value.into() })
}

fn over(found: Arc<Fixed>, reply: Step) -> (SelfQuery, Arc<ScriptedChatModel>) {
    let model = Arc::new(ScriptedChatModel::new([reply]));
    (found.self_query(model.clone(), fields()).unwrap(), model)
}

#[test]
fn conditions_become_a_filter_beside_the_requests_own() {
    let bound = |range| Filter::range("metadata.year", range);
    let table = [
        (
            json!([condition("metadata.language", "is", "zh")]),
            vec![Filter::any([Filter::eq("metadata.language", "zh")])],
        ),
        (
            json!([
                condition("metadata.language", "is", "zh"),
                condition("metadata.year", "at_least", 2020),
                condition("metadata.language", "is", "en"),
            ]),
            vec![
                bound(Range {
                    gte: Some(2020.0),
                    ..Range::default()
                }),
                Filter::any(["zh", "en"].map(|it| Filter::eq("metadata.language", it))),
            ],
        ),
        (
            json!([condition("metadata.year", "less_than", 2020)]),
            vec![bound(Range {
                lt: Some(2020.0),
                ..Range::default()
            })],
        ),
        (
            json!([condition("metadata.year", "is_not", 2020)]),
            vec![Filter::not(Filter::eq("metadata.year", 2020))],
        ),
        (
            json!([condition("metadata.price", "is", 2.5)]),
            vec![Filter::any([Filter::range(
                "metadata.price",
                Range {
                    gte: Some(2.5),
                    lte: Some(2.5),
                    ..Range::default()
                },
            )])],
        ),
        (
            json!([condition("metadata.draft", "is", false)]),
            vec![Filter::any([Filter::eq("metadata.draft", false)])],
        ),
        (
            json!([condition("source", "contains", "手册'; --")]),
            vec![Filter::text("source", "手册'; --")],
        ),
    ];
    for (conditions, expected) in table {
        for own in [None, Some(Filter::eq("source", "a.md"))] {
            let found = Fixed::new(&[("a", 1.0)]);
            let (retriever, model) = over(found.clone(), reads(conditions.clone(), "渡鸦"));
            let request = RetrieveRequest::new("中文的渡鸦资料").filtered(own.clone());
            block_on(retriever.retrieve(request)).unwrap();
            let asked = found.asked();
            assert_eq!(asked.len(), 1);
            let filters = expected.iter().cloned().chain(own);
            assert_eq!(asked[0].filter, Some(Filter::all(filters)), "{conditions}");
            assert_eq!(asked[0].question, "渡鸦", "the rest of the question");
            model.assert_done();
        }
    }
}

#[test]
fn what_is_refused_or_finds_nothing_is_left_out() {
    let refused: [Step; 10] = [
        Error::new(ErrorKind::Unavailable, "model", "it is down").into(),
        "no JSON".into(),
        reads(json!([]), "渡鸦"),
        reads(json!([condition("metadata.owner", "is", "ann")]), "渡鸦"),
        reads(json!([condition("namespace", "is", "bo")]), "渡鸦"),
        reads(json!([condition("metadata.language", "is", "fr")]), "渡鸦"),
        reads(
            json!([condition("metadata.language", "contains", "zh")]),
            "渡鸦",
        ),
        reads(json!([condition("metadata.year", "is", "2020")]), "渡鸦"),
        reads(
            json!([condition("metadata.draft", "at_least", true)]),
            "渡鸦",
        ),
        reads(
            Value::Array(vec![condition("metadata.year", "is", 1); 9]),
            "渡鸦",
        ),
    ];
    let own = Some(Filter::eq("metadata.language", "en"));
    for reply in refused {
        let shown = format!("{reply:?}");
        let found = Fixed::new(&[("a", 1.0)]);
        let (retriever, _) = over(found.clone(), reply);
        let request = RetrieveRequest::new("渡鸦资料").filtered(own.clone());
        block_on(retriever.retrieve(request.clone())).unwrap();
        assert_eq!(found.asked(), [request], "{shown}");
    }
    let found = Fixed::new(&[]);
    let reply = reads(json!([condition("metadata.year", "is", 1066)]), "ravens");
    let (retriever, _) = over(found.clone(), reply);
    let request = RetrieveRequest::new("ravens of 1066").filtered(own);
    block_on(retriever.retrieve(request.clone())).unwrap();
    let asked = found.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1], request, "then the plain question");
}

#[test]
fn the_years_and_languages_of_a_question_are_those_of_its_hits() {
    for (question, rest, language) in [
        ("Ravens in English texts of 2019", "ravens", "en"),
        ("2019年中文资料里的渡鸦", "渡鸦", "zh"),
    ] {
        let conditions = json!([
            condition("metadata.language", "is", language),
            condition("metadata.year", "at_most", 2019),
        ]);
        let model = Arc::new(ScriptedChatModel::new([reads(conditions, rest)]));
        let retriever = search(SearchMode::Hybrid)
            .self_query(model, fields())
            .unwrap();
        let hits = block_on(retriever.retrieve(RetrieveRequest::new(question))).unwrap();
        assert!(!hits.is_empty());
        for hit in hits {
            assert_eq!(hit.chunk.metadata["language"], language);
            assert_eq!(hit.chunk.metadata["year"], 2019);
        }
    }
}

#[test]
fn the_form_names_the_declared_fields_and_nothing_else() {
    let (retriever, model) = over(Fixed::new(&[]), reads(json!([]), ""));
    block_on(retriever.retrieve(RetrieveRequest::new("Ravens?"))).unwrap();
    let request = &model.requests()[0];
    let ResponseFormat::JsonSchema(schema) = &request.response_format else {
        panic!("the form is held to a schema");
    };
    let forms = schema["properties"]["conditions"]["items"]["anyOf"]
        .as_array()
        .unwrap();
    let name = |form: &Value| form["properties"]["field"]["enum"][0].clone();
    let names: Vec<Value> = forms.iter().map(name).collect();
    let declared: Vec<Value> = fields().into_iter().map(|it| it.name.into()).collect();
    assert_eq!(names, declared);
    assert_eq!(
        forms[0]["properties"]["value"],
        json!({"enum": ["en", "zh"]})
    );
    assert_eq!(forms[3]["properties"]["operator"], json!({"enum": ["is"]}));
    let instructions = &request.messages[0].content;
    assert!(instructions.contains("- `metadata.year`: year of publication"));
}

#[test]
fn fields_that_are_none_are_refused() {
    let bad = [
        vec![],
        vec![Field::new("sauce", "?", FieldKind::Text)],
        vec![Field::new("metadata.year", "?", FieldKind::Integer).one_of(["2020"])],
    ];
    for fields in bad {
        let model = Arc::new(ScriptedChatModel::new(Vec::<Step>::new()));
        let made = Fixed::new(&[]).self_query(model, fields);
        let error = made.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput, "{error}");
    }
}
