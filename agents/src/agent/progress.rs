//! Whether a run gets anywhere.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use corbie_core::ToolCall;
use serde_json::Value;

use super::event::ToolResult;

/// The same call with the same result so often in a row: a nudge, and then the end.
const REPEATS: (usize, usize) = (2, 3);
/// Results in a row that were all seen before, or failures in a row.
const STALE: (usize, usize) = (3, 6);

/// What a run has seen. A call that gives something new is progress, whatever it repeats.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    seen: HashSet<u64>,
    last: Option<u64>,
    repeats: usize,
    stale: usize,
    failures: usize,
    nudged: bool,
    /// Whether nothing was seen since.
    just_nudged: bool,
    /// What it does over and over.
    habit: String,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pace {
    Good,
    /// It should be told so.
    Slow(String),
    /// It was told so, and goes on like that.
    Stuck(String),
}

impl Progress {
    /// Takes note of a call and its result.
    pub fn observe(&mut self, call: &ToolCall, result: &ToolResult) {
        self.just_nudged = false;
        let digest = digest(call, result);
        self.repeats = match self.last == Some(digest) {
            true => self.repeats + 1,
            false => 1,
        };
        self.last = Some(digest);
        let is_new = self.seen.insert(digest);
        self.stale = if is_new { 0 } else { self.stale + 1 };
        self.failures = if result.failed { self.failures + 1 } else { 0 };
        if is_new && !result.failed {
            self.nudged = false;
        }
        self.habit = call.name.clone();
    }

    /// Takes note that the model neither answered nor called.
    pub fn observe_silence(&mut self) {
        self.just_nudged = false;
        self.failures += STALE.0;
        self.habit.clear();
    }

    /// Takes note that the model was told.
    pub fn nudge(&mut self) {
        self.nudged = true;
        self.just_nudged = true;
    }

    /// Begins to count anew: a person stepped in.
    pub fn forgive(&mut self) {
        (self.repeats, self.stale, self.failures) = (0, 0, 0);
        self.nudged = false;
        self.last = None;
    }

    pub fn pace(&self) -> Pace {
        // However bad it was: what it is told, it may act on.
        if self.just_nudged {
            return Pace::Good;
        }
        let why = if self.habit.is_empty() {
            "it neither answered nor called a tool".to_owned()
        } else if self.repeats >= REPEATS.0 {
            format!(
                "it called `{}` {} times with the same result",
                self.habit, self.repeats
            )
        } else if self.failures >= STALE.0 {
            format!(
                "{} calls in a row failed, the last of `{}`",
                self.failures, self.habit
            )
        } else {
            format!("its last {} calls brought nothing new", self.stale)
        };
        let over = |limit: (usize, usize), count: usize| match self.nudged {
            true => count >= limit.1,
            false => count >= limit.0,
        };
        let slow =
            over(REPEATS, self.repeats) || over(STALE, self.stale) || over(STALE, self.failures);
        match (slow, self.nudged) {
            (false, _) => Pace::Good,
            (true, false) => Pace::Slow(why),
            (true, true) => Pace::Stuck(why),
        }
    }
}

/// A call and its result in one number; the order of an object's fields does not matter.
fn digest(call: &ToolCall, result: &ToolResult) -> u64 {
    let mut hasher = DefaultHasher::new();
    call.name.hash(&mut hasher);
    hash(&call.arguments, &mut hasher);
    result.content.hash(&mut hasher);
    hasher.finish()
}

fn hash(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.as_str());
            fields.len().hash(hasher);
            for (name, value) in fields {
                name.hash(hasher);
                hash(value, hasher);
            }
        }
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        scalar => scalar.to_string().hash(hasher),
    }
}
