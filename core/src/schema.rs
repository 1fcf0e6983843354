//! What JSON Schemas from outside may cost: bounds that hold before anything compiles or walks one.
//!
//! Schemas come from tool servers and callers. [`check`] refuses what is too large, what refers to
//! places outside of it, and what multiplies without end; nothing is ever fetched.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{Error, ErrorKind, Result};

/// Deeper schemas are refused.
pub const MAX_DEPTH: usize = 100;
/// Schemas of more values are refused.
pub const MAX_VALUES: usize = 50_000;
/// The most schemas that may look at a value and its parts, each as often as a way leads to it.
pub const MAX_VISITS: u64 = 10_000_000;
/// The most schemas that look at a value while what is wrong with it is listed.
pub const MAX_VISITS_TO_LIST: u64 = 200_000;
/// Longer ways through schema and value are not gone: each step is a few frames of the stack.
pub const MAX_HEIGHT: usize = 2_000;
/// More pairs of a schema and a value are not checked.
const MAX_PAIRS: usize = 300_000;

/// Stands for the name of a property, which has no parts.
static NAME: Value = Value::Null;

/// What the schemas below a keyword look at.
#[derive(Clone, Copy, PartialEq)]
enum Looks {
    /// At the value itself.
    Here,
    /// At parts of it, or nowhere.
    Within,
}

/// Keywords whose value is a schema, or a list of them.
const PLAIN: [(&str, Looks); 15] = [
    ("not", Looks::Here),
    ("if", Looks::Here),
    ("then", Looks::Here),
    ("else", Looks::Here),
    ("allOf", Looks::Here),
    ("anyOf", Looks::Here),
    ("oneOf", Looks::Here),
    ("items", Looks::Within),
    ("prefixItems", Looks::Within),
    ("additionalItems", Looks::Within),
    ("contains", Looks::Within),
    ("additionalProperties", Looks::Within),
    ("propertyNames", Looks::Within),
    ("unevaluatedItems", Looks::Within),
    ("unevaluatedProperties", Looks::Within),
];
/// Keywords whose value holds schemas by name.
const NAMED: [(&str, Looks); 6] = [
    ("dependentSchemas", Looks::Here),
    ("dependencies", Looks::Here),
    ("properties", Looks::Within),
    ("patternProperties", Looks::Within),
    ("$defs", Looks::Within),
    ("definitions", Looks::Within),
];

/// The schemas of a keyword and what they look at.
fn below<'a>(key: &str, value: &'a Value) -> Option<(Looks, Vec<&'a Value>)> {
    let of = |table: &[(&str, Looks)]| table.iter().find(|row| row.0 == key).map(|row| row.1);
    if let Some(looks) = of(&PLAIN) {
        let schemas = match value {
            Value::Array(list) => list.iter().collect(),
            schema => vec![schema],
        };
        return Some((looks, schemas));
    }
    let looks = of(&NAMED)?;
    let schemas = value.as_object().into_iter().flat_map(Map::values);
    Some((looks, schemas.collect()))
}

/// Refuses a schema that is too large, refers to what lies outside of it, or multiplies. `what`
/// names it in the error.
///
/// Its references may make it walk [`MAX_HEIGHT`] steps deep: call it where the stack holds some
/// megabytes, unless the schema [has none](has_references).
///
/// ```
/// use corbie_core::schema;
/// use serde_json::json;
///
/// assert!(schema::check("tool `a`", &json!({"type": "object"})).is_ok());
/// let remote = json!({"$ref": "http://evil.test/schema.json"});
/// assert!(schema::check("tool `a`", &remote).is_err());
/// ```
///
/// # Errors
///
/// [`LimitExceeded`](ErrorKind::LimitExceeded) for one too large,
/// [`Unsupported`](ErrorKind::Unsupported) for references that lead out of it or depend on where
/// they are met.
pub fn check(what: &str, root: &Value) -> Result<()> {
    measure(what, root)?;
    check_references(what, root)?;
    // What looks at a value without parts looks at every value.
    match cost(root, &Value::Null).is_some_and(|cost| cost.visits <= MAX_VISITS) {
        true => Ok(()),
        false => {
            let why = "its references multiply, or never end";
            Err(Error::new(ErrorKind::LimitExceeded, what, why))
        }
    }
}

/// What checking `value` by the schema `root` may cost; `None`: without bound, or over the limits.
pub fn cost(root: &Value, value: &Value) -> Option<Cost> {
    let mut reach = Reach {
        root,
        known: HashMap::new(),
    };
    reach.step(root, value, 0)
}

