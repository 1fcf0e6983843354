//! How near the estimate of a model's memory comes to what the process really takes.
//!
//! ```text
//! cargo run --release -p corbie-models --example memory -- MODEL.gguf|FOLDER…
//! ```
//!
//! Each model is loaded alone, filled to its longest default context (or with a full batch), and
//! measured by the resident set of this process (Linux).

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

use corbie_core::{EmbedKind, Error, ErrorKind, Result};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use corbie_models::encoder::{LocalEmbedderOptions, load_embedder};
use corbie_models::estimate::{self, MemoryNeed};
use futures::executor::block_on;

fn main() -> Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    match paths.as_slice() {
        [] => {
            let cause = "no model is named";
            return Err(Error::new(ErrorKind::BadInput, "memory", cause)
                .hint("name GGUF files or folders of safetensors"));
        }
        [one] => measure(Path::new(one))?,
        several => {
            // What one model leaves behind must not count for the next.
            for path in several {
                let program = std::env::current_exe().map_err(|e| Error::io("this program", e))?;
                let status = Command::new(program).arg(path).status();
                status.map_err(|e| Error::io("this program", e))?;
            }
        }
    }
    Ok(())
}

fn measure(path: &Path) -> Result<()> {
    println!("{}", path.display());
    let begun = resident();
    let is_encoder = path.is_dir() && path.join("modules.json").exists();
    match is_encoder {
        true => {
            let options = LocalEmbedderOptions::default();
            let need = estimate::embedder(path, &options)?;
            let embedder = load_embedder(path, options.clone())?;
            row("loaded", need.weights + need.tokenizer, resident() - begun);
            let limit = embedder.tokens().limit();
            let text = "raven ".repeat(limit);
            let texts = vec![text; options.max_tokens_per_batch.div_ceil(limit)];
            block_on(embedder.embed(&texts, EmbedKind::Document))?;
            row("at work", need.total(), resident() - begun);
            parts(&need);
        }
        false => {
            let options = LocalChatOptions::default();
            let need = estimate::chat(path, &options)?;
            let model = LocalChatModel::load(path, options)?;
            row("loaded", need.weights + need.tokenizer, resident() - begun);
            let context = corbie_core::ChatModel::info(&model).context_length;
            let prompt = (0..context - 2)
                .map(|at| (at % 1000) as u32 + 300)
                .collect();
            let options = GenerateOptions {
                max_tokens: 2,
                ..GenerateOptions::default()
            };
            block_on(model.generate(prompt, options))?;
            row("at work", need.least(), resident() - begun);
            parts(&need);
        }
    }
    Ok(())
}

fn parts(need: &MemoryNeed) {
    for (name, bytes) in [
        ("weights", need.weights),
        ("tokenizer", need.tokenizer),
        ("context", need.context),
        ("workspace", need.workspace),
    ] {
        println!("  {name:<10} {:>8.1} MB", megabytes(bytes));
    }
}

fn row(what: &str, foretold: usize, taken: usize) {
    println!(
        "  {what:<10} {:>8.1} MB foretold, {:>8.1} MB taken, {:+.1} %",
        megabytes(foretold),
        megabytes(taken),
        100.0 * (foretold as f64 / taken as f64 - 1.0)
    );
}

fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// The bytes of memory that are this process's own: not those of mapped files.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1024
}
