//! `minimum`, `maximum`, their strict kin, and `multipleOf`.

use serde_json::{Map, Value};

use super::cases::kind;
use super::{Reader, Refusal};
use crate::constraint::schema::number::{Bound, Decimal, Range};
use crate::constraint::schema::shape::{Case, Numbers};

impl Reader {
    pub(super) fn number(
        &mut self,
        schema: &Map<String, Value>,
        key: &str,
        pointer: &str,
        holds: bool,
    ) -> Result<Option<Vec<Case>>, Refusal> {
        let decimal = |key: &str| -> Result<Option<Decimal>, Refusal> {
            match schema.get(key) {
                None | Some(Value::Bool(_)) => Ok(None),
                Some(value) => match value.as_number().and_then(Decimal::of) {
                    Some(decimal) => Ok(Some(decimal)),
                    None => {
                        Err(Refusal::malformed(format!("`{key}` must be a number")).at(pointer))
                    }
                },
            }
        };
        let of = |range: Range| {
            Case::numbers(Numbers {
                range,
                ..Numbers::default()
            })
        };
        if key == "multipleOf" {
            let Some(divisor) = decimal(key)? else {
                return Ok(None);
            };
            if divisor <= Decimal::zero() {
                return Err(Refusal::malformed("`multipleOf` must be above zero").at(pointer));
            }
            if !holds {
                // Of the numbers that are no multiple, those with a fraction are easily said.
                return Ok(divisor.is_integer().then(|| {
                    vec![of(Range {
                        fractional: true,
                        ..Range::default()
                    })]
                }));
            }
            return Ok(Some(kind(
                true,
                of(Range {
                    divisors: vec![divisor],
                    ..Range::default()
                }),
            )));
        }
        let low = key == "minimum";
        let strict = if low {
            "exclusiveMinimum"
        } else {
            "exclusiveMaximum"
        };
        // In draft 4 it was a boolean beside the bound.
        let beside = schema.get(strict) == Some(&Value::Bool(true));
        let bounds = [
            decimal(key)?.map(|at| Bound {
                at,
                exclusive: beside,
            }),
            decimal(strict)?.map(|at| Bound {
                at,
                exclusive: true,
            }),
        ];
        let mut cases = if holds { vec![Case::any()] } else { Vec::new() };
        for bound in bounds.into_iter().flatten() {
            let bound = Bound {
                exclusive: bound.exclusive == holds,
                ..bound
            };
            let mut range = Range::default();
            match low == holds {
                true => range.low = Some(bound),
                false => range.high = Some(bound),
            }
            match holds {
                true => cases = self.product(&cases, &kind(true, of(range)), pointer)?,
                false => cases.push(of(range)),
            }
        }
        Ok(Some(cases))
    }
}
