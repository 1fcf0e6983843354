//! What a schema says: every keyword as the cases in which it holds, or does not.
//!
//! A schema becomes a list of [`Case`]s, any of which a value may satisfy. Where a keyword's
//! opposite cannot be written down it is left out: fewer values are generated then, never wrong
//! ones.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::Refusal;
use super::document::{Document, step};
use super::format;
use super::number::{Bound, Decimal, Range};
use super::pattern::Pattern;
use super::shape::{Arrays, Case, Claim, Demand, Layer, Numbers, Objects, Row, Strings};

/// Schemas whose keywords combine to more cases are refused.
const MAX_CASES: usize = 400;
/// Values that one `enum` may list.
const MAX_VALUES: usize = 5_000;
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

    /// Where `key` holds, or fails; `None`: everywhere, or nowhere that could be said.
    fn keyword(
        &mut self,
        schema: &Map<String, Value>,
        key: &str,
        pointer: &str,
        holds: bool,
    ) -> Result<Option<Vec<Case>>, Refusal> {
        let null = Value::Null;
        let value = schema.get(key).unwrap_or(&null);
        let here = format!("{pointer}/{}", step(key));
        let wrong = |what: &str| Refusal::malformed(format!("`{key}` must be {what}")).at(pointer);
        let texts = |value: &Value| -> Option<Vec<String>> {
            let list = value.as_array()?.iter();
            list.map(|text| text.as_str().map(str::to_owned)).collect()
        };
        Ok(Some(match key {
            "type" => {
                let types = match value {
                    Value::String(one) => vec![one.clone()],
                    _ => texts(value).ok_or_else(|| wrong("a type or a list of types"))?,
                };
                types_case(&types, holds).ok_or_else(|| wrong("a type or a list of types"))?
            }
            "const" => self.values(std::slice::from_ref(value), &here, holds)?,
            "enum" => {
                let values = value.as_array().ok_or_else(|| wrong("a list"))?;
                if values.len() > MAX_VALUES {
                    let why = format!("it lists more than {MAX_VALUES} values");
                    return Err(Refusal::limit(why).at(&here));
                }
                self.values(values, &here, holds)?
            }
            "$ref" | "$dynamicRef" => {
                let reference = value.as_str().ok_or_else(|| wrong("a text"))?;
                let found = match key {
                    "$ref" => self.document.resolve(pointer, reference),
                    _ => self.document.resolve_dynamic(pointer, reference),
                };
                let found = found.map_err(|why| Refusal::unsupported(key, why).at(pointer))?;
                let claim = self.claim(&found);
                self.of(Claim { holds, ..claim })?.to_vec()
            }
            "$recursiveRef" => {
                return Err(Refusal::unsupported(key, "use `$ref`").at(pointer));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let parts = value.as_array().ok_or_else(|| wrong("a list of schemas"))?;
                let claims: Vec<Claim> = (0..parts.len())
                    .map(|index| self.claim(&format!("{here}/{index}")))
                    .collect();
                self.combination(key, &claims, pointer, holds)?
            }
            "not" => {
                let claim = self.claim(&here);
                self.of(Claim {
                    holds: !holds,
                    ..claim
                })?
                .to_vec()
            }
            "if" => {
                let condition = self.claim(&here);
                let mut cases = Vec::new();
                for (branch, when) in [("then", true), ("else", false)] {
                    let branch = schema.contains_key(branch).then(|| {
                        let claim = self.claim(&format!("{pointer}/{branch}"));
                        Claim { holds, ..claim }
                    });
                    if branch.is_none() && !holds {
                        continue;
                    }
                    let mut demand = Demand::from([Claim {
                        holds: when,
                        ..condition
                    }]);
                    demand.extend(branch);
                    cases.extend(self.cases(&demand)?);
                }
                cases
            }
            "minimum" | "maximum" | "multipleOf" => {
                return self.number(schema, key, pointer, holds);
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" => {
                let size = whole(value).ok_or_else(|| wrong("a whole number from zero up"))?;
                size_case(key, size, holds)
            }
            "pattern" => {
                let source = value.as_str().ok_or_else(|| wrong("a text"))?;
                let pattern = self.pattern(source, "pattern", pointer)?;
                kind(
                    holds,
                    Case::strings(Strings {
                        patterns: vec![(pattern, holds)],
                        ..Strings::default()
                    }),
                )
            }
            "format" => {
                let name = value.as_str().ok_or_else(|| wrong("a text"))?;
                match format::regex(name).filter(|_| holds) {
                    Some(regex) => kind(
                        true,
                        Case::strings(Strings {
                            formats: vec![regex],
                            ..Strings::default()
                        }),
                    ),
                    None => return Ok(None),
                }
            }
            "contentMediaType" => {
                // The newer drafts take it for a remark.
                let encoding = schema.get("contentEncoding").and_then(Value::as_str);
                let regex = format::content(value.as_str(), encoding);
                match regex.filter(|_| holds && !self.document.new) {
                    Some(regex) => kind(
                        true,
                        Case::strings(Strings {
                            formats: vec![regex],
                            ..Strings::default()
                        }),
                    ),
                    None => return Ok(None),
                }
            }
            "items" => return self.items(schema, pointer, holds).map(Some),
            "contains" => {
                let claim = self.claim(&here);
                let limit = |key: &str| {
                    schema
                        .get(key)
                        .and_then(whole)
                        .filter(|_| !self.document.old)
                };
                contains_cases(
                    claim,
                    limit("minContains").unwrap_or(1),
                    limit("maxContains"),
                    holds,
                )
            }
            "uniqueItems" => match (value, holds) {
                (Value::Bool(true), true) => kind(
                    true,
                    Case::arrays(Arrays {
                        unique: true,
                        ..Arrays::default()
                    }),
                ),
                _ => return Ok(None),
            },
            "properties" => return self.members(schema, pointer, holds).map(Some),
            "required" => {
                // In draft 3 it was a boolean.
                let Some(names) = texts(value) else {
                    return Ok(None);
                };
                match holds {
                    true => kind(
                        true,
                        Case::objects(Objects {
                            required: names.into_iter().collect(),
                            ..Objects::default()
                        }),
                    ),
                    false => names.into_iter().map(without).collect(),
                }
            }
            "propertyNames" => match holds {
                true => {
                    let names = Demand::from([self.claim(&here)]);
                    kind(
                        true,
                        Case::objects(Objects {
                            names,
                            ..Objects::default()
                        }),
                    )
                }
                false => return Ok(None),
            },
            "dependentRequired" | "dependentSchemas" | "dependencies" => {
                let of = value.as_object().ok_or_else(|| wrong("an object"))?;
                self.dependencies(of, &here, holds)?
            }
            _ => return Ok(None),
        }))
    }

    fn combination(&mut self, key: &str, claims: &[Claim], pointer: &str, holds: bool) -> Cases {
        let all = |holds: bool| claims.iter().map(move |claim| Claim { holds, ..*claim });
        match (key, holds) {
            ("allOf", true) | ("anyOf", false) => {
                let demand: Demand = all(key == "allOf").collect();
                self.cases(&demand)
            }
            ("oneOf", _) => {
                let mut cases = Vec::new();
                if !holds {
                    cases.extend(self.cases(&all(false).collect())?);
                }
                for (index, claim) in claims.iter().enumerate() {
                    if holds {
                        let mut demand: Demand = all(false).collect();
                        demand.remove(&Claim {
                            holds: false,
                            ..*claim
                        });
                        if demand.len() + 1 < claims.len() {
                            // The same schema twice never holds once.
                            continue;
                        }
                        demand.insert(*claim);
                        cases.extend(self.cases(&demand)?);
                    } else {
                        for other in &claims[index + 1..] {
                            cases.extend(self.cases(&Demand::from([*claim, *other]))?);
                        }
                    }
                }
                Ok(cases)
            }
            _ => {
                let mut cases = Vec::new();
                for claim in all(holds) {
                    cases.extend(self.of(claim)?.iter().cloned());
                    if cases.len() > MAX_CASES {
                        let why = "its keywords combine in too many ways";
                        return Err(Refusal::limit(why).at(pointer));
                    }
                }
                Ok(cases)
            }
        }
    }

    /// Values that are listed, or all others.
    fn values(&mut self, values: &[Value], pointer: &str, holds: bool) -> Cases {
        let (mut numbers, mut strings) = (Vec::new(), Vec::new());
        let mut plain = if holds { Case::none() } else { Case::any() };
        let mut nested = Vec::new();
        for value in values {
            match value {
                Value::Null => plain.null = holds,
                Value::Bool(value) => plain.booleans[usize::from(*value)] = holds,
                Value::Number(number) => numbers.push(number.clone()),
                Value::String(text) => strings.push(text.clone()),
                Value::Array(_) | Value::Object(_) => nested.push(value),
            }
        }
        if holds {
            if !numbers.is_empty() {
                plain.number = Some(Rc::new(Numbers {
                    one_of: Some(numbers),
                    ..Numbers::default()
                }));
            }
            if !strings.is_empty() {
                plain.string = Some(Rc::new(Strings {
                    one_of: Some(strings),
                    ..Strings::default()
                }));
            }
            let mut cases = vec![plain];
            for value in nested {
                cases.push(self.exactly(value, pointer));
            }
            cases.retain(|case| !case.is_none());
            return Ok(cases);
        }
        plain.number = Some(Rc::new(Numbers {
            none_of: numbers,
            ..Numbers::default()
        }));
        plain.string = Some(Rc::new(Strings {
            none_of: strings,
            ..Strings::default()
        }));
        let mut cases = vec![plain];
        for value in nested {
            let others = self.other_than(value, pointer);
            cases = self.product(&cases, &others, pointer)?;
        }
        Ok(cases)
    }

    /// An array or an object, as it is.
    fn exactly(&mut self, value: &Value, pointer: &str) -> Case {
        let nothing = self.made(Value::Bool(false), pointer);
        match value {
            Value::Array(items) => Case::arrays(Arrays {
                least: items.len() as u64,
                most: Some(items.len() as u64),
                rows: vec![Row {
                    first: items
                        .iter()
                        .map(|item| Demand::from([self.made(json!({"const": item}), pointer)]))
                        .collect(),
                    rest: Some(Demand::from([nothing])),
                    evaluates: false,
                }],
                ..Arrays::default()
            }),
            Value::Object(members) => Case::objects(Objects {
                required: members.keys().cloned().collect(),
                layers: vec![Layer {
                    named: members
                        .iter()
                        .map(|(name, value)| {
                            let claim = self.made(json!({"const": value}), pointer);
                            (name.clone(), Demand::from([claim]))
                        })
                        .collect(),
                    others: Some(Demand::from([nothing])),
                    ..Layer::default()
                }],
                ..Objects::default()
            }),
            _ => Case::none(),
        }
    }

    /// Everything but this array or object.
    fn other_than(&mut self, value: &Value, pointer: &str) -> Vec<Case> {
        let mut cases = Vec::new();
        let different = |reader: &mut Self, part: &Value| Claim {
            holds: false,
            ..reader.made(json!({"const": part}), pointer)
        };
        match value {
            Value::Array(items) => {
                cases.push(Case {
                    array: None,
                    ..Case::any()
                });
                cases.extend(size_case("minItems", items.len() as u64, false));
                cases.extend(size_case("maxItems", items.len() as u64, false));
                for (index, item) in items.iter().enumerate() {
                    let mut first = vec![Demand::new(); index];
                    first.push(Demand::from([different(self, item)]));
                    cases.push(has_items(first));
                }
            }
            Value::Object(members) => {
                cases.push(Case {
                    object: None,
                    ..Case::any()
                });
                cases.extend(size_case("maxProperties", members.len() as u64, false));
                for (name, member) in members {
                    cases.push(without(name.clone()));
                    let claim = different(self, member);
                    cases.push(with(name.clone(), claim));
                }
            }
            _ => {}
        }
        cases
    }

    fn number(
        &mut self,
        schema: &Map<String, Value>,
        key: &str,
        pointer: &str,
        holds: bool,
    ) -> Result<Option<Vec<Case>>, Refusal> {
        let decimal = |key: &str| -> Result<Option<Decimal>, Refusal> {
            match schema.get(key) {
                None | Some(Value::Bool(_)) => Ok(None),
                Some(value) => match value.as_number().and_then(Decimal::of) {
                    Some(decimal) => Ok(Some(decimal)),
                    None => {
                        Err(Refusal::malformed(format!("`{key}` must be a number")).at(pointer))
                    }
                },
            }
        };
        let of = |range: Range| {
            Case::numbers(Numbers {
                range,
                ..Numbers::default()
            })
        };
        if key == "multipleOf" {
            let Some(divisor) = decimal(key)? else {
                return Ok(None);
            };
            if divisor <= Decimal::zero() {
                return Err(Refusal::malformed("`multipleOf` must be above zero").at(pointer));
            }
            if !holds {
                // Of the numbers that are no multiple, those with a fraction are easily said.
                return Ok(divisor.is_integer().then(|| {
                    vec![of(Range {
                        fractional: true,
                        ..Range::default()
                    })]
                }));
            }
            return Ok(Some(kind(
                true,
                of(Range {
                    divisors: vec![divisor],
                    ..Range::default()
                }),
            )));
        }
        let low = key == "minimum";
        let strict = if low {
            "exclusiveMinimum"
        } else {
            "exclusiveMaximum"
        };
        // In draft 4 it was a boolean beside the bound.
        let beside = schema.get(strict) == Some(&Value::Bool(true));
        let bounds = [
            decimal(key)?.map(|at| Bound {
                at,
                exclusive: beside,
            }),
            decimal(strict)?.map(|at| Bound {
                at,
                exclusive: true,
            }),
        ];
        let mut cases = if holds { vec![Case::any()] } else { Vec::new() };
        for bound in bounds.into_iter().flatten() {
            let bound = Bound {
                exclusive: bound.exclusive == holds,
                ..bound
            };
            let mut range = Range::default();
            match low == holds {
                true => range.low = Some(bound),
                false => range.high = Some(bound),
            }
            match holds {
                true => cases = self.product(&cases, &kind(true, of(range)), pointer)?,
                false => cases.push(of(range)),
            }
        }
        Ok(Some(cases))
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

    fn items(&mut self, schema: &Map<String, Value>, pointer: &str, holds: bool) -> Cases {
        let listed = matches!(schema.get("items"), Some(Value::Array(_)));
        // A list under `items` is the older way, whatever the dialect says.
        let (first, rest) = match (listed, self.document.old) {
            (true, _) => ("items", "additionalItems"),
            (false, true) => ("", "items"),
            (false, false) => ("prefixItems", "items"),
        };
        let count = schema
            .get(first)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let first: Vec<Demand> = (0..count)
            .map(|index| Demand::from([self.claim(&format!("{pointer}/{first}/{index}"))]))
            .collect();
        let rest = schema
            .contains_key(rest)
            .then(|| self.claim(&format!("{pointer}/{rest}")));
        if holds {
            let row = Row {
                first,
                rest: rest.map(|claim| Demand::from([claim])),
                evaluates: true,
            };
            return Ok(kind(
                true,
                Case::arrays(Arrays {
                    rows: vec![row],
                    ..Arrays::default()
                }),
            ));
        }
        let mut cases = Vec::new();
        let fails = |claim: &Claim| {
            Demand::from([Claim {
                holds: false,
                ..*claim
            }])
        };
        for (index, demand) in first.iter().enumerate() {
            let mut items = vec![Demand::new(); index];
            items.extend(demand.iter().map(fails));
            cases.push(has_items(items));
        }
        if let Some(rest) = rest {
            let mut items = vec![Demand::new(); count];
            items.push(fails(&rest));
            cases.push(has_items(items));
        }
        Ok(cases)
    }

    fn members(&mut self, schema: &Map<String, Value>, pointer: &str, holds: bool) -> Cases {
        let keys = |key: &str| -> Vec<String> {
            let named = schema.get(key).and_then(Value::as_object);
            named
                .into_iter()
                .flat_map(|named| named.keys().cloned())
                .collect()
        };
        let mut named = Vec::new();
        for name in keys("properties") {
            let claim = self.claim(&format!("{pointer}/properties/{}", step(&name)));
            named.push((name, claim));
        }
        let mut patterns = Vec::new();
        for source in keys("patternProperties") {
            let claim = self.claim(&format!("{pointer}/patternProperties/{}", step(&source)));
            let pattern = self.pattern(&source, "patternProperties", pointer)?;
            patterns.push((pattern, claim));
        }
        let others = schema
            .contains_key("additionalProperties")
            .then(|| self.claim(&format!("{pointer}/additionalProperties")));
        if holds {
            let one = |claim: Claim| Demand::from([claim]);
            let layer = Layer {
                named: named
                    .into_iter()
                    .map(|(name, claim)| (name, one(claim)))
                    .collect(),
                patterns: patterns
                    .into_iter()
                    .map(|(p, claim)| (p, one(claim)))
                    .collect(),
                others: others.map(one),
                evaluates: true,
            };
            return Ok(kind(
                true,
                Case::objects(Objects {
                    layers: vec![layer],
                    ..Objects::default()
                }),
            ));
        }
        let mut cases = Vec::new();
        for (name, claim) in &named {
            cases.push(with(
                name.clone(),
                Claim {
                    holds: false,
                    ..*claim
                },
            ));
        }
        let spoken_of = |name: &str| {
            named.iter().any(|(key, _)| key == name)
                || patterns.iter().any(|(pattern, _)| pattern.matches(name))
        };
        if let Some(others) = others {
            let name = ["other", "extra", "more", "x", "_"]
                .into_iter()
                .find(|name| !spoken_of(name));
            let claim = Claim {
                holds: false,
                ..others
            };
            cases.extend(name.map(|name| with(name.to_owned(), claim)));
        }
        Ok(cases)
    }

    fn dependencies(&mut self, of: &Map<String, Value>, here: &str, holds: bool) -> Cases {
        let mut cases = if holds { vec![Case::any()] } else { Vec::new() };
        for (name, wanted) in of {
            let has = Case::objects(Objects {
                required: BTreeSet::from([name.clone()]),
                ..Objects::default()
            });
            let then: Vec<Case> = match wanted.as_array() {
                Some(names) => {
                    let names = names.iter().filter_map(Value::as_str).map(str::to_owned);
                    match holds {
                        true => vec![Case::objects(Objects {
                            required: names.collect(),
                            ..Objects::default()
                        })],
                        false => names.map(without).collect(),
                    }
                }
                None => {
                    let claim = self.claim(&format!("{here}/{}", step(name)));
                    self.of(Claim { holds, ..claim })?.to_vec()
                }
            };
            let then = self.product(&[has], &then, here)?;
            if !holds {
                cases.extend(then);
                continue;
            }
            let mut either = kind(true, without(name.clone()));
            either.extend(then);
            cases = self.product(&cases, &either, here)?;
        }
        Ok(cases)
    }
}

