//! What a JSON value may be, kind by kind.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Number, Value};

use super::number::{Bound, Decimal, Range};
use super::pattern::Pattern;

/// A schema that must hold, or must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    pub schema: usize,
    pub holds: bool,
}

/// All that one value must satisfy.
pub type Demand = BTreeSet<Claim>;

/// One way to satisfy a demand: for each kind of value what it must be, or that it may not be.
#[derive(Debug, Clone)]
pub struct Case {
    pub null: bool,
    /// Whether `false` and `true` may be.
    pub booleans: [bool; 2],
    pub number: Option<Rc<Numbers>>,
    pub string: Option<Rc<Strings>>,
    pub array: Option<Rc<Arrays>>,
    pub object: Option<Rc<Objects>>,
}

#[derive(Debug, Clone, Default)]
pub struct Numbers {
    pub range: Range,
    pub one_of: Option<Vec<Number>>,
    pub none_of: Vec<Number>,
}

#[derive(Debug, Clone, Default)]
pub struct Strings {
    pub shortest: u64,
    pub longest: Option<u64>,
    pub patterns: Vec<(Rc<Pattern>, bool)>,
    /// Regular expressions of formats, in Rust's syntax.
    pub formats: Vec<&'static str>,
    pub one_of: Option<Vec<String>>,
    pub none_of: Vec<String>,
}

/// What one schema says about an array's items.
#[derive(Debug, Clone)]
pub struct Row {
    pub first: Vec<Demand>,
    /// Items behind the first; `None`: nothing is said.
    pub rest: Option<Demand>,
    /// Whether it counts for `unevaluatedItems`.
    pub evaluates: bool,
}

#[derive(Debug, Clone, Default)]
pub struct Arrays {
    pub least: u64,
    pub most: Option<u64>,
    pub rows: Vec<Row>,
    pub unique: bool,
    /// For each `contains`: what, at least how often, at most how often.
    pub contains: Vec<(Claim, u64, Option<u64>)>,
}

/// What one schema says about an object's members.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    pub named: Vec<(String, Demand)>,
    pub patterns: Vec<(Rc<Pattern>, Demand)>,
    /// Members of other names; `None`: nothing is said.
    pub others: Option<Demand>,
    /// Whether it counts for `unevaluatedProperties`.
    pub evaluates: bool,
}

impl Layer {
    /// What a member of this name must satisfy.
    pub fn demand(&self, name: &str) -> Demand {
        let mut demand = Demand::new();
        let mut known = false;
        for (_, wanted) in self.named.iter().filter(|(key, _)| key == name) {
            known = true;
            demand.extend(wanted);
        }
        for (_, wanted) in self.patterns.iter().filter(|(p, _)| p.matches(name)) {
            known = true;
            demand.extend(wanted);
        }
        if !known {
            demand.extend(self.others.iter().flatten());
        }
        demand
    }
}

#[derive(Debug, Clone, Default)]
pub struct Objects {
    pub layers: Vec<Layer>,
    pub required: BTreeSet<String>,
    pub forbidden: BTreeSet<String>,
    pub least: u64,
    pub most: Option<u64>,
    /// What every name must satisfy.
    pub names: Demand,
}

impl Case {
    /// Every value.
    pub fn any() -> Self {
        Self {
            null: true,
            booleans: [true, true],
            number: Some(Rc::default()),
            string: Some(Rc::default()),
            array: Some(Rc::default()),
            object: Some(Rc::default()),
        }
    }

    /// No value.
    pub fn none() -> Self {
        Self {
            null: false,
            booleans: [false, false],
            number: None,
            string: None,
            array: None,
            object: None,
        }
    }

    pub fn numbers(numbers: Numbers) -> Self {
        Self {
            number: Some(Rc::new(numbers)),
            ..Self::none()
        }
    }

    pub fn strings(strings: Strings) -> Self {
        Self {
            string: Some(Rc::new(strings)),
            ..Self::none()
        }
    }

    pub fn arrays(arrays: Arrays) -> Self {
        Self {
            array: Some(Rc::new(arrays)),
            ..Self::none()
        }
    }

    pub fn objects(objects: Objects) -> Self {
        Self {
            object: Some(Rc::new(objects)),
            ..Self::none()
        }
    }

    pub fn is_none(&self) -> bool {
        !self.null
            && self.booleans == [false, false]
            && self.number.is_none()
            && self.string.is_none()
            && self.array.is_none()
            && self.object.is_none()
    }

    /// The values in both.
    pub fn meet(&self, other: &Self) -> Self {
        fn both<T>(
            a: &Option<Rc<T>>,
            b: &Option<Rc<T>>,
            meet: fn(&T, &T) -> Option<T>,
        ) -> Option<Rc<T>> {
            meet(a.as_deref()?, b.as_deref()?).map(Rc::new)
        }
        Self {
            null: self.null && other.null,
            booleans: [0, 1].map(|index| self.booleans[index] && other.booleans[index]),
            number: both(&self.number, &other.number, Numbers::meet),
            string: both(&self.string, &other.string, Strings::meet),
            array: both(&self.array, &other.array, Arrays::meet),
            object: both(&self.object, &other.object, Objects::meet),
        }
    }
}

fn stricter<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn joined<T: Clone>(a: &[T], b: &[T]) -> Vec<T> {
    [a, b].concat()
}

fn in_both<T: Clone>(
    a: &Option<Vec<T>>,
    b: &Option<Vec<T>>,
    same: impl Fn(&T, &T) -> bool,
) -> Option<Vec<T>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let has = |item: &&T| b.iter().any(|other| same(item, other));
            Some(a.iter().filter(has).cloned().collect())
        }
        (a, b) => a.clone().or_else(|| b.clone()),
    }
}

