use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::Place;
use crate::service::{Ran, Reply, Service, calls, computes, says};

/// The line that the program says to type to go on.
fn next_line(ran: &Ran) -> &str {
    let mut lines = ran.err.lines();
    let line = lines.find_map(|line| Some(line.split_once("To go on: ")?.1));
    let line = line.unwrap_or_else(|| panic!("nothing to go on with: {}", ran.err));
    let ends = [" (or ", ", with the options", " if it did"];
    let ends = ends.iter().filter_map(|end| line.find(end));
    &line[..ends.min().unwrap_or(line.len())]
}

/// Its words, without the name of the program and of the model.
pub fn next_words(ran: &Ran) -> Vec<&str> {
    let line = next_line(ran).strip_prefix("corbie ").unwrap();
    let (line, model) = line.split_once(" --model ").expect("the model");
    assert_eq!(model, "openai:raven");
    assert!(!line.contains('\''), "a quoted word: {line}");
    line.split(' ').collect()
}

/// Goes on with a run in the way that the program says, with a service that answers so.
fn go_on<const N: usize>(place: &Place, ran: &Ran, script: [Reply; N]) -> (Ran, Service) {
    let service = Service::of(script);
    (service.run(place, &next_words(ran)), service)
}

/// The only run of a place.
pub fn only_run(place: &Place) -> Value {
    place.json(&["runs", "list"], "")
}

pub fn append(text: &str) -> Reply {
    calls("append_file", json!({"name": "log.txt", "content": text}))
}

pub fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path().join("notes/log.txt")).unwrap_or_default()
}

pub const WRITING: [&str; 5] = ["agent", "记下来", "--files", "notes", "--write"];

/// A place with a folder of notes, and the run of a model that wants to add a line to one.
pub fn waiting() -> (Place, Ran) {
    let place = Place::new();
    place.write("notes/a.txt", "x");
    let ran = Service::of([append("一行\n")]).run(&place, &WRITING);
    (place, ran)
}

#[test]
fn an_approved_effect_happens_once() {
    let (place, ran) = waiting();
    assert_eq!(ran.code, 0, "{}", ran.err);
    for part in ["call_0_0: append_file(", "一行", "it may change something"] {
        assert!(ran.out.contains(part), "{}", ran.out);
    }
    assert_eq!(log(&place), "");
    let words = next_words(&ran);
    let id = words[2];
    let expected = [
        "runs",
        "resume",
        id,
        "--files",
        "notes",
        "--write",
        "--decide",
        "approve=call_0_0",
    ];
    assert_eq!(words, expected);

    let (done, service) = go_on(&place, &ran, [says("记好了。")]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "记好了。\n"),
        "{}",
        done.err
    );
    assert_eq!(service.told(0)["tool_call_id"], "call_0_0");
    assert_eq!(log(&place), "一行\n");

    // Whatever is tried again, nothing happens again.
    let model = Service::of([]);
    let again = ["agent", "--resume", id, "--files", "notes", "--write"];
    for (line, word) in [
        (&words[..], "no call of this id waits"),
        (&words[..6], "it has ended"),
        (&again[..], "--decide say=TEXT"),
    ] {
        let ran = model.run(&place, line);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(word), "{}", ran.err);
    }
    assert_eq!(model.requests().len(), 0);
    assert_eq!(log(&place), "一行\n");

    // But there may be more to say.
    let service = Service::of([append("第二行\n"), says("也记好了。")]);
    let more = [
        &again[..],
        &["--decide", "say=再记一行", "--approve", "all"],
    ]
    .concat();
    assert_eq!(service.run(&place, &more).out, "也记好了。\n");
    assert_eq!(log(&place), "一行\n第二行\n");
}

#[test]
fn agent_resume_and_runs_resume_are_the_same() {
    for verb in [&["runs", "resume"][..], &["agent", "--resume"]] {
        let place = Place::new();
        place.write("notes/a.txt", "x");
        let outcome = Service::of([append("x")]).json(&place, &WRITING);
        assert_eq!(outcome["outcome"], "needs_approval");
        let (id, call) = (&outcome["run"], &outcome["calls"][0]["call"]["id"]);
        let approve = format!("approve={}", call.as_str().unwrap());
        let given = [
            id.as_str().unwrap(),
            "--files",
            "notes",
            "--write",
            "--decide",
            &approve,
        ];
        let done = Service::of([says("ok")]).json(&place, &[verb, &given[..]].concat());
        assert_eq!((&done["outcome"], &done["run"]), (&json!("done"), id));
        assert_eq!(log(&place), "x");
    }
}

#[test]
fn the_reason_of_a_refusal_reaches_the_model() {
    for (decision, told) in [
        (
            "reject=call_0_0:不可以: not today",
            "A person refused this call: 不可以: not today",
        ),
        ("reject=call_0_0", "A person refused this call."),
        ("answer=call_0_0:written by hand", "written by hand"),
    ] {
        let (place, ran) = waiting();
        let mut words = next_words(&ran);
        *words.last_mut().unwrap() = decision;
        let service = Service::of([says("好。")]);
        let ran = service.run(&place, &words);
        assert_eq!((ran.code, ran.out.as_str()), (0, "好。\n"), "{}", ran.err);
        assert_eq!(service.told(0)["content"], told);
        assert_eq!(log(&place), "");
    }
}

