//! Random weights that any program can repeat.

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};

use crate::gguf::encode;

/// Numbers that follow from a tensor's name and a seed: around 0, or around 1 for the weights of
/// normalisations (`…norm.weight`). Matrices, `[…, rows, columns]`, keep the variance of what they
/// multiply, so that a model's logits have a variance of about one.
///
/// The generator is SplitMix64 (Steele et al., 2014), started with the name's FNV-1a hash plus
/// the seed: `benches/accuracy/fixtures.py` repeats it bit for bit.
pub fn random_weights(name: &str, shape: &[usize], seed: u64) -> Vec<f32> {
    let start = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    });
    let start = start.wrapping_add(seed);
    let centre = f32::from(u8::from(name.ends_with("norm.weight")));
    let gain = match shape {
        [_, .., columns] => 4.0 * (3.0 / *columns as f32).sqrt(),
        _ => 1.0,
    };
    (1..=shape.iter().product::<usize>() as u64)
        .map(|i| {
            let x = start.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let x = x ^ (x >> 31);
            ((x >> 40) as f32 / (1u32 << 25) as f32 - 0.25) * gain + centre
        })
        .collect()
}

/// The bytes of `values`, rows of `columns` numbers, stored as `dtype`.
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) when a row is no whole number of the type's blocks.
pub fn stored(values: &[f32], columns: usize, dtype: GgmlDType) -> Result<Vec<u8>> {
    encode(values, columns, dtype).map_err(|error| {
        Error::new(ErrorKind::BadInput, format!("weights as {dtype:?}"), &error).caused_by(error)
    })
}
