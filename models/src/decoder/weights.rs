//! The numbers of a decoder, read from a model file and checked against its shape.

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};

use super::config::DecoderConfig;
use crate::gguf::{GgufFile, GgufTensor};
use crate::kernels::{Matrix, Precision};

/// All weights of a decoder.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[vocabulary, hidden]`: one row a token.
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub output_norm: Vec<f32>,
    /// `[vocabulary, hidden]`; `None`: the embedding serves as the head too.
    pub output: Option<Matrix>,
    /// What the rotary frequencies of layers that see everything are divided by.
    pub rope_factors: Option<Vec<f32>>,
}

/// The weights of one block.
#[derive(Debug)]
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    /// Queries, keys and values side by side.
    pub qkv: Projection,
    /// Normalise each head of the queries and of the keys.
    pub head_norms: Option<[Vec<f32>; 2]>,
    pub attention_output: Projection,
    pub attention_post_norm: Option<Vec<f32>>,
    pub feed_forward_norm: Vec<f32>,
    /// Gate and up side by side.
    pub gate_up: Projection,
    pub down: Projection,
    pub feed_forward_post_norm: Option<Vec<f32>>,
}

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

    /// `out = x · Wᵀ + b`: `x` is `[m, columns]`, `out` is `[m, rows]`; `scratch` is room for the
    /// outputs of one part.
    pub fn multiply(&self, x: &[f32], out: &mut [f32], scratch: &mut Vec<f32>) {
        match self.parts.as_slice() {
            [whole] => whole.multiply(x, out),
            parts => self.multiply_parts(parts, x, out, scratch),
        }
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(self.rows) {
                crate::kernels::add(row, bias);
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

impl Weights {
    /// Reads the weights of the decoder that `config` describes.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed), naming the tensor, when one is missing or has another
    /// shape than the metadata says.
    pub fn read(file: &GgufFile, config: &DecoderConfig, precision: Precision) -> Result<Self> {
        let reader = Reader { file, precision };
        let hidden = config.hidden;
        let embedding = reader.required("token_embd.weight")?;
        let vocabulary = match embedding.shape {
            [rows, columns] if *columns == hidden => *rows,
            shape => return Err(reader.wrong_shape(&embedding, shape, "[vocabulary, hidden]")),
        };
        let output = file
            .tensor("output.weight")
            .map(|tensor| reader.matrix(&tensor, vocabulary, hidden))
            .transpose()?;
        let factors = file.tensor("rope_freqs.weight");
        let rope_factors = factors
            .map(|tensor| reader.factors(&tensor, config.rope_dim / 2))
            .transpose()?;
        Ok(Self {
            embedding: reader.matrix(&embedding, vocabulary, hidden)?,
            layers: (0..config.layers)
                .map(|index| Layer::read(&reader, config, index))
                .collect::<Result<_>>()?,
            output_norm: reader.vector("output_norm.weight", hidden)?,
            output,
            rope_factors,
        })
    }

    /// The matrix that turns a state into logits.
    pub fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl Layer {
    fn read(reader: &Reader<'_>, config: &DecoderConfig, index: usize) -> Result<Self> {
        let hidden = config.hidden;
        let q = config.heads * config.head_dim;
        let kv = config.kv_heads * config.head_dim;
        let feed_forward = config.feed_forward;
        let name = |part: &str| format!("blk.{index}.{part}");
        let vector = |part: &str, length| reader.vector(&name(&format!("{part}.weight")), length);
        let projection = |parts: &[(&str, usize)], columns| {
            let parts: Vec<_> = parts
                .iter()
                .map(|(part, rows)| (name(part), *rows))
                .collect();
            reader.projection(&parts, columns)
        };
        let row = config.architecture;
        Ok(Self {
            attention_norm: vector("attn_norm", hidden)?,
            qkv: projection(&[("attn_q", q), ("attn_k", kv), ("attn_v", kv)], hidden)?,
            head_norms: match row.head_norms {
                true => Some([
                    vector("attn_q_norm", config.head_dim)?,
                    vector("attn_k_norm", config.head_dim)?,
                ]),
                false => None,
            },
            attention_output: projection(&[("attn_output", hidden)], q)?,
            attention_post_norm: match row.post_norms {
                true => Some(vector("post_attention_norm", hidden)?),
                false => None,
            },
            feed_forward_norm: vector("ffn_norm", hidden)?,
            gate_up: projection(
                &[("ffn_gate", feed_forward), ("ffn_up", feed_forward)],
                hidden,
            )?,
            down: projection(&[("ffn_down", hidden)], feed_forward)?,
            feed_forward_post_norm: match row.post_norms {
                true => Some(vector("post_ffw_norm", hidden)?),
                false => None,
            },
        })
    }
}

struct Reader<'a> {
    file: &'a GgufFile,
    precision: Precision,
}

impl<'a> Reader<'a> {
    fn required(&self, name: &str) -> Result<GgufTensor<'a>> {
        self.file.tensor(name).ok_or_else(|| {
            let cause = format!("tensor `{name}` is missing");
            Error::new(ErrorKind::Malformed, self.file.name(), cause)
        })
    }

    fn wrong_shape(&self, tensor: &GgufTensor<'_>, shape: &[usize], wanted: &str) -> Error {
        Error::new(
            ErrorKind::Malformed,
            self.file.name(),
            format!(
                "tensor `{}` has the shape {shape:?}, not {wanted} as its metadata says",
                tensor.name
            ),
        )
    }

    fn check(&self, tensor: &GgufTensor<'_>, wanted: &[usize]) -> Result<()> {
        match tensor.shape == wanted {
            true => Ok(()),
            false => Err(self.wrong_shape(tensor, tensor.shape, &format!("{wanted:?}"))),
        }
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.required(name)?;
        self.check(&tensor, &[length])?;
        tensor.to_f32s()
    }

    fn factors(&self, tensor: &GgufTensor<'_>, pairs: usize) -> Result<Vec<f32>> {
        self.check(tensor, &[pairs])?;
        let factors = tensor.to_f32s()?;
        match factors.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            Some(factor) => Err(Error::new(
                ErrorKind::Malformed,
                self.file.name(),
                format!(
                    "tensor `{}` has {factor} where a positive number must be",
                    tensor.name
                ),
            )),
            None => Ok(factors),
        }
    }

    fn matrix(&self, tensor: &GgufTensor<'_>, rows: usize, columns: usize) -> Result<Matrix> {
        self.check(tensor, &[rows, columns])?;
        self.joined(tensor.dtype, rows, columns, tensor.data, tensor.name)
    }

    fn joined(
        &self,
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        data: &[u8],
        name: &str,
    ) -> Result<Matrix> {
        Matrix::from_ggml(dtype, rows, columns, data, self.precision).map_err(|error| {
            let cause = format!("tensor `{name}` cannot be read: {error}");
            Error::new(ErrorKind::Malformed, self.file.name(), cause)
        })
    }

    /// The matrices `NAME.weight` of `columns` inputs, with `NAME.bias` where they are.
    fn projection(&self, parts: &[(String, usize)], columns: usize) -> Result<Projection> {
        let mut tensors = Vec::with_capacity(parts.len());
        let mut bias = None;
        let mut rows = 0;
        for (name, part_rows) in parts {
            let tensor = self.required(&format!("{name}.weight"))?;
            self.check(&tensor, &[*part_rows, columns])?;
            tensors.push(tensor);
            let bias_name = format!("{name}.bias");
            if self.file.tensor(&bias_name).is_some() {
                let total = parts.iter().map(|(_, rows)| rows).sum();
                let bias: &mut Vec<f32> = bias.get_or_insert_with(|| vec![0.0; total]);
                let values = self.vector(&bias_name, *part_rows)?;
                bias[rows..rows + part_rows].copy_from_slice(&values);
            }
            rows += part_rows;
        }
        let first = &tensors[0];
        let parts = if tensors.iter().all(|tensor| tensor.dtype == first.dtype) {
            let data = match tensors.as_slice() {
                [only] => only.data.into(),
                several => {
                    let data: Vec<&[u8]> = several.iter().map(|tensor| tensor.data).collect();
                    std::borrow::Cow::from(data.concat())
                }
            };
            vec![self.joined(first.dtype, rows, columns, &data, first.name)?]
        } else {
            let read = |tensor: &GgufTensor<'_>| self.matrix(tensor, tensor.shape[0], columns);
            tensors.iter().map(read).collect::<Result<_>>()?
        };
        Ok(Projection { parts, bias, rows })
    }
}
