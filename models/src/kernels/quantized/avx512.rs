//! The tile product with AVX-512 VNNI: one register is 16 rows by 4 columns.
//!
//! Reading four activations into all lanes costs more than a product: two tiles share it.

use std::arch::x86_64::*;

use super::activations::{GROUP, Strip};
use super::pack::{TILE, Tile};

/// Rows of a strip, at most: two sums of each with each tile must fit the registers.
pub(super) const LONGEST: usize = 4;

/// Products of one or two tiles with a strip: `[tiles, rows]` items of `out`.
///
/// # Safety
///
/// The machine has the instructions of `Tier::Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
pub(super) unsafe fn multiply(tiles: &[Tile<'_>], x: &Strip<'_>, out: &mut [[f32; TILE]]) {
    match (tiles[0].format.bits, tiles[0].format.block) {
        (4, 32) => by_rows::<4, 32>(tiles, x, out),
        (5, 32) => by_rows::<5, 32>(tiles, x, out),
        (8, 32) => by_rows::<8, 32>(tiles, x, out),
        (4, 16) => by_rows::<4, 16>(tiles, x, out),
        (6, 16) => by_rows::<6, 16>(tiles, x, out),
        other => unreachable!("no format has {other:?} bits and columns"),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn by_rows<const BITS: usize, const BLOCK: usize>(
    tiles: &[Tile<'_>],
    x: &Strip<'_>,
    out: &mut [[f32; TILE]],
) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match (tiles, x.rows) {
                $(
                    ([tile], $rows) => product::<BITS, BLOCK, $rows, 1>([tile], x, out),
                    ([a, b], $rows) => product::<BITS, BLOCK, $rows, 2>([a, b], x, out),
                )*
                (tiles, rows) => unreachable!("{} tiles, a strip of {rows}", tiles.len()),
            }
        };
    }
    by_rows!(1 2 3 4);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn product<const BITS: usize, const BLOCK: usize, const ROWS: usize, const TILES: usize>(
    tiles: [&Tile<'_>; TILES],
    x: &Strip<'_>,
    out: &mut [[f32; TILE]],
) {
    let format = tiles[0].format;
    let (columns, blocks) = (x.columns, x.columns / BLOCK);
    let groups = columns / GROUP;
    assert!(x.block == BLOCK && x.rows == ROWS && out.len() == TILES * ROWS);
    for tile in tiles {
        assert!(tile.columns == columns && std::ptr::eq(tile.format, format));
        assert!(tile.codes.len() == blocks * BLOCK * TILE * BITS / 8);
    }
    assert!(format.bits == BITS && format.block == BLOCK);
    assert!(x.codes.len() == columns * ROWS && x.scales.len() == groups * ROWS);
    assert!(x.starts.len() == blocks * ROWS && x.sums.len() == blocks * ROWS);
    let mut codes = tiles.map(|tile| tile.codes.as_ptr());
    let mut scales = tiles.map(|tile| Scales::new(tile));
    let (x_codes, x_scales) = (x.codes.as_ptr(), x.scales.as_ptr());
    let (x_starts, x_sums) = (x.starts.as_ptr(), x.sums.as_ptr());

    let mut totals = [[_mm512_setzero_ps(); TILES]; ROWS];
    // SAFETY: the streams are read from front to back, and by the assertions above they and the
    // activations are as long as the loop goes.
    unsafe {
        for block in 0..blocks {
            let mut dots = [[_mm512_setzero_si512(); TILES]; ROWS];
            if format.offset != 0 {
                for (row, dots) in dots.iter_mut().enumerate() {
                    *dots = [_mm512_set1_epi32(*x_starts.add(block * ROWS + row)); TILES];
                }
            }
            let group = block * BLOCK / GROUP;
            let x_block = x_codes.add(group * ROWS * GROUP + block * BLOCK % GROUP);
            let pairs = BLOCK / 8;
            for pair in 0..pairs {
                let weights = codes.map(|codes| code_groups::<BITS, BLOCK>(codes, pair));
                for (row, dots) in dots.iter_mut().enumerate() {
                    let x = x_block.add(row * GROUP + pair * 4);
                    let (low, high) = (four(x), four(x.add(pairs * 4)));
                    for (dot, weights) in dots.iter_mut().zip(weights) {
                        *dot = _mm512_dpbusd_epi32(*dot, weights.0, low);
                        *dot = _mm512_dpbusd_epi32(*dot, weights.1, high);
                    }
                }
            }
            codes = codes.map(|codes| codes.add(BLOCK * TILE * BITS / 8));

            let mut scale = [_mm512_setzero_ps(); TILES];
            let mut minimum = [_mm512_setzero_ps(); TILES];
            for tile in 0..TILES {
                (scale[tile], minimum[tile]) = scales[tile].next();
            }
            for (row, (totals, dots)) in totals.iter_mut().zip(dots).enumerate() {
                let x_scale = _mm512_set1_ps(*x_scales.add(group * ROWS + row));
                let sum = _mm512_set1_ps(*x_sums.add(block * ROWS + row));
                for tile in 0..TILES {
                    let scale = _mm512_mul_ps(scale[tile], x_scale);
                    let dot = _mm512_cvtepi32_ps(dots[tile]);
                    totals[tile] = _mm512_fmadd_ps(dot, scale, totals[tile]);
                    if format.minimum {
                        totals[tile] = _mm512_fmadd_ps(minimum[tile], sum, totals[tile]);
                    }
                }
            }
        }
        for (row, totals) in totals.iter().enumerate() {
            for (tile, total) in totals.iter().enumerate() {
                _mm512_storeu_ps(out[tile * ROWS + row].as_mut_ptr(), *total);
            }
        }
    }
}

/// The codes of the groups `pair` and `pair + BLOCK / 8` of a block: 16 rows by 4 columns each.
///
/// # Safety
///
/// The block can be read at `codes`.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
pub(super) unsafe fn code_groups<const BITS: usize, const BLOCK: usize>(
    codes: *const u8,
    pair: usize,
) -> (__m512i, __m512i) {
    let pairs = BLOCK / 8;
    // SAFETY: by the contract; the loads of a plane's masks need no alignment.
    unsafe {
        if BITS == 8 {
            return (
                _mm512_loadu_si512(codes.add(pair * 64).cast()),
                _mm512_loadu_si512(codes.add((pairs + pair) * 64).cast()),
            );
        }
        let low_bits = _mm512_set1_epi8(15);
        let packed = _mm512_loadu_si512(codes.add(pair * 64).cast());
        let mut low = _mm512_and_si512(packed, low_bits);
        let mut high = _mm512_and_si512(_mm512_srli_epi16::<4>(packed), low_bits);
        let planes = codes.add(BLOCK * TILE / 2);
        for plane in 0..BITS - 4 {
            let bit = _mm512_set1_epi8(16 << plane);
            let masks = planes.add(plane * BLOCK * TILE / 8).cast::<u64>();
            let mask = masks.add(pair).read_unaligned();
            low = _mm512_mask_add_epi8(low, mask, low, bit);
            let mask = masks.add(pairs + pair).read_unaligned();
            high = _mm512_mask_add_epi8(high, mask, high, bit);
        }
        (low, high)
    }
}

/// The scales and the minimums of a tile's blocks, read from front to back.
pub(super) struct Scales<'a> {
    tile: &'a Tile<'a>,
    from: *const u8,
    outer: [__m512; 2],
    /// Blocks left in the superblock.
    left: usize,
}

impl<'a> Scales<'a> {
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub fn new(tile: &'a Tile<'a>) -> Self {
        let format = tile.format;
        assert!(tile.scales.len() == tile.columns / format.superblock * format.scale_bytes());
        Self {
            tile,
            from: tile.scales.as_ptr(),
            outer: [_mm512_setzero_ps(); 2],
            left: 0,
        }
    }

    /// The scale and the minimum of each row in the next block.
    ///
    /// # Safety
    ///
    /// It was not called for all blocks yet.
    #[target_feature(enable = "avx512f,f16c")]
    #[inline]
    pub unsafe fn next(&mut self) -> (__m512, __m512) {
        let format = self.tile.format;
        // SAFETY: the stream is as long as the blocks, see `new`, of which one is left.
        unsafe {
            if self.left == 0 {
                self.left = format.superblock / format.block;
                self.outer[0] = self.halves();
                if format.minimum {
                    self.outer[1] = self.halves();
                }
            }
            self.left -= 1;
            let [mut scale, mut minimum] = self.outer;
            if format.nested {
                scale = _mm512_mul_ps(scale, self.small());
                if format.minimum {
                    minimum = _mm512_mul_ps(minimum, self.small());
                }
            }
            (scale, minimum)
        }
    }

    /// Sixteen `f16`.
    #[target_feature(enable = "avx512f,f16c")]
    #[inline]
    unsafe fn halves(&mut self) -> __m512 {
        // SAFETY: as `next`.
        unsafe {
            let halves = _mm256_loadu_si256(self.from.cast());
            self.from = self.from.add(32);
            _mm512_cvtph_ps(halves)
        }
    }

    /// Sixteen `i8`.
    #[target_feature(enable = "avx512f")]
    #[inline]
    unsafe fn small(&mut self) -> __m512 {
        // SAFETY: as `next`.
        unsafe {
            let bytes = _mm_loadu_si128(self.from.cast());
            self.from = self.from.add(16);
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
        }
    }
}

/// The four codes at `x` in all lanes.
///
/// # Safety
///
/// They can be read.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn four(x: *const i8) -> __m512i {
    // SAFETY: by the contract.
    _mm512_set1_epi32(unsafe { x.cast::<i32>().read_unaligned() })
}
