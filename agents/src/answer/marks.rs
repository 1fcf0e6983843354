//! Citation marks in a model's text: `[1]`, `[1, 2]`, `[1-3]`, `【1】`.

/// A sentence without its marks, and the passages they named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unmarked {
    /// The text without marks.
    pub text: String,
    /// The numbers in order, each once; only numbers of passages that exist.
    pub marks: Vec<usize>,
}

/// Takes the marks out of a sentence. Numbers beyond `passages` vanish: a citation can only be
/// of a passage that was retrieved.
pub(super) fn take(sentence: &str, passages: usize) -> Unmarked {
    let mut found = Unmarked {
        text: String::with_capacity(sentence.len()),
        marks: Vec::new(),
    };
    let mut rest = sentence;
    while let Some(at) = rest.find(['[', '【', '［']) {
        let (before, from) = rest.split_at(at);
        found.text.push_str(before);
        match mark(from) {
            Some((numbers, length)) => {
                for n in numbers {
                    if (1..=passages).contains(&n) && !found.marks.contains(&n) {
                        found.marks.push(n);
                    }
                }
                rest = &from[length..];
                let dangling = found.text.ends_with([' ', '\u{a0}'])
                    && rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
                if dangling {
                    found.text.truncate(found.text.trim_end().len());
                }
            }
            None => {
                let bracket = from.chars().next().map_or(0, char::len_utf8);
                found.text.push_str(&from[..bracket]);
                rest = &from[bracket..];
            }
        }
    }
    found.text.push_str(rest);
    found
}

/// The sentence without a mark that its end cut in half.
pub(super) fn without_half(sentence: &str) -> &str {
    match sentence.rfind(['[', '【', '［']) {
        Some(at) if sentence[at..].chars().skip(1).all(is_inside) => sentence[..at].trim_end(),
        _ => sentence,
    }
}

/// Whether `text` may be the beginning of a mark, or marks with spaces between and before them:
/// then more of it must be seen before the sentence in front of it is complete.
pub(super) fn leading_marks(text: &str) -> Leading {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let spaces = rest.len() - rest.trim_start_matches([' ', '\u{a0}']).len();
        let from = &rest[spaces..];
        match from.chars().next() {
            None => return Leading::Unknown,
            Some('[' | '【' | '［') => match mark(from) {
                Some((_, mark)) => length += spaces + mark,
                None if from.chars().skip(1).all(is_inside) => return Leading::Unknown,
                None => return Leading::Length(length),
            },
            Some(_) => return Leading::Length(length),
        }
    }
}

/// What stands at the start of a text that goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leading {
    /// This many bytes of marks.
    Length(usize),
    /// The text is too short to tell.
    Unknown,
}

fn is_inside(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, ' ' | ',' | '，' | '、' | ';' | '-' | '–')
}

/// The numbers and the length of the mark that `text` starts with.
fn mark(text: &str) -> Option<(Vec<usize>, usize)> {
    let open = text.chars().next()?.len_utf8();
    let inside = text[open..].find(|c| !is_inside(c));
    let end = open + inside?;
    let close = text[end..]
        .chars()
        .next()
        .filter(|c| matches!(c, ']' | '】' | '］'))?;
    let inner = &text[open..end];
    if !inner.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut numbers = Vec::new();
    for part in inner
        .split([',', '，', '、', ';', ' '])
        .filter(|part| !part.is_empty())
    {
        let mut ends = part
            .split(['-', '–'])
            .map(|n| n.parse::<usize>().unwrap_or(0));
        let first = ends.next().unwrap_or(0);
        let last = ends.next().unwrap_or(first);
        numbers.extend(first..=last.min(first.saturating_add(20)));
    }
    Some((numbers, end + close.len_utf8()))
}

/// Puts marks into a sentence: before the punctuation that ends it.
pub(super) fn put(text: &str, marks: &[usize], space: bool) -> String {
    if marks.is_empty() {
        return text.to_owned();
    }
    let body = text.trim_end();
    let ending = |c: char| {
        matches!(
            c,
            '.' | '!' | '?' | '。' | '！' | '？' | ':' | '：' | ';' | '；' | ',' | '，'
        )
    };
    let stem = body.trim_end_matches(ending).trim_end();
    let marks: String = marks.iter().map(|n| format!("[{n}]")).collect();
    let gap = if space { " " } else { "" };
    format!(
        "{stem}{gap}{marks}{}{}",
        body[stem.len()..].trim_start(),
        &text[body.len()..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_taken_out_and_only_real_ones_kept() {
        let check = |sentence: &str, text: &str, marks: &[usize]| {
            let expected = Unmarked {
                text: text.into(),
                marks: marks.into(),
            };
            assert_eq!(take(sentence, 3), expected, "{sentence:?}");
        };
        check("Under moss [1].", "Under moss.", &[1]);
        check("[2] Under moss.", " Under moss.", &[2]);
        check("Moss [99].", "Moss.", &[]);
        check("Moss [0] [4][2].", "Moss.", &[2]);
        check("Moss [1, 3] and [1-2] bark.", "Moss and bark.", &[1, 3, 2]);
        check("在苔藓下【2】。", "在苔藓下。", &[2]);
        check(
            "list[a], [x](http://y), [ ]",
            "list[a], [x](http://y), [ ]",
            &[],
        );
        check("Moss [99999999999999999999999]", "Moss", &[]);
        check("Moss [1", "Moss [1", &[]);
    }

    #[test]
    fn marks_are_put_before_the_end() {
        assert_eq!(put("Under moss.", &[1, 2], true), "Under moss [1][2].");
        assert_eq!(put("在苔藓下。", &[1], false), "在苔藓下[1]。");
        assert_eq!(put("Moss\n", &[3], true), "Moss [3]\n");
        assert_eq!(put("Moss.", &[], true), "Moss.");
    }

    #[test]
    fn marks_after_a_sentence_belong_to_it() {
        assert_eq!(leading_marks(" [1][2] Next"), Leading::Length(7));
        assert_eq!(leading_marks(" Next"), Leading::Length(0));
        for unknown in ["", " ", " [", " [1", " [1]", "【12"] {
            assert_eq!(leading_marks(unknown), Leading::Unknown, "{unknown:?}");
        }
        assert_eq!(leading_marks(" [a] x"), Leading::Length(0));
    }
}
