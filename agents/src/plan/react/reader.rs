//! Reading thoughts, calls and the answer out of a text while it is written.

use corbie_core::{ChatEvent, FinishReason, ToolCall, ToolSpec};
use serde_json::{Map, Value};

use super::prompt::{CHINESE, ENGLISH, Form};

/// What stands where a model says that it needs no tool.
const NO_ACTION: &[&str] = &["", "none", "no action", "n/a", "无", "没有", "不需要"];

/// A part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Before any label: a model that does not keep to the form answers at once.
    Bare,
    Thought,
    Action,
    Input,
    Answer,
    /// An observation of the model's own making, and what follows it.
    Forged,
}

/// What the beginning of a line is.
pub(super) enum Seen {
    /// A label, of so many bytes.
    Label(Part, usize),
    /// More must come before that can be said.
    Unclear,
    /// Text.
    Text,
}

/// Labels without their colon.
fn labels() -> impl Iterator<Item = (&'static str, Part)> {
    fn of(form: &'static Form) -> [(&'static str, Part); 5] {
        [
            (form.input, Part::Input),
            (form.action, Part::Action),
            (form.thought, Part::Thought),
            (form.answer, Part::Answer),
            (form.observation, Part::Forged),
        ]
    }
    let forms = of(&ENGLISH).into_iter().chain(of(&CHINESE));
    forms.map(|(label, part)| (label.trim_end_matches([':', '：']), part))
}

/// Whether a line begins with a label. Case, and marks of Markdown around it, do not matter.
pub(super) fn label(line: &str) -> Seen {
    let mark = |c: char| matches!(c, ' ' | '\t' | '*' | '#' | '_');
    let start = line.trim_start_matches(mark);
    if start.is_empty() && !line.contains('\n') {
        return Seen::Unclear;
    }
    let mut unclear = false;
    for (name, part) in labels() {
        let Some(head) = start.get(..name.len()) else {
            let shorter = name.get(..start.len());
            unclear |= shorter.is_some_and(|head| head.eq_ignore_ascii_case(start));
            continue;
        };
        if !head.eq_ignore_ascii_case(name) {
            continue;
        }
        let rest = start[name.len()..].trim_start_matches(mark);
        match rest.chars().next() {
            Some(colon @ (':' | '：')) => {
                let behind = &rest[colon.len_utf8()..];
                return Seen::Label(part, line.len() - behind.len());
            }
            Some(_) => {}
            None => unclear = true,
        }
    }
    match unclear {
        true => Seen::Unclear,
        false => Seen::Text,
    }
}

/// Reads one answer.
pub(super) struct Reader {
    tools: Vec<ToolSpec>,
    /// Calls of the conversation before this answer.
    before: usize,
    /// The most calls of this answer.
    most: usize,
    part: Part,
    /// Whether nothing of the part has been seen yet.
    fresh: bool,
    /// Whether its label stands in bold: the marks that close it may follow.
    bold: bool,
    /// What is not decided yet.
    pending: String,
    line_start: bool,
    action: String,
    input: String,
    thought: String,
    calls: Vec<(String, String)>,
    spoke: bool,
}

impl Reader {
    pub fn new(tools: Vec<ToolSpec>, before: usize, most: usize) -> Self {
        Self {
            tools,
            before,
            most,
            part: Part::Bare,
            fresh: true,
            bold: false,
            pending: String::new(),
            line_start: true,
            action: String::new(),
            input: String::new(),
            thought: String::new(),
            calls: Vec::new(),
            spoke: false,
        }
    }

    /// Takes in a piece of text.
    pub fn push(&mut self, text: &str) -> Vec<ChatEvent> {
        self.pending.push_str(text);
        let mut events = Vec::new();
        while !self.pending.is_empty() {
            if self.line_start {
                match label(&self.pending) {
                    Seen::Label(part, length) if self.obeys(part) => {
                        self.bold = self.pending[..length].contains('*');
                        self.pending.drain(..length);
                        self.begin(part);
                        continue;
                    }
                    Seen::Unclear => break,
                    Seen::Label(..) | Seen::Text => {}
                }
            }
            let end = self
                .pending
                .find('\n')
                .map_or(self.pending.len(), |at| at + 1);
            let line: String = self.pending.drain(..end).collect();
            self.line_start = line.ends_with('\n');
            events.extend(self.take(&line));
        }
        events
    }

    /// In an answer only an observation is a label: the rest may be quoted there.
    fn obeys(&self, part: Part) -> bool {
        match self.part {
            Part::Forged => false,
            Part::Answer => part == Part::Forged,
            _ => true,
        }
    }

