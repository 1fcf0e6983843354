//! Weights and their product with activations.

use candle_core::quantized::GgmlDType;
use candle_core::{Result, bail};

use super::dense::Dense;
use super::quantized::Quantized;
use super::tier::Tier;

/// How a quantized weight is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As it is stored, with activations rounded to 8 bits in blocks of 32.
    #[default]
    Quantized,
    /// As it is stored, with activations as the sum of two such roundings, of the activation and of
    /// what the first leaves: near `F32`, at up to twice the work of `Quantized` and the same
    /// memory.
    Fine,
    /// Expanded to `f32`, with activations as they are: the reference.
    F32,
}

/// A weight matrix of `rows` outputs by `columns` inputs.
///
/// ```
/// use corbie_models::kernels::Matrix;
///
/// let matrix = Matrix::from_f32(2, 3, &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
/// let mut out = [0.0; 2];
/// matrix.multiply(&[1.0, 2.0, 3.0], &mut out);
/// assert_eq!(out, [1.0, 6.0]);
/// ```
#[derive(Debug, Clone)]
pub struct Matrix {
    weights: Weights,
}

#[derive(Debug, Clone)]
enum Weights {
    Quantized(Quantized),
    Dense(Dense),
}

impl Matrix {
    /// A matrix of `f32`: `values` is `[rows, columns]`.
    ///
    /// # Panics
    ///
    /// When `values` has another length or the shape is empty.
    pub fn from_f32(rows: usize, columns: usize, values: &[f32]) -> Self {
        assert!(rows > 0 && columns > 0, "a matrix of {rows} by {columns}");
        assert_eq!(
            Some(values.len()),
            rows.checked_mul(columns),
            "a matrix of {rows} by {columns}"
        );
        Self {
            weights: Weights::Dense(Dense::from_f32(rows, columns, values)),
        }
    }

    /// A matrix stored in one of GGML's formats: `data` is `rows` rows of
    /// `columns / block_size` blocks.
    ///
    /// Block formats are kept as they are, if `precision` allows, and `F16`, `BF16` and `F32`
    /// always are; their products are in `f32`.
    ///
    /// # Errors
    ///
    /// When the format is not known, the shape is empty, `columns` is no multiple of the block
    /// size, or `data` has not exactly the bytes of the shape.
    pub fn from_ggml(
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        data: &[u8],
        precision: Precision,
    ) -> Result<Self> {
        let (block, bytes) = match dtype {
            GgmlDType::F32 => (1, 4),
            GgmlDType::F16 | GgmlDType::BF16 => (1, 2),
            _ => match Quantized::block(dtype) {
                Some(block) => block,
                None => bail!("weights of type {dtype:?} are not supported"),
            },
        };
        if rows == 0 || columns == 0 {
            bail!("weights of {rows} by {columns} are empty");
        }
        if !columns.is_multiple_of(block) {
            bail!("{dtype:?} weights have blocks of {block} columns, and {columns} is no multiple");
        }
        let expected = (columns / block).checked_mul(bytes);
        if expected.and_then(|row| row.checked_mul(rows)) != Some(data.len()) {
            bail!(
                "{dtype:?} weights of {rows} by {columns} cannot have {} bytes",
                data.len()
            );
        }
        let dense = match dtype {
            GgmlDType::F32 => Dense::from_f32_bytes(rows, columns, data),
            GgmlDType::F16 => Dense::from_f16_bytes(rows, columns, data),
            GgmlDType::BF16 => Dense::from_bf16_bytes(rows, columns, data),
            _ => {
                let fine = precision == Precision::Fine;
                let quantized = Quantized::new(dtype, rows, columns, data, fine);
                if precision != Precision::F32 {
                    return Ok(Self {
                        weights: Weights::Quantized(quantized),
                    });
                }
                let mut values = vec![0.0; rows * columns];
                for (index, row) in values.chunks_exact_mut(columns).enumerate() {
                    quantized.row(index, row);
                }
                Dense::from_f32(rows, columns, &values)
            }
        };
        Ok(Self {
            weights: Weights::Dense(dense),
        })
    }

