//! How the hub's models are loaded into a pool.

use std::path::PathBuf;
use std::sync::Arc;

use corbie_core::{BoxFuture, ChatModel, Error, ErrorKind, Result};
use futures::channel::oneshot;

use crate::chat::{LocalChatModel, LocalChatOptions};
use crate::encoder::{
    LocalEmbedderOptions, LocalReranker, LocalRerankerOptions, LocalSparseEmbedder,
    LocalSparseEmbedderOptions, load_with_counter,
};
use crate::estimate;
use crate::hub::{Format, Hub, LocalModel, ModelKind, Report};
use crate::pool::{ChatFace, Duty, EmbedderFace, Loaded, Plan, Plans};

/// The models that a hub finds.
pub(crate) struct HubPlans {
    pub hub: Arc<Hub>,
    /// How chat models are loaded.
    pub chat: LocalChatOptions,
}

impl Plans for HubPlans {
    fn plan<'a>(
        &'a self,
        duty: Duty,
        name: &'a str,
        report: Report<'a>,
    ) -> BoxFuture<'a, Result<Plan>> {
        Box::pin(async move {
            let files = self.hub.resolve(name, report).await?;
            check(duty, name, &files)?;
            let chat = LocalChatOptions {
                name: Some(name.to_owned()),
                ..self.chat.clone()
            };
            let (own, path) = (name.to_owned(), files.path);
            on_a_thread(name, move || match duty {
                Duty::Chat => chat_plan(path, chat),
                Duty::Embed => embedder_plan(own, path),
                Duty::Rerank => reranker_plan(own, path),
                Duty::Sparse => sparse_plan(own, path),
            })
            .await
        })
    }
}

/// Refuses a model that is known to be of another kind. What a model is may be unknown; then
/// loading it tells.
fn check(duty: Duty, name: &str, files: &LocalModel) -> Result<()> {
    let unfit = |cause: &str, hint: &str| {
        let error = Error::new(ErrorKind::BadInput, format!("model `{name}`"), cause);
        Err(error.hint(hint))
    };
    match (duty, files.format, files.kind) {
        (Duty::Chat, _, Some(ModelKind::Embedding | ModelKind::Reranking)) => unfit(
            "it is an encoder, so it does not chat",
            "`corbie models list` shows which models chat",
        ),
        (Duty::Embed, Format::Gguf, _) => unfit(
            "it is a GGUF chat model, so it does not embed",
            "`corbie models list` shows which models embed",
        ),
        (Duty::Embed, _, Some(ModelKind::Chat | ModelKind::Completion)) => unfit(
            "it is a chat model, so it does not embed",
            "`corbie models list` shows which models embed",
        ),
        (Duty::Rerank, Format::Gguf, _) => unfit(
            "it is a GGUF chat model, so it does not rerank",
            "a reranker is a cross-encoder in safetensors",
        ),
        (Duty::Sparse, Format::Gguf, _) => unfit(
            "it is a GGUF chat model, so it does not weigh terms",
            "SPLADE is a masked language model in safetensors",
        ),
        _ => Ok(()),
    }
}

fn chat_plan(path: PathBuf, options: LocalChatOptions) -> Result<Plan> {
    let need = estimate::chat(&path, &options)?;
    let load = move |bytes: usize, progress: &(dyn Fn(f32) + Send + Sync)| {
        // What there is beyond the need is for beginnings of prompts.
        let spare = bytes.saturating_sub(need.least());
        let options = LocalChatOptions {
            memory: Some(need.context + spare),
            ..options.clone()
        };
        let model = Arc::new(LocalChatModel::load_watched(&path, options, progress)?);
        let face = Arc::new(face(&model));
        Ok(Loaded::Chat(model, face))
    };
    Ok(Plan {
        least: need.least(),
        most: need.total(),
        kept: need.tokenizer,
        load: Arc::new(load),
    })
}

/// What stays of a chat model: its tokenizer and its template.
fn face(model: &LocalChatModel) -> ChatFace {
    let (tokenizer, template) = model.front();
    let tokens = Arc::clone(&tokenizer);
    ChatFace {
        info: model.info().clone(),
        tokens: Some(tokens),
        prompt_tokens: Box::new(move |request| {
            let prompt = template.encode_chat(&tokenizer, request)?;
            Ok(prompt.len())
        }),
    }
}

fn embedder_plan(name: String, path: PathBuf) -> Result<Plan> {
    let options = LocalEmbedderOptions {
        name: Some(name),
        ..LocalEmbedderOptions::default()
    };
    let need = estimate::embedder(&path, &options)?;
    let load = move |_: usize, _: &(dyn Fn(f32) + Send + Sync)| {
        let (embedder, tokens) = load_with_counter(&path, options.clone())?;
        let info = embedder.info().clone();
        let face = Arc::new(EmbedderFace { info, tokens });
        Ok(Loaded::Embed(embedder, face))
    };
    Ok(Plan {
        least: need.least(),
        most: need.total(),
        kept: need.tokenizer,
        load: Arc::new(load),
    })
}

fn reranker_plan(name: String, path: PathBuf) -> Result<Plan> {
    let options = LocalRerankerOptions {
        name: Some(name),
        ..LocalRerankerOptions::default()
    };
    let need = estimate::reranker(&path, &options)?;
    let load = move |_: usize, _: &(dyn Fn(f32) + Send + Sync)| {
        let reranker = LocalReranker::load(&path, options.clone())?;
        Ok(Loaded::Rerank(Arc::new(reranker)))
    };
    Ok(Plan {
        least: need.least(),
        most: need.total(),
        kept: 0,
        load: Arc::new(load),
    })
}

fn sparse_plan(name: String, path: PathBuf) -> Result<Plan> {
    let options = LocalSparseEmbedderOptions {
        name: Some(name),
        ..LocalSparseEmbedderOptions::default()
    };
    let need = estimate::sparse_embedder(&path, &options)?;
    let load = move |_: usize, _: &(dyn Fn(f32) + Send + Sync)| {
        let embedder = LocalSparseEmbedder::load(&path, options.clone())?;
        Ok(Loaded::Sparse(Arc::new(embedder)))
    };
    Ok(Plan {
        least: need.least(),
        most: need.total(),
        kept: 0,
        load: Arc::new(load),
    })
}

/// Works on a thread of its own, so that whatever runs beside it goes on.
async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = oneshot::channel();
    let subject = format!("model `{name}`");
    std::thread::Builder::new()
        .name("read model".into())
        .spawn(move || {
            // The receiver is gone when the caller gave up: nobody misses the result then.
            let _ = send.send(work());
        })
        .map_err(|error| Error::io(subject.as_str(), error))?;
    receive
        .await
        .map_err(|_| Error::new(ErrorKind::Internal, subject, "reading its header panicked"))?
}
