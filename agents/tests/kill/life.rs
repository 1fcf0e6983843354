//! One life of a run: it begins or goes on with what the journal has, until it is done or killed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use corbie_agents::{
    Agent, Decision, FunctionTool, Inquiry, Outcome, Policy, SqliteJournal, Tools,
};
use corbie_core::testing::{ScriptedChatModel, calls, says};
use corbie_core::{ChatRequest, Effects, Invocation, Message, Role, Tool};
use serde_json::{Value, json};

/// The folder of the run, for the process that is to be killed.
pub const FOLDER: &str = "CORBIE_KILL_FOLDER";
/// Its name in the journal.
pub const RUN: &str = "run";
/// Answers of the model, the last of them without calls.
pub const STEPS: usize = 20;

/// What the run is to do, in order: the tool and the number it notes.
pub fn effects() -> Vec<(&'static str, usize)> {
    (0..STEPS - 1).flat_map(effects_of).collect()
}

/// Most steps have one effect, every fourth has one of each kind.
fn effects_of(step: usize) -> Vec<(&'static str, usize)> {
    match step % 4 {
        0 | 2 => vec![("pay", step)],
        1 => vec![("post", step)],
        _ => vec![("pay", step), ("post", step)],
    }
}

/// A service that keeps one line for each effect: `tool key number`.
#[derive(Clone)]
pub struct Ledger(PathBuf);

impl Ledger {
    pub fn of(folder: &Path) -> Self {
        Self(folder.join("ledger.txt"))
    }

    pub fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub fn has(&self, key: &str) -> bool {
        let is_it = |line: &String| line.split(' ').nth(1) == Some(key);
        self.lines().iter().any(is_it)
    }

    fn note(&self, tool: &str, run: &Invocation) {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.0)
            .unwrap();
        let line = format!("{tool} {} {}\n", run.key, run.arguments["n"]);
        file.write_all(line.as_bytes()).unwrap();
        file.sync_data().unwrap();
    }
}

/// What the model says: it follows from how often it has answered, so it needs no memory.
fn next(request: &ChatRequest) -> Message {
    let messages = request.messages.iter();
    let step = messages.filter(|it| it.role == Role::Assistant).count();
    if step + 1 == STEPS {
        return says("全部完成。");
    }
    let effects = effects_of(step);
    let mut message = calls(effects.iter().map(|(tool, n)| (*tool, json!({ "n": n }))));
    // The ids say of what kind a call is.
    for (call, (tool, n)) in message.tool_calls.iter_mut().zip(effects) {
        call.id = format!("{tool}_{n}");
    }
    message
}

/// `pay`, which the service does once for a key, and `post`, which it does whenever it is told.
fn tools(ledger: &Ledger) -> Tools {
    let tool = |name: &'static str, idempotent: bool| {
        let ledger = ledger.clone();
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let work = move |run: Invocation| {
            let ledger = ledger.clone();
            async move {
                if !(idempotent && ledger.has(&run.key)) {
                    say(&format!("{name} {}", run.key));
                    ledger.note(name, &run);
                    say(&format!("{name} noted"));
                }
                Ok(Value::from("done"))
            }
        };
        let effects = Effects {
            idempotent,
            trusted: true,
            ..Effects::default()
        };
        let tool: Arc<dyn Tool> =
            Arc::new(FunctionTool::new(name, "有作用的工具", schema, work).with_effects(effects));
        tool
    };
    Tools::new([tool("pay", true), tool("post", false)]).unwrap()
}

/// What the one who kills counts.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

#[tokio::test]
#[ignore = "the process that `exactly_once` starts and kills"]
async fn life() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by `exactly_once`"));
    let ledger = Ledger::of(&folder);
    let journal = SqliteJournal::open(&folder.join("runs.db")).unwrap();
    let is_new = journal.runs().unwrap().is_empty();
    let model = ScriptedChatModel::answering(|_, request| next(request));
    let model = model.with_context_length(10_000);
    let mut agent = Agent {
        tools: tools(&ledger),
        journal: Some(Arc::new(journal)),
        ..Agent::new(Arc::new(model))
    };
    agent.options.policy = Policy::unattended();
    let watch = |_| say("event");
    let mut run = match is_new {
        true => agent.start(RUN, "支付并发布。", &watch).await.unwrap(),
        false => match agent.resume(RUN, [], &watch).await {
            Ok(run) => run,
            // It was killed between its end and its exit.
            Err(error) if error.to_string().contains("has ended") => return,
            Err(error) => panic!("{error}"),
        },
    };
    // A person looks into the ledger whether it happened, and says so.
    while let Outcome::NeedsInput {
        question: Inquiry::Unfinished { call, key },
    } = &run.outcome
    {
        let call = call.id.clone();
        let decision = match ledger.has(key) {
            true => Decision::Answer {
                call,
                result: "done".into(),
            },
            false => Decision::Repeat { call },
        };
        run = agent.resume(RUN, [decision], &watch).await.unwrap();
    }
    assert!(
        matches!(run.outcome, Outcome::Done { .. }),
        "{:?}",
        run.outcome
    );
}
