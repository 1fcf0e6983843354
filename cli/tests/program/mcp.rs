use serde_json::{Value, json};

use crate::Place;
use crate::service::{Ran, Service, calls, says};

/// Writes a file that names this program as a server of its calculator. It is started by a shell
/// that leaves a mark, so that one can see whether it was.
fn write_config(place: &Place, tools: &str) {
    let program = assert_cmd::cargo::cargo_bin("corbie");
    let script = r#"touch started; exec "$0" mcp --tools "$1""#;
    let server = json!({
        "command": "sh",
        "args": ["-c", script, program, tools],
        "cwd": place.path(),
        "env": {
            "CORBIE_DATA_DIR": place.path().join(".served"),
            "XDG_CONFIG_HOME": place.path().join(".config"),
        },
    });
    place.write(
        "servers.json",
        json!({"mcpServers": {"算术 sums": server}}).to_string(),
    );
}

fn was_started(place: &Place) -> bool {
    place.path().join("started").exists()
}

/// What stands before the names of the server's tools.
const SPACE: &str = "---sums";

fn approve(place: &Place, more: &[&str]) -> Ran {
    let line = [
        "mcp",
        "approve",
        "算术 sums",
        "--mcp-config",
        "servers.json",
    ];
    let ran = Ran::of(place.corbie(&[&line[..], more].concat()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran
}

const GOAL: [&str; 4] = ["agent", "六乘以七等于几？", "--mcp-config", "servers.json"];

fn computes() -> crate::service::Reply {
    calls(
        &format!("{SPACE}__calculator"),
        json!({"expression": "6 * 7"}),
    )
}

#[test]
fn a_server_that_nobody_approved_is_not_started() {
    let place = Place::new();
    write_config(&place, "calculator");
    let service = Service::of([says("I cannot.")]);
    let ran = service.run(&place, &GOAL);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "I cannot.\n"),
        "{}",
        ran.err
    );
    let next = "corbie mcp approve '算术 sums' --mcp-config servers.json";
    for word in ["left out", "`算术 sums`", "nobody approved it", next] {
        assert!(ran.err.contains(word), "`{word}`: {}", ran.err);
    }
    assert!(!service.requests()[0].to_string().contains(SPACE));

    let ran = Ran::of(
        place
            .corbie(&["mcp", "list", "--mcp-config", "servers.json"])
            .output()
            .unwrap(),
    );
    assert!(
        ran.code == 0 && ran.out.contains(next),
        "{}{}",
        ran.out,
        ran.err
    );
    let row = place.json(&["mcp", "list", "--mcp-config", "servers.json"], "");
    assert_eq!(
        (&row["v"], &row["server"]),
        (&json!(1), &json!("算术 sums"))
    );
    assert!(
        row["error"]
            .as_str()
            .unwrap()
            .contains("nobody approved it")
    );

    // Where nobody can be asked, the answer is no; and what to do is not what was just done.
    let (code, error) = place.failure(
        &[
            "mcp",
            "approve",
            "算术 sums",
            "--mcp-config",
            "servers.json",
        ],
        b"y\n",
    );
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("touch started") && error.contains("--yes"),
        "{error}"
    );
    assert!(!was_started(&place));
}

#[test]
fn our_client_and_our_server_meet() {
    let place = Place::new();
    write_config(&place, "calculator");
    let shown = approve(&place, &["--yes"]);
    assert!(
        shown.err.contains("touch started"),
        "the command is shown: {}",
        shown.err
    );
    assert!(was_started(&place));
    for tool in ["calculator", "search", "list_collections", "read_resource"] {
        assert!(
            shown.out.contains(&format!("  {SPACE}__{tool}\n")),
            "{}",
            shown.out
        );
    }
    let listed = place.json(&["mcp", "list", "--mcp-config", "servers.json"], "");
    assert_eq!(
        (&listed["server"], &listed["protocol"]),
        (&json!("算术 sums"), &json!("2026-07-28"))
    );
    assert_eq!(listed["blocked"], json!([]));

    // What the server says of its effects is not believed: a person is asked.
    let service = Service::of([computes(), says("四十二")]);
    let ran = service.run(&place, &GOAL);
    assert!(
        ran.out.contains("it may change something"),
        "{}{}",
        ran.out,
        ran.err
    );
    let words = crate::resume::next_words(&ran);
    let done = service.run(&place, &words);
    assert_eq!(done.out, "四十二\n", "{}", done.err);
    assert_eq!(service.told(1)["content"], "42");

    // Without the server there is nothing to approve.
    let ran = Service::of([computes()]).run(&place, &GOAL);
    let words = crate::resume::next_words(&ran);
    let bare: Vec<&str> = words
        .into_iter()
        .filter(|it| !it.contains("mcp-config") && *it != "servers.json")
        .collect();
    let ran = service.run(&place, &bare);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--mcp-config FILE"), "{}", ran.err);
}

#[test]
fn a_server_that_is_believed_reads_unasked_and_its_results_stay_text_from_outside() {
    let place = Place::new();
    place.write("notes/a.txt", "x");
    write_config(&place, "calculator");
    approve(&place, &["--yes", "--believe"]);
    let write = calls("write_file", json!({"name": "b.txt", "content": "42"}));
    let service = Service::of([computes(), write]);
    let line = [
        &GOAL[..],
        &["--files", "notes", "--write", "--approve", "all"],
    ]
    .concat();
    let outcome = service.json(&place, &line);
    assert_eq!(service.told(1)["content"], "42");
    assert_eq!(outcome["outcome"], "needs_approval", "{outcome}");
    assert!(
        outcome["calls"][0]["why"]
            .as_str()
            .unwrap()
            .contains("text from outside")
    );
}

