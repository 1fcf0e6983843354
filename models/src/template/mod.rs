//! Chat templates: a conversation becomes the prompt a model was trained on.
//!
//! A template comes with the model file and is code of a stranger: it runs in minijinja with a
//! budget of instructions and of output, without I/O, and what a message says never becomes a
//! special token.

mod abilities;
mod compile;
mod directory;
mod environment;
mod guard;
mod messages;
mod plain;
mod python;
#[cfg(test)]
mod tests;
mod weigh;

use std::time::{Duration, Instant};

use corbie_core::{ChatRequest, Error, ErrorKind, Message, Result, ToolChoice, ToolSpec};
use minijinja::value::Serde;
use minijinja::{Value, context};
use serde_json::json;

use crate::dialect::{Abilities, Dialect, write_json};
use crate::gguf::GgufFile;
use crate::tokenizer::{Tokenizer, token_names};

pub use plain::PLAIN_STOPS;

use abilities::Form;
use guard::Guard;
use messages::{messages_json, tool_json};

/// The most bytes a rendered prompt may have.
const MAX_PROMPT_BYTES: usize = 64 << 20;

/// minijinja's fuel for a prompt, and for each byte of its conversation. A unit pays for one
/// instruction or 64 bytes, so what a template does beyond its conversation stays within 64 MB.
const FUEL: u64 = 1_000_000;
const FUEL_PER_BYTE: u64 = 8;

/// Turns messages and tools into a model's prompt.
///
/// ```
/// use corbie_core::Message;
/// use corbie_models::template::ChatTemplate;
///
/// let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}";
/// let template = ChatTemplate::new("example", source, "", "")?;
/// let prompt = template.render(&[Message::user("乌鸦?")], &[], true)?;
/// assert_eq!(prompt, "<user>乌鸦?</user>");
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    /// Whose template it is, for errors.
    model: String,
    /// The template's source; `None`: the plain format.
    source: Option<String>,
    bos: String,
    eos: String,
    abilities: Abilities,
    form: Form,
    dialect: &'static Dialect,
}

impl ChatTemplate {
    /// The template with this source of the model called `model`, whose first and last tokens
    /// are written `bos` and `eos`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the source is no template.
    pub fn new(
        model: impl Into<String>,
        source: &str,
        bos: impl Into<String>,
        eos: impl Into<String>,
    ) -> Result<Self> {
        let mut template = Self {
            dialect: Dialect::of(Some(source), &|_| false),
            model: model.into(),
            source: Some(environment::without_generation_blocks(source)),
            bos: bos.into(),
            eos: eos.into(),
            abilities: Abilities::default(),
            form: Form::default(),
        };
        environment::check(template.source.as_deref().unwrap_or_default())
            .map_err(|error| template.trouble(&error))?;
        (template.abilities, template.form) = abilities::probe(&template);
        Ok(template)
    }

    /// The template of a GGUF file, or the plain format where it has none.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when what the file says of its template or its special
    /// tokens is damaged.
    pub fn from_gguf(file: &GgufFile) -> Result<Self> {
        let metadata = file.metadata();
        let tokens = match metadata.get("tokenizer.ggml.tokens") {
            Some(_) => token_names(metadata)?,
            None => Vec::new(),
        };
        let token = |key: &str| -> Result<String> {
            let id = metadata.u32(key)?;
            let text = id.and_then(|id| tokens.get(id as usize));
            Ok(text.map(|text| (*text).to_owned()).unwrap_or_default())
        };
        let bos = token("tokenizer.ggml.bos_token_id")?;
        match metadata.str("tokenizer.chat_template")? {
            Some(source) => {
                let eos = token("tokenizer.ggml.eos_token_id")?;
                let mut template = Self::new(file.name(), source, bos, eos)?;
                template.dialect = Dialect::of(Some(source), &|token| tokens.contains(&token));
                Ok(template)
            }
            None => Ok(Self::plain(file.name())),
        }
    }

