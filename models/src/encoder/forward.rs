//! The arithmetic of the encoder (Devlin et al., 2018) on the CPU.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::config::EncoderConfig;
use super::weights::{EmbeddingWeights, LayerWeights, Linear, Norm, Weights};
use crate::kernels::{AttentionShape, Matrix, add, bidirectional_attention, gelu, layer_norm};

/// The encoder with its weights laid out for the kernels.
pub(super) struct CpuEncoder {
    hidden: usize,
    intermediate: usize,
    first_position: usize,
    layer_norm_eps: f32,
    attention: AttentionShape,
    words: Tensor,
    positions: Vec<f32>,
    norm: NormVectors,
    layers: Vec<Layer>,
}

struct Layer {
    query_key_value: Affine,
    attention_output: Affine,
    attention_norm: NormVectors,
    intermediate: Affine,
    output: Affine,
    output_norm: NormVectors,
}

struct Affine {
    matrix: Matrix,
    bias: Vec<f32>,
}

struct NormVectors {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// The buffers of a forward pass, kept from one batch to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[total, hidden]`: what goes from layer to layer.
    x: Vec<f32>,
    /// `[total, hidden]`: what a sublayer adds to it.
    y: Vec<f32>,
    /// `[total, 3 · hidden]` or `[total, intermediate]`.
    wide: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
}

impl CpuEncoder {
    /// Takes the tensors of `weights`, layer by layer, so that each is held twice only while it
    /// is laid out anew.
    pub fn new(config: &EncoderConfig, weights: &Weights<'_>) -> corbie_core::Result<Self> {
        let internal = |error: candle_core::Error| {
            corbie_core::Error::new(corbie_core::ErrorKind::Internal, "the encoder", error)
        };
        let EmbeddingWeights {
            words,
            positions,
            norm,
        } = weights.embeddings()?;
        let layers = (0..config.layers)
            .map(|index| Layer::new(weights.layer(index)?).map_err(internal))
            .collect::<corbie_core::Result<_>>()?;
        let head_dim = config.hidden / config.heads;
        Ok(Self {
            hidden: config.hidden,
            intermediate: config.intermediate,
            first_position: config.first_position,
            layer_norm_eps: config.layer_norm_eps,
            attention: AttentionShape {
                heads: config.heads,
                kv_heads: config.heads,
                head_dim,
                scale: 1.0 / (head_dim as f32).sqrt(),
                window: None,
                softcap: None,
            },
            words,
            positions: numbers(&positions).map_err(internal)?,
            norm: NormVectors::new(norm).map_err(internal)?,
            layers,
        })
    }

    /// The vectors of the tokens `ids`, `[total, hidden]`. `segments` divide `0..total` into
    /// texts, none longer than the model's positions.
    ///
    /// # Errors
    ///
    /// When an id lies outside the vocabulary.
    pub fn forward<'s>(
        &self,
        ids: &[u32],
        segments: &[Range<usize>],
        scratch: &'s mut Scratch,
    ) -> Result<&'s [f32]> {
        let Scratch {
            x,
            y,
            wide,
            query,
            key,
            value,
        } = scratch;
        self.embed(ids, segments, x)?;
        let (total, hidden) = (ids.len(), self.hidden);
        for layer in &self.layers {
            layer.query_key_value.multiply(x, total, wide);
            layer.split_heads(wide, hidden, [&mut *query, &mut *key, &mut *value]);
            y.resize(total * hidden, 0.0);
            bidirectional_attention(&self.attention, query, key, value, segments, y);
            // The queries are used up: their buffer takes the product.
            layer.attention_output.multiply(y, total, query);
            layer.attention_output.add_to(x, query);
            self.normalize(&layer.attention_norm, x);

            layer.intermediate.multiply(x, total, wide);
            layer.intermediate.add_bias(wide);
            gelu(&mut wide[..total * self.intermediate]);
            layer.output.multiply(wide, total, y);
            layer.output.add_to(x, y);
            self.normalize(&layer.output_norm, x);
        }
        Ok(x)
    }

    fn embed(&self, ids: &[u32], segments: &[Range<usize>], x: &mut Vec<f32>) -> Result<()> {
        let hidden = self.hidden;
        let ids = Tensor::from_slice(ids, ids.len(), &Device::Cpu)?;
        *x = numbers(&self.words.index_select(&ids, 0)?)?;
        for segment in segments {
            let first = self.first_position * hidden;
            let count = segment.len() * hidden;
            let rows = &mut x[segment.start * hidden..][..count];
            add(rows, &self.positions[first..][..count]);
        }
        self.normalize(&self.norm, x);
        Ok(())
    }

    fn normalize(&self, norm: &NormVectors, x: &mut [f32]) {
        layer_norm(x, &norm.weight, &norm.bias, self.layer_norm_eps);
    }
}

impl Layer {
    fn new(weights: LayerWeights) -> Result<Self> {
        Ok(Self {
            query_key_value: Affine::new(weights.query_key_value)?,
            attention_output: Affine::new(weights.attention_output)?,
            attention_norm: NormVectors::new(weights.attention_norm)?,
            intermediate: Affine::new(weights.intermediate)?,
            output: Affine::new(weights.output)?,
            output_norm: NormVectors::new(weights.output_norm)?,
        })
    }

    /// Adds the bias to each row of `wide`, `[total, 3 · hidden]`, and parts it in three.
    fn split_heads(&self, wide: &[f32], hidden: usize, parts: [&mut Vec<f32>; 3]) {
        let bias = self.query_key_value.bias.chunks_exact(hidden);
        for (i, (part, bias)) in parts.into_iter().zip(bias).enumerate() {
            part.resize(wide.len() / 3, 0.0);
            let rows = wide.chunks_exact(3 * hidden);
            for (out, row) in part.chunks_exact_mut(hidden).zip(rows) {
                let row = &row[i * hidden..][..hidden];
                for ((out, x), bias) in out.iter_mut().zip(row).zip(bias) {
                    *out = x + bias;
                }
            }
        }
    }
}

impl Affine {
    fn new(linear: Linear) -> Result<Self> {
        let (rows, columns) = linear.weight.dims2()?;
        Ok(Self {
            matrix: Matrix::from_f32(rows, columns, &numbers(&linear.weight)?),
            bias: numbers(&linear.bias)?,
        })
    }

    /// The product with the first `total` rows of `x`, without the bias.
    fn multiply(&self, x: &[f32], total: usize, out: &mut Vec<f32>) {
        out.resize(total * self.matrix.rows(), 0.0);
        self.matrix
            .multiply(&x[..total * self.matrix.columns()], out);
    }

    fn add_bias(&self, x: &mut [f32]) {
        for row in x.chunks_exact_mut(self.bias.len()) {
            add(row, &self.bias);
        }
    }

    /// `x += y + bias`.
    fn add_to(&self, x: &mut [f32], y: &[f32]) {
        let n = self.bias.len();
        for (x, y) in x.chunks_exact_mut(n).zip(y.chunks_exact(n)) {
            for ((x, y), bias) in x.iter_mut().zip(y).zip(&self.bias) {
                *x += y + bias;
            }
        }
    }
}

impl NormVectors {
    fn new(norm: Norm) -> Result<Self> {
        Ok(Self {
            weight: numbers(&norm.weight)?,
            bias: numbers(&norm.bias)?,
        })
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
