//! Reading adapters: GGUF files, and directories as PEFT writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::{Adapter, LowRank, Place};
use crate::decoder::config::DecoderConfig;
use crate::decoder::hugging_face::read_small;
use crate::decoder::safetensors::{WeightFiles, stored};
use crate::decoder::source::Tensor;
use crate::gguf::GgufFile;
use crate::kernels::{Matrix, RopeLayout};

/// No adapter has a higher rank.
const MAX_RANK: usize = 4096;

/// The weights that an adapter may change, by GGUF's names, and where they are used.
const PARTS: &[(&str, Place)] = &[
    ("attn_q", Place::MixerInput),
    ("attn_k", Place::MixerInput),
    ("attn_v", Place::MixerInput),
    ("attn_qkv", Place::MixerInput),
    ("attn_output", Place::MixerOutput),
    ("shortconv.in_proj", Place::MixerInput),
    ("shortconv.out_proj", Place::MixerOutput),
    ("ffn_gate", Place::GateUp),
    ("ffn_up", Place::GateUp),
    ("ffn_down", Place::Down),
];

/// The two matrices that change one weight, and what multiplies them.
struct Pair<'a> {
    a: Tensor<'a>,
    b: Tensor<'a>,
    scale: f32,
}

impl Adapter {
    /// Reads the adapter in a GGUF file for decoders of the shape `config`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) or [`Mismatch`](ErrorKind::Mismatch), naming the
    /// tensor, when it is damaged or for another model; [`Unsupported`](ErrorKind::Unsupported)
    /// when it changes a weight that cannot be changed here.
    pub fn from_gguf(file: &GgufFile, config: &DecoderConfig) -> Result<Self> {
        let subject = file.name();
        let metadata = file.metadata();
        let kind = metadata.str("adapter.type")?;
        if kind != Some("lora") {
            let cause = "it is no LoRA adapter: its metadata `adapter.type` is not `lora`";
            return Err(Error::new(ErrorKind::BadInput, subject, cause));
        }
        if config.rope_layout != config.architecture.rope_layout {
            let cause = "an adapter in GGUF is for models in GGUF";
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("take the adapter as PEFT's safetensors"));
        }
        let architecture = file.architecture()?;
        if architecture != config.architecture.name {
            let cause = format!(
                "it is for models of the architecture `{architecture}`, not `{}`",
                config.architecture.name
            );
            return Err(Error::new(ErrorKind::Mismatch, subject, cause));
        }
        let alpha = metadata.f32("adapter.lora.alpha")?.unwrap_or(0.0);
        let mut names: BTreeSet<String> = file.tensors().map(|it| it.name.to_owned()).collect();
        let mut pair = |name: &str| {
            let (a, b) = (format!("{name}.lora_a"), format!("{name}.lora_b"));
            let tensor = |name: &str| {
                file.tensor(name).map(|tensor| Tensor {
                    name: name.to_owned(),
                    dtype: tensor.dtype,
                    shape: tensor.shape.to_vec(),
                    data: tensor.data.into(),
                })
            };
            let (Some(first), Some(second)) = (tensor(&a), tensor(&b)) else {
                return Ok(None);
            };
            names.remove(&a);
            names.remove(&b);
            let rank = first.shape.first().copied().unwrap_or(1).max(1);
            let scale = if alpha == 0.0 {
                1.0
            } else {
                alpha / rank as f32
            };
            let (a, b) = (first, second);
            Ok(Some(Pair { a, b, scale }))
        };
        let layers = read(subject, config, false, &mut pair)?;
        match names.first() {
            None => Ok(Self::new(subject.to_owned(), config, layers)),
            Some(name) => Err(unknown(subject, name)),
        }
    }

    /// Reads the adapter in a directory as PEFT writes it, `adapter_config.json` beside
    /// `adapter_model.safetensors`, for decoders of the shape `config`.
    ///
    /// # Errors
    ///
    /// Those of [`Adapter::from_gguf`]; [`NotFound`](ErrorKind::NotFound) when a file is missing.
    pub fn from_directory(directory: &Path, config: &DecoderConfig) -> Result<Self> {
        let subject = format!("adapter `{}`", directory.display());
        let said = Peft::read(&directory.join("adapter_config.json"), &subject)?;
        let maps = WeightFiles::open_one(directory, "adapter_model.safetensors")?;
        let files = maps.tensors()?;
        let file = &files[0];
        let mut names: BTreeSet<String> = file.tensors().into_iter().map(|it| it.0).collect();
        let mut pair = |name: &str| {
            let own = config.architecture.hugging_face_name(name);
            let own = own.strip_suffix(".weight").unwrap_or(&own);
            let module = format!("base_model.model.{own}");
            let tensor = |which: &str| -> Result<Option<Tensor<'_>>> {
                let name = format!("{module}.{which}.weight");
                match names.contains(&name) {
                    true => stored(&subject, file, &name).map(Some),
                    false => Ok(None),
                }
            };
            let (Some(a), Some(b)) = (tensor("lora_A")?, tensor("lora_B")?) else {
                return Ok(None);
            };
            names.remove(&a.name);
            names.remove(&b.name);
            let scale = said.scale(own);
            Ok(Some(Pair { a, b, scale }))
        };
        let turned = config.rope_layout == RopeLayout::Neighbours;
        let layers = read(&subject, config, turned, &mut pair)?;
        match names.first() {
            None => Ok(Self::new(subject, config, layers)),
            Some(name) => Err(unknown(&subject, name)),
        }
    }
}

