//! What every store does alike: the checks before a write, the order of hits, the fusion.

use std::cmp::Ordering;
use std::collections::HashMap;

use corbie_core::{Error, ErrorKind, Point, Query, Result, SparseVector};
use uuid::Uuid;

/// Scores that differ by less, relative to the larger, differ by rounding alone.
const ROUNDING: f64 = 1e-6;

/// A point and what one search mode says of it.
pub type Ranked = (Uuid, f32);

/// Best first; equal scores by ascending id, so that the same search gives the same hits.
pub(crate) fn best_first(left: &Ranked, right: &Ranked) -> Ordering {
    right.1.total_cmp(&left.1).then(left.0.cmp(&right.0))
}

/// Keeps the `limit` best of `ranked`, best first.
pub(crate) fn keep_best(mut ranked: Vec<Ranked>, limit: usize) -> Vec<Ranked> {
    if limit == 0 {
        return Vec::new();
    }
    if ranked.len() > limit {
        ranked.select_nth_unstable_by(limit - 1, best_first);
        ranked.truncate(limit);
    }
    ranked.sort_unstable_by(best_first);
    ranked
}

/// How many points each mode contributes to a fused search for `limit` hits: those far below the
/// limit still lift a point that both modes know, and tell how far the best stand out.
pub(crate) fn fusion_depth(limit: usize) -> usize {
    limit.saturating_mul(5).max(100)
}

/// Fuses rankings by their scores: each point gets the mean of its shares, weighted. In a ranking
/// of `n` points the best has share 1, the worst `1 / n`, others in proportion to their scores; a
/// point that is not there has 0, as if one mean step below the worst. The best first, from 1, the
/// best of every ranking, to 0.
///
/// A share depends on neither the unit nor the zero of the scores, so that BM25 and the cosines of
/// any model meet as equals, and it keeps what ranks lose: how far the best stand out (a convex
/// combination of normalised scores: Bruch, Gai and Ingber, "An Analysis of Fusion Functions for
/// Hybrid Retrieval", TOIS 2023).
///
/// ```
/// use corbie_vectorstores::fuse;
/// use uuid::Uuid;
///
/// let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
/// let meaning = [(a, 0.9), (b, 0.8), (c, 0.1)];
/// let fused = fuse(&[(1.0, &meaning), (1.0, &[(c, 7.0), (b, 5.0)])]);
/// assert_eq!([fused[0].0, fused[1].0, fused[2].0], [b, c, a]);
/// ```
pub fn fuse(rankings: &[(f32, &[Ranked])]) -> Vec<Ranked> {
    let total: f64 = rankings.iter().map(|(weight, _)| f64::from(*weight)).sum();
    let mut scores: HashMap<Uuid, f64> = HashMap::new();
    for (weight, ranking) in rankings {
        let weight = f64::from(*weight) / if total > 0.0 { total } else { 1.0 };
        for (id, share) in shares(ranking) {
            *scores.entry(id).or_default() += weight * share;
        }
    }
    let count = scores.len();
    let scores = scores.into_iter().map(|(id, score)| (id, score as f32));
    keep_best(scores.collect(), count)
}

/// What each point of a ranking has of it, from `1 / n` to 1; of equal ones each has 1.
fn shares(ranking: &[Ranked]) -> impl Iterator<Item = (Uuid, f64)> {
    let scores = || ranking.iter().map(|(_, score)| f64::from(*score));
    let best = scores().fold(f64::NEG_INFINITY, f64::max);
    let worst = scores().fold(f64::INFINITY, f64::min);
    let (range, n) = (best - worst, ranking.len() as f64);
    let differ = range.is_finite() && range > ROUNDING * best.abs().max(worst.abs());
    ranking.iter().map(move |(id, score)| {
        let share = match differ {
            true => (1.0 + (n - 1.0) * (f64::from(*score) - worst) / range) / n,
            false => 1.0,
        };
        (*id, share)
    })
}

/// The inverse document frequency of BM25 for a term that `frequency` of `points` points hold:
/// `ln(1 + (N - n + 0.5) / (n + 0.5))` (Robertson and Zaragoza, 2009, kept positive).
pub fn inverse_frequency(points: usize, frequency: usize) -> f32 {
    let (points, frequency) = (points as f32, frequency as f32);
    (1.0 + (points - frequency + 0.5) / (frequency + 0.5)).ln()
}

