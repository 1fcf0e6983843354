//! From rules to Lark.

use std::collections::HashMap;
use std::fmt::Write;

use super::Refusal;
use super::pattern::CHARACTER;
use super::plan::{Alternative, ArrayPlan, ObjectPlan, Plan};
use super::text::Text;

/// How deep a value may be of which nothing is said.
const ANY_DEPTH: usize = 5;
/// Members or items that are counted one by one.
const MAX_COUNT: usize = 100;
/// Lines a grammar may have.
const MAX_LINES: usize = 40_000;

/// Writes the rules of `plan` as Lark; names begin with `prefix` and the root is
/// `{prefix}r0`.
pub fn lark(plan: &Plan, prefix: &str) -> Result<String, Refusal> {
    let mut writer = Writer {
        prefix,
        lines: Vec::new(),
        terminals: HashMap::new(),
    };
    for (index, rule) in plan.rules.iter().enumerate() {
        if rule.any {
            let any = writer.any();
            writer.line(format!("{prefix}r{index}: {any}"))?;
            continue;
        }
        let mut options = Vec::new();
        let mut scalars = Vec::new();
        for (number, option) in rule.options.iter().enumerate() {
            let name = format!("{prefix}v{index}-{number}");
            match option {
                Alternative::Scalar(text) => {
                    scalars.push(text.clone());
                    continue;
                }
                Alternative::Array(array) => writer.array(&name, array)?,
                Alternative::Object(object) => writer.object(&name, object)?,
            }
            options.push(name);
        }
        match scalars.len() {
            0 => {}
            1 => options.insert(0, writer.terminal(&scalars[0])),
            _ => options.insert(0, writer.terminal(&Text::Any(scalars))),
        }
        // A rule that no value satisfies is not used by any other.
        if !options.is_empty() {
            writer.line(format!("{prefix}r{index}: {}", options.join(" | ")))?;
        }
    }
    let mut grammar = String::new();
    for line in &writer.lines {
        grammar.push_str(line);
        grammar.push('\n');
    }
    let mut terminals: Vec<_> = writer.terminals.into_iter().collect();
    terminals.sort_by_key(|(_, number)| *number);
    for (text, number) in terminals {
        // Writing to a string cannot fail.
        let _ = writeln!(grammar, "{}T{number}: {text}", prefix.to_uppercase());
    }
    Ok(grammar)
}

struct Writer<'a> {
    prefix: &'a str,
    lines: Vec<String>,
    /// The terminals, numbered.
    terminals: HashMap<String, usize>,
}

