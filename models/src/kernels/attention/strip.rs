//! Attention of a strip of queries that share a key and value head.
//!
//! A query goes through what it sees in spans of 64 positions, counted from the start of its
//! sequence, with a running maximum and sum (Milakov and Gimelshein, 2018; Dao et al., 2022).
//! What other queries are in the strip changes nothing for it: positions that it does not see
//! have the weight zero.

use std::ops::Range;

use super::cache::{TILE, Tiles};
use crate::kernels::math::{exp, tanh};
use crate::kernels::tier::{Kernel, Lanes};

/// Positions between two looks at the maximum.
const SPAN: usize = 64;

/// Queries of a strip, at most, in any tier.
pub(super) const LONGEST: usize = 8;

/// Queries of a strip, at most: with two vectors of sums each they must fit the registers.
pub(super) const fn longest<L: Lanes>() -> usize {
    let fitting = (L::REGISTERS - 4) / 2;
    if fitting < LONGEST { fitting } else { LONGEST }
}

/// A strip of queries.
pub(super) struct Strip<'a> {
    pub tiles: Tiles<'a>,
    pub kv_head: usize,
    pub scale: f32,
    pub softcap: Option<f32>,
    /// What is added to each query's scores, by the position of the key.
    pub biases: Option<&'a [&'a [f32]]>,
    /// `[head_dim, queries]`.
    pub queries: &'a [f32],
    /// What each query sees: not empty.
    pub seen: &'a [Range<usize>],
    /// `[queries, padded head_dim]`.
    pub out: &'a mut [f32],
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        macro_rules! by_rows {
            ($($rows:literal)*) => {
                match self.seen.len() {
                    $($rows if $rows <= longest::<L>() => attend::<L, $rows>(lanes, self),)*
                    rows => unreachable!("a strip has {rows} queries"),
                }
            };
        }
        by_rows!(1 2 3 4 5 6 7 8);
    }
}

#[inline(always)]
fn attend<L: Lanes, const ROWS: usize>(lanes: L, strip: Strip<'_>) {
    let Strip {
        tiles,
        kv_head,
        queries,
        seen,
        out,
        ..
    } = strip;
    let layout = tiles.layout();
    let padded = layout.padded();
    assert!(queries.len() == ROWS * layout.head_dim && out.len() == ROWS * padded);
    out.fill(0.0);
    let mut greatest = [f32::NEG_INFINITY; ROWS];
    let mut sums = [0.0f32; ROWS];
    let mut weights = [[0.0f32; SPAN]; ROWS];
    let start = seen.iter().map(|seen| seen.start).min().unwrap_or(0);
    let end = seen.iter().map(|seen| seen.end).max().unwrap_or(0);
    for span in start / SPAN..end.div_ceil(SPAN) {
        let base = span * SPAN;
        let from = start.max(base);
        let to = end.min(base + SPAN);
        for tile in from / TILE..to.div_ceil(TILE) {
            let (keys, _) = tiles.tile(kv_head, tile);
            scores(lanes, queries, keys, tile * TILE - base, &mut weights);
        }
        let sight = from / TILE * TILE - base..to.next_multiple_of(TILE) - base;
        let mut factors = [1.0f32; ROWS];
        for row in 0..ROWS {
            // What lies out of sight of the whole strip has the weight zero and is not read.
            let weights = &mut weights[row][sight.clone()];
            let clamp = |position: usize| position.clamp(from, to) - (base + sight.start);
            let first = clamp(seen[row].start);
            let last = clamp(seen[row].end);
            if first >= last {
                weights.fill(0.0);
                continue;
            }
            bend(lanes, strip.scale, strip.softcap, weights);
            if let Some(biases) = strip.biases {
                let biases = &biases[row][base + sight.start..];
                for (weight, bias) in weights[..last].iter_mut().zip(biases) {
                    *weight += bias;
                }
            }
            weights[..first].fill(f32::NEG_INFINITY);
            weights[last..].fill(f32::NEG_INFINITY);
            factors[row] = weigh(lanes, weights, &mut greatest[row], &mut sums[row]);
        }
        let mut done = 0;
        while done < padded {
            if padded - done >= 2 * L::LANES {
                gather::<L, ROWS, 2>(
                    lanes,
                    &tiles,
                    kv_head,
                    (base, from, to),
                    done,
                    &weights,
                    &factors,
                    out,
                );
                done += 2 * L::LANES;
            } else {
                gather::<L, ROWS, 1>(
                    lanes,
                    &tiles,
                    kv_head,
                    (base, from, to),
                    done,
                    &weights,
                    &factors,
                    out,
                );
                done += L::LANES;
            }
        }
    }
    for (out, sum) in out.chunks_exact_mut(padded).zip(sums) {
        let inverse = 1.0 / sum;
        out.iter_mut().for_each(|out| *out *= inverse);
    }
}

