//! Chat with a model file on this machine.
//!
//! A [`LocalChatModel`] is a handle of an [`Engine`]: requests run side by
//! side on a thread of its own and send events as they go. A stream that is dropped ends its
//! request at the next token, or at the next piece of its prompt. What a prompt shares with texts
//! that were read before is not computed again.

mod answer;
mod completion;
mod demonstrations;
mod guided;
mod open;
mod question;
mod score;
mod tool_choice;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use corbie_core::{
    BoxFuture, ChatModel, ChatModelInfo, ChatRequest, ChatStream, Error, ErrorKind, Result,
    TokenCounter, ToolChoice,
};
use futures::channel::mpsc;

pub use completion::{Completion, GenerateOptions};
pub use demonstrations::Demonstrate;
pub use tool_choice::Calibrate;

use crate::constraint::{Form, Grammars};
use crate::decoder::{Adapter, Decoder};
use crate::dialect::Opening;
use crate::engine::{Engine, Guide, Load, Request};
use crate::gguf::GgufFile;
use crate::kernels::Precision;
use crate::sampling::Sampler;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use answer::Answer;
use guided::{Guided, Start};
use tool_choice::Remembered;

/// The most tokens of context that a model has without being asked for more.
pub const DEFAULT_CONTEXT: usize = 8192;

/// The most stop texts of one request, and the most bytes of one of them.
const MAX_STOPS: (usize, usize) = (16, 256);

/// How a [`LocalChatModel`] is loaded.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LocalChatOptions {
    /// The name it goes by; `None`: the file's path.
    pub name: Option<String>,
    /// How its weights are multiplied.
    pub precision: Precision,
    /// The most tokens of prompt and answer together; `None`: as many as the model was made for,
    /// but at most [`DEFAULT_CONTEXT`], because every token of context takes memory.
    pub context_length: Option<usize>,
    /// How many threads compute; `None`: those that the whole process shares.
    pub threads: Option<usize>,
    /// The most tokens that are guessed from the text itself and tried together, because answers
    /// quote what they are given; `None`: ten; 0: none. Answers do not depend on it.
    pub guesses: Option<usize>,
    /// The most bytes of keys and values, running requests and kept prefixes together; `None`:
    /// what the context needs, at least 512 MiB.
    pub memory: Option<usize>,
    /// The most requests that run together; `None`: 16.
    pub running: Option<usize>,
    /// The most requests that wait; `None`: 64.
    pub waiting: Option<usize>,
    /// When calibrated scores choose the tool that is called.
    pub calibrate: Calibrate,
    /// What it is shown of tools' use where its template knows no tools.
    pub demonstrate: Demonstrate,
    /// Whether calls and forms are left to it, held by no grammar: for measurements.
    pub unconstrained: bool,
}

/// A chat model from a GGUF file or a directory of safetensors, computed on this machine.
///
/// ```no_run
/// use std::path::Path;
///
/// use corbie_core::{ChatModel, ChatRequest, Message};
/// use corbie_models::chat::{LocalChatModel, LocalChatOptions};
///
/// # async fn example() -> corbie_core::Result<()> {
/// let path = Path::new("SmolLM2-135M-Instruct.Q4_1.gguf");
/// let model = LocalChatModel::load(path, LocalChatOptions::default())?;
/// let request = ChatRequest::new([Message::user("What is the capital of France?")]);
/// assert!(model.complete(request).await?.message.content.contains("Paris"));
/// # Ok(())
/// # }
/// ```
pub struct LocalChatModel {
    info: ChatModelInfo,
    /// How messages name it.
    subject: String,
    tokenizer: Arc<Tokenizer>,
    template: Arc<ChatTemplate>,
    decoder: Arc<Decoder>,
    engine: Arc<Engine>,
    adapter: Option<Arc<Adapter>>,
    grammars: Arc<OnceLock<Grammars>>,
    calibrate: Calibrate,
    demonstrate: Demonstrate,
    unconstrained: bool,
    remembered: Arc<Remembered>,
}

