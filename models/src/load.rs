//! Opening models by name, wherever they live.

use std::sync::Arc;

use corbie_core::{ChatModel, Embedder, Error, ErrorKind, Reranker, Result};

use crate::ModelName;
use crate::chat::{LocalChatModel, LocalChatOptions};
use crate::dialect::Dialect;
use crate::encoder::{LocalEmbedderOptions, LocalReranker, LocalRerankerOptions, load_embedder};
use crate::hub::{Format, Hub, LocalModel, Report};

type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Opens models by name: local ones through the hub, remote ones where the build has them.
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
    hub: Hub,
    #[cfg_attr(not(feature = "openai"), allow(dead_code))]
    variable: Variables,
}

impl Models {
    /// Models from `hub`; keys and addresses of remote services are looked up with `variable`.
    pub fn new(
        hub: Hub,
        variable: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            hub,
            variable: Box::new(variable),
        }
    }

    /// Where local models come from.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The chat model called `name`. The answers of a remote one are checked
    /// (`corbie_models::validated`), so that every request field means the same everywhere.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::resolve`] and of loading the file; [`BadInput`](ErrorKind::BadInput) for
    /// the name of an embedding model; [`Offline`](ErrorKind::Offline) for a remote one when the
    /// network may not be used.
    pub async fn chat(&self, name: &str, report: Report<'_>) -> Result<Arc<dyn ChatModel>> {
        if let ModelName::Remote { provider, model } = name.parse()? {
            return self.remote_chat(name, &provider, &model);
        }
        let files = self.hub.resolve(name, report).await?;
        if files.format != Format::Gguf {
            return Err(unfit(name, "it is no GGUF file, so it does not chat")
                .hint("`corbie models list` shows which models chat"));
        }
        let options = LocalChatOptions {
            name: Some(name.to_owned()),
            ..LocalChatOptions::default()
        };
        let load = move || LocalChatModel::load(&files.path, options);
        Ok(Arc::new(on_a_thread(name, load).await?))
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
        let files = self.hub.resolve(name, report).await?;
        if files.format != Format::Safetensors {
            return Err(unfit(name, "it is a GGUF chat model, so it does not embed")
                .hint("`corbie models list` shows which models embed"));
        }
        let options = LocalEmbedderOptions {
            name: Some(name.to_owned()),
            ..LocalEmbedderOptions::default()
        };
        on_a_thread(name, move || load_embedder(&files.path, options)).await
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
        let files = self.hub.resolve(name, report).await?;
        if files.format != Format::Safetensors {
            return Err(
                unfit(name, "it is a GGUF chat model, so it does not rerank")
                    .hint("a reranker is a cross-encoder in safetensors"),
            );
        }
        let options = LocalRerankerOptions {
            name: Some(name.to_owned()),
            ..LocalRerankerOptions::default()
        };
        let load = move || LocalReranker::load(&files.path, options);
        Ok(Arc::new(on_a_thread(name, load).await?))
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

/// What the files of a model say of themselves: for people, in the order of interest.
///
/// # Errors
///
/// When a GGUF file is damaged.
pub fn describe(model: &LocalModel) -> Result<Vec<(&'static str, serde_json::Value)>> {
    use serde_json::json;
    if model.format != Format::Gguf {
        return Ok(Vec::new());
    }
    let file = crate::gguf::GgufFile::open(&model.path)?;
    let metadata = file.metadata();
    let architecture = file.architecture()?;
    let context = metadata.u64(&format!("{architecture}.context_length"))?;
    let parameters: u64 = file
        .tensors()
        .map(|tensor| tensor.shape.iter().map(|dim| *dim as u64).product::<u64>())
        .sum();
    let template = metadata.str("tokenizer.chat_template")?;
    let mut facts = vec![
        ("architecture", json!(architecture)),
        ("parameters", json!(parameters)),
        ("context_length", json!(context)),
        ("tokenizer", json!(metadata.str("tokenizer.ggml.model")?)),
        ("chat_template", json!(template.is_some())),
    ];
    let tokens = metadata.strings("tokenizer.ggml.tokens")?;
    let dialect = Dialect::of(template, &|token| {
        tokens
            .as_ref()
            .is_some_and(|tokens| tokens.contains(&token))
    });
    facts.push(("dialect", json!(dialect.name)));
    if let Some(licence) = metadata.str("general.license")? {
        facts.push(("licence", json!(licence)));
    }
    if let Some(title) = metadata.str("general.name")? {
        facts.push(("title", json!(title)));
    }
    Ok(facts)
}

/// Loads on a thread of its own, so that whatever runs beside it goes on.
async fn on_a_thread<T: Send + 'static>(
    name: &str,
    load: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = futures::channel::oneshot::channel();
    let subject = format!("model `{name}`");
    std::thread::Builder::new()
        .name("load model".into())
        .spawn(move || {
            // The receiver is gone when the caller gave up: nobody misses the model then.
            let _ = send.send(load());
        })
        .map_err(|error| Error::io(subject.as_str(), error))?;
    receive
        .await
        .map_err(|_| Error::new(ErrorKind::Internal, subject, "loading it panicked"))?
}

fn unfit(name: &str, cause: &str) -> Error {
    Error::new(ErrorKind::BadInput, format!("model `{name}`"), cause)
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
