use std::path::Path;
use std::sync::Arc;

use corbie_core::{Document, ErrorKind, Result, Span, Splitter};
use corbie_vectorstores::SearchMode;
use corbie_vectorstores::eval::{
    EvalOptions, Evaluation, Found, Judged, Resampling, compare, evaluate,
};
use futures::executor::block_on;

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Two entries, two queries with answers, and one that nobody has judged.
fn data_set() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let corpus = "{\"_id\":\"1\",\"title\":\"Ravens\",\"text\":\"They cache food.\"}\n\
         {\"_id\":\"2\",\"title\":\"\",\"text\":\"渡鸦会用工具。\"}\n";
    let queries = "{\"_id\":\"q1\",\"text\":\"Where do ravens put food?\"}\n\
         {\"_id\":\"q2\",\"text\":\"谁会用工具？\"}\n\
         {\"_id\":\"q3\",\"text\":\"not judged\"}\n\
         {\"_id\":\"q4\",\"text\":\"nothing is relevant\"}\n";
    let grades = "query-id\tcorpus-id\tscore\nq1\t1\t1\nq2\t2\t1\nq4\t1\t0\n";
    write(folder.path(), "corpus.jsonl", corpus);
    write(folder.path(), "queries.jsonl", queries);
    write(folder.path(), "qrels/test.tsv", grades);
    folder
}

fn keyword() -> EvalOptions {
    EvalOptions {
        mode: SearchMode::Keyword,
        ..EvalOptions::default()
    }
}

#[test]
fn a_small_data_set_is_measured() {
    let folder = data_set();
    let run = |split| block_on(evaluate(folder.path(), split, &keyword()));
    let evaluation = run("test").unwrap();
    let summary = evaluation.summary(&Resampling::default());
    assert_eq!((summary.means.ndcg_10, summary.queries), (1.0, 2));
    assert_eq!(summary.intervals.map_100, (1.0, 1.0));
    let queries: Vec<&str> = evaluation.judged().iter().map(|it| &*it.query).collect();
    assert_eq!(queries, ["q1", "q2"]);

    let error = run("../qrels/test").unwrap_err();
    assert_eq!(error.next_step(), Some("splits here: test"));
    write(folder.path(), "qrels/none.tsv", "q4\t1\t0\n");
    assert!(run("none").unwrap_err().to_string().contains("relevant"));
    write(folder.path(), "corpus.jsonl", "{\"_id\":\"1\"}\n");
    assert!(run("test").unwrap_err().to_string().contains("line 1"));
}

/// Cuts at full stops.
struct Sentences;

impl Splitter for Sentences {
    fn identity(&self) -> String {
        "sentences".to_owned()
    }

    fn split(&self, document: &Document) -> Result<Vec<Span>> {
        let mut start = 0;
        let span = |sentence: &str| {
            let end = start + sentence.len();
            let span = Span {
                start,
                end,
                tokens: 0,
                page: None,
                heading: Vec::new(),
            };
            start = end;
            span
        };
        Ok(document.text.split_inclusive('.').map(span).collect())
    }
}

#[test]
fn chunks_stand_for_their_entries() {
    let folder = data_set();
    let corpus = "{\"_id\":\"1\",\"text\":\"Ravens fly. Ravens cache food. Food is cached.\"}\n\
         {\"_id\":\"2\",\"text\":\"渡鸦会用工具。\"}\n";
    write(folder.path(), "corpus.jsonl", corpus);
    let options = EvalOptions {
        splitter: Some(Arc::new(Sentences)),
        ..keyword()
    };
    let chunked = block_on(evaluate(folder.path(), "test", &options)).unwrap();
    let whole = block_on(evaluate(folder.path(), "test", &keyword())).unwrap();
    let [chunked, whole] = [chunked, whole].map(|it| it.judged()[0].ranked.clone());
    assert_eq!((chunked.len(), &*chunked[0].id), (1, "1"));
    assert_ne!(chunked[0].score, whole[0].score);
}

fn judged(query: &str, hits: &[(&str, f32)]) -> Judged {
    let found = |(id, score): &(&str, f32)| Found {
        id: (*id).to_owned(),
        score: *score,
    };
    let hits = hits.iter().map(found).collect();
    Judged::new(query, hits, &[("乌鸦".to_owned(), 1)].into())
}

fn evaluation() -> Evaluation {
    let hits = [("crow", 0.1), ("乌鸦", 0.3), ("jay", 1e-7)];
    Evaluation::new(vec![judged("q1", &hits), judged("问题", &hits[..1])]).unwrap()
}

