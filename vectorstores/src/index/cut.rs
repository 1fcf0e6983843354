//! From a document to the chunks and texts that are stored.

use std::collections::HashMap;

use corbie_core::{Chunk, Document, Error, ErrorKind, Result, Splitter, TokenCounter, ids};
use serde_json::Value;

/// The chunks of `document` in order.
pub(crate) fn chunks(
    collection: &str,
    document: &Document,
    splitter: &dyn Splitter,
) -> Result<Vec<Chunk>> {
    let id = ids::document(collection, &document.source);
    let mut metadata = document.metadata.clone();
    metadata.remove(CONTEXT); // Not for a document to say.
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
            metadata: metadata.clone(),
        });
        *ordinal += 1;
    }
    Ok(chunks)
}

/// The field of a chunk's metadata in which a model wrote where the chunk stands: for searching
/// only.
pub(super) const CONTEXT: &str = "corbie.context";

/// What is searched for a chunk: its text under the headings that it does not itself contain,
/// and under what a model wrote about it, as long as the embedder takes them. A passage of a
/// handbook seldom repeats what it is about.
pub(crate) fn searched_text(chunk: &Chunk, tokens: Option<&dyn TokenCounter>) -> String {
    let missing = |heading: &&String| !chunk.text.contains(heading.as_str());
    let headings: Vec<&str> = chunk
        .heading
        .iter()
        .filter(missing)
        .map(String::as_str)
        .collect();
    let fits = |text: &String| tokens.is_none_or(|tokens| tokens.count(text) <= tokens.limit());
    let headed = match headings.is_empty() {
        true => None,
        false => Some(format!("{}\n{}", headings.join(" › "), chunk.text)).filter(fits),
    };
    let text = headed.unwrap_or_else(|| chunk.text.clone());
    let mut context = chunk
        .metadata
        .get(CONTEXT)
        .and_then(Value::as_str)
        .unwrap_or("");
    // Of one that is too long, the beginning says most.
    while !context.is_empty() {
        let whole = format!("{context}\n{text}");
        if fits(&whole) {
            return whole;
        }
        context = &context[..context.floor_char_boundary(context.len() / 2)];
    }
    text
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

    #[test]
    fn what_a_model_wrote_is_searched_as_far_as_it_fits() {
        let document = Document::new("a.md", "Birds 鸟");
        let mut chunk = chunks("c", &document, &Lines).unwrap().remove(0);
        chunk
            .metadata
            .insert(CONTEXT.into(), "Of ravens and crows".into());
        assert_eq!(searched_text(&chunk, None), "Of ravens and crows\nBirds 鸟");
        let small = WordCounter { limit: 4 };
        assert_eq!(searched_text(&chunk, Some(&small)), "Of ravens\nBirds 鸟");
        let none = WordCounter { limit: 2 };
        assert_eq!(searched_text(&chunk, Some(&none)), "Birds 鸟");
    }
}
