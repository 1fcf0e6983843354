//! Few-shot examples, the most fitting ones.

use std::sync::Arc;

use corbie_core::{EmbedKind, Embedder, Embedding, Message, Result, TokenCounter};

use crate::likeness::cosine;
use serde::{Deserialize, Serialize};

/// An input and the output that is wanted for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// What is asked.
    pub input: String,
    /// What is answered.
    pub output: String,
}

/// Examples that can be looked through by likeness.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Example, Examples};
/// use corbie_core::testing::{HashEmbedder, WordCounter};
///
/// let example = |input: &str, output: &str| Example { input: input.into(), output: output.into() };
/// let all = vec![
///     example("the weather in Lima", "weather(Lima)"),
///     example("three times four", "multiply(3, 4)"),
/// ];
/// # futures::executor::block_on(async {
/// let examples = Examples::new(Arc::new(HashEmbedder::new(64)), all).await?;
/// let counter = WordCounter { limit: 256 };
/// let chosen = examples.select("the weather in Oslo", &counter, 8).await?;
/// assert_eq!(chosen[0].output, "weather(Lima)");
/// # Ok::<(), corbie_core::Error>(())
/// # })?;
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Examples {
    embedder: Arc<dyn Embedder>,
    all: Vec<Example>,
    vectors: Vec<Embedding>,
}

impl Examples {
    /// Embeds the inputs of these examples, once.
    ///
    /// # Errors
    ///
    /// Those of [`Embedder::embed`].
    pub async fn new(embedder: Arc<dyn Embedder>, all: Vec<Example>) -> Result<Self> {
        let inputs: Vec<String> = all.iter().map(|example| example.input.clone()).collect();
        let vectors = embedder.embed(&inputs, EmbedKind::Document).await?;
        Ok(Self {
            embedder,
            all,
            vectors,
        })
    }

    /// The examples most like `query` that together have at most `budget` tokens, the most alike
    /// last: a model heeds most what stands next to the question. One that does not fit makes room
    /// for those behind it.
    ///
    /// # Errors
    ///
    /// Those of [`Embedder::embed`].
    pub async fn select(
        &self,
        query: &str,
        counter: &dyn TokenCounter,
        budget: usize,
    ) -> Result<Vec<&Example>> {
        let queries = [query.to_owned()];
        let vectors = self.embedder.embed(&queries, EmbedKind::Query).await?;
        let query = vectors.first().map(Vec::as_slice).unwrap_or_default();
        let mut ranked: Vec<(f32, &Example)> = self
            .vectors
            .iter()
            .map(|vector| cosine(vector, query))
            .zip(&self.all)
            .collect();
        // A stable sort: of examples that are as like, the first one given comes first.
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut left = budget;
        let mut chosen = Vec::new();
        for (_, example) in ranked {
            let tokens = counter.count(&example.input) + counter.count(&example.output);
            if tokens <= left {
                left -= tokens;
                chosen.push(example);
            }
        }
        chosen.reverse();
        Ok(chosen)
    }
}

/// Examples as turns of a conversation, to stand between the instructions and the question.
pub fn demonstrations(examples: &[&Example]) -> Vec<Message> {
    let turns = examples.iter().flat_map(|example| {
        [
            Message::user(example.input.as_str()),
            Message::assistant(example.output.as_str()),
        ]
    });
    turns.collect()
}
