//! An embedding model: texts of one length, so many at a time.

use std::time::Instant;

use anyhow::Result;
use corbie_core::{EmbedKind, Embedder};
use serde_json::{Value, json};

use super::{median, memory};
use crate::app::App;
use crate::args::BenchEmbedArgs;

pub async fn run(app: &App, args: &BenchEmbedArgs) -> Result<Value> {
    let embedder = app.embedder(None).await?;
    let text = text_of(&*embedder, args.tokens);
    // What the model adds at the ends counts as well: two tokens in most.
    let tokens = embedder.tokens().count(&text) + SPECIAL;
    let texts = vec![text; args.batch.max(1)];
    let mut seconds = Vec::new();
    for round in 0..=args.runs {
        let begun = Instant::now();
        embedder.embed(&texts, EmbedKind::Document).await?;
        // The first warms up.
        if round > 0 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    let seconds = median(seconds);
    Ok(json!({
        "v": 1,
        "model": app.settings.get("embedder"),
        "tokens": tokens,
        "batch": texts.len(),
        "runs": args.runs,
        "tokens_per_second": (tokens * texts.len()) as f64 / seconds,
        "texts_per_second": texts.len() as f64 / seconds,
        "rss_mb": memory("VmRSS:"),
        "peak_rss_mb": memory("VmHWM:"),
    }))
}

/// The tokens that most models add to a text.
const SPECIAL: usize = 2;

/// A text that, with what the model adds, has at most so many tokens, and as nearly as words allow.
fn text_of(embedder: &dyn Embedder, tokens: usize) -> String {
    let room = tokens.saturating_sub(SPECIAL).max(1);
    let mut words = room;
    loop {
        let text = vec!["raven"; words].join(" ");
        match embedder.tokens().count(&text) {
            count if count > room && words > 1 => {
                words = (words * room / count).clamp(1, words - 1)
            }
            _ => return text,
        }
    }
}
