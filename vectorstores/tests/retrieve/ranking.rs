//! Fusing, reranking, narrowing, diversity, and going on where evidence is thin.

use std::sync::Arc;

use corbie_core::testing::{HashEmbedder, WordReranker};
use corbie_core::{
    BoxFuture, Document, EmbedKind, Embedder, ErrorKind, Point, Reranker, Result, RetrieveRequest,
    Retriever, VectorStore,
};
use corbie_vectorstores::MemoryStore;
use corbie_vectorstores::retrieve::{
    Adaptive, Hybrid, Mmr, RetrieverExt, ScoreOf, SearchMode, StoreRetriever, coverage,
};
use futures::executor::block_on;

use super::corpus::{English, Fixed, QUESTIONS, bm25, chunk, embedder, find, search, store, texts};

#[test]
fn rankings_are_fused_by_weight_and_the_parts_of_scores_are_kept() {
    let first = Fixed::new(&[("a", 9.0), ("b", 8.0), ("x", 1.0)]);
    let second = Fixed::new(&[("c", 0.2), ("b", 0.19), ("y", 0.01)]);
    let hits = find(&Hybrid::new(first, second.clone()), "?", 3);
    assert_eq!(hits[0].chunk.text, "b", "second in both beats first in one");
    // Three in a ranking: shares lie between a third and 1, by the score.
    let share = |of_range: f32| (1.0 + 2.0 * of_range) / 3.0;
    let mean = (share(7.0 / 8.0) + share(0.18 / 0.19)) / 2.0;
    assert!((hits[0].score - mean).abs() < 1e-5, "{}", hits[0].score);
    assert_eq!(
        second.asked()[0].limit,
        100,
        "more are fused than are wanted"
    );

    let first = Fixed::new(&[("a", 9.0), ("b", 8.0)]);
    let hits = find(
        &Hybrid::new(first, Fixed::default()).with(second, 3.0),
        "?",
        9,
    );
    assert_eq!(texts(&hits)[..2], ["b", "c"], "a weight counts");

    let both = Hybrid::new(search(SearchMode::Dense), search(SearchMode::Keyword));
    for question in QUESTIONS {
        let fused = find(&both, question, 5);
        let scores = fused[0].scores;
        assert!(
            scores.dense.is_some() && scores.sparse.is_some(),
            "{scores:?}"
        );
        let of_store = find(&search(SearchMode::Hybrid), question, 5);
        assert_eq!(texts(&fused), texts(&of_store), "as the store itself fuses");
    }
}

#[test]
fn a_part_that_cannot_read_the_question_is_not_heard() {
    let english: Arc<dyn Embedder> = Arc::new(English(HashEmbedder::new(512)));
    let dense = || StoreRetriever {
        embedder: Some(Arc::clone(&english)),
        ..search(SearchMode::Dense)
    };
    let both = Hybrid::new(dense(), search(SearchMode::Keyword));
    let hits = find(&both, "渡鸦把食物藏在哪里？", 5);
    assert!(hits.iter().all(|hit| hit.scores.dense.is_none()));
    let hits = find(&both, "Where do ravens cache food?", 5);
    assert!(hits[0].scores.dense.is_some());
    let hits = find(&Hybrid::new(dense(), dense()), "渡鸦把食物藏在哪里？", 5);
    assert_eq!(hits.len(), 5, "where nobody can, all are heard");
}

#[test]
fn a_weight_that_is_no_number_is_refused() {
    for weight in [-1.0, f32::NAN, f32::INFINITY] {
        let hybrid = Hybrid::new(Fixed::default(), Fixed::default()).with(Fixed::default(), weight);
        let error = block_on(hybrid.retrieve(RetrieveRequest::new("?"))).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::BadInput, "{error}");
    }
}

#[test]
fn what_was_found_far_down_may_be_reranked_to_the_top() {
    for (question, passages, best) in [
        (
            "ravens cache food",
            ["ravens", "food", "cache", "all ravens cache food"],
            "all ravens cache food",
        ),
        (
            "渡鸦藏食物",
            ["渡鸦", "食物", "藏", "渡鸦会藏食物"],
            "渡鸦会藏食物",
        ),
    ] {
        let found = Fixed::new(&passages.map(|text| (text, 1.0)));
        let reranked = Arc::clone(&found).rerank(Arc::new(WordReranker));
        let hits = find(&reranked, question, 1);
        assert_eq!(texts(&hits), [best]);
        assert_eq!(hits[0].score, 1.0, "the reranker's score");
        assert_eq!(found.asked()[0].limit, 50, "before the limit, not after it");
        let hits = find(
            &found.rerank(Arc::new(WordReranker)).with_depth(2),
            question,
            1,
        );
        assert_ne!(texts(&hits), [best], "the depth is what is looked at");
    }
}

/// Gives these scores whatever the passages are.
struct Scores(Vec<f32>);

impl Reranker for Scores {
    fn rerank<'a>(
        &'a self,
        _question: &'a str,
        _passages: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<f32>>> {
        Box::pin(async move { Ok(self.0.clone()) })
    }
}

#[test]
fn scores_that_are_none_are_refused() {
    for scores in [vec![], vec![1.0], vec![1.0, f32::NAN], vec![1.0; 3]] {
        let found = Fixed::new(&[("a", 1.0), ("b", 0.5)]);
        let reranked = found.rerank(Arc::new(Scores(scores.clone())));
        let error = block_on(reranked.retrieve(RetrieveRequest::new("?"))).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Malformed, "{scores:?}: {error}");
    }
}

