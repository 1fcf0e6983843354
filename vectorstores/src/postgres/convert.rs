//! Points as rows, and back.

use corbie_core::{Point, Result, SparseVector, TermWeights};
use pgvector::Vector;
use serde_json::{Map, Number, Value};
use tokio_postgres::Row;
use uuid::Uuid;

use super::server::Outcome;
use crate::rank::normalized;

/// Points, column by column.
#[derive(Default)]
pub(super) struct Columns {
    pub(super) ids: Vec<Uuid>,
    pub(super) namespaces: Vec<Option<String>>,
    pub(super) payloads: Vec<Value>,
    /// The payload word for word, where the server's `jsonb` would change it.
    pub(super) exact: Vec<Option<Value>>,
    /// Whether the point has words that are counted.
    pub(super) worded: Vec<bool>,
    pub(super) dense: Vec<Option<Vector>>,
    pub(super) terms: Terms,
}

/// What the words of some points weigh, column by column.
#[derive(Default)]
pub(super) struct Terms {
    pub(super) terms: Vec<i64>,
    pub(super) points: Vec<Uuid>,
    pub(super) weights: Vec<f32>,
}

/// The terms of a model are numbered from here, so that they are none of the counted ones.
const FIRST_LEARNED: i64 = 1 << 32;

/// The terms of a vector as its rows name them.
pub(super) fn terms_of(sparse: &SparseVector) -> impl Iterator<Item = i64> {
    let first = match sparse.weights {
        TermWeights::Counted => 0,
        TermWeights::Learned => FIRST_LEARNED,
    };
    sparse
        .indices
        .iter()
        .map(move |term| first + i64::from(*term))
}

impl Columns {
    pub(super) fn new(points: impl IntoIterator<Item = (Uuid, Point)>) -> Result<Self> {
        let mut columns = Self::default();
        let mut terms = Vec::new();
        for (id, point) in points {
            let payload = point.payload()?;
            let (payload, exact) = match is_kept(&payload) {
                true => (payload, None),
                false => (Value::Object(Map::new()), Some(payload)),
            };
            let sparse = point.sparse.unwrap_or_default();
            let counted = sparse.weights == TermWeights::Counted;
            let weights = terms_of(&sparse).zip(sparse.values.iter());
            columns.ids.push(id);
            columns.namespaces.push(point.namespace);
            columns.payloads.push(payload);
            columns.exact.push(exact);
            columns.worded.push(counted && !sparse.is_empty());
            let dense = point.dense.map(|dense| Vector::from(normalized(dense)));
            columns.dense.push(dense);
            terms.extend(weights.map(|(term, weight)| (term, id, *weight)));
        }
        // In the order of their index, which is then filled from one end to the other.
        terms.sort_unstable_by_key(|(term, id, _)| (*term, *id));
        for (term, id, weight) in terms {
            columns.terms.terms.push(term);
            columns.terms.points.push(id);
            columns.terms.weights.push(weight);
        }
        Ok(columns)
    }
}

/// Whether `jsonb` gives back what it is given: its texts have no U+0000, and its numbers are
/// decimal ones, among which 1e16 is an integer and -0.0 is 0.0.
fn is_kept(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(number) => is_kept_number(number),
        Value::String(text) => !text.contains('\0'),
        Value::Array(values) => values.iter().all(is_kept),
        Value::Object(map) => map
            .iter()
            .all(|(key, value)| !key.contains('\0') && is_kept(value)),
    }
}

pub(super) fn is_kept_number(number: &Number) -> bool {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            float.abs() < 1e16 && !(float == 0.0 && float.is_sign_negative())
        }
        _ => true,
    }
}

/// The payload in the columns `payload` and `exact` of a row.
pub(super) fn payload(row: &Row) -> Outcome<Value> {
    Ok(match row.try_get("exact")? {
        Some(exact) => exact,
        None => row.try_get("payload")?,
    })
}

/// The point in a row, without its vectors.
pub(super) fn bare_point(row: &Row) -> Outcome<Point> {
    Ok(Point::from_payload(payload(row)?)?)
}

/// The point in a row of a walk, whose columns `terms` and `weights` are those of its words.
pub(super) fn point(row: &Row) -> Outcome<Point> {
    let mut point = bare_point(row)?;
    point.dense = row.try_get("dense")?;
    let terms: Option<Vec<i64>> = row.try_get("terms")?;
    let weights: Option<Vec<f32>> = row.try_get("weights")?;
    if let (Some(terms), Some(weights)) = (terms, weights) {
        // Written from 32 bits.
        let learned = terms.iter().any(|term| *term >= FIRST_LEARNED);
        let terms = terms.into_iter().map(|term| term as u32);
        let sparse = SparseVector::from_pairs(terms.zip(weights));
        point.sparse = Some(if learned { sparse.learned() } else { sparse });
    }
    Ok(point)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_jsonb_would_change_is_known() {
        let kept = [
            json!(1),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0.5),
            json!(1.0),
            json!(5e-324),
            json!(0.0),
            json!(9.9e15),
            json!("鸟'\\\"\u{1}"),
            json!({ "a": [null, true, {}] }),
        ];
        let changed = [
            json!(-0.0),
            json!(1e16),
            json!(-1e300),
            json!("a\0"),
            json!([{ "a\0": 1 }]),
            json!({ "a": { "b": ["\0"] } }),
        ];
        assert!(kept.iter().all(is_kept));
        assert!(!changed.iter().any(is_kept));
    }
}
