use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use serde::Serialize;

use super::{Count, Exchange, Heading, VERSION, compared, digest, subject};
use crate::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    Result, TokenCounter,
};

/// A chat model whose answers are written down, for [`Replay`](super::Replay).
///
/// ```
/// # futures::executor::block_on(async {
/// # #[cfg(feature = "testing")] {
/// use std::sync::Arc;
///
/// use corbie_core::record::{Recorder, Replay};
/// use corbie_core::testing::ScriptedChatModel;
/// use corbie_core::{ChatModel, ChatRequest, Message};
///
/// # let folder = std::env::temp_dir().join(format!("corbie-recorder-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// let path = folder.join("ravens.jsonl");
/// let model = Arc::new(ScriptedChatModel::new(["Under moss. 苔藓下。"]));
/// let request = ChatRequest::new([Message::user("Where do ravens cache food?")]);
/// let file = std::fs::File::create(&path).unwrap();
/// Recorder::new(model, "ravens", file)?.complete(request.clone()).await?;
///
/// let replay = Replay::new("ravens", &std::fs::read_to_string(&path).unwrap())?;
/// assert_eq!(replay.complete(request).await?.message.content, "Under moss. 苔藓下。");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # }
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Recorder {
    model: Arc<dyn ChatModel>,
    tape: Arc<Tape>,
}

/// Where the lines go.
struct Tape {
    name: String,
    out: Mutex<Out>,
}

struct Out {
    lines: Box<dyn Write + Send>,
    /// The requests whose length is written.
    counted: HashSet<String>,
}

impl Recorder {
    /// Records what `model` answers into `out`, line by line. Errors call the recording `name`.
    ///
    /// # Errors
    ///
    /// When nothing can be written there.
    pub fn new(
        model: Arc<dyn ChatModel>,
        name: impl Into<String>,
        out: impl Write + Send + 'static,
    ) -> Result<Self> {
        let out = Out {
            lines: Box::new(out),
            counted: HashSet::new(),
        };
        let tape = Tape {
            name: name.into(),
            out: Mutex::new(out),
        };
        let heading = Heading {
            v: VERSION,
            model: model.info().clone(),
        };
        tape.write(&mut tape.lock(), &heading)?;
        Ok(Self {
            model,
            tape: Arc::new(tape),
        })
    }
}

impl Tape {
    fn lock(&self) -> std::sync::MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, out: &mut Out, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(line).map_err(|error| self.unwritable(error))?;
        text.push('\n');
        let written = out.lines.write_all(text.as_bytes());
        let written = written.and_then(|()| out.lines.flush());
        written.map_err(|error| Error::io(subject(&self.name), error))
    }

    fn count(&self, request: &ChatRequest, prompt_tokens: usize) -> Result<()> {
        let counted = digest(&compared(request.clone())).map_err(|error| self.unwritable(error))?;
        let mut out = self.lock();
        match out.counted.insert(counted.clone()) {
            true => self.write(
                &mut out,
                &Count {
                    counted,
                    prompt_tokens,
                },
            ),
            false => Ok(()),
        }
    }

    fn unwritable(&self, error: serde_json::Error) -> Error {
        Error::new(ErrorKind::Internal, subject(&self.name), error)
    }
}

impl ChatModel for Recorder {
    fn info(&self) -> &ChatModelInfo {
        self.model.info()
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.model.tokens()
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let tokens = self.model.prompt_tokens(request)?;
        self.tape.count(request, tokens)?;
        Ok(tokens)
    }

    /// An answer is written down when its last event was taken: one that fails or is dropped is
    /// not.
    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let prompt_tokens = self.model.prompt_tokens(&request)?;
            let mut exchange = Some(Exchange {
                request: compared(request.clone()),
                prompt_tokens,
                events: Vec::new(),
            });
            let tape = Arc::clone(&self.tape);
            let answer = self.model.stream(request).await?;
            let recorded = answer.map(move |event| {
                let event = event?;
                if let Some(exchange) = &mut exchange {
                    exchange.events.push(event.clone());
                }
                if matches!(event, ChatEvent::Finish { .. })
                    && let Some(exchange) = exchange.take()
                {
                    tape.write(&mut tape.lock(), &exchange)?;
                }
                Ok(event)
            });
            Ok(recorded.boxed())
        })
    }
}
