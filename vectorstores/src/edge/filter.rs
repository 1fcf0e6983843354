//! Filters in the engine's types.

use corbie_core::filter::FieldPath;
use qdrant_edge::external::ordered_float::OrderedFloat;
use qdrant_edge::{
    Condition, FieldCondition, Filter, HasIdCondition, JsonPath, Match, PointId, Range,
    ValueVariants,
};
use uuid::Uuid;

use crate::engine::{Terms, Test, written};

pub(super) struct EngineTerms;

impl Terms for EngineTerms {
    type Condition = Condition;
    type Filter = Filter;

    fn field(&self, path: &FieldPath, test: Test<'_>) -> Option<Condition> {
        let path: JsonPath = written(path)?.parse().ok()?;
        let matching = |path, value| FieldCondition::new_match(path, Match::new_value(value));
        Some(Condition::Field(match test {
            Test::Word(text) => matching(path, ValueVariants::String(text.to_owned())),
            Test::Integer(number) => matching(path, ValueVariants::Integer(number)),
            Test::Truth(truth) => matching(path, ValueVariants::Bool(truth)),
            Test::Holding(text) => FieldCondition::new_match(path, Match::new_substring(text)),
            Test::Within(range) => {
                let range = Range {
                    gte: range.gte.map(OrderedFloat),
                    gt: range.gt.map(OrderedFloat),
                    lte: range.lte.map(OrderedFloat),
                    lt: range.lt.map(OrderedFloat),
                };
                FieldCondition::new_range(path, range)
            }
        }))
    }

    fn nested(&self, filter: Filter) -> Condition {
        Condition::Filter(filter)
    }

    fn ids(&self, ids: &[Uuid]) -> Condition {
        let ids: HasIdCondition = ids.iter().copied().map(PointId::Uuid).collect();
        Condition::HasId(ids)
    }

    fn must(&self, conditions: Vec<Condition>) -> Filter {
        Filter {
            must: (!conditions.is_empty()).then_some(conditions),
            ..Filter::default()
        }
    }

    fn should(&self, conditions: Vec<Condition>) -> Filter {
        Filter {
            should: Some(conditions),
            ..Filter::default()
        }
    }

    fn must_not(&self, conditions: Vec<Condition>) -> Filter {
        Filter {
            must_not: Some(conditions),
            ..Filter::default()
        }
    }
}
