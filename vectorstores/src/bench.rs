//! How fast a store takes in and finds, and how much it misses.
//!
//! The points are made: clusters on the unit sphere, as embeddings of texts are, the same for the
//! same options on every machine. What is found is compared with an exact scan.

use std::time::{Duration, Instant};

use corbie_core::{
    Chunk, Error, ErrorKind, Filter, Hit, Metadata, Point, Query, Range, Result, SearchRequest,
    SparseVector, VectorStore, ids,
};
use serde::{Deserialize, Serialize};

use crate::rank::{dot, normalized};

/// How many points are written together.
const BATCH: usize = 1000;

/// The field that one in a hundred points shares, for filtered searches.
const GROUP: &str = "metadata.group";
const GROUPS: usize = 100;

/// How many words a point has.
const WORDS: usize = 40;

/// What is made and asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BenchOptions {
    /// How many points.
    pub points: usize,
    /// Of how many dimensions.
    pub dimension: usize,
    /// How many questions.
    pub queries: usize,
    /// How many hits for each.
    pub limit: usize,
    /// Around how many centres the points lie; 0: around none.
    pub clusters: usize,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            points: 100_000,
            dimension: 384,
            queries: 1000,
            limit: 10,
            clusters: 1000,
            seed: 7,
        }
    }
}

/// What was measured. Times are in milliseconds unless they say otherwise, one search at a time.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BenchFigures {
    /// How many points.
    pub points: usize,
    /// Points written and flushed in a second; 0: they were there already.
    pub ingest_per_second: f64,
    /// How long tidying up took, in seconds: the graph index.
    pub optimize_seconds: f64,
    /// Dense search.
    pub dense: Times,
    /// How many of the nearest were found.
    pub recall: f64,
    /// Dense search among one point in a hundred.
    pub filtered: Times,
    /// How many of the nearest of these were found.
    pub filtered_recall: f64,
    /// Dense search among one point in ten, too many to look at each.
    pub broad: Times,
    /// How many of the nearest of these were found.
    pub broad_recall: f64,
    /// Search by words.
    pub keyword: Times,
    /// Both, fused.
    pub fused: Times,
}

/// Half of the searches took at most `p50` milliseconds, 99 in 100 at most `p99`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Times {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
}

