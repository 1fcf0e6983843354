//! Where documents come from, what their bytes mean and how their text is cut.
//!
//! The first two stages of the flow, in its order:
//!
//! - load: a source lists and reads items ([`FolderSource`], [`Sources`]); a parser turns their
//!   bytes into documents ([`Parsers`], and [`IsolatedParser`], which runs the risky formats in
//!   child processes under limits);
//! - split: a splitter cuts a document into spans that fit a model ([`TokenSplitter`]).
//!
//! Bytes are untrusted: their media type is judged by content ([`media_type`]), their encoding
//! is detected ([`encoding`]), and no input makes anything here panic.

mod blocking;
pub mod source;

pub mod encoding;
pub mod media_type;
pub mod parser;

#[cfg(unix)]
pub mod isolated;

pub mod splitter;

#[cfg(unix)]
pub use isolated::{IsolatedParser, IsolationOptions, WorkerCommand};
pub use parser::Parsers;
pub use source::{FolderOptions, FolderSource, Sources};
pub use splitter::{SplitOptions, TokenSplitter};
