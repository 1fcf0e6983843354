//! Tools that every agent may want.

mod calculator;
mod search;

pub use calculator::{calculate, calculator};
pub use search::search;
