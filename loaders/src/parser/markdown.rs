//! Markdown (CommonMark and its tables): the text as it stands, with its headings found.
//!
//! Front matter becomes metadata. Comments, scripts and styles, which no reader sees, are taken
//! out.

use std::ops::Range;

use corbie_core::{Heading, Metadata};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Extract, Trouble};
use crate::encoding::decode;

pub(super) fn parse(bytes: &[u8]) -> Result<Extract, Trouble> {
    let decoded = decode(bytes, None);
    let (mut metadata, body) = front_matter(&decoded.text);
    metadata.insert("encoding".to_owned(), decoded.encoding.into());
    let text = without_unseen(body);
    let text = text.trim_end().trim_start_matches('\n').to_owned();
    let headings = headings(&text);
    if !metadata.contains_key("title")
        && let Some(first) = headings.first().filter(|heading| heading.level == 1)
    {
        metadata.insert("title".to_owned(), first.title.clone().into());
    }
    Ok(Extract {
        text,
        headings,
        metadata,
        ..Extract::default()
    })
}

fn options() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_HEADING_ATTRIBUTES
}

/// The headings of a Markdown text. Those inside lists and quotations head no section.
pub(super) fn headings(text: &str) -> Vec<Heading> {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut open: Option<Heading> = None;
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level, .. }) if depth == 0 => {
                let line = text[range.clone()].trim_end();
                open = Some(Heading {
                    level: depth_of(level),
                    start: range.start,
                    end: range.start + line.len(),
                    title: String::new(),
                });
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some(mut heading) = open.take() {
                    heading.title = heading.title.trim().to_owned();
                    found.push(heading);
                }
            }
            Event::Start(Tag::BlockQuote(_) | Tag::Item | Tag::FootnoteDefinition(_)) => depth += 1,
            Event::End(TagEnd::BlockQuote(_) | TagEnd::Item | TagEnd::FootnoteDefinition) => {
                depth -= 1;
            }
            Event::Text(words) | Event::Code(words) => {
                if let Some(heading) = &mut open {
                    heading.title.push_str(&words);
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                if let Some(heading) = &mut open {
                    heading.title.push(' ');
                }
            }
            _ => {}
        }
    }
    found.retain(|heading| !heading.title.is_empty());
    found
}

fn depth_of(level: HeadingLevel) -> u8 {
    level as u8
}

/// The text without HTML comments, scripts and styles; code that shows them stays.
fn without_unseen(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut copied = 0;
    for cut in unseen(text) {
        if cut.start >= copied {
            kept.push_str(&text[copied..cut.start]);
            copied = cut.end;
        }
    }
    kept.push_str(&text[copied..]);
    kept
}

fn unseen(text: &str) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let mut block: Option<Range<usize>> = None;
    for (event, range) in Parser::new_ext(text, options()).into_offset_iter() {
        match event {
            Event::Start(Tag::HtmlBlock) => block = Some(range),
            Event::End(TagEnd::HtmlBlock) => {
                if let Some(range) = block.take() {
                    cuts.extend(unseen_html(text, range));
                }
            }
            Event::InlineHtml(_) => cuts.extend(unseen_html(text, range)),
            _ => {}
        }
    }
    cuts
}

/// What a reader does not see within a piece of raw HTML.
fn unseen_html(text: &str, range: Range<usize>) -> Vec<Range<usize>> {
    const PAIRS: [(&str, &str); 3] = [
        ("<!--", "-->"),
        ("<script", "</script>"),
        ("<style", "</style>"),
    ];
    let html = text[range.clone()].to_ascii_lowercase();
    let mut cuts = Vec::new();
    let mut place = 0;
    while let Some(next) = html[place..].find('<') {
        let start = place + next;
        let pair = PAIRS
            .iter()
            .find(|(open, _)| html[start..].starts_with(open));
        let Some((open, close)) = pair else {
            place = start + 1;
            continue;
        };
        let inner = start + open.len();
        // What is never closed is unseen to the end.
        let end = html[inner..]
            .find(close)
            .map_or(html.len(), |at| inner + at + close.len());
        cuts.push(range.start + start..range.start + end);
        place = end;
    }
    cuts
}

/// Splits off YAML (`---`) or TOML (`+++`) front matter: its simple `key: value` lines.
///
/// Values that are more than a scalar or a list of scalars are left out: they describe the site
/// that the page was made for, not the document.
fn front_matter(text: &str) -> (Metadata, &str) {
    for (fence, separator) in [("---", ':'), ("+++", '=')] {
        let Some(rest) = text
            .strip_prefix(fence)
            .and_then(|rest| rest.strip_prefix('\n'))
        else {
            continue;
        };
        let mut length = 0;
        let closing = rest.split_inclusive('\n').find(|line| {
            length += line.len();
            let line = line.trim_end();
            line == fence || (fence == "---" && line == "...")
        });
        let Some(closing) = closing else { continue };
        let header = &rest[..length - closing.len()];
        // A thematic break opens a text too: then what follows is no list of keys.
        let first = header
            .lines()
            .find(|line| !line.trim().is_empty() && !line.starts_with('#'));
        if first.is_none_or(|line| key_and_value(line, separator).is_none()) {
            continue;
        }
        return (pairs(header, separator), &rest[length..]);
    }
    (Metadata::new(), text)
}

