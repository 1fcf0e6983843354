//! Products with quantized weights, in whole numbers.

mod activations;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod format;
mod pack;
mod portable;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use candle_core::quantized::GgmlDType;

use super::parallel::{Shared, divide};
use super::tier::Tier;
use activations::{Activations, Strip};
use format::Format;
use pack::{Packed, TILE, Tile};

/// Strips of activations that go through a tile before the next one is read.
const STRIPS: usize = 8;

/// A matrix in one of GGML's block formats.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
    packed: Packed,
    /// Whether activations are two roundings.
    fine: bool,
}

impl Quantized {
    /// Columns per superblock and bytes of it, if `dtype` is a block format.
    pub fn block(dtype: GgmlDType) -> Option<(usize, usize)> {
        Format::of(dtype).map(|format| (format.superblock, format.bytes))
    }

    /// `dtype` is a block format and `data` has exactly the bytes of the shape.
    pub fn new(dtype: GgmlDType, rows: usize, columns: usize, data: &[u8], fine: bool) -> Self {
        let format = Format::of(dtype).expect("the caller has asked for its block");
        Self {
            packed: Packed::new(format, rows, columns, data),
            fine,
        }
    }

    /// The bytes that weights of this shape take; those of the file if `dtype` is no block format.
    pub fn bytes_of(dtype: GgmlDType, rows: usize, columns: usize) -> usize {
        match Format::of(dtype) {
            Some(format) => Packed::bytes_of(format, rows, columns),
            None => rows * columns / dtype.block_size() * dtype.type_size(),
        }
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        Packed::bytes_of(self.packed.format, self.packed.rows, self.packed.columns)
    }

    pub fn rows(&self) -> usize {
        self.packed.rows
    }

    pub fn columns(&self) -> usize {
        self.packed.columns
    }

    /// Expands row `index`.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        self.packed.row(index, out);
    }

    /// `out = x · Wᵀ`.
    pub fn multiply(&self, tier: Tier, x: &[f32], out: &mut [f32]) {
        match self.fine {
            true => self.multiply_finely(tier, x, out),
            false => self.multiply_once(tier, x, out),
        }
    }

    fn multiply_once(&self, tier: Tier, x: &[f32], out: &mut [f32]) {
        thread_local! {
            // Taken while in use: a thread that waits for others may start another product.
            static ROUNDED: Cell<Activations> = Cell::default();
        }
        let packed = &self.packed;
        let mut rounded = ROUNDED.take();
        rounded.round(tier, packed.format, longest(tier), x, packed.columns);
        let (tiles, strips) = (packed.tiles(), rounded.strips());
        let out = Shared::new(out);
        // These activations stay in the cache while the tiles pass by.
        let cost = rounded.rows().min(64) * packed.columns * TILE / 4;
        divide(strips.div_ceil(STRIPS) * tiles, cost, |units| {
            let mut products = [[0.0; TILE]; LONGEST];
            for unit in units {
                let (group, index) = (unit / tiles * STRIPS, unit % tiles);
                let tile = packed.tile(index);
                let width = TILE.min(packed.rows - index * TILE);
                for strip in group..strips.min(group + STRIPS) {
                    let (first, strip) = rounded.strip(strip);
                    let products = &mut products[..strip.rows];
                    product(tier, &tile, &strip, products);
                    for (row, products) in (first..).zip(products) {
                        // SAFETY: every unit has its own rows and columns.
                        let out = unsafe { out.slice(row * packed.rows + index * TILE, width) };
                        out.copy_from_slice(&products[..width]);
                    }
                }
            }
        });
        ROUNDED.set(rounded);
    }
}

impl Quantized {
    /// The product with every row of `x` as two rows, itself and what rounding it leaves, whose
    /// products are added: the weights are still read once.
    fn multiply_finely(&self, tier: Tier, x: &[f32], out: &mut [f32]) {
        thread_local! {
            // As in `multiply_once`.
            static BUFFERS: Cell<(Vec<f32>, Vec<f32>)> = Cell::default();
        }
        let Packed { rows, columns, .. } = self.packed;
        let (mut twice, mut products) = BUFFERS.take();
        twice.resize(2 * x.len(), 0.0);
        products.resize(2 * out.len(), 0.0);
        activations::split(tier, x, columns, &mut twice);
        self.multiply_once(tier, &twice, &mut products);
        let pairs = products.chunks_exact(2 * rows);
        for (out, pair) in out.chunks_exact_mut(rows).zip(pairs) {
            let (first, rest) = pair.split_at(rows);
            for ((out, first), rest) in out.iter_mut().zip(first).zip(rest) {
                *out = first + rest;
            }
        }
        BUFFERS.set((twice, products));
    }
}

/// Rows of a strip, at most, in any tier.
const LONGEST: usize = 8;

/// Rows of a strip, at most.
fn longest(tier: Tier) -> usize {
    match tier {
        Tier::Portable => portable::LONGEST,
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => avx2::LONGEST,
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 => avx512::LONGEST,
    }
}

fn product(tier: Tier, tile: &Tile<'_>, x: &Strip<'_>, out: &mut [[f32; TILE]]) {
    match tier {
        Tier::Portable => portable::multiply(tile, x, out),
        // SAFETY: a tier exists only where the machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => unsafe { avx2::multiply(tile, x, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 => unsafe { avx512::multiply(tile, x, out) },
    }
}
