//! Matrices that share an input.

use corbie_core::Result;

use super::source::Tensor;
use super::weights::Reader;
use crate::kernels::{Matrix, add};

/// Matrices that share an input, their outputs side by side, with a bias where there is one.
///
/// Matrices of one format are joined into a single one, so that a row of activations is rounded
/// and handed to the threads once.
#[derive(Debug)]
pub(super) struct Projection {
    parts: Vec<Matrix>,
    bias: Option<Vec<f32>>,
    rows: usize,
}

impl Projection {
    /// The number of outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The matrices.
    pub fn parts(&self) -> &[Matrix] {
        &self.parts
    }

    /// What is added.
    pub fn bias(&self) -> Option<&Vec<f32>> {
        self.bias.as_ref()
    }

    /// `out = x · Wᵀ + b`: `x` is `[m, columns]`, `out` is `[m, rows]`; `scratch` is room for the
    /// outputs of one part.
    pub fn multiply(&self, x: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        match self.parts.as_slice() {
            [whole] => whole.multiply(x, out),
            parts => self.multiply_parts(parts, x, out, scratch),
        }
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.rows) {
                add(row, bias);
            }
        }
    }

    fn multiply_parts(&self, parts: &[Matrix], x: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        let m = out.len() / self.rows;
        let mut at = 0;
        for part in parts {
            let rows = part.rows();
            if m == 1 {
                part.multiply(x, &mut out[at..at + rows]);
            } else {
                scratch.clear();
                scratch.resize(m * rows, 0.0);
                part.multiply(x, scratch);
                for (from, to) in scratch
                    .chunks_exact(rows)
                    .zip(out.chunks_exact_mut(self.rows))
                {
                    to[at..at + rows].copy_from_slice(from);
                }
            }
            at += rows;
        }
    }
}

impl Reader<'_> {
    /// The matrices `NAME.weight` of `columns` inputs, with `NAME.bias` where they are.
    pub fn projection(&self, parts: &[(String, usize)], columns: usize) -> Result<Projection> {
        let mut tensors = Vec::with_capacity(parts.len());
        let mut bias = None;
        let mut rows = 0;
        for (name, part_rows) in parts {
            let tensor = self.required(&format!("{name}.weight"))?;
            self.check(&tensor, &[*part_rows, columns])?;
            tensors.push(tensor);
            let bias_name = format!("{name}.bias");
            if self.tensors.has(&bias_name)? {
                let total = parts.iter().map(|(_, rows)| rows).sum();
                let bias: &mut Vec<f32> = bias.get_or_insert_with(|| vec![0.0; total]);
                let values = self.vector(&bias_name, *part_rows)?;
                bias[rows..rows + part_rows].copy_from_slice(&values);
            }
            rows += part_rows;
        }
        self.join(&tensors, bias)
    }

    /// Checked matrices of as many columns, side by side.
    pub fn join(&self, tensors: &[Tensor<'_>], bias: Option<Vec<f32>>) -> Result<Projection> {
        let first = &tensors[0];
        let columns = first.shape[1];
        let rows = tensors.iter().map(|tensor| tensor.shape[0]).sum();
        let parts = match tensors {
            [only] => vec![self.matrix(only, rows, columns)?],
            several if several.iter().all(|tensor| tensor.dtype == first.dtype) => {
                let data: Vec<&[u8]> = several.iter().map(|tensor| &*tensor.data).collect();
                vec![self.joined(first.dtype, rows, columns, &data.concat(), &first.name)?]
            }
            several => {
                let read = |tensor: &Tensor<'_>| self.matrix(tensor, tensor.shape[0], columns);
                several.iter().map(read).collect::<Result<_>>()?
            }
        };
        Ok(Projection { parts, bias, rows })
    }
}
