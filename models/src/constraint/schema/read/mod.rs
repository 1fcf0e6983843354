//! What a schema says: every keyword as the cases in which it holds, or does not.
//!
//! A schema becomes a list of [`Case`]s, any of which a value may satisfy. Where a keyword's
//! opposite cannot be written down it is left out: fewer values are generated then, never wrong
//! ones.

mod bounds;
mod cases;
mod combination;
mod items;
mod keyword;
mod members;
mod values;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use serde_json::{Map, Value};

use super::Refusal;
use super::document::Document;
use super::pattern::Pattern;
use super::shape::{Case, Claim, Demand};
use items::closed_array;
use members::closed_object;

/// Schemas whose keywords combine to more cases are refused.
const MAX_CASES: usize = 400;
/// Meetings of two cases, for the whole schema.
const MAX_WORK: usize = 200_000;
/// `$ref` upon `$ref` upon schema, without a value between.
const MAX_NESTING: usize = 120;

/// Keywords that say nothing about values, or that others speak for.
const SILENT: [&str; 33] = [
    "$schema",
    "$id",
    "id",
    "$anchor",
    "$dynamicAnchor",
    "$defs",
    "definitions",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "example",
    "readOnly",
    "writeOnly",
    "deprecated",
    "contentEncoding",
    "contentSchema",
    "then",
    "else",
    "prefixItems",
    "additionalItems",
    "patternProperties",
    "additionalProperties",
    "minContains",
    "maxContains",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "unevaluatedItems",
    "unevaluatedProperties",
    "$recursiveAnchor",
    "x-order",
    "nullable",
];

/// Keywords that are read together, by the one they are read at.
const GROUPS: [(&str, &[&str]); 7] = [
    ("contentMediaType", &["contentEncoding"]),
    ("items", &["prefixItems", "additionalItems"]),
    ("properties", &["patternProperties", "additionalProperties"]),
    ("minimum", &["exclusiveMinimum"]),
    ("maximum", &["exclusiveMaximum"]),
    ("if", &[]),
    ("contains", &[]),
];

/// A schema, or a part of one, or one made up on the way.
struct Entry {
    value: Rc<Value>,
    pointer: String,
}

/// Reads a document's schemas as they are asked for.
pub struct Reader {
    document: Document,
    entries: Vec<Entry>,
    by_pointer: HashMap<String, usize>,
    by_value: HashMap<String, usize>,
    known: HashMap<Claim, Rc<Vec<Case>>>,
    open: HashSet<Claim>,
    patterns: HashMap<String, Rc<Pattern>>,
    work: usize,
}

type Cases = Result<Vec<Case>, Refusal>;

impl Reader {
    pub fn new(document: Document) -> Self {
        Self {
            document,
            entries: Vec::new(),
            by_pointer: HashMap::new(),
            by_value: HashMap::new(),
            known: HashMap::new(),
            open: HashSet::new(),
            patterns: HashMap::new(),
            work: 0,
        }
    }

    /// The claim that the schema at `pointer` holds.
    pub fn claim(&mut self, pointer: &str) -> Claim {
        let next = self.entries.len();
        let schema = *self.by_pointer.entry(pointer.to_owned()).or_insert(next);
        if schema == next {
            let value = self
                .document
                .at(pointer)
                .cloned()
                .unwrap_or(Value::Bool(true));
            self.entries.push(Entry {
                value: Rc::new(value),
                pointer: pointer.to_owned(),
            });
        }
        Claim {
            schema,
            holds: true,
        }
    }

    /// The claim that a made-up schema without references holds, spoken of as `pointer`.
    fn made(&mut self, value: Value, pointer: &str) -> Claim {
        let next = self.entries.len();
        let schema = *self.by_value.entry(value.to_string()).or_insert(next);
        if schema == next {
            self.entries.push(Entry {
                value: Rc::new(value),
                pointer: pointer.to_owned(),
            });
        }
        Claim {
            schema,
            holds: true,
        }
    }

    /// Where a claim's schema stands.
    pub fn pointer(&self, claim: Claim) -> &str {
        &self.entries[claim.schema].pointer
    }

    /// All ways to satisfy `demand`.
    pub fn cases(&mut self, demand: &Demand) -> Cases {
        let mut cases = vec![Case::any()];
        for claim in demand {
            let of = self.of(*claim)?;
            cases = self.product(&cases, &of, &self.entries[claim.schema].pointer.clone())?;
        }
        Ok(cases)
    }

