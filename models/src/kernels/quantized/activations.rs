//! Activations rounded to 8 bits.

use super::format::Format;
use crate::kernels::parallel::{Shared, divide, part};
use crate::kernels::tier::{Kernel, Lanes, Tier};

/// Columns that share one scale.
pub(super) const GROUP: usize = 32;

/// Rows of activations, each block of 32 columns rounded to `scale · code`, in strips of a few
/// rows that go through the kernels together.
#[derive(Debug, Default)]
pub(super) struct Activations {
    rows: usize,
    columns: usize,
    block: usize,
    strips: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
    starts: Vec<i32>,
    sums: Vec<f32>,
}

/// A strip of rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strip<'a> {
    pub rows: usize,
    pub columns: usize,
    /// Columns per block of the weights.
    pub block: usize,
    /// `[columns / 32, rows, 32]`.
    pub codes: &'a [i8],
    /// `[columns / 32, rows]`.
    pub scales: &'a [f32],
    /// `−offset · Σ code` of each block of the weights: `[columns / block, rows]`.
    pub starts: &'a [i32],
    /// `scale · Σ code` of each block of the weights: `[columns / block, rows]`.
    pub sums: &'a [f32],
}

impl Activations {
    /// Rounds `x`, `[rows, columns]`, for weights of `format`, in strips of at most `longest`
    /// rows.
    pub fn round(
        &mut self,
        tier: Tier,
        format: &Format,
        longest: usize,
        x: &[f32],
        columns: usize,
    ) {
        let rows = x.len() / columns;
        let (groups, blocks) = (columns / GROUP, columns / format.block);
        (self.rows, self.columns, self.block) = (rows, columns, format.block);
        self.strips = rows.div_ceil(longest);
        self.codes.resize(rows * columns, 0);
        self.scales.resize(rows * groups, 0.0);
        self.starts.resize(rows * blocks, 0);
        self.sums.resize(rows * blocks, 0.0);
        let strips = self.strips;
        let codes = Shared::new(&mut self.codes);
        let scales = Shared::new(&mut self.scales);
        let starts = Shared::new(&mut self.starts);
        let sums = Shared::new(&mut self.sums);
        divide(strips, 4 * longest.min(rows) * columns, |range| {
            for strip in range {
                let strip = part(strip, strips, rows);
                let (first, count) = (strip.start, strip.len());
                // SAFETY: every strip has its own part.
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
                    rows: count,
                    block: format.block,
                    offset: format.offset,
                    codes,
                    scales,
                    starts,
                    sums,
                });
            }
        });
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many strips.
    pub fn strips(&self) -> usize {
        self.strips
    }

    /// The first row of strip `index`, and the strip.
    pub fn strip(&self, index: usize) -> (usize, Strip<'_>) {
        let rows = part(index, self.strips, self.rows);
        let (groups, blocks) = (self.columns / GROUP, self.columns / self.block);
        let strip = Strip {
            rows: rows.len(),
            columns: self.columns,
            block: self.block,
            codes: &self.codes[rows.start * self.columns..rows.end * self.columns],
            scales: &self.scales[rows.start * groups..rows.end * groups],
            starts: &self.starts[rows.start * blocks..rows.end * blocks],
            sums: &self.sums[rows.start * blocks..rows.end * blocks],
        };
        (rows.start, strip)
    }
}

/// Writes every row of `x` and behind it what rounding it to 8 bits leaves: `[2 · rows, columns]`.
pub(super) fn split(tier: Tier, x: &[f32], columns: usize, out: &mut [f32]) {
    let rows = x.len() / columns;
    let out = Shared::new(out);
    divide(rows, 4 * columns, |range| {
        for row in range {
            let x = &x[row * columns..][..columns];
            // SAFETY: every row has its own part.
            let (same, rest) =
                unsafe { out.slice(2 * row * columns, 2 * columns) }.split_at_mut(columns);
            same.copy_from_slice(x);
            tier.run(Rest { x, rest });
        }
    });
}

/// What rounding a row leaves.
struct Rest<'a> {
    x: &'a [f32],
    rest: &'a mut [f32],
}

impl Kernel for Rest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _lanes: L) {
        let (x, _) = self.x.as_chunks::<GROUP>();
        let (rest, _) = self.rest.as_chunks_mut::<GROUP>();
        for (x, rest) in x.iter().zip(rest) {
            let (scale, inverse) = scales(x);
            for (rest, x) in rest.iter_mut().zip(x) {
                *rest = x - scale * nearest(x * inverse) as f32;
            }
        }
    }
}

/// The scale of a group, and what numbers of it are multiplied by before they are rounded.
#[inline(always)]
fn scales(x: &[f32; GROUP]) -> (f32, f32) {
    let mut lanes = [0.0f32; 16];
    for half in x.as_chunks::<16>().0 {
        for (lane, x) in lanes.iter_mut().zip(half) {
            let size = x.abs();
            *lane = if size > *lane { size } else { *lane };
        }
    }
    let largest = lanes.into_iter().fold(0.0f32, f32::max);
    let scale = largest / 127.0;
    (scale, if scale > 0.0 { 1.0 / scale } else { 0.0 })
}

struct Round<'a> {
    x: &'a [f32],
    rows: usize,
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
        let rows = self.rows;
        let per_group = GROUP / self.block;
        let groups = self.x.len() / rows / GROUP;
        let (x, _) = self.x.as_chunks::<GROUP>();
        let (codes, _) = self.codes.as_chunks_mut::<GROUP>();
        for (at, x) in x.iter().enumerate() {
            let (row, group) = (at / groups, at % groups);
            let (scale, inverse) = scales(x);
            let mut rounded = [0i32; GROUP];
            for (rounded, x) in rounded.iter_mut().zip(x) {
                *rounded = nearest(x * inverse);
            }
            for (code, rounded) in codes[group * rows + row].iter_mut().zip(rounded) {
                *code = rounded as i8;
            }
            self.scales[group * rows + row] = scale;
            for part in 0..per_group {
                let sum: i32 = rounded[part * self.block..][..self.block].iter().sum();
                let block = (group * per_group + part) * rows + row;
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
