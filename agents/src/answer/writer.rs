//! From a model's raw text to sentences that a reader may see.
//!
//! Text is released sentence by sentence, each checked before it is shown: marks of passages that
//! do not exist are gone, marks that the passage does not bear out are gone, a supported sentence
//! without a mark has got one, and a sentence said before ends the answer. Nothing is shown until
//! one sentence is grounded in a passage, and no claim from before it. The result does not depend on how the model's text was
//! cut into pieces.

use std::collections::HashSet;

use super::marks::{self, Leading};
use super::prompt::NOT_FOUND;
use super::support::Grounds;
use crate::text::{Language, sentence_end, term_set, without_list_mark};

/// Turns pieces of a model's text into pieces of an answer.
pub(super) struct Writer {
    /// The passages.
    pub grounds: Grounds,
    /// How many sentences in a row may go without support before the model is stopped.
    patience: usize,
    /// Not yet a whole sentence.
    pending: String,
    /// White space between the last sentence and the next.
    gap: String,
    /// Sentences that wait for a grounded one.
    held: String,
    open: bool,
    ungrounded: usize,
    seen: HashSet<Vec<String>>,
    /// All that was released.
    pub text: String,
    /// The passages that marks refer to.
    pub cited: HashSet<usize>,
    /// No more text is wanted.
    pub stopped: bool,
    /// The model said that the passages do not hold the answer.
    pub not_found: bool,
}

impl Writer {
    /// With `patience` of `None` every sentence is shown, grounded or not.
    pub(super) fn new(grounds: Grounds, patience: Option<usize>) -> Self {
        Self {
            grounds,
            patience: patience.unwrap_or(usize::MAX),
            pending: String::new(),
            gap: String::new(),
            held: String::new(),
            open: patience.is_none(),
            ungrounded: 0,
            seen: HashSet::new(),
            text: String::new(),
            cited: HashSet::new(),
            stopped: false,
            not_found: false,
        }
    }

    /// Takes the next piece and returns what may be shown now.
    pub(super) fn push(&mut self, piece: &str) -> String {
        self.pending.push_str(piece);
        let mut shown = String::new();
        while !self.stopped {
            let Some(end) = sentence_end(&self.pending, false) else {
                break;
            };
            let Leading::Length(marks) = marks::leading_marks(&self.pending[end..]) else {
                break;
            };
            let rest = self.pending.split_off(end + marks);
            let sentence = std::mem::replace(&mut self.pending, rest);
            shown.push_str(&self.sentence(&sentence));
        }
        shown
    }

    /// Takes the end. A sentence that a limit `cut` off is shown only if it is all there is.
    pub(super) fn finish(&mut self, cut: bool) -> String {
        let mut shown = self.push("");
        while !self.stopped && !self.pending.trim().is_empty() {
            let end = sentence_end(&self.pending, true);
            let end = end.unwrap_or(self.pending.len());
            let marks = match marks::leading_marks(&self.pending[end..]) {
                Leading::Length(length) => length,
                Leading::Unknown => self.pending.len() - end,
            };
            let rest = self.pending.split_off(end + marks);
            let sentence = std::mem::replace(&mut self.pending, rest);
            let whole = sentence
                .trim_end()
                .ends_with(['.', '!', '?', '。', '！', '？', ']', '】']);
            if cut && !whole && self.pending.is_empty() && !self.text.is_empty() {
                break;
            }
            shown.push_str(&self.sentence(marks::without_half(&sentence)));
        }
        self.stopped = true;
        shown
    }

