//! Answers kept, as long as the documents they cite are what they were.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use corbie_core::{EmbedKind, Embedder, Error, Result, ids};
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::index::Versions;
use futures::StreamExt;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use super::{Answer, AnswerEvent, AnswerStream, Verdict};
use crate::sqlite::Kind;
use crate::text::content_terms;

const FILE: Kind = Kind {
    name: "answer cache",
    // "CRBC"
    application: 0x4352_4243,
    format: 1,
    tables: "
        CREATE TABLE answers (
            id INTEGER PRIMARY KEY,
            scope TEXT NOT NULL,
            words TEXT NOT NULL,
            question TEXT NOT NULL,
            vector BLOB NOT NULL,
            answer TEXT NOT NULL,
            used INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX answers_of_words ON answers (scope, words);
        CREATE INDEX answers_by_use ON answers (used);
        CREATE TABLE versions (
            answer INTEGER NOT NULL REFERENCES answers (id) ON DELETE CASCADE,
            source TEXT NOT NULL,
            version TEXT NOT NULL,
            PRIMARY KEY (answer, source)
        ) STRICT, WITHOUT ROWID;
    ",
};

/// When an earlier question is the same question.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Likeness {
    /// When it says the same words in the same order, but for endings, articles, punctuation and
    /// the size of letters. It never mistakes one question for another.
    SameWords,
    /// Also when the cosine of the two is at least this, both ask with the same word, hold the same
    /// numbers and negations, and at most one of them says something that the other does not. It
    /// does mistake questions: "Who is the chair?" and "Who is the vice-chair?" are 0.95 alike. On
    /// questions that the embedder cannot read it is `SameWords`.
    Similar(f32),
}

/// How an [`AnswerCache`] works.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheOptions {
    /// When a kept answer is given.
    pub likeness: Likeness,
    /// The most answers kept; those that were not asked for the longest go first.
    pub entries: usize,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self {
            likeness: Likeness::SameWords,
            entries: 10_000,
        }
    }
}

/// Answers in an SQLite file, each bound to the versions of the documents it was made from: it
/// dies with the first of them that changes or goes.
///
/// An answer is found only in the scope it was kept in. A scope is what else decides the answer:
/// the collection, the tenant, the model, the options.
pub struct AnswerCache {
    connection: Mutex<Connection>,
    path: PathBuf,
    embedder: Option<Arc<dyn Embedder>>,
    versions: Versions,
    options: CacheOptions,
}

/// How much of a question the embedder must be able to read for its vector to mean anything.
const READABLE: f32 = 0.9;

impl AnswerCache {
    /// Opens the file at `path`, or makes it. Without an embedder only the same words are found.
    ///
    /// # Errors
    ///
    /// [`Malformed`](corbie_core::ErrorKind::Malformed) for a file of something else.
    pub fn open(
        path: &Path,
        embedder: Option<Arc<dyn Embedder>>,
        versions: Versions,
        options: CacheOptions,
    ) -> Result<Self> {
        let connection = FILE.open(path)?;
        let cache = Self {
            connection: Mutex::new(connection),
            path: path.to_owned(),
            embedder,
            versions,
            options,
        };
        cache.run(|connection| connection.pragma_update(None, "foreign_keys", true))?;
        Ok(cache)
    }

