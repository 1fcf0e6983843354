//! Events from text: white space that parts is dropped, calls get ids.

use corbie_core::{ChatEvent, ToolCall};
use serde_json::{Map, Value};

use super::find::{first, half};

/// How a row names calls whose model names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ids {
    /// `call_0`, `call_1`, …
    Counted,
    /// Nine letters and digits: `call00000`, `call00001`, …
    Nine,
}

impl Ids {
    /// The id of the call with this number.
    pub fn name(self, number: usize) -> String {
        match self {
            Self::Counted => format!("call_{number}"),
            Self::Nine => format!("call{number:05}"),
        }
    }

    /// Whether a model's own id will do.
    pub fn fits(self, id: &str) -> bool {
        match self {
            Self::Counted => !id.is_empty(),
            Self::Nine => id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        }
    }
}

/// A call as it was written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub id: Option<String>,
    pub name: String,
    pub arguments: Map<String, Value>,
}

/// Collects events.
#[derive(Debug)]
pub(super) struct Out {
    pub events: Vec<ChatEvent>,
    ids: Ids,
    /// The number of the next call.
    pub number: usize,
    /// White space that is text if text follows.
    pub space: String,
    thought_space: String,
    /// Whether white space is dropped until text comes.
    pub parted: bool,
    /// Whether text was given out.
    pub spoke: bool,
    /// Whether thinking was given out.
    thought: bool,
    /// Texts that end the answer.
    pub stops: Vec<String>,
    /// Text that may be the beginning of a stop text.
    held: String,
    /// Whether a stop text came: nothing counts after it.
    pub stopped: bool,
}

impl Out {
    pub fn new(ids: Ids) -> Self {
        Self {
            events: Vec::new(),
            ids,
            number: 0,
            space: String::new(),
            thought_space: String::new(),
            parted: false,
            spoke: false,
            thought: false,
            stops: Vec::new(),
            held: String::new(),
            stopped: false,
        }
    }

    pub fn text(&mut self, text: &str) {
        if self.stopped {
            return;
        }
        self.held.push_str(text);
        let stops: Vec<&str> = self.stops.iter().map(String::as_str).collect();
        let stop = first(&self.held, &stops);
        let sure = match stop {
            Some((at, _)) => at,
            None => self.held.len() - half(&self.held, &stops),
        };
        let sure: String = self.held.drain(..sure).collect();
        self.say(&sure);
        if stop.is_some() {
            self.held.clear();
            self.stopped = true;
        }
    }

    /// Says what was held: no stop text came.
    fn release(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.say(&held);
    }

    fn say(&mut self, text: &str) {
        let body = text.trim_end();
        if !body.is_empty() {
            let mut whole = std::mem::take(&mut self.space);
            whole.push_str(body);
            // What was said before a call is parted from what is said after it.
            if self.parted && !self.spoke {
                whole = whole.trim_start().to_owned();
            }
            self.parted = false;
            self.spoke = true;
            self.events.push(ChatEvent::Text(whole));
        }
        self.space.push_str(&text[body.len()..]);
    }

    pub fn reasoning(&mut self, text: &str) {
        if self.stopped {
            return;
        }
        let body = text.trim_end();
        if !body.is_empty() {
            let mut whole = std::mem::take(&mut self.thought_space);
            whole.push_str(body);
            if !self.thought {
                whole = whole.trim_start().to_owned();
            }
            self.thought = true;
            self.events.push(ChatEvent::Reasoning(whole));
        }
        self.thought_space.push_str(&text[body.len()..]);
    }

    pub fn call(&mut self, call: Call) {
        if self.stopped {
            return;
        }
        self.release();
        self.parted = true;
        let number = self.number;
        self.number += 1;
        let own = call.id.filter(|id| self.ids.fits(id));
        self.events.push(ChatEvent::ToolCall(ToolCall {
            id: own.unwrap_or_else(|| self.ids.name(number)),
            name: call.name,
            arguments: Value::Object(call.arguments),
        }));
    }

    pub fn finish(&mut self) {
        self.release();
        let space = std::mem::take(&mut self.space);
        if !self.parted && !space.is_empty() {
            self.events.push(ChatEvent::Text(space));
        }
    }
}
