//! The tensors of a safetensors directory, as Hugging Face keeps models.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use candle_core::safetensors::SliceSafetensors;
use corbie_core::{Error, ErrorKind, Result};
use memmap2::Mmap;
use serde_json::Value;

use super::architecture::Architecture;
use super::hugging_face::read_small;
use super::source::{Tensor, Tensors};

/// Where a decoder's tensors may begin, alone and within a model that does more.
const PREFIXES: &[&str] = &[
    "model.",
    "model.language_model.",
    "language_model.model.",
    "",
];

/// Where the head may be.
const HEADS: &[&str] = &["lm_head", "language_model.lm_head", "model.lm_head"];

/// No model has more experts.
const MAX_EXPERTS: usize = 1024;

/// The weight files of a directory, mapped into memory.
pub(super) struct WeightFiles {
    directory: PathBuf,
    maps: Vec<(String, Mmap)>,
}

impl WeightFiles {
    /// Maps `model.safetensors`, or the files that `model.safetensors.index.json` names.
    pub fn open(directory: &Path) -> Result<Self> {
        let single = "model.safetensors";
        let names = match directory.join(single).exists() {
            true => BTreeSet::from([single.to_owned()]),
            false => indexed(&directory.join("model.safetensors.index.json"))?,
        };
        let maps = names.into_iter().map(|name| map(directory, name));
        Ok(Self {
            directory: directory.to_owned(),
            maps: maps.collect::<Result<_>>()?,
        })
    }

    /// Maps one file of a directory.
    pub fn open_one(directory: &Path, name: &str) -> Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            maps: vec![map(directory, name.to_owned())?],
        })
    }

    /// Reads the headers, which must describe the files exactly.
    pub fn tensors(&self) -> Result<Vec<SliceSafetensors<'_>>> {
        let read = |(name, map)| {
            let (name, map): (&String, &Mmap) = (name, map);
            SliceSafetensors::new(map).map_err(|error| {
                let subject = subject(&self.directory.join(name));
                Error::new(ErrorKind::Malformed, subject, &error).caused_by(error)
            })
        };
        self.maps
            .iter()
            .map(|(name, map)| read((name, map)))
            .collect()
    }
}

fn map(directory: &Path, name: String) -> Result<(String, Mmap)> {
    let path = directory.join(&name);
    let subject = subject(&path);
    let file = File::open(&path).map_err(|error| Error::io(&subject, error))?;
    // SAFETY: the map is read-only and the file is open for reading. Another process that cuts
    // the file short while it is mapped can end this one with SIGBUS, but not make it read what
    // is not the file's; weights are copied out of it while loading.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(&subject, error))?;
    Ok((name, map))
}

/// A tensor as its file has it.
pub(super) fn stored<'a>(
    subject: &str,
    file: &'a SliceSafetensors<'_>,
    name: &str,
) -> Result<Tensor<'a>> {
    let view = file
        .get(name)
        .map_err(|error| Error::new(ErrorKind::Malformed, subject, &error).caused_by(error))?;
    let dtype = match DType::try_from(view.dtype()) {
        Ok(DType::F32) => GgmlDType::F32,
        Ok(DType::F16) => GgmlDType::F16,
        Ok(DType::BF16) => GgmlDType::BF16,
        _ => {
            let cause = format!("tensor `{name}` is stored as {:?}", view.dtype());
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("known are F32, F16 and BF16"));
        }
    };
    Ok(Tensor {
        name: name.to_owned(),
        dtype,
        shape: view.shape().to_vec(),
        data: Cow::Borrowed(view.data()),
    })
}

fn subject(path: &Path) -> String {
    format!("model file `{}`", path.display())
}

/// The files that an index names.
fn indexed(path: &Path) -> Result<BTreeSet<String>> {
    let subject = subject(path);
    let malformed = |cause: String| Error::new(ErrorKind::Malformed, &subject, cause);
    let index: Value = serde_json::from_slice(&read_small(path, &subject)?)
        .map_err(|error| malformed(error.to_string()).caused_by(error))?;
    let Some(files) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(malformed("it has no `weight_map`".to_owned()));
    };
    let mut names = BTreeSet::new();
    for name in files.values() {
        // Files lie beside their index: a name that leads elsewhere is none of theirs.
        let name = name.as_str().unwrap_or_default();
        let plain = Path::new(name).file_name().is_some_and(|it| it == name);
        if !plain || !name.ends_with(".safetensors") {
            return Err(malformed(format!("`{name}` is no name of a weight file")));
        }
        names.insert(name.to_owned());
    }
    match names.len() {
        1..=1024 => Ok(names),
        count => Err(malformed(format!("it names {count} files"))),
    }
}

/// The tensors of a directory, by GGUF's names.
pub(super) struct DirectoryTensors<'a> {
    subject: String,
    architecture: &'static Architecture,
    layers: usize,
    tied: bool,
    files: &'a [SliceSafetensors<'a>],
    /// Which file has a tensor.
    places: HashMap<String, usize>,
    prefix: &'static str,
    /// Tensors that no file holds.
    factors: BTreeMap<&'static str, Vec<f32>>,
    read: RefCell<HashSet<String>>,
}

