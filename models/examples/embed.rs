//! Embeds standard input: one text a line in, one JSON array a line out.
//!
//! ```text
//! cargo run --release -p corbie-models --example embed -- DIRECTORY [document|query] < texts.txt
//! ```
//!
//! A line that is a JSON string stands for that string, so that a text may hold line breaks.

use std::io::{self, BufRead, Write};
use std::path::Path;

use corbie_core::{EmbedKind, Embedder};
use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().ok_or("the model's directory is missing")?;
    let kind = match arguments.next().as_deref() {
        None | Some("document") => EmbedKind::Document,
        Some("query") => EmbedKind::Query,
        Some(other) => return Err(format!("`{other}` is neither document nor query").into()),
    };
    let embedder = LocalEmbedder::load(Path::new(&dir), LocalEmbedderOptions::default())?;
    let texts = io::stdin()
        .lock()
        .lines()
        .map(|line| line.map(text))
        .collect::<io::Result<Vec<String>>>()?;
    let vectors = futures::executor::block_on(embedder.embed(&texts, kind))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for vector in vectors {
        serde_json::to_writer(&mut out, &vector)?;
        writeln!(out)?;
    }
    Ok(out.flush()?)
}

fn text(line: String) -> String {
    serde_json::from_str(&line).unwrap_or(line)
}
