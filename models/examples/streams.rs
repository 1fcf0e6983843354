//! Measures what requests share: the passes of the decoder, and the beginnings of their prompts.
//!
//! ```text
//! cargo run --release -p corbie-models --example streams -- MODEL.gguf [STREAMS] [PROMPT] [WRITTEN]
//! ```
//!
//! First, streams that begin together against one after the other: the tokens must be the same,
//! greedy and seeded. Then a second request that begins like the first.

use std::path::Path;
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result, Sampling};
use corbie_models::chat::{Completion, GenerateOptions, LocalChatModel, LocalChatOptions};
use futures::future::try_join_all;

/// Tokens of the shared beginning.
const PREFIX: u32 = 1500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let missing = || {
        Error::new(
            ErrorKind::BadInput,
            "arguments",
            "a model file must be named",
        )
    };
    let path = arguments.next().ok_or_else(missing)?;
    let mut number = |default| {
        let number = arguments.next().and_then(|n| n.parse().ok());
        number.unwrap_or(default)
    };
    let (streams, prompt, written) = (number(8), number(128), number(128) as usize);
    let load = || LocalChatModel::load(Path::new(&path), LocalChatOptions::default());

    for seeded in [false, true] {
        let request = |stream: u32| {
            let ids = (0..prompt).map(|i| 100 + stream + i * 7 % 5000).collect();
            let sampling = Sampling {
                temperature: if seeded { 1.0 } else { 0.0 },
                seed: seeded.then_some(u64::from(stream)),
                ..Sampling::default()
            };
            let options = GenerateOptions {
                max_tokens: written,
                sampling,
                ..GenerateOptions::default()
            };
            (ids, options)
        };
        let (apart, together) = (load()?, load()?);
        let warm = |ids: Vec<u32>, options| together.generate(ids, options);
        warm(vec![7; 64], request(0).1).await?;
        apart.generate(vec![7; 64], request(0).1).await?;

        let begun = Instant::now();
        let mut alone = Vec::new();
        for stream in 0..streams {
            let (ids, options) = request(stream);
            alone.push(apart.generate(ids, options).await?);
        }
        let one_by_one = begun.elapsed().as_secs_f64();

        let begun = Instant::now();
        let all = (0..streams).map(|stream| {
            let (ids, options) = request(stream);
            together.generate(ids, options)
        });
        let shared = try_join_all(all).await?;
        let at_once = begun.elapsed().as_secs_f64();

        let ids = |all: &[Completion]| all.iter().map(|one| one.ids.clone()).collect::<Vec<_>>();
        let tokens: usize = alone.iter().map(|one| one.ids.len()).sum();
        let decoding: f64 = alone.iter().map(|one| one.decode_seconds).sum();
        report(&format!(
            "{streams} streams of {prompt} + {written}{}: {}",
            if seeded { ", seeded" } else { "" },
            match ids(&alone) == ids(&shared) {
                true => "the same tokens as alone",
                false => "OTHER TOKENS THAN ALONE",
            },
        ));
        report(&format!(
            "  one stream writes {:.1} tokens/s; {streams} after another, with their prompts: {:.1}; together: {:.1}",
            tokens as f64 / decoding,
            tokens as f64 / one_by_one,
            tokens as f64 / at_once,
        ));
    }

    let model = load()?;
    let options = GenerateOptions {
        max_tokens: 1,
        ..GenerateOptions::default()
    };
    model.generate(vec![7; 64], options.clone()).await?;
    let begins = |last: u32| -> Vec<u32> {
        let shared = (0..PREFIX).map(|i| 100 + i * 7 % 5000);
        shared.chain((0..20).map(|i| last + i)).collect()
    };
    let first = model.generate(begins(40), options.clone()).await?;
    let second = model.generate(begins(90), options).await?;
    report(&format!(
        "a prompt of {} tokens: first token after {:.3} s; one that shares {PREFIX} of them ({} cached): {:.3} s, {:.1} times sooner",
        first.prompt_tokens,
        first.prefill_seconds,
        second.cached_tokens,
        second.prefill_seconds,
        first.prefill_seconds / second.prefill_seconds,
    ));
    Ok(())
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