/// One kind's case; where it `holds`, all other kinds too.
fn kind(holds: bool, case: Case) -> Vec<Case> {
    if !holds {
        return vec![case];
    }
    let any = Case::any();
    vec![Case {
        number: case.number.or(any.number),
        string: case.string.or(any.string),
        array: case.array.or(any.array),
        object: case.object.or(any.object),
        ..any
    }]
}

fn without(name: String) -> Case {
    Case::objects(Objects {
        forbidden: BTreeSet::from([name]),
        ..Objects::default()
    })
}

fn with(name: String, claim: Claim) -> Case {
    Case::objects(Objects {
        required: BTreeSet::from([name.clone()]),
        layers: vec![Layer {
            named: vec![(name, Demand::from([claim]))],
            ..Layer::default()
        }],
        ..Objects::default()
    })
}

fn has_items(first: Vec<Demand>) -> Case {
    Case::arrays(Arrays {
        least: first.len() as u64,
        rows: vec![Row {
            first,
            rest: None,
            evaluates: false,
        }],
        ..Arrays::default()
    })
}

fn types_case(types: &[String], holds: bool) -> Option<Vec<Case>> {
    let mut case = if holds { Case::none() } else { Case::any() };
    let any = Case::any();
    for name in types {
        match name.as_str() {
            "null" => case.null = holds,
            "boolean" => case.booleans = [holds, holds],
            "number" => case.number = any.number.clone().filter(|_| holds),
            "string" => case.string = any.string.clone().filter(|_| holds),
            "array" => case.array = any.array.clone().filter(|_| holds),
            "object" => case.object = any.object.clone().filter(|_| holds),
            "integer" if types.iter().any(|other| other == "number") => {}
            "integer" => {
                case.number = Some(Rc::new(Numbers {
                    range: Range {
                        integer: holds,
                        fractional: !holds,
                        ..Range::default()
                    },
                    ..Numbers::default()
                }));
            }
            _ => return None,
        }
    }
    Some(vec![case])
}

