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
use super::tier::{Kernel, Lanes, Tier};
use activations::{Activations, Strip};
use format::Format;
use pack::{Packed, TILE, Tile};

/// Rows of activations that go through a tile before the next one is read.
const TOGETHER: usize = 64;

/// Tiles that go together.
const TILES: usize = 2;

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
        let (pairs, together) = (tiles.div_ceil(TILES), TOGETHER / longest(tier));
        let out = Shared::new(out);
        // These activations stay in the cache while the tiles pass by.
        let cost = rounded.rows().min(TOGETHER) * packed.columns * TILES * TILE / 4;
        divide(strips.div_ceil(together) * pairs, cost, |units| {
            let mut products = [[0.0; TILE]; TILES * LONGEST];
            for unit in units {
                let (group, first) = (unit / pairs * together, unit % pairs * TILES);
                let pair = [first, (first + 1).min(tiles - 1)].map(|index| packed.tile(index));
                let pair = &pair[..TILES.min(tiles - first)];
                for strip in group..strips.min(group + together) {
                    let (row, strip) = rounded.strip(strip);
                    let products = &mut products[..pair.len() * strip.rows];
                    product(tier, pair, &strip, products);
                    let place = (row, first * TILE);
                    // SAFETY: every unit has its own rows and columns.
                    unsafe { scatter(tier, &out, packed.rows, place, strip.rows, products) };
                }
            }
        });
        ROUNDED.set(rounded);
    }
}

/// Writes the products of tiles with a strip of rows, `[tiles, rows, 16]`, to their place in a
/// matrix of so many columns.
///
/// # Safety
///
/// No other thread writes there.
unsafe fn scatter(
    tier: Tier,
    out: &Shared<'_, f32>,
    columns: usize,
    (row, column): (usize, usize),
    rows: usize,
    products: &[[f32; TILE]],
) {
    struct Scatter<'a>(
        &'a Shared<'a, f32>,
        usize,
        (usize, usize),
        usize,
        &'a [[f32; TILE]],
    );

    impl Kernel for Scatter<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self, _lanes: L) {
            let Self(out, columns, (row, column), rows, products) = self;
            for (at, products) in products.iter().enumerate() {
                let column = column + at / rows * TILE;
                let width = TILE.min(columns - column);
                let start = (row + at % rows) * columns + column;
                // SAFETY: by the contract of the function.
                let out = unsafe { out.slice(start, width) };
                match out.as_mut_array::<TILE>() {
                    Some(out) => *out = *products,
                    None => out.copy_from_slice(&products[..width]),
                }
            }
        }
    }

    tier.run(Scatter(out, columns, (row, column), rows, products));
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

/// Products of one or two tiles with a strip: `[tiles, rows]` items of `out`.
fn product(tier: Tier, tiles: &[Tile<'_>], x: &Strip<'_>, out: &mut [[f32; TILE]]) {
    #[cfg(target_arch = "x86_64")]
    if tier == Tier::Avx512 {
        // SAFETY: a tier exists only where the machine has its instructions.
        return unsafe { avx512::multiply(tiles, x, out) };
    }
    for (tile, out) in tiles.iter().zip(out.chunks_exact_mut(x.rows)) {
        match tier {
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Tier::Avx2 => unsafe { avx2::multiply(tile, x, out) },
            _ => portable::multiply(tile, x, out),
        }
    }
}
