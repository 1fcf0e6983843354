//! Where a Markdown or plain text falls apart: headings, paragraphs, code, tables, list items.

use std::ops::Range;

use corbie_core::Heading;

/// A stretch of text that belongs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A heading's line, with its level.
    Heading(u8),
    /// A paragraph or a list: sentences.
    Prose,
    /// Fenced code or a table: lines.
    Lines,
}

/// The blocks of `text` in order. Between them lies nothing but white space.
pub(super) fn blocks(text: &str, headings: &[Heading]) -> Vec<Block> {
    let mut found = Vec::new();
    let mut place = 0;
    for heading in headings {
        // A document may come from anywhere: what does not fit the text is no heading.
        let range = heading.start..heading.end;
        if range.start < place || range.is_empty() || text.get(range.clone()).is_none() {
            continue;
        }
        section(text, place..range.start, &mut found);
        if !text[range.clone()].trim().is_empty() {
            place = range.end;
            found.push(Block {
                kind: Kind::Heading(heading.level),
                range,
            });
        }
    }
    section(text, place..text.len(), &mut found);
    found
}

/// The blocks between two headings.
fn section(text: &str, range: Range<usize>, found: &mut Vec<Block>) {
    let mut open: Option<Block> = None;
    let mut fence: Option<&str> = None;
    let mut place = range.start;
    for line in text[range].split_inclusive('\n') {
        let here = place..place + line.len();
        place = here.end;
        let content = line.trim();
        if let Some(mark) = fence {
            extend(&mut open, here);
            if content.starts_with(mark) && content.trim_matches(['`', '~']).is_empty() {
                fence = None;
                found.extend(open.take());
            }
            continue;
        }
        fence = fence_mark(content);
        let kind = match fence.is_some() || content.starts_with('|') {
            true => Kind::Lines,
            false => Kind::Prose,
        };
        let continues = fence.is_none() && open.as_ref().is_some_and(|block| block.kind == kind);
        if content.is_empty() {
            found.extend(open.take());
        } else if continues {
            extend(&mut open, here);
        } else {
            found.extend(open.replace(Block { kind, range: here }));
        }
    }
    found.extend(open);
}

fn extend(open: &mut Option<Block>, line: Range<usize>) {
    match open {
        Some(block) => block.range.end = line.end,
        None => {
            *open = Some(Block {
                kind: Kind::Lines,
                range: line,
            })
        }
    }
}

fn fence_mark(content: &str) -> Option<&str> {
    ["```", "~~~"].into_iter().find_map(|mark| {
        let length = content.len() - content.trim_start_matches(&mark[..1]).len();
        (length >= 3).then(|| &content[..length])
    })
}

/// The items of a block that is a list; the whole block otherwise.
pub(super) fn items(text: &str, block: Range<usize>) -> Vec<Range<usize>> {
    let mut starts = Vec::new();
    let mut place = block.start;
    for line in text[block.clone()].split_inclusive('\n') {
        if is_item(line.trim_start()) {
            starts.push(place);
        }
        place += line.len();
    }
    if starts.first() != Some(&block.start) {
        starts.insert(0, block.start);
    }
    let ends = starts.iter().skip(1).copied().chain([block.end]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| *start..end)
        .collect()
}

/// Whether a line begins a list item: `- `, `* `, `+ `, `• `, `1. `, `1) `.
fn is_item(line: &str) -> bool {
    let after_digits = line.trim_start_matches(|c: char| c.is_ascii_digit());
    let mark = match after_digits.len() < line.len() {
        true => after_digits.strip_prefix(['.', ')', '、']),
        false => line.strip_prefix(['-', '*', '+', '•', '·']),
    };
    mark.is_some_and(|rest| {
        rest.starts_with([' ', '\t']) || line.contains('、') && after_digits.starts_with('、')
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn blocks_are_what_belongs_together() {
        let text = "# T\n\nOne\ntwo.\n\n```rust\nfn a() {}\n\nfn b() {}\n```\nAfter.\n| a | b |\n|---|---|\n\n~~~\nopen";
        let heading = Heading {
            level: 1,
            start: 0,
            end: 3,
            title: "T".to_owned(),
        };
        let found = blocks(text, &[heading]);
        let parts: Vec<(Kind, &str)> = found
            .iter()
            .map(|b| (b.kind, text[b.range.clone()].trim()))
            .collect();
        let expected = [
            (Kind::Heading(1), "# T"),
            (Kind::Prose, "One\ntwo."),
            (Kind::Lines, "```rust\nfn a() {}\n\nfn b() {}\n```"),
            (Kind::Prose, "After."),
            (Kind::Lines, "| a | b |\n|---|---|"),
            (Kind::Lines, "~~~\nopen"),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn list_items_are_apart() {
        let text = "Intro:\n- one\n  more\n- 二\n3. three\n4、四";
        let parts: Vec<&str> = items(text, 0..text.len())
            .into_iter()
            .map(|r| text[r].trim())
            .collect();
        assert_eq!(
            parts,
            ["Intro:", "- one\n  more", "- 二", "3. three", "4、四"]
        );
    }

    #[test]
    fn headings_that_are_none_do_no_harm() {
        let wrong = |start, end| Heading {
            level: 1,
            start,
            end,
            title: String::new(),
        };
        let found = blocks(
            "一二",
            &[
                wrong(1, 2),
                wrong(0, 99),
                wrong(5, 3),
                wrong(3, 6),
                wrong(0, 3),
            ],
        );
        let ranges: Vec<_> = found.into_iter().map(|block| block.range).collect();
        assert_eq!(ranges, [0..3, 3..6]);
    }
}
