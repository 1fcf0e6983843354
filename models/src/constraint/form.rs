//! What an answer must be.

use corbie_core::{Error, ErrorKind, ResponseFormat, Result};
use regex_syntax::hir::{Hir, HirKind};
use serde_json::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::repetition;
use super::schema::{self, Text, escape};
use super::terminals;
use super::watch::Watch;

/// Longer regular expressions and grammars are refused.
const MAX_REGEX: usize = 64 << 10;
const MAX_LARK: usize = 256 << 10;
/// All texts to choose or quote from together.
const MAX_TEXTS: usize = 256 << 10;
/// The most rules that a schema may become.
const MAX_RULES: usize = 8_000;
/// The most bytes that an answer may have to have.
const MAX_REACH: usize = 100_000;
/// How deep forms and groups of a regular expression may nest.
const MAX_NESTING: usize = 60;
/// Brackets of a grammar that may be open at once, those in its texts among them.
const MAX_BRACKETS: usize = 300;

/// What an answer must be.
///
/// ```
/// use corbie_core::ResponseFormat;
/// use corbie_models::constraint::Form;
///
/// assert_eq!(Form::of(&ResponseFormat::Text), None);
/// let yes_or_no = ResponseFormat::Choice(vec!["yes".into(), "no".into()]);
/// assert_eq!(Form::of(&yes_or_no), Some(Form::Choice(vec!["yes".into(), "no".into()])));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// A JSON value that satisfies this JSON Schema (draft 7 or 2020-12), on one line.
    JsonSchema(Value),
    /// A text that this regular expression matches from start to end.
    Regex(String),
    /// A text of this grammar, in llguidance's dialect of Lark.
    Lark(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A piece of one of these texts, word for word; of Chinese and its neighbours, character for
    /// character.
    Quote(Vec<String>),
    /// This text.
    Literal(String),
    /// This token, which may be one that steers the model.
    Token(u32),
    /// One after the other.
    Sequence(Vec<Form>),
    /// Any of these.
    OneOf(Vec<Form>),
    /// The same form again and again.
    Repeat {
        /// What is repeated.
        form: Box<Form>,
        /// What stands between two.
        separator: String,
        /// The fewest.
        least: usize,
        /// The most; `None`: any number.
        most: Option<usize>,
    },
}

impl Form {
    /// The form that a request asks for; `None` for any text.
    pub fn of(format: &ResponseFormat) -> Option<Self> {
        Some(match format {
            ResponseFormat::Text => return None,
            ResponseFormat::JsonSchema(schema) => Self::JsonSchema(schema.clone()),
            ResponseFormat::Regex(regex) => Self::Regex(regex.clone()),
            ResponseFormat::Grammar(lark) => Self::Lark(lark.clone()),
            ResponseFormat::Choice(texts) => Self::Choice(texts.clone()),
            ResponseFormat::Quote(texts) => Self::Quote(texts.clone()),
        })
    }
}

/// A form as llguidance takes it.
pub(super) struct Source {
    pub lark: String,
    /// The most bytes that any part needs to be finished once it is begun; `None`: not known.
    pub growth: Option<usize>,
    pub watch: Option<Watch>,
    /// Tokens that steer the model and may come all the same.
    pub tokens: Vec<u32>,
}

impl Source {
    pub fn of(form: &Form) -> Result<Self> {
        if let Form::Lark(lark) = form {
            check_lark(lark)?;
            return Ok(Self {
                lark: lark.clone(),
                growth: None,
                watch: None,
                tokens: Vec::new(),
            });
        }
        let mut writer = Writer {
            lines: String::new(),
            parts: 0,
            watch: None,
            narrow: false,
            tokens: Vec::new(),
        };
        let (start, growth) = writer.form(form, 0)?;
        Ok(Self {
            lark: format!("start: {start}\n{}", writer.lines),
            growth: growth.filter(|_| !writer.narrow),
            watch: writer.watch,
            tokens: writer.tokens,
        })
    }
}

fn refuse(kind: ErrorKind, subject: &str, why: impl std::fmt::Display) -> Error {
    Error::new(kind, subject, why)
}

struct Writer {
    lines: String,
    /// How many parts have names of their own.
    parts: usize,
    watch: Option<Watch>,
    narrow: bool,
    tokens: Vec<u32>,
}

/// An expression of Lark and the most bytes it needs to be finished.
type Written = (String, Option<usize>);

