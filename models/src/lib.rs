//! Models: the local engine, remote models, and the hub that finds and fetches model files.

#[cfg(feature = "local")]
pub mod gguf;
#[cfg(feature = "local")]
pub mod kernels;
#[cfg(feature = "local")]
pub mod tokenizer;
