//! Question answering with citations, and agents.
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
//! | [`Agent`] | what must be done to reach a goal, and what came of it? |
//! | [`plan`] | which steps lead there, and what when one of them fails? |
//! | `mcp` | which tools do other programs have, and what may they use of ours? |
//! | [`tools`] | what can it do? |
//! | [`Memory`] | what does it still know the next time? |
//! | `testing` | does a journal of your own keep what runs rest on? |

mod agent;
mod answer;
mod check;
mod conversation;
pub mod eval;
mod examples;
mod journal;
mod likeness;
#[cfg(feature = "mcp")]
pub mod mcp;
mod memory;
pub mod plan;
mod spans;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
pub mod tools;

pub use agent::{
    ASK_PERSON, Action, Agent, AgentEvent, AgentOptions, Budget, Bundle, CallState, CallStatus,
    Decision, Delegate, FunctionTool, HAND_OFF, Hook, Inquiry, JOURNAL_VERSION, Judgement, Limit,
    Next, Offload, Outcome, Peer, Pending, Policy, Prices, READ_RESULT, Record, Rule, Ruling, Run,
    RunEvent, RunState, Spent, ToolResult, ToolRetrieval, Tools, Watcher, fork, fresh_run_id,
    history, typed,
};
pub use answer::{
    Answer, AnswerCache, AnswerEvent, AnswerOptions, AnswerStream, Answerer, CacheOptions,
    Citation, Evidence, EvidenceOptions, Likeness, Question, Ungrounded, Verdict,
};
pub use check::QuestionCheck;
pub use conversation::{Conversation, Turn};
pub use corbie_macros::tool;
pub use examples::{Example, Examples, demonstrations};
pub use journal::SqliteJournal;
pub use memory::{Memory, MemoryOptions, MemoryTools, NewNote, Note};