impl Writer<'_> {
    fn line(&mut self, line: String) -> Result<(), Refusal> {
        self.lines.push(line);
        match self.lines.len() > MAX_LINES {
            true => Err(Refusal::limit("its grammar is too long")),
            false => Ok(()),
        }
    }

    fn terminal(&mut self, text: &Text) -> String {
        let next = self.terminals.len();
        let number = *self.terminals.entry(text.lark()).or_insert(next);
        format!("{}T{number}", self.prefix.to_uppercase())
    }

    fn literal(&mut self, text: &str) -> String {
        self.terminal(&Text::Literal(text.to_owned()))
    }

    fn comma(&mut self) -> String {
        self.terminal(&Text::regex(", ?"))
    }

    fn colon(&mut self) -> String {
        self.terminal(&Text::regex(": ?"))
    }

    /// The rule for any value, no deeper than [`ANY_DEPTH`].
    fn any(&mut self) -> String {
        let prefix = self.prefix;
        let name = format!("{prefix}any{ANY_DEPTH}");
        if self
            .lines
            .iter()
            .any(|line| line.starts_with(&format!("{name}:")))
        {
            return name;
        }
        let string = Text::Regex(format!("\"{CHARACTER}*\""));
        let scalar = self.terminal(&Text::Any(vec![
            string.clone(),
            super::number::Range::default().text(),
            Text::regex("null|true|false"),
        ]));
        let key = self.terminal(&string);
        let (comma, colon) = (self.comma(), self.colon());
        let [open, close, start, end] = ["[", "]", "{", "}"].map(|text| self.literal(text));
        self.lines.push(format!("{prefix}any0: {scalar}"));
        for depth in 1..=ANY_DEPTH {
            let below = format!("{prefix}any{}", depth - 1);
            let member = format!("{key} {colon} {below}");
            self.lines.push(format!(
                "{prefix}any{depth}: {scalar} | {open} ({below} ({comma} {below})*)? {close} | {start} ({member} ({comma} {member})*)? {end}"
            ));
        }
        name
    }

    fn array(&mut self, name: &str, array: &ArrayPlan) -> Result<(), Refusal> {
        let (open, close) = (self.literal("["), self.literal("]"));
        if let Some(choices) = &array.choices {
            let items: Vec<(String, bool)> = choices
                .iter()
                .map(|choice| (self.literal(choice), false))
                .collect();
            let start = self.counted(name, &items, None, array.least, array.most)?;
            return self.line(format!("{name}: {open} {start} {close}"));
        }
        let comma = self.comma();
        let prefix = self.prefix;
        let item = |rule: &usize| format!("{prefix}r{rule}");
        let most = array.most.unwrap_or(usize::MAX);
        let count = array.first.len().min(most);
        // The items behind the first: a repetition, after a comma where any came before.
        let mut tail = String::new();
        if let Some(rest) = &array.rest
            && most > count
        {
            let least = array.least.saturating_sub(count);
            let most = most - count;
            let rest = item(rest);
            let times = |least: usize, most: usize| match (least, array.most) {
                (0, None) => "*".to_owned(),
                (least, None) => format!("{{{least},}}"),
                (least, Some(_)) => format!("{{{least},{most}}}"),
            };
            tail = if count > 0 {
                format!("({comma} {rest}){}", times(least, most))
            } else {
                let more = times(least.saturating_sub(1), most - 1);
                let items = format!("{rest} ({comma} {rest}){more}");
                if least == 0 {
                    format!("({items})?")
                } else {
                    items
                }
            };
            if least > i32::MAX as usize || (array.most.is_some() && most > i32::MAX as usize) {
                return Err(Refusal::limit("its arrays are too long"));
            }
        }
        for (index, rule) in array.first[..count].iter().enumerate().rev() {
            let between = if index > 0 {
                format!("{comma} ")
            } else {
                String::new()
            };
            let part = format!("{between}{} {tail}", item(rule));
            let part = if index < array.least {
                part
            } else {
                format!("({part})?")
            };
            // A rule of its own keeps long tuples from nesting.
            let part_name = format!("{name}-{index}");
            self.line(format!("{part_name}: {part}"))?;
            tail = part_name;
        }
        self.line(format!("{name}: {open} {tail} {close}"))
    }

    fn object(&mut self, name: &str, object: &ObjectPlan) -> Result<(), Refusal> {
        let colon = self.colon();
        let prefix = self.prefix;
        let mut members = Vec::new();
        for member in &object.members {
            let key = self.literal(&member.name);
            members.push((
                format!("{key} {colon} {prefix}r{}", member.rule),
                member.required,
            ));
        }
        let mut others = Vec::new();
        for (key, rule) in &object.others {
            let key = self.terminal(key);
            others.push(format!("{key} {colon} {prefix}r{rule}"));
        }
        let other = match others.is_empty() {
            true => None,
            false => {
                self.line(format!("{name}-o: {}", others.join(" | ")))?;
                Some(format!("{name}-o"))
            }
        };
        let required = members.iter().filter(|(_, required)| *required).count();
        let most = object
            .most
            .filter(|most| other.is_some() || *most < members.len());
        let least = if object.least > required {
            object.least
        } else {
            0
        };
        let start = self.counted(name, &members, other.as_deref(), least, most)?;
        let (open, close) = (self.literal("{"), self.literal("}"));
        self.line(format!("{name}: {open} {start} {close}"))
    }

    /// A list, in order, of `parts` (each with whether it must come) and then of `other`s, with so
    /// many in all. The rule for what follows the first `place` parts of which `count` came is
    /// `{name}-{place}-{count}`; counts that no longer matter are one.
    fn counted(
        &mut self,
        name: &str,
        parts: &[(String, bool)],
        other: Option<&str>,
        least: usize,
        most: Option<usize>,
    ) -> Result<String, Refusal> {
        let comma = self.comma();
        let cap = most.unwrap_or(0).max(least).max(1);
        if cap > MAX_COUNT && !parts.is_empty() {
            let why = format!("counts over {MAX_COUNT} beside named members");
            return Err(Refusal::unsupported("minProperties or maxProperties", why));
        }
        if parts.is_empty() {
            let Some(other) = other.filter(|_| most != Some(0)) else {
                return Ok(String::new());
            };
            let times = match most {
                None => format!("{{{},}}", least.saturating_sub(1)),
                Some(most) => format!("{{{},{}}}", least.saturating_sub(1), most - 1),
            };
            let items = format!("{other} ({comma} {other}){times}");
            return Ok(if least == 0 {
                format!("({items})?")
            } else {
                items
            });
        }
        // How many of the parts from each place on must come.
        let must = |place: usize| parts[place..].iter().filter(|(_, must)| *must).count();
        let after = |count: usize| (count + 1).min(cap);
        let fits = |place: usize, count: usize| {
            let optional = parts.len() - place - must(place);
            let reach = count + must(place) + optional;
            most.is_none_or(|most| count + must(place) <= most)
                && (other.is_some() || reach >= least)
        };
        let comma_at = |count: usize| {
            if count > 0 {
                format!("{comma} ")
            } else {
                String::new()
            }
        };
        let mut waiting = vec![(0, 0)];
        let mut seen = std::collections::HashSet::from([(0, 0)]);
        while let Some((place, count)) = waiting.pop() {
            let rule = format!("{name}-{place}-{count}");
            let mut options = Vec::new();
            let mut go = |place: usize, count: usize| {
                if seen.insert((place, count)) {
                    waiting.push((place, count));
                }
                format!("{name}-{place}-{count}")
            };
            match parts.get(place) {
                Some((part, must)) => {
                    if fits(place + 1, count + 1) {
                        let next = go(place + 1, after(count));
                        options.push(format!("{}{part} {next}", comma_at(count)));
                    }
                    if !must && fits(place + 1, count) {
                        options.push(go(place + 1, count));
                    }
                }
                None => {
                    if count >= least {
                        options.push("\"\"".to_owned());
                    }
                    if let Some(other) = other
                        && most.is_none_or(|most| count < most)
                    {
                        let next = go(place, after(count));
                        options.push(format!("{}{other} {next}", comma_at(count)));
                    }
                }
            }
            if !options.is_empty() {
                self.line(format!("{rule}: {}", options.join(" | ")))?;
            }
        }
        Ok(format!("{name}-0-0"))
    }
}
