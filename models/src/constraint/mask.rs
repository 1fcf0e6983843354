//! The tokens that may come next.

use llguidance::toktrie::SimpleVob;

/// A set of tokens, one bit for each of the vocabulary.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    words: Vec<u32>,
    vocabulary: usize,
}

impl Mask {
    pub(super) fn new(set: &SimpleVob, vocabulary: usize) -> Self {
        let mut words = set.as_slice().to_vec();
        words.resize(vocabulary.div_ceil(32), 0);
        if let (Some(last), 1..) = (words.last_mut(), vocabulary % 32) {
            *last &= (1 << (vocabulary % 32)) - 1;
        }
        Self { words, vocabulary }
    }

    pub(super) fn of(tokens: &[u32], vocabulary: usize) -> Self {
        let mut mask = Self {
            words: vec![0; vocabulary.div_ceil(32)],
            vocabulary,
        };
        for token in tokens {
            mask.insert(*token);
        }
        mask
    }

    pub(super) fn insert(&mut self, token: u32) {
        if (token as usize) < self.vocabulary {
            self.words[token as usize / 32] |= 1 << (token % 32);
        }
    }

    pub(super) fn remove(&mut self, token: u32) {
        if (token as usize) < self.vocabulary {
            self.words[token as usize / 32] &= !(1 << (token % 32));
        }
    }

    /// Whether no token may come next.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Whether `token` may come next. Never for ids past the vocabulary.
    pub fn allows(&self, token: u32) -> bool {
        (token as usize) < self.vocabulary
            && self.words[token as usize / 32] & (1 << (token % 32)) != 0
    }

    /// How many tokens may come next.
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// The tokens that may come next, in order.
    pub fn tokens(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                (rest != 0).then(|| {
                    let bit = rest.trailing_zeros();
                    rest &= rest - 1;
                    index as u32 * 32 + bit
                })
            })
        })
    }

    /// The only token that may come next, if there is just one.
    pub fn only(&self) -> Option<u32> {
        let mut tokens = self.tokens();
        let first = tokens.next()?;
        tokens.next().is_none().then_some(first)
    }

    /// The set as words of 32 bits: token `t` is bit `t % 32` of word `t / 32`.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Makes every logit impossible (minus infinity) whose token may not come next. Rows past the
    /// vocabulary, which some models have as padding, are never possible.
    pub fn apply(&self, logits: &mut [f32]) {
        for (word, logits) in self.words.iter().zip(logits.chunks_mut(32)) {
            if *word == u32::MAX {
                continue;
            }
            for (bit, logit) in logits.iter_mut().enumerate() {
                if word & (1 << bit) == 0 {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let known = logits.len().min(self.words.len() * 32);
        logits[known..].fill(f32::NEG_INFINITY);
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} of {})", self.count(), self.vocabulary)
    }
}
