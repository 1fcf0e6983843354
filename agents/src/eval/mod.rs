//! Measuring agents: are the right functions called, with the right arguments?
//!
//! | module | answers |
//! |---|---|
//! | [`bfcl`] | is a case of the Berkeley Function Calling Leaderboard answered right, by its rules? |
//! | [`calls`] | are simple questions answered with the right call, or with none? |
//! | [`trajectory`] | did a run make the calls that were expected of it? |
//! | [`Rate`], [`balanced`], [`pass_hat_k`] | how good is that, and how sure is it? |

pub mod bfcl;
pub mod calls;
mod rate;
mod schema;
pub mod trajectory;

pub use rate::{Rate, balanced, pass_hat_k};
pub use schema::{Fit, fit};

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};

/// A file's text.
fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::io(path.display().to_string(), error))
}

/// What is wrong with a file's content.
fn malformed(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, path.display().to_string(), cause)
}
