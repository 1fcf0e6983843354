//! Rules of a grammar in Lark's syntax.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::grammar::{Arguments, NUMBER};
use super::schema::{as_object, closed, closed_all, constants, referred};

/// Collects the rules of a grammar.
pub(super) struct Lark<'a> {
    marks: &'static [&'static str],
    pub special: &'a dyn Fn(&str) -> Option<u32>,
    arguments: Arguments,
    pub rules: String,
    count: usize,
    /// How deep the value in hand lies.
    depth: usize,
}

/// Schemas are followed this deep; a recursive one has no end.
const MAX_DEPTH: usize = 8;

impl<'a> Lark<'a> {
    pub fn new(
        marks: &'static [&'static str],
        special: &'a dyn Fn(&str) -> Option<u32>,
        arguments: Arguments,
    ) -> Self {
        Self {
            marks,
            special,
            arguments,
            rules: String::new(),
            count: 0,
            depth: 0,
        }
    }

    pub fn rule(&mut self, body: &str) -> String {
        self.named_rule("", body)
    }

    fn named_rule(&mut self, options: &str, body: &str) -> String {
        let name = format!("r{}", self.count);
        self.count += 1;
        // Writing to a string cannot fail.
        let _ = writeln!(self.rules, "{name}{options}: {body}");
        name
    }

    /// A text as literals, with its special tokens as such.
    pub fn text(&self, text: &str) -> String {
        let mut parts: Vec<String> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let special = self
                .marks
                .iter()
                .filter(|mark| (self.special)(mark).is_some())
                .filter_map(|mark| Some((rest.find(mark)?, usize::MAX - mark.len(), *mark)))
                .min();
            let number = rest.find(NUMBER).map(|at| (at, 0, ""));
            let (before, mark) = match special.into_iter().chain(number).min() {
                Some((at, _, mark)) => (&rest[..at], Some(mark)),
                None => (rest, None),
            };
            if !before.is_empty() {
                parts.push(quoted(before));
            }
            rest = &rest[before.len()..];
            match mark {
                Some("") => {
                    parts.push("/[0-9]+/".to_owned());
                    rest = &rest[NUMBER.len_utf8()..];
                }
                Some(mark) => {
                    let id = (self.special)(mark).unwrap_or_default();
                    parts.push(format!("<[{id}]>"));
                    rest = &rest[mark.len()..];
                }
                None => {}
            }
        }
        parts.join(" ")
    }

    /// A JSON value by this schema; `root` is where its references point.
    fn json(&mut self, schema: &Value, root: &Value) -> String {
        let mut schema = closed(schema);
        if let Some(fields) = schema.as_object_mut() {
            for key in ["$defs", "definitions"] {
                if let Some(definitions) = root.get(key) {
                    let definitions = closed_all(definitions);
                    fields.entry(key).or_insert(definitions);
                }
            }
            // As Python writes JSON, which is how templates render it.
            let spacing = json!({
                "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ",
            });
            fields.insert("x-guidance".to_owned(), spacing);
        }
        self.rule(&format!("%json {schema}"))
    }

    /// A tool's arguments, or an object within them.
    pub fn object(&mut self, schema: &Value, root: &Value) -> String {
        if self.arguments == Arguments::Json {
            return self.json(&as_object(schema), root);
        }
        let nothing = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        let properties = properties.unwrap_or(&nothing);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let (open, close, comma) = match self.arguments {
            Arguments::Marked(_) => (quoted("{"), quoted("}"), quoted(",")),
            Arguments::Parameters => (String::new(), String::new(), String::new()),
            _ => (String::new(), String::new(), quoted(", ")),
        };
        let items: Vec<(String, bool)> = properties
            .iter()
            .map(|(key, schema)| {
                let item = self.item(key, schema, root);
                (self.rule(&item), required.contains(&key.as_str()))
            })
            .collect();
        let list = self.list(&items, &comma);
        format!("{open} {list} {close}")
    }

    /// Some of `items` in order, all that are required among them.
    fn list(&mut self, items: &[(String, bool)], comma: &str) -> String {
        // From the last to the first: what may follow an item, and what may be the first.
        let (mut rest, mut first) = (String::new(), String::new());
        let mut must = false;
        for (item, required) in items.iter().rev() {
            let alone = format!("{item} {rest}");
            let begins = match (*required, first.is_empty()) {
                (true, _) | (false, true) => alone,
                (false, false) => format!("{alone} | {first}"),
            };
            first = self.rule(&begins);
            let follows = match required {
                true => format!("{comma} {item} {rest}"),
                false => format!("( {comma} {item} )? {rest}"),
            };
            rest = self.rule(&follows);
            must |= *required;
        }
        match (first.is_empty(), must) {
            (true, _) => String::new(),
            (false, true) => first,
            (false, false) => format!("( {first} )?"),
        }
    }

    fn item(&mut self, key: &str, schema: &Value, root: &Value) -> String {
        match self.arguments {
            Arguments::Parameters => {
                let value = self.parameter(schema, root);
                format!("{} {value}", quoted(&format!("<parameter={key}>\n")))
            }
            Arguments::Marked(_) => {
                format!(
                    "{} {}",
                    quoted(&format!("{key}:")),
                    self.value(schema, root)
                )
            }
            _ => format!(
                "{} {}",
                quoted(&format!("{key}=")),
                self.value(schema, root)
            ),
        }
    }

    /// A parameter's value and the mark that closes it.
    fn parameter(&mut self, schema: &Value, root: &Value) -> String {
        const CLOSE: &str = "\n</parameter>\n";
        if let Some(values) = constants(schema) {
            let texts: Vec<String> = values
                .iter()
                .map(|value| match value.as_str() {
                    Some(text) => quoted(text),
                    None => quoted(&value.to_string()),
                })
                .collect();
            return format!("( {} ) {}", texts.join(" | "), quoted(CLOSE));
        }
        if schema.get("type").and_then(Value::as_str) == Some("string") {
            return self.named_rule(&format!("[suffix={}]", quoted(CLOSE)), "/(.|\\n)*/");
        }
        format!("{} {}", self.json(schema, root), quoted(CLOSE))
    }

    fn value(&mut self, schema: &Value, root: &Value) -> String {
        let Arguments::Marked(quote) = self.arguments else {
            let kind = schema.get("type").and_then(Value::as_str);
            return match (constants(schema), kind) {
                (Some(values), _) => {
                    let texts: Vec<String> = values.iter().map(|it| quoted(&python(it))).collect();
                    format!("( {} )", texts.join(" | "))
                }
                (None, Some("boolean")) => "( \"True\" | \"False\" )".to_owned(),
                (None, Some("null")) => quoted("None"),
                _ => self.json(schema, root),
            };
        };
        if self.depth == MAX_DEPTH {
            return self.anything(quote);
        }
        self.depth += 1;
        let value = self.marked_value(quote, referred(schema, root), root);
        self.depth -= 1;
        value
    }

    fn marked_value(&mut self, quote: &str, schema: &Value, root: &Value) -> String {
        let kind = schema.get("type").and_then(Value::as_str);
        if let Some(values) = constants(schema)
            && values
                .iter()
                .all(|value| !value.is_object() && !value.is_array())
        {
            let texts: Vec<String> = values
                .iter()
                .map(|value| match value.as_str() {
                    Some(text) => self.text(&format!("{quote}{text}{quote}")),
                    None => quoted(&value.to_string()),
                })
                .collect();
            return format!("( {} )", texts.join(" | "));
        }
        match kind {
            Some("string") => self.marked_text(quote),
            Some("boolean" | "integer" | "number" | "null") => self.json(schema, root),
            Some("array") => {
                let item = match schema.get("items") {
                    Some(items) => self.value(items, root),
                    None => self.anything(quote),
                };
                let item = self.rule(&item);
                format!("\"[\" ( {item} ( \",\" {item} )* )? \"]\"")
            }
            Some("object") if schema.get("properties").is_some() => self.object(schema, root),
            _ => self.anything(quote),
        }
    }

    fn marked_text(&mut self, quote: &str) -> String {
        let open = self.text(quote);
        match (self.special)(quote) {
            Some(_) => format!("{open} TEXT {open}"),
            None => {
                let text = self.named_rule(&format!("[suffix={open}]"), "/(.|\\n)*/");
                format!("{open} {text}")
            }
        }
    }

    /// Any value between marks.
    fn anything(&mut self, quote: &str) -> String {
        let text = self.marked_text(quote);
        let name = format!("r{}", self.count);
        let key = "/[^,:{}\\[\\]<>|\\s]+/";
        let body = format!(
            "{text} | /-?(0|[1-9][0-9]*)(\\.[0-9]+)?/ | \"true\" | \"false\" | \"null\" \
             | \"[\" ( {name} ( \",\" {name} )* )? \"]\" \
             | \"{{\" ( {key} \":\" {name} ( \",\" {key} \":\" {name} )* )? \"}}\""
        );
        self.rule(&body)
    }
}

/// A literal in Lark: JSON's string.
fn quoted(text: &str) -> String {
    let text = Value::String(text.to_owned()).to_string();
    text.replace('\u{7f}', "\\u007f")
}

/// A value as Python writes it.
pub(super) fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}
