//! Choosing the next token from a row of logits.
//!
//! The steps, in this order: repetition penalty (Keskar et al., "CTRL", 2019), temperature,
//! top-k (Fan et al., 2018), min-p (Nguyen et al., 2024), top-p (Holtzman et al., "The Curious
//! Case of Neural Text Degeneration", 2020), then a draw. Equal logits rank by token id, so a
//! seed makes the choice repeatable on one build.

use std::cmp::Ordering;

use crate::constraint::Mask;
use corbie_core::{Result, Sampling};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Chooses tokens for one answer.
///
/// ```
/// use corbie_core::Sampling;
/// use corbie_models::sampling::Sampler;
///
/// let mut greedy = Sampler::new(&Sampling::default())?;
/// assert_eq!(greedy.choose(&[0.1, 2.0, f32::NAN], &[]), Some(1));
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Sampler {
    options: Sampling,
    rng: StdRng,
    logits: Vec<f32>,
    candidates: Vec<Candidate>,
}

/// A token that may be chosen, with its logit and, later, its weight in the draw.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    token: u32,
    logit: f32,
}

/// Likelier first; of equals the lower token.
fn rank(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

impl Sampler {
    /// A sampler with these options.
    ///
    /// # Errors
    ///
    /// Those of [`Sampling::validate`].
    pub fn new(options: &Sampling) -> Result<Self> {
        options.validate()?;
        Ok(Self {
            rng: match options.seed {
                Some(seed) => StdRng::seed_from_u64(seed),
                None => StdRng::from_rng(&mut rand::rng()),
            },
            options: *options,
            logits: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// The next token after `history`, or `None` when no logit is a number.
    pub fn choose(&mut self, logits: &[f32], history: &[u32]) -> Option<u32> {
        self.choose_of(logits, history, None)
    }

    /// The next token after `history` among those that `mask` allows, or `None` when no logit of
    /// theirs is a finite number.
    pub fn choose_of(
        &mut self,
        logits: &[f32],
        history: &[u32],
        mask: Option<&Mask>,
    ) -> Option<u32> {
        let mut changed = std::mem::take(&mut self.logits);
        let penalty = self.options.repetition_penalty;
        let logits = if penalty == 1.0 {
            logits
        } else {
            changed.clear();
            changed.extend_from_slice(logits);
            let first = history.len().saturating_sub(self.options.repetition_window);
            penalise(&mut changed, &history[first..], penalty);
            &changed
        };
        let choice = match self.options.temperature {
            0.0 => likeliest(logits, mask),
            temperature => self.draw(logits, mask, temperature),
        };
        let possible = |token: &u32| logits[*token as usize] > f32::NEG_INFINITY;
        let choice = choice.filter(|token| mask.is_none() || possible(token));
        self.logits = changed;
        choice
    }

    fn draw(&mut self, logits: &[f32], mask: Option<&Mask>, temperature: f32) -> Option<u32> {
        let max = logits[likeliest(logits, mask)? as usize];
        let mut candidates = std::mem::take(&mut self.candidates);
        candidates.clear();
        candidates.extend(
            (0..)
                .zip(logits)
                .filter(|(token, _)| mask.is_none_or(|mask| mask.allows(*token)))
                .filter(|(_, logit)| **logit == max || **logit > f32::NEG_INFINITY)
                .map(|(token, logit)| Candidate {
                    token,
                    // The difference first: of two huge logits the quotients may be infinite.
                    logit: if *logit == max {
                        0.0
                    } else {
                        (logit - max) / temperature
                    },
                }),
        );
        if let Some(k) = self.options.top_k.filter(|k| *k < candidates.len()) {
            candidates.select_nth_unstable_by(k, rank);
            candidates.truncate(k);
        }
        if self.options.min_p > 0.0 {
            let least = self.options.min_p.ln();
            candidates.retain(|candidate| candidate.logit >= least);
        }
        if self.options.top_p < 1.0 {
            keep_nucleus(&mut candidates, self.options.top_p);
        }
        let choice = pick(&candidates, self.rng.random());
        self.candidates = candidates;
        choice
    }
}

/// The weight of a candidate in the draw: its probability, not yet divided by their sum.
fn weight(candidate: &Candidate) -> f64 {
    f64::from(candidate.logit).exp()
}

/// The token with the highest logit among those that may come, the first of equals; logits that
/// are no number are passed over.
fn likeliest(logits: &[f32], mask: Option<&Mask>) -> Option<u32> {
    let words = mask.map(Mask::words);
    let mut best: Option<(u32, f32)> = None;
    for (index, chunk) in logits.chunks(32).enumerate() {
        let allowed = words.map_or(u32::MAX, |words| words.get(index).copied().unwrap_or(0));
        // Most chunks have nothing better, and that is soon seen.
        if allowed == 0 || best.is_some_and(|(_, best)| best >= largest(chunk)) {
            continue;
        }
        for (bit, logit) in (0..).zip(chunk) {
            let may_come = allowed & (1 << bit) != 0 && !logit.is_nan();
            if may_come && best.is_none_or(|(_, best)| *logit > best) {
                best = Some((index as u32 * 32 + bit, *logit));
            }
        }
    }
    best.map(|(token, _)| token)
}

/// The largest number of a chunk, in lanes that are compared at once.
fn largest(chunk: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 8];
    for part in chunk.chunks(8) {
        for (lane, logit) in lanes.iter_mut().zip(part) {
            *lane = larger(*lane, *logit);
        }
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, larger)
}

/// Makes each token of `seen` less likely, once.
fn penalise(logits: &mut [f32], seen: &[u32], penalty: f32) {
    let mut seen = seen.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for token in seen {
        if let Some(logit) = logits.get_mut(token as usize) {
            *logit = match *logit > 0.0 {
                true => *logit / penalty,
                false => *logit * penalty,
            };
        }
    }
}

/// Keeps the fewest likeliest candidates that together have the share `p`.
fn keep_nucleus(candidates: &mut Vec<Candidate>, p: f32) {
    let total: f64 = candidates.iter().map(weight).sum();
    let wanted = total * f64::from(p);
    // The nucleus is small as a rule: sorting a few of a large vocabulary is enough.
    let mut sorted = 0;
    let mut sum = 0.0;
    while sorted < candidates.len() {
        let next = (sorted.max(64) * 4).min(candidates.len());
        if next < candidates.len() {
            candidates[sorted..].select_nth_unstable_by(next - sorted, rank);
        }
        candidates[sorted..next].sort_unstable_by(rank);
        for index in sorted..next {
            sum += weight(&candidates[index]);
            if sum >= wanted {
                candidates.truncate(index + 1);
                return;
            }
        }
        sorted = next;
    }
}

/// The candidate at `point`, between 0 and 1, of the line on which each is as long as its weight.
fn pick(candidates: &[Candidate], point: f64) -> Option<u32> {
    let total: f64 = candidates.iter().map(weight).sum();
    let mut left = point * total;
    for candidate in candidates {
        left -= weight(candidate);
        if left < 0.0 {
            return Some(candidate.token);
        }
    }
    // Rounding can leave a crumb past the end.
    candidates.last().map(|candidate| candidate.token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const LOGITS: [f32; 6] = [1.0, 3.0, f32::NAN, 2.0, f32::NEG_INFINITY, 3.0];

    fn options(change: impl FnOnce(&mut Sampling)) -> Sampling {
        let mut options = Sampling {
            temperature: 1.0,
            seed: Some(7),
            ..Sampling::default()
        };
        change(&mut options);
        options
    }

    /// The tokens that 2,000 draws choose, sorted.
    fn drawn(options: &Sampling, logits: &[f32], history: &[u32]) -> Vec<u32> {
        let mut sampler = Sampler::new(options).unwrap();
        let draws = (0..2000).map(|_| sampler.choose(logits, history).unwrap());
        let mut tokens: Vec<u32> = draws.collect();
        tokens.sort_unstable();
        tokens.dedup();
        tokens
    }

    #[test]
    fn each_option_keeps_its_tokens() {
        let cases: [(&str, Sampling, &[u32], &[u32]); 10] = [
            ("greedy", Sampling::default(), &[], &[1]),
            ("all", options(|_| ()), &[], &[0, 1, 3, 5]),
            ("top-k 1", options(|o| o.top_k = Some(1)), &[], &[1]),
            ("top-k 3", options(|o| o.top_k = Some(3)), &[], &[1, 3, 5]),
            (
                "top-k over all",
                options(|o| o.top_k = Some(99)),
                &[],
                &[0, 1, 3, 5],
            ),
            (
                "top-p of the two likeliest",
                options(|o| o.top_p = 0.7),
                &[],
                &[1, 5],
            ),
            ("top-p nearly none", options(|o| o.top_p = 1e-6), &[], &[1]),
            ("min-p", options(|o| o.min_p = 0.3), &[], &[1, 3, 5]),
            ("cold", options(|o| o.temperature = 0.01), &[], &[1, 5]),
            (
                "penalty",
                Sampling {
                    repetition_penalty: 2.0,
                    ..Sampling::default()
                },
                &[1, 5, 5],
                &[3],
            ),
        ];
        for (name, options, history, expected) in cases {
            assert_eq!(drawn(&options, &LOGITS, history), expected, "{name}");
        }
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let mut sampler = Sampler::new(&options(|_| ())).unwrap();
        let logits = [0.0f32, 2.0f32.ln(), 5.0f32.ln()];
        let mut counts = [0i32; 3];
        for _ in 0..16_000 {
            counts[sampler.choose(&logits, &[]).unwrap() as usize] += 1;
        }
        for (count, expected) in counts.iter().zip([2000, 4000, 10_000]) {
            assert!((count - expected).abs() < 250, "{counts:?}");
        }
    }

    #[test]
    fn a_seed_repeats_the_choices() {
        let logits: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.37).sin() * 4.0).collect();
        let options = options(|o| o.top_p = 0.95);
        let run = || -> Vec<u32> {
            let mut sampler = Sampler::new(&options).unwrap();
            (0..50)
                .map(|_| sampler.choose(&logits, &[]).unwrap())
                .collect()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn the_nucleus_of_a_wide_distribution_is_exact() {
        let logits: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.37).sin()).collect();
        let all = (0..).zip(&logits).map(|(token, logit)| Candidate {
            token,
            logit: *logit,
        });
        let mut kept: Vec<Candidate> = all.clone().collect();
        keep_nucleus(&mut kept, 0.5);
        let mut sorted: Vec<Candidate> = all.collect();
        sorted.sort_unstable_by(rank);
        let half: f64 = sorted.iter().map(weight).sum::<f64>() / 2.0;
        let sum = |n: usize| sorted[..n].iter().map(weight).sum::<f64>();
        assert!(sum(kept.len()) >= half && sum(kept.len() - 1) < half);
        for (kept, sorted) in kept.iter().zip(&sorted) {
            assert_eq!(kept.token, sorted.token);
        }
    }

    #[test]
    fn strange_logits_never_panic() {
        let strange: [&[f32]; 5] = [
            &[],
            &[f32::NAN, f32::NAN],
            &[f32::INFINITY, f32::INFINITY, f32::NAN],
            &[f32::NEG_INFINITY, f32::NEG_INFINITY],
            &[f32::MAX, f32::MIN],
        ];
        for logits in strange {
            for options in [
                Sampling::default(),
                options(|o| o.top_p = 0.5),
                options(|o| o.min_p = 0.5),
                options(|o| o.repetition_penalty = 1e30),
            ] {
                let choice = Sampler::new(&options).unwrap().choose(logits, &[0, 99]);
                let numbers = logits.iter().filter(|logit| !logit.is_nan()).count();
                assert_eq!(choice.is_some(), numbers > 0, "{logits:?} {options:?}");
                if let Some(token) = choice {
                    assert!(!logits[token as usize].is_nan());
                }
            }
        }
    }
}
