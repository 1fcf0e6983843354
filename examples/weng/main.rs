//! An agent of the parts that Lilian Weng names in "LLM Powered Autonomous Agents": it plans, and
//! plans anew when a step fails; it uses tools; another agent, with a context of its own, reads for
//! it; and what it finds out it remembers, so that another process knows it.
//!
//! ```sh
//! cargo run --example weng               # plans, fails, plans anew, has it looked up, remembers
//! cargo run --example weng               # another process: recalls
//! cargo run --example weng -- --chinese  # the same in Chinese, with a memory of its own
//! cargo run --release --example weng -- --model MODEL [--folder FOLDER] [GOAL]
//! ```
//!
//! Without `--model` the models are scripted, so that the example shows the same on every machine;
//! MODEL is a name such as `smollm2` or the path of a GGUF file, and whatever such a model says
//! comes to a readable end. Memory, journal and the one trace of all processes are kept in
//! `.corbie/weng`, or in FOLDER.
#![allow(clippy::print_stdout)]

mod script;
mod trace;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use corbie::agents::plan::Planner;
use corbie::agents::{
    Action, Delegate, Memory, MemoryOptions, MemoryTools, Rule, RunState, SqliteJournal, history,
    tools,
};
use corbie::core::testing::WordCounter;
use corbie::core::{ErrorKind, Tool};
use corbie::prelude::*;

use script::{CHINESE, Cast, ENGLISH, Script};
use trace::{Trace, brief};

/// Rings the harbour office of the island and asks a question. 给岛上的港务处打电话提问。
#[corbie::tool(read_only, trusted)]
async fn telephone(
    /// The question, 问题
    question: String,
) -> Result<String, String> {
    Err(format!(
        "nobody answered, so `{question}` was not asked (没人接电话)"
    ))
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let script = options.script();
    let file = |name: &str| options.folder.join(name);
    std::fs::create_dir_all(&options.folder)
        .map_err(|error| Error::io(options.folder.display().to_string(), error))?;
    let trace = Trace::open(&file("trace.txt"))?;
    let journal = Arc::new(SqliteJournal::open(&file("runs.db"))?);
    let memory = Arc::new(Memory::open(&file("memory.db"), MemoryOptions::default())?);

    let is_first = |run: &&String| !run.contains('.');
    let id = format!(
        "process-{}",
        journal.runs()?.iter().filter(is_first).count() + 1
    );
    trace.line(&format!("═══ {id} (pid {})", std::process::id()));
    let known = memory.notes(script.scope)?;
    trace.line(&format!("memory   {} notes", known.len()));
    for note in &known {
        trace.line(&format!("         {}: {}", note.id, note.text));
    }
    let goal = match (&options.goal, known.is_empty()) {
        (Some(goal), _) => goal,
        (None, true) => script.goal,
        (None, false) => script.goal_again,
    };
    trace.line(&format!("goal     {goal}"));

    let cast = match &options.model {
        Some(name) => Cast::all(corbie::chat_model(name).await?),
        None => script.cast(known.is_empty()),
    };
    let planner = planner(cast, &script, &memory, &journal, &options.folder).await?;
    let watch = |event| trace.show(&event);
    let run = planner.start(&id, goal, &watch).await?;
    trace.line(&format!("answer   {}", brief(&run.answer)));
    for said in &run.struck {
        trace.line(&format!("struck   {}", brief(said)));
    }

    trace.line("contexts, as the journal has them");
    for name in journal.runs()? {
        let Some(below) = name.strip_prefix(&format!("{id}.")) else {
            continue;
        };
        let state = RunState::of(&history(journal.as_ref(), &name).await?);
        let bytes: usize = state.messages().iter().map(|it| it.content.len()).sum();
        let whose = if below.contains('-') {
            "librarian"
        } else {
            "agent"
        };
        let messages = state.messages().len();
        trace.line(&format!(
            "         {name:<14} {whose:<9} {messages} messages, {bytes} bytes"
        ));
    }
    trace.line(&format!(
        "memory   {} notes\n",
        memory.notes(script.scope)?.len()
    ));
    println!("The whole trace is in {}", file("trace.txt").display());
    Ok(())
}

