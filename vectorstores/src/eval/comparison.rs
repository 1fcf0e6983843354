//! Whether one way to retrieve is better than another.

use std::collections::HashMap;

use corbie_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::measures::Of;
use super::resampling::mean;
use super::{Evaluation, Measures, Resampling};

/// How two ways to retrieve differ on the same queries.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Comparison {
    /// How each measure differs.
    #[serde(flatten)]
    pub measures: Measures<Difference>,
    /// How many queries were compared.
    pub queries: usize,
    /// The confidence of the intervals.
    pub confidence: f64,
    /// How many samples the intervals and probabilities are taken from.
    pub resamples: usize,
    /// Where the random numbers began.
    pub seed: u64,
}

/// How one measure differs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// The mean of the first.
    pub a: f64,
    /// The mean of the second.
    pub b: f64,
    /// By how much the second is better: `b - a`.
    pub difference: f64,
    /// The confidence interval of the difference, over the queries.
    pub interval: (f64, f64),
    /// The probability of such a difference between equals, see [`Resampling::p`].
    pub p: f64,
}

/// Compares two evaluations query by query.
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) when they are of different queries.
pub fn compare(a: &Evaluation, b: &Evaluation, resampling: &Resampling) -> Result<Comparison> {
    let of_b: HashMap<&str, &Measures> = by_query(b).collect();
    let of_a: HashMap<&str, &Measures> = by_query(a).collect();
    let missing = |of: &Evaluation, others: &HashMap<&str, &Measures>| {
        let mut queries = by_query(of).map(|(query, _)| query.to_owned());
        queries.find(|query| !others.contains_key(query.as_str()))
    };
    for (query, first, second) in [
        (missing(a, &of_b), "first", "second"),
        (missing(b, &of_a), "second", "first"),
    ] {
        if let Some(query) = query {
            let cause = format!("the {first} has query `{query}`, the {second} has not");
            return Err(Error::new(ErrorKind::BadInput, "the evaluations", cause)
                .hint("evaluate both on the same data set and split"));
        }
    }
    let pairs: Vec<(&Measures, &Measures)> = by_query(a)
        .filter_map(|(query, measures)| Some((measures, *of_b.get(query)?)))
        .collect();
    let measures = Measures::of_each(|of: Of<f64>| {
        let values: Vec<(f64, f64)> = pairs.iter().map(|(a, b)| (*of(a), *of(b))).collect();
        let differences: Vec<f64> = values.iter().map(|(a, b)| b - a).collect();
        let (a, b): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        Difference {
            a: mean(&a),
            b: mean(&b),
            difference: mean(&differences),
            interval: resampling.interval(&differences),
            p: resampling.p(&differences),
        }
    });
    Ok(Comparison {
        measures,
        queries: pairs.len(),
        confidence: Resampling::CONFIDENCE,
        resamples: resampling.resamples,
        seed: resampling.seed,
    })
}

fn by_query(evaluation: &Evaluation) -> impl Iterator<Item = (&str, &Measures)> {
    let judged = evaluation.judged().iter();
    judged.map(|judged| (judged.query.as_str(), &judged.measures))
}
