//! Recording what a chat model answers, and answering the same again without it.
//!
//! A recording is JSON lines: what the model is, each request with the events of its answer, and
//! how many tokens requests were counted to have. It makes tests of programs and agents quick and
//! repeatable, and a model's odd answer a test case. A request is known again by all that it says,
//! prompt and tools included, its time limit alone excepted: that is less each time.

mod difference;
mod recorder;
mod replay;

#[cfg(all(test, feature = "testing"))]
mod tests;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ChatEvent, ChatModelInfo, ChatRequest};

pub use recorder::Recorder;
pub use replay::Replay;

/// The version of the format.
const VERSION: u32 = 1;

/// The first line of a recording.
#[derive(Serialize, Deserialize)]
struct Heading {
    v: u32,
    model: ChatModelInfo,
}

/// Every other line of a recording.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Exchange(Box<Exchange>),
    Count(Count),
}

/// A request and its answer.
#[derive(Serialize, Deserialize)]
struct Exchange {
    request: ChatRequest,
    prompt_tokens: usize,
    events: Vec<ChatEvent>,
}

/// How long a request is: programs count more than they ask, to see what fits.
#[derive(Serialize, Deserialize)]
struct Count {
    /// The request's digest.
    counted: String,
    prompt_tokens: usize,
}

/// What is compared of a request.
fn compared(mut request: ChatRequest) -> ChatRequest {
    request.timeout = None;
    request
}

/// Names a request, as it is compared.
fn digest(request: &ChatRequest) -> serde_json::Result<String> {
    let text = serde_json::to_vec(request)?;
    let digest = Sha256::digest(text);
    Ok(digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// The recording, for errors.
fn subject(name: &str) -> String {
    format!("recording `{name}`")
}
