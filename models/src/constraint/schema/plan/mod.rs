//! From demands to rules: what each place of the JSON may hold, and how short it can be.

mod arrays;
mod lengths;
mod objects;
mod scalars;

use std::collections::{BTreeSet, HashMap};

use super::Refusal;
use super::read::Reader;
use super::shape::{Claim, Demand};
use super::text::Text;
use scalars::scalars;

/// Schemas that need more rules are refused.
const MAX_RULES: usize = 4_000;
/// A length no value has.
pub const NEVER: usize = usize::MAX;

/// All rules of a schema, the first of them its root.
#[derive(Default)]
pub struct Plan {
    pub rules: Vec<Rule>,
    demands: Vec<Demand>,
    index: HashMap<Demand, usize>,
    lengths: HashMap<Text, usize>,
    /// Whether the text has to be watched for items that occur twice.
    pub unique: bool,
    /// Whether it has to be watched for members that occur twice.
    pub open: bool,
    /// Whether such a watch can leave no way on, so that every step looks ahead.
    pub narrow: bool,
}

/// What one place may hold.
pub struct Rule {
    pub options: Vec<Alternative>,
    /// The bytes of the shortest value; [`NEVER`] if there is none.
    pub length: usize,
    /// Whether it may hold anything at all.
    pub any: bool,
}

/// One kind of value.
#[derive(Debug, Clone, PartialEq)]
pub enum Alternative {
    Scalar(Text),
    Array(ArrayPlan),
    Object(ObjectPlan),
}

#[derive(Debug, Clone, PartialEq)]
pub struct ArrayPlan {
    pub first: Vec<usize>,
    pub rest: Option<usize>,
    pub least: usize,
    pub most: Option<usize>,
    /// Its items are some of these, each at most once.
    pub choices: Option<Vec<String>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ObjectPlan {
    pub members: Vec<Member>,
    /// Members of other names: the texts of the names and the rule.
    pub others: Vec<(Text, usize)>,
    pub least: usize,
    pub most: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The name in its quotes.
    pub name: String,
    pub rule: usize,
    pub required: bool,
}

impl Plan {
    /// The rules for values that satisfy `root`.
    pub fn new(reader: &mut Reader, root: Claim) -> Result<Self, Refusal> {
        let mut plan = Self::default();
        plan.rule(Demand::from([root]));
        let mut next = 0;
        while next < plan.rules.len() {
            let demand = plan.demands[next].clone();
            if plan.rules.len() > MAX_RULES {
                return Err(Refusal::limit(format!(
                    "it needs more than {MAX_RULES} rules"
                )));
            }
            if !demand.is_empty() {
                let pointer = demand
                    .first()
                    .map(|claim| reader.pointer(*claim).to_owned());
                let at = |refusal: Refusal| refusal.at(pointer.as_deref().unwrap_or(""));
                plan.rules[next].options = plan.options(reader, &demand).map_err(at)?;
            }
            next += 1;
        }
        plan.measure();
        plan.prune();
        Ok(plan)
    }

    fn rule(&mut self, demand: Demand) -> usize {
        if let Some(rule) = self.index.get(&demand) {
            return *rule;
        }
        let any = demand.is_empty();
        self.index.insert(demand.clone(), self.rules.len());
        self.demands.push(demand);
        self.rules.push(Rule {
            options: Vec::new(),
            length: if any { 1 } else { NEVER },
            any,
        });
        self.rules.len() - 1
    }

    fn options(
        &mut self,
        reader: &mut Reader,
        demand: &Demand,
    ) -> Result<Vec<Alternative>, Refusal> {
        let mut options: Vec<Alternative> = Vec::new();
        let mut add = |option: Alternative| {
            if !options.contains(&option) {
                options.push(option);
            }
        };
        for case in reader.cases(demand)? {
            for scalar in scalars(&case)? {
                add(Alternative::Scalar(scalar));
            }
            if let Some(array) = &case.array {
                for plan in self.arrays(reader, array)? {
                    add(Alternative::Array(plan));
                }
            }
            if let Some(object) = &case.object
                && let Some(plan) = self.object(reader, object)?
            {
                add(Alternative::Object(plan));
            }
        }
        Ok(options)
    }
    /// Whether a value may hold itself, to any depth.
    pub fn is_recursive(&self) -> bool {
        // 0: not seen, 1: on the way, 2: done.
        let mut state = vec![0_u8; self.rules.len()];
        let mut way: Vec<(usize, Vec<usize>)> = Vec::new();
        if !self.rules.is_empty() {
            way.push((0, self.below(0)));
            state[0] = 1;
        }
        while let Some((rule, below)) = way.last_mut() {
            match below.pop() {
                Some(next) if state[next] == 1 => return true,
                Some(next) if state[next] == 0 => {
                    state[next] = 1;
                    let below = self.below(next);
                    way.push((next, below));
                }
                Some(_) => {}
                None => {
                    state[*rule] = 2;
                    way.pop();
                }
            }
        }
        false
    }

    fn below(&self, rule: usize) -> Vec<usize> {
        let mut below = BTreeSet::new();
        for option in &self.rules[rule].options {
            match option {
                Alternative::Scalar(_) => {}
                Alternative::Array(array) => below.extend(array.first.iter().chain(&array.rest)),
                Alternative::Object(object) => {
                    below.extend(object.members.iter().map(|member| member.rule));
                    below.extend(object.others.iter().map(|(_, rule)| *rule));
                }
            }
        }
        below.into_iter().collect()
    }
}

fn size(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX - 1)
}