    /// The format for a model that has no template: a base model, which continues text.
    ///
    /// Instructions come first, then `Question:` and `Answer:` in turns, in Chinese where the
    /// conversation is. The answer ends at one of [`PLAIN_STOPS`].
    pub fn plain(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            source: None,
            bos: String::new(),
            eos: String::new(),
            abilities: Abilities {
                results: true,
                system: true,
                ..Abilities::default()
            },
            form: Form::default(),
            dialect: Dialect::plain(),
        }
    }

    /// The template's source; `None` for the plain format.
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// How its model writes tool calls.
    pub fn dialect(&self) -> &'static Dialect {
        self.dialect
    }

    /// Texts that end an answer, beside the model's own end tokens.
    pub fn stops(&self) -> &'static [&'static str] {
        match self.source {
            Some(_) => &[],
            None => PLAIN_STOPS,
        }
    }

    /// The prompt of a conversation.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when the template refuses the conversation (roles that
    /// do not alternate, a system message it does not know), [`Malformed`](ErrorKind::Malformed)
    /// when the template itself fails, [`LimitExceeded`](ErrorKind::LimitExceeded) when it runs
    /// too long or writes too much.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[ToolSpec],
        add_generation_prompt: bool,
    ) -> Result<String> {
        if self.source.is_none() {
            return Ok(plain::render(messages, add_generation_prompt));
        }
        let mut tools = tools.iter().map(tool_json).collect::<Vec<_>>();
        let mut messages = messages_json(messages);
        self.shape(&mut messages, &mut tools);
        self.render_json(&json!(messages), &json!(tools), add_generation_prompt)
    }

    /// The prompt of a conversation in the form of OpenAI's API: `messages` and `tools` are
    /// lists, and whatever keys they have reach the template.
    ///
    /// # Errors
    ///
    /// As [`ChatTemplate::render`].
    pub fn render_json(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
        add_generation_prompt: bool,
    ) -> Result<String> {
        if self.source.is_none() {
            let messages = plain::messages(messages)?;
            return Ok(plain::render(&messages, add_generation_prompt));
        }
        let bytes = text_bytes(messages).saturating_add(text_bytes(tools)) as u64;
        let fuel = FUEL.saturating_add(bytes.saturating_mul(FUEL_PER_BYTE));
        let time = environment::DEADLINE + Duration::from_micros(bytes);
        let deadline = Instant::now() + time;
        self.render_within(messages, tools, add_generation_prompt, fuel, deadline)
    }

    /// The template's prompt, made with so much fuel before the deadline.
    fn render_within(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
        add_generation_prompt: bool,
        fuel: u64,
        deadline: Instant,
    ) -> Result<String> {
        let tools = match tools.as_array() {
            Some(tools) if !tools.is_empty() => Value::from(Serde(tools)),
            _ => Value::from(()),
        };
        let context = context! {
            messages => Value::from(Serde(messages)),
            // SmolLM3's name for tools that are called in JSON.
            xml_tools => tools.clone(),
            tools => tools,
            documents => (),
            add_generation_prompt,
            bos_token => self.bos.clone(),
            eos_token => self.eos.clone(),
        };
        let source = self.source.as_deref().unwrap_or_default();
        let prompt = environment::render(source, context, fuel, deadline)
            .map_err(|error| self.trouble(&error))?;
        match prompt.len() > MAX_PROMPT_BYTES {
            true => Err(self.limit(format!("it writes more than {MAX_PROMPT_BYTES} bytes"))),
            false => Ok(prompt),
        }
    }

    /// The token ids of a request's prompt.
    ///
    /// What the template cannot show of tools, calls and results is written into the messages, in
    /// its model's dialect.
    ///
    /// Only the template's own words, and those of the dialect, make special tokens. Where a message or a tool has the name
    /// of one, such as `<|im_start|>`, it is encoded as the characters it is and opens no role.
    ///
    /// # Errors
    ///
    /// Those of [`ChatTemplate::render`] and [`Tokenizer::encode`].
    pub fn encode_chat(&self, tokenizer: &Tokenizer, request: &ChatRequest) -> Result<Vec<u32>> {
        let mut tools = match request.tool_choice {
            ToolChoice::None => Vec::new(),
            _ => request.tools.iter().map(tool_json).collect(),
        };
        let mut messages = messages_json(&request.messages);
        let source = self.source.as_deref().unwrap_or_default();
        let guard = Guard::new(tokenizer, source, messages.iter().chain(&tools));
        guard.hide(&mut messages);
        guard.hide(&mut tools);
        let rendered = |abilities: Abilities| {
            let (mut messages, mut tools) = (messages.clone(), tools.clone());
            self.dialect.adapt(&mut messages, &mut tools, abilities);
            self.shape(&mut messages, &mut tools);
            self.render_json(&json!(messages), &json!(tools), true)
        };
        let prompt = match rendered(self.abilities) {
            // Some templates know only the simplest schemas: such tools are described in words.
            Err(error) if *error.kind() == ErrorKind::Malformed && !tools.is_empty() => {
                rendered(Abilities {
                    tools: false,
                    ..self.abilities
                })
            }
            prompt => prompt,
        }?;
        let (prompt, literal) = guard.reveal(&prompt);
        let mut ids = tokenizer.encode_except(&prompt, &literal)?;
        match tokenizer.bos() {
            Some(bos) if tokenizer.adds_bos() && ids.first() != Some(&bos) => ids.insert(0, bos),
            _ => {}
        }
        Ok(ids)
    }

    /// Gives calls and tools the form that this template wants.
    fn shape(&self, messages: &mut Vec<serde_json::Value>, tools: &mut [serde_json::Value]) {
        let form = self.form;
        for message in messages.iter_mut() {
            let Some(calls) = message
                .get_mut("tool_calls")
                .and_then(|it| it.as_array_mut())
            else {
                continue;
            };
            for call in calls.iter_mut().filter(|_| form.text_arguments) {
                let arguments = &mut call["function"]["arguments"];
                if !arguments.is_string() {
                    let mut text = String::new();
                    write_json(arguments, &mut text);
                    *arguments = json!(text);
                }
            }
            if form.null_content && message["content"] == "" {
                message["content"] = serde_json::Value::Null;
            }
        }
        for tool in tools.iter_mut().filter(|_| form.described) {
            let properties = tool.pointer_mut("/function/parameters/properties");
            let properties = properties.and_then(|it| it.as_object_mut());
            for (_, property) in properties.into_iter().flatten() {
                if let Some(property) = property.as_object_mut() {
                    property.entry("description").or_insert(json!(""));
                }
            }
        }
        if form.tools_in_system && !tools.is_empty() {
            if messages
                .first()
                .is_none_or(|first| first["role"] != "system")
            {
                messages.insert(0, json!({"role": "system", "content": ""}));
            }
            let functions: Vec<_> = tools.iter().map(|tool| &tool["function"]).collect();
            let mut text = String::new();
            write_json(&json!(functions), &mut text);
            messages[0]["tools"] = json!(text);
        }
    }

    fn subject(&self) -> String {
        format!("chat template of `{}`", self.model)
    }

    fn limit(&self, cause: String) -> Error {
        Error::new(ErrorKind::LimitExceeded, self.subject(), cause)
    }

    fn trouble(&self, error: &minijinja::Error) -> Error {
        if let Some(refusal) = environment::refusal(error) {
            return Error::new(ErrorKind::BadInput, self.subject(), refusal)
                .hint("change the messages to the form this model knows");
        }
        if let Some(limit) = environment::limit(error) {
            return self.limit(limit);
        }
        Error::new(ErrorKind::Malformed, self.subject(), error)
    }
}

/// About how many bytes of text a value has, names of fields included.
fn text_bytes(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len() + 8,
        serde_json::Value::Array(items) => items.iter().map(text_bytes).sum::<usize>() + 8,
        serde_json::Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| name.len() + text_bytes(value))
            .sum(),
        _ => 8,
    }
}
