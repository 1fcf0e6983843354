//! Which parts of a schema look at which parts of a value, and so what a check may cost.

use std::collections::HashMap;

use corbie_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value};

/// Longer ways through schema and value are not gone: each step is a few frames of the stack.
const MAX_HEIGHT: usize = 2_000;
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

/// Refuses references that lead out of the schema, or whose target depends on the way to them.
///
/// # Errors
///
/// [`Unsupported`](ErrorKind::Unsupported) with the reference.
pub fn check_references(what: &str, root: &Value) -> Result<()> {
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
pub struct Reach<'a> {
    root: &'a Value,
    /// `None`: on the way.
    known: HashMap<(*const Value, *const Value), Option<Cost>>,
}

impl<'a> Reach<'a> {
    pub fn new(root: &'a Value) -> Self {
        Self {
            root,
            known: HashMap::new(),
        }
    }

    /// The cost of checking `value` by `schema`, a part of the root; `None`: without bound, or
    /// over the limits.
    pub fn cost(&mut self, schema: &'a Value, value: &Value) -> Option<Cost> {
        self.step(schema, value, 0)
    }

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
