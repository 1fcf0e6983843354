//! What scripted models say, and what they expect to be asked.

use std::borrow::Borrow;
use std::fmt;

use serde_json::Value;

use crate::{ChatRequest, Error, Message, Result, ToolCall};

/// An answer in words.
///
/// ```
/// use corbie_core::testing::says;
///
/// assert_eq!(says("北京晴。").content, "北京晴。");
/// ```
pub fn says(text: impl Into<String>) -> Message {
    Message::assistant(text)
}

/// An answer that calls one tool, under the id `c0`.
///
/// ```
/// use corbie_core::testing::call;
/// use serde_json::json;
///
/// let message = call("weather", json!({"city": "大理"}));
/// assert_eq!(message.tool_calls[0].arguments["city"], "大理");
/// ```
pub fn call(tool: &str, arguments: Value) -> Message {
    calls([(tool, arguments)])
}

/// An answer that calls several tools at once, under the ids `c0`, `c1` and so on.
///
/// ```
/// use corbie_core::testing::calls;
/// use serde_json::json;
///
/// let message = calls([
///     ("weather", json!({"city": "北京"})),
///     ("weather", json!({"city": "上海"})),
/// ]);
/// assert_eq!(message.tool_calls[1].id, "c1");
/// ```
pub fn calls<'a, Wanted>(wanted: impl IntoIterator<Item = Wanted>) -> Message
where
    Wanted: Borrow<(&'a str, Value)>,
{
    let call = |(index, wanted): (usize, Wanted)| {
        let (name, arguments): &(&'a str, Value) = wanted.borrow();
        ToolCall {
            id: format!("c{index}"),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
        }
    };
    Message {
        tool_calls: wanted.into_iter().enumerate().map(call).collect(),
        ..Message::assistant("")
    }
}

/// What is wrong with a request; `Ok`: nothing.
type Check = Box<dyn Fn(&ChatRequest) -> Result<(), String> + Send + Sync>;

/// One step of a script: what a model answers, and what it expects to be asked.
///
/// A message is a step without expectations, so is a text, and so is an error: a model that fails.
///
/// ```
/// use corbie_core::testing::{ScriptedChatModel, Step, call, says};
/// use corbie_core::{ChatModel, ChatRequest, Message};
/// use serde_json::json;
///
/// let model = ScriptedChatModel::new([
///     Step::from(call("weather", json!({"city": "Lima"}))).expects_last("Lima?"),
///     Step::from(says("Fog.")).expects_tools(["weather"]),
/// ]);
/// # futures::executor::block_on(async {
/// let request = ChatRequest::new([Message::user("The weather in Lima?")]);
/// model.complete(request.clone()).await?;
/// let error = model.complete(request).await.unwrap_err();
/// assert!(error.to_string().contains("no tools were offered, expected `weather`"), "{error}");
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
pub struct Step {
    pub(super) answer: Result<Message>,
    expects: Vec<Check>,
}

impl Step {
    /// The same, where exactly these tools are offered, in any order.
    #[must_use]
    pub fn expects_tools<Name: Into<String>>(self, names: impl IntoIterator<Item = Name>) -> Self {
        let mut wanted: Vec<String> = names.into_iter().map(Into::into).collect();
        wanted.sort();
        self.expects(move |request| {
            let mut offered: Vec<&str> = request.tools.iter().map(|it| it.name.as_str()).collect();
            offered.sort_unstable();
            match offered == wanted {
                true => Ok(()),
                false => Err(format!(
                    "{} were offered, expected {}",
                    list(&offered),
                    list(&wanted)
                )),
            }
        })
    }

    /// The same, where the last message holds this text.
    #[must_use]
    pub fn expects_last(self, text: impl Into<String>) -> Self {
        let text = text.into();
        self.expects(move |request| {
            let last = request.messages.last();
            match last.is_some_and(|last| last.content.contains(&text)) {
                true => Ok(()),
                false => Err(format!("{} does not hold `{text}`", last_of(request))),
            }
        })
    }

    /// The same, where `check` finds nothing wrong with the request; its error says what differs.
    #[must_use]
    pub fn expects(
        mut self,
        check: impl Fn(&ChatRequest) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.expects.push(Box::new(check));
        self
    }

    /// All that differs from what is expected.
    pub(super) fn misfits(&self, request: &ChatRequest) -> Vec<String> {
        let differs = self.expects.iter().filter_map(|check| check(request).err());
        differs.collect()
    }
}

impl From<Message> for Step {
    fn from(message: Message) -> Self {
        Self {
            answer: Ok(message),
            expects: Vec::new(),
        }
    }
}

impl From<Error> for Step {
    fn from(error: Error) -> Self {
        Self {
            answer: Err(error),
            expects: Vec::new(),
        }
    }
}

impl From<&str> for Step {
    fn from(text: &str) -> Self {
        says(text).into()
    }
}

impl From<String> for Step {
    fn from(text: String) -> Self {
        says(text).into()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("answer", &self.answer)
            .field("expectations", &self.expects.len())
            .finish()
    }
}

fn list(names: &[impl AsRef<str>]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|it| format!("`{}`", it.as_ref()))
        .collect();
    match names.is_empty() {
        true => "no tools".to_owned(),
        false => names.join(", "),
    }
}

/// The last message of a request, for people.
pub(super) fn last_of(request: &ChatRequest) -> String {
    const SHOWN: usize = 80;
    let Some(last) = request.messages.last() else {
        return "a request without messages".to_owned();
    };
    let mut text: String = last.content.chars().take(SHOWN).collect();
    if text.len() < last.content.len() {
        text.push('…');
    }
    format!("the last message ({:?}, `{text}`)", last.role)
}
