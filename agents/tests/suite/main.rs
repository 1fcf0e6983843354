//! What holds of question answering as a whole, with fakes for the models.
//!
//! | module | holds |
//! |---|---|
//! | `evidence` | that answerable questions are told from others, on public data |
//! | `outcomes` | the typed verdicts, and that no model is asked in vain |
//! | `context` | what fits the model's context, to the token |
//! | `cache` | who is given an answer that was kept, and when it dies |
//! | `citations` | that a citation is what the document says, and nothing else can be one |
//! | `talk` | conversations |

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod cache;
mod citations;
mod context;
mod evidence;
mod kit;
mod outcomes;
mod talk;
