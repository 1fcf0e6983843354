//! The numbers of a decoder, read from a model file and checked against its shape.

use candle_core::quantized::GgmlDType;
use corbie_core::{Error, ErrorKind, Result};

use super::architecture::Normalisation;
use super::config::DecoderConfig;
use super::feed_forward::FeedForward;
use super::projection::Projection;
use super::source::{Tensor, Tensors, malformed};
use crate::kernels::{Matrix, Precision, layer_norm, rms_norm};

/// All weights of a decoder.
#[derive(Debug)]
pub(super) struct Weights {
    /// `[vocabulary, hidden]`: one row a token.
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub output_norm: Norm,
    /// `[vocabulary, hidden]`; `None`: the embedding serves as the head too.
    pub output: Option<Matrix>,
    /// What the rotary frequencies of layers that see everything are divided by.
    pub rope_factors: Option<Vec<f32>>,
}

/// The weights of one block.
#[derive(Debug)]
pub(super) struct Layer {
    pub mixer_norm: Option<Norm>,
    pub mixer: Mixer,
    pub mixer_post_norm: Option<Norm>,
    pub feed_forward_norm: Option<Norm>,
    pub feed_forward: FeedForward,
    pub feed_forward_post_norm: Option<Norm>,
}

/// The half of a block in which positions see one another.
#[derive(Debug)]
pub(super) enum Mixer {
    Attention {
        /// Queries, keys and values side by side.
        qkv: Projection,
        /// Of the queries and of the keys, of one head or of all.
        head_norms: Option<[Norm; 2]>,
        output: Projection,
    },
    Convolution {
        /// What gates the input, what gates the output, and the input, side by side.
        input: Projection,
        /// `[reach, hidden]`.
        taps: Vec<f32>,
        output: Projection,
    },
}

/// A normalisation of rows.
#[derive(Debug)]
pub(super) enum Norm {
    RootMeanSquare(Vec<f32>),
    Layer { weight: Vec<f32>, bias: Vec<f32> },
}

impl Norm {
    /// Normalises each row of `x` into `out`.
    pub fn apply(&self, x: &[f32], eps: f32, out: &mut [f32]) {
        match self {
            Self::RootMeanSquare(weight) => rms_norm(x, weight, eps, out),
            Self::Layer { weight, bias } => {
                out.copy_from_slice(x);
                layer_norm(out, weight, bias, eps);
            }
        }
    }
}

impl Weights {
    /// Reads the weights of the decoder that `config` describes, for sequences of at most
    /// `context` positions.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed), naming the tensor, when one is missing or has another
    /// shape than the metadata says; [`Unsupported`](ErrorKind::Unsupported) when there is one
    /// that the decoder has no use for.
    pub fn read(
        tensors: &dyn Tensors,
        config: &DecoderConfig,
        context: usize,
        precision: Precision,
    ) -> Result<Self> {
        let reader = Reader {
            tensors,
            config,
            precision,
        };
        let hidden = config.hidden;
        let embedding = reader.required("token_embd.weight")?;
        let vocabulary = match embedding.shape.as_slice() {
            [rows, columns] if *columns == hidden => *rows,
            _ => return Err(reader.wrong_shape(&embedding, "[vocabulary, hidden]")),
        };
        let output = tensors
            .tensor("output.weight")?
            .map(|tensor| reader.matrix(&tensor, vocabulary, hidden))
            .transpose()?;
        // LFM2 calls its last norm so.
        let output_norm = match tensors.tensor("token_embd_norm.weight")? {
            Some(_) => "token_embd_norm",
            None => "output_norm",
        };
        let weights = Self {
            embedding: reader.matrix(&embedding, vocabulary, hidden)?,
            layers: (0..config.layers)
                .map(|index| Layer::read(&reader, index))
                .collect::<Result<_>>()?,
            output_norm: reader.norm(output_norm, hidden)?,
            output,
            rope_factors: reader.rope_factors(context)?,
        };
        match tensors.unread() {
            None => Ok(weights),
            Some(name) => Err(Error::new(
                ErrorKind::Unsupported,
                tensors.subject(),
                format!("tensor `{name}` belongs to a variant that is not supported"),
            )),
        }
    }

