//! Arguments that are not JSON: Python's literals, and values whose strings stand between marks.

use serde_json::{Map, Number, Value};

/// How deep values may nest.
const MAX_DEPTH: usize = 64;

/// How a family writes values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notation {
    /// What strings stand between; `None`: Python's quotes.
    pub quote: Option<&'static str>,
    /// Between a key of an object and its value.
    pub colon: char,
}

/// Python's literals.
pub(super) const PYTHON: Notation = Notation {
    quote: None,
    colon: ':',
};

/// A call's arguments as they were written: those by place, then those by name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Arguments {
    pub placed: Vec<Value>,
    pub named: Map<String, Value>,
}

/// `name(a, b=c)`.
#[derive(Debug, PartialEq)]
pub(super) struct PythonCall {
    pub name: String,
    pub arguments: Arguments,
}

/// The calls of `[f(a=1), g()]`.
pub(super) fn python_calls(text: &str) -> Option<Vec<PythonCall>> {
    let mut reader = Reader::new(text, PYTHON);
    reader.expect('[')?;
    let mut calls = Vec::new();
    if !reader.eat(']') {
        loop {
            calls.push(reader.call()?);
            if !reader.eat(',') {
                break;
            }
        }
        reader.expect(']')?;
    }
    reader.end()?;
    Some(calls)
}

/// The arguments of `(a, b=c)`.
pub(super) fn python_arguments(text: &str) -> Option<Arguments> {
    let mut reader = Reader::new(text, PYTHON);
    let arguments = reader.arguments()?;
    reader.end()?;
    Some(arguments)
}

/// The calls of a small program: one after another, or a list; their results may be printed or
/// given a name.
pub(super) fn python_program(text: &str) -> Option<Vec<PythonCall>> {
    let text = text.trim();
    if text.starts_with('[') {
        return python_calls(text);
    }
    let mut reader = Reader::new(text, PYTHON);
    let mut calls = Vec::new();
    while reader.end().is_none() {
        let before = reader.rest;
        if reader.name().is_none() || !reader.eat('=') {
            reader.rest = before;
        }
        let before = reader.rest;
        let printed = reader.name() == Some("print") && reader.eat('(');
        if !printed {
            reader.rest = before;
        }
        calls.push(reader.call()?);
        if printed {
            reader.expect(')')?;
        }
        reader.eat(';');
    }
    (!calls.is_empty()).then_some(calls)
}

/// An object `{key:value,…}` with bare keys.
pub(super) fn object(text: &str, notation: Notation) -> Option<Map<String, Value>> {
    let mut reader = Reader::new(text, notation);
    let Value::Object(fields) = reader.value(0)? else {
        return None;
    };
    reader.end()?;
    Some(fields)
}

/// One value.
pub(super) fn value(text: &str, notation: Notation) -> Option<Value> {
    let mut reader = Reader::new(text, notation);
    let value = reader.value(0)?;
    reader.end()?;
    Some(value)
}

struct Reader<'a> {
    rest: &'a str,
    notation: Notation,
}

impl<'a> Reader<'a> {
    fn new(rest: &'a str, notation: Notation) -> Self {
        Self { rest, notation }
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.eat(wanted).then_some(())
    }

    fn end(&mut self) -> Option<()> {
        self.rest.trim().is_empty().then_some(())
    }

