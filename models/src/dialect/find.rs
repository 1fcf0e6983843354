//! Marks in text, whole and half.

/// The first of `marks` in `text`, the longest where several begin: where, and which.
pub(super) fn first(text: &str, marks: &[&str]) -> Option<(usize, usize)> {
    let mut best: Option<(usize, usize)> = None;
    for (index, mark) in marks.iter().enumerate() {
        let Some(at) = text.find(mark) else { continue };
        let better = best.is_none_or(|(place, other)| {
            at < place || (at == place && mark.len() > marks[other].len())
        });
        if better {
            best = Some((at, index));
        }
    }
    best
}

/// How many bytes at the end of `text` may be the beginning of a mark.
pub(super) fn half(text: &str, marks: &[&str]) -> usize {
    let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or(0);
    let from = text.len().saturating_sub(longest);
    text.char_indices()
        .rev()
        .map(|(at, _)| at)
        .take_while(|at| *at >= from)
        .filter(|at| marks.iter().any(|mark| mark.starts_with(&text[*at..])))
        .last()
        .map_or(0, |at| text.len() - at)
}
