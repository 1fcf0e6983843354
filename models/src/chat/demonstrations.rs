//! Questions and calls that show a model without tool training how it is done.
//!
//! They are Corbie's own, English and Chinese, of the kinds of tools that assistants have most
//! often: `demonstrations.json`. A kind fits a tool by the words of its name and description and
//! by its arguments; what is shown carries the tool's own name and argument names. Those whose
//! questions are most like what is asked stand last, where small models copy from.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use corbie_core::ToolSpec;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dialect::is_han;

/// What a model whose template knows no tools is shown of their use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Demonstrate {
    /// Calls of tools like the one that is to be called, and of others.
    #[default]
    Fitting,
    /// Calls of other tools only.
    Others,
}

/// So many demonstrations are shown of one tool.
const SHOWN: usize = 6;

/// A question and the arguments of the call that answers it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Demonstration {
    pub ask: String,
    pub arguments: Map<String, Value>,
}

#[derive(Deserialize)]
struct Bank {
    none: Languages<String>,
    kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    /// Each of them, in a tool's name or description, says that it is of this kind.
    words: Vec<String>,
    /// For each argument the names that tools give it.
    arguments: BTreeMap<String, Vec<String>>,
    /// Codes that its arguments are written in, and how people name them.
    #[serde(default)]
    glossary: Vec<Code>,
    #[serde(flatten)]
    shown: Languages<Demonstration>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
    names: Vec<String>,
}

#[derive(Deserialize)]
struct Languages<T> {
    english: Vec<T>,
    chinese: Vec<T>,
}

impl<T> Languages<T> {
    fn of(&self, chinese: bool) -> &[T] {
        match chinese {
            true => &self.chinese,
            false => &self.english,
        }
    }
}

static BANK: LazyLock<Bank> = LazyLock::new(|| {
    serde_json::from_str(include_str!("demonstrations.json"))
        .expect("the file is part of the program, and a test reads it")
});

/// Questions that need no tool.
pub(super) fn without_tool(chinese: bool) -> &'static [String] {
    BANK.none.of(chinese)
}

/// The kind that a tool is of, and for each of its arguments the tool's name of it.
fn kind(tool: &ToolSpec) -> Option<(&'static Kind, BTreeMap<&'static str, &str>)> {
    let words = words(&format!("{} {}", tool.name, tool.description));
    let is_named = |word: &String| match word.chars().any(is_han) {
        true => tool.description.contains(word.as_str()) || tool.name.contains(word.as_str()),
        false => words.contains(word),
    };
    let fitting = BANK.kinds.iter().filter_map(|kind| {
        let named = kind.words.iter().filter(|word| is_named(word)).count();
        let names = (named > 0).then(|| names(kind, tool))??;
        Some((named, kind, names))
    });
    // The first of those that fit best.
    let best = fitting.rev().max_by_key(|(named, _, _)| *named);
    best.map(|(_, kind, names)| (kind, names))
}

/// A question with the code behind each name of one, if the tool's arguments are codes: what a
/// small model does not know, it can copy.
pub(super) fn annotated(tool: &ToolSpec, question: &str) -> String {
    let codes = kind(tool).map_or(&[][..], |(kind, _)| &kind.glossary);
    let mut names: Vec<(&str, &str)> = codes
        .iter()
        .flat_map(|it| {
            it.names
                .iter()
                .map(|name| (name.as_str(), it.code.as_str()))
        })
        .collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    let mut text = String::with_capacity(question.len() + 16);
    let mut rest = question;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let found = names.iter().find(|(name, _)| {
            let (Some(head), Some(tail)) = (rest.get(..name.len()), rest.get(name.len()..)) else {
                return false;
            };
            // A word of letters is not a part of a longer one.
            let latin = |c: char| c.is_alphabetic() && !is_han(c);
            let within =
                name.is_ascii() && (latin(before) || tail.chars().next().is_some_and(latin));
            head.eq_ignore_ascii_case(name) && !within
        });
        let length = match found {
            Some((name, _)) => name.len(),
            None => next.len_utf8(),
        };
        let (head, tail) = rest.split_at(length);
        text.push_str(head);
        if let Some((_, code)) = found {
            text.push_str(&format!(" ({code})"));
        }
        before = head.chars().next_back().unwrap_or(' ');
        rest = tail;
    }
    text
}

