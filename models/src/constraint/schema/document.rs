//! A schema document: its parts by JSON pointer, and what `$ref` means in each place.

use std::collections::HashMap;

use serde_json::Value;

use super::Refusal;

/// Deeper schemas are refused before anything walks them.
const MAX_DEPTH: usize = 100;
/// Schemas with more values than this are refused.
const MAX_VALUES: usize = 200_000;
/// What relative references in a schema without `$id` start from.
const HERE: &str = "corbie:/schema";

/// Keywords whose value is one schema.
const ONE: [&str; 14] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "additionalItems",
    "items",
];
/// Keywords whose value is a list of schemas.
const MANY: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
/// Keywords whose value holds schemas by name.
const NAMED: [&str; 6] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
    "dependencies",
];

/// A schema with the places its references lead to.
pub struct Document {
    root: Value,
    /// Drafts 4 to 7, by its own words.
    pub old: bool,
    seems_old: bool,
    /// Drafts 2019-09 or 2020-12, by its own words.
    pub new: bool,
    /// Schemas by absolute URI, with a fragment where they have an anchor.
    places: HashMap<String, String>,
    /// The base URI of every schema that sets one, by pointer.
    bases: HashMap<String, String>,
    /// How many schemas carry a `$dynamicAnchor` of each name.
    dynamic: HashMap<String, usize>,
}

impl Document {
    pub fn new(root: &Value) -> Result<Self, Refusal> {
        measure(root)?;
        let dialect = root.get("$schema").and_then(Value::as_str).unwrap_or("");
        let old = dialect.contains("/draft-0");
        let new = dialect.contains("/2019-") || dialect.contains("/2020-");
        // Without `$schema` the names of the keywords tell, where it matters.
        let seems_old = old || (!new && root.get("definitions").is_some());
        let mut document = Self {
            root: root.clone(),
            old,
            seems_old,
            new,
            places: HashMap::new(),
            bases: HashMap::new(),
            dynamic: HashMap::new(),
        };
        document.places.insert(HERE.to_owned(), String::new());
        document.index(root, String::new(), HERE.to_owned());
        Ok(document)
    }

    /// The value at `pointer`.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        self.root.pointer(pointer)
    }

    fn index(&mut self, schema: &Value, pointer: String, mut base: String) {
        let Some(object) = schema.as_object() else {
            return;
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        // Beside `$ref` the older drafts see nothing.
        let alone = self.seems_old && object.contains_key("$ref");
        if let Some(id) = text("$id").or_else(|| text("id")).filter(|_| !alone) {
            let id = resolve(&base, id);
            let (resource, fragment) = id.split_once('#').unwrap_or((&id, ""));
            if fragment.is_empty() {
                base = resource.to_owned();
                self.places.insert(base.clone(), pointer.clone());
            } else {
                self.places.insert(id.clone(), pointer.clone());
            }
        }
        for key in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = text(key).filter(|_| !alone) {
                self.places
                    .insert(format!("{base}#{name}"), pointer.clone());
                if key == "$dynamicAnchor" {
                    *self.dynamic.entry(name.to_owned()).or_default() += 1;
                }
            }
        }
        self.bases.insert(pointer.clone(), base.clone());
        for (key, value) in object {
            let below = format!("{pointer}/{}", step(key));
            let key = key.as_str();
            match value {
                Value::Object(_) if ONE.contains(&key) => self.index(value, below, base.clone()),
                Value::Array(list) if MANY.contains(&key) => {
                    for (index, value) in list.iter().enumerate() {
                        self.index(value, format!("{below}/{index}"), base.clone());
                    }
                }
                Value::Object(named) if NAMED.contains(&key) => {
                    for (name, value) in named {
                        self.index(value, format!("{below}/{}", step(name)), base.clone());
                    }
                }
                _ => {}
            }
        }
    }

    fn base(&self, pointer: &str) -> String {
        let mut pointer = pointer;
        loop {
            if let Some(base) = self.bases.get(pointer) {
                return base.clone();
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return HERE.to_owned(),
            }
        }
    }

    /// The pointer to what `reference`, written at `pointer`, means; the error says why nothing.
    pub fn resolve(&self, pointer: &str, reference: &str) -> Result<String, String> {
        let target = resolve(&self.base(pointer), reference);
        let (resource, fragment) = target.split_once('#').unwrap_or((&target, ""));
        if !fragment.is_empty() && !fragment.starts_with('/') {
            let place = self.places.get(&target).cloned();
            return place.ok_or_else(|| format!("`{reference}` is not in the schema"));
        }
        let place = self.places.get(resource).ok_or_else(|| {
            format!("`{reference}` is outside the schema, and nothing is fetched")
        })?;
        let found = format!("{place}{}", decode(fragment));
        match self.root.pointer(&found) {
            Some(Value::Object(_) | Value::Bool(_)) => Ok(found),
            _ => Err(format!("`{reference}` is no schema")),
        }
    }

    /// Where a `$dynamicRef` leads, where that does not depend on the way there.
    pub fn resolve_dynamic(&self, pointer: &str, reference: &str) -> Result<String, String> {
        let found = self.resolve(pointer, reference)?;
        let fragment = reference
            .split_once('#')
            .map_or("", |(_, fragment)| fragment);
        let anchor = self
            .root
            .pointer(&found)
            .and_then(|schema| schema.get("$dynamicAnchor"))
            .and_then(Value::as_str);
        match anchor {
            Some(name) if name == fragment && self.dynamic.get(name) != Some(&1) => Err(format!(
                "`{reference}` has several targets, by the way that leads there"
            )),
            _ => Ok(found),
        }
    }
}

