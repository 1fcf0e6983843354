//! Local embedders of the BERT family, read from a Hugging Face directory.
//!
//! ```text
//! texts → tokenize → batches by length → encoder → pooling → vectors
//! ```
//!
//! | file | question it answers |
//! |---|---|
//! | `embedder` | who runs the model, in which batches, and what a caller sees |
//! | `recipe` | how the directory wants texts prepared and token vectors pooled |
//! | `tokenize` | which tokens a text is, and how many |
//! | `config` | how large the encoder is and what its tensors are called |
//! | `weights` | the tensors of `model.safetensors`, each checked |
//! | `forward` | the arithmetic |
//! | `pooling` | how the vectors of the tokens become one |
//!
//! Texts of different lengths share a batch without padding: their tokens lie one after the other
//! in `[total, hidden]`, and only attention knows where one text ends and the next begins. So a
//! text's vector is the same, bit for bit, alone and in any batch.
//!
//! The seam for another device lies between `weights` and `forward`: `weights` hands out candle
//! tensors, checked and on any device, and only `forward` turns them into the matrices of
//! [`crate::kernels`]. A GPU encoder is a second type with the same `forward(ids, segments)` over
//! those tensors; nothing else here would change.

mod after;
mod architecture;
mod batcher;
mod config;
mod embedder;
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

use std::path::Path;
use std::sync::Arc;

use corbie_core::{Embedder, Result};

pub use embedder::{LocalEmbedder, LocalEmbedderOptions};
pub use reranker::{LocalReranker, LocalRerankerOptions};
pub use sparse::{LocalSparseEmbedder, LocalSparseEmbedderOptions};
pub use static_embedder::StaticEmbedder;

/// Loads whichever embedder a directory holds: a [`StaticEmbedder`] or a [`LocalEmbedder`].
///
/// # Errors
///
/// Those of [`LocalEmbedder::load`].
pub fn load_embedder(dir: &Path, options: LocalEmbedderOptions) -> Result<Arc<dyn Embedder>> {
    Ok(match StaticEmbedder::is_one(dir)? {
        true => Arc::new(StaticEmbedder::load(dir, options)?),
        false => Arc::new(LocalEmbedder::load(dir, options)?),
    })
}
