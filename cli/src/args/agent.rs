//! What the user may type about agents and their runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use corbie_agents::{Budget, Decision};

#[derive(Debug, Args)]
// `requires = "resume"` would not do: clap waives it beside a goal, which excludes `resume`.
#[command(mut_arg("decide", |decide| decide.conflicts_with("goal")))]
pub struct AgentArgs {
    /// What is to be reached (`-`: standard input)
    #[arg(required_unless_present = "resume")]
    pub goal: Option<String>,
    #[command(flatten)]
    pub means: Means,
    /// Go on with this run instead, as `corbie runs resume` does
    #[arg(long, value_name = "RUN", conflicts_with = "goal")]
    pub resume: Option<String>,
    #[command(flatten)]
    pub decisions: Decisions,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The run
    pub run: String,
    #[command(flatten)]
    pub means: Means,
    #[command(flatten)]
    pub decisions: Decisions,
}

/// What a person decides about a run that goes on.
#[derive(Debug, Args)]
pub struct Decisions {
    /// A decision about the run that goes on: approve=CALL, reject=CALL:WHY, answer=CALL:RESULT, repeat=CALL or
    /// say=TEXT
    #[arg(long, value_name = "DECISION", value_parser = decision)]
    pub decide: Vec<Decision>,
}

/// What an agent has to work with, and its limits. A run does not keep it: who goes on with one
/// gives it again.
#[derive(Debug, Clone, Args)]
pub struct Means {
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
    pub budget: Option<Budget>,
    /// Instructions that come before the goal
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub instructions: String,
}

impl Means {
    /// The options that say the same.
    pub fn words(&self) -> Vec<String> {
        let path =
            |path: &Option<PathBuf>| path.as_deref().map(Path::display).map(|it| it.to_string());
        let list = |names: Vec<String>| (!names.is_empty()).then(|| names.join(","));
        let tools = self.tools.iter().map(typed).collect();
        let approve = (self.approve != Approve::Ask).then(|| typed(&self.approve));
        let instructions = (!self.instructions.is_empty()).then(|| self.instructions.clone());
        let options = [
            ("--docs", path(&self.docs)),
            ("--collection", self.collection.clone()),
            ("--files", path(&self.files)),
            ("--hosts", list(self.hosts.clone())),
            ("--memory", self.memory.clone()),
            ("--tools", list(tools)),
            ("--mcp-config", path(&self.mcp_config)),
            ("--approve", approve),
            ("--budget", self.budget.as_ref().map(limits)),
            ("--instructions", instructions),
        ];
        let given = options
            .into_iter()
            .filter_map(|(option, value)| Some([option.to_owned(), value?]));
        let write = self.write.then(|| "--write".to_owned());
        given.flatten().chain(write).collect()
    }
}

/// A value as it is typed.
pub fn typed(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
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
    /// Go on with a run: after decisions, a limit, an error or an end of the program
    Resume(Box<ResumeArgs>),
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

fn budget(text: &str) -> Result<Budget, String> {
    let mut budget = Budget::default();
    for part in text.split(',') {
        let wrong = || format!("`{part}` is none of steps=N, tokens=N, seconds=N");
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        let number: u64 = value.trim().parse().map_err(|_| wrong())?;
        match name.trim() {
            "steps" => budget.steps = usize::try_from(number).ok(),
            "tokens" => budget.tokens = usize::try_from(number).ok(),
            "seconds" => budget.time = Some(Duration::from_secs(number)),
            _ => return Err(wrong()),
        }
    }
    Ok(budget)
}

/// A budget as it is typed.
fn limits(budget: &Budget) -> String {
    let limits = [
        ("steps", budget.steps.map(|steps| steps as u64)),
        ("tokens", budget.tokens.map(|tokens| tokens as u64)),
        ("seconds", budget.time.map(|time| time.as_secs())),
    ];
    let limits = limits
        .iter()
        .filter_map(|(name, most)| Some(format!("{name}={}", (*most)?)));
    limits.collect::<Vec<_>>().join(",")
}

fn decision(text: &str) -> Result<Decision, String> {
    let wrong = || {
        "expected approve=CALL, reject=CALL:WHY, answer=CALL:RESULT, repeat=CALL or say=TEXT"
            .to_owned()
    };
    let (kind, rest) = text.split_once('=').ok_or_else(wrong)?;
    let whole = rest.to_owned();
    let (call, more) = rest.split_once(':').unwrap_or((rest, ""));
    let (call, more) = (call.to_owned(), more.to_owned());
    Ok(match kind {
        "approve" => Decision::Approve { call: whole },
        "reject" => Decision::Reject { call, reason: more },
        "answer" => Decision::Answer { call, result: more },
        "repeat" => Decision::Repeat { call: whole },
        "say" => Decision::Say { text: whole },
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        means: Means,
    }

    #[test]
    fn means_are_typed_again_as_they_were() {
        for line in [
            "",
            "--docs 文档 --files notes --memory user:ann --write",
            "--collection c --tools calculator,ask-person --approve read-only",
            "--hosts docs.rs,*.python.org --tools fetch --mcp-config s.json --approve all",
            "--budget steps=2,tokens=50000,seconds=120 --instructions Answer-briefly.",
        ] {
            let words: Vec<&str> = line.split_whitespace().collect();
            let typed = Typed::try_parse_from([&["corbie"], &words[..]].concat()).unwrap();
            assert_eq!(typed.means.words(), words);
        }
    }
}