    fn begin(&mut self, part: Part) {
        if matches!(
            part,
            Part::Action | Part::Thought | Part::Answer | Part::Forged
        ) {
            self.close_call();
        }
        self.part = part;
        self.fresh = true;
        self.line_start = false;
    }

    fn close_call(&mut self) {
        let action = std::mem::take(&mut self.action);
        let input = std::mem::take(&mut self.input);
        let name = action
            .trim()
            .trim_matches(['`', '"', '\'', '*', '[', ']', '。']);
        if !NO_ACTION.contains(&name.to_lowercase().as_str()) {
            self.calls.push((name.to_owned(), input.trim().to_owned()));
        }
    }

    fn take(&mut self, text: &str) -> Option<ChatEvent> {
        let text = match self.fresh {
            true => text.trim_start_matches(|c: char| c.is_whitespace() || self.bold && c == '*'),
            false => text,
        };
        if text.is_empty() {
            return None;
        }
        self.fresh = false;
        match self.part {
            // What a model answers before it has seen the results of its calls is a guess.
            Part::Bare | Part::Answer if self.calls.is_empty() => {
                self.spoke = true;
                Some(ChatEvent::Text(text.to_owned()))
            }
            Part::Thought => {
                self.thought.push_str(text);
                Some(ChatEvent::Reasoning(text.to_owned()))
            }
            Part::Action => {
                self.action.push_str(text);
                None
            }
            Part::Input => {
                self.input.push_str(text);
                None
            }
            Part::Bare | Part::Answer | Part::Forged => None,
        }
    }

    /// What the end of the text leaves, and whether tools are called.
    pub fn finish(&mut self, reason: FinishReason) -> (Vec<ChatEvent>, bool) {
        let rest = std::mem::take(&mut self.pending);
        let mut events: Vec<ChatEvent> = self.take(&rest).into_iter().collect();
        let cut = reason == FinishReason::Length && matches!(self.part, Part::Action | Part::Input);
        self.close_call();
        if cut {
            // What the limit cut off is no call.
            self.calls.pop();
        }
        let calls = std::mem::take(&mut self.calls);
        let calls: Vec<ToolCall> = calls
            .into_iter()
            .take(self.most)
            .zip(self.before..)
            .map(|((name, input), number)| self.call(&name, &input, number))
            .collect();
        let called = !calls.is_empty();
        let thought = self.thought.trim();
        if !called && !self.spoke && !cut && !thought.is_empty() {
            // A model that only thinks has answered.
            events.push(ChatEvent::Text(thought.to_owned()));
        }
        events.extend(calls.into_iter().map(ChatEvent::ToolCall));
        (events, called)
    }

    fn call(&self, action: &str, input: &str, number: usize) -> ToolCall {
        let find = |name: &str| self.tools.iter().find(|tool| tool.name == name);
        // Some write `name[input]` or `name(input)`.
        let split = action.find(['[', '(', '{']).map(|at| action.split_at(at));
        let inline = split.filter(|(name, _)| input.is_empty() && find(name.trim()).is_some());
        let (name, input) = match inline {
            Some((name, input)) => {
                let brackets = matches!(input.chars().next(), Some('[' | '('));
                let inner = input.trim_matches(['[', ']', '(', ')']);
                (name.trim(), if brackets { inner } else { input })
            }
            None => (action, input),
        };
        ToolCall {
            id: format!("call_{number}"),
            name: name.to_owned(),
            arguments: arguments(find(name), input),
        }
    }
}

/// The arguments that a text stands for. What cannot be read stays text: the check against the
/// tool's schema tells the model so.
fn arguments(tool: Option<&ToolSpec>, input: &str) -> Value {
    let input = input.trim();
    let bare = input.trim_start_matches("```json").trim_matches('`').trim();
    let mut values = serde_json::Deserializer::from_str(bare).into_iter::<Value>();
    let value = values.next().and_then(Result::ok);
    if let Some(object @ Value::Object(_)) = value {
        return object;
    }
    let properties = tool.and_then(|tool| tool.parameters["properties"].as_object());
    let mut names = properties.into_iter().flatten();
    match (names.next(), names.next()) {
        (None, _) if bare.is_empty() => Value::Object(Map::new()),
        (Some((name, schema)), None) if !bare.is_empty() && !bare.starts_with('{') => {
            let text = Value::String(bare.trim_matches(['"', '\'']).to_owned());
            let value = match schema["type"] == "string" {
                true => text,
                false => value.unwrap_or(text),
            };
            Value::Object(Map::from_iter([(name.clone(), value)]))
        }
        _ => Value::String(input.to_owned()),
    }
}
