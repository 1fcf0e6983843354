use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use futures::StreamExt;

use super::WordCounter;
use super::script::{Step, last_of};
use crate::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    FinishReason, Message, Result, TokenCounter, Usage,
};

type Answers = Box<dyn Fn(usize, &ChatRequest) -> Step + Send + Sync>;

/// A chat model that says what it is told, in order, and remembers what it was asked.
///
/// ```
/// use corbie_core::{ChatModel, ChatRequest, Message, testing::ScriptedChatModel};
///
/// let model = ScriptedChatModel::new(["Under moss [1]."]);
/// let request = ChatRequest::new([Message::user("Where?")]);
/// let reply = futures::executor::block_on(model.complete(request))?;
/// assert_eq!(reply.message.content, "Under moss [1].");
/// assert_eq!(model.requests().len(), 1);
/// model.assert_done();
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct ScriptedChatModel {
    info: ChatModelInfo,
    counter: WordCounter,
    /// Answers by a function where there is one, not by the steps.
    answers: Option<Answers>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    steps: VecDeque<Step>,
    requests: Vec<ChatRequest>,
    /// What went against the script.
    wrong: Vec<String>,
}

impl ScriptedChatModel {
    /// A model that goes through these steps (messages, texts, errors), one after the other, in a
    /// context of 4,096 words.
    pub fn new<S: Into<Step>>(steps: impl IntoIterator<Item = S>) -> Self {
        let state = State {
            steps: steps.into_iter().map(Into::into).collect(),
            ..State::default()
        };
        Self {
            info: ChatModelInfo {
                model: "scripted".into(),
                context_length: 4096,
            },
            counter: WordCounter { limit: 4096 },
            answers: None,
            state: Mutex::new(state),
        }
    }

    /// A model whose answer follows from how often it was asked before and from what it is asked.
    ///
    /// ```
    /// use corbie_core::testing::{ScriptedChatModel, says};
    /// use corbie_core::{ChatModel, ChatRequest, Message};
    ///
    /// let model = ScriptedChatModel::answering(|before, request| {
    ///     says(format!("{before}: {}", request.messages[0].content))
    /// });
    /// let request = ChatRequest::new([Message::user("回声")]);
    /// let reply = futures::executor::block_on(model.complete(request))?;
    /// assert_eq!(reply.message.content, "0: 回声");
    /// # Ok::<(), corbie_core::Error>(())
    /// ```
    pub fn answering<S: Into<Step>>(
        answer: impl Fn(usize, &ChatRequest) -> S + Send + Sync + 'static,
    ) -> Self {
        Self {
            answers: Some(Box::new(move |before, request| {
                answer(before, request).into()
            })),
            ..Self::new(std::iter::empty::<Step>())
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
        self.state.lock().unwrap().requests.clone()
    }

    /// Checks that the whole script was asked for, and nothing against it or behind it.
    ///
    /// # Panics
    ///
    /// With what differs.
    #[track_caller]
    pub fn assert_done(&self) {
        let state = self.state.lock().unwrap();
        let (wrong, left) = (&state.wrong, state.steps.len());
        assert!(wrong.is_empty(), "model `scripted`: {}", wrong.join("\n"));
        assert!(
            left == 0,
            "model `scripted`: nobody asked for the last {left} replies"
        );
    }

    /// What is answered to a request, which is kept.
    fn answer(&self, request: ChatRequest) -> Result<Message> {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.clone());
        let number = state.requests.len();
        let next = state.steps.pop_front();
        // A function may look at the model, whose lock it must not find held.
        drop(state);
        let step = match &self.answers {
            Some(answer) => Some(answer(number - 1, &request)),
            None => next,
        };
        let Some(step) = step else {
            let cause = format!(
                "the script has {} replies, and request {number} asks for one more; {}",
                number - 1,
                last_of(&request)
            );
            return Err(self.refuse(ErrorKind::NotFound, cause));
        };
        let misfits = step.misfits(&request);
        if !misfits.is_empty() {
            let differs = misfits.join("; ");
            let cause = format!("request {number} is not as the script expects: {differs}");
            return Err(self.refuse(ErrorKind::Mismatch, cause));
        }
        step.answer
    }

    fn refuse(&self, kind: ErrorKind, cause: String) -> Error {
        self.state.lock().unwrap().wrong.push(cause.clone());
        Error::new(kind, "model `scripted`", cause).hint("mend the script, or what is asked")
    }
}

impl fmt::Debug for ScriptedChatModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedChatModel")
            .field("info", &self.info)
            .field("state", &self.state)
            .finish_non_exhaustive()
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
            let reply = self.answer(request)?;
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

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use serde_json::json;

    use super::super::{call, says};
    use super::*;

    fn ask(model: &ScriptedChatModel, text: &str) -> Result<Message> {
        let request = ChatRequest::new([Message::user(text)]);
        block_on(model.complete(request)).map(|reply| reply.message)
    }

    #[test]
    fn what_has_no_reply_is_named() {
        let model = ScriptedChatModel::new(["一", "two"]);
        assert_eq!(ask(&model, "?").unwrap(), says("一"));
        assert_eq!(ask(&model, "?").unwrap(), says("two"));
        let error = ask(&model, "再来一个").unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::NotFound);
        for word in ["2 replies", "request 3", "User", "再来一个"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn steps_say_what_differs_from_what_they_expect() {
        let step = || {
            let step = Step::from(call("weather", json!({}))).expects_last("大理");
            step.expects(|request| match request.max_tokens {
                Some(_) => Ok(()),
                None => Err("no limit of tokens".into()),
            })
        };
        let model = ScriptedChatModel::new([step(), step()]);
        let request = ChatRequest {
            max_tokens: Some(9),
            ..ChatRequest::new([Message::user("大理的天气？")])
        };
        assert_eq!(
            block_on(model.complete(request))
                .unwrap()
                .message
                .tool_calls
                .len(),
            1
        );
        let error = ask(&model, "丽江的天气？").unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Mismatch);
        for word in ["request 2", "丽江的天气？", "`大理`", "no limit of tokens"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_script_may_hold_failures_and_must_be_used_up() {
        let down = Error::new(ErrorKind::Unavailable, "model", "it is down");
        let model = ScriptedChatModel::new([Step::from(down), "up".into()]);
        assert!(ask(&model, "?").unwrap_err().is_retryable());
        let unused = std::panic::AssertUnwindSafe(|| model.assert_done());
        assert!(std::panic::catch_unwind(unused).is_err());
    }
}
