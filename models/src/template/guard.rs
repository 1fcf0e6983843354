//! Keeping what users write from becoming special tokens.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::Value;

use crate::tokenizer::{TokenKind, Tokenizer};

/// Tags of thinking: templates look for them in an assistant's words, and they make no role.
const THINKING: [&str; 2] = ["<think>", "</think>"];

/// Hides names of special tokens in messages behind a mark while the template runs, so that they
/// can be told from those the template writes, whatever it does to the messages.
///
/// A mark is a number between two private-use characters that occur nowhere in the conversation:
/// trimming, splitting and JSON leave it whole.
pub(super) struct Guard {
    mark: char,
    names: Vec<String>,
    finder: Option<AhoCorasick>,
}

impl Guard {
    pub fn new<'a>(
        tokenizer: &Tokenizer,
        template: &str,
        conversation: impl Iterator<Item = &'a Value>,
    ) -> Self {
        let names: Vec<String> = (0..tokenizer.vocab_size() as u32)
            .filter_map(|id| {
                let name = std::str::from_utf8(tokenizer.token_bytes(id)).ok()?;
                let special = match tokenizer.token_kind(id) {
                    TokenKind::Control | TokenKind::Unknown => true,
                    // Some files call the tokens of turns "user defined".
                    TokenKind::UserDefined => !name.trim().is_empty() && template.contains(name),
                    _ => false,
                };
                (special && !name.is_empty() && !THINKING.contains(&name)).then(|| name.to_owned())
            })
            .collect();
        let mut text = template.to_owned();
        for value in conversation {
            text.push_str(&value.to_string());
        }
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&names)
            .ok();
        let mark = ('\u{100000}'..='\u{10fffd}')
            .find(|mark| !text.contains(*mark))
            .unwrap_or('\u{10fffd}');
        Self {
            mark,
            names,
            finder,
        }
    }

    /// Puts marks in place of names, in every string of `values`.
    pub fn hide(&self, values: &mut [Value]) {
        for value in values {
            self.hide_in(value);
        }
    }

    fn hide_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hidden(text),
            Value::Array(items) => self.hide(items),
            Value::Object(fields) => {
                let hidden = std::mem::take(fields).into_iter().map(|(key, mut value)| {
                    self.hide_in(&mut value);
                    (self.hidden(&key), value)
                });
                *fields = hidden.collect();
            }
            _ => {}
        }
    }

    fn hidden(&self, text: &str) -> String {
        let Some(finder) = &self.finder else {
            return text.to_owned();
        };
        let mut hidden = String::new();
        finder.replace_all_with(text, &mut hidden, |found, _, hidden| {
            let mark = self.mark;
            hidden.push_str(&format!("{mark}{}{mark}", found.pattern().as_usize()));
            true
        });
        hidden
    }

    /// Puts the names back, and tells where they lie.
    pub fn reveal(&self, text: &str) -> (String, Vec<Range<usize>>) {
        let mut revealed = String::with_capacity(text.len());
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find(self.mark) {
            revealed.push_str(&rest[..start]);
            let inner = &rest[start + self.mark.len_utf8()..];
            let name = inner.split_once(self.mark).and_then(|(number, after)| {
                let index: usize = number.parse().ok()?;
                Some((self.names.get(index)?, after))
            });
            match name {
                Some((name, after)) => {
                    let begin = revealed.len();
                    revealed.push_str(name);
                    literal.push(begin..revealed.len());
                    rest = after;
                }
                // Half of a mark that the template cut apart.
                None => rest = inner,
            }
        }
        revealed.push_str(rest);
        (revealed, literal)
    }
}
