//! The tensors of `model.safetensors`, each checked before it is used.

use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::safetensors::{Load, SliceSafetensors};
use candle_core::{DType, Device, Tensor};
use corbie_core::{Error, ErrorKind, Result};
use memmap2::Mmap;

use super::config::{Architecture, EncoderConfig};
use super::files::{malformed, needed, unsupported};

/// The file of weights, mapped into memory: pages are read when they are first touched.
pub(super) struct WeightFile {
    path: PathBuf,
    map: Mmap,
}

/// The tables that turn a token into a vector.
pub(super) struct EmbeddingWeights {
    /// `[vocabulary, hidden]`, in the type it is stored in.
    pub words: Tensor,
    /// `[positions, hidden]`, with the vector of token type 0 already added.
    pub positions: Tensor,
    pub norm: Norm,
}

/// One layer of the encoder.
pub(super) struct LayerWeights {
    /// Queries, keys and values one above the other: `[3 · hidden, hidden]`.
    pub query_key_value: Linear,
    pub attention_output: Linear,
    pub attention_norm: Norm,
    pub intermediate: Linear,
    pub output: Linear,
    pub output_norm: Norm,
}

/// A matrix `[out, in]` and its bias `[out]`, in `f32`.
pub(super) struct Linear {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// The weight and bias of a layer normalisation, in `f32`.
pub(super) struct Norm {
    pub weight: Tensor,
    pub bias: Tensor,
}

/// The encoder's tensors, by the names of its architecture.
pub(super) struct Weights<'a> {
    path: &'a Path,
    file: SliceSafetensors<'a>,
    config: &'a EncoderConfig,
    device: &'a Device,
    prefix: &'static str,
}

impl WeightFile {
    /// Maps `model.safetensors`.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("model.safetensors");
        let io = |error| needed(Error::io(path.display().to_string(), error), dir);
        let file = File::open(&path).map_err(io)?;
        // SAFETY: model files are put in place by renaming whole files, never written to. The map
        // lives only while the model is loaded, and every tensor is copied out of it.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self { path, map })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Reads the header, which must describe the file exactly.
    pub fn weights<'a>(
        &'a self,
        config: &'a EncoderConfig,
        device: &'a Device,
    ) -> Result<Weights<'a>> {
        let file = SliceSafetensors::new(&self.map)
            .map_err(|error| malformed(&self.path, &error).caused_by(error))?;
        let Architecture { prefix, names, .. } = config.architecture;
        let prefixed = format!("{prefix}{}.weight", names.words);
        let prefix = if file.get(&prefixed).is_ok() {
            prefix
        } else {
            ""
        };
        Ok(Weights {
            path: &self.path,
            file,
            config,
            device,
            prefix,
        })
    }
}

impl Weights<'_> {
    /// The tables.
    pub fn embeddings(&self) -> Result<EmbeddingWeights> {
        let EncoderConfig {
            hidden,
            vocabulary,
            positions,
            ..
        } = *self.config;
        let names = self.config.architecture.names;
        let mut table = self.f32(&format!("{}.weight", names.positions), &[positions, hidden])?;
        if let Some(token_types) = names.token_types {
            let name = format!("{token_types}.weight");
            let kinds = self.rows(&name)?;
            let first = self.f32(&name, &[kinds, hidden])?.get(0);
            table = self.compute(first.and_then(|first| table.broadcast_add(&first)))?;
        }
        Ok(EmbeddingWeights {
            words: self.stored(&format!("{}.weight", names.words), &[vocabulary, hidden])?,
            positions: table,
            norm: self.norm(names.norm)?,
        })
    }

    /// The layer of this index, from 0.
    pub fn layer(&self, index: usize) -> Result<LayerWeights> {
        let EncoderConfig {
            hidden,
            intermediate,
            ..
        } = *self.config;
        let names = self.config.architecture.names;
        let name = |part: &str| format!("{}.{index}.{part}", names.layer);
        let [query, key, value] = names.query_key_value;
        let parts = [query, key, value].map(|part| self.linear(&name(part), hidden, hidden));
        let [query, key, value] = parts;
        Ok(LayerWeights {
            query_key_value: self.stack(&[query?, key?, value?])?,
            attention_output: self.linear(&name(names.attention_output), hidden, hidden)?,
            attention_norm: self.norm(&name(names.attention_norm))?,
            intermediate: self.linear(&name(names.intermediate), intermediate, hidden)?,
            output: self.linear(&name(names.output), hidden, intermediate)?,
            output_norm: self.norm(&name(names.output_norm))?,
        })
    }

    fn stack(&self, parts: &[Linear]) -> Result<Linear> {
        let weights: Vec<&Tensor> = parts.iter().map(|part| &part.weight).collect();
        let biases: Vec<&Tensor> = parts.iter().map(|part| &part.bias).collect();
        Ok(Linear {
            weight: self.compute(Tensor::cat(&weights, 0))?,
            bias: self.compute(Tensor::cat(&biases, 0))?,
        })
    }

    fn linear(&self, name: &str, outputs: usize, inputs: usize) -> Result<Linear> {
        Ok(Linear {
            weight: self.f32(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: self.f32(&format!("{name}.bias"), &[outputs])?,
        })
    }

    /// Files converted from TensorFlow call the weight `gamma` and the bias `beta`.
    fn norm(&self, name: &str) -> Result<Norm> {
        let gamma = format!("{name}.gamma");
        let old = self.file.get(&format!("{}{gamma}", self.prefix)).is_ok();
        let [weight, bias] = if old {
            ["gamma", "beta"]
        } else {
            ["weight", "bias"]
        };
        let size = [self.config.hidden];
        Ok(Norm {
            weight: self.f32(&format!("{name}.{weight}"), &size)?,
            bias: self.f32(&format!("{name}.{bias}"), &size)?,
        })
    }

    fn f32(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.stored(name, shape)?;
        self.compute(tensor.to_dtype(DType::F32))
    }

    fn rows(&self, name: &str) -> Result<usize> {
        let name = format!("{}{name}", self.prefix);
        let view = self.file.get(&name).map_err(|_| self.missing(&name))?;
        match view.shape().first() {
            Some(rows) if *rows > 0 => Ok(*rows),
            _ => Err(malformed(self.path, format!("tensor `{name}` is empty"))),
        }
    }

    /// A tensor in the type it is stored in.
    fn stored(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let view = self.file.get(&name).map_err(|_| self.missing(&name))?;
        if view.shape() != shape {
            let cause = format!(
                "tensor `{name}` has the shape {:?}, and `config.json` asks for {shape:?}",
                view.shape()
            );
            return Err(malformed(self.path, cause));
        }
        match DType::try_from(view.dtype()) {
            Ok(DType::F32 | DType::F16 | DType::BF16) => self.compute(view.load(self.device)),
            _ => {
                let cause = format!("tensor `{name}` is stored as {:?}", view.dtype());
                Err(unsupported(self.path, cause).hint("known are F32, F16 and BF16"))
            }
        }
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
