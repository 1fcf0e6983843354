//! The tensors of a model file.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};

/// A tensor that lies in a [`GgufFile`](super::GgufFile), with its data as stored there.
#[derive(Debug, Clone, Copy)]
pub struct GgufTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// How its numbers are stored.
    pub dtype: GgmlDType,
    /// Its dimensions, outermost first: a matrix is `[rows, columns]`, rows contiguous.
    pub shape: &'a [usize],
    /// Its numbers, exactly as many bytes as type and shape ask for.
    pub data: &'a [u8],
}

impl GgufTensor<'_> {
    /// The numbers of an F32, F16 or BF16 tensor.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for quantized tensors.
    pub fn to_f32s(&self) -> Result<Vec<f32>> {
        let (pairs, _) = self.data.as_chunks::<2>();
        let (fours, _) = self.data.as_chunks::<4>();
        Ok(match self.dtype {
            GgmlDType::F32 => fours.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            GgmlDType::F16 => pairs
                .iter()
                .map(|b| half::f16::from_le_bytes(*b).to_f32())
                .collect(),
            GgmlDType::BF16 => pairs
                .iter()
                .map(|b| half::bf16::from_le_bytes(*b).to_f32())
                .collect(),
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("tensor `{}`", self.name),
                    format!("it is {other:?} where F32, F16 or BF16 is needed"),
                ));
            }
        })
    }
}

/// Where a tensor lies in the file.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub name: String,
    pub dtype: GgmlDType,
    pub shape: Vec<usize>,
    pub data: Range<usize>,
}

/// The stored types we compute with, by their codes in the file.
const TYPES: [(u32, GgmlDType); 15] = [
    (0, GgmlDType::F32),
    (1, GgmlDType::F16),
    (2, GgmlDType::Q4_0),
    (3, GgmlDType::Q4_1),
    (6, GgmlDType::Q5_0),
    (7, GgmlDType::Q5_1),
    (8, GgmlDType::Q8_0),
    (9, GgmlDType::Q8_1),
    (10, GgmlDType::Q2K),
    (11, GgmlDType::Q3K),
    (12, GgmlDType::Q4K),
    (13, GgmlDType::Q5K),
    (14, GgmlDType::Q6K),
    (15, GgmlDType::Q8K),
    (30, GgmlDType::BF16),
];

/// Types that exist but that we do not compute with, for a better message.
const OTHER_TYPES: [(u32, &str); 17] = [
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

/// The stored type with this code.
pub(super) fn dtype(code: u32, tensor: &str, subject: &str) -> Result<GgmlDType> {
    if let Some((_, dtype)) = TYPES.iter().find(|(known, _)| *known == code) {
        return Ok(*dtype);
    }
    match OTHER_TYPES.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => Err(Error::new(
            ErrorKind::Unsupported,
            subject,
            format!("tensor `{tensor}` is stored as {name}, which is not supported"),
        )
        .hint("take another quantization of the model, such as Q4_K_M or Q8_0")),
        None => Err(Error::new(
            ErrorKind::Malformed,
            subject,
            format!("tensor `{tensor}` has the unknown type {code}"),
        )),
    }
}

/// The code of a stored type.
pub(super) fn code(dtype: GgmlDType) -> u32 {
    TYPES
        .iter()
        .find(|(_, known)| *known == dtype)
        .map(|(code, _)| *code)
        .expect("every type of candle is in the table")
}

/// How many bytes a tensor of this type and shape (outermost first) takes: `None` when a row is
/// no whole number of blocks or a product overflows.
pub(super) fn byte_size(dtype: GgmlDType, shape: &[usize]) -> Option<usize> {
    let row = *shape.last()?;
    if !row.is_multiple_of(dtype.block_size()) {
        return None;
    }
    let row_bytes = (row / dtype.block_size()).checked_mul(dtype.type_size())?;
    let rows = shape[..shape.len() - 1]
        .iter()
        .try_fold(1usize, |product, n| product.checked_mul(*n))?;
    // The number of numbers must fit too: others multiply it out.
    rows.checked_mul(row)
        .filter(|numbers| isize::try_from(*numbers).is_ok())?;
    rows.checked_mul(row_bytes)
}
