//! What objects may hold, and under which names.

use super::scalars::{set_has, strings};
use super::{Member, NEVER, ObjectPlan, Plan, size};
use crate::constraint::schema::Refusal;
use crate::constraint::schema::pattern::{CHARACTER, Pattern, quoted_literal};
use crate::constraint::schema::read::Reader;
use crate::constraint::schema::shape::{Demand, Objects, Strings};
use crate::constraint::schema::text::Text;

/// Patterns for the names of one object's members.
const MAX_PATTERNS: usize = 4;

impl Plan {
    pub(super) fn object(
        &mut self,
        reader: &mut Reader,
        object: &Objects,
    ) -> Result<Option<ObjectPlan>, Refusal> {
        let allowed = match object.names.is_empty() {
            true => None,
            false => Some(name_sets(reader, &object.names)?),
        };
        let may = |name: &str| {
            !object.forbidden.contains(name)
                && allowed
                    .as_ref()
                    .is_none_or(|sets| sets.iter().any(|set| set_has(set, name)))
        };
        let mut members = Vec::new();
        let mut taken: Vec<Text> = Vec::new();
        for name in object.names().into_iter().chain(&object.forbidden) {
            let required = object.required.contains(name);
            let quoted = quoted_literal(name);
            taken.push(Text::Literal(quoted.clone()));
            if may(name) {
                members.push(Member {
                    name: quoted,
                    rule: self.rule(object.demand(name)),
                    required,
                });
            } else if required {
                return Ok(None);
            }
        }
        let least = size(object.least);
        let most = object.most.map(size);
        let stated = object.layers.iter().any(|layer| layer.others.is_some());
        let described = object
            .layers
            .iter()
            .any(|layer| !layer.named.is_empty() || !layer.patterns.is_empty());
        // Where members are described and others merely not ruled out, only those are written.
        let open = stated || !described || least > members.len();
        let others = self.others(object, allowed.as_deref(), taken, open)?;
        Ok(Some(ObjectPlan {
            members,
            others,
            least,
            most,
        }))
    }

    /// Members whose names no schema spells out: by the patterns that match them.
    fn others(
        &mut self,
        object: &Objects,
        allowed: Option<&[Strings]>,
        taken: Vec<Text>,
        open: bool,
    ) -> Result<Vec<(Text, usize)>, Refusal> {
        let mut patterns: Vec<&Pattern> = Vec::new();
        for (pattern, _) in object.layers.iter().flat_map(|layer| &layer.patterns) {
            if !patterns
                .iter()
                .any(|known| known.source() == pattern.source())
            {
                patterns.push(pattern);
            }
        }
        if patterns.len() > MAX_PATTERNS {
            let why = format!("more than {MAX_PATTERNS} patterns meet in one object");
            return Err(Refusal::unsupported("patternProperties", why));
        }
        let refuse = |why: String| Refusal::unsupported("patternProperties", why);
        let mut others = Vec::new();
        for matched in 0..1_usize << patterns.len() {
            if matched == 0 && !open {
                continue;
            }
            let has = |pattern: &Pattern| {
                let place = patterns.iter().position(|p| p.source() == pattern.source());
                place.is_some_and(|place| matched >> place & 1 == 1)
            };
            let mut sets = vec![Text::Regex(format!("\"{CHARACTER}*\""))];
            for pattern in &patterns {
                let set = pattern.quoted().map_err(refuse)?;
                sets.push(if has(pattern) { set } else { set.not() });
            }
            if !taken.is_empty() {
                sets.push(Text::Any(taken.clone()).not());
            }
            if let Some(allowed) = allowed {
                let texts: Result<Vec<Text>, Refusal> = allowed.iter().map(strings).collect();
                sets.push(Text::Any(texts?));
            }
            let mut demand = Demand::new();
            for layer in &object.layers {
                let mut matching = layer.patterns.iter().filter(|(p, _)| has(p)).peekable();
                if matching.peek().is_none() {
                    demand.extend(layer.others.iter().flatten());
                }
                demand.extend(matching.flat_map(|(_, demand)| demand));
            }
            let names = match sets.len() {
                1 => sets.remove(0),
                _ => Text::All(sets),
            };
            if self.length(&names) != NEVER {
                self.open = true;
                self.narrow |= matched != 0 || allowed.is_some();
                others.push((names, self.rule(demand)));
            }
        }
        Ok(others)
    }
}

/// The strings that names of members may be.
fn name_sets(reader: &mut Reader, names: &Demand) -> Result<Vec<Strings>, Refusal> {
    let cases = reader.cases(names)?;
    Ok(cases
        .iter()
        .filter_map(|case| case.string.as_deref().cloned())
        .collect())
}
