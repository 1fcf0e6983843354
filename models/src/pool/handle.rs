//! What callers hold: handles that load their model when it is used, and keep it from being
//! evicted while it is.

use std::sync::Arc;
use std::time::Instant;

use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatRequest, ChatStream, EmbedKind, Embedder,
    EmbedderInfo, Embedding, Error, ErrorKind, Reranker, Result, SparseEmbedder,
    SparseEmbedderInfo, SparseVector, TokenCounter,
};
use futures::{StreamExt, stream};

use super::plan::{ChatFace, EmbedderFace, Loaded};
use super::shared::{Held, Pinned, error};
use super::wait::pinned;
use crate::hub::silent;

/// A chat model of the pool.
struct ChatHandle {
    held: Held,
    face: Arc<ChatFace>,
}

/// An embedder of the pool.
struct EmbedderHandle {
    held: Held,
    face: Arc<EmbedderFace>,
}

/// A reranker of the pool.
struct RerankerHandle {
    held: Held,
}

/// A sparse embedder of the pool.
struct SparseHandle {
    held: Held,
    info: SparseEmbedderInfo,
}

/// A handle of the chat model in use.
pub(super) fn chat(model: &Pinned) -> Result<Arc<dyn ChatModel>> {
    let (_, face) = chat_parts(model)?;
    Ok(Arc::new(ChatHandle {
        held: model.hold(),
        face: Arc::clone(face),
    }))
}

/// A handle of the embedder in use.
pub(super) fn embedder(model: &Pinned) -> Result<Arc<dyn Embedder>> {
    let (_, face) = embedder_parts(model)?;
    Ok(Arc::new(EmbedderHandle {
        held: model.hold(),
        face: Arc::clone(face),
    }))
}

/// A handle of the reranker in use.
pub(super) fn reranker(model: &Pinned) -> Result<Arc<dyn Reranker>> {
    reranker_part(model)?;
    Ok(Arc::new(RerankerHandle { held: model.hold() }))
}

/// A handle of the sparse embedder in use.
pub(super) fn sparse(model: &Pinned) -> Result<Arc<dyn SparseEmbedder>> {
    Ok(Arc::new(SparseHandle {
        info: sparse_part(model)?.info(),
        held: model.hold(),
    }))
}

impl Held {
    fn changed(&self) -> Error {
        let cause = "its files have changed since it was opened: its vectors are others";
        error(ErrorKind::Mismatch, &self.key, cause).hint("open the collection again")
    }

    /// The model, loaded where it is not here.
    async fn pinned(&self, deadline: Option<Instant>) -> Result<Pinned> {
        pinned(&self.shared, &self.key, deadline, &silent).await
    }
}

impl ChatModel for ChatHandle {
    fn info(&self) -> &ChatModelInfo {
        &self.face.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.face.tokens.as_deref()
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        (self.face.prompt_tokens)(request)
    }

    fn stream(&self, mut request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let now = Instant::now();
            let deadline = request.timeout.and_then(|timeout| now.checked_add(timeout));
            let model = self.held.pinned(deadline).await?;
            if let Some(deadline) = deadline {
                request.timeout = Some(deadline.saturating_duration_since(Instant::now()));
            }
            let events = chat_parts(&model)?.0.stream(request).await?;
            Ok(until_its_end(events, model))
        })
    }
}

/// The events, and the use of their model, which ends with the last of them.
fn until_its_end(events: ChatStream, model: Pinned) -> ChatStream {
    // Dropped from left to right: the work ends before the use.
    stream::unfold(Some((events, model)), |state| async {
        let (mut events, model) = state?;
        let event = events.next().await?;
        let last = matches!(event, Ok(ChatEvent::Finish { .. }) | Err(_));
        match last {
            true => {
                drop(events);
                drop(model);
                Some((event, None))
            }
            false => Some((event, Some((events, model)))),
        }
    })
    .boxed()
}

impl Embedder for EmbedderHandle {
    fn info(&self) -> &EmbedderInfo {
        &self.face.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        &*self.face.tokens
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        Box::pin(async move {
            let model = self.held.pinned(None).await?;
            let (embedder, face) = embedder_parts(&model)?;
            if face.info != self.face.info {
                return Err(self.held.changed());
            }
            embedder.embed(texts, kind).await
        })
    }
}

impl Reranker for RerankerHandle {
    fn rerank<'a>(
        &'a self,
        question: &'a str,
        passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>> {
        Box::pin(async move {
            let model = self.held.pinned(None).await?;
            reranker_part(&model)?.rerank(question, passages).await
        })
    }
}

impl SparseEmbedder for SparseHandle {
    fn info(&self) -> SparseEmbedderInfo {
        self.info.clone()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>> {
        Box::pin(async move {
            let model = self.held.pinned(None).await?;
            let embedder = sparse_part(&model)?;
            if embedder.info() != self.info {
                return Err(self.held.changed());
            }
            embedder.embed(texts, kind).await
        })
    }
}

pub(super) fn chat_parts(model: &Pinned) -> Result<(&Arc<dyn ChatModel>, &Arc<ChatFace>)> {
    match model.model()? {
        Loaded::Chat(model, face) => Ok((model, face)),
        _ => Err(model.misplaced()),
    }
}

pub(super) fn embedder_parts(model: &Pinned) -> Result<(&Arc<dyn Embedder>, &Arc<EmbedderFace>)> {
    match model.model()? {
        Loaded::Embed(embedder, face) => Ok((embedder, face)),
        _ => Err(model.misplaced()),
    }
}

pub(super) fn reranker_part(model: &Pinned) -> Result<&Arc<dyn Reranker>> {
    match model.model()? {
        Loaded::Rerank(reranker) => Ok(reranker),
        _ => Err(model.misplaced()),
    }
}

fn sparse_part(model: &Pinned) -> Result<&Arc<dyn SparseEmbedder>> {
    match model.model()? {
        Loaded::Sparse(embedder) => Ok(embedder),
        _ => Err(model.misplaced()),
    }
}
