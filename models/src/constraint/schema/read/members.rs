//! The members of objects.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::cases::kind;
use super::{Cases, Reader};
use crate::constraint::schema::document::step;
use crate::constraint::schema::shape::{Case, Claim, Demand, Layer, Objects};

impl Reader {
    pub(super) fn members(
        &mut self,
        schema: &Map<String, Value>,
        pointer: &str,
        holds: bool,
    ) -> Cases {
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

    pub(super) fn dependencies(
        &mut self,
        of: &Map<String, Value>,
        here: &str,
        holds: bool,
    ) -> Cases {
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

pub(super) fn without(name: String) -> Case {
    Case::objects(Objects {
        forbidden: BTreeSet::from([name]),
        ..Objects::default()
    })
}

pub(super) fn with(name: String, claim: Claim) -> Case {
    Case::objects(Objects {
        required: BTreeSet::from([name.clone()]),
        layers: vec![Layer {
            named: vec![(name, Demand::from([claim]))],
            ..Layer::default()
        }],
        ..Objects::default()
    })
}

/// The object with all members that no schema has looked at under `claim`.
pub(super) fn closed_object(object: &Objects, claim: Claim) -> Rc<Objects> {
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
