//! Recording what a chat model answers, and answering the same again without it.
//!
//! A recording is a file of JSON lines, each a request with the events of its answer. It makes
//! tests of programs quick and repeatable, and a model's odd answer a test case.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    Result, TokenCounter,
};
use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};

/// A chat model whose answers are written down.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::sync::Arc;
///
/// use corbie_core::testing::ScriptedChatModel;
/// use corbie_core::{ChatModel, ChatRequest, Message};
/// use corbie_models::record::{Recorder, Replay};
///
/// # let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("ravens.jsonl");
/// let model = Arc::new(ScriptedChatModel::new([Message::assistant("Under moss.")]));
/// let request = ChatRequest::new([Message::user("Where do ravens cache food?")]);
/// Recorder::new(model, &path)?.complete(request.clone()).await?;
///
/// let replay = Replay::open(&path)?;
/// assert_eq!(replay.complete(request).await?.message.content, "Under moss.");
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Recorder {
    model: Arc<dyn ChatModel>,
    file: Arc<Mutex<File>>,
    path: PathBuf,
}

/// The first line of a recording.
#[derive(Serialize, Deserialize)]
struct Heading {
    v: u32,
    model: ChatModelInfo,
}

/// Every other line of a recording.
#[derive(Serialize, Deserialize)]
struct Exchange {
    request: ChatRequest,
    prompt_tokens: usize,
    events: Vec<ChatEvent>,
}

impl Recorder {
    /// Records what `model` answers in a new file at `path`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn new(model: Arc<dyn ChatModel>, path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|error| io(path, error))?;
        let recorder = Self {
            file: Arc::new(Mutex::new(file)),
            path: path.to_owned(),
            model,
        };
        let model = recorder.model.info().clone();
        write(&recorder.file, path, &Heading { v: 1, model })?;
        Ok(recorder)
    }
}

fn io(path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("recording {}", path.display()), error)
}

fn write(file: &Mutex<File>, path: &Path, line: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string(line).map_err(|error| io(path, error.into()))?;
    text.push('\n');
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.write_all(text.as_bytes())
        .map_err(|error| io(path, error))
}

impl ChatModel for Recorder {
    fn info(&self) -> &ChatModelInfo {
        self.model.info()
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.model.tokens()
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        self.model.prompt_tokens(request)
    }

    /// An answer is written down when its last event was taken: one that fails or is dropped is
    /// not.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let prompt_tokens = self.model.prompt_tokens(&request)?;
            let mut exchange = Some(Exchange {
                request: request.clone(),
                prompt_tokens,
                events: Vec::new(),
            });
            let (file, path) = (Arc::clone(&self.file), self.path.clone());
            let answer = self.model.stream(request).await?;
            let recorded = answer.map(move |event| {
                let event = event?;
                if let Some(exchange) = &mut exchange {
                    exchange.events.push(event.clone());
                }
                if matches!(event, ChatEvent::Finish { .. })
                    && let Some(exchange) = exchange.take()
                {
                    write(&file, &path, &exchange)?;
                }
                Ok(event)
            });
            Ok(recorded.boxed())
        })
    }
}

/// A chat model that answers what a recording holds, and nothing else.
///
/// A request that was recorded several times gets its answers in their order, the last one for
/// good.
pub struct Replay {
    info: ChatModelInfo,
    path: PathBuf,
    exchanges: Mutex<VecDeque<Exchange>>,
}

impl Replay {
    /// Opens the recording at `path`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or a line of it is none of a recording.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io(path, error))?;
        let mut lines = BufReader::new(file).lines();
        let heading: Heading = line(path, 1, lines.next())?.ok_or_else(|| {
            let subject = format!("recording {}", path.display());
            Error::new(ErrorKind::Malformed, subject, "it is empty")
        })?;
        let mut exchanges = VecDeque::new();
        for number in 2.. {
            match line(path, number, lines.next())? {
                Some(exchange) => exchanges.push_back(exchange),
                None => break,
            }
        }
        Ok(Self {
            info: heading.model,
            path: path.to_owned(),
            exchanges: Mutex::new(exchanges),
        })
    }

    fn unknown(&self, request: &ChatRequest) -> Error {
        let subject = format!("recording {}", self.path.display());
        let last = request.messages.last();
        let last: String = last.map_or("nothing".into(), |message| {
            message.content.chars().take(80).collect()
        });
        let cause = format!("it holds no request like the one that ends with `{last}`");
        Error::new(ErrorKind::NotFound, subject, cause).hint("record it anew")
    }
}

fn line<T: for<'a> Deserialize<'a>>(
    path: &Path,
    number: usize,
    line: Option<std::io::Result<String>>,
) -> Result<Option<T>> {
    let Some(line) = line else { return Ok(None) };
    let line = line.map_err(|error| io(path, error))?;
    let read = serde_json::from_str(&line).map_err(|error| {
        let subject = format!("recording {}", path.display());
        Error::new(
            ErrorKind::Malformed,
            subject,
            format!("line {number}: {error}"),
        )
    });
    read.map(Some)
}

impl ChatModel for Replay {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let exchanges = self.exchanges.lock();
        let exchanges = exchanges.unwrap_or_else(PoisonError::into_inner);
        let known = exchanges.iter().find(|known| known.request == *request);
        known
            .map(|known| known.prompt_tokens)
            .ok_or_else(|| self.unknown(request))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        let answer = || {
            let exchanges = self.exchanges.lock();
            let mut exchanges = exchanges.unwrap_or_else(PoisonError::into_inner);
            let is_it = |known: &Exchange| known.request == request;
            let at = exchanges.iter().position(is_it)?;
            let last = exchanges.iter().filter(|known| is_it(known)).count() == 1;
            match last {
                true => Some(exchanges[at].events.clone()),
                false => exchanges.remove(at).map(|exchange| exchange.events),
            }
        };
        let events = answer().ok_or_else(|| self.unknown(&request));
        Box::pin(async move { Ok(stream::iter(events?.into_iter().map(Ok)).boxed()) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::Message;
    use corbie_core::testing::ScriptedChatModel;
    use futures::executor::block_on;

    use super::*;

    fn ask(question: &str) -> ChatRequest {
        ChatRequest::new([Message::user(question)])
    }

    #[test]
    fn answers_come_again_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording.jsonl");
        let model =
            ScriptedChatModel::new(["在苔藓下。", "Moss.", "In a nest."].map(Message::assistant));
        let recorder = Recorder::new(Arc::new(model), &path).unwrap();
        let requests = [ask("哪里?"), ask("Where?"), ask("Where?")];
        let mut replies = Vec::new();
        for request in &requests {
            replies.push(block_on(recorder.complete(request.clone())).unwrap());
        }
        let replay = Replay::open(&path).unwrap();
        assert_eq!(replay.info(), recorder.info());
        for (request, reply) in requests.iter().zip(&replies) {
            assert_eq!(&block_on(replay.complete(request.clone())).unwrap(), reply);
        }
        let again = block_on(replay.complete(ask("Where?"))).unwrap();
        assert_eq!(again, replies[2], "the last one for good");
        let error = block_on(replay.complete(ask("Why?"))).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        assert!(error.to_string().contains("Why?"), "{error}");
    }

    #[test]
    fn damaged_recordings_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording.jsonl");
        let heading = r#"{"v":1,"model":{"model":"m","context_length":9}}"#;
        for (text, word) in [
            (String::new(), "empty"),
            ("{}\n".to_owned(), "line 1"),
            (format!("{heading}\nnonsense\n"), "line 2"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Replay::open(&path).err().unwrap();
            assert_eq!(error.kind(), &ErrorKind::Malformed);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
