//! From demands to rules: what each place of the JSON may hold, and how short it can be.

use std::collections::{BTreeSet, HashMap};

use regex_automata::meta::Regex;
use serde_json::Value;

use super::Refusal;
use super::pattern::{CHARACTER, Pattern, quoted_literal, quoted_whole};
use super::read::Reader;
use super::shape::{Arrays, Case, Claim, Demand, Objects, Strings, same};
use super::text::{Shortest, Text};

/// Schemas that need more rules are refused.
const MAX_RULES: usize = 4_000;
/// Patterns for the names of one object's members.
const MAX_PATTERNS: usize = 4;
/// Patterns that one string must have or not have.
const MAX_MEETING: usize = 4;
/// Values among which the items of an array without repetition are chosen one by one.
const MAX_CHOICES: usize = 40;
/// A length no value has.
pub const NEVER: usize = usize::MAX;
/// The length assumed where it is too hard to find.
const GUESS: usize = 64;

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

    fn arrays(&mut self, reader: &mut Reader, array: &Arrays) -> Result<Vec<ArrayPlan>, Refusal> {
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

    fn object(
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

    fn length(&mut self, text: &Text) -> usize {
        if let Some(length) = self.lengths.get(text) {
            return *length;
        }
        let length = match text.shortest() {
            Shortest::Empty => NEVER,
            Shortest::Bytes(bytes) => bytes,
            Shortest::Unknown => GUESS,
        };
        self.lengths.insert(text.clone(), length);
        length
    }

    /// Finds the shortest value of every rule: again and again, until no rule gets shorter.
    fn measure(&mut self) {
        loop {
            let mut changed = false;
            for index in 0..self.rules.len() {
                let options = std::mem::take(&mut self.rules[index].options);
                let shortest = options
                    .iter()
                    .map(|option| self.option_length(option))
                    .min();
                self.rules[index].options = options;
                if let Some(shortest) = shortest
                    && shortest < self.rules[index].length
                {
                    self.rules[index].length = shortest;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn option_length(&mut self, option: &Alternative) -> usize {
        let mut total = 2_usize;
        let mut add = |length: usize| total = total.saturating_add(length);
        match option {
            Alternative::Scalar(text) => return self.length(text),
            Alternative::Array(array) => {
                if let Some(choices) = &array.choices {
                    let mut lengths: Vec<usize> = choices.iter().map(String::len).collect();
                    lengths.sort_unstable();
                    lengths
                        .iter()
                        .take(array.least)
                        .for_each(|length| add(length + 1));
                    return total;
                }
                for index in 0..array.least.min(array.first.len()) {
                    add(self.rules[array.first[index]].length.saturating_add(1));
                }
                let more = array.least.saturating_sub(array.first.len());
                if more > 0 {
                    let each = array.rest.map_or(NEVER, |rule| self.rules[rule].length);
                    add(each.saturating_add(1).saturating_mul(more));
                }
            }
            Alternative::Object(object) => {
                let mut optional = Vec::new();
                let mut required = 0;
                for member in &object.members {
                    let value = self.rules[member.rule].length;
                    let length = value.saturating_add(member.name.len() + 2);
                    if member.required {
                        required += 1;
                        add(length);
                    } else if length != NEVER {
                        optional.push(length);
                    }
                }
                optional.sort_unstable();
                let more = object.least.saturating_sub(required);
                optional.iter().take(more).for_each(|length| add(*length));
                let more = more.saturating_sub(optional.len());
                if more > 0 {
                    let each = object.others.iter().map(|(name, rule)| {
                        let name = self.lengths.get(name).copied().unwrap_or(GUESS);
                        self.rules[*rule].length.saturating_add(name + 2)
                    });
                    add(each.min().unwrap_or(NEVER).saturating_mul(more));
                }
            }
        }
        total
    }

    /// Takes out what no value can satisfy.
    fn prune(&mut self) {
        for index in 0..self.rules.len() {
            let mut options = std::mem::take(&mut self.rules[index].options);
            options.retain(|option| self.option_length(option) != NEVER);
            let never = |rule: &usize| self.rules[*rule].length == NEVER;
            for option in &mut options {
                match option {
                    Alternative::Scalar(_) => {}
                    Alternative::Array(array) => {
                        if let Some(end) = array.first.iter().position(never) {
                            array.first.truncate(end);
                            array.rest = None;
                        }
                        array.rest = array.rest.filter(|rule| !never(rule));
                    }
                    Alternative::Object(object) => {
                        object.members.retain(|member| !never(&member.rule));
                        object.others.retain(|(_, rule)| !never(rule));
                    }
                }
            }
            self.rules[index].options = options;
        }
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

/// The values without parts that a case allows.
fn scalars(case: &Case) -> Result<Vec<Text>, Refusal> {
    let mut texts = Vec::new();
    let words = [
        (case.null, "null"),
        (case.booleans[0], "false"),
        (case.booleans[1], "true"),
    ];
    for (_, word) in words.into_iter().filter(|(may, _)| *may) {
        texts.push(Text::Literal(word.to_owned()));
    }
    if let Some(numbers) = &case.number {
        match numbers.listed() {
            Some(listed) => {
                texts.extend(
                    listed
                        .into_iter()
                        .map(|number| Text::Literal(number.to_string())),
                );
            }
            None => {
                let mut sets = vec![numbers.range.text()];
                for number in &numbers.none_of {
                    sets.push(spellings(number).not());
                }
                texts.push(match sets.len() {
                    1 => sets.remove(0),
                    _ => Text::All(sets),
                });
            }
        }
    }
    if let Some(of) = &case.string {
        match strings(of)? {
            Text::Any(listed) => texts.extend(listed),
            text => texts.push(text),
        }
    }
    Ok(texts)
}

/// Every way to write a number with the same value, exponents included.
fn spellings(number: &serde_json::Number) -> Text {
    let text = number.to_string();
    // Numbers with an exponent may spell any value, so none of them is left.
    let exponent = Text::regex("-?[0-9.]+[eE].*");
    let plain = match text.split_once('.') {
        _ if text.contains(['e', 'E']) => Text::Literal(text),
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            match fraction.is_empty() {
                true => Text::Regex(format!(r"{whole}(\.0+)?")),
                false => Text::Regex(format!(r"{whole}\.{fraction}0*")),
            }
        }
        None => Text::Regex(format!(r"{text}(\.0+)?")),
    };
    let negative_zero = Text::regex(r"-0(\.0+)?");
    match number.as_f64() {
        Some(0.0) => Text::Any(vec![plain, negative_zero, exponent]),
        _ => Text::Any(vec![plain, exponent]),
    }
}

/// Strings in their quotes.
fn strings(of: &Strings) -> Result<Text, Refusal> {
    let refuse = |keyword: &str| {
        let keyword = keyword.to_owned();
        move |why: String| Refusal::unsupported(&keyword, why)
    };
    if let Some(listed) = of.listed() {
        let fits = |text: &&&String| set_has(of, text);
        let quoted = listed.iter().filter(fits).map(|text| quoted_literal(text));
        return Ok(Text::Any(quoted.map(Text::Literal).collect()));
    }
    let mut sets = Vec::new();
    let times = match (of.shortest, of.longest) {
        (0, None) => "*".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    };
    if of.shortest > 0 || of.longest.is_some() || of.patterns.is_empty() && of.formats.is_empty() {
        if of.shortest.max(of.longest.unwrap_or(0)) > 100_000 {
            return Err(refuse("maxLength")(
                "lengths over 100,000 are not counted".to_owned(),
            ));
        }
        sets.push(Text::Regex(format!("\"{CHARACTER}{times}\"")));
    }
    if of.patterns.len() > MAX_MEETING {
        let why = format!("more than {MAX_MEETING} patterns meet in one string");
        return Err(refuse("pattern")(why));
    }
    for (pattern, wanted) in &of.patterns {
        let set = pattern.quoted().map_err(refuse("pattern"))?;
        if *wanted {
            sets.push(set);
        } else {
            sets.push(Text::Regex(format!("\"{CHARACTER}*\"")));
            sets.push(set.not());
        }
    }
    for format in &of.formats {
        sets.push(quoted_whole(format).map_err(refuse("format"))?);
    }
    for text in &of.none_of {
        sets.push(Text::Literal(quoted_literal(text)).not());
    }
    Ok(match sets.len() {
        1 => sets.remove(0),
        _ => Text::All(sets),
    })
}

fn set_has(of: &Strings, text: &str) -> bool {
    let fits = |format: &&str| {
        Regex::new(&format!("^(?:{format})$")).is_ok_and(|regex| regex.is_match(text))
    };
    let listed = of
        .one_of
        .as_ref()
        .is_none_or(|texts| texts.iter().any(|other| other == text));
    listed && of.contains(text) && of.formats.iter().all(fits)
}

/// The strings that names of members may be.
fn name_sets(reader: &mut Reader, names: &Demand) -> Result<Vec<Strings>, Refusal> {
    let cases = reader.cases(names)?;
    Ok(cases
        .iter()
        .filter_map(|case| case.string.as_deref().cloned())
        .collect())
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
