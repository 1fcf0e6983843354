//! `allOf`, `anyOf`, `oneOf`.

use super::{Cases, MAX_CASES, Reader, Refusal};
use crate::constraint::schema::shape::{Claim, Demand};

impl Reader {
    pub(super) fn combination(
        &mut self,
        key: &str,
        claims: &[Claim],
        pointer: &str,
        holds: bool,
    ) -> Cases {
        let all = |holds: bool| claims.iter().map(move |claim| Claim { holds, ..*claim });
        match (key, holds) {
            ("allOf", true) | ("anyOf", false) => {
                let demand: Demand = all(key == "allOf").collect();
                self.cases(&demand)
            }
            ("oneOf", _) => {
                let mut cases = Vec::new();
                if !holds {
                    cases.extend(self.cases(&all(false).collect())?);
                }
                for (index, claim) in claims.iter().enumerate() {
                    if holds {
                        let mut demand: Demand = all(false).collect();
                        demand.remove(&Claim {
                            holds: false,
                            ..*claim
                        });
                        if demand.len() + 1 < claims.len() {
                            // The same schema twice never holds once.
                            continue;
                        }
                        demand.insert(*claim);
                        cases.extend(self.cases(&demand)?);
                    } else {
                        for other in &claims[index + 1..] {
                            cases.extend(self.cases(&Demand::from([*claim, *other]))?);
                        }
                    }
                }
                Ok(cases)
            }
            _ => {
                let mut cases = Vec::new();
                for claim in all(holds) {
                    cases.extend(self.of(claim)?.iter().cloned());
                    if cases.len() > MAX_CASES {
                        let why = "its keywords combine in too many ways";
                        return Err(Refusal::limit(why).at(pointer));
                    }
                }
                Ok(cases)
            }
        }
    }
}
