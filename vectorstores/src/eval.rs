//! Measuring retrieval on a data set in BEIR's layout.
//!
//! The measures are those of trec_eval as BEIR uses them: the gain of a hit is its grade, the
//! discount `1 / log2(rank + 1)`; hits are ordered by score, equal scores by corpus id; a query
//! without a relevant entry is left out. Every figure is finite.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use corbie_core::{
    Chunk, Document, EmbedKind, Embedder, Error, ErrorKind, Hit, Metadata, Point, Result,
    RetrieveRequest, Retriever, Span, Splitter, VectorStore, ids,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bm25::Bm25;
use crate::{MemoryStore, SearchMode, StoreRetriever};

/// How many texts are embedded in one call.
const BATCH: usize = 256;

/// How deep hits are looked at.
const DEPTH: usize = 100;

/// How good the hits for a set of queries are: means over the queries, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetrievalScores {
    /// Normalised discounted cumulative gain of the first 10 hits.
    #[serde(rename = "ndcg@10")]
    pub ndcg_10: f64,
    /// Share of the relevant entries among the first 10 hits.
    #[serde(rename = "recall@10")]
    pub recall_10: f64,
    /// Share of the relevant entries among the first 100 hits.
    #[serde(rename = "recall@100")]
    pub recall_100: f64,
    /// Reciprocal rank of the first relevant entry among the first 10 hits.
    #[serde(rename = "mrr@10")]
    pub mrr_10: f64,
    /// How many queries were measured.
    pub queries: usize,
}

/// Whether an entry's title is put before its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Titles {
    /// Where titles tell entries apart (scientific abstracts); not where several entries share
    /// one (passages of one article), nor where the text begins with it.
    #[default]
    WhereTheyDistinguish,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How to measure.
#[derive(Clone, Default)]
pub struct EvalOptions {
    /// Which search answers.
    pub mode: SearchMode,
    /// The embedding model; keyword mode needs none.
    pub embedder: Option<Arc<dyn Embedder>>,
    /// The keyword weights; the average length is measured on the corpus.
    pub bm25: Bm25,
    /// Whether titles are part of the texts.
    pub titles: Titles,
    /// Cuts entries into chunks, and an entry scores as its best chunk. `None`: an entry is one
    /// chunk, which the embedder cuts off at its limit.
    pub splitter: Option<Arc<dyn Splitter>>,
}

/// A data set in BEIR's layout: `corpus.jsonl`, `queries.jsonl`, `qrels/SPLIT.tsv`.
#[derive(Debug, Clone, Default)]
pub struct Dataset {
    /// What is searched.
    pub corpus: Vec<Entry>,
    /// The queries that the split judges.
    pub queries: Vec<Entry>,
    /// Query id → corpus id → grade.
    pub grades: HashMap<String, HashMap<String, i64>>,
}

/// A line of `corpus.jsonl` or `queries.jsonl`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Entry {
    /// Its id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Its title; queries have none.
    #[serde(default)]
    pub title: String,
    /// Its text.
    pub text: String,
    /// Facts beside the text, such as known answers.
    #[serde(default)]
    pub metadata: Option<Value>,
}

impl Dataset {
    /// Reads the data set in `dir` with the judgements of `split`.
    ///
    /// # Errors
    ///
    /// When a file is missing (a missing split: with the names of those there) or a line is
    /// damaged (with its number).
    pub fn read(dir: &Path, split: &str) -> Result<Self> {
        let grades = read_grades(dir, split)?;
        let mut queries: Vec<Entry> = read_lines(&dir.join("queries.jsonl"), parse_entry)?;
        queries.retain(|query| grades.contains_key(&query.id));
        Ok(Self {
            corpus: read_lines(&dir.join("corpus.jsonl"), parse_entry)?,
            queries,
            grades,
        })
    }

