//! A real model, where `CORBIE_MINILM` names the directory of all-MiniLM-L6-v2.

use std::path::PathBuf;

use corbie_core::testing::conformance;
use corbie_core::{EmbedKind, Embedder};
use corbie_models::encoder::{LocalEmbedder, LocalEmbedderOptions};

/// The model's directory, or a visible line that says why the test is skipped.
fn minilm() -> Option<PathBuf> {
    let dir = std::env::var_os("CORBIE_MINILM").map(PathBuf::from);
    if dir.is_none() {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: CORBIE_MINILM is not set");
    }
    dir
}

#[tokio::test]
async fn minilm_keeps_the_laws_and_tells_likeness() {
    let Some(dir) = minilm() else { return };
    let embedder = LocalEmbedder::load(&dir, LocalEmbedderOptions::default()).unwrap();
    conformance::embedder(&embedder).await;
    assert_eq!(embedder.info().dimension, 384);
    assert_eq!(embedder.tokens().limit(), 254);

    let texts = [
        "A raven hides its food and remembers the place.",
        "Corvids cache what they eat and find it again.",
        "The interest rate was raised by half a percent.",
    ]
    .map(str::to_owned);
    let vectors = embedder.embed(&texts, EmbedKind::Document).await.unwrap();
    let cosine = |a: usize, b: usize| {
        let products = vectors[a].iter().zip(&vectors[b]).map(|(a, b)| a * b);
        products.sum::<f32>()
    };
    assert!((cosine(0, 0) - 1.0).abs() < 1e-5, "unit length");
    assert!(cosine(0, 1) > 0.5 && cosine(0, 2) < 0.1);
}
