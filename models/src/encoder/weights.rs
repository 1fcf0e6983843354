//! The tensors of `model.safetensors`, each checked before it is used.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::safetensors::{Load, SliceSafetensors};
use candle_core::{DType, Device, Tensor};
use corbie_core::{Error, ErrorKind, Result};
use memmap2::Mmap;

use super::architecture::{Architecture, HeadNames, NormKind, Norms, Positions};
use super::config::EncoderConfig;
use super::files::{malformed, needed, unsupported};
use super::words::WordTable;

/// The file of weights, mapped into memory: pages are read when they are first touched.
pub(super) struct WeightFile {
    path: PathBuf,
    file: File,
    map: Mmap,
}

/// The tables that turn a token into a vector.
pub(super) struct EmbeddingWeights {
    /// `[vocabulary, hidden]`, where it lies in the file.
    pub words: WordTable,
    /// `[positions, hidden]`.
    pub positions: Option<Tensor>,
    /// `[kinds, hidden]`.
    pub token_types: Option<Tensor>,
    /// `[buckets, heads]`.
    pub distances: Option<Tensor>,
    pub norm: Option<Norm>,
    pub last_norm: Option<Norm>,
}

/// One layer of the encoder.
pub(super) struct LayerWeights {
    /// Queries, keys and values one above the other.
    pub query_key_value: Linear,
    /// `[head_dim]` each.
    pub head_norms: Option<[Norm; 2]>,
    pub attention_output: Linear,
    pub attention_norms: Norms<Norm>,
    /// `[intermediate, hidden]`; gated: twice as many rows, the gate first.
    pub intermediate: Linear,
    pub output: Linear,
    pub output_norms: Norms<Norm>,
}

/// A head of one linear layer, an activation, perhaps a norm, and another linear layer.
pub(super) struct HeadWeights {
    pub dense: Linear,
    pub norm: Option<Norm>,
    pub output: Linear,
}

/// A matrix `[out, in]` and perhaps its bias `[out]`, in `f32`.
pub(super) struct Linear {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

/// The weight and perhaps the bias of a normalisation, in `f32`.
pub(super) struct Norm {
    pub weight: Tensor,
    pub bias: Option<Tensor>,
}

/// Tensors of one file, under the names that a head or a layer gives them.
pub(super) struct Weights<'a> {
    tensors: Tensors<'a>,
    config: &'a EncoderConfig,
    prefix: &'static str,
}

/// Tensors of one file, checked.
pub(super) struct Tensors<'a> {
    path: &'a Path,
    source: &'a WeightFile,
    file: SliceSafetensors<'a>,
    device: &'a Device,
    /// The file of configuration that gives their shapes.
    configured: &'static str,
}

impl WeightFile {
    /// Maps `model.safetensors`.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_in(dir, "model.safetensors")
    }

    /// Maps the file of weights called `name`, which may lie in a folder of the model.
    pub fn open_in(dir: &Path, name: &str) -> Result<Self> {
        let path = dir.join(name);
        let io = |error| needed(Error::io(path.display().to_string(), error), dir);
        let file = File::open(&path).map_err(io)?;
        // SAFETY: model files are put in place by renaming whole files, never written to. The map
        // lives only while the model is loaded; what is read later has a map of its own.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self { path, file, map })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads the header, which must describe the file exactly.
    pub fn tensors<'a>(&'a self, device: &'a Device) -> Result<Tensors<'a>> {
        let file = SliceSafetensors::new(&self.map)
            .map_err(|error| malformed(&self.path, &error).caused_by(error))?;
        Ok(Tensors {
            path: &self.path,
            source: self,
            file,
            device,
            configured: "config.json",
        })
    }

    /// The tensors of an encoder, by the names of its architecture.
    pub fn weights<'a>(
        &'a self,
        config: &'a EncoderConfig,
        device: &'a Device,
    ) -> Result<Weights<'a>> {
        let tensors = self.tensors(device)?;
        let Architecture { prefix, names, .. } = config.architecture;
        let prefixed = tensors.has(&format!("{prefix}{}.weight", names.words));
        Ok(Weights {
            tensors,
            config,
            prefix: if prefixed { prefix } else { "" },
        })
    }
}