/// Refuses documents too large or too deep to walk.
fn measure(root: &Value) -> Result<(), Refusal> {
    let mut waiting = vec![(root, 0)];
    let mut values = 0;
    while let Some((value, depth)) = waiting.pop() {
        values += 1;
        if depth > MAX_DEPTH || values > MAX_VALUES {
            return Err(Refusal::limit(format!(
                "it has more than {MAX_DEPTH} levels or {MAX_VALUES} values"
            )));
        }
        match value {
            Value::Array(list) => waiting.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => waiting.extend(map.values().map(|value| (value, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// A key as a step of a JSON pointer.
pub fn step(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Percent-decodes.
fn decode(fragment: &str) -> String {
    let bytes = fragment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let pair = fragment.get(index + 1..index + 3);
        match (bytes[index], pair.map(|pair| u8::from_str_radix(pair, 16))) {
            (b'%', Some(Ok(byte))) => {
                decoded.push(byte);
                index += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// RFC 3986, section 5.2, for the references that schemas have.
fn resolve(base: &str, reference: &str) -> String {
    let (base, _) = base.split_once('#').unwrap_or((base, ""));
    if reference.is_empty() {
        return base.to_owned();
    }
    if reference.starts_with('#') {
        return match reference {
            "#" => base.to_owned(),
            _ => format!("{base}{reference}"),
        };
    }
    let scheme = |uri: &str| {
        let end = uri.find(':')?;
        let name = &uri[..end];
        let valid = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            && name.starts_with(|c: char| c.is_ascii_alphabetic());
        valid.then_some(end + 1)
    };
    if scheme(reference).is_some() {
        return reference.trim_end_matches('#').to_owned();
    }
    let start = scheme(base).unwrap_or(0);
    let authority = match base[start..].strip_prefix("//") {
        Some(rest) => start + 2 + rest.find('/').unwrap_or(rest.len()),
        None => start,
    };
    if reference.starts_with("//") {
        return format!("{}{reference}", &base[..start]);
    }
    let (path, rest) = match reference.find(['#', '?']) {
        Some(end) => reference.split_at(end),
        None => (reference, ""),
    };
    let merged = match path.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => {
            let old = base[authority..].trim_start_matches('/');
            let folder = old.rfind('/').map_or("", |end| &old[..=end]);
            format!("{folder}{path}")
        }
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in merged.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    format!(
        "{}/{}{}",
        &base[..authority],
        parts.join("/"),
        rest.trim_end_matches('#')
    )
}