impl Writer {
    /// Defines a name for a rule or, in capitals, a terminal.
    fn define(&mut self, letter: char, body: &str) -> String {
        self.parts += 1;
        let name = format!("{letter}{}", self.parts);
        self.lines.push_str(&format!("{name}: {body}\n"));
        name
    }

    fn form(&mut self, form: &Form, depth: usize) -> Result<Written> {
        if depth > MAX_NESTING {
            let why = format!("it is nested deeper than {MAX_NESTING}");
            return Err(refuse(ErrorKind::LimitExceeded, "form of the answer", why));
        }
        match form {
            Form::JsonSchema(schema) => {
                self.parts += 1;
                let prefix = format!("j{}", self.parts);
                let grammar = schema::compile(schema, &prefix)?;
                let rules = grammar.lark.lines().count();
                if rules > MAX_RULES {
                    let why = format!("it makes {rules} rules, at most {MAX_RULES} are followed");
                    return Err(refuse(ErrorKind::LimitExceeded, "JSON Schema", why));
                }
                self.lines.push_str(&grammar.lark);
                self.narrow |= grammar.narrow;
                self.watch = match (self.watch.take(), grammar.watch) {
                    (Some(a), Some(b)) => Some(a.join(b)),
                    (a, b) => a.or(b),
                };
                Ok((format!("{prefix}r0"), Some(grammar.growth)))
            }
            Form::Regex(regex) => {
                let growth = check_regex(regex)?;
                let terminal = Text::regex(regex.as_str()).lark();
                Ok((self.define('X', &terminal), Some(growth)))
            }
            Form::Lark(lark) => {
                check_lark(lark)?;
                Ok((format!("%lark {{\n{lark}\n}}"), None))
            }
            Form::Choice(texts) => {
                check_texts("choice", texts)?;
                let options: Vec<String> = texts
                    .iter()
                    .cloned()
                    .map(|text| Text::Literal(text).lark())
                    .collect();
                let longest = texts.iter().map(String::len).max();
                Ok((self.define('C', &options.join(" | ")), longest))
            }
            Form::Quote(texts) => {
                check_texts("quote", texts)?;
                let mut pieces = Vec::new();
                for text in texts {
                    let chunks = serde_json::json!({"substring_chunks": chunks(text)});
                    pieces.push(self.define('Q', &format!("%regex {chunks}")));
                }
                // Something, and no space around it.
                let all = pieces.join(" | ");
                let body = format!(r"({all}) & /\S|\S(?s:.*)\S/");
                Ok((self.define('Q', &body), Some(longest_word(texts))))
            }
            Form::Literal(text) => Ok((self.literal(text), Some(text.len()))),
            Form::Token(token) => {
                self.tokens.push(*token);
                Ok((format!("<[{token}]>"), Some(1)))
            }
            Form::Sequence(forms) => {
                let mut body = Vec::new();
                let mut growth = Some(0_usize);
                for form in forms {
                    let (part, more) = self.form(form, depth + 1)?;
                    body.push(part);
                    growth = growth.zip(more).map(|(a, b)| a.saturating_add(b));
                }
                Ok((self.define('s', &body.join(" ")), growth))
            }
            Form::OneOf(forms) => {
                if forms.is_empty() {
                    let why = "it is one of nothing";
                    return Err(refuse(ErrorKind::BadInput, "form of the answer", why));
                }
                let mut body = Vec::new();
                let mut growth = Some(0);
                for form in forms {
                    let (part, more) = self.form(form, depth + 1)?;
                    body.push(part);
                    growth = growth.zip(more).map(|(a, b)| a.max(b));
                }
                Ok((self.define('s', &body.join(" | ")), growth))
            }
            Form::Repeat {
                form,
                separator,
                least,
                most,
            } => self.repeat(form, separator, *least, *most, depth),
        }
    }

    fn literal(&mut self, text: &str) -> String {
        match text.is_empty() {
            true => "\"\"".to_owned(),
            false => self.define('L', &format!("/{}/", escape(text))),
        }
    }