/// Demonstrations of a tool in its own names; none where no kind fits it.
pub(super) fn of(tool: &ToolSpec, chinese: bool) -> Vec<Demonstration> {
    let Some((kind, names)) = kind(tool) else {
        return Vec::new();
    };
    let renamed = |shown: &Demonstration| {
        let arguments = tool_order(tool).filter_map(|key| {
            let own = names.iter().find(|(_, name)| **name == key)?.0;
            Some((key.to_owned(), shown.arguments.get(*own)?.clone()))
        });
        Demonstration {
            ask: shown.ask.clone(),
            arguments: arguments.collect(),
        }
    };
    kind.shown.of(chinese).iter().map(renamed).collect()
}

/// The same, those that are most like `question` and these last.
pub(super) fn like(tool: &ToolSpec, question: &str) -> Vec<Demonstration> {
    let mut shown = of(tool, question.chars().any(is_han));
    let asked = features(question);
    // A word that all share tells nothing.
    let all: Vec<HashSet<String>> = shown.iter().map(|it| features(&it.ask)).collect();
    let weight = |word: &String| {
        let having = all.iter().filter(|words| words.contains(word)).count();
        1.0 / (1.0 + having as f64)
    };
    let score = |words: &HashSet<String>| {
        let mut shared: Vec<&String> = words.intersection(&asked).collect();
        // Sums of floats depend on the order.
        shared.sort_unstable();
        shared.into_iter().map(weight).sum::<f64>()
    };
    let scores: Vec<f64> = all.iter().map(score).collect();
    let mut order: Vec<usize> = (0..shown.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)));
    order.drain(..order.len().saturating_sub(SHOWN));
    let mut sorted = Vec::with_capacity(order.len());
    for index in order {
        let empty = Demonstration {
            ask: String::new(),
            arguments: Map::new(),
        };
        sorted.push(std::mem::replace(&mut shown[index], empty));
    }
    sorted
}

fn tool_order(tool: &ToolSpec) -> impl Iterator<Item = &str> {
    let properties = tool.parameters["properties"].as_object();
    properties
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
}

/// For each argument of the kind the tool's name of it, if the tool needs no others and takes
/// values of these types.
fn names<'a>(kind: &'static Kind, tool: &'a ToolSpec) -> Option<BTreeMap<&'static str, &'a str>> {
    let required = tool.parameters["required"].as_array().into_iter().flatten();
    let required: Vec<&str> = required.filter_map(Value::as_str).collect();
    let example = &kind.shown.english.first()?.arguments;
    let mut names = BTreeMap::new();
    for (own, known) in &kind.arguments {
        let matching = |key: &&str| known.iter().any(|name| name.eq_ignore_ascii_case(key));
        let only = match (kind.arguments.len(), required.as_slice()) {
            // One text is what it is about, whatever it is called; a number has a unit.
            (1, [only]) if example.get(own).is_some_and(Value::is_string) => Some(*only),
            _ => None,
        };
        let key = tool_order(tool).find(matching).or(only)?;
        let schema = &tool.parameters["properties"][key];
        if schema.get("enum").is_some() || !takes(schema, example.get(own)?) {
            return None;
        }
        names.insert(own.as_str(), key);
    }
    let known: HashSet<&str> = names.values().copied().collect();
    let all_known = required.iter().all(|key| known.contains(key));
    (all_known && known.len() == names.len()).then_some(names)
}

fn takes(schema: &Value, value: &Value) -> bool {
    matches!(
        (schema["type"].as_str(), value),
        (Some("string"), Value::String(_))
            | (Some("boolean"), Value::Bool(_))
            | (Some("number" | "integer"), Value::Number(_))
    )
}

/// The words of a name or a description, in lower case.
fn words(text: &str) -> HashSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.map(str::to_lowercase).collect()
}

