//! `const` and `enum`: listed values, and all others.

use std::rc::Rc;

use serde_json::{Value, json};

use super::cases::size_case;
use super::items::has_items;
use super::members::{with, without};
use super::{Cases, Reader};
use crate::constraint::schema::shape::{
    Arrays, Case, Claim, Demand, Layer, Numbers, Objects, Row, Strings,
};

impl Reader {
    /// Values that are listed, or all others.
    pub(super) fn values(&mut self, values: &[Value], pointer: &str, holds: bool) -> Cases {
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
}
