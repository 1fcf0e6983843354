//! A cheap search first, a dear one only when it is needed.

use std::collections::HashSet;
use std::sync::Arc;

use corbie_core::{BoxFuture, Hit, Result, RetrieveRequest, Retriever};

use super::traced;
use crate::bm25::{Bm25, Term, TermKind};
use crate::index::searched_text;

/// Whether hits are enough evidence for a question.
pub type Enough = Arc<dyn Fn(&str, &[Hit]) -> bool + Send + Sync>;

/// Asks retrievers in turn, from the cheapest to the best, until one finds enough.
///
/// What counts as enough is a plain rule over question and hits, [`covers`] unless told otherwise.
/// The last retriever's hits are returned whatever they are.
#[derive(Clone)]
pub struct Adaptive {
    /// Who is asked, the cheapest first.
    pub stages: Vec<Arc<dyn Retriever>>,
    /// When the next one need not be asked.
    pub enough: Enough,
}

impl Adaptive {
    /// First `cheap`, and where its three best hits do not cover three quarters of the question,
    /// `better`.
    pub fn new(cheap: impl Retriever + 'static, better: impl Retriever + 'static) -> Self {
        Self {
            stages: vec![Arc::new(cheap), Arc::new(better)],
            enough: covers(Bm25::default(), 0.75),
        }
    }

    /// The same with a still better one at the end.
    #[must_use]
    pub fn then(mut self, best: impl Retriever + 'static) -> Self {
        self.stages.push(Arc::new(best));
        self
    }

    /// The same with another rule.
    #[must_use]
    pub fn until(mut self, enough: Enough) -> Self {
        self.enough = enough;
        self
    }

    async fn search(&self, request: RetrieveRequest) -> Result<Vec<Hit>> {
        let Some((last, before)) = self.stages.split_last() else {
            return Ok(Vec::new());
        };
        for (stage, retriever) in before.iter().enumerate() {
            let hits = retriever.retrieve(request.clone()).await?;
            if !hits.is_empty() && (self.enough)(&request.question, &hits) {
                return Ok(hits);
            }
            tracing::debug!(stage, "the evidence is thin: the next retriever is asked");
        }
        last.retrieve(request).await
    }
}

impl Retriever for Adaptive {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        traced("adaptive", request.limit, self.search(request))
    }

    fn competence(&self, question: &str) -> f32 {
        let of = |stage: &Arc<dyn Retriever>| stage.competence(question);
        self.stages.iter().map(of).fold(0.0, f32::max)
    }
}

/// How many of the best hits are looked at.
const TOP: usize = 3;

/// The rule that the three best hits together cover `share` of the question or more, see
/// [`coverage`].
pub fn covers(bm25: Bm25, share: f32) -> Enough {
    Arc::new(move |question, hits| coverage(&bm25, question, &hits[..hits.len().min(TOP)]) >= share)
}

/// The share of a question's telling terms that `hits` hold together, from 0 to 1: words, and in
/// Chinese, Japanese and Korean characters. A character counts as held where a pair of neighbours
/// is that it belongs to in the question, and half as much as a word. Of a question without terms:
/// 0.
///
/// ```
/// use corbie_vectorstores::bm25::Bm25;
/// use corbie_vectorstores::retrieve::coverage;
///
/// assert_eq!(coverage(&Bm25::default(), "渡鸦会藏食物吗？", &[]), 0.0);
/// ```
pub fn coverage(bm25: &Bm25, question: &str, hits: &[Hit]) -> f32 {
    let asked = bm25.query_terms(question);
    let held: HashSet<u32> = hits
        .iter()
        .flat_map(|hit| bm25.terms(&searched_text(&hit.chunk, None)))
        .map(|term| term.index)
        .collect();
    let (mut whole, mut found) = (0.0, 0.0);
    let mut seen = HashSet::new();
    for (at, term) in asked.iter().enumerate() {
        let weight = match term.kind {
            TermKind::Pair => continue,
            TermKind::Character => 1.0,
            TermKind::Word => 2.0,
        };
        if !seen.insert(term.index) {
            continue;
        }
        whole += weight;
        let mut shown_by = pairs(&asked, at).peekable();
        let is_held = match shown_by.peek() {
            Some(_) => shown_by.any(|pair| held.contains(&pair.index)),
            None => held.contains(&term.index),
        };
        if is_held {
            found += weight;
        }
    }
    if whole > 0.0 { found / whole } else { 0.0 }
}

/// The pairs that the character at `at` belongs to.
fn pairs(terms: &[Term], at: usize) -> impl Iterator<Item = &Term> {
    let own = terms.get(at);
    let beside = [at.checked_sub(1), at.checked_add(1)];
    beside
        .into_iter()
        .filter_map(|at| terms.get(at?))
        .filter(move |pair| {
            let holds = own.is_some_and(|own| pair.text.contains(own.text.as_str()));
            pair.kind == TermKind::Pair && holds
        })
}