    /// The text of each corpus entry that is embedded and searched.
    fn texts(&self, titles: Titles) -> Vec<String> {
        let mut shared: HashMap<&str, usize> = HashMap::new();
        for entry in &self.corpus {
            *shared.entry(entry.title.as_str()).or_default() += 1;
        }
        // A few accidental twins do not make titles meaningless.
        let distinguishing = shared.len() * 10 >= self.corpus.len() * 9;
        let text = |entry: &Entry| {
            let wanted = match titles {
                Titles::Always => true,
                Titles::Never => false,
                Titles::WhereTheyDistinguish => {
                    distinguishing && !entry.text.starts_with(&entry.title)
                }
            };
            if wanted && !entry.title.is_empty() {
                format!("{} {}", entry.title, entry.text)
            } else {
                entry.text.clone()
            }
        };
        self.corpus.iter().map(text).collect()
    }
}

/// Indexes the corpus of the data set in `dir` in memory, asks the queries of `split` and
/// measures the hits.
///
/// # Errors
///
/// When the data set cannot be read, holds no judged query, or the embedder fails.
pub async fn evaluate(dir: &Path, split: &str, options: &EvalOptions) -> Result<RetrievalScores> {
    let dataset = Dataset::read(dir, split)?;
    evaluate_dataset(&dataset, options).await.map_err(|error| {
        Error::new(
            error.kind().clone(),
            format!("data set {}", dir.display()),
            error,
        )
    })
}

/// Like [`evaluate`], on a data set in memory.
///
/// # Errors
///
/// When no query is judged, or the embedder fails.
pub async fn evaluate_dataset(dataset: &Dataset, options: &EvalOptions) -> Result<RetrievalScores> {
    let retriever = index(dataset, options).await?;
    let depth = match options.splitter {
        Some(_) => 10 * DEPTH,
        None => DEPTH,
    };
    let mut sum = RetrievalScores {
        ndcg_10: 0.0,
        recall_10: 0.0,
        recall_100: 0.0,
        mrr_10: 0.0,
        queries: 0,
    };
    for query in &dataset.queries {
        let Some(grades) = dataset.grades.get(&query.id) else {
            continue;
        };
        if grades.values().all(|grade| *grade <= 0) {
            continue;
        }
        let request = RetrieveRequest::new(&query.text).with_limit(depth);
        let found = best_of_each(retriever.retrieve(request).await?);
        let scores = score(&found, grades);
        sum.ndcg_10 += scores.ndcg_10;
        sum.recall_10 += scores.recall_10;
        sum.recall_100 += scores.recall_100;
        sum.mrr_10 += scores.mrr_10;
        sum.queries += 1;
    }
    if sum.queries == 0 {
        return Err(Error::new(
            ErrorKind::BadInput,
            "the queries",
            "none of them has a relevant entry",
        ));
    }
    let mean = |total: f64| total / sum.queries as f64;
    Ok(RetrievalScores {
        ndcg_10: mean(sum.ndcg_10),
        recall_10: mean(sum.recall_10),
        recall_100: mean(sum.recall_100),
        mrr_10: mean(sum.mrr_10),
        queries: sum.queries,
    })
}

async fn index(dataset: &Dataset, options: &EvalOptions) -> Result<StoreRetriever> {
    let texts = dataset.texts(options.titles);
    let mut chunks = Vec::with_capacity(texts.len());
    for (entry, text) in dataset.corpus.iter().zip(texts) {
        chunks.extend(cut(entry, text, options.splitter.as_deref())?);
    }
    let words: usize = chunks.iter().map(|c| options.bm25.length(&c.text)).sum();
    let bm25 = Bm25 {
        average_length: (words as f32 / chunks.len().max(1) as f32).max(1.0),
        ..options.bm25.clone()
    };
    let embedder = match options.mode {
        SearchMode::Keyword => None,
        SearchMode::Dense | SearchMode::Hybrid => options.embedder.clone(),
    };
    let dimension = embedder.as_ref().map(|embedder| embedder.info().dimension);
    let store = MemoryStore::new(dimension);
    for batch in chunks.chunks(BATCH) {
        let mut vectors = match &embedder {
            Some(embedder) => {
                let texts: Vec<String> = batch.iter().map(|chunk| chunk.text.clone()).collect();
                embedder
                    .embed(&texts, EmbedKind::Document)
                    .await?
                    .into_iter()
            }
            None => Vec::new().into_iter(),
        };
        let point = |chunk: &Chunk| Point {
            namespace: None,
            dense: vectors.next(),
            sparse: Some(bm25.document(&chunk.text)),
            chunk: chunk.clone(),
        };
        store.upsert(batch.iter().map(point).collect()).await?;
    }
    Ok(StoreRetriever {
        store: Arc::new(store),
        embedder,
        bm25,
        mode: options.mode,
    })
}

