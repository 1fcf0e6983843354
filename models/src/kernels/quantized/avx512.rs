//! The tile product with AVX-512 VNNI: one register is 16 rows by 4 columns.

use std::arch::x86_64::*;

use super::activations::{GROUP, Strip};
use super::pack::{TILE, Tile};

/// Rows of a strip, at most: what is kept of each must fit the registers.
pub(super) const LONGEST: usize = 8;

/// Products of a tile with a strip, one for each item of `out`.
///
/// # Safety
///
/// The machine has the instructions of `Tier::Avx512`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
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

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn by_rows<const BITS: usize, const BLOCK: usize>(
    tile: &Tile<'_>,
    x: &Strip<'_>,
    out: &mut [[f32; TILE]],
) {
    macro_rules! by_rows {
        ($($rows:literal)*) => {
            match x.rows {
                $($rows => product::<BITS, BLOCK, $rows>(tile, x, out),)*
                rows => unreachable!("a strip has {rows} rows"),
            }
        };
    }
    by_rows!(1 2 3 4 5 6 7 8);
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
fn product<const BITS: usize, const BLOCK: usize, const ROWS: usize>(
    tile: &Tile<'_>,
    x: &Strip<'_>,
    out: &mut [[f32; TILE]],
) {
    let format = tile.format;
    let (columns, blocks) = (x.columns, x.columns / BLOCK);
    let groups = columns / GROUP;
    let superblocks = columns / format.superblock;
    assert!(tile.columns == columns && x.block == BLOCK);
    assert!(x.rows == ROWS && out.len() == ROWS);
    assert!(format.bits == BITS && format.block == BLOCK);
    assert!(tile.codes.len() == superblocks * format.code_bytes());
    assert!(tile.scales.len() == superblocks * format.scale_bytes());
    assert!(x.codes.len() == columns * ROWS && x.scales.len() == groups * ROWS);
    assert!(x.starts.len() == blocks * ROWS && x.sums.len() == blocks * ROWS);
    let (x_codes, x_scales) = (x.codes.as_ptr(), x.scales.as_ptr());
    let (x_starts, x_sums) = (x.starts.as_ptr(), x.sums.as_ptr());
    let mut codes = tile.codes.as_ptr();
    let mut scales = tile.scales.as_ptr();

    let low_bits = _mm512_set1_epi8(15);
    let mut totals = [_mm512_setzero_ps(); ROWS];
    let mut block = 0;
    // SAFETY: the streams are read from front to back, and by the assertions above they and the
    // activations are as long as the loops go; the loads of a plane's masks need no alignment.
    unsafe {
        for _ in 0..superblocks {
            let outer = _mm512_cvtph_ps(_mm256_loadu_si256(scales.cast()));
            scales = scales.add(32);
            let mut outer_minimum = _mm512_setzero_ps();
            if format.minimum {
                outer_minimum = _mm512_cvtph_ps(_mm256_loadu_si256(scales.cast()));
                scales = scales.add(32);
            }
            for _ in 0..format.superblock / BLOCK {
                let (mut scale, mut minimum) = (outer, outer_minimum);
                if format.nested {
                    scale = _mm512_mul_ps(scale, small(scales));
                    scales = scales.add(16);
                    if format.minimum {
                        minimum = _mm512_mul_ps(minimum, small(scales));
                        scales = scales.add(16);
                    }
                }

                let mut dots = [_mm512_setzero_si512(); ROWS];
                for (row, dot) in dots.iter_mut().enumerate() {
                    *dot = _mm512_set1_epi32(*x_starts.add(block * ROWS + row));
                }
                let group = block * BLOCK / GROUP;
                let x_block = x_codes.add(group * ROWS * GROUP + block * BLOCK % GROUP);
                if BITS == 8 {
                    for group in 0..BLOCK / 4 {
                        let weights = _mm512_loadu_si512(codes.add(group * 64).cast());
                        for (row, dot) in dots.iter_mut().enumerate() {
                            *dot = dot4(*dot, weights, x_block.add(row * GROUP + group * 4));
                        }
                    }
                } else {
                    let pairs = BLOCK / 8;
                    let planes = codes.add(BLOCK * TILE / 2);
                    for pair in 0..pairs {
                        let packed = _mm512_loadu_si512(codes.add(pair * 64).cast());
                        let mut low = _mm512_and_si512(packed, low_bits);
                        let mut high = _mm512_and_si512(_mm512_srli_epi16::<4>(packed), low_bits);
                        for plane in 0..BITS - 4 {
                            let bit = _mm512_set1_epi8(16 << plane);
                            let masks = planes.add(plane * BLOCK * TILE / 8).cast::<u64>();
                            let mask = masks.add(pair).read_unaligned();
                            low = _mm512_mask_add_epi8(low, mask, low, bit);
                            let mask = masks.add(pairs + pair).read_unaligned();
                            high = _mm512_mask_add_epi8(high, mask, high, bit);
                        }
                        for (row, dot) in dots.iter_mut().enumerate() {
                            let x = x_block.add(row * GROUP + pair * 4);
                            *dot = dot4(*dot, low, x);
                            *dot = dot4(*dot, high, x.add(pairs * 4));
                        }
                    }
                }
                codes = codes.add(BLOCK * TILE * BITS / 8);

                for (row, (total, dot)) in totals.iter_mut().zip(dots).enumerate() {
                    let x_scale = _mm512_set1_ps(*x_scales.add(group * ROWS + row));
                    let scale = _mm512_mul_ps(scale, x_scale);
                    *total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, *total);
                }
                if format.minimum {
                    for (row, total) in totals.iter_mut().enumerate() {
                        let sum = _mm512_set1_ps(*x_sums.add(block * ROWS + row));
                        *total = _mm512_fmadd_ps(minimum, sum, *total);
                    }
                }
                block += 1;
            }
        }
        for (total, out) in totals.iter().zip(out) {
            _mm512_storeu_ps(out.as_mut_ptr(), *total);
        }
    }
}

/// Sixteen `i8` as `f32`.
///
/// # Safety
///
/// They can be read at `from`.
#[target_feature(enable = "avx512f")]
#[inline]
unsafe fn small(from: *const u8) -> __m512 {
    // SAFETY: by the contract.
    let bytes = unsafe { _mm_loadu_si128(from.cast()) };
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))
}

/// Adds the products of four codes of each of 16 rows with the four at `x`.
///
/// # Safety
///
/// Four codes can be read at `x`.
#[target_feature(enable = "avx512f,avx512vnni")]
#[inline]
unsafe fn dot4(dot: __m512i, weights: __m512i, x: *const i8) -> __m512i {
    // SAFETY: by the contract.
    let x = unsafe { x.cast::<i32>().read_unaligned() };
    _mm512_dpbusd_epi32(dot, weights, _mm512_set1_epi32(x))
}
