//! The evidence model on public questions: those of some articles, of which a few paragraphs are
//! searched by words, against those of articles that are left out. Needs `CORBIE_DATA`, the folder
//! of the evaluation data.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use corbie_agents::{Evidence, EvidenceOptions};
use corbie_core::{Document, Point, RetrieveRequest, Retriever, VectorStore};
use corbie_vectorstores::bm25::Bm25;
use corbie_vectorstores::{MemoryStore, SearchMode, StoreRetriever};
use serde_json::Value;

/// So many paragraphs are searched, and so many questions of each kind asked.
const PARAGRAPHS: usize = 60;
const QUESTIONS: usize = 100;

#[tokio::test]
async fn answerable_questions_are_told_from_others() {
    let Some(data) = std::env::var_os("CORBIE_DATA") else {
        eprintln!("skipped: CORBIE_DATA is not set");
        return;
    };
    for (set, least) in [
        ("xquad-en", 0.85),
        ("cmrc2018-trial", 0.88),
        ("drcd-dev", 0.88),
    ] {
        let folder = Path::new(&data).join("retrieval").join(set);
        let (answered, refused) = rates(&folder).await;
        eprintln!("{set}: {answered:.3} of answerable answered, {refused:.3} of others refused");
        assert!(
            answered >= least && refused >= least,
            "{set}: {answered} and {refused}"
        );
    }
}

async fn rates(folder: &Path) -> (f64, f64) {
    let corpus = lines(&folder.join("corpus.jsonl"));
    let article = |entry: &Value| match &entry["title"] {
        Value::String(title) if !title.is_empty() => title.clone(),
        _ => text(entry, "_id")
            .split('-')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let kept: Vec<&Value> = corpus.iter().step_by(2).take(PARAGRAPHS).collect();
    let ids: HashSet<String> = kept.iter().map(|entry| text(entry, "_id")).collect();
    let articles: HashSet<String> = kept.iter().map(|entry| article(entry)).collect();
    let articles_of: HashMap<String, String> = corpus
        .iter()
        .map(|entry| (text(entry, "_id"), article(entry)))
        .collect();

    let qrels = std::fs::read_to_string(folder.join("qrels/test.tsv")).unwrap();
    let mut places: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in qrels.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        places.entry(fields[0]).or_default().push(fields[1]);
    }
    let retriever = searched(&kept).await;
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    for query in lines(&folder.join("queries.jsonl")) {
        let id = text(&query, "_id");
        let Some(places) = places.get(id.as_str()) else {
            continue;
        };
        if places.iter().any(|place| ids.contains(*place)) {
            inside.push(text(&query, "text"));
        } else if places
            .iter()
            .all(|place| !articles.contains(&articles_of[*place]))
        {
            outside.push(text(&query, "text"));
        }
    }
    let mut shares = Vec::new();
    for questions in [&inside, &outside] {
        let step = (questions.len() / QUESTIONS).max(1);
        let asked: Vec<&String> = questions.iter().step_by(step).take(QUESTIONS).collect();
        let mut answered = 0;
        for question in &asked {
            let request = RetrieveRequest::new(question.as_str()).with_limit(24);
            let hits = retriever.retrieve(request).await.unwrap();
            let options = EvidenceOptions::default();
            let evidence = Evidence::judge(question, &hits, &options);
            answered += usize::from(evidence.score >= options.threshold);
        }
        shares.push(answered as f64 / asked.len() as f64);
    }
    (shares[0], 1.0 - shares[1])
}

async fn searched(entries: &[&Value]) -> StoreRetriever {
    let bm25 = Bm25::default();
    let store = MemoryStore::new(None);
    let points = entries.iter().map(|entry| {
        let document = Document::new(text(entry, "_id"), text(entry, "text"));
        Point {
            namespace: None,
            sparse: Some(bm25.document(&document.text)),
            dense: None,
            chunk: crate::kit::whole(&document),
        }
    });
    store.upsert(points.collect()).await.unwrap();
    StoreRetriever {
        store: Arc::new(store),
        embedder: None,
        sparse: Arc::new(bm25),
        mode: SearchMode::Keyword,
    }
}

fn lines(path: &Path) -> Vec<Value> {
    let content = std::fs::read_to_string(path).unwrap();
    content
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().unwrap_or_default().to_owned()
}
