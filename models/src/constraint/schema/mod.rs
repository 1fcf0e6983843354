//! JSON Schema, drafts 7 and 2020-12, as a grammar whose every text satisfies it.
//!
//! A schema is read keyword by keyword into cases ([`read`]); the cases of each place become rules
//! ([`plan`]); the rules are written as Lark ([`write`]). Where a schema allows more than is worth
//! generating, such as white space, escapes that name a code point, or members that nobody
//! described, the grammar allows less. It never allows more.

mod document;
mod format;
mod number;
mod pattern;
mod plan;
mod read;
mod shape;
mod text;
mod write;

use super::watch::Watch;
use corbie_core::{Error, ErrorKind};
use serde_json::Value;

use document::Document;
use plan::{NEVER, Plan};
use read::Reader;
pub(super) use shape::same;
pub(super) use text::{Text, escape};

/// A schema as a grammar.
pub(super) struct Grammar {
    /// Lark rules, the first of them `{prefix}r0`.
    pub lark: String,
    /// The most bytes that any value of the schema needs to be finished once it is begun.
    pub growth: usize,
    /// What its text must be watched for, beyond what a grammar can say.
    pub watch: Option<Watch>,
    /// Whether that watch can leave no way on, so that every step looks ahead.
    pub narrow: bool,
}

/// Compiles `schema`; rule names begin with `prefix`.
pub(super) fn compile(schema: &Value, prefix: &str) -> Result<Grammar, Error> {
    grammar(schema, prefix).map_err(Refusal::into_error)
}

fn grammar(schema: &Value, prefix: &str) -> Result<Grammar, Refusal> {
    let mut reader = Reader::new(Document::new(schema)?);
    let root = reader.claim("");
    let plan = Plan::new(&mut reader, root)?;
    if plan.rules[0].length == NEVER {
        return Err(Refusal::malformed("no finite JSON value satisfies it").at(""));
    }
    let longest = plan
        .rules
        .iter()
        .map(|rule| rule.length)
        .filter(|length| *length != NEVER);
    Ok(Grammar {
        lark: write::lark(&plan, prefix)?,
        growth: longest.max().unwrap_or(0),
        watch: (plan.unique || plan.open || plan.is_recursive()).then(|| Watch::new(plan.unique)),
        narrow: plan.unique || plan.narrow,
    })
}

/// Why a schema is not compiled, and where.
#[derive(Debug)]
struct Refusal {
    kind: ErrorKind,
    keyword: Option<String>,
    pointer: Option<String>,
    why: String,
}

impl Refusal {
    fn new(kind: ErrorKind, keyword: Option<&str>, why: impl Into<String>) -> Self {
        Self {
            kind,
            keyword: keyword.map(str::to_owned),
            pointer: None,
            why: why.into(),
        }
    }

    fn unsupported(keyword: &str, why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, Some(keyword), why)
    }

    fn limit(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::LimitExceeded, None, why)
    }

    fn malformed(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadInput, None, why)
    }

    /// Says where, unless that is known already.
    fn at(mut self, pointer: &str) -> Self {
        self.pointer.get_or_insert_with(|| pointer.to_owned());
        self
    }

    fn into_error(self) -> Error {
        let place = format!("#{}", self.pointer.unwrap_or_default());
        let subject = match self.keyword {
            Some(keyword) => format!("JSON Schema keyword `{keyword}` at `{place}`"),
            None => format!("JSON Schema at `{place}`"),
        };
        Error::new(self.kind, subject, self.why)
    }
}
