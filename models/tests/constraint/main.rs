//! Constrained decoding.
//!
//! - `suite`: every output satisfies its schema, by an independent validator, within its budget;
//!   over a small set of schemas of our own, the JSON Schema test suite, and BFCL's tools.
//! - `laws`: what holds for every form: forks are independent, any way of cutting a text into
//!   tokens is accepted, mask and commit agree.
//! - `forms`: regular expressions, choices, quotations and grammars, in English and Chinese.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod forms;
mod kit;
mod laws;
mod suite;
