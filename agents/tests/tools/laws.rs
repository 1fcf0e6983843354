//! Every tool that comes with Corbie keeps the laws of tools.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use corbie_agents::tools::{self, ClockOptions, FilesOptions, TodoList};
use corbie_agents::typed::{self, Invocation, schemars, serde};
use corbie_agents::{Agent, Delegate, FunctionTool, Memory, MemoryOptions, MemoryTools, tool};
use corbie_core::testing::{ScriptedChatModel, ScriptedTool, conformance};
use corbie_core::{BoxFuture, Effects, Hit, Result, RetrieveRequest, Retriever, Tool};
use serde_json::{Value, json};

/// A collection in which nothing is found.
struct Empty;

impl Retriever for Empty {
    fn retrieve(&self, _: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The length of a text. 文字的长度。
#[tool(read_only, idempotent, trusted, crate = corbie_agents)]
async fn length(
    /// Any text, 任何文字
    text: String,
    /// Whether bytes are counted
    bytes: Option<bool>,
) -> Result<usize, String> {
    Ok(match bytes {
        Some(true) => text.len(),
        _ => text.chars().count(),
    })
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sum {
    /// What to add up, 加数
    numbers: Vec<i64>,
}

fn sum() -> FunctionTool {
    let work =
        |sum: Sum, _: Invocation| async move { Ok::<_, String>(sum.numbers.iter().sum::<i64>()) };
    typed::tool("sum", "Adds numbers up. 求和。", work).with_effects(Effects::READ)
}

/// Tools whose every run is like the first, with arguments to run them with.
fn steady() -> Vec<(Box<dyn Tool>, Value)> {
    let answers = ScriptedChatModel::answering(|_, _| "鸦");
    let delegate = Delegate::new("writer", "Writes. 写作。", Agent::new(Arc::new(answers)));
    let [now, dates] = ClockOptions::default().tools().unwrap();
    let search = tools::search("search", "nothing", Arc::new(Empty), 3);
    let scripted = ScriptedTool::new("scripted").answering(|_| Ok(json!("晴")));
    vec![
        (
            Box::new(tools::calculator()),
            json!({"expression": "（1＋２）×3"}),
        ),
        (Box::new(now), json!({"zone": "Asia/Shanghai"})),
        (Box::new(dates), json!({"date": "2024-02-29", "years": 1})),
        (Box::new(search), json!({"query": "乌鸦"})),
        (
            Box::new(TodoList::default().tool()),
            json!({"action": "add", "text": "读邮件"}),
        ),
        #[cfg(feature = "code")]
        (
            Box::new(tools::CodeOptions::default().tool()),
            json!({"script": "let 和 = 0; for i in 1..=10 { 和 += i; } 和"}),
        ),
        (Box::new(delegate), json!({"task": "写一句"})),
        (Box::new(length()), json!({"text": "渡鸦"})),
        (Box::new(sum()), json!({"numbers": [2, 3]})),
        (Box::new(scripted), json!({})),
    ]
}

#[tokio::test]
async fn tools_without_a_world_of_their_own_keep_them() {
    for (tool, arguments) in steady() {
        conformance::tool(tool.as_ref(), &arguments).await;
    }
}

/// All files of a folder and what is in them.
fn files(folder: &Path) -> Value {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path());
    let mut all: Vec<(String, String)> = entries
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    all.sort();
    json!(all)
}

#[tokio::test]
async fn tools_of_files_keep_them() {
    let cases = [
        ("list_files", json!({})),
        ("read_file", json!({"name": "鸦.md", "from_line": 1})),
        ("search_files", json!({"text": "苔藓"})),
        (
            "write_file",
            json!({"name": "new.md", "content": "新", "overwrite": true}),
        ),
        (
            "append_file",
            json!({"name": "鸦.md", "content": "再来一行\n"}),
        ),
        ("delete_file", json!({"name": "鸦.md"})),
    ];
    for (name, arguments) in cases {
        for law in ["all", "effects"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("鸦.md"), "苔藓\n").unwrap();
            let options = FilesOptions {
                write: true,
                delete: true,
                ..FilesOptions::new(folder.path())
            };
            let all = options.tools().unwrap();
            assert_eq!(all.len(), 6);
            let tool = all.iter().find(|it| it.spec().name == name).unwrap();
            match law {
                "all" => conformance::tool(tool, &arguments).await,
                _ => {
                    let state = || files(folder.path());
                    conformance::tool_effects(tool, &arguments, state).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn tools_of_memory_keep_them() {
    const SCOPE: &str = "user:ann";
    let cases = [
        ("remember", json!({"text": "安在上海。"})),
        ("recall", json!({"query": "Where is Ann? 安在哪里？"})),
        ("forget", json!({"id": 1})),
    ];
    for (name, arguments) in cases {
        for law in ["all", "effects"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("memory.db");
            let memory = Arc::new(Memory::open(&path, MemoryOptions::default()).unwrap());
            let note = corbie_agents::NewNote::new(SCOPE, "Ann lives in Berlin.");
            memory.remember(note).await.unwrap();
            let all = MemoryTools::new(Arc::clone(&memory), SCOPE).tools();
            let tool = all.iter().find(|it| it.spec().name == name).unwrap();
            match law {
                "all" => conformance::tool(tool, &arguments).await,
                _ => {
                    let state = || json!(memory.notes(SCOPE).unwrap());
                    conformance::tool_effects(tool, &arguments, state).await;
                }
            }
        }
    }
}
