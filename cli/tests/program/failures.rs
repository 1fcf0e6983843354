use serde_json::json;

use crate::Place;
use crate::service::{Ran, Reply, Service, computes, says};

#[test]
fn a_service_that_fails_is_an_error_with_a_next_step() {
    for (status, why, words) in [
        (401, "bad key", &["bad key", "check OPENAI_API_KEY"][..]),
        (
            404,
            "no such model",
            &["no such model", "check the model's name"],
        ),
        (429, "slow down", &["slow down"]),
        (402, "余额不足", &["余额不足", "no credit"]),
    ] {
        let place = Place::new();
        let failing = move || Service::answering(move |_, _| Reply::Refuses(status, why));
        let ran = failing().run(&place, &["agent", "Go"]);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
        for word in words
            .iter()
            .chain(&["error: model `openai:raven`", "corbie runs resume "])
        {
            assert!(ran.err.contains(word), "`{word}`: {}", ran.err);
        }
        assert!(!ran.err.contains("sk-raven"), "{}", ran.err);
        let ran = failing().run(&place, &["agent", "Go", "--output", "json"]);
        assert_eq!((ran.code, &ran.json()["outcome"]), (1, &json!("failed")));
        assert!(ran.json()["why"].as_str().unwrap().contains(why));
    }
}

#[test]
fn wrong_options_are_usage_errors_that_ask_no_model() {
    let place = Place::new();
    let service = Service::of([]);
    for (line, words) in [
        (&[][..], &["<GOAL>"][..]),
        (&["Go", "--budget", "steps"], &["steps=N"]),
        (&["Go", "--budget", "coins=3"], &["coins=3", "tokens=N"]),
        (&["Go", "--budget", "steps=-1"], &["steps=N"]),
        (&["Go", "--decide", "say=x"], &["cannot be used with"]),
        (&["--decide", "say=x"], &["<GOAL>"]),
        (
            &["--resume", "x", "--decide", "maybe=1"],
            &["approve=CALL", "say=TEXT"],
        ),
        (&["--resume", "x", "--decide", "approve"], &["approve=CALL"]),
        (&["Go", "--resume", "x"], &["cannot be used with"]),
        (&["Go", "--write"], &["--files"]),
        (&["Go", "--tools", "hammer"], &["hammer", "calculator"]),
        (&["Go", "--tools", "search"], &["--docs PATH"]),
        (&["Go", "--tools", "files"], &["--files DIR"]),
        (&["Go", "--approve", "none"], &["read-only"]),
        (
            &["Go", "--docs", "a", "--collection", "b"],
            &["cannot be used with"],
        ),
    ] {
        let ran = service.run(&place, &[&["agent"][..], line].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (2, ""),
            "{line:?}: {}",
            ran.err
        );
        for word in words {
            assert!(
                ran.err.contains(word),
                "{line:?} does not say `{word}`: {}",
                ran.err
            );
        }
    }
    for (line, words) in [
        (&["Go", "--files", "nowhere"][..], &["nowhere"][..]),
        (&["Go", "--collection", "none"], &["none", "corbie ingest"]),
        (&["Go", "--offline"], &["openai:raven", "local model"]),
        (
            &["Go", "--offline", "--tools", "fetch"],
            &["leave out --offline"],
        ),
    ] {
        let ran = service.run(&place, &[&["agent"][..], line].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (1, ""),
            "{line:?}: {}",
            ran.err
        );
        for word in words {
            assert!(
                ran.err.contains(word),
                "{line:?} does not say `{word}`: {}",
                ran.err
            );
        }
    }
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let service = Service::of([says("很长。")]);
    let mut child = service
        .corbie(&place, &["agent", "Go", "--quiet"])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn nothing_commands_the_terminal_and_logs_in_files_have_no_colours() {
    let place = Place::new();
    let hostile = "\u{1b}]0;title\u{7}";
    let service = Service::of([computes(hostile), says("ok")]);
    let mut command = service.corbie(&place, &["agent", "Go"]);
    let ran = Ran::of(command.env("CORBIE_LOG", "debug").output().unwrap());
    assert!(ran.err.contains("DEBUG"), "there is a log: {}", ran.err);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
    let ran = service.run(&place, &["agent", "Go", "--budget", "x"]);
    assert!(!ran.err.contains('\u{1b}'), "{:?}", ran.err);
}
