//! The parts that encoders and heads are made of, with their weights laid out for the kernels.

use candle_core::{DType, Result, Tensor};

use super::architecture::{Activation, NormKind};
use super::weights::{HeadWeights, Linear, Norm};
use crate::kernels::{
    Matrix, add, exact_gelu_mul, gelu, gelu_mul, gelu_tanh, layer_norm, rms_norm, silu_mul,
};

/// A product and perhaps a bias.
pub(super) struct Affine {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
}

impl Affine {
    pub fn new(linear: &Linear) -> Result<Self> {
        let (rows, columns) = linear.weight.dims2()?;
        Ok(Self {
            matrix: Matrix::from_f32(rows, columns, &numbers(&linear.weight)?),
            bias: linear.bias.as_ref().map(numbers).transpose()?,
        })
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.matrix.rows()
    }

    /// `x · Wᵀ + bias` for each row of `x`.
    pub fn apply(&self, x: &[f32], out: &mut Vec<f32>) {
        let rows = x.len() / self.matrix.columns();
        out.resize(rows * self.matrix.rows(), 0.0);
        self.matrix.multiply(x, out);
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(bias.len()) {
                add(row, bias);
            }
        }
    }
}

/// A normalisation of rows.
pub(super) enum Normalization {
    Layer {
        weight: Vec<f32>,
        bias: Vec<f32>,
        eps: f32,
    },
    Rms {
        weight: Vec<f32>,
        eps: f32,
    },
}

impl Normalization {
    pub fn new(kind: NormKind, eps: f32, norm: &Norm) -> Result<Self> {
        let weight = numbers(&norm.weight)?;
        Ok(match kind {
            NormKind::Layer => Self::Layer {
                bias: match &norm.bias {
                    Some(bias) => numbers(bias)?,
                    None => vec![0.0; weight.len()],
                },
                weight,
                eps,
            },
            NormKind::Rms | NormKind::RmsPlusOne => Self::Rms { weight, eps },
        })
    }

    pub fn optional(kind: NormKind, eps: f32, norm: Option<Norm>) -> Result<Option<Self>> {
        norm.map(|norm| Self::new(kind, eps, &norm)).transpose()
    }

    /// The rows of `x`, normalised, in `out`.
    pub fn apply(&self, x: &[f32], out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(x);
        match self {
            Self::Layer { weight, bias, eps } => layer_norm(out, weight, bias, *eps),
            Self::Rms { weight, eps } => rms_norm(x, weight, *eps, out),
        }
    }

    /// Normalises the rows of `x`.
    pub fn replace(&self, x: &mut Vec<f32>, spare: &mut Vec<f32>) {
        match self {
            Self::Layer { weight, bias, eps } => layer_norm(x, weight, bias, *eps),
            Self::Rms { .. } => {
                self.apply(x, spare);
                std::mem::swap(x, spare);
            }
        }
    }
}

/// A head: what is made of the vector of a text or a token.
pub(super) struct Head {
    dense: Affine,
    activation: Activation,
    norm: Option<Normalization>,
    output: Affine,
}

impl Head {
    pub fn new(
        weights: HeadWeights,
        activation: Activation,
        norm_kind: NormKind,
        norm_eps: f32,
    ) -> Result<Self> {
        Ok(Self {
            dense: Affine::new(&weights.dense)?,
            activation,
            norm: Normalization::optional(norm_kind, norm_eps, weights.norm)?,
            output: Affine::new(&weights.output)?,
        })
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.output.outputs()
    }

    /// What the head makes of each of `rows`.
    pub fn apply(&self, rows: &[f32]) -> Vec<f32> {
        let mut x = Vec::new();
        self.dense.apply(rows, &mut x);
        activate(self.activation, &mut x);
        if let Some(norm) = &self.norm {
            norm.replace(&mut x, &mut Vec::new());
        }
        let mut out = Vec::new();
        self.output.apply(&x, &mut out);
        out
    }
}

/// Applies an activation to each number.
pub(super) fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Silu => x.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp()),
        // What is not a number stays so.
        Activation::Relu => x.iter_mut().filter(|x| **x < 0.0).for_each(|x| *x = 0.0),
        Activation::Tanh => x.iter_mut().for_each(|x| *x = x.tanh()),
        Activation::Sigmoid => x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp())),
    }
}

/// The gate of each row of `gate_up`, `[m, 2n]`, activated, times the rest of the row.
pub(super) fn activate_gated(activation: Activation, gate_up: &[f32], n: usize, out: &mut [f32]) {
    match activation {
        Activation::Gelu => exact_gelu_mul(gate_up, n, out),
        Activation::GeluTanh => gelu_mul(gate_up, n, out),
        Activation::Silu => silu_mul(gate_up, n, out),
        Activation::Relu | Activation::Tanh | Activation::Sigmoid => {
            for (row, out) in gate_up.chunks_exact(2 * n).zip(out.chunks_exact_mut(n)) {
                let (gate, up) = row.split_at(n);
                out.copy_from_slice(gate);
                activate(activation, out);
                out.iter_mut().zip(up).for_each(|(out, up)| *out *= up);
            }
        }
    }
}

/// The numbers of a tensor in their order.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