/// A whole number from zero up, written with or without `.0`.
fn whole(value: &Value) -> Option<u64> {
    let float = || {
        value
            .as_f64()
            .filter(|f| f.fract() == 0.0 && (0.0..1e15).contains(f))
    };
    value.as_u64().or_else(|| float().map(|f| f as u64))
}

fn size_case(key: &str, size: u64, holds: bool) -> Vec<Case> {
    let lower = key.starts_with("min");
    let (least, most) = match (lower, holds) {
        (true, true) => (size, None),
        (false, true) => (0, Some(size)),
        (true, false) => match size.checked_sub(1) {
            Some(most) => (0, Some(most)),
            None => return Vec::new(),
        },
        (false, false) => (size + 1, None),
    };
    kind(
        holds,
        match &key[3..] {
            "Length" => Case::strings(Strings {
                shortest: least,
                longest: most,
                ..Strings::default()
            }),
            "Items" => Case::arrays(Arrays {
                least,
                most,
                ..Arrays::default()
            }),
            _ => Case::objects(Objects {
                least,
                most,
                ..Objects::default()
            }),
        },
    )
}

fn contains_cases(claim: Claim, least: u64, most: Option<u64>, holds: bool) -> Vec<Case> {
    let of = |least: u64, most: Option<u64>| {
        Case::arrays(Arrays {
            least,
            contains: vec![(claim, least, most)],
            ..Arrays::default()
        })
    };
    if holds {
        return kind(true, of(least, most));
    }
    let mut cases = Vec::new();
    cases.extend(least.checked_sub(1).map(|fewer| of(0, Some(fewer))));
    cases.extend(most.map(|most| of(most + 1, None)));
    cases
}

