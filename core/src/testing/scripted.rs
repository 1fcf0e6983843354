use std::collections::VecDeque;
use std::sync::Mutex;

use futures::StreamExt;

use super::WordCounter;
use crate::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    FinishReason, Message, Result, TokenCounter, Usage,
};

/// A chat model that says what it is told, in order, and remembers what it was asked.
///
/// ```
/// use corbie_core::{ChatModel, ChatRequest, Message, testing::ScriptedChatModel};
///
/// let model = ScriptedChatModel::new([Message::assistant("Under moss [1].")]);
/// let request = ChatRequest::new([Message::user("Where?")]);
/// let reply = futures::executor::block_on(model.complete(request))?;
/// assert_eq!(reply.message.content, "Under moss [1].");
/// assert_eq!(model.requests().len(), 1);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ScriptedChatModel {
    info: ChatModelInfo,
    counter: WordCounter,
    replies: Mutex<VecDeque<Message>>,
    requests: Mutex<Vec<ChatRequest>>,
}

impl ScriptedChatModel {
    /// A model that answers with `replies`, one after the other, in a context of 4,096 words.
    pub fn new(replies: impl IntoIterator<Item = Message>) -> Self {
        Self {
            info: ChatModelInfo {
                model: "scripted".into(),
                context_length: 4096,
            },
            counter: WordCounter { limit: 4096 },
            replies: Mutex::new(replies.into_iter().collect()),
            requests: Mutex::default(),
        }
    }

    /// The same with another context length.
    #[must_use]
    pub fn with_context_length(mut self, words: usize) -> Self {
        self.info.context_length = words;
        self.counter.limit = words;
        self
    }

    /// What it was asked so far.
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.requests.lock().unwrap().clone()
    }
}

impl ChatModel for ScriptedChatModel {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        Some(&self.counter)
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let count = |message: &Message| self.counter.count(&message.content);
        Ok(request.messages.iter().map(count).sum())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            request.sampling.validate()?;
            let tokens = self.prompt_tokens(&request)?;
            let limit = self.info.context_length;
            if tokens > limit {
                return Err(Error::new(
                    ErrorKind::ContextTooLong { tokens, limit },
                    "model `scripted`",
                    format!("the prompt has {tokens} tokens, the context holds {limit}"),
                ));
            }
            self.requests.lock().unwrap().push(request);
            let reply = self.replies.lock().unwrap().pop_front().ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "model `scripted`",
                    "the script has no more replies",
                )
            })?;
            Ok(futures::stream::iter(events(reply, tokens)).map(Ok).boxed())
        })
    }
}

/// A reply as a stream: text word by word, then the calls, then the end.
fn events(reply: Message, prompt_tokens: usize) -> Vec<ChatEvent> {
    let mut events: Vec<ChatEvent> = reply
        .reasoning
        .map(ChatEvent::Reasoning)
        .into_iter()
        .collect();
    let words = reply.content.split_inclusive(' ').map(str::to_owned);
    events.extend(words.map(ChatEvent::Text));
    let reason = match reply.tool_calls.is_empty() {
        true => FinishReason::Stop,
        false => FinishReason::ToolCalls,
    };
    let usage = Usage {
        prompt_tokens,
        cached_tokens: 0,
        completion_tokens: events.len() + reply.tool_calls.len(),
    };
    events.extend(reply.tool_calls.into_iter().map(ChatEvent::ToolCall));
    events.push(ChatEvent::Finish { reason, usage });
    events
}
