use crate::{EmbedKind, Embedder};

/// The laws of [`Embedder`]: one vector a text, of its dimension, finite, and the same bit for
/// bit whatever else is in the batch.
///
/// # Panics
///
/// With the law that is broken.
pub async fn embedder(embedder: &dyn Embedder) {
    let long = "A raven remembers where it hid its food. 乌鸦记得它把食物藏在哪里。".repeat(60);
    let texts: Vec<String> = ["raven", "", "乌鸦会藏食物。", "A crow\nuses tools.", &long]
        .map(str::to_owned)
        .into();
    for kind in [EmbedKind::Document, EmbedKind::Query] {
        assert!(
            embedder.embed(&[], kind).await.unwrap().is_empty(),
            "no texts, no vectors"
        );
        let together = embedder.embed(&texts, kind).await.unwrap();
        assert_eq!(together.len(), texts.len(), "one vector for each text");
        for (text, vector) in texts.iter().zip(&together) {
            assert_eq!(
                vector.len(),
                embedder.info().dimension,
                "the promised dimension"
            );
            assert!(vector.iter().all(|x| x.is_finite()), "finite numbers");
            let alone = embedder
                .embed(std::slice::from_ref(text), kind)
                .await
                .unwrap();
            assert_eq!(&alone[0], vector, "the same vector alone and in a batch");
        }
    }
    let count = embedder.tokens().count("raven");
    assert!(
        count > 0 && count <= embedder.tokens().limit(),
        "a word has tokens and fits"
    );
}