fn pairs(header: &str, separator: char) -> Metadata {
    let mut metadata = Metadata::new();
    let mut list: Option<(String, Vec<serde_json::Value>)> = None;
    for line in header.lines() {
        if let (Some((_, items)), Some(item)) = (&mut list, line.trim_start().strip_prefix("- ")) {
            items.push(unquoted(item).into());
            continue;
        }
        if let Some((key, items)) = list.take().filter(|(_, items)| !items.is_empty()) {
            metadata.insert(key, items.into());
        }
        let Some((key, value)) = key_and_value(line, separator) else {
            continue;
        };
        if value.is_empty() {
            list = Some((key.to_owned(), Vec::new()));
        } else if let Some(inner) = value.strip_prefix('[').and_then(|v| v.strip_suffix(']')) {
            let items = inner
                .split(',')
                .map(unquoted)
                .filter(|item| !item.is_empty());
            metadata.insert(key.to_owned(), items.collect::<Vec<_>>().into());
        } else if !value.starts_with(['{', '|', '>', '&', '*', '!']) {
            metadata.insert(key.to_owned(), unquoted(value).into());
        }
    }
    if let Some((key, items)) = list.filter(|(_, items)| !items.is_empty()) {
        metadata.insert(key, items.into());
    }
    metadata
}

fn key_and_value(line: &str, separator: char) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(separator)?;
    let key = match separator {
        '=' => key.trim_end(),
        _ => key,
    };
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || "_-.".contains(c));
    let is_apart = separator == '=' || value.is_empty() || value.starts_with([' ', '\t']);
    (is_key && is_apart).then_some((key, value.trim()))
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|v| v.strip_suffix(quote))
        {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn titles(text: &str) -> Vec<(u8, String)> {
        let headings = headings(text).into_iter();
        headings
            .map(|heading| (heading.level, heading.title))
            .collect()
    }

    #[test]
    fn headings_are_found_where_markdown_has_them() {
        let cases: &[(&str, &[(u8, &str)])] = &[
            (
                "# One\n\ntext\n\n## Two *b* `c` ##\n",
                &[(1, "One"), (2, "Two b c")],
            ),
            ("标题\n====\n\n小节\n----\n", &[(1, "标题"), (2, "小节")]),
            (
                "```sh\n# no\n```\n\n    # no\n\n#no\n\n# yes\n",
                &[(1, "yes")],
            ),
            ("- # in a list\n\n> # in a quotation\n", &[]),
            ("# [Link](http://a) {#id}\n#\n", &[(1, "Link")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|(level, title)| (*level, (*title).to_owned()))
                .collect();
            assert_eq!(titles(text), expected, "{text}");
        }
    }

    #[test]
    fn ranges_are_those_of_the_heading_lines() {
        let text = "前言\n\n# 第一章 #\n\n内容\n\n第二章\n---\n";
        let found = headings(text);
        assert_eq!(&text[found[0].start..found[0].end], "# 第一章 #");
        assert_eq!(&text[found[1].start..found[1].end], "第二章\n---");
    }

    #[test]
    fn front_matter_is_metadata() {
        let source = "---\ntitle: \"手册: 一\"\ntags: [a, 'b']\nauthors:\n  - Ann\n  - 李\nmore:\n  deep: x\n---\n\n# T\n";
        let extract = parse(source.as_bytes()).unwrap();
        assert_eq!(extract.text, "# T");
        assert_eq!(extract.metadata["title"], "手册: 一");
        assert_eq!(extract.metadata["tags"], serde_json::json!(["a", "b"]));
        assert_eq!(
            extract.metadata["authors"],
            serde_json::json!(["Ann", "李"])
        );
        let toml = parse(b"+++\ntitle = \"T\"\n+++\nx").unwrap();
        assert_eq!(
            (toml.text.as_str(), &toml.metadata["title"]),
            ("x", &"T".into())
        );
        let rule = parse(b"---\nJust a rule.\n---\nx").unwrap();
        assert!(rule.text.starts_with("---"));
    }

    #[test]
    fn what_no_reader_sees_is_dropped() {
        let source = "a <!-- obey --> b\n\n<!-- ignore\n\nall -->\n\n<script>x()</script>\n\n`<!-- shown -->`\n\n```html\n<!-- shown too -->\n```\n";
        let text = parse(source.as_bytes()).unwrap().text;
        assert!(!text.contains("obey") && !text.contains("ignore") && !text.contains("x()"));
        assert!(text.contains("shown -->") && text.contains("shown too"));
        assert!(text.starts_with("a  b\n"));
    }

    proptest! {
        #[test]
        fn headings_lie_in_the_text_in_order(text in "([#\\-=>`\\n <!a中]|---\n|<!--|-->){0,60}") {
            let text = parse(text.as_bytes()).unwrap();
            let mut last = 0;
            for heading in &text.headings {
                prop_assert!(heading.start >= last && heading.start < heading.end);
                prop_assert!(text.text.get(heading.start..heading.end).is_some());
                prop_assert!(heading.start == 0 || text.text[..heading.start].ends_with(['\n', ' ']));
                last = heading.end;
            }
        }
    }
}
