//! How much memory a decoder takes, known from the header of its file.

use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_core::Result;

use super::architecture::Normalisation;
use super::config::DecoderConfig;
use super::feed_forward::{FeedForward, Unit};
use super::hugging_face::HuggingFaceConfig;
use super::projection::Projection;
use super::safetensors::{DirectoryTensors, WeightFiles};
use super::weights::{Layer, Mixer, Norm, Weights};
use super::{Decoder, ROLLBACK};
use crate::gguf::GgufFile;
use crate::kernels::{BLOCK_POSITIONS, CacheMeter, KvCache, Matrix, Precision};

/// What is known of a decoder before it is loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSize {
    /// Its shape.
    pub config: DecoderConfig,
    /// How many tokens it knows.
    pub vocabulary: usize,
    /// How many numbers its weights are.
    pub parameters: u64,
    /// The format that most of its bytes are stored in.
    pub dtype: GgmlDType,
    /// The bytes of its weights as they are kept in memory: laid out anew for the kernels, in the
    /// formats of the file, vectors in `f32`.
    pub weights: usize,
}

impl DecoderSize {
    /// That of the decoder in a model file, of which only the header is read.
    ///
    /// # Errors
    ///
    /// Those of [`DecoderConfig::read`].
    pub fn of_gguf(file: &GgufFile, precision: Precision) -> Result<Self> {
        let config = DecoderConfig::read(file)?;
        let mut sum = Sum::new(config, precision);
        for tensor in file.tensors() {
            sum.add(tensor.name, tensor.dtype, tensor.shape);
        }
        Ok(sum.size)
    }

    /// That of the decoder in a directory as Hugging Face keeps models, of whose files only the
    /// headers are read.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::load_directory`] about its configuration and its files.
    pub fn of_directory(directory: &Path, precision: Precision) -> Result<Self> {
        let said = HuggingFaceConfig::read(&directory.join("config.json"))?;
        let config = said.decoder()?;
        let maps = WeightFiles::open(directory)?;
        let files = maps.tensors()?;
        let tensors = DirectoryTensors::new(
            directory,
            said.architecture,
            config.layers,
            said.is_tied(),
            &files,
            said.factors(&config)?,
        );
        let mut sum = Sum::new(config, precision);
        tensors.each(&mut |name, tensor| sum.add(name, tensor.dtype, &tensor.shape))?;
        Ok(sum.size)
    }

    /// The bytes of the buffers of a pass of `rows` positions, of which `logits` are followed by
    /// a choice.
    pub fn workspace(&self, rows: usize, logits: usize) -> usize {
        let config = &self.config;
        let (hidden, q) = (config.hidden, config.heads * config.head_dim);
        let kv = config.kv_heads * config.head_dim;
        let feed_forward = match &config.experts {
            Some(experts) => config.feed_forward.max(experts.feed_forward),
            None => config.feed_forward,
        };
        let gates = 1 + usize::from(config.architecture.gated);
        let projected = match config.convolution {
            Some(_) => (q + 2 * kv).max(3 * hidden),
            None => q + 2 * kv,
        };
        let row = 3 * hidden + projected + 3 * q + 2 * kv + (gates + 1) * feed_forward;
        // Activations are rounded to a byte, with a few numbers for each 32 of them.
        let rounded = hidden.max(q).max(feed_forward) * 3 / 2;
        rows * (row * size_of::<f32>() + rounded) + logits * (self.vocabulary + hidden) * 4
    }
}

/// Adds tensors up.
struct Sum {
    size: DecoderSize,
    precision: Precision,
    by_type: Vec<(GgmlDType, usize)>,
}

impl Sum {
    fn new(config: DecoderConfig, precision: Precision) -> Self {
        Self {
            size: DecoderSize {
                config,
                vocabulary: 0,
                parameters: 0,
                dtype: GgmlDType::F32,
                weights: 0,
            },
            precision,
            by_type: Vec::new(),
        }
    }

    /// Counts the tensor that GGUF calls `name`, unless it belongs to no part of the decoder.
    fn add(&mut self, name: &str, dtype: GgmlDType, shape: &[usize]) {
        let block = name.strip_prefix("blk.").and_then(|it| it.split_once('.'));
        let block = block.and_then(|(index, _)| index.parse::<usize>().ok());
        if block.is_some_and(|index| index >= self.size.config.layers) {
            return;
        }
        let count: usize = shape.iter().product();
        if name == "token_embd.weight" {
            self.size.vocabulary = shape.first().copied().unwrap_or(0);
        }
        self.size.parameters += count as u64;
        let is_layer = self.size.config.architecture.normalisation == Normalisation::Layer;
        let bytes = match shape {
            // Such norms have a bias, be it zero, that is counted with their weight.
            [_] if is_layer && name.ends_with("norm.weight") => 2 * count * size_of::<f32>(),
            [_] if is_layer && name.ends_with("norm.bias") => 0,
            [stack @ .., rows, columns] if !name.contains("shortconv.conv") => {
                let matrix = Matrix::bytes_of(dtype, *rows, *columns, self.precision);
                stack.iter().product::<usize>() * matrix
            }
            _ => count * size_of::<f32>(),
        };
        self.size.weights += bytes;
        match self.by_type.iter_mut().find(|(known, _)| *known == dtype) {
            Some((_, sum)) => *sum += bytes,
            None => self.by_type.push((dtype, bytes)),
        }
        let most = self.by_type.iter().max_by_key(|(_, bytes)| *bytes);
        self.size.dtype = most.map_or(dtype, |(dtype, _)| *dtype);
    }
}

