//! Proving that a collection is what it says: the ledger, the texts and every point compared.

use std::collections::{HashMap, HashSet};

use corbie_core::{Chunk, EmbedKind, Point, Result, Selection, TermWeights, ids};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::cut::{self, CONTEXT, searched_text};
use super::ledger::{Record, Row};
use super::points::points_of;
use super::report::{IngestEvent, Outcome, Progress};
use super::write::{Prepared, Recorder, Writer};
use super::{Index, recipe};
use crate::embed::{embed, embed_sparse};

/// How many points are looked at together.
const PAGE: usize = 256;

/// How near a vector must be to the one embedded anew: the store may keep it rounded.
const SAME_VECTOR: f32 = 0.999;

/// How a collection is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VerifyOptions {
    /// Embeds every chunk anew and compares the vectors: as slow as the first ingest.
    pub vectors: bool,
    /// Mends what can be mended without the files: lost and altered points are written again from
    /// the texts in the ledger, strays are removed.
    pub repair: bool,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verification {
    /// How many documents were looked at.
    pub documents: usize,
    /// How many points.
    pub points: usize,
    /// What is wrong; empty: nothing.
    pub findings: Vec<Finding>,
    /// How many points were written again or removed.
    pub repaired: usize,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The document; `None`: it belongs to none.
    pub source: Option<String>,
    /// The chunk; `None`: the document as a whole.
    pub chunk: Option<Uuid>,
    /// What is wrong.
    pub problem: Problem,
}

/// The ways in which a collection can be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The database of the ledger is damaged.
    Ledger,
    /// The document's text is not the one that was recorded. Ingest its file again.
    Text,
    /// The recorded chunks are not those that the text is cut into.
    Chunks,
    /// The store has no such point.
    Lost,
    /// The point's text, place, facts or words are not the document's.
    Altered,
    /// The point has no vector, or one of another text.
    Vector,
    /// The store has a point that the ledger knows nothing of.
    Stray,
}

impl Index {
    /// Compares everything with everything: the ledger's database with its own sums, each text
    /// with its hash, the recorded chunks with those that the text is cut into, each point with
    /// its chunk, and the store's points with the recorded ones.
    ///
    /// # Errors
    ///
    /// When the ledger, the store or the embedder fails. What is wrong with the content is no
    /// error but a [`Finding`].
    pub async fn verify(
        &self,
        options: VerifyOptions,
        progress: &dyn Progress,
    ) -> Result<Verification> {
        let _turn = self.writer.lock().await;
        let rows = self.ledger.rows()?;
        let mut found = Verification::default();
        if !self.ledger.is_sound()? {
            found.add(None, None, Problem::Ledger);
        }
        progress.event(IngestEvent::Listed { files: rows.len() });
        let mut sources: Vec<&String> = rows.keys().collect();
        sources.sort_unstable();
        let mut broken = Vec::new();
        for source in sources {
            let before = found.findings.len();
            let chunks = self
                .verify_document(source, &rows[source], options, &mut found)
                .await?;
            let outcome = match found.findings.len() == before {
                true => Outcome::Skipped,
                false => Outcome::Failed,
            };
            if let (Outcome::Failed, Some(chunks)) = (outcome, chunks) {
                broken.push((source.clone(), chunks, found.findings[before..].to_vec()));
            }
            progress.event(IngestEvent::Done { source, outcome });
        }
        let known: HashSet<&Uuid> = rows.values().flat_map(|row| &row.chunks).collect();
        let present = self.store.ids().await?;
        found.documents = rows.len();
        found.points = present.len();
        let strays: Vec<Uuid> = present
            .into_iter()
            .filter(|id| !known.contains(id))
            .collect();
        for stray in &strays {
            found.add(None, Some(*stray), Problem::Stray);
        }
        if options.repair {
            found.repaired = self.repair(&rows, broken, strays).await?;
        }
        Ok(found)
    }

