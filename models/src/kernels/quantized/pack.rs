//! Quantized weights as they are kept in memory.
//!
//! Sixteen rows make a tile. A tile has two streams, both read from front to back:
//!
//! - codes: for each block of columns, groups of 64 codes, 16 rows by 4 columns with the columns
//!   of a row side by side, as the dot product instructions want them. Four bits of each code
//!   are in nibbles: byte `i` of the `p`-th 64 bytes has code `i` of group `p` below and code `i`
//!   of group `p + groups / 2` above. The fifth and sixth bits follow, each as one bit plane
//!   with 64 bits a group. Codes of eight bits are bytes.
//! - scales: for each superblock the 16 rows' scale, then their minimum, as `f16`; in nested
//!   formats then for each block 16 bytes of scales, then 16 of minimums.
//!
//! Nothing is rounded: every weight can be had back as the file has it.

use half::f16;
use rayon::prelude::*;

use super::format::{Format, Superblock};

/// Rows of a tile.
pub(super) const TILE: usize = 16;

/// Packed weights.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    pub format: &'static Format,
    pub rows: usize,
    pub columns: usize,
    codes: Vec<Line>,
    scales: Vec<u8>,
}

/// A cache line: keeps the codes aligned.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// The two streams of one tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tile<'a> {
    pub format: &'static Format,
    pub columns: usize,
    pub codes: &'a [u8],
    pub scales: &'a [u8],
}

impl Packed {
    /// Packs `rows` rows of `columns` columns; `data` has exactly their bytes and `columns` is a
    /// multiple of the superblock.
    pub fn new(format: &'static Format, rows: usize, columns: usize, data: &[u8]) -> Self {
        let superblocks = columns / format.superblock;
        let tiles = rows.div_ceil(TILE);
        let (code_bytes, scale_bytes) = (format.code_bytes(), format.scale_bytes());
        let lines = superblocks * code_bytes / 64;
        let mut codes = vec![Line([0; 64]); tiles * lines];
        let mut scales = vec![0; tiles * superblocks * scale_bytes];
        let row_bytes = superblocks * format.bytes;
        if lines > 0 {
            codes
                .par_chunks_mut(lines)
                .zip(scales.par_chunks_mut(superblocks * scale_bytes))
                .zip(data.par_chunks(TILE * row_bytes))
                .for_each(|((codes, scales), rows)| {
                    let mut decoded = Superblock::default();
                    for (row, bytes) in rows.chunks_exact(row_bytes).enumerate() {
                        for (superblock, bytes) in bytes.chunks_exact(format.bytes).enumerate() {
                            format.read(bytes, &mut decoded);
                            let codes = &mut bytes_mut(codes)[superblock * code_bytes..];
                            put_codes(format, row, &decoded, &mut codes[..code_bytes]);
                            let scales = &mut scales[superblock * scale_bytes..][..scale_bytes];
                            put_scales(format, row, &decoded, scales);
                        }
                    }
                });
        }
        Self {
            format,
            rows,
            columns,
            codes,
            scales,
        }
    }

    /// The bytes that weights of this shape take: whole tiles.
    pub fn bytes_of(format: &Format, rows: usize, columns: usize) -> usize {
        let superblocks = columns / format.superblock;
        rows.div_ceil(TILE) * superblocks * (format.code_bytes() + format.scale_bytes())
    }

    /// How many tiles it has; the last may have fewer rows of its own.
    pub fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Tile `index`.
    pub fn tile(&self, index: usize) -> Tile<'_> {
        let superblocks = self.columns / self.format.superblock;
        let code_bytes = superblocks * self.format.code_bytes();
        let scale_bytes = superblocks * self.format.scale_bytes();
        Tile {
            format: self.format,
            columns: self.columns,
            codes: &bytes(&self.codes)[index * code_bytes..][..code_bytes],
            scales: &self.scales[index * scale_bytes..][..scale_bytes],
        }
    }

    /// Expands row `index` into `out`, `[columns]`.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let format = self.format;
        let tile = self.tile(index / TILE);
        let row = index % TILE;
        for (superblock, out) in out.chunks_exact_mut(format.superblock).enumerate() {
            let codes = &tile.codes[superblock * format.code_bytes()..][..format.code_bytes()];
            let scales = &tile.scales[superblock * format.scale_bytes()..];
            let codes = codes.chunks_exact(TILE * format.block * format.bits / 8);
            for (block, (out, codes)) in out.chunks_exact_mut(format.block).zip(codes).enumerate() {
                let (scale, minimum) = scale_of(format, scales, row, block);
                for (column, out) in out.iter_mut().enumerate() {
                    let code = i32::from(code_of(format, codes, row, column)) - format.offset;
                    *out = scale * code as f32 + minimum;
                }
            }
        }
    }
}

