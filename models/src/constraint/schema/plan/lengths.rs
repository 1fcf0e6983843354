//! How short every place can be.

use super::{Alternative, NEVER, Plan};
use crate::constraint::schema::text::{Shortest, Text};

/// The length assumed where it is too hard to find.
const GUESS: usize = 64;

impl Plan {
    pub(super) fn length(&mut self, text: &Text) -> usize {
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
    pub(super) fn measure(&mut self) {
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
    pub(super) fn prune(&mut self) {
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
}
