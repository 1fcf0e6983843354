//! The tile product with AVX2, half a tile (8 rows) at a time.
//!
//! Products of codes are added in pairs to 16 bits, and as many pairs as cannot overflow are
//! added there before they are widened to 32.

use std::arch::x86_64::*;

use super::activations::{GROUP, Strip};
use super::pack::{TILE, Tile};

/// Rows of a strip, at most: what is kept of each must fit the registers.
pub(super) const LONGEST: usize = 4;

/// Products of a tile with a strip, one for each item of `out`.
///
/// # Safety
///
/// The machine has the instructions of `Tier::Avx2`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn multiply(tile: &Tile<'_>, x: &Strip<'_>, out: &mut [[f32; TILE]]) {
    match (tile.format.bits, tile.format.block) {
        (4, 32) => by_rows::<4, 32>(tile, x, out),
        (5, 32) => by_rows::<5, 32>(tile, x, out),
        (8, 32) => by_rows::<8, 32>(tile, x, out),
        (4, 16) => by_rows::<4, 16>(tile, x, out),
        (6, 16) => by_rows::<6, 16>(tile, x, out),
        other => unreachable!("no format has {other:?} bits and columns"),
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn by_rows<const BITS: usize, const BLOCK: usize>(
    tile: &Tile<'_>,
    x: &Strip<'_>,
    out: &mut [[f32; TILE]],
) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match x.rows {
                $($rows => {
                    product::<BITS, BLOCK, $rows>(tile, x, 0, out);
                    product::<BITS, BLOCK, $rows>(tile, x, 1, out);
                })*
                rows => unreachable!("a strip has {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4);
}

#[target_feature(enable = "avx2,fma,f16c")]
fn product<const BITS: usize, const BLOCK: usize, const ROWS: usize>(
    tile: &Tile<'_>,
    x: &Strip<'_>,
    half: usize,
    out: &mut [[f32; TILE]],
) {
    let format = tile.format;
    let (columns, blocks) = (x.columns, x.columns / BLOCK);
    let groups = columns / GROUP;
    let superblocks = columns / format.superblock;
    assert!(tile.columns == columns && x.block == BLOCK);
    assert!(x.rows == ROWS && out.len() == ROWS && half < 2);
    assert!(format.bits == BITS && format.block == BLOCK);
    assert!(tile.codes.len() == superblocks * format.code_bytes());
    assert!(tile.scales.len() == superblocks * format.scale_bytes());
    assert!(x.codes.len() == columns * ROWS && x.scales.len() == groups * ROWS);
    assert!(x.starts.len() == blocks * ROWS && x.sums.len() == blocks * ROWS);
    let (x_codes, x_scales) = (x.codes.as_ptr(), x.scales.as_ptr());
    let (x_starts, x_sums) = (x.starts.as_ptr(), x.sums.as_ptr());
    let mut codes = tile.codes.as_ptr();
    let mut scales = tile.scales.as_ptr();

    let low_bits = _mm256_set1_epi8(15);
    let mut totals = [_mm256_setzero_ps(); ROWS];
    let mut block = 0;
    // SAFETY: the streams are read from front to back, and by the assertions above they and the
    // activations are as long as the loops go.
    unsafe {
        for _ in 0..superblocks {
            let outer = _mm256_cvtph_ps(_mm_loadu_si128(scales.add(half * 16).cast()));
            scales = scales.add(32);
            let mut outer_minimum = _mm256_setzero_ps();
            if format.minimum {
                outer_minimum = _mm256_cvtph_ps(_mm_loadu_si128(scales.add(half * 16).cast()));
                scales = scales.add(32);
            }
            for _ in 0..format.superblock / BLOCK {
                let (mut scale, mut minimum) = (outer, outer_minimum);
                if format.nested {
                    scale = _mm256_mul_ps(scale, small(scales.add(half * 8)));
                    scales = scales.add(16);
                    if format.minimum {
                        minimum = _mm256_mul_ps(minimum, small(scales.add(half * 8)));
                        scales = scales.add(16);
                    }
                }

                let mut dots = [Dot::new(); ROWS];
                let group = block * BLOCK / GROUP;
                let x_block = x_codes.add(group * ROWS * GROUP + block * BLOCK % GROUP);
                if BITS == 8 {
                    for group in 0..BLOCK / 4 {
                        let weights = _mm256_loadu_si256(codes.add(group * 64 + half * 32).cast());
                        let weights = _mm256_xor_si256(weights, _mm256_set1_epi8(-128));
                        for (row, dot) in dots.iter_mut().enumerate() {
                            dot.add_signed(weights, x_block.add(row * GROUP + group * 4));
                        }
                    }
                } else {
                    let pairs = BLOCK / 8;
                    let planes = codes.add(BLOCK * TILE / 2);
                    for pair in 0..pairs {
                        let packed = _mm256_loadu_si256(codes.add(pair * 64 + half * 32).cast());
                        let mut low = _mm256_and_si256(packed, low_bits);
                        let mut high = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low_bits);
                        for plane in 0..BITS - 4 {
                            let masks = planes.add(plane * BLOCK * TILE / 8 + half * 4);
                            low = _mm256_or_si256(low, bits(masks.add(pair * 8), plane));
                            let masks = masks.add((pairs + pair) * 8);
                            high = _mm256_or_si256(high, bits(masks, plane));
                        }
                        for (row, dot) in dots.iter_mut().enumerate() {
                            let x = x_block.add(row * GROUP + pair * 4);
                            dot.add(low, x);
                            dot.add(high, x.add(pairs * 4));
                        }
                        // A 16-bit sum holds 32,767: so many products of 127 with such codes.
                        let room = 32_767 / (2 * 127 * ((1 << BITS) - 1));
                        if (pair + 1) % (room / 2) == 0 && pair + 1 < pairs {
                            dots.iter_mut().for_each(|dot| dot.widen());
                        }
                    }
                }
                codes = codes.add(BLOCK * TILE * BITS / 8);

                for (row, (total, dot)) in totals.iter_mut().zip(&mut dots).enumerate() {
                    dot.widen();
                    let mut dot = dot.wide;
                    if BITS != 8 {
                        let start = _mm256_set1_epi32(*x_starts.add(block * ROWS + row));
                        dot = _mm256_add_epi32(dot, start);
                    }
                    let x_scale = _mm256_set1_ps(*x_scales.add(group * ROWS + row));
                    let scale = _mm256_mul_ps(scale, x_scale);
                    *total = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, *total);
                }
                if format.minimum {
                    for (row, total) in totals.iter_mut().enumerate() {
                        let sum = _mm256_set1_ps(*x_sums.add(block * ROWS + row));
                        *total = _mm256_fmadd_ps(minimum, sum, *total);
                    }
                }
                block += 1;
            }
        }
        for (total, out) in totals.iter().zip(out) {
            _mm256_storeu_ps(out.as_mut_ptr().add(half * 8), *total);
        }
    }
}

