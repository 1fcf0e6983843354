#![allow(clippy::unwrap_used)]

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::format::FORMATS;
use super::*;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count)
        .map(|_| rng.random_range(-1.0f32..1.0) * rng.random_range(0.0f32..2.0))
        .collect()
}

/// Weights as a file has them, and as candle expands them.
fn weights(dtype: GgmlDType, rows: usize, columns: usize) -> (Vec<u8>, Vec<f32>) {
    let values = random(rows * columns, rows as u64 * 1000 + columns as u64);
    let values = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
    let tensor = QTensor::quantize(&values, dtype).unwrap();
    let expanded = tensor.dequantize(&Device::Cpu).unwrap();
    (
        tensor.data().unwrap().to_vec(),
        expanded.flatten_all().unwrap().to_vec1().unwrap(),
    )
}

/// Random bytes with finite scales: every bit of a block has a meaning that must be kept.
fn noise(format: &Format, rows: usize, columns: usize) -> (Vec<u8>, Vec<f32>) {
    let mut rng = StdRng::seed_from_u64(columns as u64);
    let mut data = vec![0u8; rows * columns / format.superblock * format.bytes];
    rng.fill(&mut data[..]);
    // Where the halves are in a block is what `read` says; every exponent is kept finite.
    let halves: &[usize] = match format.dtype {
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        _ if format.minimum => &[0, 2],
        _ => &[0],
    };
    for block in data.chunks_exact_mut(format.bytes) {
        for at in halves {
            block[at + 1] &= 0b1011_1111;
        }
    }
    let tensor = candle_core::quantized::ggml_file::qtensor_from_ggml(
        format.dtype,
        &data,
        vec![rows, columns],
        &Device::Cpu,
    );
    let expanded = tensor.unwrap().dequantize(&Device::Cpu).unwrap();
    let expanded = expanded.flatten_all().unwrap().to_vec1().unwrap();
    (data, expanded)
}

#[test]
fn rows_expand_as_candle_expands_them() {
    for format in &FORMATS {
        for (rows, columns) in [(1, 256), (16, 512), (35, 768)] {
            for (data, expected) in [
                weights(format.dtype, rows, columns),
                noise(format, rows, columns),
            ] {
                let matrix = Quantized::new(format.dtype, rows, columns, &data, false);
                let mut row = vec![0.0; columns];
                for (index, expected) in expected.chunks(columns).enumerate() {
                    matrix.row(index, &mut row);
                    assert_eq!(row, expected, "{:?}, row {index}", format.dtype);
                }
            }
        }
    }
}

/// Activations as the kernels round them, in plain arithmetic.
fn rounded(x: &[f32]) -> Vec<f32> {
    x.chunks(32)
        .flat_map(|x| {
            let scale = x.iter().fold(0.0f32, |a, x| a.max(x.abs())) / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            x.iter()
                .map(move |x| (x * inverse).round_ties_even() * scale)
        })
        .collect()
}

fn check_products(format: &Format, rows: usize, columns: usize, m: usize) {
    let (data, expanded) = weights(format.dtype, rows, columns);
    let matrix = Quantized::new(format.dtype, rows, columns, &data, false);
    let x = random(m * columns, 7);
    let exact = rounded(&x);
    for tier in Tier::all() {
        let mut out = vec![f32::NAN; m * rows];
        matrix.multiply(tier, &x, &mut out);
        for (i, out) in out.iter().enumerate() {
            let x = &exact[i / rows * columns..][..columns];
            let w = &expanded[i % rows * columns..][..columns];
            let terms = || x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
            let (sum, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
            assert!(
                (f64::from(*out) - sum).abs() <= 3e-6 * size + 1e-30,
                "{:?} on {tier:?}, {rows} by {columns}, {m} rows, at {i}: {out}, not {sum}",
                format.dtype,
            );
        }
    }
}

#[test]
fn products_are_those_of_rounded_activations() {
    let mut rng = StdRng::seed_from_u64(10);
    for format in &FORMATS {
        check_products(format, 130, 512, 70);
        for _ in 0..8 {
            let columns = format.superblock * rng.random_range(1..=768 / format.superblock);
            let (rows, m) = (rng.random_range(1..60), rng.random_range(1..20));
            check_products(format, rows, columns, m);
        }
    }
}

#[test]
fn a_row_is_the_same_in_every_batch_and_on_any_number_of_threads() {
    let (rows, columns, m) = (300, 768, 150);
    let single = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let several = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    for format in &FORMATS {
        let (data, _) = weights(format.dtype, rows, columns);
        let matrix = Quantized::new(format.dtype, rows, columns, &data, false);
        let x = random(m * columns, 8);
        let tiers = Tier::all()
            .into_iter()
            .filter(|tier| *tier != Tier::Portable);
        for tier in tiers {
            let bits = |x: &[f32]| {
                let mut out = vec![0.0; x.len() / columns * rows];
                matrix.multiply(tier, x, &mut out);
                out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let one_by_one: Vec<u32> =
                single.install(|| x.chunks(columns).flat_map(bits).collect());
            for size in [2, 3, 5, 7, 8, 64, 150] {
                let batches: Vec<u32> =
                    several.install(|| x.chunks(size * columns).flat_map(bits).collect());
                assert!(
                    one_by_one == batches,
                    "{:?} on {tier:?}, batches of {size}",
                    format.dtype
                );
            }
        }
    }
}

#[test]
fn the_vector_tiers_agree_bit_for_bit() {
    let (rows, columns, m) = (33, 512, 11);
    for format in &FORMATS {
        let (data, _) = weights(format.dtype, rows, columns);
        let matrix = Quantized::new(format.dtype, rows, columns, &data, false);
        let x = random(m * columns, 9);
        let outputs: Vec<Vec<f32>> = Tier::all()
            .into_iter()
            .filter(|tier| *tier != Tier::Portable)
            .map(|tier| {
                let mut out = vec![0.0; m * rows];
                matrix.multiply(tier, &x, &mut out);
                out
            })
            .collect();
        assert!(
            outputs.windows(2).all(|pair| pair[0] == pair[1]),
            "{:?}",
            format.dtype
        );
    }
}

#[test]
fn odd_numbers_do_no_harm() {
    for format in &FORMATS {
        let mut data = vec![0xffu8; 16 * 256 / format.superblock * format.bytes];
        data[..format.bytes].fill(0x7f);
        let matrix = Quantized::new(format.dtype, 16, 256, &data, false);
        let mut x = vec![1.0; 256];
        for odd in [f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, -0.0, f32::MAX] {
            x[3] = odd;
            for tier in Tier::all() {
                matrix.multiply(tier, &x, &mut [0.0; 16]);
            }
        }
    }
}