    /// The matrix that turns a state into logits.
    pub fn head(&self) -> &Matrix {
        self.output.as_ref().unwrap_or(&self.embedding)
    }
}

impl Layer {
    fn read(reader: &Reader<'_>, index: usize) -> Result<Self> {
        let config = reader.config;
        let hidden = config.hidden;
        let row = config.architecture;
        let name = |part: &str| format!("blk.{index}.{part}");
        let has = |part: &str| reader.tensors.has(&name(&format!("{part}.weight")));
        let norm =
            |wanted: bool, part: &str| wanted.then(|| reader.norm(&name(part), hidden)).transpose();
        let projection = |parts: &[(&str, usize)], columns| {
            let parts: Vec<_> = parts
                .iter()
                .map(|(part, rows)| (name(part), *rows))
                .collect();
            reader.projection(&parts, columns)
        };
        // Some rows call the norm between the halves of a block for what it follows.
        let between = match row.post_norms || has("ffn_norm")? {
            true => "ffn_norm",
            false => "post_attention_norm",
        };
        Ok(Self {
            mixer_norm: norm(row.pre_norms, "attn_norm")?,
            mixer: match config.convolved(index) {
                Some(convolution) => Mixer::Convolution {
                    input: projection(&[("shortconv.in_proj", 3 * hidden)], hidden)?,
                    taps: reader.taps(&name("shortconv.conv"), convolution.reach)?,
                    output: projection(&[("shortconv.out_proj", hidden)], hidden)?,
                },
                None => {
                    let q = config.heads * config.head_dim;
                    let kv = config.kv_heads * config.head_dim;
                    let head_norm = |part, width| reader.head_norm(&name(part), width);
                    Mixer::Attention {
                        qkv: match has("attn_qkv")? {
                            true => projection(&[("attn_qkv", q + 2 * kv)], hidden)?,
                            false => {
                                let parts = [("attn_q", q), ("attn_k", kv), ("attn_v", kv)];
                                projection(&parts, hidden)?
                            }
                        },
                        head_norms: match row.head_norms {
                            Some(_) => {
                                Some([head_norm("attn_q_norm", q)?, head_norm("attn_k_norm", kv)?])
                            }
                            None => None,
                        },
                        output: projection(&[("attn_output", hidden)], q)?,
                    }
                }
            },
            mixer_post_norm: norm(row.post_norms, "post_attention_norm")?,
            feed_forward_norm: norm(row.pre_norms && !row.parallel, between)?,
            feed_forward: FeedForward::read(reader, index)?,
            feed_forward_post_norm: norm(row.post_norms, "post_ffw_norm")?,
        })
    }
}

/// Reads tensors and checks them against the shape of the decoder.
pub(super) struct Reader<'a> {
    pub tensors: &'a dyn Tensors,
    pub config: &'a DecoderConfig,
    precision: Precision,
}

