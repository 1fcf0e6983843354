//! Dialects: what models write, parsed as independently derived expectations say; and the laws
//! of streaming.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use corbie_core::{ChatEvent, ToolSpec};
use corbie_models::dialect::{DIALECTS, Dialect, Opening};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Fixture {
    tools: Vec<ToolSpec>,
    cases: Vec<Case>,
}

/// What a model wrote, and what it means.
#[derive(Deserialize)]
struct Case {
    name: String,
    output: String,
    #[serde(default)]
    opening: String,
    text: String,
    reasoning: String,
    tool_calls: Vec<Value>,
}

impl Case {
    fn opening(&self) -> Opening {
        match self.opening.as_str() {
            "thought" => Opening::Thought,
            _ => Opening::Answer,
        }
    }
}

fn fixture(row: &Dialect) -> Fixture {
    let path = format!(
        "{}/tests/fixtures/dialects/{}.json",
        env!("CARGO_MANIFEST_DIR"),
        row.name
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Text, reasoning and calls of a reply that comes in these pieces.
fn read<'a>(
    row: &Dialect,
    tools: &[ToolSpec],
    opening: Opening,
    pieces: impl IntoIterator<Item = &'a str>,
) -> (String, String, Vec<Value>) {
    let mut parser = row.parser(tools, opening);
    let mut events: Vec<ChatEvent> = Vec::new();
    for piece in pieces {
        events.extend(parser.push(piece));
    }
    events.extend(parser.finish());
    assert!(parser.finish().is_empty());
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for event in events {
        match event {
            ChatEvent::Text(piece) => text.push_str(&piece),
            ChatEvent::Reasoning(piece) => reasoning.push_str(&piece),
            ChatEvent::ToolCall(call) => {
                assert!(call.arguments.is_object());
                calls.push(json!({"id": call.id, "name": call.name, "arguments": call.arguments}));
            }
            other => panic!("no other event comes from text: {other:?}"),
        }
    }
    (text, reasoning, calls)
}

fn characters(text: &str) -> impl Iterator<Item = &str> {
    text.char_indices()
        .map(|(at, c)| &text[at..at + c.len_utf8()])
}

#[test]
fn replies_mean_what_they_are_expected_to() {
    let mut wrong = Vec::new();
    for row in DIALECTS {
        let Fixture { tools, cases } = fixture(row);
        for case in &cases {
            let (text, reasoning, mut calls) =
                read(row, &tools, case.opening(), [case.output.as_str()]);
            for (call, expected) in calls.iter_mut().zip(&case.tool_calls) {
                if expected.get("id").is_none() {
                    call.as_object_mut().unwrap().shift_remove("id");
                }
            }
            let got = json!({"text": text, "reasoning": reasoning, "tool_calls": calls});
            let expected = json!({
                "text": case.text, "reasoning": case.reasoning, "tool_calls": case.tool_calls,
            });
            if got != expected {
                let (row, name, output) = (row.name, &case.name, &case.output);
                wrong.push(format!(
                    "{row}: {name}\n  wrote    {output:?}\n  expected {expected}\n  got      {got}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn streamed_and_whole_replies_agree() {
    for row in DIALECTS {
        let Fixture { tools, cases } = fixture(row);
        for case in &cases {
            let output = case.output.as_str();
            let whole = read(row, &tools, case.opening(), [output]);
            let one_by_one = read(row, &tools, case.opening(), characters(output));
            assert_eq!(whole, one_by_one, "{}: {}", row.name, case.name);
            for (cut, _) in output.char_indices() {
                let (a, b) = output.split_at(cut);
                let cut_once = read(row, &tools, case.opening(), [a, b]);
                assert_eq!(whole, cut_once, "{}: {}", row.name, case.name);
            }
        }
    }
}

/// However a reply is cut short, its calls are the first calls of the whole, and what is no call
/// is not lost. (Replies that are cut or spoiled within a closing mark are left out: one that
/// lacks only that mark is a call.)
#[test]
fn a_cut_reply_makes_no_call_of_its_own() {
    for row in DIALECTS {
        let Fixture { tools, cases } = fixture(row);
        let spoiled = |case: &&Case| {
            ["cut ", "half of ", "words instead "]
                .iter()
                .any(|begin| case.name.starts_with(begin))
        };
        for case in cases.iter().filter(|case| !spoiled(case)) {
            let (_, _, whole) = read(row, &tools, case.opening(), [case.output.as_str()]);
            for (cut, _) in case.output.char_indices() {
                let (text, reasoning, calls) =
                    read(row, &tools, case.opening(), [&case.output[..cut]]);
                assert!(
                    whole.starts_with(&calls),
                    "{}: {} cut at {cut}: {calls:?}",
                    row.name,
                    case.name
                );
                let something = !case.output[..cut].trim().is_empty();
                let silent = text.is_empty() && reasoning.is_empty() && calls.is_empty();
                if something && silent {
                    let marks = row
                        .thinking
                        .iter()
                        .map(|it| it.open)
                        .chain(row.marks.iter().copied());
                    let rest = marks.fold(case.output[..cut].to_owned(), |rest, mark| {
                        rest.replace(mark, "")
                    });
                    assert!(
                        rest.trim().is_empty()
                            || rest.contains("final")
                            || rest.contains("commentary")
                            || rest == "all\n",
                        "{}: {} cut at {cut}: {rest:?} is lost",
                        row.name,
                        case.name
                    );
                }
            }
        }
    }
}

/// Pieces that a row's syntax is made of, and some that it is not.
fn pieces(row: &'static Dialect) -> Vec<String> {
    let mut pieces: Vec<String> = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        ":",
        ",",
        "\\",
        "\n",
        " ",
        "(",
        ")",
        "=",
        ">",
        "<",
        ";",
        "name",
        "arguments",
        "parameters",
        "f",
        "1",
        "-1.5e3",
        "true",
        "None",
        "你好",
        "é",
        "\u{0}",
        "{\"name\": \"f\", \"arguments\": {}}",
        "{\"name\": \"f\", \"parameters\": {\"a\": [1]}}",
        "<think>",
        "</think>",
        "<function=f>",
        "</function>",
        "<parameter=a>",
        "</parameter>",
        "```json",
        "```tool_code",
        "```",
        "call:",
        "functools",
        "Action:",
        "f(a=1)",
        "all\n",
        ">>>",
        " to=functions.f",
        "analysis",
        "final",
        "function",
        "[{\"name\": \"f\"}]",
    ]
    .map(str::to_owned)
    .to_vec();
    for mark in row
        .marks
        .iter()
        .copied()
        .chain(row.thinking.iter().flat_map(|it| [it.open, it.close]))
    {
        pieces.push(mark.to_owned());
        pieces.push(mark.chars().take(mark.chars().count() / 2).collect());
    }
    pieces.push(row.example.to_owned());
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// No mixture of pieces makes a panic, and none is read otherwise for being cut.
    #[test]
    fn any_mixture_is_read_alike_however_it_is_cut(
        choices in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
        every in 1..7_usize,
        thought in any::<bool>(),
    ) {
        for row in DIALECTS {
            let pieces = pieces(row);
            let text: String = choices.iter().map(|at| at.get(&pieces).as_str()).collect();
            let opening = if thought { Opening::Thought } else { Opening::Answer };
            let whole = read(row, &[], opening, [text.as_str()]);
            let alone: Vec<&str> = characters(&text).collect();
            let chunks: Vec<String> = alone.chunks(every).map(|chunk| chunk.concat()).collect();
            let cut = read(row, &[], opening, chunks.iter().map(String::as_str));
            prop_assert_eq!(&whole, &cut, "{}: {:?}", row.name, text);
        }
    }
}

/// A quarter of a megabyte of halves of marks takes time in proportion, and nothing of it is lost.
#[test]
fn a_long_reply_of_half_marks_is_read_in_proportion() {
    for row in DIALECTS {
        let halves: String = pieces(row)
            .iter()
            .filter(|piece| piece.len() > 1)
            .map(|piece| {
                piece
                    .chars()
                    .take(piece.chars().count() - 1)
                    .collect::<String>()
            })
            .collect();
        let openers = row.marks.first().copied().unwrap_or("{").repeat(8);
        for unit in [
            halves,
            openers,
            "{\"a\":".to_owned(),
            "[".to_owned(),
            " ".to_owned(),
        ] {
            let text = unit.repeat((1 << 18) / unit.len());
            let start = std::time::Instant::now();
            let (said, thought, calls) = read(row, &[], Opening::Answer, characters(&text));
            let took = start.elapsed();
            assert!(took.as_secs() < 10, "{} {unit:?}: {took:?}", row.name);
            assert!(
                said.len() + thought.len() + calls.len() > 0,
                "{}: {unit:?}",
                row.name
            );
        }
    }
}

#[test]
fn rows_are_told_apart() {
    let mut names: Vec<&str> = DIALECTS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), DIALECTS.len());
    for row in DIALECTS {
        assert!(std::ptr::eq(Dialect::by_name(row.name).unwrap(), row));
        let (text, _, calls) = read(row, &[], Opening::Answer, [row.example]);
        assert_eq!((text.as_str(), calls.len()), ("", 1), "{}", row.name);
    }
    assert_eq!(Dialect::of(None, &|_| false).name, "plain");
    assert_eq!(
        Dialect::of(Some("{{ messages }}"), &|_| false).name,
        "plain"
    );
    assert_eq!(
        Dialect::of(None, &|token| token.starts_with("<|tool_call_")).name,
        "lfm2"
    );
}

/// Output, stop texts and opening; text, reasoning and whether a stop text came.
type Stopped<'a> = (&'a str, &'a [&'a str], Opening, &'a str, &'a str, bool);

#[test]
fn an_answer_ends_before_a_stop_text() {
    use Opening::{Answer, Space, Thought};
    let cases: [Stopped<'_>; 15] = [
        ("Under moss.", &["STOP"], Answer, "Under moss.", "", false),
        ("", &["STOP"], Answer, "", "", false),
        (
            "  Under moss.",
            &["STOP"],
            Answer,
            "  Under moss.",
            "",
            false,
        ),
        (
            "  Under moss. ",
            &["STOP"],
            Space,
            "Under moss. ",
            "",
            false,
        ),
        (
            "<think>hm</think>\n\nYes.",
            &["STOP"],
            Answer,
            "Yes.",
            "hm",
            false,
        ),
        (
            "\n<think>\n想一想\n</think>好",
            &[],
            Answer,
            "好",
            "想一想",
            false,
        ),
        (
            "<think>\n\n</think>\n\nYes.",
            &[],
            Answer,
            "Yes.",
            "",
            false,
        ),
        ("hm</think>Yes.", &["STOP"], Thought, "Yes.", "hm", false),
        ("<thin", &["STOP"], Answer, "<thin", "", false),
        (
            "a <think> later",
            &["STOP"],
            Answer,
            "a <think> later",
            "",
            false,
        ),
        ("在苔藓下。", &["。"], Answer, "在苔藓下", "", true),
        ("one STOP two", &["STOP"], Answer, "one ", "", true),
        ("aab", &["aaab", "ab"], Answer, "a", "", true),
        ("x ### y", &["y", "###"], Answer, "x ", "", true),
        (
            "<think>STOP</think>a STOP",
            &["STOP"],
            Answer,
            "a ",
            "STOP",
            true,
        ),
    ];
    for (output, stops, opening, text, reasoning, stopped) in cases {
        for row in [Dialect::plain(), Dialect::by_name("hermes").unwrap()] {
            for cut in output
                .char_indices()
                .map(|(at, _)| at)
                .chain([output.len()])
            {
                let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
                let mut parser = row.parser(&[], opening).stopping_at(stops);
                let mut events = parser.push(&output[..cut]);
                events.extend(parser.push(&output[cut..]));
                assert_eq!(parser.stopped(), stopped, "{output:?}");
                events.extend(parser.finish());
                let (mut said, mut thought) = (String::new(), String::new());
                for event in events {
                    match event {
                        ChatEvent::Text(piece) => said.push_str(&piece),
                        ChatEvent::Reasoning(piece) => thought.push_str(&piece),
                        other => panic!("no other event comes from text: {other:?}"),
                    }
                }
                assert_eq!(
                    (said.as_str(), thought.as_str()),
                    (text, reasoning),
                    "{output:?}"
                );
            }
        }
    }
}

mod grammars;
#[cfg(feature = "local")]
mod templates;

/// How far a header is read does not depend on how much has come.
#[test]
fn a_header_without_an_end_is_read_alike() {
    let row = Dialect::by_name("gpt-oss").unwrap();
    for length in [190, 200, 250, 300, 600] {
        let reply = format!("<|channel|>{}hm<|end|> x", "渡y".repeat(length / 4));
        let whole = read(row, &[], Opening::Answer, [reply.as_str()]);
        assert_eq!(whole, read(row, &[], Opening::Answer, characters(&reply)));
    }
}
