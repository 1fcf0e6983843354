//! Constrained decoding: an answer that cannot be malformed, and that ends in time.
//!
//! A [`Form`] says what an answer must be: JSON of a schema, a text of a regular expression or a
//! grammar, one of several texts, or a piece of one. [`Grammars`] compiles it for one model's
//! tokens; the [`Constraint`] then says before each token which may come ([`Mask`]), and which must.
//! The work below is llguidance's: derivatives of regular expressions for words, an Earley parser
//! for their order, and a trie of all tokens.

mod closing;
mod form;
mod grammars;
mod mask;
mod progress;
mod recognize;
mod repetition;
mod schema;
mod search;
mod terminals;
mod vocabulary;
mod watch;

pub use form::Form;
pub use grammars::Grammars;
pub use mask::Mask;
pub use progress::Constraint;
pub use recognize::Recognizer;
