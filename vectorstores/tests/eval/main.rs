//! Measuring retrieval: the measures, how sure they are, and what is measured.
//!
//! | module | what belongs there |
//! |---|---|
//! | `measures` | one ranking: known values and laws |
//! | `resampling` | intervals and probabilities |
//! | `evaluation` | data sets, files, comparisons |
//! | `figures` | public data; skipped where there is none |
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod evaluation;
mod figures;
mod measures;
mod resampling;
