//! Tool-call dialects: how each family of models writes thinking, text and calls.
//!
//! A [`Dialect`] is a row of one table ([`DIALECTS`]). It is recognised by a model's chat
//! template, reads replies while they are written ([`Dialect::parser`]), and gives the grammar
//! that keeps calls well formed ([`Dialect::grammar`]).
//!
//! ```
//! use corbie_core::ChatEvent;
//! use corbie_models::dialect::{Dialect, Opening};
//!
//! let dialect = Dialect::by_name("hermes").ok_or("no such row")?;
//! let mut parser = dialect.parser(&[], Opening::Answer);
//! let mut events = parser.push("<tool_call>{\"name\": \"get_weather\", \"argum");
//! events.extend(parser.push("ents\": {\"city\": \"北京\"}}</tool_call>"));
//! events.extend(parser.finish());
//! let [ChatEvent::ToolCall(call)] = events.as_slice() else { panic!("one call") };
//! assert_eq!((call.name.as_str(), &call.arguments["city"]), ("get_weather", &"北京".into()));
//! # Ok::<(), &str>(())
//! ```

mod block;
mod events;
mod find;
mod form;
mod grammar;
mod lark;
mod literal;
#[cfg(feature = "local")]
mod prompt;
mod reply;
mod scan;
mod schema;
mod syntax;
mod table;
mod write;

use corbie_core::{ToolChoice, ToolSpec};

pub use grammar::CallGrammar;
pub use reply::ReplyParser;
pub use syntax::{Opening, Thinking};
pub use table::DIALECTS;

#[cfg(feature = "local")]
pub(crate) use prompt::{Abilities, is_han};
#[cfg(feature = "local")]
pub(crate) use write::write_json;

use events::Ids;
use grammar::Written;
use syntax::Syntax;

/// How a family of models writes thinking, text and calls.
#[derive(Debug)]
pub struct Dialect {
    /// The row's name.
    pub name: &'static str,
    /// The models that write so.
    pub models: &'static str,
    /// What a call looks like.
    pub example: &'static str,
    /// The marks around thinking; the first are the family's own.
    pub thinking: &'static [Thinking],
    /// Marks that a model's vocabulary may have as special tokens, and that the parser must see
    /// as text.
    pub marks: &'static [&'static str],
    /// Texts that end a reply, beside the model's own end tokens.
    pub stops: &'static [&'static str],
    /// Whether one answer may hold several calls.
    pub parallel: bool,
    /// A template is this row's if it has all texts of any of these groups.
    features: &'static [&'static [&'static str]],
    /// Without a template: special tokens, all of which the vocabulary has.
    tokens: &'static [&'static str],
    ids: Ids,
    syntax: Syntax,
    written: Written,
}

impl Dialect {
    /// The row of a model, by its chat template's source and by which special tokens it has;
    /// `plain` when nothing fits.
    pub fn of(template: Option<&str>, special_tokens: &dyn Fn(&str) -> bool) -> &'static Self {
        let by_template = |row: &&Self| {
            template.is_some_and(|source| {
                let has = |group: &&[&str]| group.iter().all(|text| source.contains(text));
                row.features.iter().any(has)
            })
        };
        let by_tokens = |row: &&Self| {
            !row.tokens.is_empty() && row.tokens.iter().all(|token| special_tokens(token))
        };
        let rows = || DIALECTS.iter();
        rows()
            .find(by_template)
            .or_else(|| rows().find(by_tokens))
            .unwrap_or_else(Self::plain)
    }

    /// The row with this name.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        DIALECTS.iter().find(|row| row.name == name)
    }

    /// The row for models that know no tools.
    pub fn plain() -> &'static Self {
        &DIALECTS[DIALECTS.len() - 1]
    }

    /// Reads a reply to a request with these tools. Their schemas say how to read arguments that
    /// are written without types; calls of other tools are calls too.
    pub fn parser(&self, tools: &[ToolSpec], opening: Opening) -> ReplyParser {
        self.syntax.parser(self.ids, self.thinking, tools, opening)
    }

    /// Reads a reply to a request without tools: what looks like a call is text.
    pub fn parser_without_calls(&self, opening: Opening) -> ReplyParser {
        let syntax = self.syntax.without_calls();
        syntax.parser(self.ids, self.thinking, &[], opening)
    }

    /// The grammar of calls; `None` when there is nothing to constrain: no tools, no choice, or a
    /// named tool that is not among them.
    ///
    /// `special` gives the id of the special token that is written so, if the vocabulary has one.
    pub fn grammar(
        &self,
        tools: &[ToolSpec],
        choice: &ToolChoice,
        parallel: bool,
        special: &dyn Fn(&str) -> Option<u32>,
    ) -> Option<CallGrammar> {
        self.written.grammar(self, tools, choice, parallel, special)
    }
}
