//! `corbie bench`: how fast it is on this machine.

mod embed;
mod generate;
mod ingest;
mod search;

use std::process::ExitCode;

use anyhow::Result;
use corbie_core::Error;
use serde_json::Value;
use uuid::Uuid;

use crate::app::App;
use crate::args::BenchCommand;

pub async fn run(app: &App, command: BenchCommand) -> Result<ExitCode> {
    let row = match command {
        BenchCommand::Search(args) => search::run(&args).await?,
        BenchCommand::Ingest { folder } => ingest::run(app, &folder).await?,
        BenchCommand::Generate(args) => generate::run(app, &args).await?,
        BenchCommand::Embed(args) => embed::run(app, &args).await?,
    };
    match app.output.is_json() {
        true => app.output.json(&row)?,
        false => lines(app, "", &row)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A figure a line; those that belong together indented.
fn lines(app: &App, before: &str, row: &Value) -> Result<()> {
    for (name, value) in row.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => {
                app.output.line(&format!("{before}{name}"))?;
                lines(app, "  ", value)?;
            }
            _ if name == "v" => {}
            Value::Number(number) if number.is_f64() => {
                let number = number.as_f64().unwrap_or_default();
                app.output
                    .line(&format!("{before}{name:<22} {number:.3}"))?;
            }
            value => app.output.line(&format!("{before}{name:<22} {value}"))?,
        }
    }
    Ok(())
}

/// A folder that goes when it is dropped.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("corbie-bench-{}", Uuid::new_v4()));
        std::fs::create_dir_all(&folder).map_err(|e| Error::io(folder.display().to_string(), e))?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A figure of this process's memory, in MiB; `None` where the system does not say.
fn memory(name: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some((kilobytes / 1024.0).round())
}

/// The middle one of several measured numbers; zero of none.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}
