//! Ending in time: a way to the end is known before it is needed.
//!
//! Far from the limit nothing is done. Once a single token could carry the answer out of reach of
//! its end, [`Constraint::mask_within`] keeps a known way to the end and allows a token only when
//! from behind it, too, a way is known that fits. So the last tokens always suffice: by
//! construction, not by luck.

use std::collections::HashMap;
use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use llguidance::TokenParser;
use llguidance::derivre::StateID;
use llguidance::earley::ParserRecognizer;
use llguidance::toktrie::{Recognizer, TokTrie, TokenId, TrieNode};

use super::mask::Mask;
use super::progress::Constraint;
use super::search::{Search, rows};
use super::watch::Watch;

/// The effort of a search that has to find something; its measure is [`Search::effort`].
const FIRST_EFFORT: usize = 3_000_000;
/// The effort of a search from behind one token.
const EFFORT: usize = 20_000;
/// The effort of all searches for one mask.
const MASK_EFFORT: usize = 120_000;
/// What looking at all costs, however little is found.
const LOOK: usize = 500;
/// Tokens of one group that are looked at one by one.
const MAX_APART: usize = 64;
/// A way of more bytes for each token that is left is not looked for.
const BYTES_A_TOKEN: usize = 16;

/// The known way to the end.
#[derive(Debug, Clone)]
pub(super) struct Closing {
    /// The most bytes one part of the form needs to be finished; `None`: not known.
    growth: Option<usize>,
    /// The last known way: tokens up to an acceptable end.
    way: Option<Vec<TokenId>>,
    /// Tokens committed since it was known, other than its own.
    since: usize,
    /// For the tokens of the last mask, the way from behind each.
    behind: Behind,
    /// Those of the mask before, which often still hold.
    hints: Behind,
    /// Whether anything was searched for yet.
    begun: bool,
    /// The last groups, and where they were found.
    groups: Option<(StateID, Mask, Arc<Groups>)>,
}

type Behind = Arc<Vec<(Vec<TokenId>, Vec<TokenId>)>>;
type Groups = Vec<Vec<TokenId>>;

impl Closing {
    pub fn new(growth: Option<usize>) -> Self {
        Self {
            growth,
            way: None,
            since: 0,
            behind: Arc::default(),
            hints: Arc::default(),
            begun: false,
            groups: None,
        }
    }

    pub fn advance(&mut self, token: TokenId) {
        let known = self.behind.iter().find(|(group, _)| group.contains(&token));
        match (&mut self.way, known) {
            (Some(way), _) if self.since == 0 && way.first() == Some(&token) => {
                way.remove(0);
            }
            (_, Some((_, way))) => {
                self.way = Some(way.clone());
                self.since = 0;
            }
            _ => self.since += 1,
        }
        self.hints = std::mem::take(&mut self.behind);
    }

    /// Whether any way of `left` tokens may be missed by the next token.
    fn is_near(&self, left: usize) -> bool {
        let (Some(growth), Some(way)) = (self.growth, &self.way) else {
            return true;
        };
        // Searches find ways that are not the shortest, so there is room for more.
        let step = growth.saturating_add(growth / 2).saturating_add(8);
        left <= way
            .len()
            .saturating_add(step.saturating_mul(self.since + 1))
    }
}

impl Constraint {
    /// The fewest tokens found that lead to an acceptable end from here, the token that ends the
    /// answer not counted; `None` when no way of `at_most` tokens is found.
    pub fn tokens_to_close(&mut self, at_most: usize) -> Option<usize> {
        self.know_way(at_most)?;
        let length = self.closing.way.as_ref().map(Vec::len)?;
        (length <= at_most).then_some(length)
    }

    /// Checks, before anything is generated, that the form can be closed within `max_tokens`.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) with the numbers when it cannot.
    pub fn check_budget(&mut self, max_tokens: usize) -> Result<()> {
        if self.tokens_to_close(max_tokens).is_some() {
            return Ok(());
        }
        let why = match self.tokens_to_close(max_tokens.saturating_mul(4).max(2_000)) {
            Some(needed) => format!("it needs {needed} tokens, {max_tokens} are allowed"),
            None => format!("no text of it within {max_tokens} tokens was found"),
        };
        Err(
            Error::new(ErrorKind::LimitExceeded, "form of the answer", why)
                .hint("raise the token limit or simplify the form"),
        )
    }

