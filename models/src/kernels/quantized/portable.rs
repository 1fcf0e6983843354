//! The tile product in plain Rust.

use super::activations::{GROUP, Strip};
use super::pack::{TILE, Tile, code_of, scale_of};

/// Rows of a strip, at most.
pub(super) const LONGEST: usize = 8;

/// Products of a tile with a strip, one for each item of `out`.
pub(super) fn multiply(tile: &Tile<'_>, x: &Strip<'_>, out: &mut [[f32; TILE]]) {
    let format = tile.format;
    let per_superblock = format.superblock / format.block;
    let block_bytes = TILE * format.block * format.bits / 8;
    out.fill([0.0; TILE]);
    for (block, codes) in tile.codes.chunks_exact(block_bytes).enumerate() {
        let scales = &tile.scales[block / per_superblock * format.scale_bytes()..];
        for row in 0..TILE {
            let mut weights = [0u8; GROUP];
            for (column, weight) in weights[..format.block].iter_mut().enumerate() {
                *weight = code_of(format, codes, row, column);
            }
            let (scale, minimum) = scale_of(format, scales, row, block % per_superblock);
            let group = block * format.block / GROUP;
            for (at, out) in out.iter_mut().enumerate() {
                let column = (group * x.rows + at) * GROUP + block * format.block % GROUP;
                let codes = &x.codes[column..][..format.block];
                let dot = x.starts[block * x.rows + at]
                    + weights
                        .iter()
                        .zip(codes)
                        .map(|(weight, code)| i32::from(*weight) * i32::from(*code))
                        .sum::<i32>();
                out[row] += dot as f32 * (scale * x.scales[group * x.rows + at]);
                out[row] += minimum * x.sums[block * x.rows + at];
            }
        }
    }
}
