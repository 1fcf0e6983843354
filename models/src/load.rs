//! Opening models by name, wherever they live.

use std::sync::Arc;

use corbie_core::{ChatModel, Embedder, Error, ErrorKind, Reranker, Result, SparseEmbedder};

use crate::ModelName;
use crate::chat::LocalChatOptions;
use crate::hub::{Hub, Report};
use crate::plans::HubPlans;
use crate::pool::{Duty, ModelPool, PoolOptions};

type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Opens models by name: local ones through the hub into one pool, remote ones where the build
/// has them.
///
/// ```no_run
/// use corbie_models::Models;
/// use corbie_models::hub::{Hub, HubOptions, silent};
///
/// # async fn example() -> corbie_core::Result<()> {
/// let variable = |name: &str| std::env::var(name).ok();
/// let models = Models::new(Hub::new(HubOptions::from_env(variable)?), variable);
/// let chat = models.chat("smollm2", &silent).await?;
/// println!("{} reads {} tokens", chat.info().model, chat.info().context_length);
/// # Ok(())
/// # }
/// ```
pub struct Models {
    hub: Arc<Hub>,
    pool: ModelPool,
    #[cfg_attr(not(feature = "openai"), allow(dead_code))]
    variable: Variables,
}

impl Models {
    /// Models from `hub`, in a pool with the usual options; keys and addresses of remote services
    /// are looked up with `variable`.
    pub fn new(
        hub: Hub,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let chat = LocalChatOptions::default();
        Self::with_options(hub, variable, PoolOptions::default(), chat)
    }

    /// The same with other options of the pool, and of its chat models, whose name is the one
    /// that they are asked for by.
    pub fn with_options(
        hub: Hub,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        pool: PoolOptions,
        chat: LocalChatOptions,
    ) -> Self {
        let hub = Arc::new(hub);
        let plans = HubPlans {
            hub: Arc::clone(&hub),
            chat,
        };
        Self {
            hub,
            pool: ModelPool::new(plans, pool),
            variable: Box::new(variable),
        }
    }

    /// Where local models come from.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Where local models are when they are loaded: what is in memory, and how to take it out.
    pub fn pool(&self) -> &ModelPool {
        &self.pool
    }

    /// The chat model called `name`: a GGUF file, a directory of safetensors, or a remote one. The
    /// answers of a remote one are checked (`corbie_models::validated`), so that every request
    /// field means the same everywhere.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::resolve`] and of loading the file; [`BadInput`](ErrorKind::BadInput) for
    /// the name of an embedding model; [`LimitExceeded`](ErrorKind::LimitExceeded) for one that is
    /// larger than the pool; [`Offline`](ErrorKind::Offline) for a remote one when the network may
    /// not be used.
    pub async fn chat(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn ChatModel>> {
        if let ModelName::Remote { provider, model } = name.parse()? {
            return self.remote_chat(name, &provider, &model);
        }
        self.pool.chat(name, report).await
    }

    /// The embedding model called `name`.
    ///
    /// # Errors
    ///
    /// As [`Models::chat`].
    pub async fn embedder(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn Embedder>> {
        if let ModelName::Remote { provider, model } = name.parse()? {
            return self.remote_embedder(name, &provider, &model).await;
        }
        self.pool.embedder(name, report).await
    }

    /// The reranker called `name`.
    ///
    /// # Errors
    ///
    /// As [`Models::chat`]; [`Unsupported`](ErrorKind::Unsupported) for a remote one.
    pub async fn reranker(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn Reranker>> {
        if let ModelName::Remote { .. } = name.parse()? {
            let subject = format!("model `{name}`");
            let cause = "remote rerankers are not known";
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("name a local one: a folder, or hf:owner/repository"));
        }
        self.pool.reranker(name, report).await
    }

    /// The sparse embedder called `name`: a masked language model such as SPLADE.
    ///
    /// # Errors
    ///
    /// As [`Models::chat`]; [`Unsupported`](ErrorKind::Unsupported) for a remote one.
    pub async fn sparse_embedder(
        &self,
        name: &str,
        report: Report<'_>,
    ) -> Result<Arc<dyn SparseEmbedder>> {
        if let ModelName::Remote { .. } = name.parse()? {
            let subject = format!("model `{name}`");
            let cause = "remote sparse embedders are not known";
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("name a local one: a folder, or hf:owner/repository"));
        }
        self.pool.sparse_embedder(name, report).await
    }

    /// Loads the model called `name`, and lets it compute a little, so that the first request is
    /// as quick as the others. A remote one has nothing to load.
    ///
    /// # Errors
    ///
    /// As [`Models::chat`].
    pub async fn warm_up(&self, duty: Duty, name: &str, report: Report<'_>) -> Result<()> {
        match name.parse()? {
            ModelName::Remote { .. } => Ok(()),
            _ => self.pool.warm_up(duty, name, report).await,
        }
    }

    #[cfg(feature = "openai")]
    fn remote_options(&self, provider: &str, model: &str) -> Result<crate::openai::RemoteOptions> {
        let mut options = crate::openai::RemoteOptions::from_env(provider, model, &self.variable)?;
        options.offline = self.hub.options().offline;
        Ok(options)
    }

    #[cfg(feature = "openai")]
    fn remote_chat(&self, _name: &str, provider: &str, model: &str) -> Result<Arc<dyn ChatModel>> {
        use crate::validated::{Validated, ValidatedOptions};
        let options = self.remote_options(provider, model)?;
        let model = Arc::new(crate::openai::OpenAiChatModel::new(options)?);
        Ok(Arc::new(Validated::new(model, ValidatedOptions::default())))
    }

    #[cfg(feature = "openai")]
    async fn remote_embedder(
        &self,
        _name: &str,
        provider: &str,
        model: &str,
    ) -> Result<Arc<dyn Embedder>> {
        let options = self.remote_options(provider, model)?;
        let embedder = crate::openai::OpenAiEmbedder::connect(options, Default::default()).await?;
        Ok(Arc::new(embedder))
    }

    #[cfg(not(feature = "openai"))]
    fn remote_chat(&self, name: &str, _: &str, _: &str) -> Result<Arc<dyn ChatModel>> {
        Err(closed_door(name))
    }

    #[cfg(not(feature = "openai"))]
    async fn remote_embedder(&self, name: &str, _: &str, _: &str) -> Result<Arc<dyn Embedder>> {
        Err(closed_door(name))
    }
}

#[cfg(not(feature = "openai"))]
fn closed_door(name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("model `{name}`"),
        "this build has no remote models",
    )
    .hint("build with the feature `openai`")
}
