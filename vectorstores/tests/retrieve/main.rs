//! What each retriever promises, in English and in Chinese.

#![allow(clippy::unwrap_used)]

mod around;
mod contextual;
mod corpus;
#[path = "../kit/mod.rs"]
mod kit;
mod laws;
mod models;
mod ranking;
mod self_query;
