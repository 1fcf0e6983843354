use std::fmt;

use corbie_core::{
    BoxFuture, EmbedKind, Embedder, EmbedderInfo, Embedding, Error, ErrorKind, Result, TokenCounter,
};
use serde::Deserialize;
use serde_json::json;

use super::RemoteOptions;
use super::client::Remote;
use super::estimate::TokenEstimate;

/// How a remote embedding model is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbedOptions {
    /// The length of its vectors; `None`: learnt by embedding a word.
    pub dimension: Option<usize>,
    /// The most tokens of one text, by [`TokenEstimate`]; longer texts are cut off.
    pub token_limit: usize,
    /// The most texts of one request.
    pub batch: usize,
    /// Put before each document, for models that want it.
    pub document_prefix: String,
    /// Put before each question, for models that want it.
    pub query_prefix: String,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            dimension: None,
            token_limit: 8000,
            batch: 64,
            document_prefix: String::new(),
            query_prefix: String::new(),
        }
    }
}

/// An embedding model behind an OpenAI-compatible service.
///
/// Whether a text's vector is the same bit for bit in every batch is up to the service.
pub struct OpenAiEmbedder {
    info: EmbedderInfo,
    counter: TokenEstimate,
    remote: Remote,
    options: EmbedOptions,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    index: Option<usize>,
    embedding: Embedding,
}

impl OpenAiEmbedder {
    /// The model that the options name. Asks it for one vector unless its dimension is given.
    ///
    /// # Errors
    ///
    /// [`Offline`](ErrorKind::Offline) when the network may not be used,
    /// [`BadInput`](ErrorKind::BadInput) for options out of range, otherwise what the service
    /// answers.
    pub async fn connect(remote: RemoteOptions, options: EmbedOptions) -> Result<Self> {
        if options.batch == 0 || options.token_limit == 0 || options.dimension == Some(0) {
            return Err(Error::new(
                ErrorKind::BadInput,
                remote.subject(),
                "dimension, token limit and batch must be at least 1",
            ));
        }
        let remote = Remote::new(remote)?;
        let dimension = match options.dimension {
            Some(dimension) => dimension,
            None => {
                let vectors = request(&remote, &["raven"], None).await?;
                vectors.first().map_or(0, Vec::len)
            }
        };
        let model = format!("{}:{}", remote.options.provider, remote.options.model);
        let EmbedOptions {
            document_prefix,
            query_prefix,
            ..
        } = &options;
        Ok(Self {
            info: EmbedderInfo {
                fingerprint: format!("{model}/{dimension}/{document_prefix:?}/{query_prefix:?}"),
                model,
                dimension,
            },
            counter: TokenEstimate {
                limit: options.token_limit,
            },
            remote,
            options,
        })
    }
}

impl fmt::Debug for OpenAiEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiEmbedder")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl Embedder for OpenAiEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        &self.counter
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        let prefix = match kind {
            EmbedKind::Document => &self.options.document_prefix,
            EmbedKind::Query => &self.options.query_prefix,
        };
        Box::pin(async move {
            let mut vectors = Vec::with_capacity(texts.len());
            for batch in texts.chunks(self.options.batch) {
                let batch: Vec<String> = batch
                    .iter()
                    .map(|text| format!("{prefix}{}", self.counter.cut(text)))
                    // Services refuse the empty text.
                    .map(|text| if text.is_empty() { " ".into() } else { text })
                    .collect();
                let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
                vectors.extend(request(&self.remote, &batch, Some(self.info.dimension)).await?);
            }
            Ok(vectors)
        })
    }
}

/// One request: the vectors of `texts` in order, of unit length.
async fn request(
    remote: &Remote,
    texts: &[&str],
    dimension: Option<usize>,
) -> Result<Vec<Embedding>> {
    let body = json!({
        "model": remote.options.model,
        "input": texts,
        "encoding_format": "float",
    });
    let embeddings = remote.client.embeddings();
    let answer: Answer = remote.retry(|| embeddings.create_byot(&body)).await?;
    let malformed = |why: String| Error::new(ErrorKind::Malformed, remote.options.subject(), why);
    if answer.data.len() != texts.len() {
        return Err(malformed(format!(
            "it gives {} vectors for {} texts",
            answer.data.len(),
            texts.len()
        )));
    }
    let mut vectors = vec![Embedding::new(); texts.len()];
    for (position, datum) in answer.data.into_iter().enumerate() {
        let slot = vectors.get_mut(datum.index.unwrap_or(position));
        let slot = slot.filter(|slot| slot.is_empty());
        let slot = slot.ok_or_else(|| malformed("it numbers its vectors wrongly".into()))?;
        *slot =
            unit(datum.embedding).ok_or_else(|| malformed("a vector has no direction".into()))?;
    }
    let expected = dimension.unwrap_or_else(|| vectors.first().map_or(0, Vec::len));
    match vectors.iter().find(|vector| vector.len() != expected) {
        Some(vector) => Err(malformed(format!(
            "a vector has {} dimensions, expected {expected}",
            vector.len()
        ))),
        None => Ok(vectors),
    }
}

/// The vector scaled to length 1; `None` when it has no length or is not finite.
fn unit(mut vector: Embedding) -> Option<Embedding> {
    let length = vector
        .iter()
        .map(|x| f64::from(*x).powi(2))
        .sum::<f64>()
        .sqrt();
    if !(length.is_finite() && length > 0.0) {
        return None;
    }
    for x in &mut vector {
        *x = (f64::from(*x) / length) as f32;
    }
    Some(vector)
}