/// Products of the queries with the 16 keys of a tile, into `scores` from `at` on.
#[inline(always)]
fn scores<L: Lanes, const ROWS: usize>(
    lanes: L,
    queries: &[f32],
    keys: &[f32],
    at: usize,
    scores: &mut [[f32; SPAN]; ROWS],
) {
    let dim = keys.len() / TILE;
    assert!(queries.len() == dim * ROWS && keys.len() == dim * TILE);
    for part in (0..TILE).step_by(L::LANES) {
        let mut sums = [lanes.splat(0.0); ROWS];
        // SAFETY: `keys` has `dim` times 16 numbers, `queries` as many times `ROWS`.
        unsafe {
            let mut keys = keys.as_ptr().add(part);
            let mut queries = queries.as_ptr();
            for _ in 0..dim {
                let key = lanes.load(keys);
                for (row, sum) in sums.iter_mut().enumerate() {
                    *sum = lanes.mul_add(key, lanes.splat(*queries.add(row)), *sum);
                }
                keys = keys.wrapping_add(TILE);
                queries = queries.add(ROWS);
            }
        }
        for (scores, sum) in scores.iter_mut().zip(sums) {
            let scores = &mut scores[at + part..at + part + L::LANES];
            // SAFETY: the slice has a vector's numbers.
            unsafe { lanes.store(scores.as_mut_ptr(), sum) };
        }
    }
}

/// Scales and caps scores.
#[inline(always)]
fn bend<L: Lanes>(lanes: L, scale: f32, softcap: Option<f32>, scores: &mut [f32]) {
    for scores in scores.chunks_exact_mut(L::LANES) {
        // SAFETY: the chunk has a vector's numbers.
        unsafe {
            let mut score = lanes.mul(lanes.load(scores.as_ptr()), lanes.splat(scale));
            if let Some(cap) = softcap {
                let part = lanes.div(score, lanes.splat(cap));
                score = lanes.mul(lanes.splat(cap), tanh(lanes, part));
            }
            lanes.store(scores.as_mut_ptr(), score);
        }
    }
}

/// Turns a span's scores into weights, relative to the greatest score so far, and adds them to
/// the sum. Gives back what the weights so far are to be multiplied by.
#[inline(always)]
fn weigh<L: Lanes>(lanes: L, scores: &mut [f32], greatest: &mut f32, sum: &mut f32) -> f32 {
    let mut top = lanes.splat(f32::NEG_INFINITY);
    for scores in scores.chunks_exact(L::LANES) {
        // SAFETY: the chunk has a vector's numbers.
        top = lanes.max(top, unsafe { lanes.load(scores.as_ptr()) });
    }
    let top = greatest.max(lanes.greatest(top));
    let mut added = lanes.splat(0.0);
    for scores in scores.chunks_exact_mut(L::LANES) {
        // SAFETY: the chunk has a vector's numbers.
        unsafe {
            let score = lanes.load(scores.as_ptr());
            let weight = exp(lanes, lanes.sub(score, lanes.splat(top)));
            added = lanes.add(added, weight);
            lanes.store(scores.as_mut_ptr(), weight);
        }
    }
    let mut factor = [0.0; 16];
    // SAFETY: no tier has more than 16 lanes.
    unsafe {
        let old = exp(lanes, lanes.splat(*greatest - top));
        lanes.store(factor.as_mut_ptr(), old);
    }
    *sum = *sum * factor[0] + lanes.sum(added);
    *greatest = top;
    factor[0]
}

/// Adds the weighted values of a span to `out`, for `VECTORS` vectors of each query from number
/// `done` on.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // An inner loop of `attend`.
fn gather<L: Lanes, const ROWS: usize, const VECTORS: usize>(
    lanes: L,
    tiles: &Tiles<'_>,
    kv_head: usize,
    (base, from, to): (usize, usize, usize),
    done: usize,
    weights: &[[f32; SPAN]; ROWS],
    factors: &[f32; ROWS],
    out: &mut [f32],
) {
    let padded = tiles.layout().padded();
    assert!(done + VECTORS * L::LANES <= padded && out.len() == ROWS * padded);
    assert!(from >= base && to <= base + SPAN);
    let mut sums = [[lanes.splat(0.0); VECTORS]; ROWS];
    for (row, sums) in sums.iter_mut().enumerate() {
        let factor = lanes.splat(factors[row]);
        for (vector, sum) in sums.iter_mut().enumerate() {
            // SAFETY: within `out` by the assertion.
            let old =
                unsafe { lanes.load(out.as_ptr().add(row * padded + done + vector * L::LANES)) };
            *sum = lanes.mul(old, factor);
        }
    }
    for tile in from / TILE..to.div_ceil(TILE) {
        let (_, values) = tiles.tile(kv_head, tile);
        assert!(values.len() == TILE * padded);
        for position in from.max(tile * TILE)..to.min((tile + 1) * TILE) {
            let at = (position - tile * TILE) * padded + done;
            let mut value = [lanes.splat(0.0); VECTORS];
            for (vector, value) in value.iter_mut().enumerate() {
                // SAFETY: within `values` by the assertions.
                *value = unsafe { lanes.load(values.as_ptr().add(at + vector * L::LANES)) };
            }
            for (weights, sums) in weights.iter().zip(&mut sums) {
                // SAFETY: `position` is one of the span's.
                let weight = lanes.splat(unsafe { *weights.get_unchecked(position - base) });
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = lanes.mul_add(weight, value, *sum);
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            // SAFETY: within `out` by the assertion.
            unsafe {
                let to = out
                    .as_mut_ptr()
                    .add(row * padded + done + vector * L::LANES);
                lanes.store(to, *sum);
            }
        }
    }
}
