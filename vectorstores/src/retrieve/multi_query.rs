//! A question that a model puts into other words, or takes apart.

use std::sync::Arc;

use corbie_core::{BoxFuture, ChatModel, Error, Hit, Result, RetrieveRequest, Retriever};
use futures::future::try_join_all;

use super::ask::{Bilingual, texts};
use super::hybrid::fused;
use super::traced;
use crate::rank::fusion_depth;

/// Searches for a question and for others that a model makes of it, all at once, and fuses what is
/// found by their scores.
///
/// A model that fails or writes nothing is traced as a warning, and the plain question is searched
/// for alone.
#[derive(Clone)]
pub struct MultiQuery {
    /// Who finds.
    pub retriever: Arc<dyn Retriever>,
    /// Who writes.
    pub model: Arc<dyn ChatModel>,
    /// What the question is made into.
    pub into: Queries,
    /// How many other questions at most.
    pub count: usize,
}

/// What a question is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    /// The same question in other words: helps where documents say it otherwise than people ask.
    Phrasings,
    /// Simpler questions that make it up: helps where the answer is in several places (as in
    /// Press et al., "Measuring and Narrowing the Compositionality Gap in Language Models", 2023,
    /// but in one step).
    Parts,
}

const PHRASINGS: Bilingual = Bilingual {
    english: "The user's message is a question for searching documents. Write {count} other \
        phrasings of it: the same question in other words, with synonyms and the terms that a \
        document would use. Keep names and numbers as they are. Do not answer it, and write in \
        its language.",
    chinese: "用户的消息是一个用于检索文档的问题。请写出 {count} 个不同的说法：意思相同，用词不同，\
        使用同义词和文档中可能出现的术语。人名、名称和数字保持不变。不要回答问题，并使用问题所用的语言。",
};

const PARTS: Bilingual = Bilingual {
    english: "The user's message is a question for searching documents. Take it apart into at \
        most {count} simpler questions, each of which can be searched for alone and names what it \
        is about in full. If it is simple already, repeat it as the only one. Do not answer it, \
        and write in its language.",
    chinese: "用户的消息是一个用于检索文档的问题。请把它拆分成最多 {count} 个更简单的问题，\
        每个都能单独检索，并完整写出所问的对象。如果它已经很简单，就原样重复它一次。\
        不要回答问题，并使用问题所用的语言。",
};

impl MultiQuery {
    /// Three phrasings beside the question.
    pub fn phrasings(retriever: impl Retriever + 'static, model: Arc<dyn ChatModel>) -> Self {
        Self {
            retriever: Arc::new(retriever),
            model,
            into: Queries::Phrasings,
            count: 3,
        }
    }

    /// Up to four simpler questions beside the question.
    pub fn parts(retriever: impl Retriever + 'static, model: Arc<dyn ChatModel>) -> Self {
        Self {
            into: Queries::Parts,
            count: 4,
            ..Self::phrasings(retriever, model)
        }
    }

    /// The same with at most this many other questions.
    #[must_use]
    pub fn with_count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let instructions = match self.into {
            Queries::Phrasings => &PHRASINGS,
            Queries::Parts => &PARTS,
        };
        let asked = request.question.trim();
        let mut others = texts(self.model.as_ref(), instructions, asked, self.count).await;
        others.retain(|other| other != asked);
        let limit = request.limit;
        let request = request.with_limit(fusion_depth(limit));
        let requests = others.into_iter().map(|question| RetrieveRequest {
            question,
            filter: request.filter.clone(),
            limit: request.limit,
        });
        let requests = std::iter::once(request.clone()).chain(requests);
        let searches = requests.map(|request| {
            let found = self.retriever.retrieve(request);
            async move { Ok::<_, Error>((1.0, found.await?)) }
        });
        Ok(fused(try_join_all(searches).await?, limit))
    }
}

impl Retriever for MultiQuery {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let mode = match self.into {
            Queries::Phrasings => "multi_query",
            Queries::Parts => "decompose",
        };
        traced(mode, request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        self.retriever.competence(question)
    }
}
