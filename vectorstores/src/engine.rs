//! What the embedded Qdrant engine and a Qdrant server have in common: how a point lies in them,
//! and how they are told a filter.

use corbie_core::filter::{FieldPath, Step};
use corbie_core::{Error, ErrorKind, Filter, Range, Result, SparseVector, TermWeights};
use serde_json::Value;
use uuid::Uuid;

/// The name of a point's dense vector.
pub(crate) const DENSE: &str = "dense";

/// The names of its sparse vector, by where its weights come from: what multiplies with document
/// frequencies is decided for a name, not for a search.
pub(crate) const COUNTED: &str = "sparse";
pub(crate) const LEARNED: &str = "learned";

/// The name under which weights of this kind are kept.
pub(crate) fn sparse_name(weights: TermWeights) -> &'static str {
    match weights {
        TermWeights::Counted => COUNTED,
        TermWeights::Learned => LEARNED,
    }
}

/// A sparse vector that was kept under `name`.
pub(crate) fn read_sparse(name: &str, indices: Vec<u32>, values: Vec<f32>) -> SparseVector {
    let vector = SparseVector::from_pairs(indices.into_iter().zip(values));
    match name == LEARNED {
        true => vector.learned(),
        false => vector,
    }
}

/// The field of a point's tenant.
pub(crate) const NAMESPACE: &str = "namespace";

/// The fields whose values are looked up without reading every point.
const INDEXED: [&str; 3] = ["document", NAMESPACE, "source"];

/// Smaller forms of vectors, with which the graph is searched; the best are then compared exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Quantization {
    /// None: the exact vectors are searched.
    #[default]
    None,
    /// A byte for each dimension: a quarter of the size, for any model.
    Scalar,
    /// A bit for each dimension: a thirty-second, for models of a thousand dimensions and more.
    Binary,
}

/// A field whose values are indexed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IndexedField {
    /// Its name, as in a filter: `metadata.year`.
    pub field: String,
    /// What it holds.
    pub kind: FieldKind,
}

/// What an indexed field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldKind {
    /// Texts that are compared whole.
    Keyword,
    /// Integers.
    Integer,
    /// Numbers, for ranges.
    Float,
    /// True or false.
    Bool,
}

/// The fields that every store indexes, and `more`, as the engine's paths.
pub(crate) fn indexed(more: &[IndexedField]) -> Result<Vec<(String, FieldKind)>> {
    let own = INDEXED.map(|field| (field, FieldKind::Keyword));
    let more = more.iter().map(|own| (own.field.as_str(), own.kind));
    let path = |(field, kind): (&str, FieldKind)| {
        let path = written(&FieldPath::parse(field)?).ok_or_else(|| {
            let cause = "a key with a quote in it cannot be indexed";
            Error::new(ErrorKind::Unsupported, format!("field `{field}`"), cause)
        })?;
        Ok((path, kind))
    };
    own.into_iter().chain(more).map(path).collect()
}

/// Refuses a store that keeps dense vectors of another length than those that are wanted.
pub(crate) fn check_dimension(
    subject: &str,
    kept: Option<usize>,
    wanted: Option<usize>,
) -> Result<()> {
    if kept == wanted {
        return Ok(());
    }
    let call = |dimension: Option<usize>| match dimension {
        Some(dimension) => format!("dense vectors of {dimension} dimensions"),
        None => "no dense vectors".to_owned(),
    };
    let cause = format!("it keeps {}, not {}", call(kept), call(wanted));
    Err(Error::new(ErrorKind::Mismatch, subject, cause)
        .hint("open it with the embedding model it was made with"))
}

/// A condition on one value of the payload.
pub(crate) enum Test<'a> {
    Word(&'a str),
    Integer(i64),
    Truth(bool),
    /// A string that holds this text.
    Holding(&'a str),
    /// A number; at least one bound is set, and none is NaN.
    Within(&'a Range),
}

/// The types in which one of the two is told a filter. Values are passed as data, never as text
/// to be parsed.
pub(crate) trait Terms {
    type Condition;
    type Filter: Default;

    /// `None` where it cannot be said.
    fn field(&self, path: &FieldPath, test: Test<'_>) -> Option<Self::Condition>;
    fn nested(&self, filter: Self::Filter) -> Self::Condition;
    /// The point is one of these.
    fn ids(&self, ids: &[Uuid]) -> Self::Condition;
    fn must(&self, conditions: Vec<Self::Condition>) -> Self::Filter;
    fn should(&self, conditions: Vec<Self::Condition>) -> Self::Filter;
    fn must_not(&self, conditions: Vec<Self::Condition>) -> Self::Filter;
}

/// The filter that only these points pass.
pub(crate) fn only<T: Terms>(terms: &T, ids: &[Uuid]) -> T::Filter {
    terms.must(vec![terms.ids(ids)])
}

/// A filter in the engine's terms; `None` where it cannot say exactly the same.
pub(crate) fn translate<T: Terms>(terms: &T, filter: &Filter) -> Option<T::Filter> {
    let nested = |filter| translate(terms, filter).map(|filter| terms.nested(filter));
    Some(match filter {
        Filter::Eq { field, value } => terms.must(vec![equal(terms, field, value)?]),
        Filter::In { field, values } => {
            let equal = |value| equal(terms, field, value);
            any(terms, values.iter().map(equal).collect::<Option<_>>()?)
        }
        Filter::Range { field, range } => terms.must(vec![within(terms, field, range)?]),
        Filter::Text { field, text } => {
            terms.must(vec![terms.field(&path(field)?, Test::Holding(text))?])
        }
        Filter::All(filters) => terms.must(filters.iter().map(nested).collect::<Option<_>>()?),
        Filter::Any(filters) => any(terms, filters.iter().map(nested).collect::<Option<_>>()?),
        Filter::Not(filter) => terms.must_not(vec![nested(filter)?]),
    })
}

/// To the engine, an empty list of alternatives is no condition; to us it is never true.
fn any<T: Terms>(terms: &T, conditions: Vec<T::Condition>) -> T::Filter {
    match conditions.is_empty() {
        true => only(terms, &[]),
        false => terms.should(conditions),
    }
}

fn equal<T: Terms>(terms: &T, field: &str, value: &Value) -> Option<T::Condition> {
    let test = match value {
        Value::String(text) => Test::Word(text),
        Value::Bool(truth) => Test::Truth(*truth),
        Value::Number(number) => Test::Integer(number.as_i64()?),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    terms.field(&path(field)?, test)
}

fn within<T: Terms>(terms: &T, field: &str, range: &Range) -> Option<T::Condition> {
    let bounds = [range.gte, range.gt, range.lte, range.lt];
    let bounded = bounds.iter().any(Option::is_some);
    if !bounded || bounds.iter().flatten().any(|bound| bound.is_nan()) {
        return None;
    }
    terms.field(&path(field)?, Test::Within(range))
}

fn path(field: &str) -> Option<FieldPath> {
    FieldPath::parse(field).ok()
}

/// A path as the engine writes it. Keys that are no plain words are quoted; one that holds a quote
/// itself cannot be written there.
pub(crate) fn written(path: &FieldPath) -> Option<String> {
    let mut text = String::new();
    for step in path.steps() {
        let key = match step {
            Step::Each => {
                text += "[]";
                continue;
            }
            Step::Key(key) => key,
        };
        if key.contains(['"', '\\']) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        match !key.is_empty() && key.chars().all(plain) {
            true => text += key,
            false => text += &format!("\"{key}\""),
        }
    }
    Some(text)
}
