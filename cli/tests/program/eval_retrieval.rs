use serde_json::{Value, json};

use crate::Place;

/// Three entries, and five questions with one answer each that keyword search finds, or not.
fn write_data(place: &Place) {
    let entries = [
        ("1", "Ravens cache food. 渡鸦会藏食物。"),
        ("2", "Crows use tools."),
        ("3", "Jays remember faces."),
    ];
    let questions = [
        ("q1", "Who caches food?", "1"),
        ("q2", "食物藏在哪里？", "1"),
        ("q3", "Which birds use tools?", "2"),
        ("q4", "Which bird knows faces?", "3"),
        ("q5", "Quelle heure est-il ?", "3"),
    ];
    let entry = |id: &str, text: &str| format!("{}\n", json!({"_id": id, "text": text}));
    let lines: String = entries.iter().map(|(id, text)| entry(id, text)).collect();
    place.write("data/corpus.jsonl", lines);
    let lines: String = questions
        .iter()
        .map(|(id, text, _)| entry(id, text))
        .collect();
    place.write("data/queries.jsonl", lines);
    let grades = questions
        .iter()
        .map(|(id, _, answer)| format!("{id}\t{answer}\t1\n"));
    place.write("data/qrels/test.tsv", grades.collect::<String>());
}

const RETRIEVAL: [&str; 5] = ["eval", "retrieval", "data", "--mode", "keyword"];

#[test]
fn retrieval_is_measured_with_intervals() {
    let place = Place::new();
    write_data(&place);
    let line = [
        &RETRIEVAL[..],
        &["--per-query", "a.jsonl", "--trec", "a.trec"],
    ]
    .concat();
    let report = place.json(&line, "");
    assert_eq!((&report["v"], &report["queries"]), (&json!(1), &json!(5)));
    for measure in ["ndcg@10", "recall@10", "recall@100", "mrr@10", "map@100"] {
        assert_eq!(report[measure], json!(0.8), "{measure}: {report}");
        let interval = &report["intervals"][measure];
        assert!(
            interval[0].as_f64() < Some(0.8) && interval[1].as_f64() > Some(0.8),
            "{report}"
        );
    }
    assert_eq!(
        (&report["resamples"], &report["seed"]),
        (&json!(10_000), &json!(1))
    );
    assert_eq!(report, place.json(&line, ""), "the same figures again");

    let lines = std::fs::read_to_string(place.path().join("a.jsonl")).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(
        (&lines[1]["query"], &lines[1]["ranked"][0]["id"]),
        (&json!("q2"), &json!("1"))
    );
    assert_eq!(
        (&lines[4]["mrr@10"], &lines[4]["ranked"]),
        (&json!(0.0), &json!([]))
    );
    let run = std::fs::read_to_string(place.path().join("a.trec")).unwrap();
    assert!(
        run.starts_with("q1 Q0 1 1 ") && run.contains(" corbie-keyword\n"),
        "{run}"
    );

    let output = place.corbie(&RETRIEVAL).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        out.contains("ndcg@10      0.8000  0.4000 to 1.0000\n"),
        "{out}"
    );
    assert!(out.contains("queries      5\n"), "{out}");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("10000 resamples, seed 1"), "{notes}");
}

#[test]
fn two_evaluations_are_compared() {
    let place = Place::new();
    write_data(&place);
    place.json(&[&RETRIEVAL[..], &["--per-query", "a.jsonl"]].concat(), "");
    // As if another way found nothing.
    let found = std::fs::read_to_string(place.path().join("a.jsonl")).unwrap();
    place.write("b.jsonl", found.replace(":1.0", ":0.0"));
    let compare = ["eval", "compare", "a.jsonl", "b.jsonl"];
    let report = place.json(&compare, "");
    let of = &report["ndcg@10"];
    assert_eq!((&report["v"], &report["queries"]), (&json!(1), &json!(5)));
    assert_eq!(
        (&of["a"], &of["b"], &of["difference"]),
        (&json!(0.8), &json!(0.0), &json!(-0.8))
    );
    // Two of sixteen patterns of signs.
    assert_eq!(of["p"], json!(0.125));
    let same = place.json(&["eval", "compare", "a.jsonl", "a.jsonl"], "");
    for (key, value) in [
        ("difference", json!(0.0)),
        ("interval", json!([0.0, 0.0])),
        ("p", json!(1.0)),
    ] {
        assert_eq!(same["map@100"][key], value, "{same}");
    }

    let output = place.corbie(&compare).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let row =
        "ndcg@10     0.8000  0.0000  -0.8000  -1.0000 to -0.4000  0.1250  no difference shown\n";
    assert!(
        out.contains(row) && out.starts_with("A: a.jsonl\nB: b.jsonl\n"),
        "{out}"
    );
    // Ten times the queries with the same outcomes are no chance.
    let ten = |name: &str| {
        let found = std::fs::read_to_string(place.path().join(name)).unwrap();
        let copy = |copy: usize| found.replace(":\"q", &format!(":\"{copy}q"));
        place.write(name, (0..10).map(copy).collect::<String>());
    };
    ten("a.jsonl");
    ten("b.jsonl");
    let output = place.corbie(&compare).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("  A is better\n"), "{out}");
}

#[test]
fn what_cannot_be_compared_is_named() {
    let place = Place::new();
    write_data(&place);
    place.json(&[&RETRIEVAL[..], &["--per-query", "a.jsonl"]].concat(), "");
    let found = std::fs::read_to_string(place.path().join("a.jsonl")).unwrap();
    let (_, less) = found.split_once('\n').unwrap();
    place.write("less.jsonl", less);
    place.write("damaged.jsonl", format!("{found}{{"));
    for (line, code, words) in [
        (&["compare", "a.jsonl", "nowhere"][..], 1, &["nowhere"][..]),
        (
            &["compare", "a.jsonl", "less.jsonl"],
            2,
            &["`q1`", "same data set"],
        ),
        (
            &["compare", "damaged.jsonl", "a.jsonl"],
            1,
            &["line 6", "--per-query"],
        ),
        (&["compare", "a.jsonl"], 2, &["<B>"]),
        (
            &["compare", "a.jsonl", "a.jsonl", "--resamples", "0"],
            2,
            &["--resamples"],
        ),
        (
            &[
                "retrieval",
                "data",
                "--mode",
                "keyword",
                "--per-query",
                "data",
            ],
            1,
            &["data"],
        ),
    ] {
        let (found, error) = place.failure(&[&["eval"][..], line].concat(), b"");
        assert_eq!(found, code, "{line:?}: {error}");
        for word in words {
            assert!(
                error.contains(word),
                "{line:?} does not say `{word}`: {error}"
            );
        }
    }
}
