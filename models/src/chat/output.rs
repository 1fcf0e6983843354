//! From pieces of text to events: thinking apart from the answer, stop texts kept back.

use corbie_core::ChatEvent;

const THINK: &str = "<think>";
const END_THINK: &str = "</think>";

/// Sorts the text of one answer as it comes.
///
/// A `<think>` block at the start becomes reasoning. Text that may turn out to be the beginning
/// of a marker or a stop text is held back until that is decided.
#[derive(Debug)]
pub(super) struct Output {
    stops: Vec<String>,
    phase: Phase,
    /// Whether white space is dropped until something else comes.
    trimming: bool,
    held: String,
}

/// What an answer begins in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    Answer,
    /// White space that only parts the answer from a prompt of plain text.
    Space,
    /// A block of thinking that the prompt opened already.
    Thought,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing but white space or a part of `<think>` so far.
    Opening,
    Thinking,
    Answering,
    Stopped,
}

impl Output {
    /// For an answer that ends before any of `stops`.
    pub fn new(stops: Vec<String>, opening: Opening) -> Self {
        Self {
            stops,
            phase: match opening {
                Opening::Thought => Phase::Thinking,
                Opening::Answer | Opening::Space => Phase::Opening,
            },
            trimming: opening != Opening::Answer,
            held: String::new(),
        }
    }

    /// Whether a stop text came.
    pub fn stopped(&self) -> bool {
        self.phase == Phase::Stopped
    }

    /// Takes the next piece of text; gives what is certain now.
    pub fn push(&mut self, piece: &str) -> Vec<ChatEvent> {
        self.held.push_str(piece);
        let mut events = Vec::new();
        while self.step(&mut events) {}
        events
    }

    /// Gives what was held back: nothing more comes.
    pub fn finish(&mut self) -> Vec<ChatEvent> {
        let mut events = Vec::new();
        let length = self.held.len();
        self.emit(length, &mut events);
        events
    }

    /// Works on the held text; gives whether the phase changed, so that there may be more to do.
    fn step(&mut self, events: &mut Vec<ChatEvent>) -> bool {
        match self.phase {
            Phase::Opening => {
                let start = self.held.trim_start();
                if let Some(thoughts) = start.strip_prefix(THINK) {
                    self.held = thoughts.to_owned();
                    self.enter(Phase::Thinking, true)
                } else if THINK.starts_with(start) {
                    false
                } else {
                    self.enter(Phase::Answering, self.trimming)
                }
            }
            Phase::Thinking => {
                let (sure, marker) = find(&self.held, &[END_THINK]);
                self.emit(sure, events);
                let Some(marker) = marker else { return false };
                self.held.drain(..marker);
                self.enter(Phase::Answering, true)
            }
            Phase::Answering => {
                let (sure, marker) = find(&self.held, &self.stops);
                self.emit(sure, events);
                if marker.is_some() {
                    self.held.clear();
                    self.phase = Phase::Stopped;
                }
                false
            }
            Phase::Stopped => {
                self.held.clear();
                false
            }
        }
    }

    fn enter(&mut self, phase: Phase, trimming: bool) -> bool {
        self.phase = phase;
        self.trimming = trimming;
        true
    }

    /// Sends the first `length` bytes of the held text.
    fn emit(&mut self, length: usize, events: &mut Vec<ChatEvent>) {
        let text: String = self.held.drain(..length).collect();
        let text = match self.trimming {
            true => text.trim_start(),
            false => &text,
        };
        if text.is_empty() {
            return;
        }
        self.trimming = false;
        events.push(match self.phase {
            Phase::Thinking => ChatEvent::Reasoning(text.to_owned()),
            _ => ChatEvent::Text(text.to_owned()),
        });
    }
}

/// How much of `text` is surely before any marker, and the length of the first marker if it
/// follows there.
fn find<M: AsRef<str>>(text: &str, markers: &[M]) -> (usize, Option<usize>) {
    let markers = || markers.iter().map(AsRef::as_ref);
    let first = markers()
        .filter_map(|marker| Some((text.find(marker)?, marker.len())))
        .min();
    if let Some((at, length)) = first {
        return (at, Some(length));
    }
    let longest = markers().map(str::len).max().unwrap_or(0);
    let from = text.len().saturating_sub(longest);
    let held = text
        .char_indices()
        .map(|(at, _)| at)
        .find(|at| *at >= from && markers().any(|marker| marker.starts_with(&text[*at..])));
    (held.unwrap_or(text.len()), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer and the thoughts, pieces joined; no piece may be empty.
    fn sorted(pieces: &[&str], stops: &[&str], opening: Opening) -> (String, String, bool) {
        let stops = stops.iter().map(|stop| (*stop).to_owned()).collect();
        let mut output = Output::new(stops, opening);
        let mut events = Vec::new();
        for piece in pieces {
            events.extend(output.push(piece));
        }
        let stopped = output.stopped();
        events.extend(output.finish());
        let (mut text, mut thoughts) = (String::new(), String::new());
        for event in events {
            let (from, to) = match event {
                ChatEvent::Text(piece) => (piece, &mut text),
                ChatEvent::Reasoning(piece) => (piece, &mut thoughts),
                other => panic!("no other event comes from text: {other:?}"),
            };
            assert!(!from.is_empty());
            to.push_str(&from);
        }
        (text, thoughts, stopped)
    }

    #[test]
    fn text_is_sorted_however_it_is_cut() {
        use Opening::{Answer, Space, Thought};
        let unstopped: [(&str, Opening, &str, &str); 11] = [
            ("Under moss.", Answer, "Under moss.", ""),
            ("", Answer, "", ""),
            ("  Under moss.", Answer, "  Under moss.", ""),
            ("  Under moss. ", Space, "Under moss. ", ""),
            ("<think>hm</think>\n\nYes.", Answer, "Yes.", "hm"),
            ("\n<think>\n想一想\n</think>好", Answer, "好", "想一想\n"),
            ("<think>\n\n</think>\n\nYes.", Answer, "Yes.", ""),
            ("hm</think>Yes.", Thought, "Yes.", "hm"),
            ("<think>never closed", Answer, "", "never closed"),
            ("<thin", Answer, "<thin", ""),
            ("a <think> later", Answer, "a <think> later", ""),
        ];
        for (text, opening, answer, thoughts) in unstopped {
            check(text, &["STOP"], opening, (answer, thoughts, false));
        }
        let stopped: [(&str, &[&str], &str); 5] = [
            ("在苔藓下。", &["。"], "在苔藓下"),
            ("one STOP two", &["STOP"], "one "),
            ("aab", &["aaab", "ab"], "a"),
            ("x ### y", &["y", "###"], "x "),
            ("<think>STOP</think>a STOP", &["STOP"], "a "),
        ];
        for (text, stops, answer) in stopped {
            let thoughts = if text.contains(THINK) { "STOP" } else { "" };
            check(text, stops, Answer, (answer, thoughts, true));
        }
    }

    fn check(text: &str, stops: &[&str], opening: Opening, expected: (&str, &str, bool)) {
        let expected = (expected.0.to_owned(), expected.1.to_owned(), expected.2);
        let characters: Vec<String> = text.chars().map(String::from).collect();
        let characters: Vec<&str> = characters.iter().map(String::as_str).collect();
        assert_eq!(sorted(&[text], stops, opening), expected, "{text:?}");
        assert_eq!(sorted(&characters, stops, opening), expected, "{text:?}");
        for (cut, _) in text.char_indices() {
            let (a, b) = text.split_at(cut);
            assert_eq!(sorted(&[a, b], stops, opening), expected, "{a:?} {b:?}");
        }
    }
}
