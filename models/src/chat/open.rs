//! From files to a model that answers.

use std::path::Path;
use std::sync::Arc;

use corbie_core::{ChatModelInfo, Error, ErrorKind, Result};

use super::{DEFAULT_CONTEXT, LocalChatModel, LocalChatOptions};
use crate::decoder::{Decoder, DecoderConfig, DecoderOptions, Progress};
use crate::engine::{Engine, EngineOptions};
use crate::gguf::GgufFile;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;

/// What a model is made of.
struct Parts {
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: ChatTemplate,
}

impl LocalChatOptions {
    /// Refuses numbers out of range.
    fn check(&self, subject: &str) -> Result<()> {
        let fields = [
            ("context_length", self.context_length),
            ("threads", self.threads),
            ("memory", self.memory),
            ("running", self.running),
            ("waiting", self.waiting),
        ];
        match fields.iter().find(|(_, value)| *value == Some(0)) {
            Some((field, _)) => {
                let cause = format!("the option `{field}` must be at least 1");
                Err(Error::new(ErrorKind::BadInput, subject, cause))
            }
            None => Ok(()),
        }
    }

    /// The most tokens of prompt and answer together that a model of this shape gets.
    pub(crate) fn context_of(&self, config: &DecoderConfig) -> usize {
        let asked = self.context_length.unwrap_or(DEFAULT_CONTEXT);
        asked.min(config.context_length)
    }

    /// What the engine of a model of this shape may take.
    pub(crate) fn limits(&self, config: &DecoderConfig) -> EngineOptions {
        let default = EngineOptions::for_shape(config, self.context_of(config));
        EngineOptions {
            memory: self.memory.unwrap_or(default.memory),
            running: self.running.unwrap_or(default.running),
            waiting: self.waiting.unwrap_or(default.waiting),
            threads: self.threads,
            guesses: self.guesses.unwrap_or(default.guesses),
        }
    }
}

impl LocalChatModel {
    /// Loads the model at `path`: a GGUF file, or a directory as Hugging Face keeps models, with
    /// `config.json`, `tokenizer.json` and `model.safetensors` (or several files and their index).
    ///
    /// Weights are laid out anew for the kernels while they are read, so nothing of the file stays
    /// mapped into memory afterwards.
    ///
    /// # Errors
    ///
    /// Those of [`GgufFile::open`] and [`Decoder::load`], or of [`Decoder::load_directory`]; of a
    /// vocabulary or chat template that cannot be read; [`BadInput`](ErrorKind::BadInput) for
    /// options out of range.
    pub fn load(path: &Path, options: LocalChatOptions) -> Result<Self> {
        Self::load_watched(path, options, &|_| ())
    }

    /// The same, telling how far it is.
    pub(crate) fn load_watched(
        path: &Path,
        options: LocalChatOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let name = path.display().to_string();
        match path.is_dir() {
            true => Self::from_directory(path, &name, options, progress),
            false => Self::from_watched(&GgufFile::open(path)?, &name, options, progress),
        }
    }

    /// Loads the model in an open file; `name` is its name if the options give none.
    ///
    /// # Errors
    ///
    /// Those of [`LocalChatModel::load`].
    pub fn from_file(file: &GgufFile, name: &str, options: LocalChatOptions) -> Result<Self> {
        Self::from_watched(file, name, options, &|_| ())
    }

    fn from_watched(
        file: &GgufFile,
        name: &str,
        options: LocalChatOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        Self::assemble(name, options, |options| {
            Ok(Parts {
                decoder: Decoder::load_watched(file, options, progress)?,
                template: ChatTemplate::from_gguf(file)?,
                tokenizer: Tokenizer::from_gguf(file)?,
            })
        })
    }

    fn from_directory(
        directory: &Path,
        name: &str,
        options: LocalChatOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        Self::assemble(name, options, |options| {
            let tokenizer = Tokenizer::from_directory(directory)?;
            Ok(Parts {
                template: ChatTemplate::from_directory(directory, &tokenizer)?,
                decoder: Decoder::load_directory_watched(directory, options, progress)?,
                tokenizer,
            })
        })
    }

    fn assemble(
        name: &str,
        options: LocalChatOptions,
        read: impl FnOnce(&DecoderOptions) -> Result<Parts>,
    ) -> Result<Self> {
        let model = options.name.clone().unwrap_or_else(|| name.to_owned());
        let subject = format!("model `{model}`");
        options.check(&subject)?;
        let parts = read(&DecoderOptions {
            precision: options.precision,
            context: None,
        })?;
        let decoder = Arc::new(parts.decoder);
        let (tokens, known) = (parts.tokenizer.vocab_size(), decoder.vocabulary());
        if tokens > known {
            return Err(Error::new(
                ErrorKind::Malformed,
                &subject,
                format!("its tokenizer has {tokens} tokens, its weights know {known}"),
            ));
        }
        let engine = Engine::start(&subject, &decoder, options.limits(decoder.config()))?;
        // A prompt and an answer that do not fit the memory do not fit the context.
        let context_length = engine.most_tokens(options.context_of(decoder.config()));
        let tokenizer = parts.tokenizer.with_limit(context_length);
        Ok(Self {
            engine: Arc::new(engine),
            decoder,
            adapter: None,
            grammars: Arc::default(),
            calibrate: options.calibrate,
            demonstrate: options.demonstrate,
            unconstrained: options.unconstrained,
            remembered: Arc::default(),
            info: ChatModelInfo {
                model,
                context_length,
            },
            subject,
            tokenizer: Arc::new(tokenizer),
            template: Arc::new(parts.template),
        })
    }
}