/// What makes plans, and an agent that does their steps with a telephone, a librarian and a memory.
async fn planner(
    cast: Cast,
    script: &Script,
    memory: &Arc<Memory>,
    journal: &Arc<SqliteJournal>,
    folder: &Path,
) -> Result<Planner> {
    let splitter = TokenSplitter::new(Arc::new(WordCounter { limit: 256 }), 200.into());
    let parts = IndexParts::new(None, Arc::new(Parsers::standard()), Arc::new(splitter));
    let index = Index::open(&Collections::new(folder.join("index")), "birds", parts)?;
    let birds = FolderSource::new("examples/handbook/birds".as_ref(), FolderOptions::default());
    index.sync(&birds, "birds", &()).await?;
    let retriever = Arc::new(index.retriever(SearchMode::Keyword));
    let search: Arc<dyn Tool> = Arc::new(tools::search("search", "the handbook", retriever, 2));
    let mut librarian = Agent {
        name: "librarian".to_owned(),
        tools: Tools::new([search])?,
        ..Agent::new(cast.librarian)
    };
    librarian.options.instructions = script.librarian.to_owned();
    librarian.options.budget.steps = Some(4);
    librarian.options.max_tokens = Some(150);

    let about = "Looks things up in the island's handbook. 在岛上的手册里查找。";
    let librarian = Delegate::new("librarian", about, librarian);
    let memory = MemoryTools {
        approval: false,
        ..MemoryTools::new(Arc::clone(memory), script.scope)
    };
    let [remember, recall, _] = memory.tools();
    let all: [Arc<dyn Tool>; 4] = [
        Arc::new(telephone()),
        Arc::new(librarian),
        Arc::new(remember),
        Arc::new(recall),
    ];
    let mut agent = Agent {
        tools: Tools::new(all)?,
        journal: Some(journal.clone()),
        ..Agent::new(cast.agent)
    };
    // What the handbook says may end in this memory, marked as text from outside, and nowhere else.
    agent.options.policy.rules.push(Rule {
        tool: Some("remember".to_owned()),
        ..Rule::any(Action::Allow)
    });
    agent.options.instructions = script.agent.to_owned();
    agent.options.budget.steps = Some(6);
    agent.options.max_tokens = Some(200);
    let mut planner = Planner::new(cast.planner, agent);
    planner.options.steps = 4;
    planner.options.max_tokens = 200;
    planner.options.result_bytes = 600;
    planner.options.budget.steps = Some(40);
    Ok(planner)
}

/// What stands on the command line.
struct Options {
    model: Option<String>,
    chinese: bool,
    folder: PathBuf,
    goal: Option<String>,
}

impl Options {
    fn from_arguments() -> Result<Self> {
        let mut options = Self {
            model: None,
            chinese: false,
            folder: PathBuf::from(".corbie/weng"),
            goal: None,
        };
        let refuse =
            |flag: &str, cause: &str| Err(Error::new(ErrorKind::BadInput, flag.to_owned(), cause));
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--chinese" => options.chinese = true,
                flag @ ("--model" | "--folder") => {
                    let Some(value) = arguments.next() else {
                        return refuse(flag, "a value must follow");
                    };
                    match flag {
                        "--model" => options.model = Some(value),
                        _ => options.folder = value.into(),
                    }
                }
                flag if flag.starts_with("--") => {
                    return refuse(flag, "it is none of --model, --folder and --chinese");
                }
                _ => options.goal = Some(argument),
            }
        }
        Ok(options)
    }

    fn script(&self) -> Script {
        if self.chinese { CHINESE } else { ENGLISH }
    }
}