fn cut(entry: &Entry, text: String, splitter: Option<&dyn Splitter>) -> Result<Vec<Chunk>> {
    let document = Document::new(&entry.id, text);
    let spans = match splitter {
        Some(splitter) => splitter.split(&document)?,
        None => vec![Span {
            start: 0,
            end: document.text.len(),
            tokens: 0,
            page: None,
            heading: Vec::new(),
        }],
    };
    let id = ids::document("eval", &entry.id);
    let chunk = |(ordinal, span): (usize, Span)| {
        let text = document.text[span.start..span.end].to_owned();
        Chunk {
            id: ids::chunk(&id, &text, ordinal),
            document: id,
            source: entry.id.clone(),
            text,
            start: span.start,
            end: span.end,
            page: None,
            heading: Vec::new(),
            metadata: Metadata::new(),
        }
    };
    Ok(spans.into_iter().enumerate().map(chunk).collect())
}

/// The corpus ids of hits, each once with its best score, best first, equal scores by id.
fn best_of_each(hits: Vec<Hit>) -> Vec<String> {
    let mut best: HashMap<String, f32> = HashMap::new();
    for hit in hits {
        let score = best.entry(hit.chunk.source).or_insert(hit.score);
        *score = score.max(hit.score);
    }
    let mut best: Vec<(String, f32)> = best.into_iter().collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    best.truncate(DEPTH);
    best.into_iter().map(|(id, _)| id).collect()
}

/// The scores of one query, of whose `grades` at least one is positive.
fn score(found: &[String], grades: &HashMap<String, i64>) -> RetrievalScores {
    let gain = |id: &String| grades.get(id).copied().unwrap_or(0).max(0) as f64;
    let discounted = |gains: &mut dyn Iterator<Item = f64>| -> f64 {
        let discount = |(position, gain): (usize, f64)| gain / (position as f64 + 2.0).log2();
        gains.take(10).enumerate().map(discount).sum()
    };
    let mut ideal: Vec<f64> = grades
        .values()
        .map(|grade| (*grade).max(0) as f64)
        .collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let relevant = ideal.iter().filter(|gain| **gain > 0.0).count() as f64;
    let recall = |depth: usize| {
        let found = found.iter().take(depth).filter(|id| gain(id) > 0.0);
        found.count() as f64 / relevant
    };
    let first = found.iter().take(10).position(|id| gain(id) > 0.0);
    RetrievalScores {
        ndcg_10: discounted(&mut found.iter().map(gain)) / discounted(&mut ideal.into_iter()),
        recall_10: recall(10),
        recall_100: recall(100),
        mrr_10: first.map_or(0.0, |position| 1.0 / (position as f64 + 1.0)),
        queries: 1,
    }
}

fn read_grades(dir: &Path, split: &str) -> Result<HashMap<String, HashMap<String, i64>>> {
    let folder = dir.join("qrels");
    let splits = splits(&folder)?;
    if !splits.iter().any(|name| name == split) {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("split `{split}` of {}", dir.display()),
            "there are no judgements of this name",
        )
        .hint(format!("splits here: {}", splits.join(", "))));
    }
    let path = folder.join(format!("{split}.tsv"));
    let lines = read_lines(&path, |line| {
        let fields: Vec<&str> = line.split('\t').map(str::trim).collect();
        let [query, entry, grade] = fields[..] else {
            return Err("it is not three fields with tabs between".to_owned());
        };
        match grade.parse::<i64>() {
            Ok(grade) => Ok(Some((query.to_owned(), entry.to_owned(), grade))),
            Err(_) if query == "query-id" => Ok(None),
            Err(error) => Err(format!("`{grade}` is no grade: {error}")),
        }
    })?;
    let mut grades: HashMap<String, HashMap<String, i64>> = HashMap::new();
    for (query, entry, grade) in lines.into_iter().flatten() {
        grades.entry(query).or_default().insert(entry, grade);
    }
    Ok(grades)
}

