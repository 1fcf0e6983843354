//! The cases of single kinds of values.

use std::rc::Rc;

use serde_json::Value;

use crate::constraint::schema::number::Range;
use crate::constraint::schema::shape::{Arrays, Case, Numbers, Objects, Strings};

/// One kind's case; where it `holds`, all other kinds too.
pub(super) fn kind(holds: bool, case: Case) -> Vec<Case> {
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

pub(super) fn types_case(types: &[String], holds: bool) -> Option<Vec<Case>> {
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
pub(super) fn whole(value: &Value) -> Option<u64> {
    let float = || {
        value
            .as_f64()
            .filter(|f| f.fract() == 0.0 && (0.0..1e15).contains(f))
    };
    value.as_u64().or_else(|| float().map(|f| f as u64))
}

pub(super) fn size_case(key: &str, size: u64, holds: bool) -> Vec<Case> {
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

/// The case as seen from outside a `not`: what is looked at inside counts for nothing (2020-12,
/// core, section 7.7.1).
pub(super) fn unevaluated(case: &Case) -> Case {
    let mut case = case.clone();
    if let Some(object) = &mut case.object {
        for layer in &mut Rc::make_mut(object).layers {
            layer.evaluates = false;
        }
    }
    if let Some(array) = &mut case.array {
        for row in &mut Rc::make_mut(array).rows {
            row.evaluates = false;
        }
    }
    case
}
