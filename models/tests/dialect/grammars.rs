//! Grammars of calls: they are grammars, they allow what their row writes, and whatever they
//! allow is read as calls of the tools that were offered.

use std::sync::Arc;

use corbie_core::{ToolCall, ToolChoice};
use corbie_models::dialect::CallGrammar;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

use super::*;

/// All bytes, then these special tokens, then the end.
fn vocabulary(special: &[&str]) -> TokEnv {
    let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    for token in special.iter().copied().chain(["<end>"]) {
        words.push([b"\xff", token.as_bytes()].concat());
    }
    let info = TokRxInfo::new(words.len() as u32, words.len() as u32 - 1);
    Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)))
}

/// The tokens of a text.
fn tokens(text: &str, special: &[&str]) -> Vec<u32> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        let longest = (0..special.len())
            .filter(|index| rest.starts_with(special[*index]))
            .max_by_key(|index| special[*index].len());
        match longest {
            Some(index) => {
                tokens.push(256 + index as u32);
                rest = &rest[special[index].len()..];
            }
            None if rest.is_char_boundary(1) => {
                tokens.push(u32::from(first));
                rest = &rest[1..];
            }
            None => {
                let next = rest.chars().next().unwrap().len_utf8();
                tokens.extend(rest[..next].bytes().map(u32::from));
                rest = &rest[next..];
            }
        }
    }
    tokens
}

fn text(tokens: &[u32], special: &[&str]) -> String {
    let mut bytes = Vec::new();
    for token in tokens {
        match u8::try_from(*token) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend(special[*token as usize - 256].bytes()),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, parameters: Value| ToolSpec {
        name: name.into(),
        description: String::new(),
        parameters,
    };
    let mut tools = fixture(Dialect::plain()).tools;
    tools.extend([
        tool("get", json!({"type": "object", "properties": {
            "on": {"type": "boolean"},
            "kind": {"enum": ["a \"b\"", 1, null]},
            "size": {"type": "number"},
        }, "required": ["kind"]})),
        tool("get_more", json!({"type": "object", "properties": {
            "first": {"type": "string"},
            "of": {"type": "array", "items": {"type": "integer"}},
            "place": {"$ref": "#/$defs/place"},
            "last": {"type": "boolean"},
        }, "required": ["of", "last"], "$defs": {
            "place": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        }})),
        tool("anything", json!({})),
    ]);
    tools
}

fn calls() -> Vec<ToolCall> {
    let call = |name: &str, arguments: Value| ToolCall {
        id: String::new(),
        name: name.into(),
        arguments,
    };
    vec![
        call(
            "search",
            json!({"query": "乌鸦 \"x\" {y}", "limit": 5, "tags": ["a", "二"], "filter": {"year": 2024, "open": true}}),
        ),
        call(
            "get_more",
            json!({"of": [1, 2], "place": {"name": "here"}, "last": false}),
        ),
        call("now", json!({})),
        call("get", json!({"kind": "a \"b\""})),
        call("write_note", json!({"text": "one\ntwo", "pinned": true})),
    ]
}

/// Every row, with its marks as special tokens and as mere text.
fn rows() -> impl Iterator<Item = (&'static Dialect, &'static [&'static str])> {
    DIALECTS
        .iter()
        .flat_map(|row| [(row, row.marks), (row, &[][..])])
}

fn grammar(
    row: &Dialect,
    special: &[&str],
    choice: &ToolChoice,
    parallel: bool,
) -> Option<CallGrammar> {
    row.grammar(&tools(), choice, parallel, &|mark| {
        let index = special.iter().position(|known| *known == mark)?;
        Some(256 + index as u32)
    })
}

fn matcher(grammar: &CallGrammar, special: &[&str]) -> Matcher {
    let factory = ParserFactory::new_simple(&vocabulary(special)).unwrap();
    let grammar = TopLevelGrammar::from_lark(grammar.lark.clone());
    Matcher::new(factory.create_parser(grammar))
}

#[test]
fn there_is_a_grammar_where_calls_may_come() {
    for (row, special) in rows() {
        let none = grammar(row, special, &ToolChoice::None, true);
        assert!(none.is_none(), "{}", row.name);
        let unknown = grammar(row, special, &ToolChoice::Named("nobody".into()), true);
        assert!(unknown.is_none(), "{}", row.name);
        for choice in [
            ToolChoice::Auto,
            ToolChoice::Required,
            ToolChoice::Named("search".into()),
        ] {
            for parallel in [true, false] {
                let grammar = grammar(row, special, &choice, parallel).unwrap();
                let matcher = matcher(&grammar, special);
                let error = matcher.get_error();
                assert!(
                    error.is_none(),
                    "{} {choice:?}: {error:?}\n{}",
                    row.name,
                    grammar.lark
                );
                assert_eq!(
                    grammar.trigger.is_some(),
                    choice == ToolChoice::Auto && row.name != "functionary-v3.2"
                );
            }
        }
    }
}

#[test]
fn a_grammar_allows_what_its_row_writes() {
    for (row, special) in rows() {
        for choice in [ToolChoice::Auto, ToolChoice::Required] {
            let mut chosen: Vec<Vec<ToolCall>> =
                calls().into_iter().map(|call| vec![call]).collect();
            if row.parallel {
                chosen.push(calls());
            }
            let grammar = grammar(row, special, &choice, true).unwrap();
            for calls in chosen {
                let written = row.write(&calls);
                let trigger = grammar.trigger.as_deref().unwrap_or("");
                let rest = written.strip_prefix(trigger).unwrap();
                let tokens = tokens(rest, special);
                let mut matcher = matcher(&grammar, special);
                let taken = matcher.try_consume_tokens(&tokens).unwrap();
                assert_eq!(
                    text(&tokens[..taken], special),
                    rest,
                    "{} {choice:?} {special:?}\n{}",
                    row.name,
                    grammar.lark
                );
                assert!(matcher.is_accepting().unwrap(), "{}: {rest}", row.name);
            }
        }
    }
}

/// Whatever a grammar allows, the row's parser reads as calls that fit their tools.
#[test]
fn what_a_grammar_allows_is_read_as_calls() {
    let mut random = Random(7);
    for (row, special) in rows() {
        for choice in [
            ToolChoice::Auto,
            ToolChoice::Required,
            ToolChoice::Named("get_more".into()),
        ] {
            let mut whole = 0;
            for round in 0..12 {
                let grammar = grammar(row, special, &choice, round % 2 == 0).unwrap();
                let Some(walked) = random.walk(&grammar, special) else {
                    continue;
                };
                whole += 1;
                let reply = format!("{}{walked}", grammar.trigger.as_deref().unwrap_or(""));
                let (text, _, calls) = read(row, &tools(), Opening::Answer, [reply.as_str()]);
                if row.name == "functionary-v3.2" && walked.starts_with("all\n") {
                    continue;
                }
                let context = format!("{} {choice:?} {reply:?}", row.name);
                assert_eq!(text, "", "{context}");
                assert!(!calls.is_empty(), "{context}");
                assert!(
                    calls.len() == 1 || (row.parallel && round % 2 == 0),
                    "{context}"
                );
                for call in calls {
                    let tools = tools();
                    let tool = tools
                        .iter()
                        .find(|tool| call["name"] == tool.name.as_str())
                        .unwrap();
                    if let ToolChoice::Named(name) = &choice {
                        assert_eq!(tool.name, *name, "{context}");
                    }
                    let fits = fits(&tool.parameters, &call["arguments"], &tool.parameters);
                    assert!(fits, "{context}: {}", call["arguments"]);
                }
            }
            assert!(whole > 0, "{} {choice:?}: no walk came to an end", row.name);
        }
    }
}

/// Whether a value has the types, keys and constants that its schema asks for.
fn fits(schema: &Value, value: &Value, root: &Value) -> bool {
    if let Some(place) = schema["$ref"].as_str() {
        return fits(root.pointer(&place[1..]).unwrap(), value, root);
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.contains(value);
    }
    match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|it| it.fract() == 0.0)
        }
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value
            .as_array()
            .is_some_and(|items| items.iter().all(|item| fits(&schema["items"], item, root))),
        Some("object") | None if schema.get("properties").is_some() => {
            value.as_object().is_some_and(|fields| {
                let required = schema["required"].as_array().cloned().unwrap_or_default();
                required
                    .iter()
                    .all(|key| fields.contains_key(key.as_str().unwrap()))
                    && fields.iter().all(|(key, value)| {
                        schema["properties"]
                            .get(key)
                            .is_some_and(|schema| fits(schema, value, root))
                    })
            })
        }
        _ => true,
    }
}

