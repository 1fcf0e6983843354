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
use activations::Activations;
use format::Format;
use pack::{Packed, TILE, Tile};

/// Rows of activations that go through a tile before the next one is read.
const STRIP: usize = 64;

/// A matrix in one of GGML's block formats.
#[derive(Debug, Clone)]
pub(super) struct Quantized {
    packed: Packed,
}

impl Quantized {
    /// Columns per superblock and bytes of it, if `dtype` is a block format.
    pub fn block(dtype: GgmlDType) -> Option<(usize, usize)> {
        Format::of(dtype).map(|format| (format.superblock, format.bytes))
    }

    /// `dtype` is a block format and `data` has exactly the bytes of the shape.
    pub fn new(dtype: GgmlDType, rows: usize, columns: usize, data: &[u8]) -> Self {
        let format = Format::of(dtype).expect("the caller has asked for its block");
        Self {
            packed: Packed::new(format, rows, columns, data),
        }
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
        thread_local! {
            // Taken while in use: a thread that waits for others may start another product.
            static ROUNDED: Cell<Activations> = Cell::default();
        }
        let packed = &self.packed;
        let mut rounded = ROUNDED.take();
        rounded.round(tier, packed.format, x, packed.columns);
        let (m, tiles) = (rounded.rows, packed.tiles());
        let out = Shared::new(out);
        let strips = m.div_ceil(STRIP);
        // A strip of activations stays in the cache while the tiles pass by.
        let cost = m.min(STRIP) * packed.columns * TILE / 4;
        divide(strips * tiles, cost, |units| {
            let mut products = [[0.0; TILE]; STRIP];
            for unit in units {
                let (first, index) = (unit / tiles * STRIP, unit % tiles);
                let count = STRIP.min(m - first);
                let products = &mut products[..count];
                product(tier, &packed.tile(index), &rounded, first, products);
                let width = TILE.min(packed.rows - index * TILE);
                for (row, products) in (first..).zip(products) {
                    // SAFETY: every unit has its own rows and columns.
                    let out = unsafe { out.slice(row * packed.rows + index * TILE, width) };
                    out.copy_from_slice(&products[..width]);
                }
            }
        });
        ROUNDED.set(rounded);
    }
}

fn product(tier: Tier, tile: &Tile<'_>, x: &Activations, first: usize, out: &mut [[f32; TILE]]) {
    match tier {
        Tier::Portable => portable::multiply(tile, x, first, out),
        // SAFETY: a tier exists only where the machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx2 => unsafe { avx2::multiply(tile, x, first, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Tier::Avx512 => unsafe { avx512::multiply(tile, x, first, out) },
    }
}
