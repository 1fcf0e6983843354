//! From a document to the chunks and texts that are stored.

use std::collections::HashMap;

use corbie_core::{Chunk, Document, Error, ErrorKind, Result, Splitter, TokenCounter, ids};

/// The chunks of `document` in order.
pub(crate) fn chunks(
    collection: &str,
    document: &Document,
    splitter: &dyn Splitter,
) -> Result<Vec<Chunk>> {
    let id = ids::document(collection, &document.source);
    let mut ordinals: HashMap<&str, usize> = HashMap::new();
    let mut chunks = Vec::new();
    for span in splitter.split(document)? {
        let text = document.text.get(span.start..span.end).ok_or_else(|| {
            let range = format!("{}..{}", span.start, span.end);
            Error::new(
                ErrorKind::Internal,
                format!("splitter `{}`", splitter.identity()),
                format!("its span {range} of `{}` cuts a character", document.source),
            )
        })?;
        let ordinal = ordinals.entry(text).or_default();
        chunks.push(Chunk {
            id: ids::chunk(&id, text, *ordinal),
            document: id,
            source: document.source.clone(),
            text: text.to_owned(),
            start: span.start,
            end: span.end,
            page: span.page,
            heading: span.heading,
            metadata: document.metadata.clone(),
        });
        *ordinal += 1;
    }
    Ok(chunks)
}

/// What is searched for a chunk: its text under the headings that it does not itself contain,
/// as long as the embedder takes both. A passage of a handbook seldom repeats what it is about.
pub(crate) fn searched_text(chunk: &Chunk, tokens: Option<&dyn TokenCounter>) -> String {
    let missing = |heading: &&String| !chunk.text.contains(heading.as_str());
    let headings: Vec<&str> = chunk
        .heading
        .iter()
        .filter(missing)
        .map(String::as_str)
        .collect();
    if headings.is_empty() {
        return chunk.text.clone();
    }
    let text = format!("{}\n{}", headings.join(" › "), chunk.text);
    match tokens {
        Some(tokens) if tokens.count(&text) > tokens.limit() => chunk.text.clone(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::Span;
    use corbie_core::testing::WordCounter;

    use super::*;

    struct Lines;

    impl Splitter for Lines {
        fn split(&self, document: &Document) -> Result<Vec<Span>> {
            let mut start = 0;
            let span = |line: &str| {
                let span = Span {
                    start,
                    end: start + line.len(),
                    tokens: 1,
                    page: None,
                    heading: vec!["Birds".into(), "鸟".into()],
                };
                start += line.len() + 1;
                span
            };
            Ok(document.text.split('\n').map(span).collect())
        }

        fn identity(&self) -> String {
            "lines".into()
        }
    }

    #[test]
    fn repeated_texts_are_chunks_of_their_own() {
        let document = Document::new("a.md", "crow\n渡鸦\ncrow");
        let chunks = chunks("c", &document, &Lines).unwrap();
        assert_eq!(chunks[1].text, "渡鸦");
        assert_ne!(chunks[0].id, chunks[2].id);
        for chunk in &chunks {
            assert_eq!(document.text[chunk.start..chunk.end], chunk.text);
        }
    }

    #[test]
    fn headings_are_searched_where_they_fit_and_are_not_there_already() {
        let document = Document::new("a.md", "crow\nBirds 鸟");
        let chunks = chunks("c", &document, &Lines).unwrap();
        assert_eq!(searched_text(&chunks[0], None), "Birds › 鸟\ncrow");
        let small = WordCounter { limit: 2 };
        assert_eq!(searched_text(&chunks[0], Some(&small)), "crow");
        assert_eq!(searched_text(&chunks[1], None), "Birds 鸟");
    }
}
