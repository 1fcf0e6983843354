//! The tile product in plain Rust.

use super::activations::{Activations, GROUP};
use super::pack::{TILE, Tile, code_of, scale_of};

/// Products of a tile with the rows from `first` on, one for each item of `out`.
pub(super) fn multiply(tile: &Tile<'_>, x: &Activations, first: usize, out: &mut [[f32; TILE]]) {
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
            for (at, out) in (first..).zip(&mut *out) {
                let column = at * x.columns + block * format.block;
                let block = at * (x.columns / x.block) + block;
                let codes = &x.codes[column..][..format.block];
                let dot = x.starts[block]
                    + weights
                        .iter()
                        .zip(codes)
                        .map(|(weight, code)| i32::from(*weight) * i32::from(*code))
                        .sum::<i32>();
                out[row] += dot as f32 * (scale * x.scales[column / GROUP]);
                out[row] += minimum * x.sums[block];
            }
        }
    }
}
