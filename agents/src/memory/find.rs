//! Finding notes: by their words (BM25), by what they mean (cosine), fused by score.

use std::collections::HashMap;

use corbie_core::{EmbedKind, Embedding, Error, ErrorKind, Result};
use corbie_vectorstores::{fuse, inverse_frequency};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{Memory, Note, store};

/// The notes that one search embeds at once where vectors are missing.
const BATCH: i64 = 64;
/// The notes that each way of searching puts forward, at least.
const DEPTH: usize = 50;

/// Notes and their scores, best first.
type Ranking = Vec<(Uuid, f32)>;

impl Memory {
    /// The notes of these scopes that fit a question best, at most `limit`; what was replaced is
    /// not among them.
    ///
    /// # Errors
    ///
    /// Those of the file and of the embedder.
    pub async fn recall(&self, question: &str, scopes: &[&str], limit: usize) -> Result<Vec<Note>> {
        let depth = limit.saturating_mul(5).max(DEPTH);
        let by_words = self.with(|connection| self.by_words(connection, question, scopes))?;
        let by_meaning = self.by_meaning(question, scopes).await?;
        let first = |ranking: &Ranking| ranking[..ranking.len().min(depth)].to_vec();
        let fused = fuse(&[(1.0, &first(&by_words)), (1.0, &first(&by_meaning))]);
        self.with(|connection| {
            let ids = fused.iter().take(limit).map(|(id, _)| number(*id));
            let notes = ids.map(|id| store::by_id(connection, id));
            // What was forgotten in between is not there any more.
            notes.filter_map(Result::transpose).collect()
        })
    }

    fn by_words(
        &self,
        connection: &Connection,
        question: &str,
        scopes: &[&str],
    ) -> rusqlite::Result<Ranking> {
        let scopes = list(scopes);
        let count: i64 = connection.query_row(
            "SELECT count(*) FROM notes
             WHERE replaced_by IS NULL AND scope IN (SELECT value FROM json_each(?1))",
            [&scopes],
            |row| row.get(0),
        )?;
        let mut holding = connection.prepare(
            "SELECT note, weight FROM terms JOIN notes ON id = note
             WHERE term = ?1 AND scope IN (SELECT value FROM json_each(?2))",
        )?;
        let mut scores: HashMap<i64, f32> = HashMap::new();
        let asked = self.keywords.query(question);
        for (term, asked) in asked.indices.iter().zip(&asked.values) {
            let rows = holding.query_map(params![term, scopes], |row| {
                Ok((row.get(0)?, row.get::<_, f64>(1)? as f32))
            })?;
            let rows: Vec<(i64, f32)> = rows.collect::<rusqlite::Result<_>>()?;
            let rarity = inverse_frequency(usize::try_from(count).unwrap_or(0), rows.len());
            for (note, weight) in rows {
                *scores.entry(note).or_default() += asked * weight * rarity;
            }
        }
        Ok(ranked(scores))
    }

    async fn by_meaning(&self, question: &str, scopes: &[&str]) -> Result<Ranking> {
        let Some(embedder) = &self.options.embedder else {
            return Ok(Vec::new());
        };
        self.embed_missing(scopes).await?;
        let question = [question.to_owned()];
        let asked = embedder.embed(&question, EmbedKind::Query).await?;
        let asked = unit(asked.into_iter().next().unwrap_or_default());
        let model = &embedder.info().fingerprint;
        self.with(|connection| {
            let mut vectors = connection.prepare(
                "SELECT note, vector FROM vectors JOIN notes ON id = note
                 WHERE model = ?1 AND scope IN (SELECT value FROM json_each(?2))",
            )?;
            let rows = vectors.query_map(params![model, list(scopes)], |row| {
                let bytes: Vec<u8> = row.get(1)?;
                let (numbers, _) = bytes.as_chunks::<4>();
                let products = numbers.iter().zip(&asked);
                let cosine: f32 = products.map(|(b, a)| f32::from_le_bytes(*b) * a).sum();
                Ok((row.get(0)?, cosine))
            })?;
            let scores: HashMap<i64, f32> = rows.collect::<rusqlite::Result<_>>()?;
            Ok(ranked(scores))
        })
    }

    /// Gives a vector of the embedder to each note that has none yet.
    pub(super) async fn embed_missing(&self, scopes: &[&str]) -> Result<()> {
        let Some(embedder) = &self.options.embedder else {
            return Ok(());
        };
        let info = embedder.info();
        loop {
            let missing: Vec<(i64, String)> = self.with(|connection| {
                let mut missing = connection.prepare(
                    "SELECT id, text FROM notes
                     WHERE replaced_by IS NULL AND scope IN (SELECT value FROM json_each(?2))
                     AND NOT EXISTS (SELECT 1 FROM vectors WHERE note = id AND model = ?1)
                     LIMIT ?3",
                )?;
                let rows = missing
                    .query_map(params![info.fingerprint, list(scopes), BATCH], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?;
                rows.collect()
            })?;
            if missing.is_empty() {
                return Ok(());
            }
            let texts: Vec<String> = missing.iter().map(|(_, text)| text.clone()).collect();
            let vectors = embedder.embed(&texts, EmbedKind::Document).await?;
            if vectors.len() != texts.len() || vectors.iter().any(|it| it.len() != info.dimension) {
                let subject = format!("embedder `{}`", info.model);
                let cause = "it gave other vectors than it was asked for";
                return Err(Error::new(ErrorKind::Malformed, subject, cause));
            }
            self.with(|connection| {
                let transaction = connection.transaction()?;
                for ((id, _), vector) in missing.iter().zip(vectors) {
                    let bytes: Vec<u8> =
                        unit(vector).iter().flat_map(|x| x.to_le_bytes()).collect();
                    // A note that is gone or replaced by now gets none.
                    transaction.execute(
                        "INSERT OR REPLACE INTO vectors (note, model, vector)
                         SELECT id, ?2, ?3 FROM notes WHERE id = ?1 AND replaced_by IS NULL",
                        params![id, info.fingerprint, bytes],
                    )?;
                }
                transaction.commit()
            })?;
        }
    }
}

/// Best first; of equals the newest. What has nothing in common with the question is left out.
fn ranked(scores: HashMap<i64, f32>) -> Ranking {
    let mut scores: Vec<(i64, f32)> = scores
        .into_iter()
        .filter(|(_, score)| *score > 0.0)
        .collect();
    scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    scores
        .into_iter()
        .map(|(id, score)| (Uuid::from_u128(u128::from(id.unsigned_abs())), score))
        .collect()
}

fn number(id: Uuid) -> i64 {
    i64::try_from(id.as_u128()).unwrap_or(i64::MAX)
}

fn list(scopes: &[&str]) -> String {
    serde_json::json!(scopes).to_string()
}

fn unit(mut vector: Embedding) -> Embedding {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 && norm.is_finite() {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}
