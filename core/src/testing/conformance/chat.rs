use std::fmt;

use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{
    BoxFuture, ChatEvent, ChatModel, ChatReply, ChatRequest, Error, ErrorKind, FinishReason,
    Message, ResponseFormat, Sampling, ToolChoice, ToolSpec,
};

/// The laws of [`ChatModel`]: those behaviours of [`chat_model_behaviours`] that every model must
/// have, and of the others those that the model does not refuse as unsupported.
///
/// The model must answer a few dozen requests, greedily the same each time.
///
/// # Panics
///
/// With the laws that are broken.
pub async fn chat_model(model: &dyn ChatModel) {
    let behaviours = chat_model_behaviours(model).await;
    let broken: Vec<_> = behaviours
        .iter()
        .filter(|it| it.breaks_the_law())
        .map(ToString::to_string)
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// One thing that a chat model may or must do, and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// What it does.
    pub name: &'static str,
    /// Whether every model must.
    pub required: bool,
    /// What was found.
    pub finding: Finding,
}

/// What a model was found to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// It does.
    Kept,
    /// It says that it cannot.
    Unsupported(String),
    /// It does not.
    Broken(String),
}

impl Behaviour {
    /// Whether it was promised and not kept.
    pub fn breaks_the_law(&self) -> bool {
        match self.finding {
            Finding::Kept => false,
            Finding::Unsupported(_) => self.required,
            Finding::Broken(_) => true,
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.finding {
            Finding::Kept => write!(f, "yes  {}", self.name),
            Finding::Unsupported(why) => write!(f, "no   {}: {why}", self.name),
            Finding::Broken(why) => write!(f, "BAD  {}: {why}", self.name),
        }
    }
}

/// Tries every behaviour that a [`ChatModel`] may have, one after the other, and says which it
/// has: print them to get to know a model.
pub async fn chat_model_behaviours(model: &dyn ChatModel) -> Vec<Behaviour> {
    let mut behaviours = Vec::new();
    for (name, required, check) in CHECKS {
        let finding = match check(model).await {
            Ok(()) => Finding::Kept,
            Err(Trouble::Refused(error)) if error.kind() == &ErrorKind::Unsupported => {
                Finding::Unsupported(error.to_string())
            }
            Err(Trouble::Refused(error)) => Finding::Broken(error.to_string()),
            Err(Trouble::Broken(why)) => Finding::Broken(why),
        };
        behaviours.push(Behaviour {
            name,
            required: *required,
            finding,
        });
    }
    behaviours
}

enum Trouble {
    Refused(Error),
    Broken(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

type Check = for<'a> fn(&'a dyn ChatModel) -> BoxFuture<'a, Result<(), Trouble>>;

/// What is tried, and whether every model must do it.
const CHECKS: &[(&str, bool, Check)] = &[
    ("one finish event ends a stream", true, |m| {
        Box::pin(finishes(m))
    }),
    ("streamed and whole answers agree", true, |m| {
        Box::pin(agrees(m))
    }),
    ("`max_tokens` holds", true, |m| Box::pin(limits(m))),
    ("a prompt costs what was announced", true, |m| {
        Box::pin(announces(m))
    }),
    ("a dropped stream leaves the model whole", true, |m| {
        Box::pin(drops(m))
    }),
    ("options out of range are refused", true, |m| {
        Box::pin(refuses_nonsense(m))
    }),
    (
        "an overfull context is refused with the numbers",
        true,
        |m| Box::pin(refuses_length(m)),
    ),
    ("requests side by side are answered as alone", true, |m| {
        Box::pin(side_by_side(m))
    }),
    ("stop texts end an answer and never show", true, |m| {
        Box::pin(stops(m))
    }),
    ("a seed repeats an answer", false, |m| Box::pin(seeds(m))),
    ("an answer is JSON by a schema", false, |m| {
        Box::pin(writes_json(m))
    }),
    ("an answer is one of several", false, |m| {
        Box::pin(chooses(m))
    }),
    ("an answer follows a regular expression", false, |m| {
        Box::pin(follows_regex(m))
    }),
    ("an answer quotes a text word for word", false, |m| {
        Box::pin(quotes(m))
    }),
    ("a required tool is called", false, |m| {
        Box::pin(calls_required(m))
    }),
    ("a named tool is called", false, |m| {
        Box::pin(calls_named(m))
    }),
    ("no tool is called when none may be", false, |m| {
        Box::pin(calls_none(m))
    }),
];

fn question() -> ChatRequest {
    ChatRequest {
        max_tokens: Some(12),
        ..ChatRequest::new([Message::user("Say where ravens live. 乌鸦住在哪里?")])
    }
}

fn broken<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Broken(why.into()))
}

