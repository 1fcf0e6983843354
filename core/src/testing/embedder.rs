use crate::{BoxFuture, EmbedKind, Embedder, EmbedderInfo, Embedding, Result, TokenCounter};

/// Counts words (and each CJK character as one): a tokenizer for tests.
#[derive(Debug, Clone)]
pub struct WordCounter {
    /// The limit to report.
    pub limit: usize,
}

impl TokenCounter for WordCounter {
    fn count(&self, text: &str) -> usize {
        words(text).count()
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

/// An embedder without a model: each word adds to a dimension chosen by its hash, and the vector
/// is scaled to unit length. Texts that share words are alike; the same text always gives the
/// same vector.
///
/// ```
/// use corbie_core::{Embedder, EmbedKind, testing::HashEmbedder};
///
/// let embedder = HashEmbedder::new(64);
/// let texts = vec!["ravens cache food".to_owned()];
/// let vectors = futures::executor::block_on(embedder.embed(&texts, EmbedKind::Document))?;
/// assert_eq!(vectors[0].len(), 64);
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HashEmbedder {
    info: EmbedderInfo,
    counter: WordCounter,
}

impl HashEmbedder {
    /// An embedder of this dimension with a limit of 256 words.
    pub fn new(dimension: usize) -> Self {
        Self {
            info: EmbedderInfo {
                model: "hash".into(),
                fingerprint: format!("hash-{dimension}"),
                dimension,
            },
            counter: WordCounter { limit: 256 },
        }
    }
}

impl Embedder for HashEmbedder {
    fn info(&self) -> &EmbedderInfo {
        &self.info
    }

    fn tokens(&self) -> &dyn TokenCounter {
        &self.counter
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        _kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        let vector = |text: &String| {
            let mut vector = vec![0.0_f32; self.info.dimension];
            for word in words(text).take(self.counter.limit) {
                vector[fnv1a(word) as usize % self.info.dimension] += 1.0;
            }
            let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
            vector.iter_mut().for_each(|x| *x /= norm);
            vector
        };
        Box::pin(async move { Ok(texts.iter().map(vector).collect()) })
    }
}

/// Words in lower case are left as they are: the kit is for tests, not for search.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .flat_map(|word| {
            let wide = word.chars().any(|c| ('\u{3400}'..='\u{9fff}').contains(&c));
            let step = move |(at, c): (usize, char)| &word[at..at + c.len_utf8()];
            let characters = wide.then(|| word.char_indices().map(step));
            let whole = (!wide).then_some(word);
            characters.into_iter().flatten().chain(whole)
        })
}

pub(super) fn fnv1a(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
