use std::fmt;

use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    Result, TokenCounter,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::time::Instant;

use super::client::Remote;
use super::stream::{Assembler, Piece};
use super::{RemoteOptions, estimate, failure, request};

/// The context assumed where none is configured: what current models have at least.
const ASSUMED_CONTEXT: usize = 128_000;

/// A chat model behind an OpenAI-compatible service.
pub struct OpenAiChatModel {
    info: ChatModelInfo,
    remote: Remote,
}

impl OpenAiChatModel {
    /// The model that the options name; nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Offline`](ErrorKind::Offline) when the network may not be used,
    /// [`BadInput`](ErrorKind::BadInput) for an address that is none.
    pub fn new(options: RemoteOptions) -> Result<Self> {
        let info = ChatModelInfo {
            model: format!("{}:{}", options.provider, options.model),
            context_length: options.context_length.unwrap_or(ASSUMED_CONTEXT),
        };
        Ok(Self {
            info,
            remote: Remote::new(options)?,
        })
    }

    /// Refuses what cannot fit even if the estimate is twice too high; the service judges the
    /// rest.
    fn check_context(&self, tokens: usize) -> Result<()> {
        match self.remote.options.context_length {
            Some(limit) if tokens / 2 > limit => Err(Error::new(
                ErrorKind::ContextTooLong { tokens, limit },
                self.remote.options.subject(),
                format!("the prompt has about {tokens} tokens, the context holds {limit}"),
            )
            .hint("shorten the conversation or take fewer passages")),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for OpenAiChatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiChatModel")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl ChatModel for OpenAiChatModel {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        Ok(estimate::of_request(request))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let deadline = Deadline::of(&request);
            let body = request::body(&self.remote.options, &request)?;
            let tokens = estimate::of_request(&request);
            self.check_context(tokens)?;
            let earlier_calls = request.messages.iter().map(|m| m.tool_calls.len()).sum();
            let chat = self.remote.client.chat();
            let attempts = self
                .remote
                .retry(|| chat.create_stream_byot::<_, Piece>(&body));
            let late = || too_late(&self.remote);
            let pieces = deadline.hold(attempts).await.ok_or_else(late)??;
            let assembler = Assembler::new(earlier_calls, tokens);
            let remote = self.remote.clone();
            Ok(events(remote, pieces.boxed(), assembler, deadline))
        })
    }
}

/// When an answer must be whole; `None`: it takes as long as it takes.
#[derive(Clone, Copy)]
struct Deadline(Option<Instant>);

impl Deadline {
    fn of(request: &ChatRequest) -> Self {
        // A time beyond what a clock can say is none.
        let after = |timeout| Instant::now().checked_add(timeout);
        Self(request.timeout.and_then(after))
    }

    /// What comes in time.
    async fn hold<F: Future>(self, future: F) -> Option<F::Output> {
        match self.0 {
            Some(deadline) => tokio::time::timeout_at(deadline, future).await.ok(),
            None => Some(future.await),
        }
    }
}

fn too_late(remote: &Remote) -> Error {
    let cause = "the answer took longer than the request allows";
    Error::new(ErrorKind::LimitExceeded, remote.options.subject(), cause)
        .hint("allow more time, or ask for fewer tokens")
}

/// Turns pieces into events. Dropping it drops the pieces, which closes the connection.
fn events(
    remote: Remote,
    pieces: BoxStream<'static, std::result::Result<Piece, async_openai::error::OpenAIError>>,
    assembler: Assembler,
    deadline: Deadline,
) -> ChatStream {
    let state = Some((pieces, assembler));
    let batches = stream::unfold(state, move |state| {
        let remote = remote.clone();
        async move {
            let (mut pieces, mut assembler) = state?;
            let batch = match deadline.hold(pieces.next()).await {
                Some(Some(Ok(piece))) => assembler.push(&remote.options, piece),
                Some(Some(Err(error))) => Err(failure::sort(&remote.options, error)),
                Some(None) => return Some((batch(assembler.finish(&remote.options)), None)),
                None => Err(too_late(&remote)),
            };
            let rest = batch.is_ok().then_some((pieces, assembler));
            Some((self::batch(batch), rest))
        }
    });
    batches.flat_map(stream::iter).boxed()
}

/// Several events, or the one error that ends the stream.
fn batch(outcome: Result<Vec<ChatEvent>>) -> Vec<Result<ChatEvent>> {
    match outcome {
        Ok(events) => events.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}