impl Weights<'_> {
    /// The tables.
    pub fn embeddings(&self) -> Result<EmbeddingWeights> {
        let EncoderConfig {
            hidden,
            heads,
            vocabulary,
            ..
        } = *self.config;
        let Architecture {
            names, positions, ..
        } = self.config.architecture;
        let table = |name: Option<&str>, rows: Option<usize>, columns: usize| {
            let Some(name) = name else { return Ok(None) };
            let name = self.prefixed(&format!("{name}.weight"));
            let rows = rows.map_or_else(|| self.tensors.rows(&name), Ok)?;
            self.tensors.f32(&name, &[rows, columns]).map(Some)
        };
        let buckets = match positions {
            Positions::TableAndDistance { buckets, .. } => Some(*buckets),
            _ => None,
        };
        let words = self.prefixed(&format!("{}.weight", names.words));
        Ok(EmbeddingWeights {
            words: self.tensors.table(&words, [vocabulary, hidden])?,
            positions: table(names.positions, Some(self.config.positions), hidden)?,
            token_types: table(names.token_types, None, hidden)?,
            distances: table(names.distances, buckets, heads)?,
            norm: self.optional_norm(names.norm)?,
            last_norm: self.optional_norm(names.last_norm)?,
        })
    }

    /// The bytes that the tables take but for the words, which stay in their file.
    pub fn table_bytes(&self) -> Result<usize> {
        let EncoderConfig {
            hidden,
            heads,
            positions,
            ..
        } = *self.config;
        let names = self.config.architecture.names;
        let kinds = match names.token_types {
            Some(name) => self
                .tensors
                .rows(&self.prefixed(&format!("{name}.weight")))?,
            None => 0,
        };
        let positions = names.positions.map_or(0, |_| positions);
        let buckets = match self.config.architecture.positions {
            Positions::TableAndDistance { buckets, .. } => buckets,
            _ => 0,
        };
        let numbers = (positions + kinds + 4) * hidden + buckets * heads;
        Ok(numbers * size_of::<f32>())
    }

    /// The bytes of the table of words in its file.
    pub fn word_bytes(&self) -> Result<usize> {
        let EncoderConfig {
            hidden, vocabulary, ..
        } = *self.config;
        Ok(vocabulary * hidden * self.word_type()?.size_in_bytes())
    }

    /// The type that the table of tokens is stored in.
    pub fn word_type(&self) -> Result<DType> {
        let name = self.config.architecture.names.words;
        self.tensors
            .dtype(&self.prefixed(&format!("{name}.weight")))
    }

    /// Whether there is a head that gives a text its label.
    pub fn classifies(&self) -> bool {
        let names = self.config.architecture.classifier;
        names.is_some_and(|names| self.tensors.has(&format!("{}.weight", names.output)))
    }

    /// The layer of this index, from 0.
    pub fn layer(&self, index: usize) -> Result<LayerWeights> {
        let EncoderConfig {
            hidden,
            intermediate,
            heads,
            kv_heads,
            head_dim,
            biases,
            ..
        } = *self.config;
        let names = self.config.architecture.names;
        let name = |part: &str| self.prefixed(&format!("{}.{index}.{part}", names.layer));
        let named = |parts: &[&str]| parts.iter().map(|part| name(part)).collect::<Vec<_>>();
        let norms = |norms: &Norms<&'static str>| {
            let mut norms = *norms;
            if norms.first_without && index == 0 {
                norms.before = None;
            }
            norms.load(|part| self.norm(&name(part), hidden, biases.norm))
        };
        let head_norm = |part| self.norm(&name(part), head_dim, biases.norm);
        let head_norms = match names.head_norms {
            Some([query, key]) => Some([head_norm(query)?, head_norm(key)?]),
            None => None,
        };
        let width = heads * head_dim;
        let rows = [width, kv_heads * head_dim, kv_heads * head_dim];
        let halves = [intermediate, intermediate];
        let halves = if names.gated {
            &halves[..]
        } else {
            &halves[1..]
        };
        let parts = &named(names.query_key_value);
        let query_key_value = self
            .tensors
            .stacked(parts, &rows, hidden, biases.attention)?;
        let parts = &named(names.intermediate);
        let first = self
            .tensors
            .stacked(parts, halves, hidden, biases.feed_forward)?;
        let attention_output = name(names.attention_output);
        let output = name(names.output);
        Ok(LayerWeights {
            query_key_value,
            head_norms,
            attention_output: self.tensors.linear(
                &attention_output,
                hidden,
                width,
                biases.attention,
            )?,
            attention_norms: norms(&names.attention_norms)?,
            intermediate: first,
            output: self
                .tensors
                .linear(&output, hidden, intermediate, biases.feed_forward)?,
            output_norms: norms(&names.output_norms)?,
        })
    }

    /// A head that ends in `outputs` numbers. Where the file has no matrix for the end, it is
    /// the table of tokens.
    pub fn head(&self, names: &HeadNames, outputs: usize, dense_bias: bool) -> Result<HeadWeights> {
        let hidden = self.config.hidden;
        let matrix = format!("{}.weight", names.output);
        let words = format!("{}.weight", self.config.architecture.names.words);
        let matrix = match self.tensors.has(&matrix) {
            true => matrix,
            false if outputs == self.config.vocabulary => self.prefixed(&words),
            false => matrix,
        };
        // What a language model adds to the vocabulary goes by either name.
        let own = format!("{}.bias", names.output);
        let bias = match names.output_bias {
            Some(other) if !self.tensors.has(&own) => other.to_owned(),
            _ => own,
        };
        let norm = names.norm.map(|norm| {
            let bias = self.config.biases.norm;
            self.norm(norm, hidden, bias)
        });
        Ok(HeadWeights {
            dense: self
                .tensors
                .linear(names.dense, hidden, hidden, dense_bias)?,
            norm: norm.transpose()?,
            output: Linear {
                weight: self.tensors.f32(&matrix, &[outputs, hidden])?,
                bias: Some(self.tensors.f32(&bias, &[outputs])?),
            },
        })
    }

    fn optional_norm(&self, name: Option<&str>) -> Result<Option<Norm>> {
        let norm = |name: &str| {
            let bias = self.config.biases.norm;
            self.norm(&self.prefixed(name), self.config.hidden, bias)
        };
        name.map(norm).transpose()
    }

    fn prefixed(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Files converted from TensorFlow call the weight `gamma` and the bias `beta`.
    fn norm(&self, name: &str, size: usize, bias: bool) -> Result<Norm> {
        let old = self.tensors.has(&format!("{name}.gamma"));
        let names = if old {
            ["gamma", "beta"]
        } else {
            ["weight", "bias"]
        };
        let [weight, shift] = names.map(|part| format!("{name}.{part}"));
        let mut weight = self.tensors.f32(&weight, &[size])?;
        if self.config.architecture.norm == NormKind::RmsPlusOne {
            weight = self.tensors.compute(weight.affine(1.0, 1.0))?;
        }
        let bias = bias.then(|| self.tensors.f32(&shift, &[size]));
        Ok(Norm {
            weight,
            bias: bias.transpose()?,
        })
    }
}