/// Whether two numbers are equal as JSON Schema has it: 1 and 1.0 are.
pub fn same_number(a: &Number, b: &Number) -> bool {
    match (Decimal::of(a), Decimal::of(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Whether two values are equal as JSON Schema has it.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let found = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| same(a, b));
            a.len() == b.len() && a.iter().all(found)
        }
        _ => a == b,
    }
}

impl Numbers {
    fn meet(&self, other: &Self) -> Option<Self> {
        let tighter = |a: &Option<Bound>, b: &Option<Bound>, low: bool| match (a, b) {
            (Some(a), Some(b)) if a.at == b.at => Some(Bound {
                exclusive: a.exclusive || b.exclusive,
                at: a.at.clone(),
            }),
            (Some(a), Some(b)) => Some(if (a.at > b.at) == low { a } else { b }.clone()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        let mut divisors = joined(&self.range.divisors, &other.range.divisors);
        divisors.dedup();
        let met = Self {
            range: Range {
                low: tighter(&self.range.low, &other.range.low, true),
                high: tighter(&self.range.high, &other.range.high, false),
                integer: self.range.integer || other.range.integer,
                fractional: self.range.fractional || other.range.fractional,
                divisors,
            },
            one_of: in_both(&self.one_of, &other.one_of, same_number),
            none_of: joined(&self.none_of, &other.none_of),
        };
        let empty = match (&met.range.low, &met.range.high) {
            (Some(low), Some(high)) if low.at == high.at => low.exclusive || high.exclusive,
            (Some(low), Some(high)) => low.at > high.at,
            _ => false,
        };
        let contradiction = met.range.integer && met.range.fractional;
        let nothing = met.listed().is_some_and(|numbers| numbers.is_empty());
        (!empty && !contradiction && !nothing).then_some(met)
    }

    pub fn contains(&self, number: &Number) -> bool {
        Decimal::of(number).is_some_and(|number| self.range.contains(&number))
            && !self.none_of.iter().any(|other| same_number(number, other))
    }

    /// The numbers one by one, where they are listed.
    pub fn listed(&self) -> Option<Vec<&Number>> {
        let numbers = self.one_of.as_ref()?;
        Some(numbers.iter().filter(|n| self.contains(n)).collect())
    }
}

impl Strings {
    fn meet(&self, other: &Self) -> Option<Self> {
        let met = Self {
            shortest: self.shortest.max(other.shortest),
            longest: stricter(self.longest, other.longest),
            patterns: joined(&self.patterns, &other.patterns),
            formats: joined(&self.formats, &other.formats),
            one_of: in_both(&self.one_of, &other.one_of, |a, b| a == b),
            none_of: joined(&self.none_of, &other.none_of),
        };
        let nothing = met.listed().is_some_and(|texts| texts.is_empty());
        let empty = met.longest.is_some_and(|longest| longest < met.shortest);
        (!empty && !nothing).then_some(met)
    }

    /// Whether `text` is one of them, formats aside.
    pub fn contains(&self, text: &str) -> bool {
        let length = text.chars().count() as u64;
        length >= self.shortest
            && self.longest.is_none_or(|longest| length <= longest)
            && !self.none_of.iter().any(|other| other == text)
            && self
                .patterns
                .iter()
                .all(|(p, wanted)| p.matches(text) == *wanted)
    }

    /// The texts one by one, where they are listed.
    pub fn listed(&self) -> Option<Vec<&String>> {
        let texts = self.one_of.as_ref()?;
        Some(texts.iter().filter(|text| self.contains(text)).collect())
    }
}

impl Arrays {
    fn meet(&self, other: &Self) -> Option<Self> {
        let met = Self {
            least: self.least.max(other.least),
            most: stricter(self.most, other.most),
            rows: joined(&self.rows, &other.rows),
            unique: self.unique || other.unique,
            contains: joined(&self.contains, &other.contains),
        };
        met.most.is_none_or(|most| met.least <= most).then_some(met)
    }

    /// What the item at `index` must satisfy.
    pub fn demand(&self, index: usize) -> Demand {
        let mut demand = Demand::new();
        for row in &self.rows {
            demand.extend(
                row.first
                    .get(index)
                    .or(row.rest.as_ref())
                    .into_iter()
                    .flatten(),
            );
        }
        demand
    }

    /// How many first items have demands of their own.
    pub fn firsts(&self) -> usize {
        self.rows
            .iter()
            .map(|row| row.first.len())
            .max()
            .unwrap_or(0)
    }
}

impl Objects {
    fn meet(&self, other: &Self) -> Option<Self> {
        let mut met = Self {
            layers: joined(&self.layers, &other.layers),
            required: &self.required | &other.required,
            forbidden: &self.forbidden | &other.forbidden,
            least: self.least.max(other.least),
            most: stricter(self.most, other.most),
            names: self.names.clone(),
        };
        met.names.extend(&other.names);
        let possible = met
            .most
            .is_none_or(|most| met.least <= most && met.required.len() as u64 <= most);
        (possible && met.required.is_disjoint(&met.forbidden)).then_some(met)
    }

    /// What a member of this name must satisfy.
    pub fn demand(&self, name: &str) -> Demand {
        self.layers
            .iter()
            .flat_map(|layer| layer.demand(name))
            .collect()
    }

    /// The names that are spoken of, in the order of the schemas.
    pub fn names(&self) -> Vec<&String> {
        let mut names: BTreeMap<&String, usize> = BTreeMap::new();
        let named = self.layers.iter().flat_map(|layer| &layer.named);
        for name in named.map(|(name, _)| name).chain(&self.required) {
            let next = names.len();
            names.entry(name).or_insert(next);
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(_, place)| *place);
        names.into_iter().map(|(name, _)| name).collect()
    }
}