    /// The bytes that a matrix stored as `dtype` takes once it is laid out for the kernels; those
    /// of the file where the format is not known.
    ///
    /// ```
    /// use candle_core::quantized::GgmlDType;
    /// use corbie_models::kernels::{Matrix, Precision};
    ///
    /// let bytes = |precision| Matrix::bytes_of(GgmlDType::Q8_0, 64, 256, precision);
    /// assert_eq!(bytes(Precision::Quantized), 64 * 256 / 32 * 34);
    /// assert_eq!(bytes(Precision::F32), 64 * 256 * 4);
    /// ```
    pub fn bytes_of(dtype: GgmlDType, rows: usize, columns: usize, precision: Precision) -> usize {
        match (dtype, precision) {
            (GgmlDType::F32, _) => Dense::bytes_of(rows, columns, 4),
            (GgmlDType::F16 | GgmlDType::BF16, _) => Dense::bytes_of(rows, columns, 2),
            (_, Precision::F32) => Dense::bytes_of(rows, columns, 4),
            (_, Precision::Quantized | Precision::Fine) => {
                Quantized::bytes_of(dtype, rows, columns)
            }
        }
    }

    /// The bytes that it takes.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Quantized(weights) => weights.bytes(),
            Weights::Dense(weights) => weights.bytes(),
        }
    }

    /// The number of outputs.
    pub fn rows(&self) -> usize {
        match &self.weights {
            Weights::Quantized(weights) => weights.rows(),
            Weights::Dense(weights) => weights.rows(),
        }
    }

    /// The number of inputs.
    pub fn columns(&self) -> usize {
        match &self.weights {
            Weights::Quantized(weights) => weights.columns(),
            Weights::Dense(weights) => weights.columns(),
        }
    }

    /// `out = x · Wᵀ`: `x` is `[m, columns]`, `out` is `[m, rows]`.
    ///
    /// # Panics
    ///
    /// When `x` or `out` has another length.
    pub fn multiply(&self, x: &[f32], out: &mut [f32]) {
        let (rows, columns) = (self.rows(), self.columns());
        assert!(
            x.len() / columns * columns == x.len() && x.len() / columns * rows == out.len(),
            "a product of {rows} by {columns}: {} inputs, {} outputs",
            x.len(),
            out.len()
        );
        match &self.weights {
            Weights::Quantized(weights) => weights.multiply(Tier::best(), x, out),
            Weights::Dense(weights) => weights.multiply(Tier::best(), x, out),
        }
    }

    /// Writes row `index`, expanded, into `out`, which is `[columns]`: for embedding tables.
    ///
    /// # Panics
    ///
    /// When there is no such row, or `out` has another length.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        let (rows, columns) = (self.rows(), self.columns());
        assert!(
            index < rows && out.len() == columns,
            "row {index} of {rows} by {columns} into {} numbers",
            out.len()
        );
        match &self.weights {
            Weights::Quantized(weights) => weights.row(index, out),
            Weights::Dense(weights) => weights.row(index, out),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn wrong_shapes_from_files_are_errors() {
        for (dtype, rows, columns, bytes) in [
            (GgmlDType::Q4_0, 2, 32, 35),
            (GgmlDType::Q4_0, 2, 33, 36),
            (GgmlDType::Q4_0, 0, 32, 0),
            (GgmlDType::Q4K, 1, 32, 18),
            (GgmlDType::F32, usize::MAX, 32, 128),
            (GgmlDType::Q6K, usize::MAX / 2, 256, 210),
            (GgmlDType::F16, 3, 5, 31),
            (GgmlDType::Q8_1, 1, 32, 36),
        ] {
            let matrix =
                Matrix::from_ggml(dtype, rows, columns, &vec![0; bytes], Precision::Quantized);
            assert!(matrix.is_err(), "{dtype:?} {rows} {columns} {bytes}");
        }
    }

    #[test]
    fn the_reference_expands_block_formats() {
        let data: Vec<u8> = (0..34).collect();
        let matrix = Matrix::from_ggml(GgmlDType::Q8_0, 1, 32, &data, Precision::F32).unwrap();
        let quantized =
            Matrix::from_ggml(GgmlDType::Q8_0, 1, 32, &data, Precision::Quantized).unwrap();
        let (mut a, mut b) = ([0.0; 32], [0.0; 32]);
        matrix.row(0, &mut a);
        quantized.row(0, &mut b);
        assert_eq!(a, b);
    }
}
