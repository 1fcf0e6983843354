use std::path::Path;

use serde_json::{Value, json};

use crate::Place;
use crate::resume::{WRITING, append, log, only_run, waiting};
use crate::service::{Ran, Service, computes, says};

#[test]
fn runs_are_listed_shown_and_replayed() {
    let place = Place::new();
    let service = Service::of([computes("17 * 23"), says("391 只。")]);
    let outcome = service.json(&place, &["agent", "有多少只？\n数一数。"]);
    let id = outcome["run"].as_str().unwrap();

    let listed = only_run(&place);
    assert_eq!((&listed["v"], &listed["run"]), (&json!(1), &outcome["run"]));
    assert_eq!(
        (&listed["goal"], &listed["outcome"]),
        (&json!("有多少只？\n数一数。"), &json!("done"))
    );
    assert_eq!(listed["spent"], outcome["spent"]);

    let shown = place.json(&["runs", "show", id], "");
    assert_eq!(shown["outcome"]["answer"], "391 只。");
    let roles: Vec<&Value> = shown["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["role"])
        .collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);

    let output = place
        .corbie(&["runs", "replay", id, "--output", "json"])
        .output()
        .unwrap();
    let ran = Ran::of(output);
    let rows: Vec<Value> = ran
        .out
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let kinds: Vec<&str> = rows
        .iter()
        .map(|row| row["event"]["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "started", "replied", "judged", "ended", "replied", "stopped"
        ]
    );
    assert!(
        rows.iter()
            .enumerate()
            .all(|(index, row)| row["sequence"] == index && row["v"] == 1)
    );
    assert_eq!(rows.last().unwrap()["spent"]["steps"], 2);

    let text = |verb: &str, more: &[&str]| {
        let ran = Ran::of(
            place
                .corbie(&[&["runs", verb][..], more].concat())
                .output()
                .unwrap(),
        );
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    // One line for a run, whatever its goal.
    assert_eq!(
        text("list", &[]),
        format!("{id}  done             有多少只？ 数一数。\n")
    );
    let shown = text("show", &[id]);
    for part in [
        "user: 有多少只？",
        "assistant: → calculator({\"expression\":\"17 * 23\"})",
        "tool: 391",
        "assistant: 391 只。",
        "outcome: done",
    ] {
        assert!(shown.contains(part), "`{part}`: {shown}");
    }
    let replayed = text("replay", &[id]);
    assert_eq!(replayed.lines().count(), 6, "{replayed}");
    for part in ["call_0_0 may run", "gives: 391", "stopped: done"] {
        assert!(replayed.contains(part), "`{part}`: {replayed}");
    }
}

#[test]
fn a_run_that_waits_shows_what_it_waits_for() {
    let (place, _) = waiting();
    let id = only_run(&place)["run"].as_str().unwrap().to_owned();
    let ran = Ran::of(place.corbie(&["runs", "show", &id]).output().unwrap());
    for part in ["outcome: needs_approval", "call_0_0: append_file("] {
        assert!(ran.out.contains(part), "`{part}`: {}", ran.out);
    }
    let next = format!("corbie runs resume {id} --decide approve=call_0_0");
    assert!(
        ran.err.contains(&next) && ran.err.contains("options that it began with"),
        "{}",
        ran.err
    );
}

#[test]
fn a_fork_goes_another_way_and_repeats_nothing() {
    let place = Place::new();
    place.write("notes/a.txt", "x");
    let line = [&WRITING[..], &["--approve", "all"]].concat();
    let service = Service::of([append("一行\n"), says("done")]);
    let outcome = service.json(&place, &line);
    let id = outcome["run"].as_str().unwrap();
    let fork = place.json(&["runs", "fork", id, "--steps", "1"], "");
    assert_eq!(
        (&fork["from"], &fork["steps"]),
        (&outcome["run"], &json!(1))
    );
    let copy = fork["run"].as_str().unwrap();
    assert_ne!(copy, id);

    let service = Service::of([says("另一条路")]);
    let resume = ["runs", "resume", copy, "--files", "notes", "--write"];
    let other = service.json(&place, &resume);
    assert_eq!(
        (&other["answer"], &other["run"]),
        (&json!("另一条路"), &fork["run"])
    );
    assert_eq!(service.told(0)["tool_call_id"], "call_0_0");
    assert_eq!(log(&place), "一行\n");
    // The run that was forked is as it was.
    let first = place.json(&["runs", "show", id], "");
    assert_eq!(first["outcome"]["answer"], "done");

    let ran = Ran::of(
        place
            .corbie(&["runs", "fork", id, "--steps", "0"])
            .output()
            .unwrap(),
    );
    assert_eq!(ran.out.trim().len(), 32, "the id alone: {}", ran.out);
    assert!(
        ran.err
            .contains(&format!("corbie runs resume {}", ran.out.trim())),
        "{}",
        ran.err
    );
    let (code, error) = place.failure(&["runs", "fork", id, "--steps", "9"], b"");
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("2 steps, not 9") && error.contains("corbie runs replay"),
        "{error}"
    );
}

#[test]
fn an_unknown_run_is_told_with_the_way_to_those_that_are_there() {
    let place = Place::new();
    place.write("docs/a.txt", "x");
    for line in [
        &["runs", "show", "nobody"][..],
        &["runs", "replay", "nobody"],
        &["runs", "fork", "nobody", "--steps", "1"],
        // What is needed to go on is not fetched for a run that is not there.
        &["runs", "resume", "nobody", "--docs", "docs"],
        &["agent", "--resume", "没有", "--docs", "docs"],
    ] {
        let (code, error) = place.failure(line, b"");
        assert_eq!(code, 1, "{line:?}: {error}");
        let name = if line[0] == "agent" {
            "run `没有`"
        } else {
            "run `nobody`"
        };
        assert!(
            error.contains(name) && error.contains("`corbie runs list`"),
            "{error}"
        );
    }
    let ran = Ran::of(place.corbie(&["runs", "list"]).output().unwrap());
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(Path::new(&place.path().join(".data/runs.db")).exists());
}
