//! The `corbie` program: ask your documents.

mod app;
mod args;
mod cite;
mod commands;
mod config;
mod output;
mod progress;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use corbie_core::{Error, ErrorKind};

use crate::args::{Cli, Command};
use crate::output::printable;

/// The engine allocates large buffers for every prompt; this allocator keeps their pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const INTERRUPTED: u8 = 130;

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
        tracing_subscriber::fmt()
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
    eprintln_safe(&format!("error: {message}"));
    match error.downcast_ref::<Error>().map(Error::kind) {
        Some(ErrorKind::BadInput) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

fn eprintln_safe(text: &str) {
    use io::Write;
    let _ = writeln!(io::stderr(), "{}", printable(text));
}
