//! Grammars of calls, in Lark's syntax as llguidance reads it.

use std::fmt::Write;

use corbie_core::{ToolChoice, ToolSpec};
use serde_json::{Map, Value, json};

use super::Dialect;

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
        let mut lark = Lark {
            marks: row.marks,
            special,
            arguments: self.arguments,
            rules: String::new(),
            count: 0,
            depth: 0,
        };
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

/// Collects the rules of a grammar.
struct Lark<'a> {
    marks: &'static [&'static str],
    special: &'a dyn Fn(&str) -> Option<u32>,
    arguments: Arguments,
    rules: String,
    count: usize,
    /// How deep the value in hand lies.
    depth: usize,
}

/// Schemas are followed this deep; a recursive one has no end.
const MAX_DEPTH: usize = 8;

impl Lark<'_> {
    fn rule(&mut self, body: &str) -> String {
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
    fn text(&self, text: &str) -> String {
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
    fn object(&mut self, schema: &Value, root: &Value) -> String {
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

/// The only values that a schema allows, if it lists them.
fn constants(schema: &Value) -> Option<Vec<Value>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(values)), _) if !values.is_empty() => Some(values.clone()),
        (_, Some(value)) => Some(vec![value.clone()]),
        _ => None,
    }
}

/// The schema that a reference within `root` points to.
fn referred<'a>(mut schema: &'a Value, root: &'a Value) -> &'a Value {
    for _ in 0..MAX_DEPTH {
        let place = schema.get("$ref").and_then(Value::as_str);
        let Some(target) = place.and_then(|place| root.pointer(place.strip_prefix('#')?)) else {
            break;
        };
        schema = target;
    }
    schema
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

/// The schema of an object: what says nothing of a type means one.
fn as_object(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let says = ["type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"];
            let mut fields = fields.clone();
            if !says.iter().any(|key| fields.contains_key(*key)) {
                fields.insert("type".to_owned(), json!("object"));
            }
            Value::Object(fields)
        }
        _ => json!({ "type": "object" }),
    }
}

/// The schema without room for properties that it does not name: a tool knows no others.
fn closed(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    let mut closed_fields: Map<String, Value> = fields
        .iter()
        .map(|(key, value)| {
            let value = match key.as_str() {
                "properties" | "$defs" | "definitions" => closed_all(value),
                "items" | "additionalProperties" | "not" => closed(value),
                _ => value.clone(),
            };
            (key.clone(), value)
        })
        .collect();
    let combined = ["allOf", "anyOf", "oneOf", "$ref", "patternProperties"];
    if fields.contains_key("properties") && !combined.iter().any(|key| fields.contains_key(*key)) {
        closed_fields
            .entry("additionalProperties")
            .or_insert(Value::Bool(false));
    }
    Value::Object(closed_fields)
}

fn closed_all(schemas: &Value) -> Value {
    match schemas {
        Value::Object(fields) => {
            let closed = fields
                .iter()
                .map(|(key, value)| (key.clone(), closed(value)));
            Value::Object(closed.collect())
        }
        other => other.clone(),
    }
}
