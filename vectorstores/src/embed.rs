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
    let embedded = embedded.and_then(|vectors| match vectors.len() == texts.len() {
        true => Ok(vectors),
        false => {
            let subject = format!("embedder `{}`", info.model);
            let (given, asked) = (vectors.len(), texts.len());
            let cause = format!("it gave {given} vectors for {asked} texts");
            Err(Error::new(ErrorKind::Unavailable, subject, cause))
        }
    });
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
    let vectors = embedder.embed(texts, kind).await?;
    if vectors.len() != texts.len() {
        let subject = format!("sparse embedder `{}`", embedder.info().model);
        let (given, asked) = (vectors.len(), texts.len());
        let cause = format!("it gave {given} vectors for {asked} texts");
        return Err(Error::new(ErrorKind::Unavailable, subject, cause));
    }
    Ok(vectors)
}
