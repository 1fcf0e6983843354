//! Activations rounded to 8 bits.

use super::format::Format;
use crate::kernels::parallel::{Shared, divide};
use crate::kernels::tier::{Kernel, Lanes, Tier};

/// Columns that share one scale.
pub(super) const GROUP: usize = 32;

/// Rows of activations, each block of 32 columns rounded to `scale · code`.
#[derive(Debug, Default)]
pub(super) struct Activations {
    pub rows: usize,
    pub columns: usize,
    /// Columns per block of the weights.
    pub block: usize,
    /// `[rows, columns]`.
    pub codes: Vec<i8>,
    /// `[rows, columns / 32]`.
    pub scales: Vec<f32>,
    /// `−offset · Σ code` of each block of the weights: `[rows, columns / block]`.
    pub starts: Vec<i32>,
    /// `scale · Σ code` of each block of the weights: `[rows, columns / block]`.
    pub sums: Vec<f32>,
}

impl Activations {
    /// Rounds `x`, `[rows, columns]`, for weights of `format`.
    pub fn round(&mut self, tier: Tier, format: &Format, x: &[f32], columns: usize) {
        let rows = x.len() / columns;
        let (groups, blocks) = (columns / GROUP, columns / format.block);
        (self.rows, self.columns, self.block) = (rows, columns, format.block);
        self.codes.resize(rows * columns, 0);
        self.scales.resize(rows * groups, 0.0);
        self.starts.resize(rows * blocks, 0);
        self.sums.resize(rows * blocks, 0.0);
        let codes = Shared::new(&mut self.codes);
        let scales = Shared::new(&mut self.scales);
        let starts = Shared::new(&mut self.starts);
        let sums = Shared::new(&mut self.sums);
        divide(rows, 4 * columns, |range| {
            let (first, count) = (range.start, range.len());
            // SAFETY: the ranges of `divide` do not overlap.
            let (codes, scales, starts, sums) = unsafe {
                (
                    codes.slice(first * columns, count * columns),
                    scales.slice(first * groups, count * groups),
                    starts.slice(first * blocks, count * blocks),
                    sums.slice(first * blocks, count * blocks),
                )
            };
            tier.run(Round {
                x: &x[first * columns..(first + count) * columns],
                block: format.block,
                offset: format.offset,
                codes,
                scales,
                starts,
                sums,
            });
        });
    }
}

struct Round<'a> {
    x: &'a [f32],
    block: usize,
    offset: i32,
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    starts: &'a mut [i32],
    sums: &'a mut [f32],
}

impl Kernel for Round<'_> {
    type Output = ();

    // Plain loops of fixed length, which compilers turn into vector instructions.
    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let per_group = GROUP / self.block;
        let (x, _) = self.x.as_chunks::<GROUP>();
        let (codes, _) = self.codes.as_chunks_mut::<GROUP>();
        for (group, (x, codes)) in x.iter().zip(codes).enumerate() {
            let mut lanes = [0.0f32; 16];
            for half in x.as_chunks::<16>().0 {
                for (lane, x) in lanes.iter_mut().zip(half) {
                    let size = x.abs();
                    *lane = if size > *lane { size } else { *lane };
                }
            }
            let largest = lanes.into_iter().fold(0.0f32, f32::max);
            let scale = largest / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let mut rounded = [0i32; GROUP];
            for (rounded, x) in rounded.iter_mut().zip(x) {
                *rounded = nearest(x * inverse);
            }
            for (code, rounded) in codes.iter_mut().zip(rounded) {
                *code = rounded as i8;
            }
            self.scales[group] = scale;
            for part in 0..per_group {
                let sum: i32 = rounded[part * self.block..][..self.block].iter().sum();
                let block = group * per_group + part;
                self.starts[block] = -self.offset * sum;
                self.sums[block] = scale * sum as f32;
            }
        }
    }
}

/// The nearest whole number, ties to even, of a number within ±127 (others are cut off).
#[inline(always)]
fn nearest(x: f32) -> i32 {
    // Adding 1.5 · 2²³ leaves no bits for a fraction: the addition itself rounds.
    const MAGIC: f32 = 12_582_912.0;
    let x = if x > -127.0 { x } else { -127.0 };
    let x = if x < 127.0 { x } else { 127.0 };
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}
