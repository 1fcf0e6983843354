//! Question answering with citations.
//!
//! The last steps of Corbie's flow: retrieve → prompt → generate. An [`Answerer`] checks the
//! question, retrieves hits, judges whether they are evidence, fits whole passages into the
//! model's real context, and lets the model answer from them. What a reader sees is checked before
//! it is shown: citations are the passages that were retrieved and nothing else.
//!
//! | module | answers |
//! |---|---|
//! | [`Answerer`] | what do the documents say about this question, and where? |
//! | [`Evidence`] | do they say anything about it at all? |
//! | [`QuestionCheck`] | may it be asked? |
//! | [`Conversation`] | how does one question follow another? |

mod answer;
mod check;
mod conversation;
mod text;

pub use answer::{
    Answer, AnswerEvent, AnswerOptions, AnswerStream, Answerer, Citation, Evidence,
    EvidenceOptions, Question, Ungrounded, Verdict,
};
pub use check::QuestionCheck;
pub use conversation::{Conversation, Turn};
