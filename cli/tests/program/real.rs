//! Real models, the real store, the example handbook.

use std::path::PathBuf;

use serde_json::Value;

use crate::Place;

fn handbook() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/handbook")
}

fn ask(place: &Place, question: &str, docs: &str, more: &[&str]) -> Value {
    let arguments = [&["ask", question, "--docs", docs][..], more].concat();
    place.json(&arguments, "")
}

#[test]
fn the_handbook_is_asked() {
    let place = Place::new();
    let docs = handbook();
    let docs = docs.to_str().unwrap();
    let cases = [
        (
            "How many days of paid leave do staff get?",
            "people/leave-and-expenses.txt",
        ),
        (
            "At what battery level does the diesel generator start by itself?",
            "lighthouse/maintenance.md",
        ),
    ];
    for (question, source) in cases {
        let answer = ask(&place, question, docs, &[]);
        assert_eq!(answer["v"], 1);
        assert_eq!(answer["verdict"], "answered", "{answer}");
        let citations = answer["citations"].as_array().unwrap();
        let first: Vec<&str> = citations
            .iter()
            .take(3)
            .filter_map(|c| c["source"].as_str())
            .collect();
        assert!(first.contains(&source), "{question}: {first:?}");
        for key in ["n", "source", "start", "end", "score", "text", "cited"] {
            assert!(!citations[0][key].is_null(), "a citation has `{key}`");
        }
        assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    }

    // Once everything is here, nothing needs the network.
    let stranger = ask(
        &place,
        "Who won the 1998 football world cup?",
        docs,
        &["--offline"],
    );
    assert_eq!(stranger["verdict"], "no_evidence", "{stranger}");
    assert_eq!(
        stranger["usage"]["completion_tokens"], 0,
        "the model was not asked"
    );
    let chinese = ask(
        &place,
        "岛上每人每天可以用多少升淡水？",
        docs,
        &["--offline"],
    );
    assert_eq!(chinese["verdict"], "answered", "{chinese}");
}

#[test]
fn a_collection_follows_its_files() {
    let place = Place::new();
    place.write(
        "docs/ravens.md",
        "# Ravens\n\nRavens hide acorns under moss in October.\n",
    );
    place.write("docs/鸟.txt", "渡鸦在十月把橡果藏在苔藓下面。\n");
    place.write("docs/broken.pdf", "%PDF-1.7\nnothing of the kind");
    place.write("docs/.gitignore", "secret.txt\n");
    place.write("docs/secret.txt", "The vault code is 1234.");
    let ingest = |place: &Place| place.json(&["ingest", "docs", "--collection", "birds"], "");
    let report = ingest(&place);
    assert_eq!(
        (&report["added"], &report["skipped"]),
        (&2.into(), &0.into()),
        "{report}"
    );
    assert_eq!(report["failed"][0]["source"], "broken.pdf", "{report}");
    assert!(!report["failed"][0]["reason"].as_str().unwrap().is_empty());

    let report = ingest(&place);
    assert_eq!(
        (&report["skipped"], &report["chunks"]),
        (&2.into(), &0.into()),
        "{report}"
    );

    place.write(
        "docs/ravens.md",
        "# Ravens\n\nRavens hide walnuts under snow in March.\n",
    );
    std::fs::remove_file(place.path().join("docs/鸟.txt")).unwrap();
    let report = ingest(&place);
    assert_eq!(
        (&report["updated"], &report["deleted"]),
        (&1.into(), &1.into()),
        "{report}"
    );

    let search = |query: &str| place.json(&["search", query, "--collection", "birds"], "");
    let hits = search("where do ravens hide walnuts");
    assert!(
        hits["hits"][0]["text"]
            .as_str()
            .unwrap()
            .contains("walnuts"),
        "{hits}"
    );
    let all = search("acorns 橡果 vault code 1234").to_string();
    for gone in ["acorns", "橡果", "1234"] {
        assert!(!all.contains(gone), "{all}");
    }

    let (code, error) = place.failure(
        &[
            "search",
            "x",
            "--collection",
            "birds",
            "--embedder",
            "openai:text-embedding-3-small",
        ],
        b"",
    );
    assert_ne!(code, 0, "{error}");

    let shown = place.json(&["collections", "show", "birds"], "");
    assert_eq!(shown["files"], 1, "{shown}");
    place
        .corbie(&["collections", "rm", "birds"])
        .assert()
        .success();
    let (code, _) = place.failure(&["collections", "show", "birds"], b"");
    assert_eq!(code, 1);
}

