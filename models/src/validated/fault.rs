use std::fmt;

use corbie_core::{Error, Message, Usage};

/// What is wrong in one place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which call it is about, counted from 0; `None`: the answer as a whole.
    pub call: Option<usize>,
    /// Where, as a JSON pointer into the answer or the call's arguments; empty: all of it.
    pub place: String,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Fault {
    /// A fault of the answer as a whole.
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            call: None,
            place: String::new(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = self.call {
            write!(f, "in call {}, ", call + 1)?;
        }
        if !self.place.is_empty() {
            write!(f, "at {}: ", self.place)?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

/// The last answer of a model that was asked in vain: the source of an error.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidAnswer {
    /// What the model said.
    pub message: Message,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// How often the model was asked.
    pub attempts: usize,
    /// What all attempts cost.
    pub usage: Usage,
}

impl InvalidAnswer {
    /// The answer behind an error of [`Validated`](super::Validated).
    pub fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl fmt::Display for InvalidAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the last of {} answers", self.attempts)?;
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidAnswer {}

/// What a model wrote that its client could not read: the source of a
/// [`Malformed`](corbie_core::ErrorKind::Malformed) error in the middle of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What it wrote.
    pub text: String,
    /// What it cost.
    pub usage: Usage,
}

impl Unreadable {
    /// The text behind an error.
    pub(super) fn of(error: &Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", shorten(&self.text, 200))
    }
}

impl std::error::Error for Unreadable {}

/// The beginning of a text, marked where it is cut.
pub(super) fn shorten(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The beginning of a text as a JSON string: on one line, and what is within it stays within it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(shorten(text, 80)).to_string()
}
