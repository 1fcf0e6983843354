//! Where sentences end, in any script.
//!
//! The bounds are those of Unicode Standard Annex 29, with three corrections: a line end inside a
//! paragraph ends no sentence, neither does the full stop of an abbreviation or an initial, and an
//! opening mark belongs to what follows.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Words whose full stop rarely ends a sentence, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "art", "capt", "cf", "ch", "col", "dept", "dr", "ed", "eds", "e.g", "eq",
    "eqs", "et", "fig", "figs", "gen", "gov", "hon", "i.e", "jr", "lt", "mr", "mrs", "ms", "no",
    "nos", "p", "pp", "prof", "rep", "rev", "sec", "sen", "sgt", "sr", "st", "tab", "univ", "v",
    "viz", "vol", "vols", "vs",
];

/// Marks that open what follows them.
const OPENING: &[char] = &['“', '‘', '「', '『', '《', '（', '【', '(', '[', '{'];

/// The sentences of one paragraph, `text[range]`, in order, white space at their ends included: what
/// they are joined to is the paragraph. Of a range that is none of the text's: none.
///
/// ```
/// use corbie_core::sentences;
///
/// let text = "Dr. Heinrich watched ravens. 渡鸦藏食物。它们记得地方。";
/// let found: Vec<&str> = sentences(text, 0..text.len())
///     .into_iter()
///     .map(|range| text[range].trim())
///     .collect();
/// assert_eq!(found, ["Dr. Heinrich watched ravens.", "渡鸦藏食物。", "它们记得地方。"]);
/// ```
pub fn sentences(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    // Bytes keep their places, so bounds in the copy are bounds in the text.
    let unbroken = text
        .get(range.clone())
        .unwrap_or_default()
        .replace('\n', " ");
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut start = range.start;
    for (at, sentence) in unbroken.split_sentence_bound_indices() {
        if !goes_on(sentence.trim_end()) {
            // The annex leaves the next quotation's opening mark with this sentence.
            let sentence = sentence.trim_end_matches(OPENING);
            let end = range.start + at + sentence.len();
            if end > start {
                found.push(start..end);
                start = end;
            }
        }
    }
    if start < range.start + unbroken.len() {
        found.push(start..range.end);
    }
    found
}

/// Whether what looks like a sentence ends in an abbreviation or a single letter.
fn goes_on(sentence: &str) -> bool {
    let Some(before) = sentence.strip_suffix('.') else {
        return false;
    };
    let word = before
        .rsplit(|c: char| c.is_whitespace() || "([{\"'“‘".contains(c))
        .next();
    let word = word.unwrap_or_default();
    let mut letters = word.chars();
    let single = letters.next().is_some_and(char::is_uppercase) && letters.next().is_none();
    single || ABBREVIATIONS.contains(&word.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sentences_end_where_readers_end_them() {
        let cases: &[&[&str]] = &[
            &["It is.", "So it is!", "Is it?"],
            &["你好。", "今天天气怎么样？", "很好！", "“走吧。”", "他说。"],
            &[
                "Dr. J. Smith met Mrs. Jones, e.g. at 3.14 p.m. on Fig. 3.",
                "They left.",
            ],
            &["The line\ngoes on.", "Next."],
            &["他说：“你好。”", "然后走了。"],
            &["中文 mixed with English.", "再来一句。"],
        ];
        for expected in cases {
            let has_cjk = expected
                .concat()
                .chars()
                .any(|c| ('\u{4e00}'..'\u{9fff}').contains(&c));
            let text = expected.join(if has_cjk { "" } else { " " });
            let found = sentences(&text, 0..text.len()).into_iter();
            let found: Vec<&str> = found.map(|range| text[range].trim()).collect();
            assert_eq!(&found, expected);
        }
    }

    proptest! {
        #[test]
        fn sentences_rejoin_to_the_text(text in "([a-zA-Z.!?。！ \n中]|Dr\\. |\\PC){0,60}") {
            let parts: String = sentences(&text, 0..text.len()).into_iter().map(|range| &text[range]).collect();
            prop_assert_eq!(parts, text);
        }
    }
}