fn unknown(subject: &str, name: &str) -> Error {
    let cause = format!("tensor `{name}` changes a weight that adapters cannot change here");
    Error::new(ErrorKind::Unsupported, subject, cause)
        .hint("attention and feed-forward weights can be changed, embeddings and norms cannot")
}

/// What PEFT's `adapter_config.json` says.
struct Peft {
    rank: f32,
    alpha: f32,
    by_root: bool,
    ranks: BTreeMap<String, f32>,
    alphas: BTreeMap<String, f32>,
}

impl Peft {
    fn read(path: &Path, subject: &str) -> Result<Self> {
        let malformed = |cause: String| {
            let subject = format!("{subject}, adapter_config.json");
            Error::new(ErrorKind::Malformed, subject, cause)
        };
        let said: Value = serde_json::from_slice(&read_small(path, subject)?)
            .map_err(|error| malformed(error.to_string()))?;
        let unsupported = |key: &str| {
            let cause = format!("`{key}` is {}, which is not supported", said[key]);
            Err(Error::new(ErrorKind::Unsupported, subject, cause))
        };
        if said["peft_type"]
            .as_str()
            .is_some_and(|kind| kind != "LORA")
        {
            return unsupported("peft_type");
        }
        for key in ["use_dora", "fan_in_fan_out", "lora_bias"] {
            if said[key].as_bool() == Some(true) {
                return unsupported(key);
            }
        }
        if said["bias"].as_str().is_some_and(|bias| bias != "none") {
            return unsupported("bias");
        }
        let positive = |value: &Value, key: &str| match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(number as f32),
            _ => Err(malformed(format!("`{key}` is {value}, no positive number"))),
        };
        let pattern = |key: &str| -> Result<BTreeMap<String, f32>> {
            let entries = said[key].as_object().into_iter().flatten();
            entries
                .map(|(name, value)| Ok((name.clone(), positive(value, key)?)))
                .collect()
        };
        Ok(Self {
            rank: positive(&said["r"], "r")?,
            alpha: positive(&said["lora_alpha"], "lora_alpha")?,
            by_root: said["use_rslora"].as_bool() == Some(true),
            ranks: pattern("rank_pattern")?,
            alphas: pattern("alpha_pattern")?,
        })
    }

    /// What multiplies the change of `module`.
    fn scale(&self, module: &str) -> f32 {
        // A pattern names the end of a module's path.
        let find = |pattern: &BTreeMap<String, f32>, default| {
            let fits = |name: &str| {
                let rest = module.strip_suffix(name.trim_start_matches('^'));
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            let found = pattern.iter().find(|(name, _)| fits(name));
            found.map_or(default, |(_, value)| *value)
        };
        let rank = find(&self.ranks, self.rank);
        let alpha = find(&self.alphas, self.alpha);
        alpha / if self.by_root { rank.sqrt() } else { rank }
    }
}

/// Reads all pairs there are. With `turned`, queries and keys are as Hugging Face has them and
/// must become what GGUF has.
fn read<'a>(
    subject: &str,
    config: &DecoderConfig,
    turned: bool,
    pair: &mut dyn FnMut(&str) -> Result<Option<Pair<'a>>>,
) -> Result<Vec<[Vec<LowRank>; 4]>> {
    let mut layers = Vec::with_capacity(config.layers);
    for layer in 0..config.layers {
        let mut places: [Vec<LowRank>; 4] = Default::default();
        for (part, place) in PARTS {
            if let Some(pair) = pair(&format!("blk.{layer}.{part}.weight"))? {
                let change = low_rank(subject, config, layer, part, pair, turned)?;
                places[*place as usize].push(change);
            }
        }
        layers.push(places);
    }
    if layers.iter().flatten().all(Vec::is_empty) {
        let cause = "it changes no weight of this model";
        return Err(Error::new(ErrorKind::Mismatch, subject, cause));
    }
    Ok(layers)
}

