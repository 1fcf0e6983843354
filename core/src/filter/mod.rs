//! Which points a search may return: a typed tree, never a query string.

mod path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ErrorKind, Result};

pub use path::{FieldPath, Step};

/// How deeply conditions may be nested: more is no question but an attack on the stack.
const DEEPEST: usize = 32;

/// A condition on a point's payload.
///
/// Fields are those of a [`Chunk`](crate::Chunk), such as `source` and `page`, and what lies under
/// keys of the metadata: `metadata.language`, `metadata.author.name` ([`FieldPath`] has the whole
/// of it). A field that holds a list matches when any of its elements does.
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
    /// The field is a string that holds this text, letter for letter: in any language, within
    /// words too.
    Text {
        /// The field.
        field: String,
        /// The text.
        text: String,
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

    /// `field` holds `text`.
    pub fn text(field: impl Into<String>, text: impl Into<String>) -> Self {
        Self::Text {
            field: field.into(),
            text: text.into(),
        }
    }

    /// The point is one of this namespace.
    pub fn namespace(name: &str) -> Self {
        Self::eq("namespace", name)
    }

    /// The name of the field that lies under `key` of the metadata, whatever the key holds.
    ///
    /// ```
    /// use corbie_core::Filter;
    ///
    /// assert_eq!(Filter::metadata("version 1.2"), r#"metadata."version 1.2""#);
    /// ```
    pub fn metadata(key: &str) -> String {
        let key = key.replace('\\', "\\\\").replace('"', "\\\"");
        format!("metadata.\"{key}\"")
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

    /// Refuses a filter that can never be meant: every store calls it before it looks.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when a field's name is malformed or unknown, or the
    /// conditions are nested more than 32 deep.
    pub fn check(&self) -> Result<()> {
        self.check_below(DEEPEST)
    }

    fn check_below(&self, depth: usize) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            let cause = format!("its conditions are nested more than {DEEPEST} deep");
            return Err(Error::new(ErrorKind::BadInput, "the filter", cause));
        };
        match self {
            Self::Eq { field, .. }
            | Self::In { field, .. }
            | Self::Range { field, .. }
            | Self::Text { field, .. } => FieldPath::parse(field).map(|_| ()),
            Self::All(filters) | Self::Any(filters) => {
                filters.iter().try_for_each(|f| f.check_below(depth))
            }
            Self::Not(filter) => filter.check_below(depth),
        }
    }

    /// Whether a payload satisfies the filter: the definition that every store must agree with.
    /// A field that [`check`](Filter::check) refuses is nowhere.
    pub fn matches(&self, payload: &Value) -> bool {
        match self {
            Self::Eq { field, value } => any_value(payload, field, |v| equal(v, value)),
            Self::In { field, values } => {
                any_value(payload, field, |v| values.iter().any(|w| equal(v, w)))
            }
            Self::Range { field, range } => any_value(payload, field, |v| {
                v.as_f64().is_some_and(|n| range.contains(n))
            }),
            Self::Text { field, text } => any_value(payload, field, |v| {
                v.as_str().is_some_and(|v| v.contains(text.as_str()))
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
    FieldPath::parse(field).is_ok_and(|path| path.any(payload, &test))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_condition_means_what_it_says() {
        let payload = json!({
            "source": "手册/请假.md",
            "page": 2,
            "heading": ["Leave", "年假"],
            "metadata": {
                "a.b": true,
                "author": { "name": "Ann" },
                "authors": [{ "name": "Bo" }, { "name": "Ci" }],
                "score": 0.5,
            },
        });
        let range = |gte| Range {
            gte: Some(gte),
            ..Range::default()
        };
        let table = [
            (Filter::eq("page", 2), true),
            (Filter::eq("page", "2"), false),
            (Filter::eq("heading", "年假"), true),
            (Filter::text("source", "请假"), true),
            (Filter::text("heading", "eav"), true),
            (Filter::text("heading", "EAV"), false),
            (Filter::text("page", "2"), false),
            (Filter::text("source", ""), true),
            (Filter::eq(Filter::metadata("a.b"), true), true),
            (Filter::eq("metadata.a.b", true), false),
            (Filter::eq("metadata.author.name", "Ann"), true),
            (Filter::eq("metadata.authors[].name", "Ci"), true),
            (Filter::eq("metadata.authors.name", "Ci"), false),
            (Filter::is_in("metadata.authors[].name", ["Ann"]), false),
            (Filter::range("metadata.score", range(0.5)), true),
            (Filter::range("metadata.score", range(0.6)), false),
            (Filter::not(Filter::eq("metadata.absent", 1)), true),
            (Filter::any([]), false),
            (Filter::all([]), true),
        ];
        for (filter, expected) in table {
            assert_eq!(filter.matches(&payload), expected, "{filter:?}");
            assert!(filter.check().is_ok(), "{filter:?}");
        }
    }

    #[test]
    fn depth_is_limited_before_anything_walks_it() {
        let mut filter = Filter::eq("page", 1);
        for _ in 0..DEEPEST {
            filter = Filter::not(filter);
        }
        assert!(filter.check().is_err());
        assert!(Filter::any([Filter::eq("sauce", 1)]).check().is_err());
    }
}