/// What makes questions alike: words, and pairs of neighbouring Chinese characters.
fn features(text: &str) -> HashSet<String> {
    let mut features: HashSet<String> = words(text)
        .into_iter()
        .filter(|word| !word.is_empty() && !word.chars().any(is_han))
        .collect();
    let characters: Vec<char> = text.chars().collect();
    for pair in characters
        .windows(2)
        .filter(|pair| pair.iter().any(|c| is_han(*c)))
    {
        features.insert(pair.iter().collect());
    }
    features
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(name: &str, description: &str, properties: &Value, required: &Value) -> ToolSpec {
        ToolSpec {
            name: name.into(),
            description: description.into(),
            parameters: json!({"type": "object", "properties": properties, "required": required}),
        }
    }

    #[test]
    fn all_kinds_have_both_languages_and_their_arguments() {
        for kind in &BANK.kinds {
            for (chinese, shown) in [(false, &kind.shown.english), (true, &kind.shown.chinese)] {
                assert!(shown.len() >= 2, "{:?}", kind.words);
                for shown in shown {
                    assert_eq!(shown.ask.chars().any(is_han), chinese, "{}", shown.ask);
                    let keys: HashSet<&String> = shown.arguments.keys().collect();
                    assert_eq!(keys, kind.arguments.keys().collect(), "{}", shown.ask);
                }
            }
        }
        assert!(!without_tool(false).is_empty() && !without_tool(true).is_empty());
    }

    #[test]
    fn tools_are_shown_in_their_own_names() {
        let text = json!({"type": "string"});
        let weather = tool(
            "current_weather",
            "天气",
            &json!({"where": text}),
            &json!(["where"]),
        );
        let shown = of(&weather, true);
        assert!(shown.iter().all(|it| it.arguments.contains_key("where")));
        let money = json!({"to_currency": text, "from": text, "amount": {"type": "number"}});
        let all = json!(["amount", "from", "to_currency"]);
        let exchange = tool("exchange", "Converts money", &money, &all);
        let shown = of(&exchange, false).remove(0);
        let expected = json!({"to_currency": "EUR", "from": "USD", "amount": 25});
        assert_eq!(Value::Object(shown.arguments.clone()), expected);
        // In the order in which the tool has them.
        assert_eq!(
            shown.arguments.keys().next().map(String::as_str),
            Some("to_currency")
        );
    }

    #[test]
    fn what_does_not_fit_is_not_shown() {
        let text = json!({"type": "string"});
        let number = json!({"type": "integer"});
        let others = [
            tool(
                "get_stock",
                "Price of a share",
                &json!({"city": text}),
                &json!(["city"]),
            ),
            // Another type, another unit, an argument more.
            tool("weather", "", &json!({"city": number}), &json!(["city"])),
            tool(
                "timer",
                "",
                &json!({"seconds": number}),
                &json!(["seconds"]),
            ),
            tool(
                "weather",
                "",
                &json!({"city": text, "day": text}),
                &json!(["city", "day"]),
            ),
        ];
        for tool in others {
            assert_eq!(of(&tool, false), [], "{tool:?}");
        }
    }

    #[test]
    fn codes_stand_behind_their_names() {
        let text = json!({"type": "string"});
        let money = json!({"amount": {"type": "number"}, "from": text, "to": text});
        let all = json!(["amount", "from", "to"]);
        let exchange = tool("exchange", "Converts money", &money, &all);
        let cases = [
            (
                "How many Canadian dollars are 5 pounds?",
                "How many Canadian dollars (CAD) are 5 pounds (GBP)?",
            ),
            ("9港币换成欧元", "9港币 (HKD)换成欧元 (EUR)"),
            ("5 USD for a wonder", "5 USD for a wonder"),
            ("I won 3 Euros. é", "I won (KRW) 3 Euros (EUR). é"),
            ("", ""),
        ];
        for (question, expected) in cases {
            assert_eq!(annotated(&exchange, question), expected);
        }
        let search = tool("search", "", &json!({"query": text}), &json!(["query"]));
        assert_eq!(annotated(&search, "5 pounds"), "5 pounds");
    }

    #[test]
    fn the_likest_stands_last() {
        let text = json!({"type": "string"});
        let money = json!({"amount": {"type": "number"}, "from": text, "to": text});
        let all = json!(["amount", "from", "to"]);
        let exchange = tool("exchange", "Converts money", &money, &all);
        for (question, code) in [
            ("What are 12 Swiss francs in euros?", "CHF"),
            ("12瑞士法郎值多少？", "CHF"),
            ("Give me 3 Mexican pesos in yen", "MXN"),
        ] {
            let shown = like(&exchange, question);
            assert_eq!(shown.len(), SHOWN);
            let last = shown
                .last()
                .map(|it| it.arguments.values().any(|it| it == code));
            assert_eq!(last, Some(true), "{question}: {shown:?}");
        }
    }
}