/// The names of the splits in the folder `qrels`. A name from outside is only ever compared with
/// them, never joined to a path.
fn splits(folder: &Path) -> Result<Vec<String>> {
    let read = |error| {
        Error::io(folder.display().to_string(), error)
            .hint("a BEIR data set has corpus.jsonl, queries.jsonl and qrels/SPLIT.tsv")
    };
    let mut splits = Vec::new();
    for file in std::fs::read_dir(folder).map_err(read)? {
        let name = file.map_err(read)?.file_name();
        if let Some(split) = name.to_str().and_then(|name| name.strip_suffix(".tsv")) {
            splits.push(split.to_owned());
        }
    }
    splits.sort();
    Ok(splits)
}

fn parse_entry(line: &str) -> Result<Entry, String> {
    serde_json::from_str(line).map_err(|error| error.to_string())
}

fn read_lines<T>(path: &Path, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>> {
    let unreadable = |error| Error::io(path.display().to_string(), error);
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut parsed = Vec::new();
    for (number, line) in std::io::BufReader::new(file).lines().enumerate() {
        let line = line.map_err(unreadable)?;
        if line.trim().is_empty() {
            continue;
        }
        let value = parse(&line).map_err(|cause| {
            let subject = format!("{}, line {}", path.display(), number + 1);
            Error::new(ErrorKind::Malformed, subject, cause)
        })?;
        parsed.push(value);
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn check(found: &[&str], grades: &[(&str, i64)], ndcg: f64, mrr: f64) {
        let found: Vec<String> = found.iter().map(|id| (*id).to_owned()).collect();
        let grades = grades
            .iter()
            .map(|(id, g)| ((*id).to_owned(), *g))
            .collect();
        let scores = score(&found, &grades);
        assert!((scores.ndcg_10 - ndcg).abs() < 1e-6, "{scores:?}");
        assert!((scores.mrr_10 - mrr).abs() < 1e-9, "{scores:?}");
    }

    #[test]
    fn the_measures_are_those_of_trec_eval() {
        check(&["a"], &[("a", 1)], 1.0, 1.0);
        check(&["b", "a"], &[("a", 1)], 1.0 / 3.0_f64.log2(), 0.5);
        check(&[], &[("a", 1)], 0.0, 0.0);
        // Grades are gains: (1 + 3/log2 3) / (3 + 1/log2 3).
        check(&["b", "a"], &[("a", 3), ("b", 1), ("c", 0)], 0.796_708, 1.0);
        let late: Vec<&str> = ["x"; 10].into_iter().chain(["a"]).collect();
        check(&late, &[("a", 1)], 0.0, 0.0);
    }

    #[test]
    fn a_small_data_set_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "corpus.jsonl",
            "{\"_id\":\"1\",\"title\":\"Ravens\",\"text\":\"They cache food.\"}\n\
             {\"_id\":\"2\",\"title\":\"\",\"text\":\"渡鸦会用工具。\"}\n",
        );
        write(
            "queries.jsonl",
            "{\"_id\":\"q1\",\"text\":\"Where do ravens put food?\"}\n\
             {\"_id\":\"q2\",\"text\":\"谁会用工具？\"}\n\
             {\"_id\":\"q3\",\"text\":\"not judged\"}\n",
        );
        write(
            "qrels/test.tsv",
            "query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t2\t1\n",
        );
        let options = EvalOptions {
            mode: SearchMode::Keyword,
            ..EvalOptions::default()
        };
        let run = |split| futures::executor::block_on(evaluate(dir.path(), split, &options));
        let scores = run("test").unwrap();
        assert_eq!((scores.ndcg_10, scores.queries), (1.0, 2));
        let error = run("../qrels/test").unwrap_err();
        assert_eq!(error.next_step(), Some("splits here: test"));
        write("corpus.jsonl", "{\"_id\":\"1\"}\n");
        assert!(run("test").unwrap_err().to_string().contains("line 1"));
    }
}
