//! Looking for a short way to an acceptable end.
//!
//! The search goes byte by byte. Within one terminal the states of its automaton are visited
//! breadth first, each once, so the shortest ways through it are found whatever the terminal is;
//! from terminal to terminal it goes depth first, those that close brackets first, with a length
//! that doubles until an end is found.

use std::collections::{HashMap, VecDeque};

use llguidance::TokenParser;
use llguidance::derivre::StateID;
use llguidance::earley::ParserRecognizer;
use llguidance::toktrie::{Recognizer, TokenId};

use super::vocabulary::Vocabulary;
use super::watch::Watch;

/// Ways through one terminal that lead to the same state, where a watch may forbid some.
const ALIKE: usize = 6;
/// Bytes that are tried behind each state of a terminal, roughly.
const TRIES: usize = 100;
/// States of one terminal that are visited.
const MAX_STATES: usize = 3_000;
/// The effort of the first try, the shortest.
const FIRST_SHARE: usize = 40_000;
/// Ways to end in one terminal that are tried.
const MAX_ENDS: usize = 12;

/// A search from where `parser` stands.
pub(super) struct Search<'a> {
    pub vocabulary: &'a Vocabulary,
    pub parser: &'a mut TokenParser,
    /// What watches the text, as it stands before `given`.
    pub watch: Option<Watch>,
    /// Tokens that come first in any case.
    pub given: Vec<TokenId>,
    /// What may still be done, in bytes shown to the parser and items it made of them.
    pub effort: usize,
}

/// Where a terminal may lead.
#[derive(Default)]
struct Branches {
    /// Ways behind which the terminal may be the last.
    ends: Vec<Vec<u8>>,
    /// Ways into the next terminal.
    onward: Vec<Vec<u8>>,
}

impl Search<'_> {
    /// The bytes from behind the given tokens to an end, at most `at_most` of them.
    pub fn run(&mut self, at_most: usize) -> Option<Vec<u8>> {
        // Bytes that the grammar has taken for granted already.
        let forced = self.parser.parser.currently_forced_bytes().to_vec();
        let given = path_of(self.vocabulary, self.given.iter()).len();
        let start = forced.get(given..).unwrap_or_default().to_vec();
        let mut length = at_most.min(start.len() + 16);
        let mut share = FIRST_SHARE;
        loop {
            let mut path = start.clone();
            let mut cut = false;
            // The last and longest try gets all that is left.
            let last = length >= at_most;
            let mut effort = if last {
                self.effort
            } else {
                self.effort.min(share)
            };
            self.effort -= effort;
            let found = self.from(&mut path, length, &mut cut, &mut effort);
            self.effort += effort;
            if found {
                return Some(path);
            }
            if last || self.effort == 0 || (!cut && effort > 0) {
                return None;
            }
            length = length.saturating_mul(2).min(at_most);
            share *= 2;
        }
    }

    /// Whether an end was found from behind `path`, which then leads there.
    fn from(
        &mut self,
        path: &mut Vec<u8>,
        length: usize,
        cut: &mut bool,
        effort: &mut usize,
    ) -> bool {
        if self.ends(path, effort) {
            return true;
        }
        if *effort == 0 {
            return false;
        }
        let Branches { ends, onward } = self.branches(path, length, cut, effort);
        let start = path.len();
        for end in ends.into_iter().take(MAX_ENDS) {
            path.extend(&end);
            if self.ends(path, effort) {
                return true;
            }
            path.truncate(start);
        }
        for way in self.chosen(onward) {
            path.extend(&way);
            if self.from(path, length, cut, effort) {
                return true;
            }
            path.truncate(start);
            if *effort == 0 {
                return false;
            }
        }
        false
    }

    /// The ways worth trying: of those that go on with the same byte the shortest few, and those
    /// first that close a bracket.
    fn chosen(&self, mut ways: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        ways.sort_by_key(|way| {
            let closes = matches!(way.last(), Some(b'}' | b']'));
            (!closes, way.len())
        });
        let most = if self.watch.is_some() { ALIKE } else { 3 };
        let mut counts = [0_usize; 256];
        ways.retain(|way| {
            let count = &mut counts[usize::from(way.last().copied().unwrap_or_default())];
            *count += 1;
            *count <= most
        });
        ways
    }

    /// Whether the answer may end behind the given tokens and `path`.
    fn ends(&mut self, path: &[u8], effort: &mut usize) -> bool {
        let items = self.parser.parser_stats().all_items;
        let end = self.vocabulary.ends()[0];
        let tokens = [&self.given, &self.vocabulary.spell(path), &[end][..]].concat();
        let valid = self.parser.validate_tokens_raw(&tokens);
        let items = self.parser.parser_stats().all_items - items;
        *effort = effort.saturating_sub(tokens.len() + items);
        valid.is_ok_and(|valid| valid == tokens.len()) && self.keeps_watch(path)
    }

    fn keeps_watch(&self, path: &[u8]) -> bool {
        self.watch.clone().is_none_or(|mut watch| {
            let given = self.given.iter();
            watch.push(path_of(self.vocabulary, given).as_slice()) && watch.push(path)
        })
    }

    /// The ways from behind `path` through one terminal.
    fn branches(
        &mut self,
        path: &[u8],
        length: usize,
        cut: &mut bool,
        effort: &mut usize,
    ) -> Branches {
        let mut watch = self.watch.clone();
        let given = path_of(self.vocabulary, self.given.iter());
        if let Some(watch) = &mut watch {
            watch.push(&given);
            watch.push(path);
        }
        let room = length.saturating_sub(path.len());
        // Bytes that the grammar has taken for granted already.
        let forced = self.parser.parser.currently_forced_bytes().len();
        let whole = [given.as_slice(), path].concat();
        let pushed = whole.get(forced..).unwrap_or_default().to_vec();
        self.parser.parser.with_recognizer(|recognizer| {
            recognizer.trie_started("way");
            let items = recognizer.stats_mut().all_items;
            let reached = pushed.iter().all(|byte| recognizer.try_push_byte(*byte));
            let branches = match reached {
                true => through(recognizer, watch.as_ref(), room, cut, effort),
                false => Branches::default(),
            };
            let items = recognizer.stats_mut().all_items - items;
            *effort = effort.saturating_sub(pushed.len() + items);
            recognizer.trie_finished();
            branches
        })
    }
}

