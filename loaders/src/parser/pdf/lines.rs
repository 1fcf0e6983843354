//! Making paragraphs of a page's lines.
//!
//! A line that reaches about as far as the longest ones goes on in the next: with a space, or
//! without one between Chinese or Japanese characters. A hyphen at its end goes, unless the
//! document writes that word with one elsewhere.

use std::collections::HashSet;

/// Joins lines with knowledge of the whole document's words.
pub(super) struct Paragraphs<'a> {
    hyphenated: HashSet<&'a str>,
}

/// A line this much of the longest line's width is full.
const FULL: f32 = 0.75;

/// Narrower blocks than this are tables, captions and lists: their lines stand for themselves.
const NARROWEST: usize = 16;

impl<'a> Paragraphs<'a> {
    /// Learns which words `pages` write with a hyphen inside.
    pub(super) fn of(pages: &'a [String]) -> Self {
        let words = pages
            .iter()
            .flat_map(|page| page.split(|c: char| !(c.is_alphanumeric() || c == '-')));
        Self {
            hyphenated: words
                .filter(|word| word.trim_matches('-').contains('-'))
                .collect(),
        }
    }

    /// The page's text with its lines joined, paragraphs apart by an empty line or a line end.
    pub(super) fn join(&self, page: &str) -> String {
        let lines: Vec<&str> = page.lines().map(str::trim).collect();
        let widest = lines
            .iter()
            .map(|line| width(line))
            .max()
            .unwrap_or_default();
        let mut joined = String::with_capacity(page.len());
        for (at, line) in lines.iter().enumerate() {
            if line.is_empty() {
                if !joined.is_empty() && !joined.ends_with("\n\n") {
                    joined.push('\n');
                }
                continue;
            }
            push_words(&mut joined, line);
            let next = lines.get(at + 1).copied().unwrap_or_default();
            match self.connection(line, next, widest) {
                Connection::LineEnd => joined.push('\n'),
                Connection::Space => joined.push(' '),
                Connection::Nothing => {}
                Connection::DropHyphen => {
                    joined.pop();
                }
            }
        }
        joined.truncate(joined.trim_end().len());
        joined
    }

    fn connection(&self, line: &str, next: &str, widest: usize) -> Connection {
        let (Some(last), Some(first)) = (line.chars().next_back(), next.chars().next()) else {
            return Connection::LineEnd;
        };
        let is_full = widest >= NARROWEST && width(line) as f32 >= widest as f32 * FULL;
        if !is_full || begins_item(next) {
            return Connection::LineEnd;
        }
        if is_wide(last) && is_wide(first) {
            return Connection::Nothing;
        }
        if matches!(last, '-' | '\u{2010}') && first.is_lowercase() {
            let left = line
                .rsplit(|c: char| !(c.is_alphanumeric() || c == '-'))
                .next()
                .unwrap_or_default();
            let right = next
                .split(|c: char| !(c.is_alphanumeric() || c == '-'))
                .next()
                .unwrap_or_default();
            let is_word = left.chars().rev().nth(1).is_some_and(char::is_alphabetic);
            let is_compound = self.hyphenated.contains(format!("{left}{right}").as_str());
            return match (is_word, is_compound) {
                (true, false) => Connection::DropHyphen,
                (true, true) => Connection::Nothing,
                (false, _) => Connection::Space,
            };
        }
        Connection::Space
    }
}

enum Connection {
    LineEnd,
    Space,
    Nothing,
    DropHyphen,
}

/// Adds a line with runs of spaces, which only align, made one.
fn push_words(text: &mut String, line: &str) {
    for (at, word) in line.split_whitespace().enumerate() {
        if at > 0 {
            text.push(' ');
        }
        text.push_str(word);
    }
}

/// Columns a line takes: two for a wide character.
fn width(line: &str) -> usize {
    line.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

/// Characters of scripts that put no spaces between words, and their punctuation.
fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{2e80}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}'
        | '\u{20000}'..='\u{3ffff}' | '“' | '”' | '‘' | '’' | '…' | '—')
}

fn begins_item(line: &str) -> bool {
    let after_digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_numbered = after_digits.len() < line.len() && after_digits.starts_with([')', '、']);
    is_numbered || line.starts_with(['•', '●', '▪', '◦', '–', '■']) || line.starts_with("- ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn join(page: &str) -> String {
        let pages = [page.to_owned()];
        Paragraphs::of(&pages).join(page)
    }

    #[test]
    fn lines_become_paragraphs() {
        let cases = [
            (
                "The raven remembers where\nit has hidden its food for\nthe winter.\nNext paragraph here.",
                "The raven remembers where it has hidden its food for the winter.\nNext paragraph here.",
            ),
            (
                "渡鸦是一种聪明的鸟，它记得\n自己把食物藏在哪里，也会\n使用工具。\n下一段。",
                "渡鸦是一种聪明的鸟，它记得自己把食物藏在哪里，也会使用工具。\n下一段。",
            ),
            (
                "The raven is a well-known and remem-\nbered bird which is also a well-\nknown one in the old stories.",
                "The raven is a well-known and remembered bird which is also a well-known one in the old stories.",
            ),
            ("Title\n\n\n\nA paragraph.", "Title\n\nA paragraph."),
            (
                "A line that is as long as others\n• item one of the list of things\n• item two",
                "A line that is as long as others\n• item one of the list of things\n• item two",
            ),
            ("1   2    3\n4   5    6", "1 2 3\n4 5 6"),
        ];
        for (page, expected) in cases {
            assert_eq!(join(page), expected);
        }
    }

    proptest! {
        #[test]
        fn only_white_space_and_hyphens_change(page in "([a-z -]|\n|[中文，。]|\\PC){0,80}") {
            let letters = |text: &str| -> String {
                text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}')).collect()
            };
            let page = crate::encoding::normalize(&page);
            prop_assert_eq!(letters(&join(&page)), letters(&page));
        }
    }
}
