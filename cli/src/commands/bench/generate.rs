//! A local chat model: reading a prompt, writing, alone or for several at once.

use std::time::Instant;

use anyhow::Result;
use corbie_core::{Error, ErrorKind};
use corbie_models::chat::{Completion, GenerateOptions, LocalChatModel, LocalChatOptions};
use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{median, memory};
use crate::app::{App, local_only, precision};
use crate::args::BenchGenerateArgs;

/// Prompts are of tokens from here on: those before are often special.
const FIRST_TOKEN: usize = 300;

/// Reading and writing are measured apart, as `llama-bench` does: a prompt is read, and then the
/// text goes on after a context that is in the cache already. The first run warms up.
pub async fn run(app: &App, args: &BenchGenerateArgs) -> Result<Value> {
    let model = load(app, args).await?;
    let streams = args.streams.max(1);
    let context = args.depth.max(1);
    let (mut reading, mut writing, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    let mut quoting = Vec::new();
    for round in 0..=args.runs {
        let prompts = |length: usize, of: usize| -> Vec<Vec<u32>> {
            let vocabulary = model.tokenizer().vocab_size();
            let made =
                |stream| made_prompt(length, 2 * (round * streams + stream) + of, vocabulary);
            (0..streams).map(made).collect()
        };
        let begun = Instant::now();
        let read = complete(&model, prompts(args.prompt_tokens, 0), 1).await?;
        let seconds = begun.elapsed().as_secs_f64();

        let mut contexts = prompts(context, 1);
        if args.quote {
            contexts
                .iter_mut()
                .for_each(|context| repeat_beginning(context));
        }
        complete(&model, contexts.clone(), 1).await?;
        let quotes: Vec<Vec<u32>> = contexts
            .iter()
            .map(|context| context[QUOTED.min(context.len())..].to_vec())
            .collect();
        let begun = Instant::now();
        let written = complete(&model, contexts, args.tokens).await?;
        let whole = begun.elapsed().as_secs_f64();
        if round == 0 {
            continue;
        }
        let alone =
            |times: fn(&Completion) -> f64, completions: &[Completion], all: f64| match completions
            {
                [one] => times(one),
                _ => all,
            };
        let prefill = alone(|one| one.prefill_seconds, &read, seconds);
        let decode = alone(|one| one.decode_seconds, &written, whole);
        let tokens: usize = written.iter().map(|one| one.ids.len()).sum();
        if tokens == 0 {
            let cause = "the model ends its text at once after a made prompt";
            return Err(Error::new(ErrorKind::Unsupported, "bench generate", cause).into());
        }
        reading.push((args.prompt_tokens * streams) as f64 / prefill);
        writing.push(tokens as f64 / decode);
        let quoted: usize = written
            .iter()
            .zip(&quotes)
            .map(|(it, of)| common(&it.ids, of))
            .sum();
        quoting.push(quoted as f64 / tokens as f64);
        waiting.push(median(read.iter().map(|one| one.prefill_seconds).collect()));
    }
    let mut row = json!({
        "v": 1,
        "model": app.settings.get("model"),
        "prompt_tokens": args.prompt_tokens,
        "tokens": args.tokens,
        "depth": args.depth,
        "streams": streams,
        "runs": args.runs,
        "prefill_tps": median(reading),
        "decode_tps": median(writing),
        "first_token_seconds": median(waiting),
        "rss_mb": memory("VmRSS:"),
        "peak_rss_mb": memory("VmHWM:"),
    });
    if args.quote {
        row["quoted"] = json!(median(quoting));
    }
    Ok(row)
}

async fn load(app: &App, args: &BenchGenerateArgs) -> Result<LocalChatModel> {
    let name = app.settings.get("model");
    local_only(name, "measuring a model")?;
    let longest = args.prompt_tokens.max(args.depth.max(1) + args.tokens) + 1;
    let options = LocalChatOptions {
        name: Some(name.to_owned()),
        precision: precision(&app.settings)?,
        threads: args.threads,
        guesses: args.guesses,
        context_length: Some(longest),
        running: Some(args.streams.max(1)),
        ..LocalChatOptions::default()
    };
    Ok(LocalChatModel::load(
        &app.resolve(name).await?.path,
        options,
    )?)
}

async fn complete(
    model: &LocalChatModel,
    prompts: Vec<Vec<u32>>,
    max_tokens: usize,
) -> corbie_core::Result<Vec<Completion>> {
    let options = GenerateOptions {
        max_tokens,
        ..GenerateOptions::default()
    };
    let all = prompts
        .into_iter()
        .map(|prompt| model.generate(prompt, options.clone()));
    try_join_all(all).await
}

/// How many tokens of the beginning stand at the end again.
const QUOTED: usize = 64;

/// Ends a context as it begins.
fn repeat_beginning(context: &mut [u32]) {
    let quoted = QUOTED.min(context.len() / 2);
    let end = context.len() - quoted;
    context.copy_within(..quoted, end);
}

/// How many tokens two texts begin with in common.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A prompt like no other of another `number`: tokens in an order without sense.
fn made_prompt(length: usize, number: usize, vocabulary: usize) -> Vec<u32> {
    let last = vocabulary.saturating_sub(FIRST_TOKEN).max(1);
    let token = |at: usize| (FIRST_TOKEN + (number * 13 + at * 7919) % last) % vocabulary.max(1);
    (0..length.max(1)).map(|at| token(at) as u32).collect()
}
