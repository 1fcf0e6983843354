//! The arithmetic of the encoder (Vaswani et al., 2017; Devlin et al., 2018) on the CPU.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::architecture::{Activation, Architecture, NormKind, Norms, Positions};
use super::config::{EncoderConfig, LayerKind};
use super::layers::{Affine, Normalization, activate, activate_gated, numbers};
use super::weights::{EmbeddingWeights, LayerWeights, Weights};
use super::words::WordTable;
use crate::kernels::{
    AttentionShape, RopeLayout, RopeTable, add, bidirectional_attention, causal_segment_attention,
    rope,
};

/// The tokens of one text, or of two, of which the second starts at `second`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    pub ids: Vec<u32>,
    pub second: usize,
}

/// The encoder with its weights laid out for the kernels.
pub(super) struct CpuEncoder {
    hidden: usize,
    intermediate: usize,
    vocabulary: usize,
    first_position: usize,
    activation: Activation,
    gated: bool,
    causal: bool,
    words: WordTable,
    word_scale: Option<f32>,
    positions: Option<Vec<f32>>,
    token_types: Option<Vec<f32>>,
    distances: Option<DistanceBias>,
    norm: Option<Normalization>,
    layers: Vec<Layer>,
    last_norm: Option<Normalization>,
}

struct Layer {
    attention: AttentionShape,
    rope: Option<RopeTable>,
    query_key_value: Affine,
    head_norms: Option<[Normalization; 2]>,
    attention_output: Affine,
    attention_norms: Norms<Normalization>,
    intermediate: Affine,
    output: Affine,
    output_norms: Norms<Normalization>,
}

/// What is added to scores by the distance of two tokens.
struct DistanceBias {
    /// `[buckets, heads]`.
    table: Vec<f32>,
    heads: usize,
    buckets: usize,
    farthest: usize,
}

/// The buffers of a forward pass, kept from one batch to the next.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[total, hidden]`: what goes from layer to layer.
    x: Vec<f32>,
    /// What a sublayer adds to it.
    y: Vec<f32>,
    /// What goes into a sublayer, where that is not `x`, or comes out of a norm.
    normed: Vec<f32>,
    /// The widest products.
    wide: Vec<f32>,
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    positions: Vec<usize>,
}

impl CpuEncoder {
    /// Takes the tensors of `weights`, layer by layer, so that each is held twice only while it
    /// is laid out anew.
    pub fn new(config: &EncoderConfig, weights: &Weights<'_>) -> corbie_core::Result<Self> {
        let internal = |error: candle_core::Error| {
            corbie_core::Error::new(corbie_core::ErrorKind::Internal, "the encoder", error)
        };
        let tables = weights.embeddings()?;
        let layers = (0..config.layers)
            .map(|index| {
                let weights = weights.layer(index)?;
                Layer::new(config, config.layer(index), weights).map_err(internal)
            })
            .collect::<corbie_core::Result<_>>()?;
        Self::assemble(config, tables, layers).map_err(internal)
    }

    fn assemble(
        config: &EncoderConfig,
        tables: EmbeddingWeights,
        layers: Vec<Layer>,
    ) -> Result<Self> {
        let Architecture {
            names,
            norm,
            positions,
            scaled_words,
            ..
        } = *config.architecture;
        let table = |tensor: Option<Tensor>| tensor.as_ref().map(numbers).transpose();
        let normalization = |weights| Normalization::optional(norm, config.norm_eps, weights);
        let distances = match (table(tables.distances)?, positions) {
            (
                Some(table),
                Positions::TableAndDistance {
                    buckets, farthest, ..
                },
            ) => Some(DistanceBias {
                table,
                heads: config.heads,
                buckets,
                farthest,
            }),
            _ => None,
        };
        Ok(Self {
            hidden: config.hidden,
            intermediate: config.intermediate,
            vocabulary: config.vocabulary,
            first_position: config.first_position,
            activation: config.activation,
            gated: names.gated,
            causal: config.causal,
            words: tables.words,
            word_scale: scaled_words.then(|| (config.hidden as f32).sqrt()),
            positions: table(tables.positions)?,
            token_types: table(tables.token_types)?,
            distances,
            norm: normalization(tables.norm)?,
            layers,
            last_norm: normalization(tables.last_norm)?,
        })
    }