fn bytes(lines: &[Line]) -> &[u8] {
    // SAFETY: a `Line` is 64 bytes without padding.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
}

fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: a `Line` is 64 bytes without padding, and any bytes make one.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
}

/// Where a code is within its block: the byte of its low bits, its shift there, and its bit
/// within the planes.
fn place(format: &Format, row: usize, column: usize) -> (usize, usize, usize) {
    let (group, lane) = (column / 4, row * 4 + column % 4);
    if format.bits == 8 {
        return (group * 64 + lane, 0, 0);
    }
    let pairs = format.block / 8;
    let byte = group % pairs * 64 + lane;
    (byte, 4 * (group / pairs), group * 64 + lane)
}

fn put_codes(format: &Format, row: usize, from: &Superblock, to: &mut [u8]) {
    let block_bytes = TILE * format.block * format.bits / 8;
    for (codes, to) in from.codes[..format.superblock]
        .chunks_exact(format.block)
        .zip(to.chunks_exact_mut(block_bytes))
    {
        for (group, codes) in codes.as_chunks::<4>().0.iter().enumerate() {
            let (byte, shift, bit) = place(format, row, 4 * group);
            let to_four = &mut to[byte..byte + 4];
            if format.bits == 8 {
                to_four.copy_from_slice(codes);
                continue;
            }
            for (to, code) in to_four.iter_mut().zip(codes) {
                *to |= (code & 15) << shift;
            }
            for plane in 0..format.bits - 4 {
                let bit = plane * TILE * format.block + bit;
                let bits = codes.iter().rev();
                let bits = bits.fold(0, |bits, code| bits << 1 | code >> (4 + plane) & 1);
                to[TILE * format.block / 2 + bit / 8] |= bits << (bit % 8);
            }
        }
    }
}

/// The code of `row` and `column` within a block.
pub(super) fn code_of(format: &Format, block: &[u8], row: usize, column: usize) -> u8 {
    let (byte, shift, bit) = place(format, row, column);
    if format.bits == 8 {
        return block[byte];
    }
    let mut code = block[byte] >> shift & 15;
    for plane in 0..format.bits - 4 {
        let bit = plane * TILE * format.block + bit;
        code |= (block[TILE * format.block / 2 + bit / 8] >> (bit % 8) & 1) << (4 + plane);
    }
    code
}

fn put_scales(format: &Format, row: usize, from: &Superblock, to: &mut [u8]) {
    let parts = 1 + usize::from(format.minimum);
    for (part, half) in [from.scale, from.minimum]
        .into_iter()
        .take(parts)
        .enumerate()
    {
        to[part * 32 + row * 2..][..2].copy_from_slice(&half.to_le_bytes());
    }
    if format.nested {
        for block in 0..format.superblock / format.block {
            let at = parts * (32 + block * 16) + row;
            to[at] = from.scales[block] as u8;
            if format.minimum {
                to[at + 16] = from.minimums[block] as u8;
            }
        }
    }
}

/// The scale and the minimum of `row` in a block; `scales` begins with the superblock's.
pub(super) fn scale_of(format: &Format, scales: &[u8], row: usize, block: usize) -> (f32, f32) {
    let parts = 1 + usize::from(format.minimum);
    let part = |part: usize| {
        let at = part * 32 + row * 2;
        let outer = f16::from_le_bytes([scales[at], scales[at + 1]]).to_f32();
        if format.nested {
            let inner = scales[parts * (32 + block * 16) + part * 16 + row] as i8;
            outer * f32::from(inner)
        } else {
            outer
        }
    };
    (part(0), if format.minimum { part(1) } else { 0.0 })
}
