//! Measures an embedder: seconds to load, tokens a second at several lengths and batches, memory.
//!
//! ```text
//! cargo run --release -p corbie-models --example embed_speed -- DIRECTORY
//! ```

use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use corbie_core::{EmbedKind, Embedder};
use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args()
        .nth(1)
        .ok_or("the model's directory is missing")?;
    let mut out = io::stdout().lock();
    let start = Instant::now();
    let embedder = LocalEmbedder::load(Path::new(&dir), LocalEmbedderOptions::default())?;
    writeln!(out, "load: {:.3} s", start.elapsed().as_secs_f64())?;
    writeln!(out, "memory after loading: {}", memory())?;
    for (tokens, batch) in [(20, 1), (20, 32), (128, 1), (128, 32), (256, 32)] {
        // One word, one token; two are special.
        let texts = vec!["raven ".repeat(tokens - 2); batch];
        let run = || -> Result<f64, corbie_core::Error> {
            let start = Instant::now();
            futures::executor::block_on(embedder.embed(&texts, EmbedKind::Document))?;
            Ok(start.elapsed().as_secs_f64())
        };
        run()?;
        let counted = embedder.tokens().count(&texts[0]) + 2;
        let runs = (20_000 / (tokens * batch)).clamp(7, 200);
        let mut seconds = (0..runs).map(|_| run()).collect::<Result<Vec<f64>, _>>()?;
        seconds.sort_by(f64::total_cmp);
        let rate = |seconds: f64| (counted * batch) as f64 / seconds;
        writeln!(
            out,
            "{counted} tokens, batch {batch}: {:.0} tokens/s (median of {runs}; best {:.0})",
            rate(seconds[runs / 2]),
            rate(seconds[0])
        )?;
    }
    let text = "A raven remembers where it hid its food, and finds it again. ".repeat(200);
    let start = Instant::now();
    let count = embedder.tokens().count(&text);
    let seconds = start.elapsed().as_secs_f64();
    writeln!(out, "counting: {:.0} tokens/s", count as f64 / seconds)?;
    writeln!(out, "memory: {}", memory())?;
    Ok(())
}

/// What Linux says about this process.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}
