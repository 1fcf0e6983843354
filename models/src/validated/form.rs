//! Whether a text has the form asked for.

use corbie_core::{Error, ErrorKind, ResponseFormat, Result};
use regex_automata::meta::{Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_syntax::hir::{Hir, Look};
use serde_json::Value;

use super::ask::WRAPPED;
use super::checks::Verdict;
use super::fault::{quoted, shorten};
use super::json;
use super::schema::Schema;
use super::text::{fold, readings};

/// How deep a regular expression may nest, and how many bytes its automaton may take.
const MAX_NESTING: u32 = 60;
const MAX_AUTOMATON: usize = 8 << 20;
/// All texts to choose or quote from together.
const MAX_TEXTS: usize = 4 << 20;

/// A form, compiled.
pub enum Form {
    Json(Schema),
    Regex {
        matcher: Regex,
        shown: String,
    },
    Choice(Vec<String>),
    Quote(Vec<String>),
    #[cfg(feature = "local")]
    Grammar(Box<crate::constraint::Recognizer>),
}

impl Form {
    /// The form that a request asks for; `None` for any text.
    ///
    /// # Errors
    ///
    /// When it is none, too large, or cannot be checked.
    pub fn of(format: &ResponseFormat) -> Result<Option<Self>> {
        Ok(Some(match format {
            ResponseFormat::Text => return Ok(None),
            ResponseFormat::JsonSchema(schema) => {
                Self::Json(Schema::new("JSON Schema of the answer", schema)?)
            }
            ResponseFormat::Regex(regex) => Self::Regex {
                matcher: whole(regex)?,
                shown: shorten(regex, 200),
            },
            ResponseFormat::Choice(texts) => Self::Choice(some("choice", texts)?),
            ResponseFormat::Quote(texts) => Self::Quote(some("quote", texts)?),
            #[cfg(feature = "local")]
            ResponseFormat::Grammar(lark) => {
                Self::Grammar(Box::new(crate::constraint::Recognizer::new(lark)?))
            }
            #[cfg(not(feature = "local"))]
            ResponseFormat::Grammar(_) => {
                let cause = "this build cannot check it";
                let error = Error::new(ErrorKind::Unsupported, "grammar of the answer", cause);
                return Err(error.hint("build with the feature `local`"));
            }
        }))
    }

    /// Checks a text; what is right is returned without what stands around it.
    ///
    /// # Errors
    ///
    /// When that would take too long.
    pub fn check(&self, text: &str, limit: usize) -> Result<Verdict> {
        let right = |text: &str| Ok(Verdict::Right(text.to_owned()));
        let found = || match text.trim() {
            "" => "no text".to_owned(),
            text => quoted(text),
        };
        match self {
            Self::Json(schema) => {
                let (written, value) = match json::find(text) {
                    Ok(found) => found,
                    Err(found) => return Ok(Verdict::wrong("exactly one JSON value", found)),
                };
                let faults = schema.check(&value, limit)?;
                match faults.is_empty() {
                    true => right(written),
                    false => Ok(Verdict::Wrong(faults)),
                }
            }
            Self::Regex { matcher, shown } => {
                match readings(text).into_iter().find(|it| matcher.is_match(it)) {
                    Some(reading) => right(reading),
                    None => {
                        let expected =
                            format!("a text that `{shown}` matches from its start to its end");
                        Ok(Verdict::wrong(expected, found()))
                    }
                }
            }
            Self::Choice(options) => match choose(text, options) {
                Some(option) => right(option),
                None => {
                    let options: Vec<String> = options.iter().map(|it| quoted(it)).collect();
                    let options = shorten(&options.join(", "), 400);
                    Ok(Verdict::wrong(format!("one of {options}"), found()))
                }
            },
            Self::Quote(texts) => {
                let is_quote = |reading: &&str| {
                    let reading = reading.trim();
                    !reading.is_empty() && texts.iter().any(|text| text.contains(reading))
                };
                match readings(text).into_iter().find(is_quote) {
                    Some(reading) => right(reading.trim()),
                    None => {
                        let expected =
                            "a piece of one of the texts, copied character for character";
                        Ok(Verdict::wrong(expected, found()))
                    }
                }
            }
            #[cfg(feature = "local")]
            Self::Grammar(grammar) => {
                let mut furthest = 0;
                for reading in readings(text) {
                    match grammar.recognize(reading)? {
                        None => return right(reading),
                        Some(end) => furthest = furthest.max(end),
                    }
                }
                let found = match furthest {
                    0 => found(),
                    end => format!("{}, which leaves it at byte {end} or ends early", found()),
                };
                Ok(Verdict::wrong("a text of the grammar", found))
            }
        }
    }
}

/// The option that a text names: as it is written, within JSON, or but for quotation marks, a
/// final stop and case where only one is that close.
fn choose<'a>(text: &str, options: &'a [String]) -> Option<&'a String> {
    let exact = |text: &str| {
        let readings = readings(text);
        let is_read = |option: &&String| readings.contains(&option.as_str());
        options.iter().find(is_read)
    };
    let close = |text: &str| {
        let folded = fold(text);
        let mut alike = options.iter().filter(|option| fold(option) == folded);
        alike.next().filter(|_| alike.next().is_none())
    };
    let wrapped = json::find(text).ok().and_then(|(_, value)| match value {
        Value::String(text) => Some(text),
        Value::Object(mut fields) if fields.len() == 1 => match fields.remove(WRAPPED)? {
            Value::String(text) => Some(text),
            _ => None,
        },
        _ => None,
    });
    let wrapped = wrapped.as_deref();
    exact(text)
        .or_else(|| exact(wrapped?))
        .or_else(|| close(wrapped.unwrap_or(text)))
}

/// Matches nothing but whole texts. Built from the parsed expression: no flag or comment in it can
/// reach beyond it.
fn whole(regex: &str) -> Result<Regex> {
    let refuse = |kind, why: String| Error::new(kind, "regular expression of the answer", why);
    let hir = regex_syntax::ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(regex)
        .map_err(|error| {
            let why = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                _ => error.to_string(),
            };
            refuse(ErrorKind::BadInput, why)
        })?;
    let hir = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    Regex::builder()
        .configure(
            Config::new()
                .nfa_size_limit(Some(MAX_AUTOMATON))
                .which_captures(WhichCaptures::Implicit),
        )
        .build_from_hir(&hir)
        .map_err(|error| match error.size_limit() {
            Some(limit) => {
                let why = format!("its automaton has more than {limit} bytes");
                refuse(ErrorKind::LimitExceeded, why)
            }
            None => refuse(ErrorKind::BadInput, error.to_string()),
        })
}

/// The texts, unless there are none or too many.
fn some(what: &str, texts: &[String]) -> Result<Vec<String>> {
    let bytes: usize = texts.iter().map(String::len).sum();
    if texts.iter().all(|text| text.trim().is_empty()) {
        let cause = "there is no text to take from";
        return Err(Error::new(ErrorKind::BadInput, what, cause));
    }
    if bytes > MAX_TEXTS {
        let why = format!("the texts have {bytes} bytes, at most {MAX_TEXTS} are searched");
        return Err(Error::new(ErrorKind::LimitExceeded, what, why));
    }
    Ok(texts.to_vec())
}
