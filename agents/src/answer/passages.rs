//! Which passages the model is given: whole ones, best first, as many as fit.

use corbie_core::{Error, ErrorKind, Hit, Result};

use super::Citation;

/// How much may be given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// The most passages.
    pub passages: usize,
    /// Tokens for passages that prefill time is spent on.
    pub budget: usize,
    /// Tokens that the prompt may have in all.
    pub limit: usize,
}

/// Chooses among `hits`. `cost` is the length of the whole prompt with some passages, in tokens.
///
/// The budget is a wish, the limit is not: the first passage may go over the budget. A passage
/// that does not fit is left out whole and the next one tried. Overlapping chunks of one document
/// become one passage.
///
/// # Errors
///
/// [`ContextTooLong`](ErrorKind::ContextTooLong) when not even one passage fits.
pub(super) fn choose(
    hits: &[Hit],
    room: Room,
    mut cost: impl FnMut(&[Citation]) -> Result<usize>,
) -> Result<Vec<Citation>> {
    let bare = cost(&[])?;
    let wish = room.limit.min(bare.saturating_add(room.budget));
    let mut chosen: Vec<Citation> = Vec::new();
    let mut shortest: Option<usize> = None;
    for hit in hits {
        let Some(candidate) = with(&chosen, hit) else {
            continue;
        };
        if candidate.len() > room.passages {
            continue;
        }
        let tokens = cost(&candidate)?;
        let allowed = if chosen.is_empty() { room.limit } else { wish };
        if tokens <= allowed {
            chosen = candidate;
        } else if chosen.is_empty() {
            shortest = Some(shortest.map_or(tokens, |least| least.min(tokens)));
        }
    }
    match (chosen.is_empty(), shortest) {
        (true, Some(tokens)) => Err(too_long(tokens, room.limit)),
        _ => Ok(chosen),
    }
}

fn too_long(tokens: usize, limit: usize) -> Error {
    let cause = format!(
        "the question with its shortest passage takes {tokens} tokens, {limit} are left of the \
         context beside the answer"
    );
    Error::new(
        ErrorKind::ContextTooLong { tokens, limit },
        "question",
        cause,
    )
    .hint("ask a shorter question, split into smaller chunks, or use a model with a longer context")
}

/// `chosen` and one more hit, joined with all it overlaps; `None` if it adds nothing. A joined
/// passage keeps the place and the score of its best part.
fn with(chosen: &[Citation], hit: &Hit) -> Option<Vec<Citation>> {
    let mut added = citation(hit);
    let holds = |passage: &Citation| {
        passage.source == added.source && passage.start <= added.start && added.end <= passage.end
    };
    if chosen.iter().any(holds) {
        return None;
    }
    let mut passages = chosen.to_vec();
    let mut place = passages.len();
    while let Some((at, joined)) = passages
        .iter()
        .enumerate()
        .find_map(|(at, passage)| Some((at, join(passage, &added)?)))
    {
        added = joined;
        passages.remove(at);
        place = place.min(at);
    }
    passages.insert(place, added);
    for (i, passage) in passages.iter_mut().enumerate() {
        passage.n = i + 1;
    }
    Some(passages)
}

fn citation(hit: &Hit) -> Citation {
    let chunk = &hit.chunk;
    Citation {
        n: 0,
        source: chunk.source.clone(),
        page: chunk.page,
        heading: chunk.heading.clone(),
        start: chunk.start,
        end: chunk.end,
        score: hit.score,
        text: chunk.text.clone(),
        cited: false,
    }
}

/// One passage of two of a document that overlap or touch. Their common bytes must agree:
/// otherwise they are of different states of the document.
fn join(a: &Citation, b: &Citation) -> Option<Citation> {
    let (first, second) = if a.start <= b.start { (a, b) } else { (b, a) };
    let common = first.end.checked_sub(second.start)?;
    if a.source != b.source {
        return None;
    }
    let from = first.text.len().checked_sub(common)?;
    let overlap = first.text.get(from..)?;
    let rest = second.text.get(common.min(second.text.len())..)?;
    let agree = overlap.starts_with(&second.text) || second.text.starts_with(overlap);
    let joined = Citation {
        text: format!("{}{rest}", first.text),
        end: first.end.max(second.end),
        score: a.score.max(b.score),
        ..first.clone()
    };
    (agree && joined.text.len() == joined.end - joined.start).then_some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str, start: usize, end: usize) -> Citation {
        Citation {
            n: 1,
            source: "a.md".into(),
            page: Some(start as u32),
            heading: Vec::new(),
            start,
            end,
            score: 1.0,
            text: text[start..end].into(),
            cited: false,
        }
    }

    #[test]
    fn two_parts_of_one_text_become_one_or_stay_apart() {
        let text = "渡鸦 cache";
        for (a, b, expected) in [
            ((0, 6), (3, 9), Some((0, 9))),
            ((3, 9), (0, 6), Some((0, 9))),
            ((0, 6), (6, 9), Some((0, 9))),
            ((0, 9), (3, 6), Some((0, 9))),
            ((0, 3), (6, 9), None),
        ] {
            let joined = join(&part(text, a.0, a.1), &part(text, b.0, b.1));
            let found = joined.map(|passage| {
                assert_eq!(passage.text, text[passage.start..passage.end]);
                assert_eq!(passage.page, Some(passage.start as u32));
                (passage.start, passage.end)
            });
            assert_eq!(found, expected, "{a:?} and {b:?}");
        }
        let other = Citation {
            text: "crows!".into(),
            ..part(text, 3, 9)
        };
        assert_eq!(
            join(&part(text, 0, 6), &other),
            None,
            "another state of the document"
        );
    }
}