    /// Like [`Constraint::mask`] where at most `left` more tokens may be committed, the one that
    /// ends the answer not counted: only continuations that can still be closed are allowed.
    ///
    /// Whoever follows it from the start, with `left` one less after each token, always gets a
    /// complete answer. Where no tokens are left, only the end is allowed.
    ///
    /// # Errors
    ///
    /// Those of [`Constraint::mask`]; [`LimitExceeded`](ErrorKind::LimitExceeded) when the form
    /// cannot be closed within `left` tokens from here.
    pub fn mask_within(&mut self, left: usize) -> Result<Mask> {
        if self.must_end() || (left == 0 && self.is_complete()) {
            return Ok(self.only_ends());
        }
        if !self.closing.is_near(left) {
            return self.mask();
        }
        self.know_way(left);
        let way = self.closing.way.clone().filter(|way| way.len() <= left);
        let Some(way) = way else {
            self.check_budget(left)?;
            let why = format!("it cannot be closed within {left} tokens");
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                "form of the answer",
                why,
            ));
        };
        match self.closing.is_near(left) {
            true => self.closable(&way, left),
            false => self.mask(),
        }
    }

    /// Makes the known way one from here, if a way of `at_most` tokens is found.
    fn know_way(&mut self, at_most: usize) -> Option<()> {
        if let Some(way) = &self.closing.way
            && self.closing.since == 0
            && way.len() <= at_most
        {
            return Some(());
        }
        let old = self.closing.way.take().unwrap_or_default();
        let way = match self.rest_of(&[], &old) {
            Some(rest) if rest.len() <= at_most => rest,
            _ => self.search(&[], at_most, &mut { FIRST_EFFORT })?,
        };
        self.closing.way = Some(way);
        self.closing.since = 0;
        Some(())
    }

    /// The shortest end of `way` that leads from behind `before` to an acceptable end.
    fn rest_of(&mut self, before: &[TokenId], way: &[TokenId]) -> Option<Vec<TokenId>> {
        for skipped in (0..=way.len().min(3)).rev() {
            let rest = &way[skipped..];
            if self.leads_to_end(before, rest) {
                return Some(rest.to_vec());
            }
        }
        None
    }

    /// Whether the answer may end behind `before` and `rest`.
    fn leads_to_end(&mut self, before: &[TokenId], rest: &[TokenId]) -> bool {
        if self.must_end() {
            return before.is_empty() && rest.is_empty();
        }
        let tokens = [before, rest, &self.vocabulary.ends()[..1]].concat();
        let continues = self.continues(&tokens).unwrap_or(false);
        continues
            && self.watch.clone().is_none_or(|mut watch| {
                let mut text = before.iter().chain(rest);
                text.all(|token| watch.push(self.vocabulary.bytes(*token)))
            })
    }

    /// Looks for a way of at most `at_most` tokens from behind `given` to the end, and takes what
    /// that costs off `effort`.
    fn search(
        &mut self,
        given: &[TokenId],
        at_most: usize,
        effort: &mut usize,
    ) -> Option<Vec<TokenId>> {
        if given.is_empty() && self.is_complete() {
            return Some(Vec::new());
        }
        if self.must_end() {
            return None;
        }
        if given.is_empty() && self.closing.begun {
            // Only a mask that is not remembered fills up what the lexer may spend.
            self.parser.invalidate_bias_cache();
            self.mask().ok()?;
        }
        self.closing.begun = true;
        let (vocabulary, watch) = (self.vocabulary.clone(), self.watch.clone());
        let steps = *effort;
        let (path, left) = self
            .run("looking for an end", |parser| {
                let mut search = Search {
                    vocabulary: &vocabulary,
                    parser,
                    watch,
                    given: given.to_vec(),
                    effort: steps,
                };
                let path = search.run(at_most.saturating_mul(BYTES_A_TOKEN).max(16));
                (path, search.effort)
            })
            .ok()?;
        *effort = left;
        let path = path?;
        // As the tokenizer cuts it; or, where that joins what must stay apart, as it fits.
        [
            self.vocabulary.encode_bytes(&path),
            self.vocabulary.spell(&path),
        ]
        .into_iter()
        .find(|way| way.len() <= at_most && self.leads_to_end(given, way))
    }

    /// The tokens behind which a way to the end of at most `left - 1` tokens is known. `way` is
    /// one from here.
    fn closable(&mut self, way: &[TokenId], left: usize) -> Result<Mask> {
        let mut mask = match self.is_complete() {
            true => self.only_ends(),
            false => Mask::of(&[], self.vocabulary.size()),
        };
        if left == 0 {
            return Ok(mask);
        }
        if let Some(next) = way.first() {
            mask.insert(*next);
        }
        let allowed = self.mask()?;
        let groups = self.groups(&allowed)?;
        let hints = std::mem::take(&mut self.closing.hints);
        let hint = |token: TokenId| hints.iter().find(|(group, _)| group[0] == token);
        let mut behind = Vec::new();
        let mut unsure = Vec::new();
        for group in groups {
            let known = hint(group[0])
                .map(|(_, way)| way.clone())
                .filter(|way| way.len() < left && self.leads_to_end(&group[..1], way))
                .or_else(|| self.rest_of(&group[..1], way));
            match known {
                Some(rest) if rest.len() < left => behind.push((group, rest)),
                _ => unsure.push(group),
            }
        }
        // Few characters first: they are what structure is made of.
        unsure.sort_by_key(|group| self.vocabulary.bytes(group[0]).len());
        let mut effort = MASK_EFFORT;
        for group in unsure {
            let mut steps = effort.min(EFFORT);
            let before = steps;
            let found = self.search(&group[..1], left - 1, &mut steps);
            effort = effort.saturating_sub(before - steps + LOOK);
            behind.extend(found.map(|rest| (group, rest)));
            if effort == 0 {
                break;
            }
        }
        for (group, _) in &behind {
            group.iter().for_each(|token| mask.insert(*token));
        }
        self.closing.behind = Arc::new(behind);
        Ok(mask)
    }

    /// The allowed tokens in groups after which the answer stands in the same place.
    fn groups(&mut self, allowed: &Mask) -> Result<Groups> {
        let vocabulary = self.vocabulary.clone();
        let last = self.closing.groups.take();
        let (state, groups) = self.run("looking at the next tokens", |parser| {
            let within = parser.parser.currently_forced_bytes().is_empty();
            let state = parser
                .parser
                .with_recognizer(|recognizer| recognizer.lexer_state());
            // Inside one terminal the next tokens go where the last ones went.
            let groups = match last {
                Some((known, mask, groups)) if within && known == state && mask == *allowed => {
                    groups
                }
                _ => Arc::new(walk(vocabulary.trie(), parser, allowed)),
            };
            (within.then_some(state), groups)
        })?;
        self.closing.groups = state.map(|state| (state, allowed.clone(), groups.clone()));
        let groups = groups.to_vec();
        Ok(match self.watch.as_ref().is_some_and(Watch::is_alert) {
            true => apart(groups),
            false => groups,
        })
    }
}

