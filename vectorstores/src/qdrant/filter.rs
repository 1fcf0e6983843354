//! Filters in the protocol's types.

use corbie_core::filter::FieldPath;
use qdrant_client::qdrant::condition::ConditionOneOf;
use qdrant_client::qdrant::r#match::MatchValue;
use qdrant_client::qdrant::{Condition, FieldCondition, Filter, HasIdCondition, Match, Range};
use uuid::Uuid;

use super::convert::{DEEPEST, point_id};
use crate::engine::{Terms, Test, written};

/// What a server can be told.
pub(super) struct WireTerms {
    /// Whether it can look for a text within strings.
    pub finds_text: bool,
}

impl Terms for WireTerms {
    type Condition = Condition;
    type Filter = Filter;

    fn field(&self, path: &FieldPath, test: Test<'_>) -> Option<Condition> {
        // What lies deeper was not written where the server sees it.
        if path.steps().len() > DEEPEST {
            return None;
        }
        let mut field = FieldCondition {
            key: written(path)?,
            ..FieldCondition::default()
        };
        let value = match test {
            Test::Word(text) => Some(MatchValue::Keyword(text.to_owned())),
            Test::Integer(number) => Some(MatchValue::Integer(number)),
            Test::Truth(truth) => Some(MatchValue::Boolean(truth)),
            Test::Holding(text) if self.finds_text => Some(MatchValue::Substring(text.to_owned())),
            Test::Holding(_) => return None,
            Test::Within(range) => {
                field.range = Some(Range {
                    gte: range.gte,
                    gt: range.gt,
                    lte: range.lte,
                    lt: range.lt,
                });
                None
            }
        };
        field.r#match = value.map(|value| Match {
            match_value: Some(value),
        });
        Some(condition(ConditionOneOf::Field(field)))
    }

    fn nested(&self, filter: Filter) -> Condition {
        condition(ConditionOneOf::Filter(filter))
    }

    fn ids(&self, ids: &[Uuid]) -> Condition {
        condition(ConditionOneOf::HasId(HasIdCondition {
            has_id: ids.iter().map(point_id).collect(),
        }))
    }

    fn must(&self, must: Vec<Condition>) -> Filter {
        Filter {
            must,
            ..Filter::default()
        }
    }

    fn should(&self, should: Vec<Condition>) -> Filter {
        Filter {
            should,
            ..Filter::default()
        }
    }

    fn must_not(&self, must_not: Vec<Condition>) -> Filter {
        Filter {
            must_not,
            ..Filter::default()
        }
    }
}

fn condition(condition: ConditionOneOf) -> Condition {
    Condition {
        condition_one_of: Some(condition),
    }
}
