//! Which points a search may return: a typed tree, never a query string.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A condition on a point's payload.
///
/// Fields are `source`, `document`, `page`, and `metadata.KEY`. A field that holds a list
/// matches when any of its elements does.
///
/// ```
/// use corbie_core::Filter;
///
/// let filter = Filter::all([
///     Filter::eq("source", "handbook/leave.md"),
///     Filter::not(Filter::eq("metadata.language", "zh")),
/// ]);
/// # let _ = filter;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Filter {
    /// The field equals the value (a string, an integer or a boolean).
    Eq {
        /// The field.
        field: String,
        /// The value.
        value: Value,
    },
    /// The field equals one of the values.
    In {
        /// The field.
        field: String,
        /// The values.
        values: Vec<Value>,
    },
    /// The field is a number within the range.
    Range {
        /// The field.
        field: String,
        /// The bounds.
        range: Range,
    },
    /// Every condition holds. Of none: true.
    All(Vec<Filter>),
    /// At least one condition holds. Of none: false.
    Any(Vec<Filter>),
    /// The condition does not hold.
    Not(Box<Filter>),
}

/// Bounds of a number; an absent bound does not limit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At least.
    pub gte: Option<f64>,
    /// More than.
    pub gt: Option<f64>,
    /// At most.
    pub lte: Option<f64>,
    /// Less than.
    pub lt: Option<f64>,
}

impl Filter {
    /// `field` equals `value`.
    pub fn eq(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::Eq {
            field: field.into(),
            value: value.into(),
        }
    }

    /// `field` equals one of `values`.
    pub fn is_in<V: Into<Value>>(
        field: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self::In {
            field: field.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }

    /// `field` lies within `range`.
    pub fn range(field: impl Into<String>, range: Range) -> Self {
        Self::Range {
            field: field.into(),
            range,
        }
    }

    /// Every one of `filters` holds.
    pub fn all(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self::All(filters.into_iter().collect())
    }

    /// One of `filters` holds.
    pub fn any(filters: impl IntoIterator<Item = Filter>) -> Self {
        Self::Any(filters.into_iter().collect())
    }

    /// `filter` does not hold.
    #[allow(clippy::should_implement_trait)] // A constructor beside the others, not an operator.
    pub fn not(filter: Filter) -> Self {
        Self::Not(Box::new(filter))
    }

    /// Whether a payload satisfies the filter: the definition that every store must agree with.
    pub fn matches(&self, payload: &Value) -> bool {
        match self {
            Self::Eq { field, value } => any_value(payload, field, |v| equal(v, value)),
            Self::In { field, values } => {
                any_value(payload, field, |v| values.iter().any(|w| equal(v, w)))
            }
            Self::Range { field, range } => any_value(payload, field, |v| {
                v.as_f64().is_some_and(|n| range.contains(n))
            }),
            Self::All(filters) => filters.iter().all(|f| f.matches(payload)),
            Self::Any(filters) => filters.iter().any(|f| f.matches(payload)),
            Self::Not(filter) => !filter.matches(payload),
        }
    }
}

impl Range {
    /// Whether `number` lies within the bounds.
    pub fn contains(&self, number: f64) -> bool {
        self.gte.is_none_or(|bound| number >= bound)
            && self.gt.is_none_or(|bound| number > bound)
            && self.lte.is_none_or(|bound| number <= bound)
            && self.lt.is_none_or(|bound| number < bound)
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn any_value(payload: &Value, field: &str, test: impl Fn(&Value) -> bool) -> bool {
    let found = match field.strip_prefix("metadata.") {
        Some(key) => payload
            .get("metadata")
            .and_then(|metadata| metadata.get(key)),
        None => payload.get(field),
    };
    match found {
        Some(Value::Array(elements)) => elements.iter().any(test),
        Some(value) => test(value),
        None => false,
    }
}
