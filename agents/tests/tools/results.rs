//! Long results and the to-do list, over a run and its resumption.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::tools::{Todo, TodoList};
use corbie_agents::{Agent, FunctionTool, Offload, Outcome, Policy, READ_RESULT};
use corbie_core::{Effects, Message};
use serde_json::json;

use crate::kit::{Ledger, READ, agent, calls};

const LONG: usize = 20_000;

/// An agent with the tool `book`, whose long result is the application's own or from outside.
fn reader(script: Vec<Message>, folder: &std::path::Path, trusted: bool, ledger: &Ledger) -> Agent {
    let (mut agent, _) = agent(script, ledger);
    let book = FunctionTool::new("book", "A book", json!({"type": "object"}), |_| async {
        Ok("渡".repeat(LONG / 3).into())
    });
    let book = book.with_effects(Effects { trusted, ..READ });
    agent.tools.add(Arc::new(book)).unwrap();
    agent.tools.offload(Offload::new(folder)).unwrap();
    agent.options.policy = Policy::unattended();
    agent
}

#[tokio::test]
async fn a_long_result_is_read_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let first = reader(
        vec![calls(&[("book", json!({}))]), Message::assistant("done")],
        folder.path(),
        true,
        &Ledger::default(),
    );
    let run = first.run("Read.").await.unwrap();
    let shown = &run.messages[2].content;
    assert!(
        shown.len() < first.options.result_bytes + 200,
        "{}",
        shown.len()
    );
    assert!(
        shown.ends_with("offset 8190 gives more]"),
        "{}",
        &shown[shown.len() - 200..]
    );
    let (_, rest) = shown.rsplit_once("handle ").unwrap();
    let handle = rest.split_once(' ').unwrap().0.to_owned();
    // Another process that goes on finds it.
    let page = |offset: u64| calls(&[(READ_RESULT, json!({"handle": handle, "offset": offset}))]);
    let script = vec![
        page(8190),
        page(19_000),
        page(LONG as u64),
        Message::assistant("done"),
    ];
    let second = reader(script, folder.path(), true, &Ledger::default());
    let run = second.run("Read on.").await.unwrap();
    assert!(run.messages[2].content.starts_with("[bytes 8190 to "));
    assert!(
        run.messages[4]
            .content
            .starts_with("[bytes 19002 to 19998 of 19998; this is the end]")
    );
    assert!(run.messages[6].content.starts_with("Error: "));
}

#[tokio::test]
async fn pages_are_as_trusted_as_what_they_are_of() {
    for (trusted, paid) in [(true, 1), (false, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let script = vec![calls(&[("book", json!({}))]), Message::assistant("done")];
        let run = reader(script, folder.path(), trusted, &Ledger::default())
            .run("Read.")
            .await
            .unwrap();
        let (_, rest) = run.messages[2].content.rsplit_once("handle ").unwrap();
        let handle = rest.split_once(' ').unwrap().0;
        let script = vec![
            calls(&[(READ_RESULT, json!({"handle": handle, "offset": 9000}))]),
            calls(&[("pay", json!({"sum": 1}))]),
            Message::assistant("done"),
        ];
        let ledger = Ledger::default();
        reader(script, folder.path(), trusted, &ledger)
            .run("Read on and pay.")
            .await
            .unwrap();
        assert_eq!(ledger.len(), paid);
    }
}

#[tokio::test]
async fn a_run_gets_its_list_back() {
    let script = vec![
        calls(&[
            ("todo", json!({"action": "add", "text": "读邮件"})),
            ("todo", json!({"action": "add", "text": "Pay"})),
        ]),
        calls(&[("todo", json!({"action": "done", "number": 1}))]),
        calls(&[("todo", json!({"action": "done", "number": 7}))]),
        calls(&[("todo", json!({"action": "list"}))]),
        calls(&[("pay", json!({"sum": 1}))]),
    ];
    let (mut agent, _) = agent(script, &Ledger::default());
    let list = TodoList::default();
    agent.tools.add(Arc::new(list.tool())).unwrap();
    let run = agent.start("r", "Do it all.", &|_| ()).await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::NeedsApproval { .. }),
        "only the payment is asked about"
    );
    let listed = run
        .messages
        .iter()
        .rev()
        .find(|message| message.content.contains("[x]"));
    assert_eq!(listed.unwrap().content, "1. [x] 读邮件\n2. [ ] Pay");
    let entry = |text: &str, done| Todo {
        text: text.into(),
        done,
    };
    let wanted = [entry("读邮件", true), entry("Pay", false)];
    assert_eq!(list.entries(), wanted);
    let records = agent.history("r").await.unwrap();
    assert_eq!(TodoList::of(&records).entries(), wanted);
}