/// Fills an empty store and searches it. `optimize` is called when it is full. One that an equal
/// call has filled is searched as it is: by a process that has not written, as most do not.
/// Vectors that are `given`, those of the points and then those of the questions one behind the
/// other, take the place of made ones.
///
/// # Errors
///
/// When the store fails, or holds another number of points.
pub async fn search_bench(
    store: &dyn VectorStore,
    options: &BenchOptions,
    given: Option<Vec<f32>>,
    optimize: impl AsyncFnOnce() -> Result<()>,
) -> Result<BenchFigures> {
    let needed = (options.points + options.queries) * options.dimension;
    if given.as_ref().is_some_and(|given| given.len() != needed) {
        let cause = format!("points and questions of these options are {needed} numbers");
        return Err(Error::new(ErrorKind::BadInput, "the given vectors", cause));
    }
    let kept = store.count(None).await?;
    if kept != 0 && kept != options.points {
        let cause = format!("it has {kept} points, not {}", options.points);
        let error = Error::new(ErrorKind::BadInput, "the store to measure", cause);
        return Err(error.hint("give it a folder of its own"));
    }
    let given = given.unwrap_or_default();
    let mut maker = Maker::new(options, &given);
    let mut taken = Duration::ZERO;
    for first in (0..options.points).step_by(BATCH) {
        let batch = first..(first + BATCH).min(options.points);
        let points = batch.map(|number| maker.point(number)).collect();
        if kept == 0 {
            let begun = Instant::now();
            store.upsert(points).await?;
            taken += begun.elapsed();
        }
    }
    let begun = Instant::now();
    optimize().await?;
    let optimize_seconds = begun.elapsed().as_secs_f64();

    let questions: Vec<Vec<f32>> = (0..options.queries).map(|_| maker.vector()).collect();
    let words: Vec<SparseVector> = (0..options.queries).map(|_| maker.words(3)).collect();
    let one = Filter::eq(GROUP, 0);
    let broad = Filter::range(
        GROUP,
        Range {
            lt: Some((GROUPS / 10) as f64),
            ..Range::default()
        },
    );
    let kinds = [(None, GROUPS), (Some(&one), 1), (Some(&broad), GROUPS / 10)];
    let exact = nearest(options, &given, &questions, kinds.map(|(_, groups)| groups));
    let limit = options.limit;
    let ask = async |query: Query, filter: Option<&Filter>| {
        let request = SearchRequest::new(query, limit).filtered(filter.cloned());
        let begun = Instant::now();
        let hits = store.search(request).await?;
        Ok::<_, Error>((begun.elapsed(), hits))
    };
    let mut figures = BenchFigures {
        points: options.points,
        ingest_per_second: match kept {
            0 => options.points as f64 / taken.as_secs_f64(),
            _ => 0.0,
        },
        optimize_seconds,
        ..BenchFigures::default()
    };
    // The first searches read what was never read: they are not counted.
    for question in questions.iter().take(20) {
        ask(Query::Dense(question.clone()), None).await?;
        ask(Query::Dense(question.clone()), Some(&one)).await?;
    }
    let mut measured = [(Times::default(), 0.0); 3];
    for (number, (filter, _)) in kinds.into_iter().enumerate() {
        let (mut times, mut found) = (Vec::new(), 0);
        let exact = exact.iter().map(|kinds| &kinds[number]);
        let wanted: usize = exact.clone().map(Vec::len).sum();
        for (question, exact) in questions.iter().zip(exact) {
            let (time, hits) = ask(Query::Dense(question.clone()), filter).await?;
            times.push(time);
            let right = |hit: &&Hit| exact.iter().any(|(number, _)| *number == hit.chunk.start);
            found += hits.iter().filter(right).count();
        }
        measured[number] = (quantiles(times), found as f64 / wanted.max(1) as f64);
    }
    [
        (figures.dense, figures.recall),
        (figures.filtered, figures.filtered_recall),
        (figures.broad, figures.broad_recall),
    ] = measured;
    let (mut keyword, mut fused) = (Vec::new(), Vec::new());
    for (question, words) in questions.iter().zip(&words) {
        keyword.push(ask(Query::Sparse(words.clone()), None).await?.0);
        let both = Query::Fused {
            dense: question.clone(),
            sparse: words.clone(),
            dense_weight: 1.0,
        };
        fused.push(ask(both, None).await?.0);
    }
    figures.keyword = quantiles(keyword);
    figures.fused = quantiles(fused);
    Ok(figures)
}

/// The field of one point in a hundred, which a store under measurement should index.
pub fn bench_field() -> &'static str {
    GROUP
}

/// The points nearest to each question among those of the first so many groups, with their scores.
/// The points are made once more, one by one: a copy of all would be the larger part of what a
/// measurement of memory sees.
fn nearest<const KINDS: usize>(
    options: &BenchOptions,
    given: &[f32],
    questions: &[Vec<f32>],
    groups: [usize; KINDS],
) -> Vec<[Vec<(usize, f32)>; KINDS]> {
    let mut maker = Maker::new(options, given);
    let mut best = vec![[const { Vec::new() }; KINDS]; questions.len()];
    for number in 0..options.points {
        let vector = maker.point_vector();
        for (question, best) in questions.iter().zip(&mut best) {
            let score = dot(&vector, question);
            for (best, groups) in best.iter_mut().zip(groups) {
                let full = best.len() == options.limit;
                let fits = best.last().is_none_or(|(_, worst)| !full || score > *worst);
                if number % GROUPS < groups && fits {
                    let place = best.partition_point(|(_, other)| *other >= score);
                    best.insert(place, (number, score));
                    best.truncate(options.limit);
                }
            }
        }
    }
    best
}

