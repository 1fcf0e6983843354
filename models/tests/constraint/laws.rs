//! What holds for every form.

use corbie_models::constraint::Form;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::kit;

fn forms() -> Vec<Form> {
    vec![
        Form::JsonSchema(json!({
            "type": "object",
            "properties": {"name": {"type": "string"}, "渡鸦": {"type": "array", "items": {"type": "integer"}}},
            "required": ["name"],
        })),
        Form::JsonSchema(json!({"type": "object", "additionalProperties": {"type": "boolean"}})),
        Form::Regex("(the|渡鸦)+ ?[0-9]*".into()),
        Form::Choice(vec!["name".into(), "the name".into(), "天气".into()]),
        Form::Quote(vec!["Where do ravens cache food? 渡鸦在哪里藏食物?".into()]),
    ]
}

/// Each token is accepted if and only if the mask allows it, or the grammar forces another way of
/// cutting the same text.
#[test]
fn mask_and_commit_agree() {
    let (tokenizer, grammars) = kit::grammars(1);
    for form in forms() {
        let mut random = StdRng::seed_from_u64(7);
        let mut constraint = grammars.compile(&form).unwrap();
        for _ in 0..12 {
            let forced = constraint.forced();
            let mask = constraint.mask().unwrap();
            for token in 0..tokenizer.vocab_size() as u32 {
                let accepted = constraint.clone().commit(token).is_ok();
                assert!(accepted || !mask.allows(token), "{form:?} {token}");
                assert!(
                    !accepted || mask.allows(token) || !forced.is_empty(),
                    "{form:?} {token}"
                );
            }
            for token in &forced {
                assert_eq!(constraint.mask().unwrap().only(), Some(*token), "{form:?}");
                constraint.commit(*token).unwrap();
            }
            let mask = constraint.mask().unwrap();
            let allowed: Vec<u32> = mask.tokens().filter(|token| *token != 1).collect();
            if allowed.is_empty() || constraint.must_end() {
                break;
            }
            constraint
                .commit(allowed[random.random_range(0..allowed.len())])
                .unwrap();
        }
    }
}

#[test]
fn forks_go_their_own_ways() {
    let (_, grammars) = kit::grammars(1);
    for form in forms() {
        let mut constraint = grammars.compile(&form).unwrap();
        let before = constraint.mask().unwrap();
        let mut random = StdRng::seed_from_u64(3);
        let mut fork = constraint.clone();
        let first = kit::write(&mut fork, 60, &mut random).unwrap();
        assert_eq!(constraint.mask().unwrap(), before, "{form:?}");
        assert_eq!(
            constraint.is_complete(),
            grammars.compile(&form).unwrap().is_complete()
        );
        // The same tokens are accepted again, by the one that stood still.
        for token in first {
            constraint.commit(token).unwrap();
        }
        assert!(constraint.is_complete());
    }
}

#[test]
fn a_refused_token_changes_nothing() {
    let (_, grammars) = kit::grammars(1);
    for form in forms() {
        let mut constraint = grammars.compile(&form).unwrap();
        let before = constraint.mask().unwrap();
        for token in [0, 2, u32::MAX, 100_000] {
            assert!(constraint.commit(token).is_err());
        }
        assert_eq!(constraint.mask().unwrap(), before);
    }
}

/// A text of the form is accepted whatever its tokens are.
#[test]
fn any_tokens_of_a_text_are_accepted() {
    let (tokenizer, grammars) = kit::grammars(1);
    for (form, text) in [
        (
            &forms()[0],
            r#"{"name": "the 渡鸦 \"ab\"", "渡鸦":[10,0, -1]}"#,
        ),
        (&forms()[1], r#"{"foo":true, "bar": false}"#),
        (&forms()[2], "the渡鸦the 00123"),
        (&forms()[3], "the name"),
        (&forms()[4], "ravens cache food? 渡鸦在哪"),
    ] {
        let bytes = text.as_bytes();
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut constraint = grammars.compile(form).unwrap();
            let mut rest = bytes;
            while !rest.is_empty() {
                let fits: Vec<u32> = (3..tokenizer.vocab_size() as u32)
                    .filter(|token| {
                        let bytes = tokenizer.token_bytes(*token);
                        !bytes.is_empty() && rest.starts_with(bytes)
                    })
                    .collect();
                let token = fits[random.random_range(0..fits.len())];
                constraint.commit(token).unwrap_or_else(|error| {
                    panic!("{text}: {error} before {:?}", String::from_utf8_lossy(rest))
                });
                rest = &rest[tokenizer.token_bytes(token).len()..];
            }
            assert!(constraint.is_complete(), "{text}");
        }
    }
}

/// Far from the limit a budget changes nothing.
#[test]
fn a_large_budget_allows_what_no_budget_allows() {
    let (_, grammars) = kit::grammars(1);
    for form in [&forms()[0], &forms()[3]] {
        let mut constraint = grammars.compile(form).unwrap();
        assert_eq!(
            constraint.mask_within(100_000).unwrap(),
            constraint.mask().unwrap()
        );
    }
}

/// A member never occurs twice: parsers differ in which of the two counts.
#[test]
fn members_occur_once() {
    let (tokenizer, grammars) = kit::grammars(1);
    let form =
        Form::JsonSchema(json!({"type": "object", "additionalProperties": {"type": "null"}}));
    let mut constraint = grammars.compile(&form).unwrap();
    for piece in ["{\"", "foo", "\":", "null", ",\"", "foo"] {
        let token = (3..tokenizer.vocab_size() as u32)
            .rfind(|token| tokenizer.token_bytes(*token) == piece.as_bytes())
            .unwrap();
        constraint.commit(token).unwrap();
    }
    let quote = (3..)
        .find(|token| tokenizer.token_bytes(*token) == b"\"")
        .unwrap();
    assert!(!constraint.mask().unwrap().allows(quote));
    assert!(constraint.commit(quote).is_err());
}
