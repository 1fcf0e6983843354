use serde_json::json;
use uuid::Uuid;

use crate::{
    Chunk, ErrorKind, Filter, Hit, Metadata, Point, Query, Range, SearchRequest, Selection,
    SparseVector, VectorStore,
};

/// The laws of [`VectorStore`], on an empty one that keeps dense vectors of 4 dimensions and
/// sparse ones.
///
/// # Panics
///
/// With the law that is broken.
pub async fn vector_store(store: &dyn VectorStore) {
    assert_eq!(
        store.count(None).await.unwrap(),
        0,
        "the store is empty at first"
    );
    assert!(
        search(store, Query::Dense(vec![1.0, 0.0, 0.0, 0.0]), None, 5)
            .await
            .is_empty(),
        "an empty store finds nothing"
    );
    let points = points();
    store.upsert(points.clone()).await.unwrap();
    store.upsert(points.clone()).await.unwrap();
    assert_eq!(
        store.count(None).await.unwrap(),
        points.len(),
        "writing twice keeps one of each"
    );

    dense(store, &points).await;
    sparse(store, &points).await;
    fused(store, &points).await;
    filters(store, &points).await;
    refusals(store, points.len()).await;
    getting(store, &points).await;
    scrolling(store, &points).await;
    replacing_and_deleting(store, &points).await;
    odd_points(store, &points).await;
}