fn quantiles(mut times: Vec<Duration>) -> Times {
    times.sort_unstable();
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        let time = times.get(place.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    };
    Times {
        p50: at(0.5),
        p99: at(0.99),
    }
}

/// Makes points, always the same ones.
struct Maker<'a> {
    state: u64,
    centres: Vec<Vec<f32>>,
    dimension: usize,
    given: &'a [f32],
}

impl<'a> Maker<'a> {
    fn new(options: &BenchOptions, given: &'a [f32]) -> Self {
        let mut maker = Self {
            state: options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            centres: Vec::new(),
            dimension: options.dimension,
            given,
        };
        maker.centres = (0..options.clusters).map(|_| maker.noise()).collect();
        maker
    }

    /// Between 0 and 1 (xorshift).
    fn number(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 40) as f32 / (1u64 << 24) as f32
    }

    /// A direction: sums of four numbers are nearly normal.
    fn noise(&mut self) -> Vec<f32> {
        let normal = |maker: &mut Self| (0..4).map(|_| maker.number()).sum::<f32>() - 2.0;
        normalized((0..self.dimension).map(|_| normal(self)).collect())
    }

    fn vector(&mut self) -> Vec<f32> {
        if let Some((given, rest)) = self.given.split_at_checked(self.dimension)
            && !given.is_empty()
        {
            self.given = rest;
            return normalized(given.to_vec());
        }
        let noise = self.noise();
        if self.centres.is_empty() {
            return noise;
        }
        let centre = (self.number() * self.centres.len() as f32) as usize;
        let centre = &self.centres[centre.min(self.centres.len() - 1)];
        normalized(
            centre
                .iter()
                .zip(&noise)
                .map(|(c, n)| c + 0.6 * n)
                .collect(),
        )
    }

    /// Terms as words are used: a few often, most seldom.
    fn words(&mut self, count: usize) -> SparseVector {
        let mut word = || (1.0 / (self.number() + 1e-5).powi(2)) as u32;
        SparseVector::from_pairs((0..count).map(|_| (word(), 1.0)))
    }

    /// The vector of the next point; what belongs to the point beside it is passed over.
    fn point_vector(&mut self) -> Vec<f32> {
        let vector = self.vector();
        self.words(WORDS);
        vector
    }

    /// Its number is its first byte's.
    fn point(&mut self, number: usize) -> Point {
        let source = format!("{}.md", number / 8);
        let document = ids::document("bench", &source);
        let mut metadata = Metadata::new();
        metadata.insert("group".into(), (number % GROUPS).into());
        let text = format!(
            "Passage {number} has about as many words as a short paragraph of a handbook, \
             so that its payload weighs what a payload weighs. 第{number}段。"
        );
        Point {
            namespace: None,
            chunk: Chunk {
                id: ids::chunk(&document, &text, 0),
                document,
                source,
                start: number,
                end: number + text.len(),
                text,
                page: None,
                heading: Vec::new(),
                metadata,
            },
            dense: Some(self.vector()),
            sparse: Some(self.words(WORDS)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::executor::block_on;

    use super::*;
    use crate::MemoryStore;

    #[test]
    fn the_exact_store_misses_nothing() {
        let options = BenchOptions {
            points: 2000,
            dimension: 16,
            queries: 20,
            clusters: 10,
            ..BenchOptions::default()
        };
        let store = MemoryStore::new(Some(16));
        let figures = block_on(search_bench(&store, &options, None, async || Ok(()))).unwrap();
        assert_eq!(
            [
                figures.recall,
                figures.filtered_recall,
                figures.broad_recall
            ],
            [1.0; 3]
        );
        let again = block_on(search_bench(&store, &options, None, async || Ok(()))).unwrap();
        assert_eq!((again.ingest_per_second, again.recall), (0.0, 1.0));
        let more = BenchOptions {
            points: 2001,
            ..options
        };
        let error = block_on(search_bench(&store, &more, None, async || Ok(()))).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput);
    }
}