#[test]
fn what_changed_is_left_out_until_it_is_approved_again() {
    let place = Place::new();
    write_config(&place, "calculator");
    approve(&place, &["--yes"]);
    // Another command under the same name.
    write_config(&place, "calculator,clock");
    std::fs::remove_file(place.path().join("started")).unwrap();
    let service = Service::of([says("no"), says("yes")]);
    let ran = service.run(&place, &GOAL);
    assert!(
        ran.err.contains("another command or address was approved"),
        "{}",
        ran.err
    );
    assert!(!was_started(&place));
    approve(&place, &["--yes"]);
    service.run(&place, &GOAL);
    let offered = service.requests()[1]["tools"].to_string();
    assert!(offered.contains(&format!("{SPACE}__now")), "{offered}");

    let forgotten = place.json(&["mcp", "forget", "算术 sums"], "");
    assert_eq!(forgotten, json!({"v": 1, "forgotten": "算术 sums"}));
    let row = place.json(&["mcp", "list", "--mcp-config", "servers.json"], "");
    assert!(
        row["error"]
            .as_str()
            .unwrap()
            .contains("nobody approved it"),
        "{row}"
    );
    let (code, error) = place.failure(&["mcp", "forget", "算术 sums"], b"");
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("算术 sums") && error.contains("corbie mcp list"),
        "{error}"
    );
}

#[test]
fn files_of_servers_that_are_none_are_named() {
    let place = Place::new();
    let service = Service::of([]);
    for (content, code, word) in [
        (None, 1, "No such file"),
        (Some("{"), 2, "no JSON"),
        (Some("{}"), 2, "no `mcpServers`"),
        (Some(r#"{"mcpServers": {"甲": {}}}"#), 2, "server `甲`"),
        (
            Some(r#"{"mcpServers": {"a": {"command": "x", "args": 1}}}"#),
            2,
            "server `a`",
        ),
    ] {
        if let Some(content) = content {
            place.write("servers.json", content);
        }
        for line in [
            &GOAL[..],
            &["mcp", "list", "--mcp-config", "servers.json"],
            &["mcp", "approve", "a", "--mcp-config", "servers.json"],
        ] {
            let ran = service.run(&place, line);
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (code, ""),
                "{line:?}: {}",
                ran.err
            );
            for word in ["servers.json", word, "mcpServers"] {
                assert!(
                    ran.err.contains(word),
                    "{line:?} does not say `{word}`: {}",
                    ran.err
                );
            }
        }
    }
    assert_eq!(service.requests().len(), 0);
}

#[test]
fn servers_that_do_not_start_are_left_out_by_name() {
    let place = Place::new();
    let servers = json!({"mcpServers": {
        "gone": {"command": "./no-such-program"},
        "mute": {"command": "true"},
    }});
    place.write("servers.json", servers.to_string());
    for (server, word) in [("gone", "cannot be started"), ("mute", "does not begin")] {
        let line = [
            "mcp",
            "approve",
            server,
            "--mcp-config",
            "servers.json",
            "--yes",
        ];
        let (code, error) = place.failure(&line, b"");
        assert_eq!(code, 1, "{error}");
        assert!(error.contains(word) && error.contains(server), "{error}");
    }
    let line = ["mcp", "approve", "nobody", "--mcp-config", "servers.json"];
    let (code, error) = place.failure(&line, b"");
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("it names gone, mute"), "{error}");
    let service = Service::of([says("alone")]);
    let ran = service.run(&place, &["agent", "Go", "--mcp-config", "servers.json"]);
    assert_eq!(ran.out, "alone\n", "{}", ran.err);
    assert!(
        ran.err
            .contains("`gone`: `./no-such-program` cannot be started"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("`mute`"), "{}", ran.err);
}

#[test]
fn a_client_that_leaves_ends_the_server_and_wrong_options_are_told() {
    let place = Place::new();
    let ran = Ran::of(place.corbie(&["mcp"]).write_stdin("").output().unwrap());
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    for (line, code, words) in [
        (
            &["mcp", "--tools", "files"][..],
            2,
            &["`files`", "calculator"][..],
        ),
        (&["mcp", "--tools", "ask-person"], 2, &["`ask-person`"]),
        (
            &["mcp", "--collection", "none"],
            1,
            &["none", "corbie ingest"],
        ),
        (&["mcp", "--http", "somewhere"], 2, &["somewhere"]),
        (&["mcp", "list"], 2, &["--mcp-config"]),
    ] {
        let (found, error) = place.failure(line, b"");
        assert_eq!(found, code, "{line:?}: {error}");
        for word in words {
            assert!(
                error.contains(word),
                "{line:?} does not say `{word}`: {error}"
            );
        }
    }
}

#[test]
fn a_server_answers_a_client_line_by_line() {
    let place = Place::new();
    let messages = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "t", "version": "1"},
        }}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
            "name": "calculator", "arguments": {"expression": "（1＋２）×3"},
        }}),
    ];
    let input: String = messages
        .iter()
        .map(|message| format!("{message}\n"))
        .collect();
    let mut command = place.corbie(&["mcp", "--tools", "calculator"]);
    let ran = Ran::of(command.write_stdin(input).output().unwrap());
    let rows: Vec<Value> = ran
        .out
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let result = |id: u64| {
        rows.iter()
            .find(|row| row["id"] == id)
            .map(|row| &row["result"])
    };
    assert_eq!(
        result(1).unwrap()["serverInfo"]["name"],
        "corbie",
        "{}{}",
        ran.out,
        ran.err
    );
    assert_eq!(
        result(2).unwrap()["content"][0]["text"],
        "9",
        "{}{}",
        ran.out,
        ran.err
    );
}
