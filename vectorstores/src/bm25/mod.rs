//! Keyword search: a text's terms and their BM25 weights as a sparse vector.
//!
//! A store multiplies each query weight with the term's inverse document frequency and the
//! document's weight and adds up: that sum is BM25 (Robertson and Zaragoza, "The Probabilistic
//! Relevance Framework: BM25 and Beyond", 2009). Terms are cut by Corbie itself, so that every
//! store ranks alike and Chinese, Japanese and Korean need no dictionary.

mod language;
mod stop;
mod terms;

use std::collections::HashMap;

use corbie_core::{
    BoxFuture, EmbedKind, Result, SparseEmbedder, SparseEmbedderInfo, SparseVector, TermWeights,
};

pub use language::Language;
pub use terms::{Term, TermKind};

/// Turns texts into sparse vectors whose weighted product is BM25.
///
/// ```
/// use corbie_vectorstores::bm25::Bm25;
///
/// let bm25 = Bm25::default();
/// let document = bm25.document("Ravens cache food. 渡鸦会藏食物。");
/// let shares = |query: &str| {
///     let query = bm25.query(query);
///     query.indices.iter().any(|term| document.indices.contains(term))
/// };
/// assert!(shares("a raven") && shares("食物在哪里"));
/// assert!(!shares("quantum"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Bm25 {
    /// How soon a repeated term stops adding to the weight.
    pub k1: f32,
    /// How much a long text is held against its terms, from 0 to 1.
    pub b: f32,
    /// The length of a usual text in words (pairs of characters in Chinese, Japanese and
    /// Korean), that `b` compares with.
    pub average_length: f32,
    /// How words are reduced to their stems.
    pub language: Language,
    /// What a single character of a longer run counts in a query, beside the pairs it is part
    /// of, which count 1.
    pub character_weight: f32,
}

impl Default for Bm25 {
    fn default() -> Self {
        Self {
            k1: 1.2,
            b: 0.75,
            average_length: 150.0,
            language: Language::English,
            character_weight: 0.3,
        }
    }
}

impl Bm25 {
    /// The terms of a text in order, repeated ones as often as they stand there.
    pub fn terms(&self, text: &str) -> Vec<Term> {
        terms::terms(text, self.language, |_| true)
    }

    /// The terms of a question that say what it asks about: without "what", "did", "the" and
    /// their like. Of a question that has no others: all.
    pub fn query_terms(&self, question: &str) -> Vec<Term> {
        let telling = |term: &str| !stop::is_stop(term, self.language);
        let terms = terms::terms(question, self.language, telling);
        match terms.is_empty() {
            true => self.terms(question),
            false => terms,
        }
    }

    /// The length of a text as `average_length` counts it.
    pub fn length(&self, text: &str) -> usize {
        length(&self.terms(text))
    }

    /// A passage's vector: of each term its frequency, saturated and held against the length.
    pub fn document(&self, text: &str) -> SparseVector {
        let terms = self.terms(text);
        let relative_length = length(&terms) as f32 / self.average_length.max(1.0);
        let brake = self.k1 * (1.0 - self.b + self.b * relative_length);
        let mut frequencies: HashMap<u32, f32> = HashMap::new();
        for term in &terms {
            *frequencies.entry(term.index).or_default() += 1.0;
        }
        let weigh = |(index, frequency): (u32, f32)| {
            (index, frequency * (self.k1 + 1.0) / (frequency + brake))
        };
        SparseVector::from_pairs(frequencies.into_iter().map(weigh))
    }

    /// A question's vector: how often it names each of its [`query_terms`](Self::query_terms).
    pub fn query(&self, question: &str) -> SparseVector {
        let terms = self.query_terms(question);
        SparseVector::from_pairs(terms.iter().map(|term| match term.kind {
            TermKind::Character => (term.index, self.character_weight),
            TermKind::Word | TermKind::Pair => (term.index, 1.0),
        }))
    }

    /// Names the tokenizer and the options that decide a document's vector. Vectors of different
    /// identities must not meet in one collection.
    pub fn identity(&self) -> String {
        format!(
            "bm25-1:{}:k1={}:b={}:length={}",
            self.language.name(),
            self.k1,
            self.b,
            self.average_length
        )
    }
}

impl SparseEmbedder for Bm25 {
    fn info(&self) -> SparseEmbedderInfo {
        SparseEmbedderInfo {
            model: "bm25".to_owned(),
            fingerprint: self.identity(),
            weights: TermWeights::Counted,
        }
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<SparseVector>>> {
        let embed = move |text: &String| match kind {
            EmbedKind::Document => self.document(text),
            EmbedKind::Query => self.query(text),
        };
        Box::pin(async move { Ok(texts.iter().map(embed).collect()) })
    }
}

/// Characters of a run do not count beside their pairs.
fn length(terms: &[Term]) -> usize {
    let counts = |term: &&Term| term.kind != TermKind::Character;
    terms.iter().filter(counts).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_term_weighs_more_but_less_than_twice() {
        let bm25 = Bm25::default();
        let once = bm25.document("raven crow");
        let twice = bm25.document("raven raven");
        assert!(twice.values[0] > once.values[0]);
        assert!(twice.values[0] < 2.0 * once.values[0]);
    }

    #[test]
    fn the_weight_is_the_published_formula() {
        let bm25 = Bm25 {
            average_length: 4.0,
            ..Bm25::default()
        };
        let vector = bm25.document("raven raven");
        let expected = 2.0 * 2.2 / (2.0 + 1.2 * (0.25 + 0.75 * 2.0 / 4.0));
        assert!((vector.values[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn a_text_without_words_has_no_terms() {
        for text in ["", " \n", "…!?", "\u{200b}"] {
            assert!(Bm25::default().document(text).is_empty(), "{text:?}");
            assert!(Bm25::default().query(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn it_keeps_the_laws_of_sparse_embedders() {
        let bm25 = Bm25::default();
        futures::executor::block_on(corbie_core::testing::conformance::sparse_embedder(&bm25));
    }

    #[test]
    fn a_question_is_what_it_asks_about() {
        let texts = |question| -> Vec<String> {
            let terms = Bm25::default().query_terms(question);
            terms.into_iter().map(|term| term.text).collect()
        };
        assert_eq!(texts("What did the ravens cache?"), ["raven", "cach"]);
        assert_eq!(texts("What is it?"), ["what", "is", "it"]);
        assert_eq!(texts("什么鸟？"), ["什", "么鸟", "鸟"]);
    }

    #[test]
    fn options_of_documents_are_part_of_the_identity() {
        let (plain, other) = (
            Bm25::default(),
            Bm25 {
                language: Language::German,
                ..Bm25::default()
            },
        );
        assert_ne!(plain.identity(), other.identity());
    }
}
