use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use futures::{StreamExt, stream};

use super::difference::{self, differences};
use super::{Exchange, Heading, Line, VERSION, compared, digest, subject};
use crate::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind,
    Result, TokenCounter,
};

/// The most differences from a recorded request that an error lists.
const MAX_DIFFERENCES: usize = 3;

/// A chat model that answers what a recording holds, and nothing else.
///
/// A request that was recorded several times gets its answers in their order, the last one for
/// good. One that was not is an error that says what differs from the recorded request that is
/// most like it. What the recorded model counted is counted the same, so what an agent fits into
/// its context fits the same; it has no token counter of its own.
///
/// ```
/// use corbie_core::record::Replay;
/// use corbie_core::{ChatModel, ChatRequest, Message};
///
/// // In a test: `include_str!("ravens.jsonl")`.
/// let recording = concat!(
///     r#"{"v":1,"model":{"model":"tiny","context_length":512}}"#,
///     "\n",
///     r#"{"request":{"messages":[{"role":"user","content":"哪里？"}]},"prompt_tokens":5,"#,
///     r#""events":[{"text":"苔藓下。"},{"finish":{"reason":"stop","usage":"#,
///     r#"{"prompt_tokens":5,"cached_tokens":0,"completion_tokens":4}}}]}"#,
/// );
/// let replay = Replay::new("ravens", recording)?;
/// let ask = |text: &str| ChatRequest::new([Message::user(text)]);
/// # futures::executor::block_on(async {
/// assert_eq!(replay.complete(ask("哪里？")).await?.message.content, "苔藓下。");
/// let error = replay.complete(ask("哪儿？")).await.unwrap_err();
/// assert!(error.to_string().contains("message 1 (user) was `哪里？`, now `哪儿？`"), "{error}");
/// # Ok::<(), corbie_core::Error>(())
/// # })?;
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct Replay {
    info: ChatModelInfo,
    name: String,
    exchanges: Vec<Exchange>,
    /// How many tokens requests have that were counted, by their digest.
    counts: HashMap<String, usize>,
    /// Which exchanges were given already.
    given: Mutex<Vec<bool>>,
}

impl Replay {
    /// Answers from a recording's text. Errors call the recording `name`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when a line of it is none of a recording.
    pub fn new(name: impl Into<String>, text: &str) -> Result<Self> {
        let name = name.into();
        let malformed =
            |cause: String| Err(Error::new(ErrorKind::Malformed, subject(&name), cause));
        let mut lines = text.lines().zip(1..);
        let heading = match lines.next() {
            Some((line, _)) => serde_json::from_str::<Heading>(line),
            None => return malformed("it is empty".to_owned()),
        };
        let info = match heading {
            Ok(heading) if heading.v == VERSION => heading.model,
            Ok(heading) => return malformed(format!("its version {} is not known", heading.v)),
            Err(error) => return malformed(format!("line 1: {error}")),
        };
        let (mut exchanges, mut counts) = (Vec::new(), HashMap::new());
        for (line, number) in lines {
            match serde_json::from_str(line) {
                Ok(Line::Exchange(mut exchange)) => {
                    exchange.request = compared(exchange.request);
                    exchanges.push(*exchange);
                }
                Ok(Line::Count(count)) => {
                    counts.insert(count.counted, count.prompt_tokens);
                }
                Err(error) => {
                    let cause = format!("line {number} is neither an answer nor a count: {error}");
                    return malformed(cause);
                }
            }
        }
        Ok(Self {
            given: Mutex::new(vec![false; exchanges.len()]),
            info,
            name,
            exchanges,
            counts,
        })
    }

    /// The next answer to this request.
    fn answer(&self, request: &ChatRequest) -> Option<Vec<ChatEvent>> {
        let is_it = |at: &usize| self.exchanges[*at].request == *request;
        let all: Vec<usize> = (0..self.exchanges.len()).filter(is_it).collect();
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = all.iter().find(|at| !given[**at]);
        let at = *fresh.or(all.last())?;
        given[at] = true;
        Some(self.exchanges[at].events.clone())
    }

    /// Says what differs from the recorded request that is most like this one.
    fn unknown(&self, request: &ChatRequest) -> Error {
        let distance = |exchange: &&Exchange| difference::distance(&exchange.request, request);
        let nearest = self.exchanges.iter().min_by_key(distance);
        let cause = match nearest {
            None => "it holds no answers".to_owned(),
            Some(nearest) => {
                let is_it = |exchange: &Exchange| std::ptr::eq(exchange, nearest);
                let number = self.exchanges.iter().position(is_it).map_or(0, |at| at + 1);
                let mut found = differences(&nearest.request, request);
                let more = found.len().saturating_sub(MAX_DIFFERENCES);
                found.truncate(MAX_DIFFERENCES);
                if more > 0 {
                    found.push(format!("and {more} more"));
                }
                format!(
                    "this request is not in it; of the most like one, request {number} of {}, {}",
                    self.exchanges.len(),
                    found.join("; ")
                )
            }
        };
        Error::new(ErrorKind::NotFound, subject(&self.name), cause)
            .hint("undo the change, or record it anew")
    }
}

impl ChatModel for Replay {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        None
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let request = compared(request.clone());
        let asked = self.exchanges.iter().find(|it| it.request == request);
        if let Some(exchange) = asked {
            return Ok(exchange.prompt_tokens);
        }
        let counted = digest(&request).ok();
        let counted = counted.and_then(|digest| self.counts.get(&digest));
        counted.copied().ok_or_else(|| self.unknown(&request))
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        let request = compared(request);
        let events = self.answer(&request).ok_or_else(|| self.unknown(&request));
        Box::pin(async move { Ok(stream::iter(events?.into_iter().map(Ok)).boxed()) })
    }
}