fn points() -> Vec<Point> {
    let texts = [
        "raven cache",
        "raven tool",
        "crow tool 'quote'",
        "乌鸦 藏",
        "nest",
    ];
    let dense = [
        [1.0, 0.0, 0.0, 0.0],
        [0.6, 0.8, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0],
        [0.0, 0.6, 0.8, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    let terms: [&[(u32, f32)]; 5] = [
        &[(10, 1.5), (20, 1.0)],
        &[(10, 1.2), (30, 1.0)],
        &[(4_000_000_000, 2.0), (30, 1.4)],
        &[(50, 1.0), (60, 1.0)],
        &[(70, 1.0)],
    ];
    let point = |i: usize| {
        let mut metadata = Metadata::new();
        metadata.insert("language".into(), json!(if i == 3 { "zh" } else { "en" }));
        metadata.insert("tags".into(), json!(["all", format!("tag{i}")]));
        metadata.insert("o'dd \"key\"".into(), json!(i));
        metadata.insert(
            "author".into(),
            json!({ "name": format!("author {}", i % 2) }),
        );
        metadata.insert(
            "refs".into(),
            json!([{ "to": i }, { "to": i + 1, "列": "乌鸦" }]),
        );
        let document = crate::ids::document("conformance", &format!("{}.md", i / 2));
        Point {
            namespace: None,
            chunk: Chunk {
                id: crate::ids::chunk(&document, texts[i], 0),
                document,
                source: format!("{}.md", i / 2),
                text: texts[i].to_owned(),
                start: 100 * i,
                end: 100 * i + texts[i].len(),
                page: (i != 4).then_some(i as u32 + 1),
                heading: vec!["Birds".into(), "鸟".into()],
                metadata,
            },
            dense: Some(dense[i].to_vec()),
            sparse: Some(SparseVector::from_pairs(terms[i].iter().copied())),
        }
    };
    (0..texts.len()).map(point).collect()
}

async fn search(
    store: &dyn VectorStore,
    query: Query,
    filter: Option<Filter>,
    limit: usize,
) -> Vec<Hit> {
    let request = SearchRequest::new(query, limit).filtered(filter);
    store.search(request).await.unwrap()
}

fn texts(hits: &[Hit]) -> Vec<&str> {
    hits.iter().map(|hit| hit.chunk.text.as_str()).collect()
}

fn close(left: f32, right: f32) -> bool {
    (left - right).abs() < 1e-4
}

async fn dense(store: &dyn VectorStore, points: &[Point]) {
    let hits = search(store, Query::Dense(vec![1.0, 0.0, 0.0, 0.0]), None, 2).await;
    assert_eq!(
        texts(&hits),
        ["raven cache", "raven tool"],
        "nearest first, no more than asked"
    );
    assert!(
        close(hits[0].score, 1.0) && close(hits[1].score, 0.6),
        "the score is the cosine"
    );
    assert_eq!(
        hits[0].scores.dense,
        Some(hits[0].score),
        "and is also named as the dense score"
    );
    assert_eq!(hits[0].chunk, points[0].chunk, "the whole chunk comes back");
    let far = search(store, Query::Dense(vec![2.0, 0.0, 0.0, 0.0]), None, 1).await;
    assert!(
        close(far[0].score, 1.0),
        "a cosine does not depend on the query's length"
    );
}

async fn sparse(store: &dyn VectorStore, points: &[Point]) {
    let query = SparseVector::from_pairs([(10, 1.0), (4_000_000_000, 1.0)]);
    let hits = search(store, Query::Sparse(query), None, 10).await;
    let n = points.len() as f32;
    let idf = |df: f32| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
    let expected = [
        ("crow tool 'quote'", 2.0 * idf(1.0)),
        ("raven cache", 1.5 * idf(2.0)),
        ("raven tool", 1.2 * idf(2.0)),
    ];
    assert_eq!(hits.len(), 3, "only points that share a term");
    for (hit, (text, score)) in hits.iter().zip(expected) {
        assert_eq!(hit.chunk.text, text, "best BM25 first");
        assert!(
            close(hit.score, score),
            "the score is BM25: {} is not {score}",
            hit.score
        );
    }
    assert!(
        search(store, Query::Sparse(SparseVector::default()), None, 10)
            .await
            .is_empty(),
        "no terms, no hits"
    );
    learned(store, points).await;
}

/// Weights that a model gave: the store adds nothing, and tells them from counted ones.
async fn learned(store: &dyn VectorStore, points: &[Point]) {
    let weights = |pairs: &[(u32, f32)]| SparseVector::from_pairs(pairs.iter().copied()).learned();
    let changed = [
        (&points[0], weights(&[(10, 0.5), (7, 2.0)])),
        (&points[1], weights(&[(10, 1.0)])),
    ];
    let changed = changed.map(|(point, sparse)| Point {
        sparse: Some(sparse),
        ..point.clone()
    });
    store.upsert(changed.to_vec()).await.unwrap();
    let hits = search(store, Query::Sparse(weights(&[(10, 3.0)])), None, 10).await;
    assert_eq!(hits.len(), 2, "learned weights find learned weights only");
    for (hit, score) in hits.iter().zip([3.0, 1.5]) {
        assert!(
            close(hit.score, score),
            "the score is the product of the weights: {} is not {score}",
            hit.score
        );
    }
    let counted = SparseVector::from_pairs([(7, 1.0), (10, 1.0)]);
    let hits = search(store, Query::Sparse(counted), None, 10).await;
    let changed_ids: Vec<Uuid> = changed.iter().map(Point::id).collect();
    assert!(
        hits.iter().all(|hit| !changed_ids.contains(&hit.chunk.id)),
        "counted words find counted words only"
    );
    let kept = store.get(&changed_ids).await.unwrap();
    for point in &changed {
        let kept = kept.iter().find(|kept| kept.id() == point.id());
        assert_eq!(
            kept.and_then(|kept| kept.sparse.as_ref()),
            point.sparse.as_ref(),
            "weights come back with their kind"
        );
    }
    store.upsert(points[..2].to_vec()).await.unwrap();
}

async fn fused(store: &dyn VectorStore, _points: &[Point]) {
    let query = Query::Fused {
        dense: vec![0.0, 1.0, 0.0, 0.0],
        sparse: SparseVector::from_pairs([(10, 1.0)]),
        dense_weight: 1.0,
    };
    let hits = search(store, query, None, 10).await;
    // Dense: crow tool 1.0, raven tool 0.8, 乌鸦 0.6, two others 0. Sparse: raven cache 1.5 and
    // raven tool 1.2 times a frequency, which has no say.
    assert_eq!(
        hits[0].chunk.text, "raven tool",
        "second in both beats first in one"
    );
    assert!(
        close(hits[0].score, (0.84 + 0.5) / 2.0),
        "the score is the mean of (1 + 4 × 0.8) / 5, of five points, and 1/2, the worst of two: {}",
        hits[0].score
    );
    assert!(
        hits[0].scores.dense.is_some() && hits[0].scores.sparse.is_some(),
        "with both parts"
    );
    let query = Query::Fused {
        dense: vec![0.0, 1.0, 0.0, 0.0],
        sparse: SparseVector::from_pairs([(10, 1.0)]),
        dense_weight: 0.25,
    };
    let hits = search(store, query, None, 1).await;
    assert!(
        close(hits[0].score, (1.0 + 0.25 * 0.2) / 1.25),
        "a lighter dense side moves fewer points: {}",
        hits[0].score
    );
}

async fn filters(store: &dyn VectorStore, points: &[Point]) {
    let anything = Query::Dense(vec![0.5, 0.5, 0.5, 0.5]);
    let range = |gte, lt| Range {
        gte,
        lt,
        ..Range::default()
    };
    let filters = [
        Filter::eq("source", "0.md"),
        Filter::eq("page", 2),
        Filter::eq("document", points[2].chunk.document.to_string()),
        Filter::is_in("metadata.language", ["zh", "fr"]),
        Filter::eq("metadata.tags", "tag1"),
        Filter::eq(Filter::metadata("o'dd \"key\""), 2),
        Filter::eq("metadata.author.name", "author 1"),
        Filter::eq("metadata.refs[].to", 2),
        Filter::eq("metadata.refs.to", 2),
        Filter::text("text", "tool"),
        Filter::text("text", "乌"),
        Filter::text("text", "' "),
        Filter::text("metadata.refs[].列", "鸦"),
        Filter::text("heading", "ird"),
        Filter::text("text", "RAVEN"),
        Filter::text("text", "%"),
        Filter::eq("source", "0.md' OR '1'='1"),
        Filter::range("page", range(Some(2.0), Some(4.0))),
        Filter::not(Filter::eq("metadata.language", "en")),
        Filter::not(Filter::range("page", range(Some(1.0), None))),
        Filter::any([Filter::eq("page", 1), Filter::eq("source", "2.md")]),
        Filter::all([
            Filter::eq("source", "1.md"),
            Filter::eq("metadata.language", "en"),
        ]),
        Filter::all([]),
        Filter::any([]),
        Filter::eq("metadata.no such key", true),
    ];
    for filter in filters {
        let mut expected: Vec<&str> = points
            .iter()
            .filter(|point| filter.matches(&point.payload().unwrap()))
            .map(|point| point.chunk.text.as_str())
            .collect();
        expected.sort_unstable();
        let hits = search(store, anything.clone(), Some(filter.clone()), 10).await;
        let mut found = texts(&hits);
        found.sort_unstable();
        assert_eq!(found, expected, "a search under {filter:?}");
        let count = store.count(Some(&filter)).await.unwrap();
        assert_eq!(count, expected.len(), "a count under {filter:?}");
    }
    let one_percent = Filter::eq("metadata.tags", "tag1");
    let query = SparseVector::from_pairs([(10, 1.0), (30, 1.0)]);
    let hits = search(store, Query::Sparse(query), Some(one_percent), 1).await;
    assert_eq!(
        texts(&hits),
        ["raven tool"],
        "a filter is applied before the limit"
    );
}

async fn refusals(store: &dyn VectorStore, count: usize) {
    let mut bad = points();
    for (i, point) in bad.iter_mut().enumerate() {
        point.chunk.id = Uuid::from_u128(i as u128 + 1);
    }
    bad[1].dense = Some(vec![1.0; 3]);
    let error = store.upsert(bad.clone()).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::BadInput,
        "a vector of the wrong length is refused"
    );
    bad[1].dense = Some(vec![f32::NAN, 0.0, 0.0, 0.0]);
    let error = store.upsert(bad).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput, "NaN is refused");
    assert_eq!(
        store.count(None).await.unwrap(),
        count,
        "a refused call writes nothing"
    );
    let unknown = Filter::eq("sauce", "0.md");
    let anything = Query::Dense(vec![1.0, 0.0, 0.0, 0.0]);
    let request = SearchRequest::new(anything, 1).filtered(Some(unknown.clone()));
    let refused = [
        store.search(request).await.map(|_| ()),
        store.count(Some(&unknown)).await.map(|_| ()),
        store.scroll(Some(&unknown), None, 1).await.map(|_| ()),
        store.delete(Selection::Filter(unknown)).await,
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(
            error.kind(),
            &ErrorKind::BadInput,
            "a filter on an unknown field is refused"
        );
        assert!(error.to_string().contains("sauce"), "by its name: {error}");
    }
    let request = SearchRequest::new(Query::Dense(vec![1.0; 5]), 1);
    let error = store.search(request).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::BadInput,
        "a query of the wrong length is refused"
    );
    let none = search(store, Query::Dense(vec![1.0, 0.0, 0.0, 0.0]), None, 0).await;
    assert!(none.is_empty(), "a limit of 0 gives nothing");
}