impl<'a> Reader<'a> {
    pub fn required(&self, name: &str) -> Result<Tensor<'a>> {
        self.tensors.tensor(name)?.ok_or_else(|| {
            let name = self.tensors.name_of(name);
            malformed(self.tensors, format!("tensor `{name}` is missing"))
        })
    }

    fn wrong_shape(&self, tensor: &Tensor<'_>, wanted: &str) -> Error {
        let cause = format!(
            "tensor `{}` has the shape {:?}, not {wanted} as its metadata says",
            tensor.name, tensor.shape
        );
        malformed(self.tensors, cause)
    }

    pub fn check(&self, tensor: &Tensor<'_>, wanted: &[usize]) -> Result<()> {
        match tensor.shape == wanted {
            true => Ok(()),
            false => Err(self.wrong_shape(tensor, &format!("{wanted:?}"))),
        }
    }

    pub fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>> {
        let tensor = self.required(name)?;
        self.check(&tensor, &[length])?;
        tensor.to_f32s()
    }

    /// The normalisation `NAME` of rows of `length`, of the architecture's kind.
    fn norm(&self, name: &str, length: usize) -> Result<Norm> {
        let weight = self.vector(&format!("{name}.weight"), length)?;
        let bias = format!("{name}.bias");
        match self.config.architecture.normalisation {
            Normalisation::RootMeanSquare => Ok(Norm::RootMeanSquare(weight)),
            Normalisation::Layer => Ok(Norm::Layer {
                weight,
                bias: match self.tensors.tensor(&bias)? {
                    Some(_) => self.vector(&bias, length)?,
                    None => vec![0.0; length],
                },
            }),
        }
    }

    /// A normalisation of one head, or of all heads together, `width` numbers.
    fn head_norm(&self, name: &str, width: usize) -> Result<Norm> {
        let tensor = self.required(&format!("{name}.weight"))?;
        let length = match tensor.shape.as_slice() {
            [length] if *length == width => width,
            _ => self.config.head_dim,
        };
        self.norm(name, length)
    }

    /// The weights of a convolution, which files have channel by channel, position by position.
    fn taps(&self, name: &str, reach: usize) -> Result<Vec<f32>> {
        let hidden = self.config.hidden;
        let tensor = self.required(&format!("{name}.weight"))?;
        self.check(&tensor, &[hidden, reach])?;
        let values = tensor.to_f32s()?;
        let places = (0..reach).flat_map(|j| (0..hidden).map(move |channel| (channel, j)));
        Ok(places
            .map(|(channel, j)| values[channel * reach + j])
            .collect())
    }

    /// What rotary frequencies are divided by. Models with two sets were stretched: one is for
    /// sequences of the original length, the other for all longer ones. As llama.cpp does, the
    /// longest possible sequence decides for all, so that what sequences share fits together.
    fn rope_factors(&self, context: usize) -> Result<Option<Vec<f32>>> {
        let original = self
            .config
            .original_context
            .unwrap_or(self.config.context_length);
        let stretched = match context > original {
            true => "rope_factors_long.weight",
            false => "rope_factors_short.weight",
        };
        for name in [stretched, "rope_freqs.weight"] {
            if let Some(tensor) = self.tensors.tensor(name)? {
                return self.factors(&tensor).map(Some);
            }
        }
        Ok(None)
    }

    fn factors(&self, tensor: &Tensor<'_>) -> Result<Vec<f32>> {
        self.check(tensor, &[self.config.rope_dim / 2])?;
        let factors = tensor.to_f32s()?;
        match factors.iter().find(|f| !(f.is_finite() && **f > 0.0)) {
            Some(factor) => {
                let name = &tensor.name;
                let cause = format!("tensor `{name}` has {factor} where a positive number must be");
                Err(malformed(self.tensors, cause))
            }
            None => Ok(factors),
        }
    }

    pub fn matrix(&self, tensor: &Tensor<'_>, rows: usize, columns: usize) -> Result<Matrix> {
        self.check(tensor, &[rows, columns])?;
        self.joined(tensor.dtype, rows, columns, &tensor.data, &tensor.name)
    }

    /// A matrix of the rows of one or several tensors, the first of which is `name`.
    pub fn joined(
        &self,
        dtype: GgmlDType,
        rows: usize,
        columns: usize,
        data: &[u8],
        name: &str,
    ) -> Result<Matrix> {
        Matrix::from_ggml(dtype, rows, columns, data, self.precision).map_err(|error| {
            malformed(
                self.tensors,
                format!("tensor `{name}` cannot be read: {error}"),
            )
        })
    }
}
