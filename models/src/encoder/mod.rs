//! | `facts` | what is known of all that before a model is loaded |
//! Local encoders: embedders, rerankers and sparse embedders, read from a Hugging Face directory.
//!
//! ```text
//! texts → tokenize → batches → encoder → pooling and what follows → vectors
//! pairs → tokenize → batches → encoder → head → scores
//! ```
//!
//! | file | question it answers |
//! |---|---|
//! | `embedder`, `reranker`, `sparse` | what a caller sees |
//! | `static_embedder` | the same for a table of vectors without an encoder |
//! | `batcher` | who runs the model, and which texts of which callers go together |
//! | `recipe` | how the directory wants texts prepared and token vectors pooled |
//! | `tokenize` | which tokens a text or a pair is, and how many |
//! | `architecture` | which encoders are known, a row for each, and what their tensors are called |
//! | `config` | how large the encoder is |
//! | `weights` | the tensors of `model.safetensors`, each checked |
//! | `words` | the table of tokens, which stays in its file |
//! | `forward`, `layers` | the arithmetic |
//! | `pooling`, `after` | how the vectors of the tokens become one, and what is done to it |
//!
//! Texts of different lengths share a batch without padding: their tokens lie one after the other
//! in `[total, hidden]`, and only attention knows where one text ends and the next begins. So a
//! text's vector is the same, bit for bit, alone and in any batch.
//!
//! The seam for another device lies between `weights` and `forward`: `weights` hands out candle
//! tensors, checked and on any device, and only `layers` turns them into the matrices of
//! [`crate::kernels`]. A GPU encoder is a second type with the same `forward(inputs)` over those
//! tensors; nothing else here would change.

mod after;
mod architecture;
mod batcher;
mod config;
mod embedder;
mod facts;
mod files;
mod forward;
mod layers;
mod pooling;
mod recipe;
mod reranker;
mod sparse;
mod static_embedder;
mod tokenize;
mod weights;
mod words;

use std::path::Path;
use std::sync::Arc;

use corbie_core::{Embedder, Result, TokenCounter};

pub use embedder::{LocalEmbedder, LocalEmbedderOptions};
pub use facts::EncoderFacts;
pub(crate) use facts::tokenizer_bytes;
pub use reranker::{LocalReranker, LocalRerankerOptions};
pub use sparse::{LocalSparseEmbedder, LocalSparseEmbedderOptions};
pub use static_embedder::StaticEmbedder;

/// Loads whichever embedder a directory holds: a [`StaticEmbedder`] or a [`LocalEmbedder`].
///
/// # Errors
///
/// Those of [`LocalEmbedder::load`].
pub fn load_embedder(dir: &Path, options: LocalEmbedderOptions) -> Result<Arc<dyn Embedder>> {
    load_with_counter(dir, options).map(|(embedder, _)| embedder)
}

/// The same, with its counter of tokens, which may outlive it.
pub(crate) fn load_with_counter(
    dir: &Path,
    options: LocalEmbedderOptions,
) -> Result<(Arc<dyn Embedder>, Arc<dyn TokenCounter>)> {
    Ok(match StaticEmbedder::is_one(dir)? {
        true => {
            let embedder = StaticEmbedder::load(dir, options)?;
            let counter = embedder.counter();
            (Arc::new(embedder), counter)
        }
        false => {
            let embedder = LocalEmbedder::load(dir, options)?;
            let counter = embedder.counter();
            (Arc::new(embedder), counter)
        }
    })
}
