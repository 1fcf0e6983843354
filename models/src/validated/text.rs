//! What a text may be without what stands around it.

/// Pairs of quotation marks.
const QUOTES: [(&str, &str); 8] = [
    ("\"", "\""),
    ("'", "'"),
    ("`", "`"),
    ("**", "**"),
    ("“", "”"),
    ("‘", "’"),
    ("「", "」"),
    ("『", "』"),
];

/// Marks that end a sentence.
const ENDS: [char; 6] = ['.', '。', '!', '!', '、', ','];

/// The text as it is, and then with less and less around it: white space, a code fence, quotation
/// marks.
pub fn readings(text: &str) -> Vec<&str> {
    let trimmed = text.trim();
    let mut readings = vec![text, trimmed];
    if let [block] = blocks(trimmed)[..]
        && trimmed.starts_with("```")
        && trimmed.ends_with("```")
    {
        readings.push(block.trim());
    }
    let unquoted = readings.iter().filter_map(|reading| unquote(reading));
    readings.extend(unquoted.collect::<Vec<_>>());
    readings
}

/// The text within one pair of quotation marks.
fn unquote(text: &str) -> Option<&str> {
    QUOTES
        .iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close))
}

/// The contents of code fences.
pub fn blocks(text: &str) -> Vec<&str> {
    let pieces: Vec<&str> = text.split("```").collect();
    // A fence that nobody closes encloses nothing.
    let closed = pieces.len().saturating_sub(1) / 2;
    let blocks = pieces.iter().skip(1).step_by(2).take(closed);
    blocks
        .map(|block| match block.split_once('\n') {
            // The first line names the language.
            Some((_, body)) => body,
            None => block,
        })
        .collect()
}

/// A text as options are compared: without quotation marks, a final stop, and case.
pub fn fold(text: &str) -> String {
    let mut text = text.trim();
    loop {
        let inner = unquote(text).unwrap_or(text).trim();
        let inner = inner.trim_end_matches(ENDS).trim_end();
        if inner.len() == text.len() {
            return text.to_lowercase();
        }
        text = inner;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_text_comes_off() {
        for (text, least) in [
            ("moss", "moss"),
            ("  moss\n", "moss"),
            ("```\nmoss\n```", "moss"),
            ("```text\n苔藓\n```\n", "苔藓"),
            ("\"moss\"", "moss"),
            ("“苔藓”", "苔藓"),
            ("「苔藓」", "苔藓"),
            ("```\n\"moss\"\n```", "moss"),
            ("\"", "\""),
            ("```moss", "```moss"),
        ] {
            let readings = readings(text);
            assert_eq!(readings[0], text);
            assert!(readings.contains(&least), "{text:?}: {readings:?}");
        }
        assert!(!readings("a ```\nb\n``` c").contains(&"b"), "not alone");
    }

    #[test]
    fn options_are_compared_without_their_dress() {
        for (text, folded) in [
            ("Yes.", "yes"),
            ("**Yes**", "yes"),
            ("“是。”", "是"),
            ("\"No!\" ", "no"),
            ("...", ""),
        ] {
            assert_eq!(fold(text), folded, "{text}");
        }
    }
}
