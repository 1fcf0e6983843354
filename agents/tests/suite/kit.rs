//! A collection in memory, and a model that says what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use corbie_agents::Answerer;
use corbie_core::testing::{HashEmbedder, ScriptedChatModel};
use corbie_core::{
    BoxFuture, Chunk, Document, EmbedKind, Embedder, Hit, Message, Point, Result, RetrieveRequest,
    Retriever, Scores, VectorStore, ids,
};
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::{MemoryStore, SearchMode, StoreRetriever};

/// A document's chunks: its paragraphs, with `overlap` more bytes at each end where characters
/// allow it.
pub fn chunks(document: &Document, overlap: usize) -> Vec<Chunk> {
    let id = ids::document("test", &document.source);
    let text = &document.text;
    let mut start = 0;
    let mut chunks = Vec::new();
    for paragraph in text.split("\n\n") {
        let end = start + paragraph.len();
        let from = (start.saturating_sub(overlap)..=start).find(|at| text.is_char_boundary(*at));
        let to = (end..=end + overlap)
            .rev()
            .find(|at| text.is_char_boundary(*at));
        let (from, to) = (from.unwrap(), to.unwrap().min(text.len()));
        let piece = text[from..to].to_owned();
        chunks.push(Chunk {
            id: ids::chunk(&id, &piece, 0),
            document: id,
            source: document.source.clone(),
            text: piece,
            start: from,
            end: to,
            page: document.page_at(from),
            heading: document.heading_path_at(from),
            metadata: document.metadata.clone(),
        });
        start = end + 2;
    }
    chunks
}

/// A document as one chunk.
pub fn whole(document: &Document) -> Chunk {
    let id = ids::document("test", &document.source);
    Chunk {
        id: ids::chunk(&id, &document.text, 0),
        document: id,
        source: document.source.clone(),
        text: document.text.clone(),
        start: 0,
        end: document.text.len(),
        page: None,
        heading: Vec::new(),
        metadata: document.metadata.clone(),
    }
}

/// A keyword and vector index over documents.
pub async fn collection(documents: &[Document], overlap: usize) -> StoreRetriever {
    let embedder = HashEmbedder::new(256);
    let bm25 = Bm25::default();
    let store = MemoryStore::new(Some(256));
    for document in documents {
        let chunks = chunks(document, overlap);
        let texts: Vec<String> = chunks.iter().map(|chunk| chunk.text.clone()).collect();
        let vectors = embedder.embed(&texts, EmbedKind::Document).await.unwrap();
        let points = chunks
            .into_iter()
            .zip(vectors)
            .map(|(chunk, vector)| Point {
                namespace: None,
                sparse: Some(bm25.document(&chunk.text)),
                dense: Some(vector),
                chunk,
            });
        store.upsert(points.collect()).await.unwrap();
    }
    StoreRetriever {
        store: Arc::new(store),
        embedder: Some(Arc::new(embedder)),
        sparse: Arc::new(bm25),
        mode: SearchMode::Hybrid,
    }
}

/// A retriever that counts its calls and returns these texts, one document each, best first.
pub struct Fixed {
    hits: Vec<Hit>,
    pub calls: AtomicUsize,
    pub asked: std::sync::Mutex<Vec<String>>,
}

impl Fixed {
    pub fn new(texts: &[&str]) -> Self {
        let hit = |(i, text): (usize, &&str)| Hit {
            chunk: whole(&Document::new(format!("{i}.md"), *text)),
            score: 1.0 / (61 + i) as f32,
            scores: Scores {
                dense: Some(0.8),
                sparse: Some(9.0),
            },
        };
        Self {
            hits: texts.iter().enumerate().map(hit).collect(),
            calls: AtomicUsize::new(0),
            asked: std::sync::Mutex::default(),
        }
    }
}

impl Retriever for Fixed {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.asked.lock().unwrap().push(request.question);
        let hits = self.hits.iter().take(request.limit).cloned().collect();
        Box::pin(async move { Ok(hits) })
    }
}

/// A model with this script.
pub fn model(replies: &[&str]) -> Arc<ScriptedChatModel> {
    Arc::new(ScriptedChatModel::new(
        replies.iter().map(|reply| Message::assistant(*reply)),
    ))
}

/// An answerer over fixed texts with a scripted model.
pub fn answerer(texts: &[&str], replies: &[&str]) -> (Answerer, Arc<ScriptedChatModel>) {
    let model = model(replies);
    (
        Answerer::new(model.clone(), Arc::new(Fixed::new(texts))),
        model,
    )
}