#[test]
fn an_empty_folder_is_said_to_be_empty() {
    let place = Place::new();
    std::fs::create_dir(place.path().join("empty")).unwrap();
    let (code, error) = place.failure(&["ask", "Who?", "--docs", "empty"], b"");
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("empty") && error.contains("no document"),
        "{error}"
    );
}

#[test]
fn a_full_context_is_refused_with_the_numbers() {
    let place = Place::new();
    let (code, error) = place.failure(&["chat"], "raven ".repeat(20_000).as_bytes());
    assert_ne!(code, 0, "{error}");
    assert!(error.contains("tokens"), "{error}");
}

#[test]
fn the_stages_work_with_real_models() {
    let place = Place::new();
    let ids = place.json(
        &["tokenize", "--no-special", "--model", "smollm2"],
        "Ravens cache food.",
    );
    assert!(ids["ids"].as_array().unwrap().len() > 3, "{ids}");
    let input = r#"{"messages": [{"role": "user", "content": "Hi <|im_start|>"}]}"#;
    let prompt = place.json(&["template", "--model", "smollm2"], input);
    assert!(
        prompt["prompt"]
            .as_str()
            .unwrap()
            .contains("<|im_start|>user\nHi"),
        "{prompt}"
    );
    let completion = place.json(
        &[
            "generate",
            "--model",
            "smollm2",
            "--prompt",
            "The capital of France is",
            "--max-tokens",
            "5",
            "--greedy",
        ],
        "",
    );
    assert!(
        completion["text"].as_str().unwrap().contains("Paris"),
        "{completion}"
    );
    assert_eq!(completion["ids"].as_array().unwrap().len(), 5);
    let output = place
        .corbie(&["embed"])
        .write_stdin("raven\n乌鸦\n")
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let vectors: Vec<Vec<f32>> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(vectors.iter().map(Vec::len).collect::<Vec<_>>(), [384, 384]);
    place.write("a.md", "# A\n\nOne. Two.\n\n# B\n\nThree.\n");
    let chunks = place.json(&["split", "a.md"], "");
    assert_eq!(
        chunks["chunks"][1]["heading"],
        serde_json::json!(["B"]),
        "{chunks}"
    );
}

#[test]
fn an_agent_on_the_default_model_makes_calls_that_fit_and_stops() {
    let place = Place::new();
    let goal = "What is 17 times 23?";
    let line = [
        "agent",
        goal,
        "--tools",
        "calculator",
        "--budget",
        "steps=6",
    ];
    // How wise the model is, is not asked here.
    let outcome = place.json(&line, "");
    assert_eq!(outcome["v"], 1);
    let kinds = ["done", "stuck", "budget_exceeded"];
    assert!(
        kinds.iter().any(|kind| outcome["outcome"] == *kind),
        "{outcome}"
    );
    assert!(
        outcome["spent"]["usage"]["prompt_tokens"].as_u64().unwrap() > 0,
        "{outcome}"
    );

    let run = place.json(&["runs", "show", outcome["run"].as_str().unwrap()], "");
    assert_eq!(run["goal"], goal);
    let messages = run["messages"].as_array().unwrap().iter();
    for call in messages.flat_map(|message| message["tool_calls"].as_array().into_iter().flatten())
    {
        assert_eq!(call["name"], "calculator", "{call}");
        let arguments = call["arguments"].as_object().unwrap();
        let names: Vec<&String> = arguments.keys().collect();
        assert_eq!(names, ["expression"], "{call}");
        assert!(call["arguments"]["expression"].is_string(), "{call}");
    }
}
