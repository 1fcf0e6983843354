//! The forms in which families write calls, read.

use corbie_core::ToolSpec;
use serde_json::{Map, Value};

use super::events::Call;
use super::form;
use super::literal::{self, Arguments, Notation, PythonCall};
use super::reply::Reply;
use super::scan::Bracketed;

/// What follows a mark that opens calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Block {
    /// JSON, a call or a list of them.
    Json {
        /// What stands before it.
        lead: &'static str,
        /// What stands after it.
        close: &'static str,
        /// Whether a list is whole without `close`.
        open_list: bool,
    },
    /// The rest of `<function=name>`, JSON, `</function>`.
    Function,
    /// `<function=name>` with parameters as they are, or what follows that mark.
    Parameters {
        /// What opens the function, if the mark did not.
        open: &'static str,
        /// What stands after it; it may be missing where the mark opened the function.
        close: &'static str,
    },
    /// Mistral's list, or its name, id and arguments.
    Mistral,
    /// `call:name{key:value}` with strings between marks.
    Marked {
        quote: &'static str,
        quotes: &'static [&'static str],
        close: &'static str,
    },
    /// A list of calls in Python.
    Python { close: &'static str },
    /// Calls in Python, in a fenced block.
    ToolCode,
    /// What Llama writes for a Python environment: JSON, or `name.call(…)`.
    Environment,
    /// DeepSeek's calls; whether the mark opened the first of them already.
    DeepSeek { within: bool },
}

impl Block {
    /// Reads the block that follows its mark and gives its calls out; gives whether it was one.
    /// If not, what was read is still held.
    pub async fn read(self, reply: &Reply, tools: &[ToolSpec]) -> bool {
        let calls = match self {
            Self::Json {
                lead,
                close,
                open_list,
            } => json(reply, lead, close, open_list).await,
            Self::Function => function(reply).await.map(|call| vec![call]),
            Self::Parameters { open, close } => parameters(reply, open, close, tools)
                .await
                .map(|call| vec![call]),
            Self::Mistral => mistral(reply).await,
            Self::Marked {
                quote,
                quotes,
                close,
            } => marked(reply, quote, quotes, close)
                .await
                .map(|call| vec![call]),
            Self::Python { close } => python(reply, close, tools).await,
            Self::ToolCode => tool_code(reply, tools).await,
            Self::Environment => environment(reply, tools).await,
            Self::DeepSeek { within } => return deep_seek(reply, within).await,
        };
        let Some(calls) = calls else { return false };
        reply.calls(calls);
        true
    }
}

async fn json(reply: &Reply, lead: &str, close: &str, open_list: bool) -> Option<Vec<Call>> {
    reply.spaces().await;
    if !lead.is_empty() {
        if !reply.eat(lead).await {
            return None;
        }
        reply.spaces().await;
    }
    let value = reply.json().await?;
    let whole = open_list && value.is_array();
    if !close.is_empty() {
        let place = reply.place();
        reply.spaces().await;
        // Where the reply ends here, only the mark is missing: the call is whole, and some models
        // end so.
        if !reply.eat(close).await && reply.peek().await.is_some() {
            if !whole {
                return None;
            }
            reply.back(place);
        }
    }
    form::calls(value)
}

async fn function(reply: &Reply) -> Option<Call> {
    let name = reply.name().await?;
    if !reply.eat(">").await {
        return None;
    }
    reply.spaces().await;
    let arguments = form::arguments(reply.json().await?)?;
    reply.spaces().await;
    reply.eat("</function>").await.then_some(Call {
        id: None,
        name,
        arguments,
    })
}

async fn parameters(reply: &Reply, open: &str, close: &str, tools: &[ToolSpec]) -> Option<Call> {
    reply.spaces().await;
    if !reply.eat(open).await {
        return None;
    }
    let name = reply.name().await?;
    if !reply.eat(">").await {
        return None;
    }
    let tool = tools.iter().find(|tool| tool.name == name);
    let mut arguments = Map::new();
    loop {
        reply.spaces().await;
        match reply.eat_any(&["<parameter=", "</function>"]).await? {
            0 => {
                let key = reply.through(&[">"], 256).await?.0;
                let text = reply.through(&["</parameter>"], usize::MAX).await?.0;
                let text = text.strip_prefix('\n').unwrap_or(&text);
                let text = text.strip_suffix('\n').unwrap_or(text);
                let schema =
                    tool.and_then(|tool| tool.parameters.pointer("/properties")?.get(&key));
                let value = typed(text, schema);
                arguments.insert(key, value);
            }
            _ => break,
        }
    }
    let place = reply.place();
    reply.spaces().await;
    if !reply.eat(close).await {
        if !open.is_empty() {
            return None;
        }
        reply.back(place);
    }
    Some(Call {
        id: None,
        name,
        arguments,
    })
}

/// The value that a bare text is by its schema: a string stays as it is, anything else is read.
fn typed(text: &str, schema: Option<&Value>) -> Value {
    let types: Vec<&str> = match schema.and_then(|schema| schema.get("type")) {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let string = || Value::String(text.to_owned());
    if types == ["string"] {
        return string();
    }
    let read = serde_json::from_str(text.trim())
        .ok()
        .or_else(|| literal::value(text, literal::PYTHON));
    match read {
        // A string is written bare: quotes belong to it.
        Some(Value::String(_)) | None => string(),
        Some(value) => {
            let kind = match &value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::Array(_) => "array",
                _ => "object",
            };
            let fits = types
                .iter()
                .any(|wanted| *wanted == kind || (*wanted == "integer" && kind == "number"));
            match fits || !types.contains(&"string") {
                true => value,
                false => string(),
            }
        }
    }
}

