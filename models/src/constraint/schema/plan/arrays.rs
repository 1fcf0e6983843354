//! What arrays may hold.

use serde_json::Value;

use super::scalars::scalars;
use super::{ArrayPlan, Plan, size};
use crate::constraint::schema::Refusal;
use crate::constraint::schema::read::Reader;
use crate::constraint::schema::shape::{Arrays, Claim, Demand, same};
use crate::constraint::schema::text::Text;

/// Values among which the items of an array without repetition are chosen one by one.
const MAX_CHOICES: usize = 40;

impl Plan {
    pub(super) fn arrays(
        &mut self,
        reader: &mut Reader,
        array: &Arrays,
    ) -> Result<Vec<ArrayPlan>, Refusal> {
        let starts = match array.contains.is_empty() {
            true => vec![0],
            false => vec![0, array.firsts()],
        };
        let mut plans: Vec<ArrayPlan> = Vec::new();
        for start in starts {
            for stacked in [false, true] {
                let plan = self.array(reader, array, start, stacked)?;
                if let Some(plan) = plan.filter(|plan| !plans.contains(plan)) {
                    plans.push(plan);
                }
                if array.contains.len() < 2 {
                    break;
                }
            }
        }
        Ok(plans)
    }

    /// The array with what it must contain from the item `start` on: all wishes on the same items,
    /// or `stacked` one behind the other.
    fn array(
        &mut self,
        reader: &mut Reader,
        array: &Arrays,
        start: usize,
        stacked: bool,
    ) -> Result<Option<ArrayPlan>, Refusal> {
        let large = || Refusal::unsupported("contains", "it asks for too many items");
        let mut spans = Vec::new();
        let mut place = start;
        for (claim, least, most) in &array.contains {
            let least = usize::try_from(*least)
                .ok()
                .filter(|n| *n <= 1_000)
                .ok_or_else(large)?;
            let most = most.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
            if most.is_some_and(|most| most < least) {
                return Ok(None);
            }
            spans.push((*claim, place, least, most));
            if stacked {
                place += least;
            }
        }
        let ends = spans
            .iter()
            .map(|(_, place, least, most)| place + least.max(&most.unwrap_or(0).min(least + 8)));
        let count = ends.fold(array.firsts(), usize::max);
        let demand = |index: usize| {
            let mut demand = array.demand(index);
            for (claim, place, least, most) in &spans {
                let (from, to) = (*place, place + least);
                if (from..to).contains(&index) {
                    demand.insert(*claim);
                } else if let Some(most) = most
                    && !(to..place + (*most).min(least + 8)).contains(&index)
                {
                    demand.insert(Claim {
                        holds: false,
                        ..*claim
                    });
                }
            }
            demand
        };
        let least = spans
            .iter()
            .map(|(_, place, least, _)| if *least == 0 { 0 } else { place + least })
            .fold(size(array.least), usize::max);
        let most = array.most.map(size);
        if most.is_some_and(|most| most < least) {
            return Ok(None);
        }
        let mut plan = ArrayPlan {
            first: (0..count).map(|index| self.rule(demand(index))).collect(),
            rest: Some(self.rule(demand(count))),
            least,
            most,
            choices: None,
        };
        if array.unique && most != Some(1) {
            if count == 0 {
                plan.choices = choices(reader, &demand(0))?;
            }
            if let Some(choices) = &plan.choices {
                if choices.len() < least {
                    return Ok(None);
                }
            } else {
                self.unique = true;
            }
        }
        Ok(Some(plan))
    }
}

/// The values that satisfy `demand`, where they are few and without parts.
fn choices(reader: &mut Reader, demand: &Demand) -> Result<Option<Vec<String>>, Refusal> {
    if demand.is_empty() {
        return Ok(None);
    }
    let mut values: Vec<(Value, String)> = Vec::new();
    for case in reader.cases(demand)? {
        if case.array.is_some() || case.object.is_some() {
            return Ok(None);
        }
        for text in scalars(&case)? {
            let Text::Literal(text) = text else {
                return Ok(None);
            };
            let Ok(value) = serde_json::from_str(&text) else {
                return Ok(None);
            };
            if !values.iter().any(|(known, _)| same(known, &value)) {
                values.push((value, text));
            }
        }
    }
    let few = values.len() <= MAX_CHOICES;
    Ok(few.then(|| values.into_iter().map(|(_, text)| text).collect()))
}