fn hold(law: bool, why: impl FnOnce() -> String) -> Result<(), Trouble> {
    if law { Ok(()) } else { broken(why()) }
}

async fn events(model: &dyn ChatModel, request: ChatRequest) -> Result<Vec<ChatEvent>, Trouble> {
    let mut stream = model.stream(request).await?;
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event?);
    }
    Ok(events)
}

async fn finishes(model: &dyn ChatModel) -> Result<(), Trouble> {
    let events = events(model, question()).await?;
    let is_finish = |event: &&ChatEvent| matches!(event, ChatEvent::Finish { .. });
    let count = events.iter().filter(is_finish).count();
    let last = events.last().is_some_and(|event| is_finish(&event));
    hold(count == 1 && last, || {
        format!("{count} finish events in {events:?}")
    })
}

async fn agrees(model: &dyn ChatModel) -> Result<(), Trouble> {
    let whole = model.complete(question()).await?;
    let events = events(model, question()).await?;
    let replay = futures::stream::iter(events.into_iter().map(Ok)).boxed();
    let folded = ChatReply::fold(replay).await?;
    let same = folded.message == whole.message && folded.finish_reason == whole.finish_reason;
    hold(same, || format!("{folded:?} streamed, {whole:?} whole"))
}

async fn limits(model: &dyn ChatModel) -> Result<(), Trouble> {
    let written = model.complete(question()).await?.usage.completion_tokens;
    hold(written <= 12, || format!("{written} tokens of 12"))
}

async fn announces(model: &dyn ChatModel) -> Result<(), Trouble> {
    let announced = model.prompt_tokens(&question())?;
    let cost = model.complete(question()).await?.usage.prompt_tokens;
    // Without a tokenizer at hand the announced cost is an estimate.
    let right = match model.tokens() {
        Some(_) => announced == cost,
        None => announced > 0,
    };
    hold(right, || format!("{announced} announced, {cost} counted"))
}

async fn drops(model: &dyn ChatModel) -> Result<(), Trouble> {
    let before = model.complete(question()).await?;
    for read in 0..3 {
        let stream = model.stream(question()).await?;
        let events: Vec<_> = stream.take(read).collect().await;
        if let Some(Err(error)) = events.into_iter().find(Result::is_err) {
            return Err(error.into());
        }
    }
    let after = model.complete(question()).await?;
    let same = after.message == before.message;
    hold(same, || format!("{after:?} after, {before:?} before"))
}

async fn refused(
    model: &dyn ChatModel,
    request: ChatRequest,
    is_right: fn(&ErrorKind) -> bool,
) -> Result<(), Trouble> {
    match model.stream(request).await {
        Ok(_) => broken("accepted"),
        Err(error) => hold(is_right(error.kind()), || format!("refused with {error:?}")),
    }
}

async fn refuses_nonsense(model: &dyn ChatModel) -> Result<(), Trouble> {
    let nonsense = ChatRequest {
        sampling: Sampling {
            temperature: f32::NAN,
            ..Sampling::default()
        },
        ..question()
    };
    refused(model, nonsense, |kind| kind == &ErrorKind::BadInput).await
}

async fn refuses_length(model: &dyn ChatModel) -> Result<(), Trouble> {
    let endless = "raven crow ".repeat(model.info().context_length);
    let request = ChatRequest::new([Message::user(endless)]);
    let with_numbers = |kind: &ErrorKind| matches!(kind, ErrorKind::ContextTooLong { tokens, limit } if tokens > limit);
    refused(model, request, with_numbers).await
}

async fn side_by_side(model: &dyn ChatModel) -> Result<(), Trouble> {
    let ask = |word: &str| ChatRequest {
        max_tokens: Some(12),
        ..ChatRequest::new([Message::user(format!("Say {word}. 说“{word}”。"))])
    };
    let words = ["raven", "乌鸦", "moss"];
    let together = join_all(words.map(|word| model.complete(ask(word)))).await;
    for (word, reply) in words.into_iter().zip(together) {
        let (reply, alone) = (reply?, model.complete(ask(word)).await?);
        hold(reply.message == alone.message, || {
            format!("{:?} together, {:?} alone", reply.message, alone.message)
        })?;
    }
    Ok(())
}

async fn stops(model: &dyn ChatModel) -> Result<(), Trouble> {
    let whole = model.complete(question()).await?.message.content;
    let middle: String = whole.chars().skip(1).take(2).collect();
    if middle.chars().count() < 2 {
        return Ok(());
    }
    let request = ChatRequest {
        stop: vec![middle.clone()],
        ..question()
    };
    let reply = model.complete(request).await?;
    let right = !reply.message.content.contains(&middle)
        && reply.finish_reason == FinishReason::Stop
        && whole.starts_with(&reply.message.content);
    hold(right, || {
        format!("{reply:?} stopped at {middle:?} of {whole:?}")
    })
}

