//! Sets of texts, as regular expressions that know union, intersection and complement.

use std::collections::{BTreeMap, HashMap, VecDeque};

use llguidance::derivre::raw::{DerivCache, RelevanceCache};
use llguidance::derivre::{AlphabetInfo, ExprRef, RegexAst, RegexBuilder};

/// A set of texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Text {
    /// Those a regular expression matches from start to end.
    Regex(String),
    /// This one text.
    Literal(String),
    /// Those in every one of these sets.
    All(Vec<Text>),
    /// Those in any of these sets.
    Any(Vec<Text>),
    /// Those not in this set.
    Not(Box<Text>),
    /// One of each set, one behind the other.
    Join(Vec<Text>),
}

/// States looked at before the question of a shortest text is given up.
const MAX_STATES: usize = 4_000;
/// derivre's measure of work: about 14,000 a millisecond.
const MAX_WORK: u64 = 1_000_000;

/// What [`Text::shortest`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortest {
    /// No text is in the set.
    Empty,
    /// The shortest has so many bytes.
    Bytes(usize),
    /// The set is too complicated to say.
    Unknown,
}

impl Text {
    pub fn regex(regex: impl Into<String>) -> Self {
        Self::Regex(regex.into())
    }

    pub fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    /// The set as a terminal of llguidance's Lark.
    pub fn lark(&self) -> String {
        match self {
            Self::Regex(regex) if regex.is_empty() => "\"\"".to_owned(),
            Self::Regex(regex) => format!("/{}/", llguidance::regex_to_lark(regex, "")),
            Self::Literal(text) if text.is_empty() => "\"\"".to_owned(),
            Self::Literal(text) => format!("/{}/", escape(text)),
            Self::All(sets) => Self::list(sets, " & "),
            Self::Any(sets) => Self::list(sets, " | "),
            Self::Not(set) => format!("~({})", set.lark()),
            Self::Join(sets) => Self::list(sets, " "),
        }
    }

    fn list(sets: &[Self], between: &str) -> String {
        let sets: Vec<String> = sets.iter().map(Self::lark).collect();
        format!("({})", sets.join(between))
    }

    fn ast(&self) -> RegexAst {
        let all = |sets: &[Self]| sets.iter().map(Self::ast).collect();
        match self {
            Self::Regex(regex) => RegexAst::Regex(regex.clone()),
            Self::Literal(text) => RegexAst::Literal(text.clone()),
            Self::All(sets) => RegexAst::And(all(sets)),
            Self::Any(sets) => RegexAst::Or(all(sets)),
            Self::Not(set) => RegexAst::Not(Box::new(set.ast())),
            Self::Join(sets) => RegexAst::Concat(all(sets)),
        }
    }

    /// The length of the shortest text in the set: breadth first over the states of its automaton.
    pub fn shortest(&self) -> Shortest {
        if let Self::Literal(text) = self {
            return Shortest::Bytes(text.len());
        }
        let mut builder = RegexBuilder::new();
        let Ok(expression) = builder.mk(&self.ast()) else {
            return Shortest::Unknown;
        };
        let (alphabet, mut set, roots) =
            AlphabetInfo::from_exprset(builder.into_exprset(), &[expression]);
        // Of bytes that no part of the expression tells apart, one stands for all.
        let classes: BTreeMap<usize, u8> = (1..=0xf4).map(|b| (alphabet.map(b), b)).collect();
        match RelevanceCache::new().is_non_empty_limited(&mut set, roots[0], MAX_WORK) {
            Ok(true) => {}
            Ok(false) => return Shortest::Empty,
            Err(_) => return Shortest::Unknown,
        }
        let mut derivatives = DerivCache::new();
        let mut seen: HashMap<ExprRef, usize> = HashMap::from([(roots[0], 0)]);
        let mut queue = VecDeque::from([roots[0]]);
        let limit = set.cost().saturating_add(MAX_WORK);
        while let Some(state) = queue.pop_front() {
            let length = seen[&state];
            if set.is_nullable(state) {
                return Shortest::Bytes(length);
            }
            if seen.len() > MAX_STATES || set.cost() > limit {
                return Shortest::Unknown;
            }
            for byte in classes.values() {
                let next = derivatives.derivative(&mut set, state, *byte);
                if next != ExprRef::NO_MATCH && !seen.contains_key(&next) {
                    seen.insert(next, length + 1);
                    queue.push_back(next);
                }
            }
        }
        Shortest::Empty
    }
}

/// A text as a regular expression that matches it alone.
pub fn escape(text: &str) -> String {
    use std::fmt::Write;
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '\u{80}'.. => escaped.push(character),
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "\\x{:02x}", character as u32);
            }
        }
    }
    escaped
}