async fn mistral(reply: &Reply) -> Option<Vec<Call>> {
    reply.spaces().await;
    if matches!(reply.peek().await, Some('[' | '{')) {
        return form::calls(reply.json().await?);
    }
    let name = reply.name().await?;
    let id = match reply.eat("[CALL_ID]").await {
        true => Some(reply.name().await?),
        false => None,
    };
    reply.eat("[ARGS]").await;
    reply.spaces().await;
    let arguments = form::arguments(reply.json().await?)?;
    Some(vec![Call {
        id,
        name,
        arguments,
    }])
}

async fn marked(
    reply: &Reply,
    quote: &'static str,
    quotes: &'static [&'static str],
    close: &str,
) -> Option<Call> {
    reply.spaces().await;
    if !reply.eat("call:").await {
        return None;
    }
    let name = reply.name().await?;
    if reply.peek().await != Some('{') {
        return None;
    }
    let text = reply.scan(Bracketed::marked(quotes)).await?;
    let notation = Notation {
        quote: Some(quote),
        colon: ':',
    };
    let arguments = literal::object(&text, notation)?;
    reply.spaces().await;
    reply.eat(close).await.then_some(Call {
        id: None,
        name,
        arguments,
    })
}

async fn python(reply: &Reply, close: &str, tools: &[ToolSpec]) -> Option<Vec<Call>> {
    reply.spaces().await;
    if reply.peek().await != Some('[') {
        return None;
    }
    let text = reply.scan(Bracketed::python()).await?;
    reply.spaces().await;
    if !reply.eat(close).await {
        return None;
    }
    match literal::python_calls(&text) {
        Some(calls) if !calls.is_empty() => named(calls, tools),
        _ => form::calls(serde_json::from_str(&text).ok()?),
    }
}

async fn tool_code(reply: &Reply, tools: &[ToolSpec]) -> Option<Vec<Call>> {
    let program = reply.through(&["```"], usize::MAX).await?.0;
    named(literal::python_program(&program)?, tools)
}

async fn environment(reply: &Reply, tools: &[ToolSpec]) -> Option<Vec<Call>> {
    reply.spaces().await;
    if reply.peek().await == Some('{') {
        return bare(reply).await;
    }
    let name = reply.name().await?;
    let name = name.strip_suffix(".call")?.to_owned();
    if reply.peek().await != Some('(') {
        return None;
    }
    let text = reply.scan(Bracketed::python()).await?;
    let arguments = literal::python_arguments(&text)?;
    named(vec![PythonCall { name, arguments }], tools)
}

/// Calls without any mark: JSON objects with a name and arguments, parted by `;` or space.
pub(super) async fn bare(reply: &Reply) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    loop {
        let place = reply.place();
        if !calls.is_empty() {
            reply.spaces().await;
            reply.eat(";").await;
        }
        reply.spaces().await;
        let call = match reply.peek().await {
            Some('{') => reply.json().await.filter(form::looks_like_call),
            _ => None,
        };
        match call.and_then(form::call) {
            Some(call) => calls.push(call),
            None if calls.is_empty() => return None,
            None => {
                reply.back(place);
                return Some(calls);
            }
        }
    }
}

const CALLS_END: &str = "<｜tool▁calls▁end｜>";
const CALL_BEGIN: &str = "<｜tool▁call▁begin｜>";
const CALL_END: &str = "<｜tool▁call▁end｜>";

async fn deep_seek(reply: &Reply, within: bool) -> bool {
    let mut within = within;
    let mut any = false;
    loop {
        if !within {
            reply.spaces().await;
            within = reply.eat(CALL_BEGIN).await;
        }
        if !within {
            if any {
                match reply.eat(CALLS_END).await {
                    true => reply.accept(),
                    false => reply.back(0),
                }
            }
            return any;
        }
        let Some(call) = deep_seek_call(reply).await else {
            return false;
        };
        reply.calls([call]);
        any = true;
        within = false;
    }
}

async fn deep_seek_call(reply: &Reply) -> Option<Call> {
    let head = reply.while_kept(256, |c| c != '<' && c != '\n').await;
    if !reply.eat("<｜tool▁sep｜>").await {
        return None;
    }
    reply.spaces().await;
    let newer = reply.peek().await == Some('{');
    let name = match newer {
        true => head.trim().to_owned(),
        false => reply.name().await?,
    };
    reply.spaces().await;
    let fenced = reply.eat("```json").await;
    reply.spaces().await;
    let arguments = form::arguments(reply.json().await?)?;
    reply.spaces().await;
    if fenced && !reply.eat("```").await {
        return None;
    }
    reply.spaces().await;
    (reply.eat(CALL_END).await && !name.is_empty()).then_some(Call {
        id: None,
        name,
        arguments,
    })
}

/// Python's calls with every argument named, those by place by their tool's schema.
fn named(calls: Vec<PythonCall>, tools: &[ToolSpec]) -> Option<Vec<Call>> {
    let named = |call: PythonCall| {
        let Arguments { placed, named } = call.arguments;
        let mut arguments = Map::new();
        if !placed.is_empty() {
            let tool = tools.iter().find(|tool| tool.name == call.name)?;
            let properties = tool.parameters.get("properties")?.as_object()?;
            if placed.len() > properties.len() {
                return None;
            }
            arguments.extend(properties.keys().cloned().zip(placed));
        }
        arguments.extend(named);
        Some(Call {
            id: None,
            name: call.name,
            arguments,
        })
    };
    calls.into_iter().map(named).collect()
}
