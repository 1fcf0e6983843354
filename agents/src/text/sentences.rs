//! Where sentences end.

use std::ops::Range;

/// The byte ranges of a text's sentences, in order, without white space around them. A sentence
/// ends at its closing punctuation, at a blank line, and before and after a heading, list item
/// or table row; other line breaks are spaces.
pub(crate) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let length = sentence_end(&text[start..], true).unwrap_or(text.len() - start);
        let sentence = &text[start..start + length];
        let lead = sentence.len() - sentence.trim_start().len();
        let trimmed = sentence.trim();
        if !trimmed.is_empty() {
            found.push(start + lead..start + lead + trimmed.len());
        }
        start += length;
    }
    found
}

/// Where the first sentence of `text` ends, if something after it shows that it does. A text that
/// is not `complete` may go on: what its end leaves open is not decided yet.
pub(crate) fn sentence_end(text: &str, complete: bool) -> Option<usize> {
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let rest = &text[end..];
        match c {
            '。' | '！' | '？' => return closed(rest).map(|length| end + length),
            '.' | '!' | '?' => {
                if c == '.' && is_abbreviation(&text[..at]) {
                    continue;
                }
                let close = closed(rest)?;
                let next = rest[close..].chars().next();
                if next.is_some_and(|c| c.is_whitespace() || matches!(c, '[' | '【')) {
                    return Some(end + close);
                }
            }
            '\n' => {
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                let next = rest.split('\n').next().unwrap_or_default();
                let said = !text[..at].trim().is_empty();
                if said && !complete && next.len() < LONGEST_BLOCK_MARK && next.len() == rest.len()
                {
                    return None;
                }
                if said && (next.trim().is_empty() || is_block(line) || is_block(next)) {
                    return Some(end);
                }
            }
            _ => {}
        }
    }
    None
}

/// The length of the closing quotes and brackets at the start of `rest`; `None` if it holds
/// nothing else, so that more may follow.
fn closed(rest: &str) -> Option<usize> {
    let closing = |c: char| {
        matches!(
            c,
            '"' | '\'' | '”' | '’' | '」' | '』' | ')' | '）' | '*' | '_'
        )
    };
    rest.find(|c| !closing(c))
}

/// So many bytes of a line show whether it is a block by [`is_block`].
const LONGEST_BLOCK_MARK: usize = 6;

/// Whether a line is a heading, a list item, a table row or code by Markdown's marks.
fn is_block(line: &str) -> bool {
    let line = line.trim_start();
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with(['#', '|', '>', '`'])
        || ["- ", "* ", "+ "].iter().any(|mark| line.starts_with(mark))
        || numbered.len() < line.len() && numbered.starts_with(". ")
}

/// A sentence without the mark of the list it stands in.
pub(crate) fn without_list_mark(sentence: &str) -> &str {
    let line = sentence.trim_start();
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let unnumbered = numbered
        .strip_prefix(". ")
        .filter(|_| numbered.len() < line.len());
    let marked = ["- ", "* ", "+ "]
        .iter()
        .find_map(|mark| line.strip_prefix(mark));
    unnumbered.or(marked).unwrap_or(line)
}

/// Whether the full stop after `before` belongs to an abbreviation or an initial.
fn is_abbreviation(before: &str) -> bool {
    let word = before
        .rsplit(|c: char| c.is_whitespace() || c == '(')
        .next()
        .unwrap_or_default();
    let initial = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let number = !word.is_empty()
        && word.chars().all(|c| c.is_ascii_digit())
        && matches!(before[..before.len() - word.len()].trim_end_matches([' ', '\t']), line
            if line.is_empty() || line.ends_with('\n'));
    initial || number || ABBREVIATIONS.contains(&word)
}

const ABBREVIATIONS: &[&str] = &[
    "Dr", "Mr", "Mrs", "Ms", "Prof", "St", "No", "Fig", "vs", "e.g", "i.e", "cf", "approx", "ca",
    "Inc", "Ltd", "Jr", "Sr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_sentences(text: &str, expected: &[&str]) {
        let found: Vec<&str> = sentences(text).into_iter().map(|r| &text[r]).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn sentences_end_where_a_reader_sees_them_end() {
        check_sentences("One. Two! Three?", &["One.", "Two!", "Three?"]);
        check_sentences(
            "It is 3.5 km. Dr. Wend knows.",
            &["It is 3.5 km.", "Dr. Wend knows."],
        );
        check_sentences(
            "She said \"go.\" We went.",
            &["She said \"go.\"", "We went."],
        );
        check_sentences("一。二！“三？”四", &["一。", "二！", "“三？”", "四"]);
        check_sentences("wrapped\nline. Next", &["wrapped\nline.", "Next"]);
        check_sentences(
            "# Title\nText\n\n- a\n- b",
            &["# Title", "Text", "- a", "- b"],
        );
        check_sentences(" \n ", &[]);
    }
}
