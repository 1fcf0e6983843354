//! What the commands need: settings, models and collections, opened once.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use corbie_agents::{AnswerCache, Answerer, CacheOptions};
use corbie_core::{
    ChatModel, Embedder, EmbedderTokens, Error, ErrorKind, Parser, Reranker, Retriever,
    SparseEmbedder,
};
use corbie_loaders::{IsolatedParser, SplitOptions, TokenSplitter, WorkerCommand};
use corbie_models::chat::LocalChatOptions;
use corbie_models::hub::{DEFAULT_CHAT, Hub, HubOptions, LocalModel, suggest};
use corbie_models::kernels::Precision;
use corbie_models::pool::PoolOptions;
use corbie_models::{ModelName, Models, memory_bytes};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::index::{CollectionInfo, Collections, Index, IndexParts, Stores};
use corbie_vectorstores::retrieve::Contextualizer;

use crate::args::{Global, OutputForm};
use crate::config::{Origin, Settings};
use crate::output::{Output, quoted};
use crate::progress::FetchProgress;
use crate::stores::stores;

/// How long to wait for another process that holds a collection.
const COLLECTION_WAIT: Duration = Duration::from_secs(10);

/// The name of counted words among models that weigh them.
pub const COUNTED: &str = "bm25";

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
        Ok(Self {
            output: Output::new(form, global.quiet),
            models: models(&settings, LocalChatOptions::default())?,
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

    /// The chat model in force, loaded with these options where it is a local one.
    pub async fn chat_model_with(&self, options: LocalChatOptions) -> Result<Arc<dyn ChatModel>> {
        let models = models(&self.settings, options)?;
        let progress = FetchProgress::new(self.output);
        let name = self.settings.get("model");
        Ok(models.chat(name, &|event| progress.report(event)).await?)
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

    /// The model called `name`, or the one in force, that weighs words; `None`: they are counted.
    pub async fn sparse_embedder(
        &self,
        name: Option<&str>,
    ) -> Result<Option<Arc<dyn SparseEmbedder>>> {
        let progress = FetchProgress::new(self.output);
        let name = name.unwrap_or_else(|| self.settings.get("sparse"));
        if matches!(name, "" | COUNTED) {
            return Ok(None);
        }
        let embedder = self
            .models
            .sparse_embedder(name, &|event| progress.report(event))
            .await?;
        Ok(Some(embedder))
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
        let keeps = self.settings.parsed("answer_cache", |value| match value {
            "off" => Some(false),
            "same" => Some(true),
            _ => None,
        })?;
        if keeps {
            let path = index.folder().join("answers.sqlite");
            let options = CacheOptions::default();
            let cache = AnswerCache::open(&path, None, index.versions(), options)?;
            // What else decides an answer: how passages are found.
            let scope = format!("{} {}", index.name(), mode.as_str());
            answerer.cache = Some((Arc::new(cache), scope));
        }
        Ok(answerer)
    }

    /// A collection that is there, with the embedding model and in the store it was made with,
    /// unless `--embedder` or `--store` name others.
    pub async fn open(&self, name: &str) -> Result<Index> {
        let info = self.collections.info(name)?;
        self.open_with(name, Some(info)).await
    }

    /// A collection, made when it is not there.
    pub async fn open_or_create(&self, name: &str) -> Result<Index> {
        let info = match self.collections.info(name) {
            Ok(info) => Some(info),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        self.open_with(name, info).await
    }

    async fn open_with(&self, name: &str, info: Option<CollectionInfo>) -> Result<Index> {
        let parts = self.parts(info.as_ref()).await?;
        let (collections, name) = (self.collections.clone(), name.to_owned());
        let open = move || Index::open(&collections, &name, parts);
        Ok(tokio::task::spawn_blocking(open).await??)
    }

    /// What an index is made of: as the collection says, but for what was typed.
    pub async fn parts(&self, made: Option<&CollectionInfo>) -> Result<IndexParts> {
        let embedder = made
            .and_then(|info| info.embedder.as_ref())
            .map(|embedder| embedder.model.as_str())
            .filter(|_| !self.is_typed("embedder"));
        let embedder = self.embedder(embedder).await?;
        let sparse = made
            .map(|info| info.sparse.as_ref().map_or(COUNTED, |sparse| &sparse.model))
            .filter(|_| !self.is_typed("sparse"));
        let sparse = self.sparse_embedder(sparse).await?;
        let splitter = Arc::new(self.splitter(&embedder)?);
        let parts = IndexParts::new(Some(embedder), self.parser()?, splitter);
        Ok(IndexParts {
            stores: self.stores(made)?,
            wait: COLLECTION_WAIT,
            contexts: self.contexts().await?,
            sparse: sparse.unwrap_or_else(|| Arc::clone(&parts.sparse)),
            ..parts
        })
    }

    /// Who writes where chunks stand, if anybody does.
    async fn contexts(&self) -> Result<Option<Contextualizer>> {
        let known = |value: &str| match value {
            "off" => Some(false),
            "model" => Some(true),
            _ => None,
        };
        match self.settings.parsed("chunk_context", known)? {
            false => Ok(None),
            true => Ok(Some(Contextualizer::new(self.chat_model().await?))),
        }
    }

    /// Where the points of a collection are, or of a new one are to be.
    pub fn stores(&self, made: Option<&CollectionInfo>) -> Result<Arc<dyn Stores>> {
        let made = made.and_then(|info| info.store.as_deref());
        match made.filter(|_| !self.is_typed("store")) {
            Some(store) => stores(store),
            None => stores(self.settings.get("store")),
        }
    }

    /// Whether `--store` was typed.
    pub fn stores_are_typed(&self) -> bool {
        self.is_typed("store")
    }

    fn is_typed(&self, setting: &str) -> bool {
        matches!(self.settings.origin(setting), Origin::Flag)
    }

    /// A line to type: this program with these words, and with the options that hold for every
    /// command and were typed this time.
    pub fn again(&self, words: &[String]) -> String {
        let mut line = vec!["corbie".to_owned()];
        line.extend(words.iter().map(|word| quoted(word)));
        for setting in self.settings.iter() {
            let option = format!("--{}", setting.name.replace('_', "-"));
            match setting.name {
                _ if setting.origin != Origin::Flag => {}
                "offline" => line.push(option),
                _ => line.extend([option, quoted(&setting.value)]),
            }
        }
        line.join(" ")
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

/// The models of these settings; local chat models are loaded with `options`, in the arithmetic
/// that is set.
fn models(settings: &Settings, options: LocalChatOptions) -> Result<Models> {
    let options = LocalChatOptions {
        precision: precision(settings)?,
        ..options
    };
    let variable = |name: &str| std::env::var(name).ok();
    let mut hub = HubOptions::from_env(variable)?;
    hub.offline |= settings.switch("offline")?;
    let pool = pool_options(settings)?;
    Ok(Models::with_options(Hub::new(hub), variable, pool, options))
}

/// A splitter in the tokens of `embedder`, of chunks of at most `max_tokens`.
pub fn splitter(embedder: &Arc<dyn Embedder>, max_tokens: usize) -> TokenSplitter {
    let counter = Arc::new(EmbedderTokens(embedder.clone()));
    TokenSplitter::new(counter, SplitOptions::from(max_tokens))
}

/// How local chat models multiply.
pub fn precision(settings: &Settings) -> Result<Precision> {
    settings.parsed("precision", |value| match value {
        "quick" => Some(Precision::Quantized),
        "fine" => Some(Precision::Fine),
        "f32" => Some(Precision::F32),
        _ => None,
    })
}

/// What the models in memory may take: as set, or the usual share of the machine's memory.
fn pool_options(settings: &Settings) -> Result<PoolOptions> {
    let default = PoolOptions::default();
    Ok(PoolOptions {
        memory: match settings.get("memory") {
            "" => default.memory,
            _ => settings.parsed("memory", byte_count)?,
        },
        ..default
    })
}

/// A number of bytes as people write it: `6GB`, `512 MiB`, `4000000000`.
fn byte_count(text: &str) -> Option<usize> {
    const UNITS: [(&str, u64); 9] = [
        ("KIB", 1 << 10),
        ("MIB", 1 << 20),
        ("GIB", 1 << 30),
        ("TIB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let text = text.trim().to_ascii_uppercase();
    let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
    let (number, factor) = match unit {
        Some((name, factor)) => (&text[..text.len() - name.len()], *factor),
        None => (text.as_str(), 1),
    };
    let number: f64 = number.trim().parse().ok()?;
    let bytes = number * factor as f64;
    (bytes >= 1.0 && bytes < usize::MAX as f64).then_some(bytes as usize)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_people_write_them() {
        let cases = [
            ("6GB", Some(6_000_000_000)),
            ("512 MiB", Some(512 << 20)),
            ("1.5gib", Some(3 << 29)),
            ("4000000000", Some(4_000_000_000)),
            ("10 b", Some(10)),
            ("0", None),
            ("-1GB", None),
            ("GB", None),
            ("much", None),
            ("nan", None),
            ("1e300", None),
        ];
        for (text, expected) in cases {
            assert_eq!(byte_count(text), expected, "{text}");
        }
    }
}
