//! The `corbie` program: ask your documents.

mod app;
mod args;
mod cite;
mod commands;
mod config;
mod output;
mod progress;
mod stores;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use corbie_core::{Error, ErrorKind};

use crate::args::{Cli, Command};
use crate::output::complain;

/// The engine allocates large buffers for every prompt; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INTERRUPTED: u8 = 130;

/// How long a command that is interrupted may take to put its things away.
const GRACE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    if matches!(cli.command, Command::ParseWorker) {
        return commands::parse_worker();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    // Who waits for a line of standard input holds this thread, and would not hear it.
    runtime.spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            tokio::time::sleep(GRACE).await;
            std::process::exit(INTERRUPTED.into());
        }
    });
    let code = runtime.block_on(async {
        tokio::select! {
            result = commands::run(cli) => match result {
                Ok(code) => code,
                Err(error) => fail(&error),
            },
            _ = tokio::signal::ctrl_c() => ExitCode::from(INTERRUPTED),
        }
    });
    // A model may still be computing on its thread: there is nothing to wait for.
    runtime.shutdown_background();
    code
}

/// Logs to standard error what `CORBIE_LOG` asks for, such as `debug` or `corbie_agents=trace`.
fn log() {
    if let Ok(filter) = std::env::var("CORBIE_LOG") {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        tracing_subscriber::fmt()
            .with_ansi(!plain && io::stderr().is_terminal())
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(io::stderr)
            .init();
    }
}

/// Says what went wrong and chooses the exit code: 2 where the call was wrong, else 1.
fn fail(error: &anyhow::Error) -> ExitCode {
    let pipe_closed = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if pipe_closed {
        return ExitCode::SUCCESS;
    }
    let mut message = error.to_string();
    // Errors of Corbie say all in one line; others are followed by their causes.
    if error.downcast_ref::<Error>().is_none() {
        for cause in error.chain().skip(1) {
            message = format!("{message}: {cause}");
        }
    }
    complain(&message);
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::BadInput) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}
