//! Weights and their product with activations.

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Result};

/// How a quantized weight is multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// As it is stored, with activations rounded to 8 bits in blocks of 32.
    #[default]
    Quantized,
    /// Expanded to `f32`, with activations as they are: the reference.
    F32,
}

/// A weight matrix of `rows` outputs by `columns` inputs.
#[derive(Debug, Clone)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of `f32`: `values` is `[rows, columns]`.
    pub fn from_f32(rows: usize, columns: usize, values: &[f32]) -> Self {
        assert_eq!(
            values.len(),
            rows * columns,
            "a matrix of {rows} by {columns}"
        );
        Self {
            rows,
            columns,
            values: values.to_vec(),
        }
    }

    /// A matrix stored in one of GGML's formats: `data` is `rows` rows of
    /// `columns / block_size` blocks.
    ///
    /// # Errors
    ///
    /// When the format is not known or `columns` is no multiple of its block size.
    pub fn from_ggml(
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        data: &[u8],
        _precision: Precision,
    ) -> Result<Self> {
        let tensor: QTensor = candle_core::quantized::ggml_file::qtensor_from_ggml(
            dtype,
            data,
            vec![rows, columns],
            &Device::Cpu,
        )?;
        let values = tensor.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1()?;
        Ok(Self {
            rows,
            columns,
            values,
        })
    }

    /// The number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `out = x · Wᵀ`: `x` is `[m, columns]`, `out` is `[m, rows]`.
    pub fn multiply(&self, x: &[f32], out: &mut [f32]) {
        for (x, out) in x
            .chunks_exact(self.columns)
            .zip(out.chunks_exact_mut(self.rows))
        {
            for (row, out) in self.values.chunks_exact(self.columns).zip(out) {
                *out = row.iter().zip(x).map(|(w, x)| w * x).sum();
            }
        }
    }

    /// Writes row `index`, expanded, into `out`, which is `[columns]`: for embedding tables.
    pub fn row(&self, index: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.values[index * self.columns..][..self.columns]);
    }
}