    /// Its chunks; `None`: its text cannot be trusted.
    async fn verify_document(
        &self,
        source: &str,
        row: &Row,
        options: VerifyOptions,
        found: &mut Verification,
    ) -> Result<Option<Vec<Chunk>>> {
        let mut problem = |chunk, problem| found.add(Some(source), chunk, problem);
        let document = match self.ledger.document(source)? {
            Some(document) if self.ledger.is_text_sound(source, &document.text)? => document,
            _ => {
                problem(None, Problem::Text);
                return Ok(None);
            }
        };
        let mut chunks = cut::chunks(&self.collection, &document, self.parts.splitter.as_ref())?;
        let ids: HashSet<Uuid> = chunks.iter().map(|chunk| chunk.id).collect();
        let recorded: HashSet<Uuid> = row.chunks.iter().copied().collect();
        // Cut by another recipe, the next synchronisation will cut it anew.
        let current = row.recipe == recipe(&self.parts);
        if current && ids != recorded {
            problem(None, Problem::Chunks);
        }
        let document = ids::document(&self.collection, source);
        let points = points_of(self.store.as_ref(), &document).await?;
        let points: HashMap<Uuid, Point> = points
            .into_iter()
            .map(|point| (point.chunk.id, point))
            .collect();
        for id in &row.chunks {
            if !points.contains_key(id) {
                problem(Some(*id), Problem::Lost);
            }
        }
        if !current {
            return Ok(Some(chunks));
        }
        let tokens = self.parts.embedder.as_ref().map(|e| e.tokens());
        if self.parts.contexts.is_some() {
            // What a model wrote, it would not write again word for word.
            for chunk in &mut chunks {
                let written = points.get(&chunk.id);
                let written = written.and_then(|point| point.chunk.metadata.get(CONTEXT));
                let written = written.cloned().unwrap_or(Value::Null);
                chunk.metadata.insert(CONTEXT.to_owned(), written);
            }
        }
        let mut vectors = Vec::new();
        // Counting words costs nothing; a model is asked where vectors are to be compared.
        let counted = self.parts.sparse.info().weights == TermWeights::Counted;
        let texts: Vec<String> = chunks.iter().map(|c| searched_text(c, tokens)).collect();
        let words = match counted || options.vectors {
            true => {
                let sparse = self.parts.sparse.as_ref();
                Some(embed_sparse(sparse, &texts, EmbedKind::Document).await?)
            }
            false => None,
        };
        for (at, (chunk, text)) in chunks.iter().zip(texts).enumerate() {
            let Some(point) = points.get(&chunk.id) else {
                continue;
            };
            let kept = point.sparse.clone().unwrap_or_default();
            let same = words.as_ref().is_none_or(|words| {
                let anew = &words[at];
                *anew == kept || (anew.is_empty() && kept.is_empty())
            });
            if point.chunk != *chunk || !same {
                problem(Some(chunk.id), Problem::Altered);
            }
            match (&point.dense, &self.parts.embedder) {
                (None, None) => {}
                (Some(dense), Some(embedder)) if dense.len() == embedder.info().dimension => {
                    vectors.push((chunk.id, text, dense));
                }
                _ => problem(Some(chunk.id), Problem::Vector),
            }
        }
        if let (true, Some(embedder)) = (options.vectors, &self.parts.embedder) {
            for slice in vectors.chunks(PAGE) {
                let texts: Vec<String> = slice.iter().map(|(_, text, _)| text.clone()).collect();
                let anew = embed(embedder.as_ref(), &texts, EmbedKind::Document).await?;
                for ((id, _, dense), anew) in slice.iter().zip(anew) {
                    if crate::rank::cosine(dense, &anew) < SAME_VECTOR {
                        problem(Some(*id), Problem::Vector);
                    }
                }
            }
        }
        Ok(Some(chunks))
    }

    /// What is wrong goes first, so that nothing of it is taken for good. A kill here leaves
    /// points lost, which the ledger still lists and the next synchronisation restores.
    async fn repair(
        &self,
        rows: &HashMap<String, Row>,
        broken: Vec<(String, Vec<Chunk>, Vec<Finding>)>,
        mut wrong: Vec<Uuid>,
    ) -> Result<usize> {
        wrong.extend(
            broken
                .iter()
                .flat_map(|(_, _, f)| f.iter().filter_map(|f| f.chunk)),
        );
        let repaired = wrong.len();
        for ids in wrong.chunks(PAGE) {
            self.store.delete(Selection::Ids(ids.to_vec())).await?;
        }
        let recorder = Recorder::Ledger(&self.ledger);
        let store = self.store.as_ref();
        let mut writer = Writer::new(&self.collection, &self.parts, store, recorder, rows, &());
        for (source, chunks, _) in broken {
            let (Some(document), Some(old)) = (self.ledger.document(&source)?, rows.get(&source))
            else {
                continue;
            };
            let row = Row {
                recipe: recipe(&self.parts),
                chunks: chunks.iter().map(|chunk| chunk.id).collect(),
                ..old.clone()
            };
            let prepared = Prepared {
                record: Record { document, row },
                chunks,
                outcome: Outcome::Restored,
            };
            writer.add(prepared).await?;
        }
        writer.commit().await?;
        Ok(repaired)
    }
}

impl Verification {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, source: Option<&str>, chunk: Option<Uuid>, problem: Problem) {
        self.findings.push(Finding {
            source: source.map(str::to_owned),
            chunk,
            problem,
        });
    }
}
