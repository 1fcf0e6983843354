//! Local embedders against vectors that Sentence Transformers computed, against the laws of
//! `Embedder`, and against damaged model directories.
//!
//! `reference/encoders.py` writes the fixture and says how a case is to be read.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used)]

mod families;
mod fixture;
mod malformed;
mod real;
mod vectors;
