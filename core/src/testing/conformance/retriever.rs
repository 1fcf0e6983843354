use std::collections::{BTreeSet, HashSet};

use crate::{ErrorKind, Filter, Hit, Point, RetrieveRequest, Retriever};

/// What people ask that is no question.
const STRANGE: [&str; 5] = [
    "",
    " \n\t",
    "！？…",
    "' OR 1=1; --",
    "{{question}} \u{0} \u{202e}",
];

/// The laws of [`Retriever`], on one that finds chunks of several documents for each of
/// `questions`.
///
/// # Panics
///
/// With the law that is broken.
pub async fn retriever(retriever: &dyn Retriever, questions: &[&str]) {
    for question in questions {
        let hits = find(retriever, question, None, 10).await;
        let sources: BTreeSet<&str> = hits.iter().map(|hit| hit.chunk.source.as_str()).collect();
        assert!(
            sources.len() > 1,
            "several documents are found for {question:?}, else the laws say little: {sources:?}"
        );
        let again = find(retriever, question, None, 10).await;
        assert_eq!(again, hits, "the same hits every time for {question:?}");
        for limit in 0..4 {
            let hits = find(retriever, question, None, limit).await;
            assert_eq!(hits.is_empty(), limit == 0, "a limit of {limit}");
        }
        filters(retriever, question, &hits).await;
        let competence = retriever.competence(question);
        assert!((0.0..=1.0).contains(&competence), "competence is a share");
    }
    let long = questions.concat().repeat(50);
    for question in STRANGE.into_iter().chain([long.as_str()]) {
        find(retriever, question, None, 3).await;
    }
}

/// Hits that are at most as many as asked for, well ordered, each once.
async fn find(
    retriever: &dyn Retriever,
    question: &str,
    filter: Option<Filter>,
    limit: usize,
) -> Vec<Hit> {
    let request = RetrieveRequest::new(question).with_limit(limit);
    let hits = retriever.retrieve(request.filtered(filter)).await.unwrap();
    assert!(hits.len() <= limit, "no more than asked for");
    assert!(
        hits.iter().all(|hit| hit.score.is_finite()),
        "finite scores"
    );
    assert!(
        hits.is_sorted_by(|better, worse| better.score >= worse.score),
        "best first for {question:?}: {:?}",
        hits.iter().map(|hit| hit.score).collect::<Vec<_>>()
    );
    let ids: HashSet<_> = hits.iter().map(|hit| hit.chunk.id).collect();
    assert_eq!(ids.len(), hits.len(), "each chunk once for {question:?}");
    hits
}

async fn filters(retriever: &dyn Retriever, question: &str, hits: &[Hit]) {
    let mut seen = HashSet::new();
    for hit in hits.iter().filter(|hit| seen.insert(hit.chunk.document)) {
        let chunk = &hit.chunk;
        let source = Filter::eq("source", chunk.source.as_str());
        // Of these something is there to be found.
        let kept = [
            source.clone(),
            Filter::not(source),
            Filter::eq("document", chunk.document.to_string()),
            Filter::all([]),
        ];
        for filter in kept {
            let hits = within(retriever, question, filter.clone(), 1).await;
            assert_eq!(
                hits, 1,
                "a filter is applied before the limit: {filter:?} for {question:?}"
            );
            within(retriever, question, filter, 10).await;
        }
        let beginning: String = chunk.text.chars().take(3).collect();
        let own = [
            Filter::text("text", beginning.as_str()),
            Filter::not(Filter::text("text", beginning)),
            Filter::eq("page", chunk.page.unwrap_or(1)),
            Filter::eq("start", chunk.start),
            Filter::not(Filter::eq("end", chunk.end)),
        ];
        let facts = chunk.metadata.iter();
        let facts = facts.map(|(key, value)| Filter::eq(Filter::metadata(key), value.clone()));
        for filter in own.into_iter().chain(facts) {
            within(retriever, question, filter, 10).await;
        }
    }
    assert_eq!(
        within(retriever, question, Filter::any([]), 10).await,
        0,
        "nothing passes a filter of no alternatives"
    );
    let unknown = RetrieveRequest::new(question).filtered(Some(Filter::eq("sauce", 1)));
    let error = retriever.retrieve(unknown).await.unwrap_err();
    assert_eq!(
        error.kind(),
        &ErrorKind::BadInput,
        "a filter on an unknown field is refused: {error}"
    );
}

/// How many hits pass `filter`, after a look at each.
async fn within(retriever: &dyn Retriever, question: &str, filter: Filter, limit: usize) -> usize {
    let hits = find(retriever, question, Some(filter.clone()), limit).await;
    let count = hits.len();
    for hit in hits {
        let point = Point {
            namespace: None,
            chunk: hit.chunk,
            dense: None,
            sparse: None,
        };
        assert!(
            filter.matches(&point.payload().unwrap()),
            "{:?} of {} is outside {filter:?}",
            point.chunk.text,
            point.chunk.source
        );
    }
    count
}
