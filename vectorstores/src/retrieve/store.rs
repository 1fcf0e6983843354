//! One store, searched by meaning, by words, or by both.

use std::sync::Arc;

use corbie_core::{
    BoxFuture, EmbedKind, Embedder, Error, ErrorKind, Hit, Query, Result, RetrieveRequest,
    Retriever, SearchRequest, SparseEmbedder, SparseVector, VectorStore,
};
use serde::{Deserialize, Serialize};

use super::traced;
use crate::embed::{embed, embed_sparse};

/// Which search answers a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchMode {
    /// By meaning: cosine of embeddings.
    Dense,
    /// By words: BM25, or the weights of a model.
    Keyword,
    /// Both, fused by score.
    #[default]
    Hybrid,
}

impl SearchMode {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Keyword => "keyword",
            Self::Hybrid => "hybrid",
        }
    }
}

impl std::str::FromStr for SearchMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "dense" => Ok(Self::Dense),
            "keyword" => Ok(Self::Keyword),
            "hybrid" => Ok(Self::Hybrid),
            _ => Err(Error::new(
                ErrorKind::BadInput,
                format!("search mode `{name}`"),
                "there is no such mode",
            )
            .hint("one of dense, keyword, hybrid")),
        }
    }
}

/// Finds chunks of one store by meaning, by words, or by both.
///
/// A question that the embedder's vocabulary does not know, such as a Chinese one before an
/// English model, has a meaningless vector: in hybrid mode the words then decide alone.
#[derive(Clone)]
pub struct StoreRetriever {
    /// Where to look.
    pub store: Arc<dyn VectorStore>,
    /// The model that embedded what the store keeps; without one only words are searched.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// What weighed the words of what the store keeps.
    pub sparse: Arc<dyn SparseEmbedder>,
    /// Which search answers.
    pub mode: SearchMode,
}

impl StoreRetriever {
    async fn query(&self, question: &str) -> Result<Query> {
        let Some(embedder) = self.embedder.as_ref() else {
            return match self.mode {
                SearchMode::Dense => Err(Error::new(
                    ErrorKind::BadInput,
                    "dense search",
                    "there is no embedding model to search with",
                )
                .hint("search in keyword mode, or name an embedding model")),
                SearchMode::Keyword | SearchMode::Hybrid => {
                    Ok(Query::Sparse(self.words(question).await?))
                }
            };
        };
        match self.mode {
            SearchMode::Dense => Ok(Query::Dense(
                of_question(embedder.as_ref(), question).await?,
            )),
            SearchMode::Keyword => Ok(Query::Sparse(self.words(question).await?)),
            SearchMode::Hybrid => {
                let sparse = self.words(question).await?;
                let dense_weight = match sparse.is_empty() {
                    true => 1.0,
                    false => legibility(embedder.as_ref(), question),
                };
                if dense_weight == 0.0 {
                    return Ok(Query::Sparse(sparse));
                }
                Ok(Query::Fused {
                    dense: of_question(embedder.as_ref(), question).await?,
                    sparse,
                    dense_weight,
                })
            }
        }
    }
}

impl StoreRetriever {
    /// What the terms of a question weigh.
    async fn words(&self, question: &str) -> Result<SparseVector> {
        let texts = [question.to_owned()];
        let vectors = embed_sparse(self.sparse.as_ref(), &texts, EmbedKind::Query).await?;
        Ok(vectors.into_iter().next().unwrap_or_default())
    }
}

impl Retriever for StoreRetriever {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let mode = self.mode.as_str();
        traced(mode, request.limit, async move {
            let query = self.query(&request.question).await?;
            let search = SearchRequest::new(query, request.limit).filtered(request.filter);
            self.store.search(search).await
        })
    }

    fn competence(&self, question: &str) -> f32 {
        match (self.mode, &self.embedder) {
            (SearchMode::Dense, Some(embedder)) => legibility(embedder.as_ref(), question),
            _ => 1.0,
        }
    }
}

/// What the dense side weighs for a question: nothing up to three quarters of it known to the
/// embedder, then rising to 1. An English vocabulary knows a third to a half of the characters of
/// a Chinese question and makes noise of it all the same.
pub(super) fn legibility(embedder: &dyn Embedder, question: &str) -> f32 {
    (4.0 * embedder.tokens().coverage(question) - 3.0).clamp(0.0, 1.0)
}

/// The vector of a question.
pub(super) async fn of_question(embedder: &dyn Embedder, question: &str) -> Result<Vec<f32>> {
    let texts = [question.to_owned()];
    let vectors = embed(embedder, &texts, EmbedKind::Query).await?;
    Ok(vectors.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::testing::HashEmbedder;
    use corbie_core::{EmbedderInfo, Embedding, TokenCounter};

    use super::*;
    use crate::MemoryStore;
    use crate::bm25::Bm25;

    /// Knows no Chinese.
    struct English(HashEmbedder);

    impl TokenCounter for English {
        fn count(&self, text: &str) -> usize {
            self.0.tokens().count(text)
        }

        fn limit(&self) -> usize {
            self.0.tokens().limit()
        }

        fn coverage(&self, text: &str) -> f32 {
            let known = text.chars().filter(char::is_ascii).count();
            known as f32 / text.chars().count().max(1) as f32
        }
    }

    impl Embedder for English {
        fn info(&self) -> &EmbedderInfo {
            self.0.info()
        }

        fn tokens(&self) -> &dyn TokenCounter {
            self
        }

        fn embed<'a>(
            &'a self,
            texts: &'a [String],
            kind: EmbedKind,
        ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
            self.0.embed(texts, kind)
        }
    }

    #[test]
    fn what_the_embedder_cannot_read_it_does_not_decide() {
        let retriever = |embedder| StoreRetriever {
            store: Arc::new(MemoryStore::new(Some(8))),
            embedder,
            sparse: Arc::new(Bm25::default()),
            mode: SearchMode::Hybrid,
        };
        let english: Option<Arc<dyn Embedder>> = Some(Arc::new(English(HashEmbedder::new(8))));
        let retriever = retriever(english);
        let query = |question| futures::executor::block_on(retriever.query(question)).unwrap();
        assert!(matches!(query("渡鸦会藏食物吗"), Query::Sparse(_)));
        let Query::Fused { dense_weight, .. } = query("where do ravens cache food") else {
            panic!("both modes answer an English question");
        };
        assert_eq!(dense_weight, 1.0);
        let Query::Fused { dense_weight, .. } = query("！？") else {
            panic!("a question without terms is left to the embedder");
        };
        assert_eq!(dense_weight, 1.0);
    }
}
