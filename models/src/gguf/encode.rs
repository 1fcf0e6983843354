//! Numbers as GGML stores them.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

/// The bytes of `values`, rows of `columns` numbers, stored as `dtype`.
///
/// # Errors
///
/// When a row is no whole number of the type's blocks.
pub(crate) fn encode(
    values: &[f32],
    columns: usize,
    dtype: GgmlDType,
) -> candle_core::Result<Vec<u8>> {
    match dtype {
        GgmlDType::F32 => return Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect()),
        GgmlDType::F16 => {
            let halves = values.iter().map(|x| half::f16::from_f32(*x));
            return Ok(halves.flat_map(half::f16::to_le_bytes).collect());
        }
        GgmlDType::BF16 => {
            let halves = values.iter().map(|x| half::bf16::from_f32(*x));
            return Ok(halves.flat_map(half::bf16::to_le_bytes).collect());
        }
        _ => {}
    }
    let shape = (values.len() / columns.max(1), columns);
    let tensor = Tensor::from_slice(values, shape, &Device::Cpu)?;
    Ok(QTensor::quantize(&tensor, dtype)?.data()?.into_owned())
}