/// Groups of tokens after which the grammar stands in the same place.
fn walk(trie: &TokTrie, parser: &mut TokenParser, allowed: &Mask) -> Groups {
    // Bytes that must come and that no token has brought yet.
    let forced = parser.parser.currently_forced_bytes().to_vec();
    let mut walk = Walk {
        trie,
        allowed,
        same: HashMap::new(),
        apart: Vec::new(),
    };
    let mut node = Some(trie.root());
    for byte in &forced {
        node = node.and_then(|node| trie.child_at_byte(node, *byte));
        if let Some(token) = node.and_then(TrieNode::token_id)
            && allowed.allows(token)
        {
            walk.apart.push(vec![token]);
        }
    }
    if let Some(node) = node {
        parser.parser.with_recognizer(|recognizer| {
            recognizer.trie_started("groups");
            walk.below(node, recognizer, false);
            recognizer.trie_finished();
        });
    }
    let Walk { same, apart, .. } = walk;
    let mut groups = apart;
    groups.extend(same.into_values());
    groups.sort_unstable();
    groups
}

/// Small groups token by token: what a watch forbids may be one of them alone. In large ones, such
/// as all that may stand in a string, there is always another.
fn apart(groups: Groups) -> Groups {
    let mut split = Vec::with_capacity(groups.len());
    for group in groups {
        match group.len() <= MAX_APART {
            true => split.extend(group.into_iter().map(|token| vec![token])),
            false => split.push(group),
        }
    }
    split
}

struct Walk<'a> {
    trie: &'a TokTrie,
    allowed: &'a Mask,
    /// Tokens inside one terminal, by where its automaton stands behind them.
    same: HashMap<StateID, Vec<TokenId>>,
    /// Tokens that finish a terminal, each for itself.
    apart: Vec<Vec<TokenId>>,
}

impl Walk<'_> {
    /// Visits the tokens below `node`; `moved`: a terminal was finished on the way to it.
    fn below(&mut self, node: &TrieNode, recognizer: &mut ParserRecognizer<'_>, moved: bool) {
        for child in self.trie.node_children(node) {
            let rows_before = rows(recognizer);
            if !recognizer.try_push_byte(child.byte()) {
                continue;
            }
            let moved = moved || rows(recognizer) != rows_before;
            if let Some(token) = child.token_id()
                && self.allowed.allows(token)
            {
                match moved {
                    true => self.apart.push(vec![token]),
                    false => {
                        let state = recognizer.lexer_state();
                        self.same.entry(state).or_default().push(token);
                    }
                }
            }
            self.below(child, recognizer, moved);
            recognizer.pop_bytes(1);
        }
    }
}