    fn repeat(
        &mut self,
        form: &Form,
        separator: &str,
        least: usize,
        most: Option<usize>,
        depth: usize,
    ) -> Result<Written> {
        if most.is_some_and(|most| most < least) || least.max(most.unwrap_or(0)) > 10_000 {
            let why = format!("it is repeated {least} to {most:?} times");
            return Err(refuse(ErrorKind::BadInput, "form of the answer", why));
        }
        if most == Some(0) {
            return Ok(("\"\"".to_owned(), Some(0)));
        }
        let (item, growth) = self.form(form, depth + 1)?;
        let between = self.literal(separator);
        let fewest = least.saturating_sub(1);
        let times = match most {
            None => format!("{{{fewest},}}"),
            Some(most) => format!("{{{fewest},{}}}", most - 1),
        };
        let list = format!("{item} ({between} {item}){times}");
        let body = if least == 0 {
            format!("({list})?")
        } else {
            list
        };
        let growth = growth.map(|one| (one + separator.len()).saturating_mul(least.max(1)));
        Ok((self.define('s', &body), growth))
    }
}

fn check_texts(what: &str, texts: &[String]) -> Result<()> {
    let bytes: usize = texts.iter().map(String::len).sum();
    if texts.iter().all(|text| text.trim().is_empty()) {
        return Err(refuse(
            ErrorKind::BadInput,
            what,
            "there is no text to take from",
        ));
    }
    if bytes > MAX_TEXTS {
        let why = format!("the texts have {bytes} bytes, at most {MAX_TEXTS} are searched");
        return Err(refuse(ErrorKind::LimitExceeded, what, why));
    }
    Ok(())
}

/// Refuses what is no regular expression, or too large; says how many bytes one needs at most.
fn check_regex(regex: &str) -> Result<usize> {
    let subject = "regular expression of the answer";
    if regex.len() > MAX_REGEX {
        let why = format!("it has {} bytes, at most {MAX_REGEX} are read", regex.len());
        return Err(refuse(ErrorKind::LimitExceeded, subject, why));
    }
    let hir = regex_syntax::ParserBuilder::new()
        .nest_limit(MAX_NESTING as u32)
        .build()
        .parse(regex)
        .map_err(|error| {
            let why = match &error {
                regex_syntax::Error::Parse(error) => error.kind().to_string(),
                regex_syntax::Error::Translate(error) => error.kind().to_string(),
                _ => error.to_string(),
            };
            refuse(ErrorKind::BadInput, subject, why)
        })?;
    repetition::check(&hir).map_err(|why| refuse(ErrorKind::LimitExceeded, subject, why))?;
    match reach(&hir) {
        bytes if bytes > MAX_REACH => {
            let why =
                format!("its texts have at least {bytes} bytes, at most {MAX_REACH} are written");
            Err(refuse(ErrorKind::LimitExceeded, subject, why))
        }
        bytes => Ok(bytes),
    }
}

/// The bytes of a text that `hir` matches, each part taken once or as often as it must be.
fn reach(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(_) => 4,
        HirKind::Repetition(repetition) => {
            reach(&repetition.sub).saturating_mul(repetition.min.max(1) as usize)
        }
        HirKind::Capture(capture) => reach(&capture.sub),
        HirKind::Concat(parts) => parts.iter().map(reach).fold(0, usize::saturating_add),
        HirKind::Alternation(parts) => parts.iter().map(reach).max().unwrap_or(0),
    }
}

/// Refuses grammars too large or too deep to read.
fn check_lark(lark: &str) -> Result<()> {
    let subject = "grammar of the answer";
    if lark.len() > MAX_LARK {
        let why = format!("it has {} bytes, at most {MAX_LARK} are read", lark.len());
        return Err(refuse(ErrorKind::LimitExceeded, subject, why));
    }
    // Brackets in texts and expressions count too, unless they are closed: that is close enough.
    let mut depth = 0_usize;
    let mut negations = 0;
    for byte in lark.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        negations = if byte == b'~' { negations + 1 } else { 0 };
        if depth.max(negations) > MAX_BRACKETS {
            let why = format!("it is nested deeper than {MAX_BRACKETS}");
            return Err(refuse(ErrorKind::LimitExceeded, subject, why));
        }
    }
    terminals::check(lark).map_err(|why| refuse(ErrorKind::LimitExceeded, subject, why))
}

/// The pieces a quotation may begin and end between.
fn chunks(text: &str) -> Vec<&str> {
    text.split_word_bounds().collect()
}

fn longest_word(texts: &[String]) -> usize {
    let words = texts.iter().flat_map(|text| chunks(text));
    words.map(str::len).max().unwrap_or(0) + 8
}
