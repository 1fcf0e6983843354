//! Hits whose texts grow into the document around them.

use std::collections::HashMap;
use std::ops::Range;

use corbie_core::{Chunk, Document, Filter, Hit, Point, Result, ids};

use super::Documents;
use super::hybrid::better;

/// The first `limit` results that `hits`, best first, grow into: each as far as `reach` says. What
/// then overlaps in one document becomes one result, in the place and with the score of the best.
///
/// A text only grows into what passes `filter`; where it would not, and where the document is not
/// kept or is not the one that the chunk was cut from, the hit stays as it was found.
pub(super) async fn grown(
    hits: Vec<Hit>,
    limit: usize,
    filter: Option<&Filter>,
    documents: &dyn Documents,
    reach: impl Fn(&Document, &Chunk) -> Range<usize>,
) -> Result<Vec<Hit>> {
    let mut read: HashMap<String, Option<Document>> = HashMap::new();
    let mut grown: Vec<Hit> = Vec::with_capacity(limit.min(hits.len()));
    for mut hit in hits {
        if grown.len() >= limit {
            break;
        }
        let source = &hit.chunk.source;
        if !read.contains_key(source) {
            let document = documents.document(source).await?;
            read.insert(source.clone(), document);
        }
        let document = read.get(source).and_then(Option::as_ref);
        let Some(document) = document.filter(|document| holds(document, &hit.chunk)) else {
            tracing::debug!(
                source,
                "a hit stays alone: its document is not kept as it was"
            );
            place(&mut grown, hit);
            continue;
        };
        let range = reach(document, &hit.chunk);
        if unite(&mut grown, &hit, document, &range, filter)? {
            continue;
        }
        let wider = cut(document, &hit.chunk, range);
        if admits(filter, &wider)? {
            hit.chunk = wider;
        }
        place(&mut grown, hit);
    }
    Ok(grown)
}

/// Whether the chunk was cut from this very text.
fn holds(document: &Document, chunk: &Chunk) -> bool {
    document.text.get(chunk.start..chunk.end) == Some(chunk.text.as_str())
}

fn place(grown: &mut Vec<Hit>, hit: Hit) {
    if grown.iter().all(|known| known.chunk.id != hit.chunk.id) {
        grown.push(hit);
    }
}

/// Joins `range` of the hit's document to the results that overlap it. Not where none does, nor
/// where together they would not pass the filter.
fn unite(
    grown: &mut Vec<Hit>,
    hit: &Hit,
    document: &Document,
    range: &Range<usize>,
    filter: Option<&Filter>,
) -> Result<bool> {
    let overlaps = |known: &Hit| {
        let known = &known.chunk;
        known.document == hit.chunk.document && known.start < range.end && range.start < known.end
    };
    let Some(first) = grown.iter().position(overlaps) else {
        return Ok(false);
    };
    let (mut whole, mut scores) = (range.clone(), hit.scores);
    for known in grown.iter().filter(|known| overlaps(known)) {
        whole = whole.start.min(known.chunk.start)..whole.end.max(known.chunk.end);
        scores = better(scores, known.scores);
    }
    let best = &grown[first].chunk;
    if whole != (best.start..best.end) {
        let chunk = cut(document, &hit.chunk, whole);
        if !admits(filter, &chunk)? {
            return Ok(false);
        }
        grown[first].chunk = chunk;
    }
    grown[first].scores = scores;
    let mut places = 0..;
    grown.retain(|known| places.next() == Some(first) || !overlaps(known));
    Ok(true)
}

/// A piece of the document around `chunk`.
fn cut(document: &Document, chunk: &Chunk, range: Range<usize>) -> Chunk {
    if range == (chunk.start..chunk.end) {
        return chunk.clone();
    }
    let Some(text) = document.text.get(range.clone()) else {
        return chunk.clone();
    };
    Chunk {
        id: ids::piece(&chunk.document, range.start, range.end),
        document: chunk.document,
        source: chunk.source.clone(),
        text: text.to_owned(),
        start: range.start,
        end: range.end,
        page: document.page_at(range.start),
        heading: document.heading_path_at(range.start),
        metadata: chunk.metadata.clone(),
    }
}

fn admits(filter: Option<&Filter>, chunk: &Chunk) -> Result<bool> {
    let Some(filter) = filter else {
        return Ok(true);
    };
    let point = Point {
        namespace: None,
        chunk: chunk.clone(),
        dense: None,
        sparse: None,
    };
    Ok(filter.matches(&point.payload()?))
}
