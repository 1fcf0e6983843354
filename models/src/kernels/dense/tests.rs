#![allow(clippy::unwrap_used)]

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()
}

/// The same weights in every form, each with the numbers it stands for.
fn forms(rows: usize, columns: usize) -> Vec<(Dense, Vec<f32>)> {
    let values = random(rows * columns, rows as u64);
    let half: Vec<f16> = values.iter().map(|x| f16::from_f32(*x)).collect();
    let brain: Vec<bf16> = values.iter().map(|x| bf16::from_f32(*x)).collect();
    let f32_bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let f16_bytes: Vec<u8> = half.iter().flat_map(|x| x.to_le_bytes()).collect();
    let bf16_bytes: Vec<u8> = brain.iter().flat_map(|x| x.to_le_bytes()).collect();
    vec![
        (Dense::from_f32(rows, columns, &values), values.clone()),
        (Dense::from_f32_bytes(rows, columns, &f32_bytes), values),
        (
            Dense::from_f16_bytes(rows, columns, &f16_bytes),
            half.iter().map(|x| x.to_f32()).collect(),
        ),
        (
            Dense::from_bf16_bytes(rows, columns, &bf16_bytes),
            brain.iter().map(|x| x.to_f32()).collect(),
        ),
    ]
}

#[test]
fn products_and_rows_are_those_of_the_numbers() {
    let mut rng = StdRng::seed_from_u64(11);
    let random_shapes = std::iter::repeat_with(|| {
        (
            rng.random_range(1..100),
            rng.random_range(1..400),
            rng.random_range(1..40),
        )
    });
    let shapes = [(1, 1, 1), (32, 7, 12), (33, 384, 13)].into_iter();
    for (rows, columns, m) in shapes.chain(random_shapes.take(12)) {
        for (matrix, values) in forms(rows, columns) {
            let mut row = vec![0.0; columns];
            for (index, expected) in values.chunks(columns).enumerate() {
                matrix.row(index, &mut row);
                assert_eq!(row, expected);
            }
            let x = random(m * columns, 3);
            for tier in Tier::all() {
                let mut out = vec![f32::NAN; m * rows];
                matrix.multiply(tier, &x, &mut out);
                for (i, out) in out.iter().enumerate() {
                    let x = &x[i / rows * columns..][..columns];
                    let w = &values[i % rows * columns..][..columns];
                    let terms = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
                    let (sum, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
                    assert!(
                        (f64::from(*out) - sum).abs() <= 3e-6 * size,
                        "{tier:?}, {rows} by {columns}, {m} rows, at {i}: {out}, not {sum}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_row_is_the_same_in_every_batch_and_on_any_number_of_threads() {
    let (rows, columns, m) = (100, 384, 130);
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let several = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    let x = random(m * columns, 8);
    for (matrix, _) in forms(rows, columns) {
        for tier in Tier::all() {
            let bits = |x: &[f32]| {
                let mut out = vec![0.0; x.len() / columns * rows];
                matrix.multiply(tier, x, &mut out);
                out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let one_by_one: Vec<u32> =
                single.install(|| x.chunks(columns).flat_map(bits).collect());
            for size in [2, 3, 5, 11, 12, 13, 64, 130] {
                let batches: Vec<u32> =
                    several.install(|| x.chunks(size * columns).flat_map(bits).collect());
                assert!(one_by_one == batches, "{tier:?}, batches of {size}");
            }
        }
    }
}