/// The object with all members that no schema has looked at under `claim`.
fn closed_object(object: &Objects, claim: Claim) -> Rc<Objects> {
    let looking = || object.layers.iter().filter(|layer| layer.evaluates);
    if looking().any(|layer| layer.others.is_some()) {
        return Rc::new(object.clone());
    }
    let layer = Layer {
        named: looking()
            .flat_map(|layer| &layer.named)
            .map(|(name, _)| (name.clone(), Demand::new()))
            .collect(),
        patterns: looking()
            .flat_map(|layer| &layer.patterns)
            .map(|(pattern, _)| (pattern.clone(), Demand::new()))
            .collect(),
        others: Some(Demand::from([claim])),
        evaluates: true,
    };
    let mut closed = object.clone();
    closed.layers.push(layer);
    Rc::new(closed)
}

/// The array with all items that no schema has looked at under `claim`.
fn closed_array(array: &Arrays, claim: Claim) -> Rc<Arrays> {
    let looking = || array.rows.iter().filter(|row| row.evaluates);
    if looking().any(|row| row.rest.is_some()) {
        return Rc::new(array.clone());
    }
    let count = looking().map(|row| row.first.len()).max().unwrap_or(0);
    let mut closed = array.clone();
    closed.rows.push(Row {
        first: vec![Demand::new(); count],
        rest: Some(Demand::from([claim])),
        evaluates: true,
    });
    Rc::new(closed)
}
