//! What the user may type about agents and their runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub struct AgentArgs {
    /// What is to be reached (`-`: standard input)
    #[arg(required_unless_present = "resume")]
    pub goal: Option<String>,
    /// A folder or file that it may search: it is indexed first
    #[arg(long, value_name = "PATH", conflicts_with = "collection")]
    pub docs: Option<PathBuf>,
    /// A collection that it may search
    #[arg(long, value_name = "NAME")]
    pub collection: Option<String>,
    /// A folder whose files it may list, read and search
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    /// It may write files there, too
    #[arg(long, requires = "files")]
    pub write: bool,
    /// The hosts that pages may be fetched from, such as docs.rs,*.python.org; by default all that are public
    #[arg(long, value_delimiter = ',', value_name = "HOSTS")]
    pub hosts: Vec<String>,
    /// Whose memory it has, such as user:ann
    #[arg(long, value_name = "SCOPE")]
    pub memory: Option<String>,
    /// The tools it has; by default the calculator and what --docs, --collection, --files and --memory are for
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub tools: Vec<ToolName>,
    /// Servers whose tools it has, too: {"mcpServers": {NAME: {"command": …} or {"url": …}}}
    #[arg(long, value_name = "FILE")]
    pub mcp_config: Option<PathBuf>,
    /// What runs without asking
    #[arg(long, value_enum, default_value_t = Approve::Ask)]
    pub approve: Approve,
    /// Limits, such as steps=20,tokens=50000,seconds=120
    #[arg(long, value_name = "LIMITS", value_parser = budget)]
    pub budget: Option<corbie_agents::Budget>,
    /// Instructions that come before the goal
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub instructions: String,
    /// Go on with this run instead
    #[arg(long, value_name = "RUN", conflicts_with = "goal")]
    pub resume: Option<String>,
    /// A decision about the run that goes on: approve=CALL, reject=CALL:WHY, answer=CALL:RESULT, repeat=CALL or
    /// say=TEXT
    #[arg(long, value_name = "DECISION", requires = "resume", value_parser = decision)]
    pub decide: Vec<corbie_agents::Decision>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolName {
    /// Finds passages of the documents
    Search,
    /// Computes arithmetic
    Calculator,
    /// Tells the date and the time, and computes with dates
    Clock,
    /// Keeps a to-do list
    Todo,
    /// Lists, reads and searches the files of --files
    Files,
    /// Remembers over runs, for --memory or `default`
    Memory,
    /// Reads public web pages
    Fetch,
    /// Runs small scripts without files and network
    Code,
    /// Asks you
    AskPerson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Approve {
    /// What changes nothing; you are asked about the rest
    Ask,
    /// What changes nothing; the rest is refused
    ReadOnly,
    /// Everything, until text from outside could tell it what to do
    All,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// All runs
    List,
    /// What happened in a run
    Show {
        /// The run
        run: String,
    },
    /// Show a run's events one by one, with the state after each
    Replay {
        /// The run
        run: String,
    },
    /// Copy a run up to one of its steps, to go another way from there
    Fork {
        /// The run
        run: String,
        /// Answers of the model that are kept
        #[arg(long, value_name = "N")]
        steps: usize,
    },
}

fn budget(text: &str) -> Result<corbie_agents::Budget, String> {
    let mut budget = corbie_agents::Budget::default();
    for part in text.split(',') {
        let wrong = || format!("`{part}` is none of steps=N, tokens=N, seconds=N");
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let number: u64 = value.trim().parse().map_err(|_| wrong())?;
        match name.trim() {
            "steps" => budget.steps = usize::try_from(number).ok(),
            "tokens" => budget.tokens = usize::try_from(number).ok(),
            "seconds" => budget.time = Some(std::time::Duration::from_secs(number)),
            _ => return Err(wrong()),
        }
    }
    Ok(budget)
}

fn decision(text: &str) -> Result<corbie_agents::Decision, String> {
    use corbie_agents::Decision;
    let wrong = || {
        "expected approve=CALL, reject=CALL:WHY, answer=CALL:RESULT, repeat=CALL or say=TEXT"
            .to_owned()
    };
    let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (call, more) = rest.split_once(':').unwrap_or((rest, ""));
    let (call, more) = (call.to_owned(), more.to_owned());
    Ok(match kind {
        "approve" => Decision::Approve { call },
        "reject" => Decision::Reject { call, reason: more },
        "answer" => Decision::Answer { call, result: more },
        "repeat" => Decision::Repeat { call },
        "say" => Decision::Say {
            text: rest.to_owned(),
        },
        _ => return Err(wrong()),
    })
}