#[test]
fn a_run_is_not_resumed_without_the_tools_it_waits_for() {
    let (place, ran) = waiting();
    let words = next_words(&ran);
    let bare = [&words[..3], &words[6..]].concat();
    let service = Service::of([]);
    let refused = service.run(&place, &bare);
    assert_eq!(
        (refused.code, refused.out.as_str()),
        (2, ""),
        "{}",
        refused.err
    );
    for word in ["`append_file`", "--files DIR --write"] {
        assert!(refused.err.contains(word), "{}", refused.err);
    }
    // The approval is not spent by it. Saying no needs no tool.
    let (done, _) = go_on(&place, &ran, [says("ok")]);
    assert_eq!(
        (done.out.as_str(), log(&place).as_str()),
        ("ok\n", "一行\n"),
        "{}",
        done.err
    );

    let (place, ran) = waiting();
    let id = next_words(&ran)[2];
    let no = ["runs", "resume", id, "--decide", "reject=call_0_0:no"];
    let ran = Service::of([says("ok")]).run(&place, &no);
    assert_eq!(
        (ran.out.as_str(), log(&place).as_str()),
        ("ok\n", ""),
        "{}",
        ran.err
    );
}

#[test]
fn a_spent_budget_can_be_raised() {
    let place = Place::new();
    let budget = ["agent", "Count", "--budget", "steps=2,seconds=600"];
    let service = Service::of([computes("1 + 1"), computes("2 + 1"), computes("3 + 1")]);
    let outcome = service.json(&place, &budget);
    assert_eq!(
        (&outcome["outcome"], &outcome["limit"]),
        (&json!("budget_exceeded"), &json!("steps"))
    );
    assert_eq!(service.requests().len(), 2);

    let place = Place::new();
    let service = Service::of([computes("1 + 1"), computes("2 + 1")]);
    let ran = service.run(&place, &budget);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "The budget is spent: steps.\n"),
        "{}",
        ran.err
    );
    assert_eq!(next_words(&ran)[3..], ["--budget", "steps=4,seconds=600"]);
    let (done, service) = go_on(&place, &ran, [says("三")]);
    assert_eq!(done.out, "三\n", "{}", done.err);
    assert_eq!(service.told(0)["content"], "3");
}

#[test]
fn a_question_to_the_person_is_answered() {
    let place = Place::new();
    let ask = calls("ask_person", json!({"question": "哪一只乌鸦？"}));
    let line = ["agent", "Count", "--tools", "calculator,ask-person"];
    let ran = Service::of([ask]).run(&place, &line);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "哪一只乌鸦？\n"),
        "{}",
        ran.err
    );
    let words = next_words(&ran);
    assert_eq!(
        words[3..],
        ["--tools", "calculator,ask-person", "--decide", "say=TEXT"]
    );
    let answer = [&words[..6], &["say=左边: 大的"]].concat();
    let service = Service::of([says("好。")]);
    assert_eq!(service.run(&place, &answer).out, "好。\n");
    let result = json!({"role": "tool", "content": "左边: 大的", "tool_call_id": "call_0_0"});
    assert_eq!(service.told(0), result);
}

#[test]
fn what_failed_or_was_stuck_goes_on() {
    let place = Place::new();
    let service = Service::of([computes("6 * 7"), Reply::Refuses(401, "bad key")]);
    let ran = service.run(&place, &["agent", "What?"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let (done, service) = go_on(&place, &ran, [says("42")]);
    assert_eq!((done.code, done.out.as_str()), (0, "42\n"), "{}", done.err);
    assert_eq!(service.told(0)["content"], "42");

    let place = Place::new();
    let ran = Service::answering(|_, _| computes("1")).run(&place, &["agent", "Loop"]);
    let (done, service) = go_on(&place, &ran, [says("out of it")]);
    assert_eq!(done.out, "out of it\n", "{}", done.err);
    assert_eq!(service.told(0)["content"], "TEXT");
}

#[cfg(unix)]
#[test]
fn the_line_to_go_on_can_be_typed_in_a_shell() {
    let place = Place::new();
    place.write("my notes/a.txt", "x");
    let mut line = vec!["agent", "Go", "--files", "my notes", "--write"];
    line.extend([
        "--data-dir",
        "数据 $HOME",
        "--instructions",
        "It's *brief*.",
    ]);
    let ran = Service::of([append("x")]).run(&place, &line);

    let service = Service::of([says("好。")]);
    let typed = service.corbie(&place, &[]);
    let bin = Path::new(typed.get_program()).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let set = typed.get_envs();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", next_line(&ran)])
        .current_dir(place.path())
        .envs(set.filter_map(|(name, value)| Some((name, value?))))
        .env("PATH", path);
    let done = Ran::of(shell.output().unwrap());
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "好。\n"),
        "{}",
        done.err
    );
    let system = &service.requests()[0]["messages"][0]["content"];
    assert_eq!(system, "It's *brief*.");
    let written = std::fs::read_to_string(place.path().join("my notes/log.txt"));
    assert_eq!(written.unwrap(), "x");
    assert!(place.path().join("数据 $HOME/runs.db").exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_where_it_was() {
    let place = Place::new();
    place.write("notes/a.txt", "x");
    let line = [&WRITING[..], &["--approve", "all"]].concat();
    let service = Service::of([append("一行\n"), Reply::Waits]);
    let ran = service.interrupt(service.corbie(&place, &line), 2);
    assert_eq!((ran.code, ran.out.as_str()), (130, ""), "{}", ran.err);
    assert!(ran.err.contains("Interrupted. To go on: "), "{}", ran.err);
    assert_eq!(only_run(&place)["outcome"], "interrupted");
    let (done, service) = go_on(&place, &ran, [says("好了。")]);
    assert_eq!(done.out, "好了。\n", "{}", done.err);
    assert_eq!(service.told(0)["role"], "tool");
    assert_eq!(log(&place), "一行\n");
}