    /// Numbers that stand for one token.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Whether every token has a vector, and the second text a kind of its own if need be.
    pub fn accepts(&self, input: &Input) -> bool {
        input.ids.iter().all(|id| (*id as usize) < self.vocabulary)
    }

    /// The vectors of the tokens of `inputs`, one text after the other: `[total, hidden]`.
    /// No text is longer than the model's positions, and all are accepted.
    ///
    /// # Errors
    ///
    /// When an id lies outside the vocabulary.
    pub fn forward<'s>(&self, inputs: &[&Input], scratch: &'s mut Scratch) -> Result<&'s [f32]> {
        let segments: Vec<Range<usize>> = inputs
            .iter()
            .scan(0, |end, input| {
                let start = *end;
                *end += input.ids.len();
                Some(start..*end)
            })
            .collect();
        let Scratch {
            x,
            y,
            normed,
            wide,
            query,
            key,
            value,
            positions,
        } = scratch;
        self.embed(inputs, &segments, x)?;
        if let Some(norm) = &self.norm {
            norm.replace(x, normed);
        }
        positions.clear();
        positions.extend(segments.iter().flat_map(|segment| 0..segment.len()));
        let longest = segments.iter().map(Range::len).max().unwrap_or(0);
        let bias = self
            .distances
            .as_ref()
            .map(|bias| bias.by_distance(longest));
        for layer in &self.layers {
            let input = enter(&layer.attention_norms, x, normed);
            layer.query_key_value.apply(input, wide);
            layer.split_heads(wide, [&mut *query, &mut *key, &mut *value]);
            layer.turn_heads(query, key, positions, normed);
            y.resize(query.len(), 0.0);
            let shape = &layer.attention;
            if self.causal {
                causal_segment_attention(shape, query, key, value, &segments, y);
            } else {
                let bias = bias.as_deref();
                bidirectional_attention(shape, query, key, value, &segments, bias, y);
            }
            layer.attention_output.apply(y, wide);
            leave(&layer.attention_norms, x, wide, normed);

            let input = enter(&layer.output_norms, x, normed);
            layer.intermediate.apply(input, wide);
            if self.gated {
                y.resize(wide.len() / 2, 0.0);
                activate_gated(self.activation, wide, self.intermediate, y);
            } else {
                activate(self.activation, wide);
                std::mem::swap(wide, y);
            }
            layer.output.apply(y, wide);
            leave(&layer.output_norms, x, wide, normed);
        }
        if let Some(norm) = &self.last_norm {
            norm.replace(x, normed);
        }
        Ok(x)
    }

    fn embed(&self, inputs: &[&Input], segments: &[Range<usize>], x: &mut Vec<f32>) -> Result<()> {
        let hidden = self.hidden;
        let ids = inputs.iter().flat_map(|input| &input.ids);
        let total = segments.last().map_or(0, |segment| segment.end);
        x.resize(total * hidden, 0.0);
        for (id, row) in ids.zip(x.chunks_exact_mut(hidden)) {
            if !self.words.row(*id, row) {
                candle_core::bail!("token {id} has no vector");
            }
        }
        if let Some(scale) = self.word_scale {
            x.iter_mut().for_each(|x| *x *= scale);
        }
        for (input, segment) in inputs.iter().zip(segments) {
            let rows = &mut x[segment.start * hidden..segment.end * hidden];
            if let Some(kinds) = &self.token_types {
                // A model of one kind of tokens has no other row for the second text.
                let last = kinds.len() / hidden - 1;
                for (at, row) in rows.chunks_exact_mut(hidden).enumerate() {
                    let kind = usize::from(at >= input.second).min(last);
                    add(row, &kinds[kind * hidden..][..hidden]);
                }
            }
            if let Some(positions) = &self.positions {
                let first = self.first_position * hidden;
                let count = rows.len();
                add(rows, &positions[first..][..count]);
            }
        }
        Ok(())
    }
}

/// What goes into a sublayer.
fn enter<'a>(norms: &Norms<Normalization>, x: &'a [f32], normed: &'a mut Vec<f32>) -> &'a [f32] {
    match &norms.before {
        Some(norm) => {
            norm.apply(x, normed);
            normed
        }
        None => x,
    }
}