    fn sentence(&mut self, raw: &str) -> String {
        let unmarked = marks::take(raw, self.grounds.len());
        let body = unmarked.text.trim();
        if body.is_empty() {
            return String::new();
        }
        if !self.open && body.to_uppercase().starts_with(NOT_FOUND) {
            self.not_found = true;
            self.stopped = true;
            return String::new();
        }
        let mut terms: Vec<String> = term_set(body).into_iter().collect();
        terms.sort_unstable();
        if !terms.is_empty() && !self.seen.insert(terms) {
            self.stopped = true;
            return String::new();
        }
        let mut cited = unmarked.marks.clone();
        let claim = without_list_mark(body);
        // What announces, asks or names claims nothing.
        let names = self.grounds.is_heading(claim);
        let claims = !names && !body.ends_with([':', '：', '?', '？']);
        cited.retain(|n| !names && self.grounds.believes(claim, *n));
        if cited.is_empty() && !names {
            cited.extend(self.grounds.support(claim));
        }
        let (opened, grounded) = (self.open, !cited.is_empty());
        match (cited.is_empty(), claims) {
            (false, _) => self.ungrounded = 0,
            (true, true) => self.ungrounded += 1,
            (true, false) => {}
        }
        self.open |= !cited.is_empty();
        if self.ungrounded >= self.patience {
            self.stopped = true;
            return String::new();
        }
        let space = Language::of(body) == Language::English;
        let before = self.gap.clone()
            + &unmarked.text[..unmarked.text.len() - unmarked.text.trim_start().len()];
        let trailing = unmarked.text.len() - unmarked.text.trim_end().len();
        self.gap = unmarked.text[unmarked.text.len() - trailing..].to_owned();
        // A claim without ground that stands before the first grounded one is never shown.
        if opened || grounded || !claims {
            self.held.push_str(&before);
            self.held.push_str(&marks::put(body, &cited, space));
        }
        self.cited.extend(cited);
        if !self.open {
            return String::new();
        }
        let mut shown = std::mem::take(&mut self.held);
        if self.text.is_empty() {
            shown = shown.trim_start().to_owned();
        }
        self.text.push_str(&shown);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::Citation;
    use super::*;

    fn passage(n: usize, text: &str) -> Citation {
        Citation {
            n,
            source: format!("{n}.md"),
            page: None,
            heading: Vec::new(),
            start: 0,
            end: text.len(),
            score: 1.0,
            text: text.into(),
            cited: false,
        }
    }

    fn write(pieces: &[&str], cut: bool) -> (String, Vec<usize>) {
        let mut passages = [
            passage(
                1,
                "Ravens cache food under moss. They remember 2,000 places.",
            ),
            passage(
                2,
                "## 渡鸦的习性\n渡鸦把食物藏在苔藓下面。它们能记住两千个地点。",
            ),
        ];
        passages[0].heading = vec!["Caches of ravens".into()];
        let grounds = Grounds::new("Where do ravens cache food?", &passages);
        let mut writer = Writer::new(grounds, Some(2));
        let mut shown = String::new();
        for piece in pieces {
            if !writer.stopped {
                shown.push_str(&writer.push(piece));
            }
        }
        shown.push_str(&writer.finish(cut));
        assert_eq!(shown, writer.text, "what is shown is the answer");
        let mut cited: Vec<usize> = writer.cited.into_iter().collect();
        cited.sort_unstable();
        (shown, cited)
    }

    const REPLIES: &[(&str, &str)] = &[
        (
            "Ravens cache food under moss [1]. They remember 2,000 places.\n",
            "Ravens cache food under moss [1]. They remember 2,000 places [1].",
        ),
        (
            "Ravens cache food under moss. [1][99] [0, 77] They",
            "Ravens cache food under moss [1]. They",
        ),
        (
            "Well, hello there. Ravens cache food under moss [1].",
            "Ravens cache food under moss [1].",
        ),
        (
            "Rules:\n- Ravens cache food under moss\n- They remember 2,000 places\n1. moss food",
            "Rules:\n- Ravens cache food under moss [1]\n- They remember 2,000 places [1]\n1. moss food [1]",
        ),
        (
            "渡鸦把食物藏在苔藓下面【2】。它们能记住两千个地点。渡鸦把食物藏在苔藓下面。",
            "渡鸦把食物藏在苔藓下面[2]。它们能记住两千个地点[2]。",
        ),
        ("One lie. Two lies. Ravens cache food under moss [1].", ""),
        (
            "Ravens cache food under moss [1]. One lie. Two lies. Three.",
            "Ravens cache food under moss [1]. One lie.",
        ),
        ("# Caches of ravens [1]\nRavens [2]\n", ""),
        (
            "## Caches\nRavens cache food under moss [1].",
            "## Caches\nRavens cache food under moss [1].",
        ),
        ("渡鸦的习性[2]\n\n渡鸦[2]\n\n", ""),
        ("NOT FOUND. Ravens cache food under moss.", ""),
        (
            "Ravens cache food under moss [9",
            "Ravens cache food under moss [1]",
        ),
    ];

    #[test]
    fn sentences_are_checked_before_they_are_shown() {
        for (reply, expected) in REPLIES {
            assert_eq!(write(&[reply], false).0, *expected, "{reply:?}");
        }
    }

    #[test]
    fn pieces_make_no_difference() {
        for (reply, _) in REPLIES {
            let whole = write(&[reply], false);
            let ends: Vec<usize> = reply.char_indices().map(|(at, _)| at).collect();
            for at in &ends {
                let halves = [&reply[..*at], &reply[*at..]];
                assert_eq!(write(&halves, false), whole, "{halves:?}");
            }
            let characters: Vec<String> = reply.chars().map(String::from).collect();
            let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
            assert_eq!(write(&characters, false), whole, "{reply:?} by characters");
        }
    }

    #[test]
    fn a_sentence_cut_off_is_left_out_unless_it_is_all() {
        let cut = write(
            &["Ravens cache food under moss [1]. They remember 2,0"],
            true,
        )
        .0;
        assert_eq!(cut, "Ravens cache food under moss [1].");
        assert_eq!(
            write(&["Ravens cache food under"], true).0,
            "Ravens cache food under [1]"
        );
    }
}
