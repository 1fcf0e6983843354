//! Tokens that are likely to come next because the text has them already.
//!
//! Answers quote what they were given, so what followed the last few tokens before probably
//! follows them again (prompt lookup decoding, Saxena, 2023). Guessed tokens are read together
//! with the last written one, and are taken only where they are what the model chooses: the text
//! is the same as without them.

use std::ops::RangeInclusive;

/// How many tokens must have stood together before.
const KNOWN: RangeInclusive<usize> = 2..=3;

/// How many tokens are guessed at first.
const FIRST: usize = 4;

/// The most passes without a guess after guesses that were wrong.
const LONGEST_REST: usize = 32;

/// Guesses for one text, more of them as long as they are right.
#[derive(Debug)]
pub(super) struct Guesser {
    most: usize,
    length: usize,
    /// Guesses in a row of which nothing was right.
    misses: u32,
    /// Passes left without a guess.
    rest: usize,
}

impl Guesser {
    /// At most `most` tokens at a time; with 0 it never guesses.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            length: FIRST.min(most),
            misses: 0,
            rest: 0,
        }
    }

    /// At most `limit` tokens that may follow `text`.
    pub fn guess(&mut self, text: &[u32], limit: usize) -> Vec<u32> {
        if self.rest > 0 {
            self.rest -= 1;
            return Vec::new();
        }
        continuation(text, self.length.min(limit))
    }

    /// Learns how many of the tokens that it guessed were right.
    pub fn learn(&mut self, guessed: usize, right: usize) {
        if guessed == 0 {
            return;
        }
        if right == 0 {
            self.misses += 1;
            self.rest = LONGEST_REST.min(1 << self.misses.min(16));
        } else {
            self.misses = 0;
        }
        self.length = match right {
            all if all == guessed => 2 * self.length,
            some => some + 1,
        }
        .clamp(1, self.most.max(1));
    }
}

/// What followed the last time that the text ended as it does now; from there on as often as it
/// takes.
fn continuation(text: &[u32], length: usize) -> Vec<u32> {
    for known in KNOWN.rev() {
        let Some(start) = text.len().checked_sub(known) else {
            continue;
        };
        let ending = &text[start..];
        let before = text[..text.len() - 1].windows(known);
        if let Some(at) = before.rev().position(|tokens| tokens == ending) {
            let period = at + 1;
            let next = (0..length).map(|index| text[text.len() - period + index % period]);
            return next.collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::{Guesser, continuation};

    #[test]
    fn what_followed_before_follows_again() {
        // The text, how many tokens are wanted, and those that are guessed.
        let cases: [(&[u32], usize, &[u32]); 9] = [
            (&[1, 2, 3, 4, 5, 1, 2], 3, &[3, 4, 5]),
            (&[1, 2, 3, 4, 5, 1, 2], 7, &[3, 4, 5, 1, 2, 3, 4]),
            // The last time counts, and more tokens in common before it.
            (&[1, 2, 8, 1, 2, 9, 1, 2], 1, &[9]),
            (&[7, 1, 2, 8, 1, 2, 9, 7, 1, 2], 1, &[8]),
            (&[5, 5, 5], 4, &[5, 5, 5, 5]),
            (&[1, 2, 3], 4, &[]),
            (&[1, 2, 1, 2], 0, &[]),
            (&[1], 4, &[]),
            (&[], 4, &[]),
        ];
        for (text, length, expected) in cases {
            assert_eq!(continuation(text, length), expected, "{text:?}");
        }
    }

    #[test]
    fn guesses_grow_while_they_are_right_and_rest_when_they_are_not() {
        let text = [1, 2, 3, 1, 2, 3, 1, 2, 3];
        let mut guesser = Guesser::new(10);
        for expected in [4, 8, 10, 10] {
            let guess = guesser.guess(&text, 100).len();
            assert_eq!(guess, expected);
            guesser.learn(guess, guess);
        }
        guesser.learn(10, 2);
        assert_eq!(guesser.guess(&text, 100).len(), 3);
        guesser.learn(3, 0);
        let next = (0..4).map(|_| guesser.guess(&text, 100).len());
        assert_eq!(next.collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert!(Guesser::new(0).guess(&text, 100).is_empty());
        assert!(Guesser::new(8).guess(&text, 0).is_empty());
    }
}
