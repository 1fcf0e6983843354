//! Measures what each retriever adds to a search, without any store or model: microseconds, the
//! median of many searches for 10 hits among 100 chunks of 300 bytes that a stand-in gives.
//!
//! `cargo run --release -p corbie-vectorstores --example measure_retrievers`
#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use corbie_core::testing::{HashEmbedder, WordReranker};
use corbie_core::{
    BoxFuture, Chunk, Document, EmbedKind, Embedder, Heading, Hit, Metadata, Point, Reranker,
    Result, RetrieveRequest, Retriever, Scores, VectorStore, ids,
};
use corbie_vectorstores::MemoryStore;
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::retrieve::{Adaptive, Documents, Hybrid, Mmr, RetrieverExt, coverage};

const QUESTION: &str = "Where do ravens cache food, and for how long? 渡鸦把食物藏在哪里？";

/// Gives its hits, cloned, as a store does.
struct Given(Vec<Hit>);

impl Retriever for Given {
    fn retrieve(&self, request: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
        let hits = self.0.iter().take(request.limit).cloned().collect();
        Box::pin(async move { Ok(hits) })
    }
}

/// Scores a passage by its length.
struct Lengths;

impl Reranker for Lengths {
    fn rerank<'a>(
        &'a self,
        _question: &'a str,
        passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>> {
        let length = |passage: &String| passage.len() as f32;
        Box::pin(async move { Ok(passages.iter().map(length).collect()) })
    }
}

fn median(retriever: &dyn Retriever) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..300 {
        let request = RetrieveRequest::new(QUESTION);
        let start = Instant::now();
        let hits = futures::executor::block_on(retriever.retrieve(request))?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        std::hint::black_box(hits);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn main() -> Result<()> {
    let sentence =
        |i: usize| format!("Raven {i} hides its food under moss. 渡鸦把食物藏在苔藓下。");
    let mut documents: HashMap<String, Document> = HashMap::new();
    let mut hits = Vec::new();
    // Hits as a search gives them: seldom two of one section.
    for i in 0..100 {
        let source = format!("birds-{}.md", i % 20);
        let id = ids::document("birds", &source);
        let document = documents
            .entry(source.clone())
            .or_insert_with(|| Document::new(source.as_str(), ""));
        let heading = document.text.len();
        document.text.push_str("## Birds\n\n");
        document.headings.push(Heading {
            level: 2,
            start: heading,
            end: heading + 8,
            title: "Birds".into(),
        });
        let sentences: Vec<String> = (0..12).map(|k| sentence(100 * i + k)).collect();
        let text = sentences[4..8].join(" ");
        let start = heading + 10 + sentences[..4].join(" ").len() + 1;
        document.text.push_str(&sentences.join(" "));
        document.text.push_str("\n\n");
        hits.push(Hit {
            chunk: Chunk {
                id: ids::chunk(&id, &text, 0),
                document: id,
                source,
                start,
                end: start + text.len(),
                text,
                page: None,
                heading: vec!["Birds".into()],
                metadata: Metadata::new(),
            },
            score: 1.0 / (1.0 + i as f32),
            scores: Scores::default(),
        });
    }
    let embedder: Arc<dyn Embedder> = Arc::new(HashEmbedder::new(384));
    let texts: Vec<String> = hits.iter().map(|hit| hit.chunk.text.clone()).collect();
    let store = MemoryStore::new(Some(384));
    let vectors = futures::executor::block_on(embedder.embed(&texts, EmbedKind::Document))?;
    let points = hits.iter().zip(vectors).map(|(hit, vector)| Point {
        namespace: None,
        chunk: hit.chunk.clone(),
        dense: Some(vector),
        sparse: None,
    });
    futures::executor::block_on(store.upsert(points.collect()))?;
    let store: Arc<dyn VectorStore> = Arc::new(store);
    let given = || Given(hits.clone());
    let documents: Arc<dyn Documents> =
        Arc::new(move |source: &str| Ok(documents.get(source).cloned()));
    let stored = Mmr::new(given(), Arc::clone(&embedder)).stored_in(store);
    let table: [(&str, Box<dyn Retriever>); 9] = [
        ("10 hits, cloned", Box::new(given().limit(10))),
        (
            "limit, threshold",
            Box::new(given().threshold(0.0).limit(10)),
        ),
        ("hybrid of 2 × 50", Box::new(Hybrid::new(given(), given()))),
        ("rerank 50", Box::new(given().rerank(Arc::new(Lengths)))),
        ("mmr of 50, stored vectors", Box::new(stored)),
        ("parents", Box::new(given().parents(Arc::clone(&documents)))),
        (
            "sentence window",
            Box::new(given().sentence_window(documents)),
        ),
        ("adaptive, cheap enough", {
            let all = Arc::new(|_: &str, _: &[Hit]| true);
            Box::new(Adaptive::new(given(), given()).until(all))
        }),
        ("hybrid, reranked, limited", {
            let both = Hybrid::new(given(), given());
            Box::new(both.rerank(Arc::new(WordReranker)).limit(8))
        }),
    ];
    for (name, retriever) in &table {
        println!("{name:30} {:8.1} µs", median(retriever.as_ref())?);
    }
    let start = Instant::now();
    let share = coverage(&Bm25::default(), QUESTION, &hits[..3]);
    let took = start.elapsed().as_secs_f64() * 1e6;
    println!("{:30} {took:8.1} µs ({share:.2})", "coverage by 3 hits");
    Ok(())
}
