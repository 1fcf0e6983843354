//! A run on recorded answers is the run that was recorded, and whatever is asked otherwise is
//! noticed.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corbie_agents::{Agent, Outcome, Record, Run, SqliteJournal, Tools};
use corbie_core::record::{Recorder, Replay};
use corbie_core::testing::{ScriptedChatModel, ScriptedTool, call, calls, says};
use corbie_core::{ChatModel, Message, Tool};
use serde_json::json;

const GOAL: &str = "北京和上海今天天气? Then the sum of both.";

/// A process: it opens its files, and knows nothing of another.
struct Process {
    model: Arc<dyn ChatModel>,
    tools: Tools,
    instructions: &'static str,
}

impl Process {
    fn new(model: Arc<dyn ChatModel>, description: &str) -> Self {
        let weather = ScriptedTool::new("weather").with_description(description);
        let weather = weather.answering(|run| {
            let celsius = if run.arguments["city"] == "北京" {
                3.1
            } else {
                11.2
            };
            Ok(json!({"celsius": celsius, "sky": "晴"}))
        });
        let calculator: Arc<dyn Tool> = Arc::new(corbie_agents::tools::calculator());
        Self {
            model,
            tools: Tools::new([Arc::new(weather) as _, calculator]).unwrap(),
            instructions: "Be brief. 简短。",
        }
    }

    /// The run, and what its journal has of it.
    async fn run(self) -> (Run, Vec<Record>) {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("runs.db")).unwrap();
        let mut agent = Agent {
            tools: self.tools,
            journal: Some(Arc::new(journal)),
            ..Agent::new(self.model)
        };
        agent.options.instructions = self.instructions.into();
        agent.options.budget.steps = None;
        // What is left of it is in each request, and never the same.
        agent.options.budget.time = Some(Duration::from_secs(600));
        let run = agent.start("r", GOAL, &|_| ()).await.unwrap();
        let mut records = agent.history("r").await.unwrap();
        records.iter_mut().for_each(|record| record.millis = 0);
        (run, records)
    }
}

fn script() -> Vec<Message> {
    vec![
        calls([
            ("weather", json!({"city": "北京"})),
            ("weather", json!({"city": "上海"})),
        ]),
        call(
            "calculator",
            json!({"expression": "3.1 + 11.2", "unit": 0.1 + 0.2}),
        ),
        call("calculator", json!({"expression": "3.1 + 11.2"})),
        says("一共 14.3 度。"),
    ]
}

fn recorded(model: ScriptedChatModel, path: &Path) -> Arc<dyn ChatModel> {
    let file = File::create(path).unwrap();
    Arc::new(Recorder::new(Arc::new(model), "run", file).unwrap())
}

fn replayed(path: &Path) -> Arc<dyn ChatModel> {
    let text = std::fs::read_to_string(path).unwrap();
    Arc::new(Replay::new("run", &text).unwrap())
}

#[tokio::test]
async fn a_recorded_run_comes_again_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let model = recorded(ScriptedChatModel::new(script()), &path);
    let (run, records) = Process::new(model, "天气").run().await;
    assert_eq!(run.answer(), Some("一共 14.3 度。"));
    assert_eq!(run.spent.calls, 4);

    let (again, replayed) = Process::new(replayed(&path), "天气").run().await;
    assert_eq!(replayed, records);
    assert_eq!(again.messages, run.messages);
}

#[tokio::test]
async fn what_was_left_out_is_left_out_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let model = ScriptedChatModel::answering(|before, _| match before < 40 {
        true => call("weather", json!({})),
        false => says("雨"),
    });
    let mut process = Process::new(recorded(model.with_context_length(600), &path), "");
    process.tools = crate::window::counting();
    let (run, records) = process.run().await;
    assert_eq!((run.answer(), run.spent.calls), (Some("雨"), 40));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        text.contains("left out to save room"),
        "the context was full"
    );

    let mut process = Process::new(replayed(&path), "");
    process.tools = crate::window::counting();
    let (again, replayed) = process.run().await;
    assert_eq!(again.outcome, run.outcome);
    assert_eq!(replayed, records);
}

#[tokio::test]
async fn a_change_is_noticed_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    let model = recorded(ScriptedChatModel::new(script()), &path);
    Process::new(model, "天气").run().await;

    let mut cases = Vec::new();
    let process = Process::new(replayed(&path), "天气预报");
    cases.push((
        process,
        "the description of the tool `weather` was `天气`, now `天气预报`",
    ));
    let mut process = Process::new(replayed(&path), "天气");
    process.instructions = "Be brief. 详细。";
    cases.push((
        process,
        "message 1 (system) was `Be brief. 简短。`, now `Be brief. 详细。`",
    ));
    let mut process = Process::new(replayed(&path), "天气");
    process.tools = Tools::default();
    cases.push((
        process,
        "the tool `weather` is gone; the tool `calculator` is gone",
    ));
    for (process, wanted) in cases {
        let (run, _) = process.run().await;
        let Outcome::Failed { why, .. } = &run.outcome else {
            panic!("{:?}", run.outcome);
        };
        assert!(
            why.contains("request 1 of 4") && why.contains(wanted),
            "{why}"
        );
    }
}
