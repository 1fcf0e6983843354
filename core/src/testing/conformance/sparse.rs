use crate::{EmbedKind, SparseEmbedder, SparseVector};

/// The laws of [`SparseEmbedder`]: one vector a text, with ascending terms, positive finite weights
/// of the kind it says, and the same bit for bit every time, alone and in any order.
///
/// # Panics
///
/// With the law that is broken.
pub async fn sparse_embedder(embedder: &dyn SparseEmbedder) {
    let long = "A raven remembers where it hid its food. 乌鸦记得它把食物藏在哪里。".repeat(60);
    let texts: Vec<String> = [
        "A raven hides its food.",
        "",
        "乌鸦会把食物藏起来。",
        "A crow\nuses tools.",
        &long,
        "A raven hides its food.",
    ]
    .map(str::to_owned)
    .into();
    let info = embedder.info();
    assert!(
        !info.model.is_empty() && !info.fingerprint.is_empty(),
        "it has a name and a fingerprint"
    );
    for kind in [EmbedKind::Document, EmbedKind::Query] {
        let none = embedder.embed(&[], kind).await.unwrap();
        assert!(none.is_empty(), "no texts, no vectors");
        let vectors = embedder.embed(&texts, kind).await.unwrap();
        assert_eq!(vectors.len(), texts.len(), "one vector for each text");
        for vector in &vectors {
            assert_eq!(vector.indices.len(), vector.values.len(), "a weight a term");
            assert!(
                vector.indices.is_sorted_by(|a, b| a < b),
                "ascending terms, each once"
            );
            assert!(
                vector.values.iter().all(|w| w.is_finite() && *w > 0.0),
                "positive, finite weights"
            );
            assert_eq!(vector.weights, info.weights, "of the kind that it says");
        }
        assert!(!vectors[0].is_empty(), "words have terms");
        assert_eq!(vectors[0], vectors[5], "equal texts, equal vectors");
        let turned: Vec<String> = texts.iter().rev().cloned().collect();
        let mut turned: Vec<SparseVector> = embedder.embed(&turned, kind).await.unwrap();
        turned.reverse();
        assert_eq!(turned, vectors, "the order changes nothing");
        for (text, vector) in texts.iter().zip(&vectors) {
            let alone = embedder.embed(std::slice::from_ref(text), kind);
            assert_eq!(alone.await.unwrap()[0], *vector, "the same vector alone");
        }
    }
}