#[test]
fn hits_are_no_more_than_the_limit_and_no_weaker_than_the_threshold() {
    let found = || Fixed::new(&[("a", 3.0), ("b", 2.0), ("c", 1.0)]);
    assert_eq!(texts(&find(&found().limit(2), "?", 9)), ["a", "b"]);
    assert_eq!(texts(&find(&found().limit(2), "?", 1)), ["a"]);
    assert_eq!(texts(&find(&found().threshold(2.0), "?", 9)), ["a", "b"]);
    let by_cosine = found().threshold(0.0).of(ScoreOf::Dense);
    assert!(find(&by_cosine, "?", 9).is_empty(), "they have none");
    let both = || Hybrid::new(search(SearchMode::Dense), search(SearchMode::Keyword));
    for question in QUESTIONS {
        let hits = find(&both().threshold(0.5).of(ScoreOf::Dense), question, 9);
        let near = |score: Option<f32>| score.is_some_and(|score| score >= 0.5);
        assert!(!hits.is_empty() && hits.iter().all(|hit| near(hit.scores.dense)));
        assert!(hits.len() < find(&both(), question, 9).len());
    }
}

#[test]
fn what_says_the_same_again_comes_later() {
    let passages = [
        "ravens cache food under moss",
        "ravens cache food under moss today",
        "crows scold people",
        "渡鸦把食物藏在苔藓下",
        "渡鸦把食物藏在苔藓下面",
    ];
    let scores = [1.0, 0.95, 0.6, 0.55, 0.5];
    let hits: Vec<(&str, f32)> = passages.into_iter().zip(scores).collect();
    let chosen = |mmr: &Mmr| -> Vec<usize> {
        let place = |text: &str| passages.iter().position(|it| *it == text).unwrap();
        let hits = find(mmr, "?", 4);
        hits.iter().map(|hit| place(&hit.chunk.text)).collect()
    };
    let anew = Mmr::new(Fixed::new(&hits), embedder());
    assert_eq!(chosen(&anew.clone().with_lambda(1.0)), [0, 1, 2, 3]);
    assert_eq!(chosen(&anew.clone().with_lambda(0.5)), [0, 2, 3, 1]);

    let store = MemoryStore::new(Some(512));
    let owned = passages.map(str::to_owned);
    let vectors = block_on(embedder().embed(&owned, EmbedKind::Document)).unwrap();
    let kept = passages.iter().zip(vectors).take(3);
    let points = kept.map(|(text, vector)| Point {
        namespace: None,
        chunk: chunk(&Document::new("fixed.md", *text), text),
        dense: Some(vector),
        sparse: None,
    });
    block_on(store.upsert(points.collect())).unwrap();
    let stored = anew.clone().stored_in(Arc::new(store));
    assert_eq!(chosen(&stored), chosen(&anew), "stored or embedded");

    let error = block_on(anew.with_lambda(2.0).retrieve(RetrieveRequest::new("?"))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
}

#[test]
fn a_dear_search_is_made_only_where_the_cheap_one_finds_too_little() {
    for (known, unknown) in [
        (
            "Where do ravens cache food?",
            "Do ravens dream of electric sheep?",
        ),
        ("渡鸦把食物藏在哪里？", "渡鸦会梦见电子羊吗？"),
    ] {
        let dear = Fixed::new(&[("dear", 1.0)]);
        let adaptive = Adaptive::new(search(SearchMode::Keyword), Arc::clone(&dear));
        let hits = find(&adaptive, known, 5);
        assert!(dear.asked().is_empty(), "{known}");
        assert!(hits.len() > 1);
        let hits = find(&adaptive, unknown, 5);
        assert_eq!(texts(&hits), ["dear"], "{unknown}");
        let never = adaptive.clone().until(Arc::new(|_, _| false));
        let last = Fixed::new(&[("last", 1.0)]);
        assert_eq!(texts(&find(&never.then(last), known, 5)), ["last"]);
    }
}

#[test]
fn coverage_is_the_share_of_what_is_asked_about() {
    let hits = |text: &str| Fixed::new(&[(text, 1.0)]).hits.clone();
    for (question, text, expected) in [
        ("Where do ravens cache food?", "A raven caches food.", 1.0),
        ("Where do ravens cache food?", "Ravens fly.", 1.0 / 3.0),
        ("渡鸦藏食物", "渡鸦会藏食物", 1.0),
        ("渡鸦藏食物", "渡口的乌鸦", 0.0),
        ("！？", "渡鸦", 0.0),
    ] {
        let found = coverage(&bm25(), question, &hits(text));
        assert!(
            (found - expected).abs() < 1e-6,
            "{question} {text}: {found}"
        );
    }
}

#[test]
fn points_are_got_from_a_store_by_their_ids() {
    let store = store();
    let hits = find(&search(SearchMode::Keyword), QUESTIONS[0], 3);
    let ids: Vec<_> = hits.iter().map(|hit| hit.chunk.id).collect();
    let points = block_on(store.get(&ids)).unwrap();
    assert_eq!(points.len(), 3);
    assert!(points.iter().all(|point| point.dense.is_some()));
}
