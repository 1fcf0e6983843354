//! Tools in runs: what they know of the run, and what they may do in it.

#[path = "../agent/kit.rs"]
#[allow(dead_code)]
mod kit;

mod laws;
mod memory;
mod poison;
mod results;