impl<'a> DirectoryTensors<'a> {
    pub fn new(
        directory: &Path,
        architecture: &'static Architecture,
        layers: usize,
        tied: bool,
        files: &'a [SliceSafetensors<'a>],
        factors: BTreeMap<&'static str, Vec<f32>>,
    ) -> Self {
        let mut places = HashMap::new();
        for (index, file) in files.iter().enumerate() {
            places.extend(file.tensors().into_iter().map(|(name, _)| (name, index)));
        }
        let embeds = |prefix: &&&str| places.contains_key(&format!("{prefix}embed_tokens.weight"));
        let prefix = PREFIXES.iter().find(embeds).copied().unwrap_or(PREFIXES[0]);
        Self {
            subject: format!("model `{}`", directory.display()),
            architecture,
            layers,
            tied,
            files,
            places,
            prefix,
            factors,
            read: RefCell::default(),
        }
    }
}

impl DirectoryTensors<'_> {
    /// Hands out every tensor of the decoder as it is stored, by a name that tells its block as
    /// GGUF's does.
    pub fn each(&self, visit: &mut dyn FnMut(&str, &Tensor<'_>)) -> Result<()> {
        for (own, file) in &self.places {
            let name = if HEADS.iter().any(|head| own.starts_with(head)) {
                if self.tied {
                    continue;
                }
                "output.weight".to_owned()
            } else {
                match own.strip_prefix(self.prefix) {
                    None => continue,
                    Some("embed_tokens.weight") => "token_embd.weight".to_owned(),
                    Some(rest) if rest.contains("rotary_emb") => continue,
                    Some(rest) => match rest.strip_prefix("layers.") {
                        Some(rest) => {
                            format!("blk.{}", rest.replace(".conv.conv.", ".shortconv.conv."))
                        }
                        None => rest.to_owned(),
                    },
                }
            };
            visit(&name, &stored(&self.subject, &self.files[*file], own)?);
        }
        Ok(())
    }

    /// The tensor that the file calls `own_name`, as GGUF keeps it.
    fn stored(&self, name: &str, own_name: String) -> Result<Option<Tensor<'_>>> {
        let Some(file) = self.places.get(&own_name) else {
            return Ok(None);
        };
        let mut tensor = stored(&self.subject, &self.files[*file], &own_name)?;
        self.read.borrow_mut().insert(own_name);
        let shape = &mut tensor.shape;
        if name.ends_with("shortconv.conv.weight") && shape.len() == 3 && shape[1] == 1 {
            shape.remove(1);
        }
        if !(self.architecture.norms_less_one && name.ends_with("norm.weight")) {
            return Ok(Some(tensor));
        }
        let weights: Vec<f32> = tensor
            .to_f32s()?
            .iter()
            .map(|weight| weight + 1.0)
            .collect();
        let shape = tensor.shape;
        Ok(Some(Tensor {
            shape,
            ..Tensor::from_f32s(&tensor.name, &weights)
        }))
    }
}

impl Tensors for DirectoryTensors<'_> {
    fn subject(&self) -> &str {
        &self.subject
    }

    fn name_of(&self, name: &str) -> String {
        let alone = self.architecture.hugging_face_name(name);
        if let Some(rest) = alone.strip_prefix(PREFIXES[0]) {
            return format!("{}{rest}", self.prefix);
        }
        let rest = alone.strip_prefix(HEADS[0]).unwrap_or(&alone);
        let mut heads = HEADS.iter().map(|head| format!("{head}{rest}"));
        let there = heads.find(|name| self.places.contains_key(name));
        there.unwrap_or(alone)
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        if let Some(factors) = self.factors.get(name) {
            return Ok(Some(Tensor::from_f32s(name, factors)));
        }
        if self.tied && name == "output.weight" {
            return Ok(None);
        }
        let own_name = self.name_of(name);
        let Some((before, after)) = own_name.split_once("{}") else {
            return self.stored(name, own_name);
        };
        // Experts, one by one: together they are what GGUF has.
        let mut experts: Option<Tensor<'_>> = None;
        for index in 0..MAX_EXPERTS {
            let Some(next) = self.stored(name, format!("{before}{index}{after}"))? else {
                break;
            };
            let Some(stack) = &mut experts else {
                let shape = [&[1], next.shape.as_slice()].concat();
                experts = Some(Tensor { shape, ..next });
                continue;
            };
            if next.dtype != stack.dtype || next.shape != stack.shape[1..] {
                let cause = format!("tensor `{}` is not stored like the first one", next.name);
                return Err(Error::new(ErrorKind::Malformed, &self.subject, cause));
            }
            stack.shape[0] += 1;
            stack.data.to_mut().extend_from_slice(&next.data);
        }
        Ok(experts)
    }

    fn unread(&self) -> Option<String> {
        let read = self.read.borrow();
        let is_unread = |name: &&String| {
            let block = name
                .strip_prefix(self.prefix)
                .and_then(|rest| rest.strip_prefix("layers."))
                .and_then(|rest| rest.split_once('.'));
            block.is_some_and(|(index, part)| {
                index.parse().is_ok_and(|index: usize| index < self.layers)
                    && part != "self_attn.rotary_emb.inv_freq"
                    && !read.contains(*name)
            })
        };
        self.places.keys().filter(is_unread).min().cloned()
    }
}