    fn word(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn name(&mut self) -> Option<&'a str> {
        let name = self.word(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        (!name.is_empty()).then_some(name)
    }

    fn call(&mut self) -> Option<PythonCall> {
        let name = self.name()?.to_owned();
        let arguments = self.arguments()?;
        Some(PythonCall { name, arguments })
    }

    fn arguments(&mut self) -> Option<Arguments> {
        let mut arguments = Arguments::default();
        self.expect('(')?;
        while !self.eat(')') {
            let before = self.rest;
            let name = self.name();
            match name.filter(|_| self.eat('=')) {
                Some(name) => {
                    let value = self.value(0)?;
                    arguments.named.insert(name.to_owned(), value);
                }
                None => {
                    self.rest = before;
                    arguments.placed.push(self.value(0)?);
                }
            }
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Some(arguments)
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(text) = self.text()? {
            return Some(Value::String(text));
        }
        for (open, close) in [('[', ']'), ('(', ')')] {
            if self.eat(open) {
                return self.items(close, depth).map(Value::Array);
            }
        }
        if self.eat('{') {
            return self.fields(depth).map(Value::Object);
        }
        let word = self.word(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '-'));
        match word {
            "True" | "true" => Some(Value::Bool(true)),
            "False" | "false" => Some(Value::Bool(false)),
            "None" | "null" => Some(Value::Null),
            _ => number(word).map(Value::Number),
        }
    }

    fn items(&mut self, close: char, depth: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        while !self.eat(close) {
            items.push(self.value(depth + 1)?);
            if !self.eat(',') {
                self.expect(close)?;
                break;
            }
        }
        Some(items)
    }

    fn fields(&mut self, depth: usize) -> Option<Map<String, Value>> {
        let mut fields = Map::new();
        while !self.eat('}') {
            let key = match self.text()? {
                Some(key) => key,
                None => {
                    let colon = self.notation.colon;
                    let key =
                        self.word(|c| !matches!(c, ',' | '{' | '}' | '[' | ']') && c != colon);
                    let key = key.trim_end();
                    if key.is_empty() || self.notation.quote.is_none() {
                        return None;
                    }
                    key.to_owned()
                }
            };
            self.expect(self.notation.colon)?;
            let value = self.value(depth + 1)?;
            fields.insert(key, value);
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }
        Some(fields)
    }

    /// A string, if one comes; the outer `None` says that it is broken.
    fn text(&mut self) -> Option<Option<String>> {
        self.rest = self.rest.trim_start();
        let Some(quote) = self.notation.quote else {
            return match self.rest.chars().next() {
                Some(quote @ ('"' | '\'')) => self.python_text(quote).map(Some),
                _ => Some(None),
            };
        };
        let Some(rest) = self.rest.strip_prefix(quote) else {
            return Some(None);
        };
        let (text, rest) = rest.split_once(quote)?;
        self.rest = rest;
        Some(Some(text.to_owned()))
    }

    fn python_text(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        let mut rest = self.rest[1..].chars();
        loop {
            match rest.next()? {
                end if end == quote => break,
                '\\' => escape(&mut rest, &mut text)?,
                other => text.push(other),
            }
        }
        self.rest = rest.as_str();
        Some(text)
    }
}

/// One escape of a Python string, after its backslash. Surrogate pairs, as JSON writes them, make
/// one character.
fn escape(rest: &mut std::str::Chars<'_>, text: &mut String) -> Option<()> {
    let hex = |digits: usize, rest: &mut std::str::Chars<'_>| {
        let digits = rest.as_str().get(..digits)?;
        let code = u32::from_str_radix(digits, 16).ok()?;
        *rest = rest.as_str()[digits.len()..].chars();
        Some(code)
    };
    let plain = match rest.next()? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        '0' => '\0',
        '\n' => return Some(()),
        'x' => char::from_u32(hex(2, rest)?)?,
        'U' => char::from_u32(hex(8, rest)?)?,
        'u' => {
            let mut code = hex(4, rest)?;
            if (0xd800..0xdc00).contains(&code)
                && let Some(after) = rest.as_str().strip_prefix("\\u")
            {
                *rest = after.chars();
                let low = hex(4, rest)?.checked_sub(0xdc00)?;
                code = 0x10000 + ((code - 0xd800) << 10) + low;
            }
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        same @ ('\\' | '\'' | '"' | '/') => same,
        // Python keeps the backslash of what is no escape.
        other => {
            text.push('\\');
            other
        }
    };
    text.push(plain);
    Some(())
}

fn number(word: &str) -> Option<Number> {
    let digits = word.replace('_', "");
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    if !digits.ends_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = digits.parse::<u64>() {
        return Some(whole.into());
    }
    Number::from_f64(digits.parse().ok()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn python_calls_are_read() {
        let calls = python_calls(
            r#"[get_weather(city='北京', days=2, exact=True, at=None), f("a\n\"b\"", -1.5, [1, {'k': (2,)}]), g()]"#,
        )
        .unwrap();
        assert_eq!(calls.len(), 3);
        assert_eq!(
            Value::Object(calls[0].arguments.named.clone()),
            json!({"city": "北京", "days": 2, "exact": true, "at": null})
        );
        assert_eq!(
            calls[1].arguments.placed,
            [json!("a\n\"b\""), json!(-1.5), json!([1, {"k": [2]}])]
        );
        for broken in [
            "[f(a=)]",
            "[f(a=1]",
            "[f(a=x)]",
            "f()",
            "[f() g()]",
            "['a']",
            "[f(a='x)]",
        ] {
            assert_eq!(python_calls(broken), None, "{broken}");
        }
    }

    #[test]
    fn marked_values_are_read() {
        let notation = Notation {
            quote: Some("<escape>"),
            colon: ':',
        };
        let read = object(
            "{city:<escape>São, \"Paulo\": {x}<escape>,days:3,deep:{list:[1,<escape>二<escape>],on:true}}",
            notation,
        );
        assert_eq!(
            read.map(Value::Object),
            Some(
                json!({"city": "São, \"Paulo\": {x}", "days": 3, "deep": {"list": [1, "二"], "on": true}})
            )
        );
        for broken in ["{a:}", "{a:<escape>x}", "{:1}", "{a:b}", "[1]"] {
            assert_eq!(object(broken, notation), None, "{broken}");
        }
    }
}