/// Refuses schemas too large or too deep to walk.
///
/// # Errors
///
/// [`LimitExceeded`](ErrorKind::LimitExceeded) with the limits.
pub fn measure(what: &str, root: &Value) -> Result<()> {
    let mut waiting = vec![(root, 0)];
    let mut values = 0;
    while let Some((value, depth)) = waiting.pop() {
        values += 1;
        if depth > MAX_DEPTH || values > MAX_VALUES {
            let why = format!("it has more than {MAX_DEPTH} levels or {MAX_VALUES} values");
            return Err(Error::new(ErrorKind::LimitExceeded, what, why));
        }
        match value {
            Value::Array(list) => waiting.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => waiting.extend(map.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// Whether any part of a schema refers to another: without references a check costs no more than
/// the schema and the value are large.
pub fn has_references(root: &Value) -> bool {
    let mut waiting = vec![root];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(list) => waiting.extend(list),
            Value::Object(map) if map.contains_key("$ref") => return true,
            Value::Object(map) => waiting.extend(map.values()),
            _ => {}
        }
    }
    false
}

/// Refuses references that lead out of the schema, or whose target depends on the way to them.
fn check_references(what: &str, root: &Value) -> Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::Unsupported, what, why));
    let mut waiting = vec![root];
    while let Some(schema) = waiting.pop() {
        let Value::Object(keywords) = schema else {
            continue;
        };
        for (key, value) in keywords {
            match (key.as_str(), value) {
                ("$ref", Value::String(reference)) if target(root, reference).is_none() => {
                    return refuse(format!(
                        "its reference `{reference}` leads to no part of it"
                    ));
                }
                ("$dynamicRef" | "$recursiveRef", _) => {
                    return refuse(format!("`{key}` cannot be checked"));
                }
                ("$id", Value::String(_)) if !std::ptr::eq(schema, root) => {
                    return refuse("`$id` within a schema cannot be checked".to_owned());
                }
                _ => {}
            }
            waiting.extend(
                below(key, value)
                    .into_iter()
                    .flat_map(|(_, schemas)| schemas),
            );
        }
    }
    Ok(())
}

/// The schema that a reference within `root` leads to.
fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let own = root.get("$id").and_then(Value::as_str).unwrap_or("");
    let fragment = match reference.strip_prefix('#') {
        Some(fragment) => fragment,
        None => {
            let rest = reference.strip_prefix(own.trim_end_matches('#'))?;
            rest.strip_prefix('#').unwrap_or(rest)
        }
    };
    match fragment.is_empty() {
        true => Some(root),
        // What needs decoding is rare, and refused.
        false => root.pointer(fragment).filter(|_| !fragment.contains('%')),
    }
}

/// What checking one value by one schema may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// How many schemas look at the value or at parts of it, each as often as a way leads to it.
    pub visits: u64,
    /// The longest way.
    pub height: usize,
}

/// Reckons costs, each pair of schema and value once.
struct Reach<'a> {
    root: &'a Value,
    /// `None`: on the way.
    known: HashMap<(*const Value, *const Value), Option<Cost>>,
}

impl<'a> Reach<'a> {
    fn step(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Option<Cost> {
        let pair = (std::ptr::from_ref(schema), std::ptr::from_ref(value));
        if let Some(known) = self.known.get(&pair) {
            // On the way to itself a schema never comes to an end.
            return known.filter(|cost| cost.height + depth <= MAX_HEIGHT);
        }
        if depth > MAX_HEIGHT || self.known.len() >= MAX_PAIRS {
            return None;
        }
        self.known.insert(pair, None);
        let mut sum = Cost {
            visits: 1,
            height: 0,
        };
        let mut add = |reach: &mut Self, schema: &'a Value, value: &Value| {
            let cost = reach.step(schema, value, depth + 1)?;
            sum.visits = sum.visits.saturating_add(cost.visits);
            sum.height = sum.height.max(cost.height + 1);
            Some(())
        };
        for (key, below_it) in schema.as_object().into_iter().flatten() {
            match (key.as_str(), value) {
                ("$ref", _) => {
                    let target = below_it.as_str().and_then(|it| target(self.root, it));
                    add(self, target?, value)?;
                }
                ("properties", Value::Object(fields)) => {
                    for (name, schema) in below_it.as_object().into_iter().flatten() {
                        if let Some(field) = fields.get(name) {
                            add(self, schema, field)?;
                        }
                    }
                }
                ("items" | "prefixItems", Value::Array(items)) if below_it.is_array() => {
                    let schemas = below_it.as_array().into_iter().flatten();
                    for (schema, item) in schemas.zip(items) {
                        add(self, schema, item)?;
                    }
                }
                ("propertyNames", Value::Object(fields)) => {
                    for _ in fields {
                        add(self, below_it, &NAME)?;
                    }
                }
                ("$defs" | "definitions", _) => {}
                _ => {
                    let Some((looks, schemas)) = below(key, below_it) else {
                        continue;
                    };
                    for schema in schemas {
                        match (looks, value) {
                            (Looks::Here, _) => add(self, schema, value)?,
                            (Looks::Within, Value::Array(items)) => {
                                for item in items {
                                    add(self, schema, item)?;
                                }
                            }
                            (Looks::Within, Value::Object(fields)) => {
                                for field in fields.values() {
                                    add(self, schema, field)?;
                                }
                            }
                            _ => {}
                        }
                    }
                }
            }
        }
        self.known.insert(pair, Some(sum));
        Some(sum)
    }
}
