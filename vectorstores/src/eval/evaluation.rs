//! What was found for many queries: its figures, and the files that keep it.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde::Serialize;

use super::dataset::read_lines;
use super::measures::Of;
use super::resampling::mean;
use super::{Found, Judged, Measures, Resampling};

/// What a way to retrieve finds for the queries of a data set.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    judged: Vec<Judged>,
}

/// How good the hits for all queries are, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The means over the queries.
    #[serde(flatten)]
    pub means: Measures,
    /// How many queries were measured.
    pub queries: usize,
    /// The confidence interval of each mean: its low and its high end.
    pub intervals: Measures<(f64, f64)>,
    /// The confidence of the intervals.
    pub confidence: f64,
    /// How many samples of the queries they are taken from.
    pub resamples: usize,
    /// Where the random numbers began.
    pub seed: u64,
}

/// A line of a file.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    #[serde(flatten)]
    judged: &'a Judged,
}

impl Evaluation {
    /// Of these queries, in this order.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when there is none, or one is there twice.
    pub fn new(judged: Vec<Judged>) -> Result<Self> {
        let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, "the queries", cause));
        if judged.is_empty() {
            return refuse("none of them has a relevant entry".to_owned());
        }
        let mut seen = HashSet::new();
        if let Some(twice) = judged.iter().find(|judged| !seen.insert(&judged.query)) {
            return refuse(format!("`{}` is there twice", twice.query));
        }
        Ok(Self { judged })
    }

    /// The queries, each with its ranking and its measures.
    pub fn judged(&self) -> &[Judged] {
        &self.judged
    }

    /// The means over the queries.
    pub fn means(&self) -> Measures {
        Measures::of_each(|of| mean(&self.values(of)))
    }

    /// The means, and the 95 % confidence interval of each over the queries.
    pub fn summary(&self, resampling: &Resampling) -> Summary {
        Summary {
            means: self.means(),
            queries: self.judged.len(),
            intervals: Measures::of_each(|of| resampling.interval(&self.values(of))),
            confidence: Resampling::CONFIDENCE,
            resamples: resampling.resamples,
            seed: resampling.seed,
        }
    }

    fn values(&self, of: Of<f64>) -> Vec<f64> {
        self.judged.iter().map(|it| *of(&it.measures)).collect()
    }

    /// Writes a JSON object a line and query: `v`, `query`, the measures, and `ranked`, a list of
    /// `id` and `score`, best first.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_file(path, |file| {
            for judged in &self.judged {
                serde_json::to_writer(&mut *file, &Line { v: 1, judged })?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Reads what [`write`](Self::write) has written. The lists may be missing: measures of other
    /// programs can be compared too.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, holds no query, one twice, or a damaged line (with its
    /// number).
    pub fn read(path: &Path) -> Result<Self> {
        let judged = read_lines(path, |line| {
            let judged: Judged = serde_json::from_str(line).map_err(|error| error.to_string())?;
            for (name, value) in judged.measures.named() {
                if !(0.0..=1.0).contains(value) {
                    return Err(format!("{name} is {value}, not between 0 and 1"));
                }
            }
            Ok(judged)
        });
        let named = |error: Error| {
            let kind = error.kind().clone();
            Error::new(kind, path.display().to_string(), error)
        };
        let lines = judged.map_err(|error| {
            error.hint("name a file that `corbie eval retrieval --per-query FILE` has written")
        })?;
        Self::new(lines).map_err(named)
    }

    /// Writes the rankings as a run in the form of trec_eval: `query Q0 id rank score tag`, ranks
    /// from 1. A query that finds nothing has no line; trec_eval counts it with `-c`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; [`BadInput`](ErrorKind::BadInput) when an id or the tag is
    /// empty or holds white space, which the form has no place for.
    pub fn write_trec(&self, path: &Path, tag: &str) -> Result<()> {
        let ids = self.judged.iter().flat_map(|judged| {
            let ranked = judged.ranked.iter().map(|found| found.id.as_str());
            ranked.chain([judged.query.as_str()])
        });
        let is_unfit = |id: &&str| id.is_empty() || id.contains(char::is_whitespace);
        if let Some(id) = ids.chain([tag]).find(is_unfit) {
            let cause = "an id of a run must not be empty or hold white space";
            return Err(Error::new(ErrorKind::BadInput, format!("`{id}`"), cause)
                .hint("write JSON lines instead, with --per-query"));
        }
        write_file(path, |file| {
            for judged in &self.judged {
                for (position, Found { id, score }) in judged.ranked.iter().enumerate() {
                    let rank = position + 1;
                    writeln!(file, "{} Q0 {id} {rank} {score} {tag}", judged.query)?;
                }
            }
            Ok(())
        })
    }
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let written = || {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        write(&mut file)?;
        file.flush()
    };
    written().map_err(|error| Error::io(path.display().to_string(), error))
}