fn low_rank(
    subject: &str,
    config: &DecoderConfig,
    layer: usize,
    part: &'static str,
    pair: Pair<'_>,
    turned: bool,
) -> Result<LowRank> {
    let Pair { a, b, scale } = pair;
    let sizes = |tensor: &Tensor<'_>| match tensor.shape.as_slice() {
        [rows, columns] => Ok((*rows, *columns)),
        shape => {
            let cause = format!(
                "tensor `{}` has the shape {shape:?}, no matrix",
                tensor.name
            );
            Err(Error::new(ErrorKind::Malformed, subject, cause))
        }
    };
    let ((rank, columns), (rows, of_b)) = (sizes(&a)?, sizes(&b)?);
    let wrong = |kind, cause: String| Err(Error::new(kind, subject, cause));
    if rank != of_b || !(1..=MAX_RANK).contains(&rank) {
        let cause = format!(
            "tensors `{}` and `{}` have ranks {rank} and {of_b}",
            a.name, b.name
        );
        return wrong(ErrorKind::Malformed, cause);
    }
    let Some((first, wanted_rows, wanted_columns)) = place_of(config, layer, part, rows) else {
        let cause = format!(
            "tensor `{}` changes a weight that this model has not got",
            a.name
        );
        return wrong(ErrorKind::Mismatch, cause);
    };
    if (rows, columns) != (wanted_rows, wanted_columns) {
        let cause = format!(
            "tensor `{}` is for weights of {rows} by {columns}, the model's are {wanted_rows} by \
             {wanted_columns}",
            a.name
        );
        return wrong(ErrorKind::Mismatch, cause);
    }
    let mut values = b.to_f32s()?;
    if turned && ["attn_q", "attn_k"].contains(&part) {
        values = neighbours(&values, rank, config.head_dim);
    }
    values.iter_mut().for_each(|x| *x *= scale);
    Ok(LowRank {
        part,
        first,
        a: Matrix::from_f32(rank, columns, &a.to_f32s()?),
        b: Matrix::from_f32(rows, rank, &values),
    })
}

/// The first output that a part has in its product, and the shape of its weight. `rows` tells
/// whether gate and up are one weight.
fn place_of(
    config: &DecoderConfig,
    layer: usize,
    part: &str,
    rows: usize,
) -> Option<(usize, usize, usize)> {
    let hidden = config.hidden;
    let n = config.feed_forward;
    let q = config.heads * config.head_dim;
    let kv = config.kv_heads * config.head_dim;
    let convolved = config.convolved(layer).is_some();
    let dense = config.experts.as_ref();
    let dense = dense.is_none_or(|experts| layer < experts.dense_layers);
    let gated = config.architecture.gated;
    match part {
        "attn_q" if !convolved => Some((0, q, hidden)),
        "attn_k" if !convolved => Some((q, kv, hidden)),
        "attn_v" if !convolved => Some((q + kv, kv, hidden)),
        "attn_qkv" if !convolved => Some((0, q + 2 * kv, hidden)),
        "attn_output" if !convolved => Some((0, hidden, q)),
        "shortconv.in_proj" if convolved => Some((0, 3 * hidden, hidden)),
        "shortconv.out_proj" if convolved => Some((0, hidden, hidden)),
        "ffn_gate" if dense && gated => Some((0, n, hidden)),
        "ffn_up" if dense && gated && rows == 2 * n => Some((0, 2 * n, hidden)),
        "ffn_up" if dense && gated => Some((n, n, hidden)),
        "ffn_up" if dense => Some((0, n, hidden)),
        "ffn_down" if dense => Some((0, hidden, n)),
        _ => None,
    }
}

/// Rows in which each head has its first halves before its second ones, as rows in which the two
/// numbers of a pair are neighbours.
fn neighbours(values: &[f32], columns: usize, head_dim: usize) -> Vec<f32> {
    let half = head_dim / 2;
    let rows = values.len() / columns;
    let from = |row: usize| {
        let (head, at) = (row / head_dim * head_dim, row % head_dim);
        head + at % 2 * half + at / 2
    };
    let row = |row: usize| &values[from(row) * columns..][..columns];
    (0..rows).flat_map(row).copied().collect()
}
