//! Measures a chat model: loading, reading a prompt, writing.
//!
//! ```text
//! cargo run --release -p corbie-models --example speed -- MODEL.gguf [PROMPT] [WRITTEN] [RUNS]
//! ```
//!
//! Prints medians over the runs, and the most memory the process had. `CORBIE_PRECISION=fine` (or
//! `f32`) has it computed more exactly.

use std::path::Path;
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use corbie_models::kernels::Precision;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| {
        Error::new(
            ErrorKind::BadInput,
            "arguments",
            "a model file must be named",
        )
    })?;
    let mut number = |default| {
        arguments
            .next()
            .and_then(|n| n.parse().ok())
            .unwrap_or(default)
    };
    let (prompt, written, runs): (u32, usize, u32) =
        (number(700) as u32, number(128), number(5) as u32);

    let begun = Instant::now();
    let model = LocalChatModel::load(Path::new(&path), options()?)?;
    report("load", begun.elapsed().as_secs_f64(), "s");

    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        // Another first token each time, so that nothing is reused.
        let ids = (0..prompt).map(|i| 100 + run + i * 7 % 5000).collect();
        let options = GenerateOptions {
            max_tokens: written,
            ..GenerateOptions::default()
        };
        let completion = model.generate(ids, options).await?;
        // The first run warms up.
        if run > 0 {
            prefill.push(f64::from(prompt) / completion.prefill_seconds);
            decode.push(completion.ids.len() as f64 / completion.decode_seconds);
        }
    }
    report(&format!("prefill of {prompt}"), median(prefill), "tokens/s");
    report(&format!("decode of {written}"), median(decode), "tokens/s");
    // Only Linux tells it here.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        report_line(line);
    }
    Ok(())
}

fn options() -> Result<LocalChatOptions> {
    let precision = match std::env::var("CORBIE_PRECISION").as_deref() {
        Err(_) | Ok("quick") => Precision::Quantized,
        Ok("fine") => Precision::Fine,
        Ok("f32") => Precision::F32,
        Ok(other) => {
            let cause = format!("`{other}` is none of quick, fine, f32");
            return Err(Error::new(ErrorKind::BadInput, "CORBIE_PRECISION", cause));
        }
    };
    Ok(LocalChatOptions {
        precision,
        ..LocalChatOptions::default()
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

fn report(what: &str, value: f64, unit: &str) {
    report_line(&format!("{what}: {value:.3} {unit}"));
}

#[allow(clippy::print_stdout)]
fn report_line(line: &str) {
    println!("{line}");
}
