//! The items of arrays.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::cases::kind;
use super::{Cases, Reader};
use crate::constraint::schema::shape::{Arrays, Case, Claim, Demand, Row};

impl Reader {
    pub(super) fn items(
        &mut self,
        schema: &Map<String, Value>,
        pointer: &str,
        holds: bool,
    ) -> Cases {
        let listed = matches!(schema.get("items"), Some(Value::Array(_)));
        // A list under `items` is the older way, whatever the dialect says.
        let (first, rest) = match (listed, self.document.old) {
            (true, _) => ("items", "additionalItems"),
            (false, true) => ("", "items"),
            (false, false) => ("prefixItems", "items"),
        };
        let count = schema
            .get(first)
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        let first: Vec<Demand> = (0..count)
            .map(|index| Demand::from([self.claim(&format!("{pointer}/{first}/{index}"))]))
            .collect();
        let rest = schema
            .contains_key(rest)
            .then(|| self.claim(&format!("{pointer}/{rest}")));
        if holds {
            let row = Row {
                first,
                rest: rest.map(|claim| Demand::from([claim])),
                evaluates: true,
            };
            return Ok(kind(
                true,
                Case::arrays(Arrays {
                    rows: vec![row],
                    ..Arrays::default()
                }),
            ));
        }
        let mut cases = Vec::new();
        let fails = |claim: &Claim| {
            Demand::from([Claim {
                holds: false,
                ..*claim
            }])
        };
        for (index, demand) in first.iter().enumerate() {
            let mut items = vec![Demand::new(); index];
            items.extend(demand.iter().map(fails));
            cases.push(has_items(items));
        }
        if let Some(rest) = rest {
            let mut items = vec![Demand::new(); count];
            items.push(fails(&rest));
            cases.push(has_items(items));
        }
        Ok(cases)
    }
}

pub(super) fn has_items(first: Vec<Demand>) -> Case {
    Case::arrays(Arrays {
        least: first.len() as u64,
        rows: vec![Row {
            first,
            rest: None,
            evaluates: false,
        }],
        ..Arrays::default()
    })
}

pub(super) fn contains_cases(
    claim: Claim,
    least: u64,
    most: Option<u64>,
    holds: bool,
) -> Vec<Case> {
    let of = |least: u64, most: Option<u64>| {
        Case::arrays(Arrays {
            least,
            contains: vec![(claim, least, most)],
            ..Arrays::default()
        })
    };
    if holds {
        return kind(true, of(least, most));
    }
    let mut cases = Vec::new();
    cases.extend(least.checked_sub(1).map(|fewer| of(0, Some(fewer))));
    cases.extend(most.map(|most| of(most + 1, None)));
    cases
}

/// The array with all items that no schema has looked at under `claim`.
pub(super) fn closed_array(array: &Arrays, claim: Claim) -> Rc<Arrays> {
    let looking = || array.rows.iter().filter(|row| row.evaluates);
    if looking().any(|row| row.rest.is_some()) {
        return Rc::new(array.clone());
    }
    let count = looking().map(|row| row.first.len()).max().unwrap_or(0);
    let mut closed = array.clone();
    closed.rows.push(Row {
        first: vec![Demand::new(); count],
        rest: Some(Demand::from([claim])),
        evaluates: true,
    });
    Rc::new(closed)
}