async fn getting(store: &dyn VectorStore, points: &[Point]) {
    let ids = [
        points[3].chunk.id,
        Uuid::from_u128(42),
        points[0].chunk.id,
        Uuid::nil(),
    ];
    let mut found = store.get(&ids).await.unwrap();
    found.sort_by_key(|point| ids.iter().position(|id| *id == point.chunk.id));
    let chunks: Vec<&Chunk> = found.iter().map(|point| &point.chunk).collect();
    assert_eq!(
        chunks,
        [&points[3].chunk, &points[0].chunk],
        "points are got by their ids, those that are there"
    );
    let vector = found[0].dense.as_ref().unwrap();
    assert!(close(vector[1], 0.6), "with their vectors");
    assert!(
        store.get(&[]).await.unwrap().is_empty(),
        "no ids, no points"
    );
}

async fn scrolling(store: &dyn VectorStore, points: &[Point]) {
    let mut seen: Vec<Point> = Vec::new();
    let mut after = None;
    loop {
        let page = store.scroll(None, after, 2).await.unwrap();
        assert!(page.points.len() <= 2, "a page is no longer than asked");
        seen.extend(page.points);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let order: Vec<Uuid> = seen.iter().map(|point| point.chunk.id).collect();
    let walk = store.scroll(None, None, 1000).await.unwrap().points;
    let again: Vec<Uuid> = walk.iter().map(|point| point.chunk.id).collect();
    assert_eq!(order, again, "the order does not depend on the pages");
    let mut expected = points.to_vec();
    expected.sort_by_key(|point| point.chunk.id);
    seen.sort_by_key(|point| point.chunk.id);
    for (point, expected) in seen.iter().zip(&expected) {
        assert_eq!(point.chunk, expected.chunk, "points come back as written");
        let (dense, wanted) = (point.dense.as_ref(), expected.dense.as_ref());
        let same = dense
            .unwrap()
            .iter()
            .zip(wanted.unwrap())
            .all(|(a, b)| close(*a, *b));
        assert!(same, "with their vectors");
        assert_eq!(point.sparse, expected.sparse, "and their term weights");
    }
    assert_eq!(seen.len(), points.len(), "scrolling sees every point");
    assert_eq!(
        store.ids().await.unwrap(),
        order,
        "and so does the list of ids"
    );
    let chinese = Filter::eq("metadata.language", "zh");
    let page = store.scroll(Some(&chinese), None, 10).await.unwrap();
    assert_eq!(page.points.len(), 1, "scrolling honours a filter");
}

async fn replacing_and_deleting(store: &dyn VectorStore, points: &[Point]) {
    let mut changed = points[0].clone();
    changed.chunk.metadata = Metadata::new();
    changed.chunk.page = Some(99);
    changed.sparse = Some(SparseVector::from_pairs([(99, 1.0)]));
    store.upsert(vec![changed.clone()]).await.unwrap();
    let hits = search(store, Query::Dense(vec![1.0, 0.0, 0.0, 0.0]), None, 1).await;
    assert_eq!(hits[0].chunk, changed.chunk, "a point is replaced whole");
    let old_term = Query::Sparse(SparseVector::from_pairs([(20, 1.0)]));
    assert!(
        search(store, old_term, None, 5).await.is_empty(),
        "its old terms are gone"
    );

    let missing = Uuid::from_u128(42);
    let selection = Selection::Ids(vec![changed.chunk.id, missing]);
    store.delete(selection).await.unwrap();
    assert_eq!(
        store.count(None).await.unwrap(),
        points.len() - 1,
        "a deleted point is gone"
    );
    let hits = search(store, Query::Dense(vec![1.0, 0.0, 0.0, 0.0]), None, 10).await;
    assert!(
        hits.iter().all(|hit| hit.chunk.id != changed.chunk.id),
        "and is not found"
    );

    let query = Query::Sparse(SparseVector::from_pairs([(10, 1.0)]));
    let hits = search(store, query, None, 5).await;
    let expected = 1.2 * (1.0_f32 + (4.0 - 1.0 + 0.5) / (1.0 + 0.5)).ln();
    assert!(
        close(hits[0].score, expected),
        "what is deleted or replaced counts in no frequency: {} is not {expected}",
        hits[0].score
    );

    let filter = Filter::eq("source", "1.md");
    store.delete(Selection::Filter(filter)).await.unwrap();
    assert_eq!(
        store.count(None).await.unwrap(),
        2,
        "a filter deletes what matches, no more"
    );
    store
        .delete(Selection::Filter(Filter::all([])))
        .await
        .unwrap();
    assert_eq!(
        store.count(None).await.unwrap(),
        0,
        "everything matches the empty `all`"
    );
}

/// Points without some vector, without any, and with texts of all kinds.
async fn odd_points(store: &dyn VectorStore, points: &[Point]) {
    let texts = [
        "emoji 🐦\u{200d}⬛ and flags 🇨🇳",
        "e\u{301} is not é; ﬁ; \u{202e}right to left",
        "𠮷野家 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 \t \\ \" ' ` ${x} %s",
        "",
    ];
    let odd: Vec<Point> = texts
        .iter()
        .enumerate()
        .map(|(i, text)| {
            let mut point = points[i].clone();
            point.chunk.id = crate::ids::chunk(&point.chunk.document, text, 7);
            point.chunk.text = (*text).to_owned();
            point.chunk.end = point.chunk.start + text.len();
            point.dense = (i % 2 == 0).then(|| vec![0.0, 0.0, 0.6, 0.8]);
            point.sparse = (i < 2).then(|| SparseVector::from_pairs([(u32::MAX, 1.0)]));
            point
        })
        .collect();
    store.upsert(odd.clone()).await.unwrap();
    let mut kept = Vec::new();
    let mut after = None;
    loop {
        let page = store.scroll(None, after, 1).await.unwrap();
        kept.extend(page.points);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(kept.len(), odd.len(), "points without vectors are kept too");
    for point in &odd {
        let same = kept.iter().find(|kept| kept.chunk.id == point.chunk.id);
        let same = same.expect("each is there");
        assert_eq!(same.chunk, point.chunk, "texts come back letter for letter");
        assert_eq!(
            same.dense.is_some(),
            point.dense.is_some(),
            "no vector is made up"
        );
        assert_eq!(same.sparse, point.sparse, "no words are made up");
    }
    let query = Query::Dense(vec![0.0, 0.0, 0.6, 0.8]);
    let hits = search(store, query, None, 10).await;
    assert_eq!(
        hits.len(),
        2,
        "only points that have a vector are found by one"
    );
    let again = search(store, Query::Dense(vec![0.0, 0.0, 0.6, 0.8]), None, 10).await;
    assert_eq!(hits, again, "equals keep their order");
    let words = Query::Sparse(SparseVector::from_pairs([(u32::MAX, 1.0)]));
    assert_eq!(search(store, words, None, 10).await.len(), 2);
    let both = Query::Fused {
        dense: vec![0.0, 0.0, 0.6, 0.8],
        sparse: SparseVector::from_pairs([(u32::MAX, 1.0)]),
        dense_weight: 1.0,
    };
    let hits = search(store, both, None, 10).await;
    assert_eq!(hits.len(), 3, "and by either, what has either");
    let ids = odd.iter().map(|point| point.chunk.id).collect();
    store.delete(Selection::Ids(ids)).await.unwrap();
    assert_eq!(store.count(None).await.unwrap(), 0);
}
