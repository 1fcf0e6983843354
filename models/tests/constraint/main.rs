//! Constrained decoding.
//!
//! - `suite`: every output satisfies its schema, by an independent validator, within its budget;
//!   over a small set of schemas of our own, the JSON Schema test suite, and BFCL's tools.
//! - `laws`: what holds for every form: forks are independent, any way of cutting a text into
//!   tokens is accepted, mask and commit agree.
//! - `forms`: regular expressions, choices, quotations and grammars, in English and Chinese.
//! - `hostile`: what is meant to exhaust time or memory ends in a typed error.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod forms;
mod hostile;
mod kit;
mod laws;
mod suite;
