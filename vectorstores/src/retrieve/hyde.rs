//! Searching with an answer that a model makes up.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, ChatModel, EmbedKind, Embedder, Embedding, Hit, Query, Result, RetrieveRequest,
    Retriever, SearchRequest, VectorStore,
};

use super::ask::{Bilingual, texts};
use super::store::{legibility, of_question};
use super::traced;
use crate::embed::embed;
use crate::rank::normalized;

/// Searches with hypothetical passages: a model writes what a passage that answers the question
/// might say, and the mean of the embeddings of these passages and of the question looks for real
/// ones (HyDE; Gao, Ma, Lin and Callan, "Precise Zero-Shot Dense Retrieval without Relevance
/// Labels", 2022).
///
/// It helps where questions and passages are embedded far apart. What the passages claim is never
/// seen by anybody. A model that fails or writes nothing is traced as a warning, and the question
/// searches alone. By meaning only: put it beside a keyword search with
/// [`Hybrid`](super::Hybrid).
#[derive(Clone)]
pub struct Hyde {
    /// Where to look.
    pub store: Arc<dyn VectorStore>,
    /// The model that embedded what the store keeps.
    pub embedder: Arc<dyn Embedder>,
    /// Who writes.
    pub model: Arc<dyn ChatModel>,
    /// How many passages.
    pub count: usize,
}

const PASSAGES: Bilingual = Bilingual {
    english: "The user's message is a question. Write {count} short passages, of two to four \
        sentences, from documents that answer it, as they might stand there: plain statements in \
        the style of such documents. If you do not know the answer, make one up. Write in the \
        question's language.",
    chinese: "用户的消息是一个问题。请写出 {count} 段能回答它的文档段落，每段二到四句话，\
        就像文档中原有的文字：直接陈述，用此类文档的文体。如果不知道答案，就编写一个合理的。\
        使用问题所用的语言。",
};

impl Hyde {
    /// With one passage.
    pub fn new(
        store: Arc<dyn VectorStore>,
        embedder: Arc<dyn Embedder>,
        model: Arc<dyn ChatModel>,
    ) -> Self {
        Self {
            store,
            embedder,
            model,
            count: 1,
        }
    }

    /// The same with this many passages.
    #[must_use]
    pub fn with_count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let model = self.model.as_ref();
        let passages = texts(model, &PASSAGES, &request.question, self.count).await;
        let mut sum = normalized(of_question(self.embedder.as_ref(), &request.question).await?);
        if !passages.is_empty() {
            let vectors = embed(self.embedder.as_ref(), &passages, EmbedKind::Document).await?;
            for vector in vectors {
                add(&mut sum, &normalized(vector));
            }
        }
        // The store compares directions: the sum is as good as the mean.
        let query = Query::Dense(sum);
        let search = SearchRequest::new(query, request.limit).filtered(request.filter);
        self.store.search(search).await
    }
}

fn add(sum: &mut Embedding, vector: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(vector) {
        *sum += x;
    }
}

impl Retriever for Hyde {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("hyde", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        legibility(self.embedder.as_ref(), question)
    }
}