#[test]
fn files_give_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    evaluation().write(&path).unwrap();
    assert_eq!(Evaluation::read(&path).unwrap(), evaluation());
    let text = std::fs::read_to_string(&path).unwrap();
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&line["v"], &line["query"]), (&1.into(), &"q1".into()));
    assert_eq!(line["ndcg@10"], 1.0);
    assert_eq!(line["ranked"][0]["id"], "乌鸦");

    let run = folder.path().join("a.trec");
    evaluation().write_trec(&run, "corbie").unwrap();
    let lines = "q1 Q0 乌鸦 1 0.3 corbie\nq1 Q0 crow 2 0.1 corbie\nq1 Q0 jay 3 0.0000001 corbie\n\
                 问题 Q0 crow 1 0.1 corbie\n";
    assert_eq!(std::fs::read_to_string(&run).unwrap(), lines);
    let spaced = Evaluation::new(vec![judged("q 1", &[("crow", 1.0)])]).unwrap();
    let error = spaced.write_trec(&run, "corbie").unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
    assert!(error.to_string().contains("`q 1`"), "{error}");
}

#[test]
fn damaged_files_are_named_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let of = |query: &str, ndcg: &str| {
        format!(
            "{{\"query\":\"{query}\",\"ndcg@10\":{ndcg},\"recall@10\":1,\"recall@100\":1,\
             \"mrr@10\":1,\"map@100\":1}}\n"
        )
    };
    let good = of("q1", "0.5");
    for (text, words) in [
        (String::new(), "none of them"),
        (format!("{good}{good}"), "`q1` is there twice"),
        (
            format!("{good}{}", of("q2", "1.5")),
            "line 2: ndcg@10 is 1.5",
        ),
        (
            format!("{good}\n{}", of("q2", "-0.1")),
            "line 3: ndcg@10 is -0.1",
        ),
        (of("q1", "1e999"), "line 1"),
        (of("q1", "null"), "line 1"),
        ("{\"query\":\"q1\"}".to_owned(), "ndcg@10"),
    ] {
        write(folder.path(), "a.jsonl", &text);
        let error = Evaluation::read(&folder.path().join("a.jsonl")).unwrap_err();
        assert!(error.to_string().contains("a.jsonl"), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    write(folder.path(), "a.jsonl", &good);
    let read = Evaluation::read(&folder.path().join("a.jsonl")).unwrap();
    assert_eq!(read.means().ndcg_10, 0.5);
    assert!(Evaluation::read(&folder.path().join("nowhere")).is_err());
}

#[test]
fn an_evaluation_is_compared_query_by_query() {
    let resampling = Resampling::default();
    let same = compare(&evaluation(), &evaluation(), &resampling).unwrap();
    for (name, of) in same.measures.named() {
        assert_eq!(
            (of.difference, of.interval, of.p),
            (0.0, (0.0, 0.0), 1.0),
            "{name}"
        );
    }
    // The second finds what the first does not, in twenty queries of thirty, in another order.
    let evaluation = |better: &dyn Fn(usize) -> bool, turned: bool| {
        let hits = |at| {
            if better(at) {
                [("乌鸦", 1.0)]
            } else {
                [("crow", 1.0)]
            }
        };
        let mut all: Vec<Judged> = (0..30)
            .map(|at| judged(&at.to_string(), &hits(at)))
            .collect();
        if turned {
            all.reverse();
        }
        Evaluation::new(all).unwrap()
    };
    let (a, b) = (
        evaluation(&|at| at < 5, false),
        evaluation(&|at| at < 25, true),
    );
    let found = compare(&a, &b, &resampling).unwrap();
    let of = found.measures.ndcg_10;
    assert_eq!(found.queries, 30);
    assert!((of.difference - 20.0 / 30.0).abs() < 1e-9, "{of:?}");
    assert!((of.b - of.a - of.difference).abs() < 1e-9, "{of:?}");
    assert!(of.interval.0 > 0.4 && of.interval.1 < 0.9, "{of:?}");
    assert!(of.p < 0.001, "{of:?}");
    let turned = compare(&b, &a, &resampling).unwrap().measures.ndcg_10;
    assert_eq!((turned.difference, turned.p), (-of.difference, of.p));

    let one = Evaluation::new(vec![judged("0", &[])]).unwrap();
    for (a, b) in [(&a, &one), (&one, &a)] {
        let error = compare(a, b, &resampling).unwrap_err();
        assert!(error.to_string().contains("has query `"), "{error}");
    }
}
