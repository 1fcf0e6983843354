//! Merging an adapter into the weights of a decoder while they are read.

use std::cell::Cell;

use corbie_core::Result;

use super::Adapter;
use crate::decoder::source::{Tensor, Tensors, malformed};
use crate::gguf::encode;
use crate::kernels::{Matrix, Precision};

/// What merging changed.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MergeReport {
    /// How many weight matrices were changed.
    pub weights: usize,
    /// The largest change of a single number.
    pub largest_change: f32,
    /// The mean of the changes' sizes.
    pub mean_change: f32,
    /// The largest difference between a number as it should be and as it could be stored.
    pub largest_error: f32,
    /// The mean of these differences' sizes.
    pub mean_error: f32,
}

/// The tensors of a model with an adapter merged into them.
pub(in crate::decoder) struct MergedTensors<'a> {
    tensors: &'a dyn Tensors,
    adapter: &'a Adapter,
    sums: Cell<Sums>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    weights: usize,
    numbers: usize,
    largest_change: f32,
    change: f64,
    largest_error: f32,
    error: f64,
}

impl<'a> MergedTensors<'a> {
    pub fn new(tensors: &'a dyn Tensors, adapter: &'a Adapter) -> Self {
        Self {
            tensors,
            adapter,
            sums: Cell::default(),
        }
    }

    /// What the tensors that were read so far have changed.
    pub fn report(&self) -> MergeReport {
        let sums = self.sums.get();
        let mean = |sum: f64| (sum / sums.numbers.max(1) as f64) as f32;
        MergeReport {
            weights: sums.weights,
            largest_change: sums.largest_change,
            mean_change: mean(sums.change),
            largest_error: sums.largest_error,
            mean_error: mean(sums.error),
        }
    }

    /// The tensor with the change `b · a` added to it, stored as it was.
    fn merge(&self, tensor: &Tensor<'_>, a: &Matrix, b: &Matrix) -> candle_core::Result<Vec<u8>> {
        let (rows, columns) = (tensor.shape[0], tensor.shape[1]);
        let matrix =
            |data: &[u8]| Matrix::from_ggml(tensor.dtype, rows, columns, data, Precision::F32);
        let rank = a.rows();
        let mut low = vec![0.0; rank * columns];
        for (index, row) in low.chunks_exact_mut(columns).enumerate() {
            a.row(index, row);
        }
        let before = matrix(&tensor.data)?;
        let mut factors = vec![0.0; rank];
        let mut wanted = vec![0.0; rows * columns];
        for (index, row) in wanted.chunks_exact_mut(columns).enumerate() {
            before.row(index, row);
            b.row(index, &mut factors);
            for (factor, low) in factors.iter().zip(low.chunks_exact(columns)) {
                row.iter_mut()
                    .zip(low)
                    .for_each(|(x, low)| *x += factor * low);
            }
        }
        let data = encode(&wanted, columns, tensor.dtype)?;
        let after = matrix(&data)?;
        let mut sums = self.sums.get();
        let (mut old, mut new) = (vec![0.0; columns], vec![0.0; columns]);
        for (index, wanted) in wanted.chunks_exact(columns).enumerate() {
            before.row(index, &mut old);
            after.row(index, &mut new);
            for ((old, new), wanted) in old.iter().zip(&new).zip(wanted) {
                let (change, error) = ((new - old).abs(), (new - wanted).abs());
                sums.largest_change = sums.largest_change.max(change);
                sums.largest_error = sums.largest_error.max(error);
                sums.change += f64::from(change);
                sums.error += f64::from(error);
            }
        }
        sums.weights += 1;
        sums.numbers += rows * columns;
        self.sums.set(sums);
        Ok(data)
    }
}

impl Tensors for MergedTensors<'_> {
    fn subject(&self) -> &str {
        self.tensors.subject()
    }

    fn name_of(&self, name: &str) -> String {
        self.tensors.name_of(name)
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        let Some(tensor) = self.tensors.tensor(name)? else {
            return Ok(None);
        };
        let place = name.strip_prefix("blk.").and_then(|it| it.split_once('.'));
        let (index, part) = place.unwrap_or_default();
        let part = part.strip_suffix(".weight").unwrap_or(part);
        let layer = index.parse().ok();
        let layer = layer.and_then(|index: usize| self.adapter.layers.get(index));
        let mut changes = layer.into_iter().flatten().flatten();
        let Some(change) = changes.find(|change| change.part == part) else {
            return Ok(Some(tensor));
        };
        if tensor.shape != [change.b.rows(), change.a.columns()] {
            let cause = format!(
                "tensor `{}` has another shape than its adapter",
                tensor.name
            );
            return Err(malformed(self.tensors, cause));
        }
        let data = self.merge(&tensor, &change.a, &change.b).map_err(|error| {
            let cause = format!("tensor `{}` cannot be changed: {error}", tensor.name);
            malformed(self.tensors, cause)
        })?;
        Ok(Some(Tensor {
            data: data.into(),
            ..tensor
        }))
    }

    fn has(&self, name: &str) -> Result<bool> {
        self.tensors.has(name)
    }

    fn unread(&self) -> Option<String> {
        self.tensors.unread()
    }
}
