//! Asking an embedder, in view of whoever traces.

use corbie_core::{
    EmbedKind, Embedder, Embedding, Error, ErrorKind, Result, SparseEmbedder, SparseVector,
};
use tracing::Instrument;

/// A vector for each text, in order.
pub(crate) async fn embed(
    embedder: &dyn Embedder,
    texts: &[String],
    kind: EmbedKind,
) -> Result<Vec<Embedding>> {
    let info = embedder.info();
    let span = tracing::info_span!(
        "embeddings",
        otel.name = format!("embeddings {}", info.model),
        gen_ai.operation.name = "embeddings",
        gen_ai.request.model = info.model,
        gen_ai.embeddings.dimension.count = info.dimension,
        corbie.embeddings.texts = texts.len(),
        error.type = tracing::field::Empty,
    );
    let embedded = embedder.embed(texts, kind).instrument(span.clone()).await;
    let subject = || format!("embedder `{}`", info.model);
    let embedded = embedded.and_then(|vectors| one_each(vectors, texts, subject));
    embedded.inspect_err(|error| {
        span.record("error.type", tracing::field::debug(error.kind()));
    })
}

/// Term weights for each text, in order.
pub(crate) async fn embed_sparse(
    embedder: &dyn SparseEmbedder,
    texts: &[String],
    kind: EmbedKind,
) -> Result<Vec<SparseVector>> {
    let subject = || format!("sparse embedder `{}`", embedder.info().model);
    one_each(embedder.embed(texts, kind).await?, texts, subject)
}

/// Refuses more vectors than texts, or fewer.
fn one_each<T>(vectors: Vec<T>, texts: &[String], subject: impl Fn() -> String) -> Result<Vec<T>> {
    let (given, asked) = (vectors.len(), texts.len());
    if given == asked {
        return Ok(vectors);
    }
    let cause = format!("it gave {given} vectors for {asked} texts");
    Err(Error::new(ErrorKind::Unavailable, subject(), cause))
}