impl Tensors<'_> {
    /// The same tensors, whose shapes another file gives.
    pub fn configured_by(mut self, name: &'static str) -> Self {
        self.configured = name;
        self
    }

    /// Whether there is such a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.file.get(name).is_ok()
    }

    /// Matrices of these rows one above the other: each a tensor of its own, or all in one.
    fn stacked(
        &self,
        names: &[String],
        rows: &[usize],
        inputs: usize,
        bias: bool,
    ) -> Result<Linear> {
        if let [name] = names {
            return self.linear(name, rows.iter().sum(), inputs, bias);
        }
        let parts: Vec<Linear> = names
            .iter()
            .zip(rows)
            .map(|(name, rows)| self.linear(name, *rows, inputs, bias))
            .collect::<Result<_>>()?;
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().filter_map(|part| part.bias.as_ref()).collect();
        let bias = bias.then(|| self.compute(Tensor::cat(&biases, 0)));
        Ok(Linear {
            weight: self.compute(Tensor::cat(&weights, 0))?,
            bias: bias.transpose()?,
        })
    }

    /// A matrix `[outputs, inputs]` and perhaps its bias.
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize, bias: bool) -> Result<Linear> {
        let bias = bias.then(|| self.f32(&format!("{name}.bias"), &[outputs]));
        Ok(Linear {
            weight: self.f32(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: bias.transpose()?,
        })
    }

    /// A tensor in `f32`.
    pub fn f32(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.stored(name, shape)?;
        self.compute(tensor.to_dtype(DType::F32))
    }

    /// The rows of a table, of which there is at least one.
    pub fn rows(&self, name: &str) -> Result<usize> {
        match self.shape(name)?.first() {
            Some(rows) if *rows > 0 => Ok(*rows),
            _ => Err(malformed(self.path, format!("tensor `{name}` is empty"))),
        }
    }

    /// The shapes and types of all tensors.
    pub fn shapes(&self) -> impl Iterator<Item = (Vec<usize>, DType)> {
        let about = self.file.tensors().into_iter();
        about.filter_map(|(_, view)| Some((view.shape().to_vec(), view.dtype().try_into().ok()?)))
    }

    /// The type that a tensor is stored in.
    fn dtype(&self, name: &str) -> Result<DType> {
        let view = self.file.get(name).map_err(|_| self.missing(name))?;
        DType::try_from(view.dtype()).map_err(|_| {
            let cause = format!("tensor `{name}` is stored as {:?}", view.dtype());
            unsupported(self.path, cause)
        })
    }

    /// A tensor's shape.
    pub fn shape(&self, name: &str) -> Result<Vec<usize>> {
        let view = self.file.get(name).map_err(|_| self.missing(name))?;
        Ok(view.shape().to_vec())
    }

    /// A tensor in the type it is stored in.
    pub fn stored(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.bytes(name, shape)?;
        let view = self.file.get(name).map_err(|_| self.missing(name))?;
        self.compute(view.load(self.device))
    }

    /// A table that stays in its file.
    fn table(&self, name: &str, shape: [usize; 2]) -> Result<WordTable> {
        let (bytes, dtype) = self.bytes(name, &shape)?;
        let start = bytes.as_ptr().addr() - self.source.bytes().as_ptr().addr();
        let place = start..start + bytes.len();
        WordTable::map(&self.source.file, place, dtype, shape[1])
            .map_err(|error| Error::io(self.path.display().to_string(), error))
    }

    /// The bytes of a tensor of this shape and a type that is known.
    fn bytes(&self, name: &str, shape: &[usize]) -> Result<(&[u8], DType)> {
        let view = self.file.get(name).map_err(|_| self.missing(name))?;
        if view.shape() != shape {
            let (found, configured) = (view.shape(), self.configured);
            let cause = format!(
                "tensor `{name}` has the shape {found:?}, and `{configured}` asks for {shape:?}"
            );
            return Err(malformed(self.path, cause));
        }
        match DType::try_from(view.dtype()) {
            Ok(dtype @ (DType::F32 | DType::F16 | DType::BF16)) => Ok((view.data(), dtype)),
            _ => {
                let cause = format!("tensor `{name}` is stored as {:?}", view.dtype());
                Err(unsupported(self.path, cause).hint("known are F32, F16 and BF16"))
            }
        }
    }

    /// A vector of numbers of any type.
    pub fn vector(&self, name: &str) -> Result<Vec<f64>> {
        let view = self.file.get(name).map_err(|_| self.missing(name))?;
        let tensor = match DType::try_from(view.dtype()) {
            Ok(_) if view.shape().len() == 1 => self.compute(view.load(self.device))?,
            _ => {
                let (dtype, shape) = (view.dtype(), view.shape());
                let cause = format!("tensor `{name}` is {dtype:?} of the shape {shape:?}");
                return Err(unsupported(self.path, cause).hint("known are vectors of numbers"));
            }
        };
        self.compute(
            tensor
                .to_dtype(DType::F64)
                .and_then(|tensor| tensor.to_vec1()),
        )
    }

    fn missing(&self, name: &str) -> Error {
        malformed(self.path, format!("tensor `{name}` is missing"))
    }

    fn compute<T>(&self, result: candle_core::Result<T>) -> Result<T> {
        result.map_err(|error| {
            let subject = self.path.display().to_string();
            Error::new(ErrorKind::Internal, subject, &error).caused_by(error)
        })
    }
}
