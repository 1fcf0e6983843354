//! Tools for models whose service or template knows none.

mod prompt;
mod reader;

use std::collections::VecDeque;
use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatReply, ChatRequest, ChatStream, Error,
    ErrorKind, FinishReason, ResponseFormat, Result, Role, TokenCounter, ToolCall, ToolChoice,
    ToolSpec,
};
use futures::StreamExt;
use serde_json::Value;

use reader::Reader;

/// A chat model that calls tools by writing `Thought:`, `Action:` and `Action Input:` in plain
/// text, and reads results as `Observation:` (ReAct, arXiv 2210.03629; in Chinese 思考、行动、
/// 行动输入、观察).
///
/// It is for models behind services without a field for tools. Local models need none of it: they
/// write the calls of their own family, or a plain form, under a grammar.
///
/// | a request with | becomes |
/// |---|---|
/// | no tools | itself |
/// | tools | instructions and examples of the form; thoughts stream as [`ChatEvent::Reasoning`], what follows `Final Answer:` as text |
/// | a required or named tool | a request for JSON, where the model can be held to a schema |
/// | tools and a form of the answer | [`ErrorKind::Unsupported`]: `Validated` asks for the form in words then |
///
/// The text of an observation is never taken from the model: its answer ends where it begins one.
/// Lines of people and tools that look like the form are quoted with `>`, so they stay text.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Agent, plan::ReAct};
/// use corbie_core::{Message, testing::ScriptedChatModel};
///
/// let model = ScriptedChatModel::new([Message::assistant("Thought: easy\nFinal Answer: 5")]);
/// let agent = Agent::new(Arc::new(ReAct::new(Arc::new(model))));
/// ```
#[derive(Clone)]
pub struct ReAct {
    inner: Arc<dyn ChatModel>,
}

impl ReAct {
    /// A model that writes calls as text.
    pub fn new(inner: Arc<dyn ChatModel>) -> Self {
        Self { inner }
    }
}

/// What becomes of a request.
enum Plan {
    /// It is asked as it is.
    Plain(ChatRequest),
    /// The answer is read as ReAct; without tools no call is taken from it.
    Read(ChatRequest, Vec<ToolSpec>),
    /// The answer is a call as JSON.
    Call(ChatRequest),
}

impl Plan {
    fn of(mut request: ChatRequest) -> Result<Self> {
        let spoken = |message: &corbie_core::Message| {
            message.role == Role::Tool || !message.tool_calls.is_empty()
        };
        if request.tools.is_empty() && !request.messages.iter().any(spoken) {
            return Ok(Self::Plain(request));
        }
        let choice = std::mem::take(&mut request.tool_choice);
        let mut tools = std::mem::take(&mut request.tools);
        match choice {
            ToolChoice::None => tools.clear(),
            ToolChoice::Named(name) => {
                tools.retain(|tool| tool.name == name);
                if tools.is_empty() {
                    let cause = "no tool of the request has this name";
                    let subject = format!("tool choice `{name}`");
                    return Err(Error::new(ErrorKind::BadInput, subject, cause));
                }
                return Self::call(request, &tools);
            }
            ToolChoice::Required if !tools.is_empty() => return Self::call(request, &tools),
            ToolChoice::Required | ToolChoice::Auto => {}
        }
        prompt::rewrite(&mut request, &tools);
        if request.response_format != ResponseFormat::Text {
            if tools.is_empty() {
                return Ok(Self::Plain(request));
            }
            let cause = "an answer in a form and tools do not go together";
            return Err(
                Error::new(ErrorKind::Unsupported, "ReAct", cause).hint("wrap it in `Validated`")
            );
        }
        Ok(Self::Read(request, tools))
    }

    fn call(mut request: ChatRequest, tools: &[ToolSpec]) -> Result<Self> {
        request.response_format = prompt::call_format(&mut request, tools);
        Ok(Self::Call(request))
    }

    fn request(&self) -> &ChatRequest {
        match self {
            Self::Plain(request) | Self::Read(request, _) | Self::Call(request) => request,
        }
    }
}

impl ChatModel for ReAct {
    fn info(&self) -> &ChatModelInfo {
        self.inner.info()
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.inner.tokens()
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let plan = Plan::of(request.clone())?;
        self.inner.prompt_tokens(plan.request())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let calls = request.messages.iter().map(|it| it.tool_calls.len()).sum();
            let parallel = request.parallel_tool_calls;
            match Plan::of(request)? {
                Plan::Plain(request) => self.inner.stream(request).await,
                Plan::Call(request) => Ok(one_call(self.inner.stream(request).await?, calls)),
                Plan::Read(request, tools) => {
                    let most = match (tools.is_empty(), parallel) {
                        (true, _) => 0,
                        (false, true) => usize::MAX,
                        (false, false) => 1,
                    };
                    let reader = Reader::new(tools, calls, most);
                    Ok(read(self.inner.stream(request).await?, reader))
                }
            }
        })
    }
}

/// The events of an answer, as the reader makes them out.
fn read(stream: ChatStream, reader: Reader) -> ChatStream {
    let state = (stream, reader, VecDeque::new());
    futures::stream::try_unfold(state, |(mut stream, mut reader, mut ready)| async move {
        loop {
            if let Some(event) = ready.pop_front() {
                return Ok(Some((event, (stream, reader, ready))));
            }
            match stream.next().await.transpose()? {
                Some(ChatEvent::Text(text)) => ready.extend(reader.push(&text)),
                Some(ChatEvent::Finish { reason, usage }) => {
                    let (events, called) = reader.finish(reason);
                    ready.extend(events);
                    let reason = match called {
                        true => FinishReason::ToolCalls,
                        false => reason,
                    };
                    ready.push_back(ChatEvent::Finish { reason, usage });
                }
                Some(other) => return Ok(Some((other, (stream, reader, ready)))),
                None => return Ok(None),
            }
        }
    })
    .boxed()
}

/// The call that an answer is, as JSON.
fn one_call(stream: ChatStream, before: usize) -> ChatStream {
    let events = async move {
        let reply = ChatReply::fold(stream).await?;
        let text = reply.message.content;
        let parsed: Value = serde_json::from_str(text.trim()).unwrap_or_default();
        let Some(name) = parsed["name"].as_str() else {
            let cause = "the model wrote no call where one was required";
            return Err(Error::new(ErrorKind::Malformed, "ReAct", cause));
        };
        let call = ToolCall {
            id: format!("call_{before}"),
            name: name.to_owned(),
            arguments: parsed["arguments"].clone(),
        };
        let thought = reply.message.reasoning.map(ChatEvent::Reasoning);
        let finish = ChatEvent::Finish {
            reason: FinishReason::ToolCalls,
            usage: reply.usage,
        };
        let events = thought
            .into_iter()
            .chain([ChatEvent::ToolCall(call), finish]);
        Ok(futures::stream::iter(
            events.map(Ok).collect::<Vec<Result<_>>>(),
        ))
    };
    futures::stream::once(events)
        .flat_map(|events| match events {
            Ok(events) => events.boxed(),
            Err(error) => futures::stream::once(async { Err(error) }).boxed(),
        })
        .boxed()
}
