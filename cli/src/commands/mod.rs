//! One command a file.

mod agent;
mod ask;
mod bench;
mod chat;
mod collections;
mod config;
mod doctor;
mod eval;
mod eval_calls;
mod ingest;
mod mcp;
mod models;
mod runs;
mod search;
mod stages;

use std::io::Read;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;
use corbie_core::{Error, ErrorKind};
use corbie_loaders::Parsers;
use corbie_loaders::isolated::worker_main;

use crate::app::App;
use crate::args::{Cli, Command, ConfigCommand, EvalCommand};

/// Runs one command.
pub async fn run(cli: Cli) -> Result<ExitCode> {
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "corbie", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)?;
        return Ok(ExitCode::SUCCESS);
    }
    let app = App::new(&cli.global)?;
    match cli.command {
        Command::Ask(args) => ask::run(&app, args).await,
        Command::Ingest(args) => ingest::run(&app, args).await,
        Command::Search(args) => search::run(&app, args).await,
        Command::Chat(args) => chat::run(&app, args).await,
        Command::Agent(args) => agent::run(&app, *args).await,
        Command::Runs(command) => runs::run(&app, command).await,
        Command::Mcp(args) => mcp::run(app, args).await,
        Command::Models(command) => models::run(&app, command).await,
        Command::Collections(command) => collections::run(&app, command).await,
        Command::Index(command) => collections::index(&app, command).await,
        Command::Doctor => doctor::run(&app).await,
        Command::Config(ConfigCommand::Show { origin }) => {
            config::show(&app, origin).map(|()| ExitCode::SUCCESS)
        }
        Command::Bench(command) => bench::run(&app, command).await,
        Command::Eval(EvalCommand::Retrieval(args)) => eval::retrieval(&app, args).await,
        Command::Eval(EvalCommand::Compare(args)) => eval::compare(&app, &args),
        Command::Eval(EvalCommand::Tools(args)) => eval_calls::tools(&app, &args).await,
        Command::Eval(EvalCommand::Calls(args)) => eval_calls::calls(&app, &args).await,
        Command::Parse(args) => stages::parse(&app, &args.file).await,
        Command::Split(args) => stages::split(&app, args).await,
        Command::Tokenize(args) => stages::tokenize(&app, args).await,
        Command::Template(args) => stages::template(&app, args).await,
        Command::Embed(args) => stages::embed(&app, args).await,
        Command::Rerank(args) => stages::rerank(&app, args).await,
        Command::Generate(args) => stages::generate(&app, args).await,
        Command::ParseReply(args) => stages::parse_reply(&app, args),
        Command::Completions { .. } | Command::ParseWorker => Ok(ExitCode::SUCCESS),
    }
}

/// Serves another `corbie` as the process that parses risky formats.
pub fn parse_worker() -> ExitCode {
    let parsers = Parsers::standard();
    match worker_main(|source, bytes| parsers.parse_now(source, bytes)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The error with this next step, unless it has one.
fn or_hint(error: Error, hint: &str) -> Error {
    match error.next_step() {
        Some(_) => error,
        None => error.hint(hint),
    }
}

/// All of standard input as text, byte for byte.
fn standard_input() -> Result<String> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|e| Error::io("standard input", e))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::new(
            ErrorKind::BadInput,
            "standard input",
            format!("it is not UTF-8 at byte {at}"),
        )
        .hint("convert it first, for example with iconv")
        .into()
    })
}

/// An argument, or standard input where it is `-`.
fn argument(text: &str) -> Result<String> {
    match text {
        "-" => standard_input(),
        _ => Ok(text.to_owned()),
    }
}