impl LocalChatModel {
    /// Its tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The same model with an adapter: a GGUF file, or a directory as PEFT writes it. Both share
    /// weights, memory and the engine's passes.
    ///
    /// # Errors
    ///
    /// Those of [`Adapter::from_gguf`] and [`Adapter::from_directory`].
    pub fn with_adapter(&self, path: &Path) -> Result<Self> {
        let config = self.decoder.config();
        let adapter = match path.is_dir() {
            true => Adapter::from_directory(path, config)?,
            false => Adapter::from_gguf(&GgufFile::open(path)?, config)?,
        };
        Ok(Self {
            info: self.info.clone(),
            subject: format!("{} with {}", self.subject, adapter.name()),
            tokenizer: Arc::clone(&self.tokenizer),
            template: Arc::clone(&self.template),
            decoder: Arc::clone(&self.decoder),
            engine: Arc::clone(&self.engine),
            adapter: Some(Arc::new(adapter)),
            grammars: Arc::clone(&self.grammars),
            calibrate: self.calibrate,
            demonstrate: self.demonstrate,
            unconstrained: self.unconstrained,
            remembered: Arc::clone(&self.remembered),
        })
    }

    /// What it needs no weights for: its tokenizer and its template, shared with it.
    #[cfg(feature = "hub")]
    pub(crate) fn front(&self) -> (Arc<Tokenizer>, Arc<ChatTemplate>) {
        (Arc::clone(&self.tokenizer), Arc::clone(&self.template))
    }

    /// How busy it is.
    pub fn load_now(&self) -> Load {
        self.engine.load()
    }

    /// How many tokens may follow a prompt.
    fn room(&self, tokens: usize) -> Result<usize> {
        let limit = self.info.context_length;
        limit.checked_sub(tokens).ok_or_else(|| {
            Error::new(
                ErrorKind::ContextTooLong { tokens, limit },
                &self.subject,
                format!("the prompt has {tokens} tokens, the context holds {limit}"),
            )
            .hint("shorten the prompt, or load the model with a longer context")
        })
    }

    /// The tokens of a request's prompt.
    fn prompt(&self, request: &ChatRequest) -> Result<Vec<u32>> {
        self.template.encode_chat(&self.tokenizer, request)
    }

    /// Refuses options out of range.
    fn check(&self, request: &ChatRequest) -> Result<()> {
        let refuse =
            |subject: &str, cause: String| Err(Error::new(ErrorKind::BadInput, subject, cause));
        match &request.tool_choice {
            ToolChoice::Required if request.tools.is_empty() => {
                return refuse(
                    "tool_choice",
                    "a call is required, but there are no tools".into(),
                );
            }
            ToolChoice::Named(name) if request.tools.iter().all(|tool| tool.name != *name) => {
                return refuse("tool_choice", format!("there is no tool `{name}`"));
            }
            _ => {}
        }
        let (count, bytes) = MAX_STOPS;
        let fits = |stop: &String| (1..=bytes).contains(&stop.len());
        if request.stop.len() > count || !request.stop.iter().all(fits) {
            let cause = format!("at most {count} texts of 1 to {bytes} bytes each");
            return refuse("request.stop", cause);
        }
        Ok(())
    }

    /// The grammars over its tokens, built when first needed.
    fn grammars(&self) -> Result<&Grammars> {
        if let Some(grammars) = self.grammars.get() {
            return Ok(grammars);
        }
        let grammars = Grammars::new(Arc::clone(&self.tokenizer))?;
        Ok(self.grammars.get_or_init(|| grammars))
    }