/// Eight dot products under way.
#[derive(Clone, Copy)]
struct Dot {
    wide: __m256i,
    narrow: __m256i,
}

impl Dot {
    #[target_feature(enable = "avx2")]
    #[inline]
    fn new() -> Self {
        Self {
            wide: _mm256_setzero_si256(),
            narrow: _mm256_setzero_si256(),
        }
    }

    /// Adds the products of four unsigned codes of each of 8 rows with the four at `x`.
    ///
    /// # Safety
    ///
    /// Four codes can be read at `x`.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn add(&mut self, weights: __m256i, x: *const i8) {
        // SAFETY: by the contract.
        let x = unsafe { x.cast::<i32>().read_unaligned() };
        let products = _mm256_maddubs_epi16(weights, _mm256_set1_epi32(x));
        self.narrow = _mm256_add_epi16(self.narrow, products);
    }

    /// Like [`Dot::add`] with signed codes.
    ///
    /// # Safety
    ///
    /// Four codes can be read at `x`.
    #[target_feature(enable = "avx2")]
    #[inline]
    unsafe fn add_signed(&mut self, weights: __m256i, x: *const i8) {
        // SAFETY: by the contract.
        let x = unsafe { x.cast::<i32>().read_unaligned() };
        let x = _mm256_sign_epi8(_mm256_set1_epi32(x), weights);
        self.narrow = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), x);
        self.widen();
    }

    /// Moves the 16-bit sums to the 32-bit ones.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn widen(&mut self) {
        let wide = _mm256_madd_epi16(self.narrow, _mm256_set1_epi16(1));
        self.wide = _mm256_add_epi32(self.wide, wide);
        self.narrow = _mm256_setzero_si256();
    }
}

/// Eight `i8` as `f32`.
///
/// # Safety
///
/// They can be read at `from`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn small(from: *const u8) -> __m256 {
    // SAFETY: by the contract.
    let bytes = unsafe { _mm_loadl_epi64(from.cast()) };
    _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))
}

/// The 32 bits at `from`, each as `16 << plane` in a byte of its own.
///
/// # Safety
///
/// Four bytes can be read at `from`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn bits(from: *const u8, plane: usize) -> __m256i {
    // SAFETY: by the contract.
    let bits = _mm256_set1_epi32(unsafe { from.cast::<i32>().read_unaligned() });
    let spread = _mm256_setr_epi64x(
        0,
        0x0101_0101_0101_0101,
        0x0202_0202_0202_0202,
        0x0303_0303_0303_0303,
    );
    let each = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let bits = _mm256_and_si256(_mm256_shuffle_epi8(bits, spread), each);
    let set = _mm256_cmpeq_epi8(bits, each);
    _mm256_and_si256(set, _mm256_set1_epi8(16 << plane))
}
