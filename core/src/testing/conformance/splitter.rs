use crate::{Document, Splitter, TokenCounter};

/// The laws of [`Splitter`] on one document: spans in order, on character boundaries, nothing
/// but white space left out, none over `limit` tokens as `counter` counts, pages and headings as
/// the document says.
///
/// # Panics
///
/// With the law that is broken.
pub fn splitter(
    splitter: &dyn Splitter,
    counter: &dyn TokenCounter,
    limit: usize,
    document: &Document,
) {
    let spans = splitter.split(document).unwrap();
    let text = &document.text;
    let mut covered = 0;
    let mut last_start = 0;
    for span in &spans {
        assert!(
            span.start < span.end && span.end <= text.len(),
            "a range within the text"
        );
        assert!(span.start >= last_start, "spans are in order");
        let piece = text.get(span.start..span.end);
        let piece = piece.expect("a range on character boundaries");
        assert!(!piece.trim().is_empty(), "a span says something");
        assert_eq!(
            span.tokens,
            counter.count(piece),
            "tokens as the counter counts"
        );
        assert!(
            span.tokens <= limit,
            "{} tokens are over the limit {limit}",
            span.tokens
        );
        if span.start > covered {
            let gap = &text[covered..span.start];
            assert!(gap.trim().is_empty(), "lost text: {gap:?}");
        }
        assert_eq!(
            span.page,
            document.page_at(span.start),
            "the page where it starts"
        );
        let heading = document.heading_path_at(span.start);
        assert_eq!(span.heading, heading, "the headings above its start");
        covered = covered.max(span.end);
        last_start = span.start;
    }
    assert!(text[covered..].trim().is_empty(), "lost text at the end");
    let again = splitter.split(document).unwrap();
    assert_eq!(again, spans, "the same document is cut the same way");
}