    /// The kept answer to `question` in `scope`, if every document it was made from is still the
    /// same. One whose documents are not is deleted.
    ///
    /// # Errors
    ///
    /// When the file, the embedder or the versions cannot be read.
    pub async fn find(&self, scope: &str, question: &str) -> Result<Option<Answer>> {
        let asked = self.asked(question).await?;
        for id in self.candidates(scope, &asked)? {
            let Some(Entry { answer, versions }) = self.entry(id)? else {
                continue;
            };
            let mut alive = true;
            for (source, version) in versions {
                alive &= (self.versions)(&source)?.is_some_and(|now| now == version);
            }
            if !alive {
                self.run(|c| c.execute("DELETE FROM answers WHERE id = ?1", [id]))?;
                continue;
            }
            let sql = "UPDATE answers SET used = (SELECT max(used) + 1 FROM answers)
                WHERE id = ?1";
            self.run(|connection| connection.execute(sql, [id]))?;
            // A form that this version does not know is no answer.
            if let Ok(answer) = serde_json::from_str(&answer) {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Keeps an answer. One that was not answered, or whose documents are gone by now, is not
    /// kept.
    ///
    /// # Errors
    ///
    /// When the file, the embedder or the versions cannot be read or written.
    pub async fn keep(&self, scope: &str, question: &str, answer: &Answer) -> Result<()> {
        if answer.verdict != Verdict::Answered {
            return Ok(());
        }
        let mut versions = Vec::new();
        let sources: BTreeSet<&str> = answer.citations.iter().map(|c| c.source.as_str()).collect();
        for source in sources {
            match (self.versions)(source)? {
                Some(version) => versions.push((source, version)),
                None => return Ok(()),
            }
        }
        let asked = self.asked(question).await?;
        let answer = serde_json::to_string(answer).map_err(|error| {
            Error::new(corbie_core::ErrorKind::Internal, "an answer to keep", error)
        })?;
        let vector = asked.vector.as_deref().map(bytes).unwrap_or_default();
        let entries = i64::try_from(self.options.entries).unwrap_or(i64::MAX);
        let mut connection = self.connection();
        let mut write = || {
            let change = connection.transaction()?;
            let same = "DELETE FROM answers WHERE scope = ?1 AND words = ?2";
            change.execute(same, params![scope, asked.words])?;
            let insert = "INSERT INTO answers (scope, words, question, vector, answer, used)
                VALUES (?1, ?2, ?3, ?4, ?5, (SELECT coalesce(max(used), 0) + 1 FROM answers))";
            change.execute(
                insert,
                params![scope, asked.words, question, vector, answer],
            )?;
            let id = change.last_insert_rowid();
            for (source, version) in &versions {
                let insert = "INSERT INTO versions VALUES (?1, ?2, ?3)";
                change.execute(insert, params![id, source, version])?;
            }
            let oldest = "DELETE FROM answers WHERE id IN
                (SELECT id FROM answers ORDER BY used DESC LIMIT -1 OFFSET ?1)";
            change.execute(oldest, [entries])?;
            change.commit()
        };
        write().map_err(|error| FILE.failed(&self.path, error))
    }

    /// How many answers are kept, dead ones that nobody asked for since among them.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn len(&self) -> Result<usize> {
        let count = "SELECT count(*) FROM answers";
        let count: i64 = self.run(|c| c.query_row(count, [], |row| row.get(0)))?;
        Ok(usize::try_from(count).unwrap_or_default())
    }

    /// Whether none is kept.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The stream, whose whole answer is kept when it ends. What cannot be kept is answered all
    /// the same.
    pub(super) fn keeping(
        self: &Arc<Self>,
        scope: String,
        question: String,
        stream: AnswerStream,
    ) -> AnswerStream {
        let cache = Arc::clone(self);
        let keep = move |event: Result<AnswerEvent>| {
            let (cache, scope, question) = (Arc::clone(&cache), scope.clone(), question.clone());
            async move {
                if let Ok(AnswerEvent::Done(answer)) = &event
                    && let Err(error) = cache.keep(&scope, &question, answer).await
                {
                    tracing::warn!(%error, "an answer was not kept");
                }
                event
            }
        };
        stream.then(keep).boxed()
    }

    async fn asked(&self, question: &str) -> Result<Asked> {
        let mut asked = Asked::new(question);
        if let (Likeness::Similar(_), Some(embedder)) = (self.options.likeness, &self.embedder)
            && embedder.tokens().coverage(question) >= READABLE
        {
            let texts = [question.to_owned()];
            let vectors = embedder.embed(&texts, EmbedKind::Query).await?;
            asked.vector = vectors.into_iter().next();
        }
        Ok(asked)
    }

    /// The entries that answer the same question, the surest first.
    fn candidates(&self, scope: &str, asked: &Asked) -> Result<Vec<i64>> {
        let same = "SELECT id FROM answers WHERE scope = ?1 AND words = ?2";
        let same: Option<i64> = self.run(|connection| {
            let found = connection.query_row(same, params![scope, asked.words], |row| row.get(0));
            found.optional()
        })?;
        let mut candidates: Vec<i64> = same.into_iter().collect();
        let (Likeness::Similar(least), Some(vector)) = (self.options.likeness, &asked.vector)
        else {
            return Ok(candidates);
        };
        let mut similar: Vec<(f32, i64)> = self.run(|connection| {
            let sql = "SELECT id, question, vector FROM answers WHERE scope = ?1";
            let mut rows = connection.prepare(sql)?;
            let found = rows.query_map([scope], |row| {
                let (id, question): (i64, String) = (row.get(0)?, row.get(1)?);
                let other = numbers(row.get_ref(2)?.as_blob()?);
                Ok((cosine(vector, &other), id, question))
            })?;
            let mut similar = Vec::new();
            for row in found {
                let (cosine, id, question) = row?;
                if cosine >= least && asked.may_be(&Asked::new(&question)) {
                    similar.push((cosine, id));
                }
            }
            Ok(similar)
        })?;
        similar.sort_by(|a, b| b.0.total_cmp(&a.0));
        candidates.extend(
            similar
                .into_iter()
                .map(|(_, id)| id)
                .filter(|id| Some(*id) != same),
        );
        Ok(candidates)
    }

    fn entry(&self, id: i64) -> Result<Option<Entry>> {
        self.run(|connection| {
            let sql = "SELECT answer FROM answers WHERE id = ?1";
            let answer: Option<String> = connection
                .query_row(sql, [id], |row| row.get(0))
                .optional()?;
            let Some(answer) = answer else {
                return Ok(None);
            };
            let sql = "SELECT source, version FROM versions WHERE answer = ?1";
            let mut rows = connection.prepare(sql)?;
            let versions = rows.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let versions = versions.collect::<rusqlite::Result<_>>()?;
            Ok(Some(Entry { answer, versions }))
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        // SQLite rolls back what a panic interrupted, so the connection stays good.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection()).map_err(|error| FILE.failed(&self.path, error))
    }
}

/// What is kept of one answer.
struct Entry {
    /// As JSON.
    answer: String,
    /// The sources it was made from, each with its version then.
    versions: Vec<(String, String)>,
}

/// A question as it is compared.
struct Asked {
    /// Its words in order, without endings and articles, hashed.
    words: String,
    /// What it asks with, its negations and its numbers: these must be equal.
    telling: BTreeSet<String>,
    /// What it is about.
    content: BTreeSet<String>,
    vector: Option<Vec<f32>>,
}

impl Asked {
    fn new(question: &str) -> Self {
        let lower = question.to_lowercase();
        let terms = Bm25::default()
            .terms(&lower)
            .into_iter()
            .map(|term| term.text);
        let words: Vec<String> = terms
            .filter(|term| !ARTICLES.contains(&term.as_str()))
            .collect();
        let spaced = lower.split(|c: char| !c.is_alphanumeric() && c != '\'');
        let telling = spaced.filter(|word| {
            TELLING.contains(word) || word.ends_with("n't") || word.chars().any(|c| c.is_numeric())
        });
        let chinese = CHINESE_TELLING.iter().filter(|word| lower.contains(**word));
        Self {
            words: ids::text_hash(&words.join(" ")),
            telling: telling.chain(chinese.copied()).map(str::to_owned).collect(),
            content: content_terms(&lower).into_iter().collect(),
            vector: None,
        }
    }

    /// Whether nothing that can be seen tells the two apart.
    fn may_be(&self, other: &Self) -> bool {
        let one_sided =
            self.content.is_subset(&other.content) || other.content.is_subset(&self.content);
        self.telling == other.telling && one_sided
    }
}

/// Words that change no question.
const ARTICLES: [&str; 4] = ["a", "an", "the", "please"];

/// Words that change what is asked even where all others are the same.
const TELLING: [&str; 34] = [
    "what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much", "long",
    "old", "often", "far", "not", "no", "never", "without", "except", "before", "after", "until",
    "since", "first", "last", "least", "most", "more", "less", "another", "other", "between",
    "only",
];

const CHINESE_TELLING: [&str; 20] = [
    "什么",
    "哪",
    "谁",
    "誰",
    "何",
    "几",
    "幾",
    "多少",
    "为什么",
    "怎",
    "不",
    "没",
    "沒",
    "无",
    "無",
    "未",
    "非",
    "除",
    "前",
    "后",
];

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let number = |four: &[u8]| f32::from_le_bytes([four[0], four[1], four[2], four[3]]);
    bytes.chunks_exact(4).map(number).collect()
}

fn cosine(left: &[f32], right: &[f32]) -> f32 {
    if left.len() != right.len() {
        return 0.0;
    }
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    if norms > 0.0 {
        dot(left, right) / norms
    } else {
        0.0
    }
}
