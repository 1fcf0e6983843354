//! Writing documents in batches: embed, store, then record.

use std::collections::{HashMap, HashSet};

use corbie_core::{
    Chunk, EmbedKind, Embedding, Error, ErrorKind, Point, Result, Selection, Skipped, SparseVector,
    TermWeights, VectorStore, ids,
};
use uuid::Uuid;

use super::IndexParts;
use super::cut::{CONTEXT, searched_text};
use super::ledger::{Ledger, Record, Row};
use super::points::points_of;
use super::report::{IngestEvent, IngestReport, Outcome, Progress};
use crate::embed::{embed, embed_sparse};

/// How many chunks are embedded and written at once.
const SLICE: usize = 256;

/// How many documents at most are acknowledged together.
const GROUP: usize = 64;

/// A document that is ready to be written.
pub(crate) struct Prepared {
    pub record: Record,
    pub chunks: Vec<Chunk>,
    pub outcome: Outcome,
}

/// Where it is recorded that a document has been written.
pub(crate) enum Recorder<'a> {
    /// In the ledger, at once.
    Ledger(&'a Ledger),
    /// Here, by source: somebody records all of them together at the end.
    Together(HashMap<String, Row>),
}

/// Writes documents to the store and records them.
pub(crate) struct Writer<'a> {
    pub collection: &'a str,
    pub parts: &'a IndexParts,
    pub store: &'a dyn VectorStore,
    pub recorder: Recorder<'a>,
    pub rows: &'a HashMap<String, Row>,
    pub progress: &'a dyn Progress,
    /// Points of an interrupted ingest; those that are written again leave the set.
    pub orphans: HashSet<Uuid>,
    pub report: IngestReport,
    pending: Vec<Prepared>,
    pending_chunks: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(
        collection: &'a str,
        parts: &'a IndexParts,
        store: &'a dyn VectorStore,
        recorder: Recorder<'a>,
        rows: &'a HashMap<String, Row>,
        progress: &'a dyn Progress,
    ) -> Self {
        Self {
            collection,
            parts,
            store,
            recorder,
            rows,
            progress,
            orphans: HashSet::new(),
            report: IngestReport::default(),
            pending: Vec::new(),
            pending_chunks: 0,
        }
    }

    /// Takes a document in; writes when enough have come together.
    pub(crate) async fn add(&mut self, prepared: Prepared) -> Result<()> {
        self.pending_chunks += prepared.chunks.len();
        self.pending.push(prepared);
        if self.pending_chunks >= SLICE || self.pending.len() >= GROUP {
            self.commit().await?;
        }
        Ok(())
    }

    /// Writes and records what has been taken in.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        self.pending_chunks = 0;
        let mut group = std::mem::take(&mut self.pending);
        match self.write(&mut group).await {
            Ok(()) => {}
            // One document that the model or the store cannot take must not keep the others
            // out: they are written one by one, and the bad ones are listed.
            Err(error) if is_about_content(&error) => {
                let mut written = Vec::new();
                for mut prepared in group {
                    let one = std::slice::from_mut(&mut prepared);
                    match self.write(one).await {
                        Ok(()) => written.push(prepared),
                        Err(error) if is_about_content(&error) => {
                            self.fail(Skipped::because(&prepared.record.document.source, &error));
                        }
                        Err(error) => return Err(error),
                    }
                }
                group = written;
            }
            Err(error) => return Err(error),
        }
        let (records, outcomes): (Vec<Record>, Vec<Outcome>) = group
            .into_iter()
            .map(|prepared| (prepared.record, prepared.outcome))
            .unzip();
        if records.is_empty() {
            return Ok(());
        }
        match &mut self.recorder {
            Recorder::Ledger(ledger) => ledger.record(&records)?,
            Recorder::Together(rows) => {
                let row = |record: &Record| (record.document.source.clone(), record.row.clone());
                rows.extend(records.iter().map(row));
            }
        }
        for (record, outcome) in records.iter().zip(outcomes) {
            self.done(&record.document.source, outcome);
        }
        Ok(())
    }

    /// Notes what became of a file.
    pub(crate) fn done(&mut self, source: &str, outcome: Outcome) {
        self.report.count(outcome);
        self.progress.event(IngestEvent::Done { source, outcome });
    }

    /// Notes a file that could not be taken in.
    pub(crate) fn fail(&mut self, skipped: Skipped) {
        let event = IngestEvent::Done {
            source: &skipped.source,
            outcome: Outcome::Failed,
        };
        self.progress.event(event);
        self.report.failed.push(skipped);
    }

    /// Embeds and stores what the store does not hold yet, then deletes what the documents no
    /// longer hold. In this order a kill leaves too much, never too little.
    async fn write(&mut self, group: &mut [Prepared]) -> Result<()> {
        let old = self.old_points(group).await?;
        self.contextualize(group, &old).await?;
        let group = &*group;
        let chunks: Vec<&Chunk> = group.iter().flat_map(|it| &it.chunks).collect();
        let tokens = self.parts.embedder.as_ref().map(|e| e.tokens());
        let texts: Vec<String> = chunks.iter().map(|it| searched_text(it, tokens)).collect();
        let words = self.words(self.known_words(group, &old), &texts).await?;
        let reusable: HashMap<(Uuid, String), &Embedding> = old
            .values()
            .filter_map(|point| {
                let key = (point.chunk.document, searched_text(&point.chunk, tokens));
                Some((key, point.dense.as_ref()?))
            })
            .collect();
        let kept: HashSet<Uuid> = chunks.iter().map(|chunk| chunk.id).collect();
        let mut changed: Vec<(&Chunk, String)> = Vec::new();
        for (chunk, text) in chunks.into_iter().zip(texts) {
            let sparse = &words[&text];
            let same = old.get(&chunk.id).is_some_and(|point| {
                let terms = point.sparse.clone().unwrap_or_default();
                let embedded = point.dense.is_some() == self.parts.embedder.is_some();
                // No word at all is kept as no vector, which is of no kind.
                let same_terms = terms == *sparse || (terms.is_empty() && sparse.is_empty());
                point.chunk == *chunk && same_terms && embedded
            });
            if !same {
                changed.push((chunk, text));
            }
        }
        for slice in changed.chunks(SLICE) {
            let vectors = self.embed(slice, &reusable).await?;
            let point = |((chunk, text), dense): (&(&Chunk, String), Option<Embedding>)| Point {
                namespace: None,
                chunk: (*chunk).clone(),
                dense,
                sparse: words.get(text).cloned(),
            };
            let points: Vec<Point> = slice.iter().zip(vectors).map(point).collect();
            let count = points.len();
            self.store.upsert(points).await?;
            self.report.chunks += count;
        }
        let mut stale: HashSet<Uuid> = old.into_keys().collect();
        for prepared in group {
            if let Some(row) = self.rows.get(&prepared.record.document.source) {
                stale.extend(&row.chunks);
            }
        }
        stale.retain(|id| !kept.contains(id));
        if !stale.is_empty() {
            let stale = stale.into_iter().collect();
            self.store.delete(Selection::Ids(stale)).await?;
        }
        self.orphans.retain(|id| !kept.contains(id));
        Ok(())
    }

    /// Whether what the store holds of the document was made as it would be made now.
    fn is_of_this_recipe(&self, record: &Record) -> bool {
        let row = self.rows.get(&record.document.source);
        row.is_some_and(|row| row.recipe == record.row.recipe)
    }

    /// Lets the model say where the chunks stand of which the store does not know it yet.
    async fn contextualize(
        &self,
        group: &mut [Prepared],
        old: &HashMap<Uuid, Point>,
    ) -> Result<()> {
        let Some(contextualizer) = &self.parts.contexts else {
            return Ok(());
        };
        for prepared in group {
            let trusted = self.is_of_this_recipe(&prepared.record);
            let new = without_context(&mut prepared.chunks, old, trusted);
            let chunks: Vec<Chunk> = new.iter().map(|at| prepared.chunks[*at].clone()).collect();
            let document = &prepared.record.document;
            let contexts = contextualizer.contexts(document, &chunks).await?;
            for (at, context) in new.into_iter().zip(contexts) {
                let metadata = &mut prepared.chunks[at].metadata;
                metadata.insert(CONTEXT.to_owned(), context.into());
            }
        }
        Ok(())
    }

    /// What terms weigh in texts that a model need not be asked about again. Counting is cheap, and
    /// done anew.
    fn known_words(
        &self,
        group: &[Prepared],
        old: &HashMap<Uuid, Point>,
    ) -> HashMap<String, SparseVector> {
        let weights = self.parts.sparse.info().weights;
        if weights == TermWeights::Counted {
            return HashMap::new();
        }
        let trusted: HashSet<&str> = group
            .iter()
            .map(|prepared| &prepared.record)
            .filter(|record| self.is_of_this_recipe(record))
            .map(|record| record.document.source.as_str())
            .collect();
        let tokens = self.parts.embedder.as_ref().map(|e| e.tokens());
        let known = |point: &Point| {
            let sparse = point.sparse.clone();
            let sparse = sparse.filter(|sparse| sparse.weights == weights)?;
            Some((searched_text(&point.chunk, tokens), sparse))
        };
        let kept = old.values();
        kept.filter(|point| trusted.contains(point.chunk.source.as_str()))
            .filter_map(known)
            .collect()
    }

    /// What terms weigh in each of `texts`.
    async fn words(
        &self,
        mut words: HashMap<String, SparseVector>,
        texts: &[String],
    ) -> Result<HashMap<String, SparseVector>> {
        let mut seen: HashSet<&String> = HashSet::new();
        let mut new: Vec<String> = Vec::new();
        for text in texts {
            if !words.contains_key(text) && seen.insert(text) {
                new.push(text.clone());
            }
        }
        for slice in new.chunks(SLICE) {
            let sparse = self.parts.sparse.as_ref();
            let vectors = embed_sparse(sparse, slice, EmbedKind::Document).await?;
            words.extend(slice.iter().cloned().zip(vectors));
        }
        Ok(words)
    }

    /// The points that the store holds of the group's documents. A new document has none unless
    /// an interrupted ingest left some.
    async fn old_points(&self, group: &[Prepared]) -> Result<HashMap<Uuid, Point>> {
        let mut points = HashMap::new();
        for prepared in group {
            let source = &prepared.record.document.source;
            if self.orphans.is_empty() && !self.rows.contains_key(source) {
                continue;
            }
            let document = ids::document(self.collection, source);
            let found = points_of(self.store, &document).await?;
            points.extend(found.into_iter().map(|p| (p.chunk.id, p)));
        }
        Ok(points)
    }

    /// A vector for each chunk, in order: one that the store already holds for the same text of
    /// the same document, or a new one. Equal texts are embedded once.
    async fn embed(
        &self,
        slice: &[(&Chunk, String)],
        reusable: &HashMap<(Uuid, String), &Embedding>,
    ) -> Result<Vec<Option<Embedding>>> {
        let Some(embedder) = &self.parts.embedder else {
            return Ok(vec![None; slice.len()]);
        };
        let reused = |chunk: &Chunk, text: &String| {
            let key = (chunk.document, text.clone());
            reusable.get(&key).map(|vector| (*vector).clone())
        };
        let mut position: HashMap<&str, usize> = HashMap::new();
        let mut texts: Vec<String> = Vec::new();
        for (chunk, text) in slice {
            if reused(chunk, text).is_none() && !position.contains_key(text.as_str()) {
                position.insert(text, texts.len());
                texts.push(text.clone());
            }
        }
        let mut vectors = Vec::new();
        if !texts.is_empty() {
            vectors = embed(embedder.as_ref(), &texts, EmbedKind::Document).await?;
        }
        self.progress.event(IngestEvent::Embedded {
            chunks: slice.len(),
        });
        let vector = |(chunk, text): &(&Chunk, String)| {
            let new = position.get(text.as_str()).map(|at| vectors[*at].clone());
            new.or_else(|| reused(chunk, text))
        };
        Ok(slice.iter().map(vector).collect())
    }
}

/// Which chunks have no context yet; those of which the store has one, if it can be `trusted`, are
/// given it.
fn without_context(chunks: &mut [Chunk], old: &HashMap<Uuid, Point>, trusted: bool) -> Vec<usize> {
    let mut new = Vec::new();
    for (at, chunk) in chunks.iter_mut().enumerate() {
        let kept = old.get(&chunk.id).filter(|_| trusted);
        match kept.and_then(|point| point.chunk.metadata.get(CONTEXT)) {
            Some(context) => {
                let context = context.clone();
                chunk.metadata.insert(CONTEXT.to_owned(), context);
            }
            None if chunk.metadata.contains_key(CONTEXT) => {} // A second attempt.
            None => new.push(at),
        }
    }
    new
}

/// Whether another document might fare better: the model and the store are there and able.
fn is_about_content(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::BadInput
            | ErrorKind::Malformed
            | ErrorKind::Unsupported
            | ErrorKind::ContextTooLong { .. }
    )
}