fn path_of<'a>(vocabulary: &Vocabulary, tokens: impl Iterator<Item = &'a TokenId>) -> Vec<u8> {
    tokens
        .flat_map(|token| vocabulary.bytes(*token).iter().copied())
        .collect()
}

/// Breadth first through the terminal in which `recognizer` stands.
fn through(
    recognizer: &mut ParserRecognizer<'_>,
    watch: Option<&Watch>,
    room: usize,
    cut: &mut bool,
    effort: &mut usize,
) -> Branches {
    let mut found = Branches::default();
    let alike = if watch.is_some() { ALIKE } else { 1 };
    let mut visits: HashMap<StateID, usize> = HashMap::from([(recognizer.lexer_state(), 1)]);
    // A byte ends a terminal in one way for each state before it.
    let mut exits: HashMap<(StateID, u8), usize> = HashMap::new();
    let mut queue: VecDeque<Vec<u8>> = VecDeque::from([Vec::new()]);
    while let Some(way) = queue.pop_front() {
        if visits.len() > MAX_STATES || *effort == 0 {
            break;
        }
        *effort = effort.saturating_sub(way.len() + TRIES);
        let pushed = way
            .iter()
            .take_while(|byte| recognizer.try_push_byte(**byte))
            .count();
        let state = recognizer.lexer_state();
        if !way.is_empty() && !recognizer.lexer_mut().try_lexeme_end(state).is_error() {
            found.ends.push(way.clone());
        }
        if way.len() >= room {
            *cut = true;
        } else {
            for byte in bytes_after(way.last()) {
                let before = rows(recognizer);
                if !recognizer.try_push_byte(byte) {
                    continue;
                }
                let next = recognizer.lexer_state();
                let moved = rows(recognizer) != before;
                recognizer.pop_bytes(1);
                let seen = match moved {
                    true => exits.entry((state, byte)).or_default(),
                    false => visits.entry(next).or_default(),
                };
                if *seen >= alike {
                    continue;
                }
                let longer = [way.as_slice(), &[byte]].concat();
                if watch.is_some_and(|watch| !watch.clone().push(&longer)) {
                    continue;
                }
                *seen += 1;
                match moved {
                    true => found.onward.push(longer),
                    false => queue.push_back(longer),
                }
            }
        }
        recognizer.pop_bytes(pushed);
    }
    found
}

/// The bytes that may follow in a text, the plainest first.
fn bytes_after(last: Option<&u8>) -> impl Iterator<Item = u8> {
    // At the start it may stand inside a character.
    let open = last.is_none_or(|byte| *byte >= 0x80);
    let letters = (b'a'..=b'z').chain(b'0'..=b'9');
    let others =
        (0x20..0x7f).filter(|byte: &u8| !byte.is_ascii_lowercase() && !byte.is_ascii_digit());
    let ascii = letters.chain(others).chain([b'\n', b'\t', b'\r']);
    let rest = (0x80..0xc2).filter(move |_| open);
    ascii
        .chain(rest)
        .chain(0xc2..0xf5)
        .chain((0..0x20).filter(|byte| !b"\n\t\r".contains(byte)))
}

/// How many rows the parser has made: a byte that makes one has ended a terminal.
pub(super) fn rows(recognizer: &mut ParserRecognizer<'_>) -> usize {
    let stats = recognizer.stats_mut();
    stats.rows + stats.cached_rows
}
