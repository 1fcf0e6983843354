//! Recordings of chat models in files: what a model answers, and the same again without it.
//!
//! The models that record and replay are [`corbie_core::record`]'s; this is where their lines are
//! kept.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use corbie_core::{ChatModel, Error, Result};

pub use corbie_core::record::{Recorder, Replay};

/// Records what `model` answers in a new file at `path`.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::sync::Arc;
///
/// use corbie_core::testing::ScriptedChatModel;
/// use corbie_core::{ChatModel, ChatRequest, Message};
/// use corbie_models::record::{record, replay};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ravens.jsonl");
/// let model = Arc::new(ScriptedChatModel::new(["Under moss."]));
/// let request = ChatRequest::new([Message::user("Where do ravens cache food?")]);
/// record(model, &path)?.complete(request.clone()).await?;
/// assert_eq!(replay(&path)?.complete(request).await?.message.content, "Under moss.");
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
///
/// When the file cannot be written.
pub fn record(model: Arc<dyn ChatModel>, path: &Path) -> Result<Recorder> {
    let file = File::create(path).map_err(|error| io(path, error))?;
    Recorder::new(model, path.display().to_string(), file)
}

/// Answers what the recording at `path` holds.
///
/// # Errors
///
/// When it cannot be read; those of [`Replay::new`].
pub fn replay(path: &Path) -> Result<Replay> {
    let text = std::fs::read_to_string(path).map_err(|error| io(path, error))?;
    Replay::new(path.display().to_string(), &text)
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("recording `{}`", path.display()), error)
}
