//! Short convolutions along a sequence.

use super::attention::KvCache;
use super::parallel::{Shared, divide};

/// The causal convolution, channel by channel, of the last positions of several sequences.
///
/// Row `p` of the output is `Σ taps[j] · row(p − reach + 1 + j)`, where `taps` is
/// `[reach, width]` and rows before the first position are zero. `caches` has each sequence's
/// cache of rows and how many rows of `out`, `[m, width]`, are for its last positions, whose own
/// rows are in it already.
///
/// # Panics
///
/// When the lengths do not fit.
pub fn causal_convolution(taps: &[f32], caches: &[(&KvCache, usize)], out: &mut [f32]) {
    let Some((first, _)) = caches.first() else {
        return assert!(out.is_empty(), "outputs of no sequence");
    };
    let width = first.width();
    let reach = taps.len() / width;
    let m: usize = caches.iter().map(|(_, rows)| rows).sum();
    assert!(
        reach > 0 && taps.len() == reach * width && out.len() == m * width,
        "{} taps and {} outputs in {m} rows of {width}",
        taps.len(),
        out.len()
    );
    let mut places = Vec::with_capacity(m);
    for (cache, rows) in caches {
        assert!(
            cache.width() == width && *rows <= cache.len(),
            "{rows} rows of a cache of {} rows of {}",
            cache.len(),
            cache.width()
        );
        places.extend((cache.len() - rows..cache.len()).map(|position| (*cache, position)));
    }
    let out = Shared::new(out);
    divide(m, 8 * reach * width, |range| {
        for row in range {
            let (cache, position) = places[row];
            // SAFETY: every row is written once.
            let out = unsafe { out.slice(row * width, width) };
            out.fill(0.0);
            for (age, taps) in taps.chunks_exact(width).rev().enumerate().rev() {
                let Some(from) = position.checked_sub(age) else {
                    continue;
                };
                for ((out, tap), x) in out.iter_mut().zip(taps).zip(cache.row(from)) {
                    *out += tap * x;
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::attention::CacheMeter;
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * seed).sin()).collect()
    }

    #[test]
    fn convolutions_are_those_of_the_formula_in_any_cut() {
        for (width, reach, t) in [(20, 3, 150), (1, 1, 5), (33, 4, 70)] {
            let (taps, x) = (numbers(reach * width, 0.7), numbers(t * width, 0.31));
            let run = |chunk: usize| {
                let mut cache = KvCache::of_rows(width, &CacheMeter::default());
                let mut out = vec![f32::NAN; t * width];
                let rows = out.chunks_mut(chunk * width);
                for (x, out) in x.chunks(chunk * width).zip(rows) {
                    cache.push(&[], x);
                    causal_convolution(&taps, &[(&cache, x.len() / width)], out);
                }
                out
            };
            let whole = run(t);
            for (at, out) in whole.iter().enumerate() {
                let (row, channel) = (at / width, at % width);
                let expected: f64 = (0..reach)
                    .filter(|j| row + j + 1 >= reach)
                    .map(|j| {
                        let from = (row + j + 1 - reach) * width + channel;
                        f64::from(taps[j * width + channel]) * f64::from(x[from])
                    })
                    .sum();
                assert!(
                    (f64::from(*out) - expected).abs() < 1e-6,
                    "{out}, not {expected}"
                );
            }
            for chunk in [1, 2, 64] {
                assert_eq!(run(chunk), whole);
            }
        }
    }

    #[test]
    fn sequences_together_are_as_alone() {
        let width = 48;
        let taps = numbers(3 * width, 0.9);
        let caches: Vec<KvCache> = [(70, 0.2), (1, 0.3), (9, 0.4)]
            .into_iter()
            .map(|(t, seed)| {
                let mut cache = KvCache::of_rows(width, &CacheMeter::default());
                cache.push(&[], &numbers(t * width, seed));
                cache
            })
            .collect();
        let batch: Vec<_> = caches.iter().zip([5, 1, 9]).collect();
        let mut together = vec![f32::NAN; 15 * width];
        causal_convolution(&taps, &batch, &mut together);
        let mut start = 0;
        for (cache, rows) in batch {
            let mut alone = vec![f32::NAN; rows * width];
            causal_convolution(&taps, &[(cache, rows)], &mut alone);
            assert_eq!(alone, together[start..start + rows * width]);
            start += rows * width;
        }
    }
}
