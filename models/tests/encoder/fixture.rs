//! Model directories from the fixture.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub struct Fixture {
    pub texts: Vec<String>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize, Clone)]
pub struct Case {
    pub name: String,
    files: BTreeMap<String, Value>,
    tensors: BTreeMap<String, Vec<usize>>,
    dtype: String,
    pub expected: Expected,
}

#[derive(Deserialize, Clone)]
pub struct Expected {
    pub document: Vec<Vec<f32>>,
    /// Absent where it is the same.
    pub query: Option<Vec<Vec<f32>>>,
}

impl Fixture {
    /// The fixture with every case complete.
    pub fn read() -> Self {
        let text = include_str!("../reference/encoders.json");
        let mut fixture: Self = serde_json::from_str(text).unwrap();
        let first = fixture.cases[0].clone();
        for case in &mut fixture.cases[1..] {
            let mut files = first.files.clone();
            files.append(&mut case.files);
            case.files = files;
            if case.tensors.is_empty() {
                case.tensors.clone_from(&first.tensors);
            }
        }
        fixture
    }

    /// The first case: BERT, mean pooling, unit length.
    pub fn first() -> Case {
        Self::read().cases.swap_remove(0)
    }
}

impl Case {
    /// The content of one of the model's files.
    pub fn file(&self, name: &str) -> Value {
        self.files[name].clone()
    }

    /// Writes the model's directory.
    pub fn write(&self, dir: &Path) {
        for (name, content) in &self.files {
            if !content.is_null() {
                let path = dir.join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content.to_string()).unwrap();
            }
        }
        self.write_tensors(dir, |_, tensor| Some(tensor));
    }

    /// Writes the tensors as `change` leaves them.
    pub fn write_tensors(&self, dir: &Path, change: impl Fn(&str, Tensor) -> Option<Tensor>) {
        let dtype = match self.dtype.as_str() {
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            _ => DType::F32,
        };
        let tensors: HashMap<String, Tensor> = self
            .tensors
            .iter()
            .filter_map(|(name, shape)| {
                let values = weight(name, shape.iter().product());
                let tensor = Tensor::from_vec(values, shape.as_slice(), &Device::Cpu).unwrap();
                let tensor = tensor.to_dtype(dtype).unwrap();
                Some((name.clone(), change(name, tensor)?))
            })
            .collect();
        candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
    }
}

/// Numbers from the tensor's name: FNV-1a of it, then SplitMix64 of that plus the index.
pub fn weight(name: &str, count: usize) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let norm = name.to_lowercase().ends_with("norm.weight");
    (1..=count as u64)
        .map(|i| {
            let mut z = seed.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            let uniform = (z >> 40) as f32 / 16_777_216.0 - 0.5;
            if norm { 1.0 + uniform / 2.0 } else { uniform }
        })
        .collect()
}