/// Adds what comes out of a sublayer.
fn leave(norms: &Norms<Normalization>, x: &mut Vec<f32>, y: &mut Vec<f32>, spare: &mut Vec<f32>) {
    if let Some(norm) = &norms.inside {
        norm.replace(y, spare);
    }
    add(x, y);
    if let Some(norm) = &norms.after {
        norm.replace(x, spare);
    }
}

impl Layer {
    fn new(config: &EncoderConfig, kind: LayerKind, weights: LayerWeights) -> Result<Self> {
        let kind_of_norm = config.architecture.norm;
        let norms = |norms: Norms<_>| load_norms(kind_of_norm, config.norm_eps, norms);
        let head_norms = match weights.head_norms {
            Some([query, key]) => Some([
                Normalization::new(kind_of_norm, config.norm_eps, &query)?,
                Normalization::new(kind_of_norm, config.norm_eps, &key)?,
            ]),
            None => None,
        };
        Ok(Self {
            attention: AttentionShape {
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
                scale: config.scale,
                window: kind.window,
                softcap: None,
            },
            rope: kind.rope_base.map(|base| RopeTable {
                layout: RopeLayout::Halves,
                frequencies: frequencies(base, config.head_dim),
                magnitude: 1.0,
            }),
            query_key_value: Affine::new(&weights.query_key_value)?,
            head_norms,
            attention_output: Affine::new(&weights.attention_output)?,
            attention_norms: norms(weights.attention_norms)?,
            intermediate: Affine::new(&weights.intermediate)?,
            output: Affine::new(&weights.output)?,
            output_norms: norms(weights.output_norms)?,
        })
    }

    /// Parts each row of `wide` in queries, keys and values.
    fn split_heads(&self, wide: &[f32], parts: [&mut Vec<f32>; 3]) {
        let AttentionShape {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.attention;
        let row = (heads + 2 * kv_heads) * head_dim;
        let mut start = 0;
        for (part, heads) in parts.into_iter().zip([heads, kv_heads, kv_heads]) {
            let width = heads * head_dim;
            part.clear();
            for row in wide.chunks_exact(row) {
                part.extend_from_slice(&row[start..start + width]);
            }
            start += width;
        }
    }

    /// Normalises and rotates the heads of queries and keys.
    fn turn_heads(
        &self,
        query: &mut Vec<f32>,
        key: &mut Vec<f32>,
        positions: &[usize],
        spare: &mut Vec<f32>,
    ) {
        if let Some([query_norm, key_norm]) = &self.head_norms {
            query_norm.replace(query, spare);
            key_norm.replace(key, spare);
        }
        if let Some(table) = &self.rope {
            rope(query, self.attention.head_dim, table, positions);
            rope(key, self.attention.head_dim, table, positions);
        }
    }
}

fn load_norms(
    kind: NormKind,
    eps: f32,
    norms: Norms<super::weights::Norm>,
) -> Result<Norms<Normalization>> {
    norms.load(|norm| Normalization::new(kind, eps, norm))
}

fn frequencies(base: f32, head_dim: usize) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|pair| 1.0 / base.powf((2 * pair) as f32 / head_dim as f32))
        .collect()
}

impl DistanceBias {
    /// `[heads, 2 · reach - 1]`: the bias of each head for a key so far after its query, from
    /// `1 - reach` on.
    fn by_distance(&self, reach: usize) -> Vec<f32> {
        let bucket = |distance: usize, after: bool| {
            let half = self.buckets / 2;
            let exact = half / 2;
            let near = if distance < exact {
                distance
            } else {
                // In `f32`, as the models were trained.
                let log = (distance as f32 / exact as f32).ln();
                let span = (self.farthest as f64 / exact as f64).ln() as f32;
                let far = exact + (log / span * (half - exact) as f32) as usize;
                far.min(half - 1)
            };
            near + if after { half } else { 0 }
        };
        let distances = (1 - reach.max(1) as isize)..reach.max(1) as isize;
        let buckets: Vec<usize> = distances
            .map(|distance| bucket(distance.unsigned_abs(), distance > 0))
            .collect();
        (0..self.heads)
            .flat_map(|head| {
                let row = buckets.iter();
                row.map(move |bucket| self.table[bucket * self.heads + head])
            })
            .collect()
    }
}
