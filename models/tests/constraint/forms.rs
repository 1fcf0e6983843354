//! Regular expressions, choices, quotations and grammars, in English and Chinese.

use corbie_core::ErrorKind;
use corbie_models::constraint::Form;
use rand::SeedableRng;
use rand::rngs::StdRng;
use regex_automata::meta::Regex;
use serde_json::json;

use crate::kit;

/// Writes twenty answers of the form and checks each.
fn check(form: &Form, budget: usize, fits: impl Fn(&str) -> bool) {
    let (tokenizer, grammars) = kit::grammars(1);
    let constraint = grammars.compile(form).unwrap();
    for seed in 0..20 {
        let mut random = StdRng::seed_from_u64(seed);
        let tokens = kit::write(&mut constraint.clone(), budget, &mut random).unwrap();
        let text = kit::text(&tokenizer, &tokens);
        assert!(fits(&text), "{form:?}: {text:?}");
    }
}

#[test]
fn regular_expressions_match_from_start_to_end() {
    for (regex, budget) in [
        ("(yes|no), (certainly|perhaps)", 24),
        (r"\d{4}年\d{1,2}月\d{1,2}日", 24),
        ("[a-f]{3,}x?", 8),
        (r"a(b(c|d)+e)*f", 12),
        ("(?s:.*)", 5),
        ("渡鸦|乌鸦", 6),
        (r"[^/]+/[^/]+", 10),
        ("", 0),
    ] {
        let whole = Regex::new(&format!("^(?:{regex})$")).unwrap();
        check(&Form::Regex(regex.to_owned()), budget, |text| {
            whole.is_match(text)
        });
    }
}

#[test]
fn a_choice_is_one_of_its_texts() {
    for texts in [
        vec!["yes", "no", "yes and no"],
        vec!["北京", "北京市", "上海"],
        vec!["a+b", "(", "\"", "\\", "/", "a\nb"],
    ] {
        let form = Form::Choice(texts.iter().map(|text| (*text).to_owned()).collect());
        check(&form, 32, |text| texts.contains(&text));
    }
}

#[test]
fn a_quotation_is_a_piece_of_a_text() {
    let texts = [
        "Corbies cache their food, and remember where.".to_owned(),
        "渡鸦会藏食物,并记得地点。".to_owned(),
    ];
    check(&Form::Quote(texts.to_vec()), 12, |text| {
        let whole_words = |source: &str| {
            let start = source.find(text)?;
            let letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            let cut = |a: Option<char>, b: Option<char>| letter(a) && letter(b);
            let end = start + text.len();
            let before = cut(source[..start].chars().next_back(), text.chars().next());
            let after = cut(text.chars().next_back(), source[end..].chars().next());
            Some(!before && !after)
        };
        !text.is_empty() && texts.iter().any(|source| whole_words(source) == Some(true))
    });
}

#[test]
fn a_grammar_is_followed() {
    let lark = r#"
        start: sum
        sum: NUMBER | sum OPERATOR NUMBER
        NUMBER: /[1-9][0-9]?/
        OPERATOR: "+" | "-"
    "#;
    let sums = Regex::new("^[1-9][0-9]?([+-][1-9][0-9]?)*$").unwrap();
    check(&Form::Lark(lark.to_owned()), 9, |text| sums.is_match(text));
}

/// The shape of a tool call: markers around JSON, several of them, or text instead.
#[test]
fn forms_are_put_together() {
    let call = |name: &str, schema: serde_json::Value| {
        let schema = json!({
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": schema},
            "required": ["name", "arguments"],
            "additionalProperties": false,
        });
        Form::Sequence(vec![
            Form::Literal("<call>".into()),
            Form::JsonSchema(schema),
            Form::Literal("</call>".into()),
        ])
    };
    let calls = Form::OneOf(vec![
        call(
            "weather",
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}),
        ),
        call(
            "天气",
            json!({"type": "object", "properties": {"days": {"type": "integer", "maximum": 9}}}),
        ),
    ]);
    let form = Form::Repeat {
        form: Box::new(calls),
        separator: "\n".into(),
        least: 1,
        most: Some(3),
    };
    check(&form, 120, |text| {
        let calls: Vec<&str> = text.split("\n<call>").collect();
        calls.len() <= 3
            && calls.iter().all(|call| {
                let call = call
                    .trim_start_matches("<call>")
                    .strip_suffix("</call>")
                    .unwrap();
                let value: serde_json::Value = serde_json::from_str(call).unwrap();
                ["weather", "天气"].contains(&value["name"].as_str().unwrap())
            })
    });
}

/// A token that steers the model comes only where the form asks for it.
#[test]
fn steering_tokens_come_only_where_they_are_asked_for() {
    let (_, grammars) = kit::grammars(1);
    let form = Form::Sequence(vec![Form::Token(2), Form::Literal("a".into())]);
    let mut constraint = grammars.compile(&form).unwrap();
    assert_eq!(constraint.mask().unwrap().tokens().collect::<Vec<_>>(), [2]);
    constraint.commit(2).unwrap();
    assert!(!constraint.mask().unwrap().allows(2));
    let mut any = grammars.compile(&Form::Regex("(?s:.*)".into())).unwrap();
    let mask = any.mask().unwrap();
    assert!(
        !mask.allows(0) && !mask.allows(2),
        "an unknown or a marker is no text"
    );
    assert!(
        mask.allows(1),
        "the end is allowed where the answer may end"
    );
    assert!(any.commit(2).is_err());
}

#[test]
fn what_is_no_form_is_refused() {
    let (_, grammars) = kit::grammars(1);
    for (form, kind, word) in [
        (Form::Regex("(".into()), ErrorKind::BadInput, "unclosed"),
        (
            Form::Regex(r"(?=a)b".into()),
            ErrorKind::BadInput,
            "look-around",
        ),
        (
            Form::Lark("start: other".into()),
            ErrorKind::BadInput,
            "other",
        ),
        (
            Form::Lark("begin: \"a\"".into()),
            ErrorKind::BadInput,
            "start",
        ),
        (Form::Choice(vec![]), ErrorKind::BadInput, "no text"),
        (
            Form::Quote(vec![" ".into()]),
            ErrorKind::BadInput,
            "no text",
        ),
    ] {
        let error = grammars.compile(&form).unwrap_err();
        assert_eq!(*error.kind(), kind, "{form:?}: {error}");
        assert!(error.to_string().contains(word), "{form:?}: {error}");
    }
}

#[test]
fn a_budget_too_small_is_refused_with_the_numbers() {
    let (_, grammars) = kit::grammars(1);
    let form = Form::Regex("[0-9]{50}".into());
    let mut constraint = grammars.compile(&form).unwrap();
    let needed = constraint.tokens_to_close(100).unwrap();
    assert!(constraint.check_budget(needed).is_ok());
    let error = constraint.check_budget(needed - 1).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::LimitExceeded);
    let text = error.to_string();
    assert!(
        text.contains(&needed.to_string()) && text.contains(&(needed - 1).to_string()),
        "{text}"
    );
    assert!(constraint.mask_within(needed - 1).is_err());
    assert!(constraint.mask_within(needed).is_ok());
}