/// Repeatable choices.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    /// A text that the grammar allows, chosen at random; `None` when it found no end in time.
    fn walk(&mut self, grammar: &CallGrammar, special: &[&str]) -> Option<String> {
        let mut matcher = matcher(grammar, special);
        let end = 256 + special.len() as u32;
        let mut walked = Vec::new();
        for _ in 0..1500 {
            if matcher.is_stopped() {
                break;
            }
            let mask = matcher.compute_mask_or_eos().unwrap();
            if mask.is_allowed(end) {
                break;
            }
            // Characters of one byte; those that close something are likelier.
            let mut allowed: Vec<u32> = (0..end).filter(|it| mask.is_allowed(*it)).collect();
            if allowed.iter().any(|token| !(128..256).contains(token)) {
                allowed.retain(|token| !(128..256).contains(token));
            }
            assert!(
                !allowed.is_empty(),
                "nothing follows {walked:?}:\n{}",
                grammar.lark
            );
            let closing: Vec<u32> = allowed
                .iter()
                .copied()
                .filter(|token| *token >= 256 || b"\"}])>\n</".contains(&(*token as u8)))
                .collect();
            let from = match !closing.is_empty() && self.below(3) > 0 {
                true => &closing,
                false => &allowed,
            };
            let token = from[self.below(from.len())];
            matcher.consume_token(token).unwrap();
            walked.push(token);
        }
        let whole = matcher.is_accepting().unwrap() || matcher.is_stopped();
        whole.then(|| text(&walked, special))
    }
}
