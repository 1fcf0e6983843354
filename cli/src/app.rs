//! What the commands need: settings, models and collections, opened once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use corbie_agents::Answerer;
use corbie_core::{
    ChatModel, Embedder, EmbedderInfo, EmbedderTokens, Error, ErrorKind, Parser, Reranker,
    Retriever,
};
use corbie_loaders::{IsolatedParser, SplitOptions, TokenSplitter, WorkerCommand};
use corbie_models::hub::{DEFAULT_CHAT, Hub, HubOptions, LocalModel, suggest};
use corbie_models::{ModelName, Models};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{Collections, Index, IndexParts, OpenStore};

use crate::args::{Global, OutputForm};
use crate::config::{Origin, Settings};
use crate::output::Output;
use crate::progress::FetchProgress;

/// How long to wait for another process that holds a collection.
const COLLECTION_WAIT: Duration = Duration::from_secs(10);

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
            collections: Collections::new(Path::new(settings.get("data_dir")).join("collections")),
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
        Ok(self
            .hub()
            .resolve(name, &|event| progress.report(event))
            .await?)
    }

    /// The chat model in force.
    pub async fn chat_model(&self) -> Result<Arc<dyn ChatModel>> {
        let progress = FetchProgress::new(self.output);
        let name = self.settings.get("model");
        Ok(self
            .models
            .chat(name, &|event| progress.report(event))
            .await?)
    }

    /// The embedding model called `name`, or the one in force.
    pub async fn embedder(&self, name: Option<&str>) -> Result<Arc<dyn Embedder>> {
        let progress = FetchProgress::new(self.output);
        let name = name.unwrap_or_else(|| self.settings.get("embedder"));
        Ok(self
            .models
            .embedder(name, &|event| progress.report(event))
            .await?)
    }

    /// The reranker called `name`, or the one in force.
    pub async fn reranker(&self, name: Option<&str>) -> Result<Arc<dyn Reranker>> {
        let progress = FetchProgress::new(self.output);
        let name = name.unwrap_or_else(|| self.settings.get("reranker"));
        if name.is_empty() {
            let cause = "no model is named";
            return Err(Error::new(ErrorKind::BadInput, "reranking", cause)
                .hint("give --reranker FOLDER or --reranker hf:owner/repository")
                .into());
        }
        Ok(self
            .models
            .reranker(name, &|event| progress.report(event))
            .await?)
    }

    /// A splitter in the tokens of `embedder`, of chunks as long as set.
    pub fn splitter(&self, embedder: &Arc<dyn Embedder>) -> Result<TokenSplitter> {
        let length = |value: &str| value.parse().ok().filter(|tokens| *tokens > 0);
        Ok(splitter(
            embedder,
            self.settings.parsed("chunk_tokens", length)?,
        ))
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

    /// What answers questions about `index`.
    pub fn answerer(
        &self,
        model: Arc<dyn ChatModel>,
        index: &Index,
        mode: SearchMode,
    ) -> Result<Answerer> {
        let share = |value: &str| value.parse().ok().filter(|x| (0.0..=1.0).contains(x));
        let mut answerer = Answerer::new(model, Arc::new(index.retriever(mode)));
        answerer.options.evidence.threshold = self.settings.parsed("evidence", share)?;
        Ok(answerer)
    }

    /// A collection that is there, with the embedding model it was made with unless `--embedder`
    /// names another.
    pub async fn open(&self, name: &str) -> Result<Index> {
        let made_with = self.collections.info(name)?.embedder;
        self.open_with(name, made_with).await
    }

    /// A collection, made when it is not there.
    pub async fn open_or_create(&self, name: &str) -> Result<Index> {
        let made_with = match self.collections.info(name) {
            Ok(info) => info.embedder,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        self.open_with(name, made_with).await
    }

    async fn open_with(&self, name: &str, made_with: Option<EmbedderInfo>) -> Result<Index> {
        let chosen = matches!(self.settings.origin("embedder"), Origin::Flag);
        let model = made_with
            .map(|made_with| made_with.model)
            .filter(|_| !chosen);
        let parts = self.parts(model.as_deref()).await?;
        let (collections, name) = (self.collections.clone(), name.to_owned());
        let open = move || Index::open(&collections, &name, parts);
        Ok(tokio::task::spawn_blocking(open).await??)
    }

    /// What an index is made of, with the embedding model called `embedder` or the one in force.
    pub async fn parts(&self, embedder: Option<&str>) -> Result<IndexParts> {
        let embedder = self.embedder(embedder).await?;
        let splitter = Arc::new(self.splitter(&embedder)?);
        Ok(IndexParts {
            open_store: open_store(),
            wait: COLLECTION_WAIT,
            ..IndexParts::new(Some(embedder), self.parser()?, splitter)
        })
    }

    /// Says, once on this machine, which larger chat models suit it.
    pub fn suggest_larger_models(&self) {
        if self.output.quiet || self.output.is_json() || self.settings.get("model") != DEFAULT_CHAT
        {
            return;
        }
        let told = Path::new(self.settings.get("data_dir")).join(".told-larger-models");
        if told.exists() {
            return;
        }
        let names: Vec<String> = suggest(memory_bytes().unwrap_or(0), false)
            .into_iter()
            .filter(|entry| entry.alias != DEFAULT_CHAT)
            .take(3)
            .map(|entry| {
                format!(
                    "--model {} ({})",
                    entry.alias,
                    crate::output::bytes(entry.bytes)
                )
            })
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

/// A splitter in the tokens of `embedder`, of chunks of at most `max_tokens`.
pub fn splitter(embedder: &Arc<dyn Embedder>, max_tokens: usize) -> TokenSplitter {
    let counter = Arc::new(EmbedderTokens(embedder.clone()));
    TokenSplitter::new(counter, SplitOptions::from(max_tokens))
}

/// Where the vectors of collections live.
#[cfg(feature = "edge")]
fn open_store() -> OpenStore {
    corbie_vectorstores::edge_stores()
}

/// Without the embedded engine vectors live in memory and are made again for each run.
#[cfg(not(feature = "edge"))]
fn open_store() -> OpenStore {
    corbie_vectorstores::index::memory_stores()
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
