//! A folder in, a cited answer out.
//!
//! ```sh
//! cargo run --release --example ask_folder
//! ```
#![allow(clippy::print_stdout)]

use corbie::prelude::*;

#[tokio::main]
async fn main() -> Result<()> {
    let embedder = corbie::embedder("minilm").await?;
    let model = corbie::chat_model("smollm2").await?;
    let index = index_folder("examples/handbook", ".corbie", embedder).await?;
    let retriever = std::sync::Arc::new(index.retriever(SearchMode::Hybrid));
    let question = "How many days of paid leave do full-time staff get?";
    let answer = Answerer::new(model, retriever).answer(question).await?;
    println!("{}\n", answer.answer);
    for cited in &answer.citations {
        println!(
            "[{}] {}, bytes {}..{}",
            cited.n, cited.source, cited.start, cited.end
        );
    }
    Ok(())
}