/// Refuses a dense vector that is not of `dimension` finite numbers.
pub(crate) fn check_dense(subject: &str, vector: &[f32], dimension: Option<usize>) -> Result<()> {
    let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, subject, cause));
    match dimension {
        None => refuse("it has a dense vector, but this store keeps none".to_owned()),
        Some(wanted) if vector.len() != wanted => refuse(format!(
            "its dense vector has {} dimensions, but this store keeps {wanted}",
            vector.len()
        )),
        Some(_) if !vector.iter().all(|x| x.is_finite()) => {
            refuse("its dense vector holds a number that is not finite".to_owned())
        }
        Some(_) => Ok(()),
    }
}

/// Refuses a sparse vector with unequal lengths, unordered indices or numbers not finite.
pub(crate) fn check_sparse(subject: &str, vector: &SparseVector) -> Result<()> {
    let refuse = |cause: &str| Err(Error::new(ErrorKind::BadInput, subject, cause));
    if vector.indices.len() != vector.values.len() {
        return refuse("its sparse vector has unequal numbers of indices and values");
    }
    if !vector.indices.is_sorted_by(|a, b| a < b) {
        return refuse("the indices of its sparse vector are not ascending and unique");
    }
    if !vector.values.iter().all(|x| x.is_finite()) {
        return refuse("its sparse vector holds a number that is not finite");
    }
    Ok(())
}

/// Refuses a point whose vectors the store cannot keep.
pub(crate) fn check_point(point: &Point, dimension: Option<usize>) -> Result<()> {
    let subject = format!("chunk {} of `{}`", point.chunk.id, point.chunk.source);
    if let Some(dense) = &point.dense {
        check_dense(&subject, dense, dimension)?;
    }
    match &point.sparse {
        Some(sparse) => check_sparse(&subject, sparse),
        None => Ok(()),
    }
}

/// Refuses a query whose vectors the store cannot compare.
pub(crate) fn check_query(query: &Query, dimension: Option<usize>) -> Result<()> {
    let (dense, sparse) = match query {
        Query::Dense(dense) => (Some(dense), None),
        Query::Sparse(sparse) => (None, Some(sparse)),
        Query::Fused { dense, sparse, .. } => (Some(dense), Some(sparse)),
    };
    if let Some(dense) = dense {
        check_dense("the query", dense, dimension)?;
    }
    match sparse {
        Some(sparse) => check_sparse("the query", sparse),
        None => Ok(()),
    }
}

/// Writes down what one search mode says of the points that it found.
#[cfg(any(feature = "edge", feature = "qdrant"))]
pub(crate) fn note(
    scores: &mut HashMap<Uuid, corbie_core::Scores>,
    ranked: &[Ranked],
    part: impl Fn(&mut corbie_core::Scores) -> &mut Option<f32>,
) {
    for (id, score) in ranked {
        *part(scores.entry(*id).or_default()) = Some(*score);
    }
}

/// `vector` scaled to unit length; a vector of zeros stays as it is.
pub(crate) fn normalized(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 && norm.is_finite() {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}

/// The cosine of the angle between two vectors of equal length; 0 where one has no direction.
pub(crate) fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    match norms > 0.0 {
        true => dot(left, right) / norms,
        false => 0.0,
    }
}

/// The sum of products of two vectors of equal length.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    // Eight sums side by side: the compiler turns them into vector instructions.
    let mut sums = [0.0_f32; 8];
    let (left_parts, right_parts) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f32 = left_parts
        .remainder()
        .iter()
        .zip(right_parts.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in left_parts.zip(right_parts) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_the_best_breaks_ties_by_id() {
        let ids = [3, 1, 2].map(Uuid::from_u128);
        let best = keep_best(ids.iter().map(|id| (*id, 1.0)).collect(), 2);
        assert_eq!(best, [(ids[1], 1.0), (ids[2], 1.0)]);
        assert!(keep_best(best, 0).is_empty());
    }

    #[test]
    fn the_product_counts_every_element() {
        let left: Vec<f32> = (0..19).map(|x| x as f32).collect();
        let right = vec![2.0; 19];
        assert_eq!(dot(&left, &right), 342.0);
    }
}
