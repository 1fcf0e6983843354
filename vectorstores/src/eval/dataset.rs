//! Data sets in BEIR's layout: what is searched, what is asked, and what is right.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;

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
    pub(super) fn texts(&self, titles: Titles) -> Vec<String> {
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

pub(super) fn read_lines<T>(
    path: &Path,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>> {
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