    /// What holds the answer to its form and its calls to their tools.
    fn guide(
        &self,
        request: &ChatRequest,
        opening: Opening,
        max_tokens: usize,
    ) -> Result<Option<Box<dyn Guide>>> {
        if self.unconstrained {
            return Ok(None);
        }
        let dialect = self.template.dialect();
        let special = |name: &str| self.tokenizer.special_token(name);
        let calls = |choice: &ToolChoice| {
            let parallel = request.parallel_tool_calls;
            let calls = dialect.grammar(&request.tools, choice, parallel, &special)?;
            Some(match opening {
                Opening::Space => calls.after_space(),
                _ => calls,
            })
        };
        let format = Form::of(&request.response_format);
        let (form, trigger) = match (format, calls(&request.tool_choice)) {
            (None, None) => return Ok(None),
            (Some(form), None) => (form, None),
            (None, Some(calls)) => {
                let only_at_start = calls.only_at_start;
                let start = calls.trigger.map(|trigger| Start::After {
                    trigger,
                    only_at_start,
                });
                (Form::Lark(calls.lark), start)
            }
            // The calls, or the form in their place.
            (Some(form), Some(required)) => match request.tool_choice {
                ToolChoice::Auto => match calls(&ToolChoice::Required) {
                    Some(calls) => (Form::OneOf(vec![Form::Lark(calls.lark), form]), None),
                    None => (form, None),
                },
                _ => (Form::Lark(required.lark), None),
            },
        };
        let constraint = self.grammars()?.compile(&form)?;
        let start = trigger.unwrap_or_else(|| match opening {
            Opening::Thought => Start::AfterThinking,
            _ => Start::Now {
                opens: dialect
                    .thinking
                    .iter()
                    .filter_map(|it| special(it.open))
                    .collect(),
            },
        });
        let guided = Guided::new(
            Arc::clone(&self.tokenizer),
            constraint,
            dialect.thinking,
            start,
            max_tokens,
        )?;
        Ok(Some(Box::new(guided)))
    }

    /// What the answer to a prompt begins in.
    fn opening(&self, prompt: &[u32]) -> Opening {
        let last = &prompt[prompt.len().saturating_sub(8)..];
        let last = self.tokenizer.decode(last, false);
        let last = last.trim_end();
        let dialect = self.template.dialect();
        if dialect.thinking.iter().any(|it| last.ends_with(it.open)) {
            Opening::Thought
        } else if self.template.source().is_none() {
            Opening::Space
        } else {
            Opening::Answer
        }
    }
}

impl ChatModel for LocalChatModel {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        Some(self.tokenizer.as_ref())
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        self.prompt(request).map(|prompt| prompt.len())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let mut request = request;
            let sampler = Sampler::new(&request.sampling)?;
            self.check(&request)?;
            let deadline = request
                .timeout
                .and_then(|timeout| Instant::now().checked_add(timeout));
            let prompt = self.prompt(&request)?;
            self.room(prompt.len())?;
            let dialect = self.template.dialect();
            let opening = self.opening(&prompt);
            let choice = self
                .choose_tool(&request, &prompt, opening, deadline)
                .await?;
            request.tool_choice = choice.tool_choice.unwrap_or(request.tool_choice);
            let prompt_tokens = prompt.len();
            let fits = |it: &Vec<u32>| self.room(it.len()).is_ok();
            let prompt = choice.prompt.filter(fits).unwrap_or(prompt);
            let room = self.room(prompt.len())?;
            let max_tokens = request.max_tokens.map_or(room, |most| most.min(room));
            let guide = self.guide(&request, opening, max_tokens)?;
            let parser = match request.tools.is_empty() || request.tool_choice == ToolChoice::None {
                true => dialect.parser_without_calls(opening),
                false => dialect.parser(&request.tools, opening),
            };
            let earlier = request.messages.iter().map(|it| it.tool_calls.len()).sum();
            let special = |name: &&str| self.tokenizer.special_token(name);
            let thinking = dialect.thinking.iter().flat_map(|it| [it.open, it.close]);
            let marks = dialect.marks.iter().copied().chain(thinking);
            let mut stops = request.stop;
            let own = self.template.stops().iter().chain(dialect.stops);
            stops.extend(own.map(|stop| (*stop).to_owned()));
            let (events, receiver) = mpsc::unbounded();
            let answer = Answer {
                marks: marks.filter_map(|mark| special(&mark)).collect(),
                decoder: self.tokenizer.decoder(),
                tokenizer: Arc::clone(&self.tokenizer),
                parser: parser.numbered_from(earlier).stopping_at(stops),
                prompt_tokens,
                cached_tokens: choice.cached,
                called: false,
                events,
            };
            self.engine.submit(Request {
                max_tokens,
                prompt,
                sampler,
                ends: self.tokenizer.eos_ids().to_vec(),
                adapter: self.adapter.clone(),
                guide,
                deadline,
                sink: Box::new(answer),
            })?;
            Ok(answer::events(receiver, &self.subject))
        })
    }
}

impl std::fmt::Debug for LocalChatModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalChatModel")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