impl DecoderConfig {
    /// The most bytes that a sequence of `tokens` takes: keys and values of every layer, of as
    /// many positions as it sees.
    pub fn memory_of(&self, tokens: usize) -> usize {
        let blocks = (0..self.layers).map(|layer| {
            let kept = self.reach(layer).map(|reach| reach + ROLLBACK);
            let kept = kept.map_or(tokens, |kept| tokens.min(kept));
            // A window may begin and end within a block.
            let blocks = kept.div_ceil(BLOCK_POSITIONS) + usize::from(kept < tokens);
            blocks * self.cache(layer, &CacheMeter::default()).bytes_of_a_block()
        });
        blocks.sum()
    }

    /// An empty cache of the layer.
    pub(super) fn cache(&self, layer: usize, meter: &CacheMeter) -> KvCache {
        match self.convolved(layer) {
            Some(_) => KvCache::of_rows(self.hidden, meter),
            None => KvCache::new(self.kv_heads, self.head_dim, meter),
        }
    }
}

impl Decoder {
    /// The bytes of its weights.
    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }
}

impl Weights {
    fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let output = self.output.as_ref().map_or(0, Matrix::bytes);
        let factors = self.rope_factors.as_ref().map_or(0, numbers);
        self.embedding.bytes() + output + self.output_norm.bytes() + factors + layers
    }
}

impl Layer {
    fn bytes(&self) -> usize {
        let norms = [
            &self.mixer_norm,
            &self.mixer_post_norm,
            &self.feed_forward_norm,
            &self.feed_forward_post_norm,
        ];
        let norms: usize = norms.into_iter().flatten().map(Norm::bytes).sum();
        let mixer = match &self.mixer {
            Mixer::Attention {
                qkv,
                head_norms,
                output,
            } => {
                let norms = head_norms.iter().flatten().map(Norm::bytes);
                qkv.bytes() + output.bytes() + norms.sum::<usize>()
            }
            Mixer::Convolution {
                input,
                taps,
                output,
            } => input.bytes() + numbers(taps) + output.bytes(),
        };
        norms + mixer + self.feed_forward.bytes()
    }
}

impl Norm {
    fn bytes(&self) -> usize {
        match self {
            Self::RootMeanSquare(weight) => numbers(weight),
            Self::Layer { weight, bias } => numbers(weight) + numbers(bias),
        }
    }
}

impl Projection {
    fn bytes(&self) -> usize {
        let parts: usize = self.parts().iter().map(Matrix::bytes).sum();
        parts + self.bias().map_or(0, numbers)
    }
}

impl FeedForward {
    fn bytes(&self) -> usize {
        match self {
            Self::One(unit) => unit.bytes(),
            Self::Experts {
                router,
                preference,
                experts,
                shared,
            } => {
                let experts: usize = experts.iter().map(Unit::bytes).sum();
                let shared = shared.as_ref().map_or(0, |(unit, gate)| {
                    unit.bytes() + gate.as_ref().map_or(0, Matrix::bytes)
                });
                router.bytes() + preference.as_ref().map_or(0, numbers) + experts + shared
            }
        }
    }
}

impl Unit {
    fn bytes(&self) -> usize {
        let (gate_up, down) = self.parts();
        gate_up.bytes() + down.bytes()
    }
}

fn numbers(numbers: &Vec<f32>) -> usize {
    size_of_val(numbers.as_slice())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::decoder::{ARCHITECTURES, DecoderOptions};
    use crate::testing::RandomModel;

    /// Between what is foretold and what is taken lies no more than the rows that fill tiles up.
    #[test]
    fn what_is_foretold_is_what_is_taken() {
        for row in ARCHITECTURES {
            let mut model = RandomModel::new(row.name).unwrap();
            // Wide enough for the widest superblock, and untied where a row allows it.
            (model.hidden, model.feed_forward) = (256, 512);
            for (dtype, precision) in [
                (GgmlDType::F32, Precision::Quantized),
                (GgmlDType::BF16, Precision::Quantized),
                (GgmlDType::Q8_0, Precision::Quantized),
                (GgmlDType::Q4_1, Precision::Quantized),
                (GgmlDType::Q6K, Precision::Quantized),
                (GgmlDType::Q4_0, Precision::F32),
            ] {
                let bytes = model.gguf(dtype).to_bytes();
                let file = GgufFile::from_bytes("random", bytes).unwrap();
                let foretold = DecoderSize::of_gguf(&file, precision).unwrap();
                let decoder = Decoder::load(&file, precision).unwrap();
                let (said, taken) = (foretold.weights, decoder.weight_bytes());
                let what = format!("{} {dtype:?} {precision:?}: {said} {taken}", row.name);
                assert!(said >= taken && said - taken <= taken / 25, "{what}");
                assert_eq!(foretold.vocabulary, decoder.vocabulary(), "{what}");
                for tokens in [0, 1, 64, 200, 5000] {
                    let memory = foretold.config.memory_of(tokens);
                    assert_eq!(memory, decoder.memory_of(tokens), "{what}");
                }
            }
        }
    }

    #[test]
    fn directories_are_foretold_too() {
        for row in ARCHITECTURES.iter().filter(|it| !it.model_types.is_empty()) {
            let model = RandomModel::new(row.name).unwrap();
            let folder = tempfile::tempdir().unwrap();
            model
                .write_directory(folder.path(), GgmlDType::BF16)
                .unwrap();
            let foretold = DecoderSize::of_directory(folder.path(), Precision::Quantized).unwrap();
            let options = DecoderOptions::default();
            let decoder = Decoder::load_directory(folder.path(), &options).unwrap();
            let (said, taken) = (foretold.weights, decoder.weight_bytes());
            assert!(
                said >= taken && said - taken <= taken / 8,
                "{}: {said} {taken}",
                row.name
            );
            assert_eq!(foretold.vocabulary, decoder.vocabulary(), "{}", row.name);
        }
    }
}
