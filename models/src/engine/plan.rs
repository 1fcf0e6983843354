//! How many tokens each running request reads in the next pass.

use std::ops::RangeInclusive;
use std::time::Duration;

/// So few tokens are read at once: a request that writes has one, or a few that a grammar forced.
const SHORT: usize = 16;

/// How many tokens of prompts a pass reads: many are quicker, few let the others flow, so the
/// number follows the time they take.
const BUDGETS: RangeInclusive<usize> = 16..=MOST_PROMPT_TOKENS;
/// The most tokens of prompts that a pass reads.
pub(crate) const MOST_PROMPT_TOKENS: usize = 256;

/// The longest a pass should take when nobody waits for the next token, and when somebody does.
const PATIENCE: [Duration; 2] = [Duration::from_millis(400), Duration::from_millis(150)];

/// The number of tokens of prompts in a pass.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: usize,
}

impl Budget {
    pub fn new() -> Self {
        Self { tokens: 64 }
    }

    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Learns what a full pass took; `flowing`: some requests wrote in it.
    pub fn learn(&mut self, took: Duration, flowing: bool) {
        let patience = PATIENCE[usize::from(flowing)];
        self.tokens = match took {
            took if took < patience / 3 => self.tokens * 2,
            took if took > patience => self.tokens / 2,
            _ => self.tokens,
        }
        .clamp(*BUDGETS.start(), *BUDGETS.end());
    }
}

/// Divides a pass: `unread` are the tokens each request has before it, in order of arrival; few
/// are read whole, the `budget` is shared evenly by the others.
pub(super) fn shares(unread: &[usize], budget: usize) -> Vec<usize> {
    let mut shares: Vec<usize> = unread
        .iter()
        .map(|count| if *count <= SHORT { *count } else { 0 })
        .collect();
    let long = || {
        unread
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > SHORT)
    };
    let mut left = budget;
    // Whoever needs less than an even share leaves the rest to the others.
    let mut order: Vec<(usize, usize)> = long().map(|(index, count)| (*count, index)).collect();
    order.sort_unstable();
    let mut sharing = order.len();
    for (count, index) in order {
        shares[index] = count.min(left / sharing);
        left -= shares[index];
        sharing -= 1;
    }
    // Pieces too small are slow: the first get them whole, the last wait.
    let mut spare = 0;
    for (index, count) in long().collect::<Vec<_>>().into_iter().rev() {
        if shares[index] < SHORT.min(*count) {
            spare += std::mem::take(&mut shares[index]);
        }
    }
    for (index, count) in long() {
        let more = spare.min(count - shares[index]);
        shares[index] += more;
        spare -= more;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_shared() {
        let cases: [(&[usize], usize, &[usize]); 8] = [
            (&[], 64, &[]),
            (&[1, 1, 3], 64, &[1, 1, 3]),
            (&[1000], 64, &[64]),
            (&[1000, 1, 1000], 64, &[32, 1, 32]),
            (&[20, 1000, 1000], 120, &[20, 50, 50]),
            (&[1000, 1000, 1000, 1000, 1000], 64, &[64, 0, 0, 0, 0]),
            (&[17, 17], 16, &[16, 0]),
            (&[100, 30], 256, &[100, 30]),
        ];
        for (unread, budget, expected) in cases {
            assert_eq!(shares(unread, budget), expected, "{unread:?} {budget}");
        }
    }

    #[test]
    fn every_pass_gets_on() {
        let mut unread = vec![700, 1, 90, 2000, 17, 64];
        for _ in 0..1000 {
            let shares = shares(&unread, 32);
            assert!(
                shares
                    .iter()
                    .zip(&unread)
                    .all(|(share, count)| share <= count)
            );
            assert!(shares.iter().sum::<usize>() > 0);
            unread
                .iter_mut()
                .zip(shares)
                .for_each(|(count, share)| *count -= share);
            unread.retain(|count| *count > 0);
            if unread.is_empty() {
                return;
            }
        }
        panic!("{unread:?} are left");
    }

    #[test]
    fn the_budget_follows_the_time() {
        let mut budget = Budget::new();
        for _ in 0..9 {
            budget.learn(Duration::from_millis(1), true);
        }
        assert_eq!(budget.tokens(), 256);
        budget.learn(Duration::from_millis(300), false);
        assert_eq!(budget.tokens(), 256);
        budget.learn(Duration::from_millis(300), true);
        assert_eq!(budget.tokens(), 128);
        for _ in 0..9 {
            budget.learn(Duration::from_secs(9), false);
        }
        assert_eq!(budget.tokens(), 16);
    }
}
