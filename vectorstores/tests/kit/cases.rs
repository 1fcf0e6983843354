//! Points, searches and filters that every store must answer as the exact one does.

use corbie_core::{
    BoxFuture, Chunk, ErrorKind, Filter, Metadata, Point, Query, Range, Result, SearchRequest,
    Selection, SparseVector, VectorStore, ids,
};
use corbie_vectorstores::MemoryStore;
use proptest::prelude::*;
use serde_json::json;

/// A point with a few facts to filter by.
pub fn point(number: usize) -> Point {
    let source = format!("{}.md", number % 7);
    let document = ids::document("edge", &source);
    let text = format!("line {number}");
    let angle = number as f32;
    let mut metadata = Metadata::new();
    metadata.insert("n".into(), (number % 5).into());
    metadata.insert(
        "tags".into(),
        vec![format!("t{}", number % 3), "all".into()].into(),
    );
    metadata.insert("a.b \"c\"".into(), number.is_multiple_of(2).into());
    metadata.insert("half".into(), (number as f64 / 2.0).into());
    metadata.insert("nested".into(), json!({ "deep": number % 6 }));
    metadata.insert(
        "list".into(),
        json!([{ "name": "t0" }, { "name": number % 3 }]),
    );
    Point {
        namespace: None,
        dense: Some(vec![angle.cos(), angle.sin(), 0.5, 0.1]),
        sparse: Some(SparseVector::from_pairs([
            (number as u32 % 11, 1.0),
            (100 + number as u32 % 3, 0.5 + (number % 4) as f32),
        ])),
        chunk: Chunk {
            id: ids::chunk(&document, &text, 0),
            document,
            source,
            start: number,
            end: number + text.len(),
            text,
            page: (!number.is_multiple_of(4)).then_some(number as u32 % 4),
            heading: vec!["鸟".into()],
            metadata,
        },
    }
}

/// Writes the same points into `store` and an exact one, and replaces and deletes some of them.
pub async fn changed(store: &dyn VectorStore) -> MemoryStore {
    let exact = MemoryStore::new(Some(4));
    for store in [store, &exact] {
        store.upsert((0..200).map(point).collect()).await.unwrap();
        let mut changed: Vec<Point> = (0..40).map(point).collect();
        changed.iter_mut().for_each(|p| p.sparse = point(3).sparse);
        store.upsert(changed).await.unwrap();
        let gone = (150..200).map(|n| point(n).chunk.id).collect();
        store.delete(Selection::Ids(gone)).await.unwrap();
    }
    exact
}

/// Both stores give the same scores in the same order.
pub async fn same_ranking(store: &dyn VectorStore, exact: &MemoryStore) {
    let dense = vec![0.3, 0.8, 0.1, 0.0];
    let sparse = SparseVector::from_pairs([(3, 1.0), (7, 2.0), (101, 1.0)]);
    let queries = [
        Query::Dense(dense.clone()),
        Query::Sparse(sparse.clone()),
        Query::Fused {
            dense,
            sparse,
            dense_weight: 0.7,
        },
    ];
    for query in &queries {
        for filter in [None, Some(Filter::eq("metadata.tags", "t1"))] {
            let request = SearchRequest::new(query.clone(), 150).filtered(filter);
            let exact = exact.search(request.clone()).await.unwrap();
            let found = store.search(request).await.unwrap();
            assert_eq!(found.len(), exact.len(), "{query:?}");
            for (found, exact) in found.iter().zip(&exact) {
                let near = |a: f32, b: f32| (a - b).abs() < 1e-4;
                assert!(
                    near(found.score, exact.score),
                    "{query:?}: {found:?} {exact:?}"
                );
            }
        }
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![
        (0..6_i64).prop_map(Into::into),
        any::<bool>().prop_map(Into::into),
        "t[0-3]|[0-6]\\.md|' OR 1=1|\\PC{0,4}".prop_map(Into::into),
        Just(serde_json::Value::Null),
        (0..9_u8).prop_map(|n| (f64::from(n) / 2.0).into()),
        Just(u64::MAX.into()),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "source", "document", "page", "metadata.n", "metadata.tags", "metadata.half",
            "metadata.\"a.b \\\"c\\\"\"", "metadata.nested.deep", "metadata.list[].name", "heading", "text",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => "metadata\\.\\PC{0,6}",
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let bound = || prop::option::of(-1.0..6.0_f64);
    let leaf = prop_oneof![
        (field(), value()).prop_map(|(f, v)| Filter::eq(f, v)),
        (field(), prop::collection::vec(value(), 0..3)).prop_map(|(f, v)| Filter::is_in(f, v)),
        (field(), "\\PC{0,2}|line|鸟").prop_map(|(f, v)| Filter::text(f, v)),
        (field(), bound(), bound(), bound(), bound())
            .prop_map(|(f, gte, gt, lte, lt)| { Filter::range(f, Range { gte, gt, lte, lt }) }),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::All),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::Any),
            inner.prop_map(Filter::not),
        ]
    })
}

/// No field, value or nesting makes a filter find more, or less, than it says, in an empty store
/// of dense vectors of 4 dimensions.
pub fn filters_mean_what_they_say(
    store: &dyn VectorStore,
    block_on: impl Fn(BoxFuture<'_, Result<usize>>) -> Result<usize>,
) {
    let all: Vec<Point> = (0..40).map(point).collect();
    let write = async {
        store.upsert(all.clone()).await?;
        store.count(None).await
    };
    assert_eq!(block_on(Box::pin(write)).unwrap(), all.len());
    let matching = |filter: &Filter| {
        let payload = |p: &&Point| filter.matches(&p.payload().unwrap());
        all.iter().filter(payload).count()
    };
    proptest!(|(filter in filter())| {
        let count = block_on(store.count(Some(&filter)));
        match filter.check() {
            Ok(()) => prop_assert_eq!(count.unwrap(), matching(&filter)),
            Err(_) => {
                let error = count.unwrap_err();
                prop_assert_eq!(error.kind(), &ErrorKind::BadInput);
            }
        }
    });
}
