//! Measures keyword search on a data set in BEIR's layout.
//!
//! `cargo run --release -p corbie-vectorstores --example measure_keyword_search -- DIR SPLIT [CHARACTER_WEIGHT]`
#![allow(clippy::print_stdout)]

use std::path::Path;

use corbie_vectorstores::SearchMode;
use corbie_vectorstores::eval::{EvalOptions, evaluate};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, split, ..] = &arguments[..] else {
        return Err("arguments: DIR SPLIT [CHARACTER_WEIGHT]".into());
    };
    let mut options = EvalOptions {
        mode: SearchMode::Keyword,
        ..EvalOptions::default()
    };
    if let Some(weight) = arguments.get(2) {
        options.bm25.character_weight = weight.parse()?;
    }
    let evaluation = evaluate(Path::new(dir), split, &options);
    let scores = futures::executor::block_on(evaluation)?.means();
    println!("{}", serde_json::to_string(&scores)?);
    Ok(())
}
