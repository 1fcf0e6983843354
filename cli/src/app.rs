//! What the commands need: settings, models and collections, opened once.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use corbie_core::{
    ChatModel, Embedder, EmbedderInfo, Error, ErrorKind, Parser, Retriever, TokenCounter,
};
use corbie_loaders::{IsolatedParser, SplitOptions, TokenSplitter, WorkerCommand};
use corbie_models::hub::{DEFAULT_CHAT, Hub, HubOptions, LocalModel, suggest};
use corbie_models::{ModelName, Models};
use corbie_vectorstores::{Collections, Index, IndexParts, SearchMode};

use crate::args::{Global, OutputForm};
use crate::config::{Origin, Settings};
use crate::output::Output;
use crate::progress::FetchProgress;

/// The program's parts.
pub struct App {
    pub settings: Settings,
    pub output: Output,
    pub models: Models,
    pub collections: Collections,
}

impl App {
    pub fn new(global: &Global) -> Result<Self> {
        let settings = Settings::resolve(global)?;
        let form = settings.parsed("output", |value| OutputForm::from_str(value, true).ok())?;
        let variable = |name: &str| std::env::var(name).ok();
        let mut options = HubOptions::from_env(variable)?;
        options.offline |= settings.switch("offline")?;
        Ok(Self {
            output: Output::new(form, global.quiet),
            models: Models::new(Hub::new(options), variable),
            collections: Collections::new(PathBuf::from(settings.get("data_dir"))),
            settings,
        })
    }

    /// The hub that models come from.
    pub fn hub(&self) -> &Hub {
        self.models.hub()
    }

    /// The files of a model, fetched if need be.
    pub async fn resolve(&self, name: &str) -> Result<LocalModel> {
        let progress = FetchProgress::new(self.output);
        Ok(self.hub().resolve(name, &|event| progress.report(event)).await?)
    }

    /// The chat model in force.
    pub async fn chat_model(&self) -> Result<Arc<dyn ChatModel>> {
        let progress = FetchProgress::new(self.output);
        let name = self.settings.get("model");
        Ok(self.models.chat(name, &|event| progress.report(event)).await?)
    }

    /// The embedding model called `name`, or the one in force.
    pub async fn embedder(&self, name: Option<&str>) -> Result<Arc<dyn Embedder>> {
        let progress = FetchProgress::new(self.output);
        let name = name.unwrap_or_else(|| self.settings.get("embedder"));
        Ok(self.models.embedder(name, &|event| progress.report(event)).await?)
    }

    /// The splitter of new collections, in the tokens of `embedder`.
    pub fn splitter(&self, embedder: &Arc<dyn Embedder>) -> Result<TokenSplitter> {
        let max_tokens = self
            .settings
            .parsed("chunk_tokens", |value| value.parse().ok().filter(|n| *n > 0))?;
        let options = SplitOptions {
            max_tokens,
            ..SplitOptions::default()
        };
        Ok(TokenSplitter::new(Arc::new(EmbedderTokens(embedder.clone())), options))
    }

    /// The parser of all formats; risky ones run in child processes.
    pub fn parser(&self) -> Result<Arc<dyn Parser>> {
        let command = WorkerCommand::this_program("__parse")?;
        Ok(Arc::new(IsolatedParser::new(command, Default::default())))
    }

    /// How passages are found: as typed, or as set.
    pub fn search_mode(&self, typed: Option<crate::args::SearchMode>) -> Result<SearchMode> {
        use crate::args::SearchMode as Typed;
        match typed {
            Some(Typed::Dense) => Ok(SearchMode::Dense),
            Some(Typed::Keyword) => Ok(SearchMode::Keyword),
            Some(Typed::Hybrid) => Ok(SearchMode::Hybrid),
            None => self.settings.parsed("mode", |value| value.parse().ok()),
        }
    }

    /// What finds passages in `index`.
    pub fn retriever(&self, index: &Index, mode: SearchMode) -> Arc<dyn Retriever> {
        Arc::new(index.retriever(mode))
    }

    /// A collection that is there.
    ///
    /// Without `--embedder` it is opened with the model it was made with.
    pub async fn open(&self, name: &str) -> Result<Index> {
        let made_with = self.collections.show(name)?;
        self.open_with(name, Some(&made_with.embedder)).await
    }

    /// A collection, made when it is not there.
    pub async fn open_or_create(&self, name: &str) -> Result<Index> {
        match self.collections.find(name)? {
            Some(made_with) => self.open_with(name, Some(&made_with.embedder)).await,
            None => self.open_with(name, None).await,
        }
    }

    async fn open_with(&self, name: &str, made_with: Option<&EmbedderInfo>) -> Result<Index> {
        let parts = self.parts(made_with).await?;
        Ok(self.collections.open(name, parts).await?)
    }

    async fn parts(&self, made_with: Option<&EmbedderInfo>) -> Result<IndexParts> {
        let chosen = matches!(self.settings.origin("embedder"), Origin::Flag);
        let embedder = match made_with {
            Some(made_with) if !chosen => self.embedder(Some(&made_with.model)).await?,
            _ => self.embedder(None).await?,
        };
        Ok(IndexParts {
            parser: self.parser()?,
            splitter: Arc::new(self.splitter(&embedder)?),
            embedder,
        })
    }

    /// Embeds a collection's stored texts again, with the embedding model in force.
    pub async fn rebuild(&self, name: &str) -> Result<usize> {
        self.collections.show(name)?;
        let parts = self.parts(None).await?;
        Ok(self.collections.rebuild(name, parts).await?)
    }

    /// Says, once on this machine, which larger chat models suit it.
    pub fn suggest_larger_models(&self) {
        if self.output.quiet || self.output.is_json() || self.settings.get("model") != DEFAULT_CHAT {
            return;
        }
        let told = Path::new(self.settings.get("data_dir")).join(".told-larger-models");
        if told.exists() || !std::io::stderr().is_terminal() && told.parent().is_none() {
            return;
        }
        let names: Vec<String> = suggest(memory_bytes().unwrap_or(0), false)
            .into_iter()
            .filter(|entry| entry.alias != DEFAULT_CHAT)
            .take(3)
            .map(|entry| format!("--model {} ({})", entry.alias, crate::output::bytes(entry.bytes)))
            .collect();
        if !names.is_empty() {
            self.output.note(&format!(
                "\nThe default chat model is the smallest. Larger ones that suit this machine: {}",
                names.join(", ")
            ));
        }
        // If it cannot be noted down, it is said again next time.
        let _ = std::fs::write(told, "");
    }
}

/// An embedder's tokens, for a splitter.
struct EmbedderTokens(Arc<dyn Embedder>);

impl TokenCounter for EmbedderTokens {
    fn count(&self, text: &str) -> usize {
        self.0.tokens().count(text)
    }

    fn limit(&self) -> usize {
        self.0.tokens().limit()
    }

    fn coverage(&self, text: &str) -> f32 {
        self.0.tokens().coverage(text)
    }
}

/// The machine's memory in bytes, where the system says.
pub fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// A local model's name, or an error that says why a remote one will not do here.
pub fn local_only(name: &str, what: &str) -> Result<()> {
    match name.parse::<ModelName>()? {
        ModelName::Remote { .. } => Err(Error::new(
            ErrorKind::BadInput,
            format!("model `{name}`"),
            format!("{what} needs the model's files, a remote model has none here"),
        )
        .hint("name a local model with --model")
        .into()),
        _ => Ok(()),
    }
}