async fn seeds(model: &dyn ChatModel) -> Result<(), Trouble> {
    let request = ChatRequest {
        sampling: Sampling {
            temperature: 1.0,
            seed: Some(7),
            ..Sampling::default()
        },
        ..question()
    };
    let first = model.complete(request.clone()).await?.message;
    let second = model.complete(request).await?.message;
    hold(first == second, || format!("{first:?}, then {second:?}"))
}

/// The text of an answer in this form.
async fn formed(
    model: &dyn ChatModel,
    format: ResponseFormat,
    max_tokens: usize,
) -> Result<String, Trouble> {
    let request = ChatRequest {
        response_format: format,
        max_tokens: Some(max_tokens),
        ..question()
    };
    Ok(model.complete(request).await?.message.content)
}

async fn writes_json(model: &dyn ChatModel) -> Result<(), Trouble> {
    let schema = json!({
        "type": "object",
        "properties": {
            "bird": {"type": "string", "maxLength": 20},
            "wings": {"type": "integer", "minimum": 0, "maximum": 9},
        },
        "required": ["bird", "wings"],
        "additionalProperties": false,
    });
    let text = formed(model, ResponseFormat::JsonSchema(schema), 100).await?;
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let right = value["bird"].is_string()
        && value["wings"].as_u64().is_some_and(|wings| wings <= 9)
        && value.as_object().is_some_and(|object| object.len() == 2);
    hold(right, || format!("{text:?}"))
}

async fn chooses(model: &dyn ChatModel) -> Result<(), Trouble> {
    let choices = ["under moss", "在苔藓下", "in a nest"]
        .map(String::from)
        .to_vec();
    let text = formed(model, ResponseFormat::Choice(choices.clone()), 50).await?;
    hold(choices.contains(&text), || format!("{text:?}"))
}

async fn follows_regex(model: &dyn ChatModel) -> Result<(), Trouble> {
    let regex = ResponseFormat::Regex("[0-9]{3}-(raven|乌鸦)".into());
    let text = formed(model, regex, 50).await?;
    let right = text.split_once('-').is_some_and(|(number, bird)| {
        number.len() == 3
            && number.bytes().all(|digit| digit.is_ascii_digit())
            && ["raven", "乌鸦"].contains(&bird)
    });
    hold(right, || format!("{text:?}"))
}

async fn quotes(model: &dyn ChatModel) -> Result<(), Trouble> {
    let texts = ["Ravens cache food under moss.", "渡鸦把食物藏在苔藓下面。"];
    let quote = ResponseFormat::Quote(texts.map(String::from).to_vec());
    let text = formed(model, quote, 50).await?;
    hold(texts.iter().any(|it| it.contains(&text)), || {
        format!("{text:?}")
    })
}

fn with_tools(choice: ToolChoice) -> ChatRequest {
    let tool = |name: &str, description: &str| ToolSpec {
        name: name.into(),
        description: description.into(),
        parameters: json!({
            "type": "object",
            "properties": {"place": {"type": "string", "maxLength": 30}},
            "required": ["place"],
            "additionalProperties": false,
        }),
    };
    ChatRequest {
        tools: vec![
            tool("weather", "The weather of a place. 某地的天气。"),
            tool(
                "birds",
                "The birds that were seen in a place. 某地见过的鸟。",
            ),
        ],
        tool_choice: choice,
        max_tokens: Some(120),
        ..ChatRequest::new([Message::user("Which birds were seen in 拉萨?")])
    }
}

async fn calls(
    model: &dyn ChatModel,
    choice: ToolChoice,
    right: fn(&ChatReply) -> bool,
) -> Result<(), Trouble> {
    let reply = model.complete(with_tools(choice)).await?;
    hold(right(&reply), || format!("{reply:?}"))
}

async fn calls_required(model: &dyn ChatModel) -> Result<(), Trouble> {
    calls(model, ToolChoice::Required, |reply| {
        let calls = &reply.message.tool_calls;
        let known = ["weather", "birds"];
        !calls.is_empty()
            && reply.finish_reason == FinishReason::ToolCalls
            && calls.iter().all(|call| {
                known.contains(&call.name.as_str()) && call.arguments["place"].is_string()
            })
    })
    .await
}

async fn calls_named(model: &dyn ChatModel) -> Result<(), Trouble> {
    calls(model, ToolChoice::Named("birds".into()), |reply| {
        let calls = &reply.message.tool_calls;
        !calls.is_empty() && calls.iter().all(|call| call.name == "birds")
    })
    .await
}

async fn calls_none(model: &dyn ChatModel) -> Result<(), Trouble> {
    let none = |reply: &ChatReply| reply.message.tool_calls.is_empty();
    calls(model, ToolChoice::None, none).await
}