    fn product(&mut self, left: &[Case], right: &[Case], pointer: &str) -> Cases {
        self.work += left.len() * right.len();
        if self.work > MAX_WORK {
            return Err(Refusal::limit("its keywords combine in too many ways").at(pointer));
        }
        let cases: Vec<Case> = left
            .iter()
            .flat_map(|left| right.iter().map(|right| left.meet(right)))
            .filter(|case| !case.is_none())
            .collect();
        match cases.len() > MAX_CASES {
            true => Err(Refusal::limit("its keywords combine in too many ways").at(pointer)),
            false => Ok(cases),
        }
    }

    fn of(&mut self, claim: Claim) -> Result<Rc<Vec<Case>>, Refusal> {
        if let Some(cases) = self.known.get(&claim) {
            return Ok(cases.clone());
        }
        let pointer = self.entries[claim.schema].pointer.clone();
        if !self.open.insert(claim) {
            return Err(Refusal::unsupported("$ref", "it leads back to itself").at(&pointer));
        }
        if self.open.len() > MAX_NESTING {
            return Err(Refusal::limit("its references are nested too deeply").at(&pointer));
        }
        let value = self.entries[claim.schema].value.clone();
        let cases = match (&*value, claim.holds) {
            (Value::Bool(wanted), holds) if *wanted == holds => Ok(vec![Case::any()]),
            (Value::Bool(_), _) => Ok(Vec::new()),
            (Value::Object(schema), true) => self.holding(schema, &pointer),
            (Value::Object(schema), false) => self.failing(schema, &pointer),
            _ => Err(Refusal::malformed("a schema is an object or a boolean").at(&pointer)),
        };
        self.open.remove(&claim);
        let cases = Rc::new(cases?);
        self.known.insert(claim, cases.clone());
        Ok(cases)
    }

    /// The keywords that speak, with those read elsewhere taken out.
    fn keywords<'a>(&self, schema: &'a Map<String, Value>) -> Vec<&'a str> {
        if self.document.old && schema.contains_key("$ref") {
            return vec!["$ref"];
        }
        let mut keys: Vec<&str> = schema.keys().map(String::as_str).collect();
        for (leader, others) in GROUPS {
            let follows = others.iter().any(|other| schema.contains_key(*other));
            if follows && !schema.contains_key(leader) {
                keys.push(leader);
            }
        }
        keys.retain(|key| !SILENT.contains(key));
        // Kinds and listed values first: the fewer cases, the less work.
        keys.sort_by_key(|key| !matches!(*key, "type" | "const" | "enum"));
        keys
    }

    fn holding(&mut self, schema: &Map<String, Value>, pointer: &str) -> Cases {
        let mut cases = vec![Case::any()];
        for key in self.keywords(schema) {
            if let Some(of) = self.keyword(schema, key, pointer, true)? {
                cases = self.product(&cases, &of, pointer)?;
            }
        }
        if self.document.old {
            return Ok(cases);
        }
        if schema.contains_key("unevaluatedProperties") {
            let claim = self.claim(&format!("{pointer}/unevaluatedProperties"));
            for case in &mut cases {
                case.object = case
                    .object
                    .take()
                    .map(|object| closed_object(&object, claim));
            }
        }
        if schema.contains_key("unevaluatedItems") {
            let claim = self.claim(&format!("{pointer}/unevaluatedItems"));
            for case in &mut cases {
                case.array = case.array.take().map(|array| closed_array(&array, claim));
            }
        }
        Ok(cases)
    }

    fn failing(&mut self, schema: &Map<String, Value>, pointer: &str) -> Cases {
        let mut cases = Vec::new();
        for key in self.keywords(schema) {
            cases.extend(
                self.keyword(schema, key, pointer, false)?
                    .into_iter()
                    .flatten(),
            );
        }
        match cases.len() > MAX_CASES {
            true => Err(Refusal::limit("its keywords combine in too many ways").at(pointer)),
            false => Ok(cases),
        }
    }

    fn pattern(&mut self, source: &str, key: &str, pointer: &str) -> Result<Rc<Pattern>, Refusal> {
        if let Some(pattern) = self.patterns.get(source) {
            return Ok(pattern.clone());
        }
        let refuse = |why: String| {
            Refusal::unsupported(key, format!("the pattern `{source}`: {why}")).at(pointer)
        };
        let pattern = Pattern::parse(source).map_err(refuse)?;
        pattern.quoted().map_err(refuse)?;
        let pattern = Rc::new(pattern);
        self.patterns.insert(source.to_owned(), pattern.clone());
        Ok(pattern)
    }
}
