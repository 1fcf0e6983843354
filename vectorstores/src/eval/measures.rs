//! The measures of a ranking: how well it serves a query whose answers are known.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// How deep a ranking is looked at, and kept.
pub(super) const DEPTH: usize = 100;

/// Something about each measure: by default how good the hits are, from 0 to 1, for one query or
/// as the mean over queries.
///
/// The measures are those of trec_eval as BEIR uses them: the gain of an entry is its grade, below
/// 0 counts as 0, and an entry is relevant from grade 1.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Measures<T = f64> {
    /// Normalised discounted cumulative gain of the first 10 hits: `Σ grade / log2(rank + 1)`, by
    /// that of the best possible ranking (Järvelin and Kekäläinen, 2002).
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: T,
    /// Share of the relevant entries among the first 10 hits.
    #[serde(rename = "recall@10")]
    pub recall_10: T,
    /// Share of the relevant entries among the first 100 hits.
    #[serde(rename = "recall@100")]
    pub recall_100: T,
    /// Reciprocal rank of the first relevant entry among the first 10 hits.
    #[serde(rename = "mrr@10")]
    pub mrr_10: T,
    /// Average precision over the first 100 hits: the precision at the rank of each relevant one,
    /// summed and divided by the number of all relevant entries.
    #[serde(rename = "map@100")]
    pub map_100: T,
}

/// Reads one measure.
pub(super) type Of<T> = fn(&Measures<T>) -> &T;

impl<T> Measures<T> {
    /// What `make` says of each measure, given the function that reads it.
    pub(super) fn of_each<S>(mut make: impl FnMut(Of<S>) -> T) -> Self {
        Self {
            ndcg_10: make(|of| &of.ndcg_10),
            recall_10: make(|of| &of.recall_10),
            recall_100: make(|of| &of.recall_100),
            mrr_10: make(|of| &of.mrr_10),
            map_100: make(|of| &of.map_100),
        }
    }

    /// Each with its name, in the order in which they are shown.
    pub fn named(&self) -> [(&'static str, &T); 5] {
        [
            ("ndcg@10", &self.ndcg_10),
            ("recall@10", &self.recall_10),
            ("recall@100", &self.recall_100),
            ("mrr@10", &self.mrr_10),
            ("map@100", &self.map_100),
        ]
    }
}

/// An entry that was found for a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its id in the corpus.
    pub id: String,
    /// The score of the search; of several chunks the best.
    pub score: f32,
}

/// The ranking of one query and its measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The query's id.
    pub query: String,
    /// How good the ranking is.
    #[serde(flatten)]
    pub measures: Measures,
    /// The first 100 hits, best first.
    #[serde(default)]
    pub ranked: Vec<Found>,
}

impl Judged {
    /// Ranks what was found for `query`, in whatever order, and measures it by the `grades` of the
    /// corpus's ids.
    ///
    /// An id found several times has its best score. Equal scores are ranked by descending id, as
    /// trec_eval does. Without a positive grade every measure is 0.
    ///
    /// ```
    /// use corbie_vectorstores::eval::{Found, Judged};
    ///
    /// let found = [("crow", 0.9), ("raven", 0.8)];
    /// let found = found.map(|(id, score)| Found { id: id.into(), score });
    /// let judged = Judged::new("q1", found.into(), &[("raven".into(), 1)].into());
    /// assert_eq!(judged.measures.mrr_10, 0.5);
    /// assert_eq!(judged.measures.recall_10, 1.0);
    /// ```
    pub fn new(query: impl Into<String>, found: Vec<Found>, grades: &HashMap<String, i64>) -> Self {
        let mut best: HashMap<String, f32> = HashMap::new();
        for Found { id, score } in found {
            let kept = best.entry(id).or_insert(score);
            *kept = kept.max(score);
        }
        let found = best.into_iter().map(|(id, score)| Found { id, score });
        let mut ranked: Vec<Found> = found.collect();
        ranked.sort_by(best_first);
        ranked.truncate(DEPTH);
        Self {
            query: query.into(),
            measures: measure(&ranked, grades),
            ranked,
        }
    }
}

fn best_first(left: &Found, right: &Found) -> Ordering {
    let by_score = right.score.total_cmp(&left.score);
    by_score.then_with(|| right.id.cmp(&left.id))
}

fn measure(ranked: &[Found], grades: &HashMap<String, i64>) -> Measures {
    let mut ideal: Vec<f64> = grades.values().map(gain).collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let relevant = ideal.iter().filter(|gain| **gain > 0.0).count() as f64;
    if relevant == 0.0 {
        return Measures::default();
    }
    let of = |found: &Found| grades.get(&found.id).map_or(0.0, gain);
    let gains: Vec<f64> = ranked.iter().map(of).collect();
    // The positions of the relevant hits, from 0.
    let hits = |depth: usize| (0..gains.len().min(depth)).filter(|at| gains[*at] > 0.0);
    let precisions = hits(DEPTH)
        .enumerate()
        .map(|(before, at)| (before as f64 + 1.0) / (at as f64 + 1.0));
    Measures {
        // Rounding must not lift it above 1.
        ndcg_10: (discounted(&gains) / discounted(&ideal)).min(1.0),
        recall_10: hits(10).count() as f64 / relevant,
        recall_100: hits(DEPTH).count() as f64 / relevant,
        mrr_10: hits(10).next().map_or(0.0, |at| 1.0 / (at as f64 + 1.0)),
        map_100: precisions.sum::<f64>() / relevant,
    }
}

fn gain(grade: &i64) -> f64 {
    (*grade).max(0) as f64
}

fn discounted(gains: &[f64]) -> f64 {
    let discount = |(position, gain): (usize, &f64)| gain / (position as f64 + 2.0).log2();
    gains.iter().take(10).enumerate().map(discount).sum()
}
