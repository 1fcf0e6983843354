//! Grammars of calls, in Lark's syntax as llguidance reads it.

use corbie_core::{ToolChoice, ToolSpec};

use super::Dialect;
use super::lark::Lark;

/// What keeps the calls of one answer well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGrammar {
    /// The grammar, whose rule `start` is the whole rest of the answer.
    pub lark: String,
    /// The text after which the grammar holds; what comes before it is free. `None`: from the
    /// start of the answer, after its thinking.
    pub trigger: Option<String>,
    /// Whether the trigger counts only at the start of the answer, after white space.
    pub only_at_start: bool,
}

impl CallGrammar {
    /// The same where a space may part calls that the answer begins with from a prompt of plain
    /// text.
    #[must_use]
    pub fn after_space(self) -> Self {
        if self.trigger.is_some() {
            return self;
        }
        let answer = self.lark.replacen("start:", "answer:", 1);
        Self {
            lark: format!("start: \" \"? answer\n{answer}"),
            ..self
        }
    }
}

/// How a row writes calls: as its template renders them.
#[derive(Debug)]
pub(super) struct Written {
    /// What opens calls.
    pub trigger: &'static str,
    pub only_at_start: bool,
    /// Between the trigger and the first call.
    pub lead: &'static str,
    /// Before a call's name. [`NUMBER`] in it stands for digits.
    pub before: &'static str,
    /// What may follow a name: an id of nine letters and digits after this mark, if the
    /// vocabulary has it.
    pub id: &'static str,
    /// Between name and arguments.
    pub between: &'static str,
    pub after: &'static str,
    /// Between calls.
    pub separator: &'static str,
    /// After the last call.
    pub end: &'static str,
    pub arguments: Arguments,
    /// What may come before a call that must come: text between these two.
    pub prelude: Option<(&'static str, &'static str)>,
    /// What opens an answer without calls, where it must be opened.
    pub otherwise: Option<&'static str>,
}

/// Stands for digits.
pub(super) const NUMBER: char = '\u{1}';

impl Written {
    /// A call in JSON after a name: the commonest form.
    pub const JSON: Self = Self {
        trigger: "",
        only_at_start: false,
        lead: "",
        before: "{\"name\": \"",
        id: "",
        between: "\", \"arguments\": ",
        after: "}",
        separator: "",
        end: "",
        arguments: Arguments::Json,
        prelude: None,
        otherwise: None,
    };

    pub fn grammar(
        &self,
        row: &Dialect,
        tools: &[ToolSpec],
        choice: &ToolChoice,
        parallel: bool,
        special: &dyn Fn(&str) -> Option<u32>,
    ) -> Option<CallGrammar> {
        let tools: Vec<&ToolSpec> = match choice {
            ToolChoice::None => return None,
            ToolChoice::Named(name) => tools.iter().filter(|tool| tool.name == *name).collect(),
            ToolChoice::Auto | ToolChoice::Required => tools.iter().collect(),
        };
        if tools.is_empty() {
            return None;
        }
        let free = *choice == ToolChoice::Auto;
        let waits = free && self.otherwise.is_none();
        let mut lark = Lark::new(row.marks, special, self.arguments);
        let calls = self.calls(&mut lark, &tools, parallel && row.parallel);
        let start = match (waits, self.prelude) {
            (true, _) => calls,
            (false, Some((open, close))) if !free => {
                let (open, close) = (lark.text(open), lark.text(close));
                let trigger = lark.text(self.trigger);
                format!("( {open} TEXT {close} )? {trigger} {calls}")
            }
            _ => format!("{} {calls}", lark.text(self.trigger)),
        };
        let start = match self.otherwise.filter(|_| free) {
            Some(otherwise) => format!("{} TEXT | {start}", lark.text(otherwise)),
            None => start,
        };
        Some(CallGrammar {
            lark: format!("start: {start}\n{}TEXT: /(.|\\n)*/\n", lark.rules),
            trigger: waits.then(|| self.trigger.to_owned()),
            only_at_start: waits && self.only_at_start,
        })
    }

    /// What follows the trigger.
    fn calls(&self, lark: &mut Lark<'_>, tools: &[&ToolSpec], parallel: bool) -> String {
        let alternatives: Vec<String> = tools
            .iter()
            .map(|tool| {
                let arguments = lark.object(&tool.parameters, &tool.parameters);
                let opening = lark.text(&format!("{}{}", self.before, tool.name));
                let id = match (lark.special)(self.id) {
                    Some(_) if !self.id.is_empty() => {
                        format!("( {} /[a-zA-Z0-9]{{9}}/ )?", lark.text(self.id))
                    }
                    _ => String::new(),
                };
                let (between, after) = (lark.text(self.between), lark.text(self.after));
                let call = match id.is_empty() {
                    // One lexeme: no name is the beginning of another then.
                    true => {
                        let opening = format!("{}{}{}", self.before, tool.name, self.between);
                        format!("{} {arguments} {after}", lark.text(&opening))
                    }
                    false => format!("{opening} {id} {between} {arguments} {after}"),
                };
                lark.rule(&call)
            })
            .collect();
        let call = lark.rule(&alternatives.join(" | "));
        let more = match parallel {
            true => format!("( {} {call} )*", lark.text(self.separator)),
            false => String::new(),
        };
        let (lead, end) = (lark.text(self.lead), lark.text(self.end));
        format!("{lead} {call} {more} {end}")
    }
}

/// How a row writes arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arguments {
    /// A JSON object.
    Json,
    /// `a="x", b=2`.
    Python,
    /// `{a:<escape>x<escape>,b:2}`, with this mark around strings.
    Marked(&'static str),
    /// `<parameter=a>`, a line break, the value as it is, a line break, `</parameter>`.
    Parameters,
}
