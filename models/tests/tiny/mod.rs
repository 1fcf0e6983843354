//! Tiny models in the real layout, with weights that follow from their tensors' names.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::testing::{SafetensorsWriter, random_weights, stored};
use serde::Deserialize;

/// A model as a fixture describes it, and the logits it must have.
#[derive(Deserialize)]
pub struct TinyModel {
    pub architecture: String,
    pub integers: BTreeMap<String, u32>,
    pub numbers: BTreeMap<String, f32>,
    pub strings: BTreeMap<String, String>,
    pub lists: BTreeMap<String, Vec<i32>>,
    pub tensors: BTreeMap<String, Vec<usize>>,
    /// Vectors that are no weights.
    pub factors: BTreeMap<String, Vec<f32>>,
    /// How many positions a sequence may have, where that chooses among the factors.
    pub context: Option<usize>,
    pub tokens: Vec<u32>,
    /// The standard deviation of all logits.
    pub spread: f32,
    pub logits: BTreeMap<usize, Vec<f32>>,
    pub directory: Directory,
    #[serde(skip)]
    vocabulary: Option<Vocabulary>,
}

/// The same model as Hugging Face keeps it.
#[derive(Deserialize)]
pub struct Directory {
    pub config: serde_json::Value,
    /// Its names of the tensors.
    pub names: BTreeMap<String, String>,
    /// Whether rows of queries and keys stand in another order there.
    pub reordered: bool,
    /// Whether the weights of normalisations are less one there.
    pub less_one: bool,
}

/// Tokens with their types, and how text becomes tokens.
struct Vocabulary {
    model: &'static str,
    tokens: Vec<(String, i32)>,
    end: u32,
    template: Option<&'static str>,
}

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// How the matrices are stored.
#[derive(Clone, Copy)]
pub enum Storage {
    F32,
    Q8_0,
    Of(GgmlDType),
}

impl TinyModel {
    pub fn fixture(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decoder");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    pub fn set(&mut self, key: &str, value: u32) {
        self.integers.insert(key.into(), value);
    }

    /// All keys of the metadata.
    pub fn keys(&self) -> Vec<String> {
        let integers = self.integers.keys().chain(self.lists.keys());
        let keys = integers
            .chain(self.numbers.keys())
            .chain(self.strings.keys());
        keys.cloned().collect()
    }

    pub fn unset(&mut self, key: &str) {
        let removed = [
            self.integers.remove(key).is_some(),
            self.lists.remove(key).is_some(),
            self.numbers.remove(key).is_some(),
            self.strings.remove(key).is_some(),
        ];
        assert!(removed.contains(&true), "{key} was there");
    }

    /// Changes what `config.json` says.
    pub fn says(&mut self, key: &str, value: serde_json::Value) {
        self.directory.config[key] = value;
    }

    /// Adds a vector by both of its names.
    pub fn adds(&mut self, name: &str, hugging_face: &str) {
        self.tensors.insert(name.into(), vec![16]);
        self.directory
            .names
            .insert(name.into(), hugging_face.into());
    }

    pub fn scale(&mut self, kind: &str) {
        let key = format!("{}.rope.scaling.type", self.architecture);
        self.strings.insert(key, kind.into());
    }

    pub fn drop(&mut self, tensor: &str) {
        assert!(self.tensors.remove(tensor).is_some(), "{tensor} was there");
    }

    pub fn reshape(&mut self, tensor: &str, shape: &[usize]) {
        assert!(self.tensors.insert(tensor.into(), shape.to_vec()).is_some());
    }

    /// Gives the model a vocabulary of bytes, of the kind its architecture has as a rule, and a
    /// context of 2,048 tokens.
    pub fn with_vocabulary(mut self) -> Self {
        let vocabulary = match self.architecture.as_str() {
            "gemma3" => sentencepiece(),
            _ => byte_level(),
        };
        let key = format!("{}.context_length", self.architecture);
        self.set(&key, 2048);
        let embedding = self.tensors.get_mut("token_embd.weight").unwrap();
        embedding[0] = vocabulary.tokens.len();
        self.vocabulary = Some(vocabulary);
        self
    }

    /// Gives the vocabulary another chat template.
    pub fn with_template(mut self, template: &'static str) -> Self {
        self.vocabulary.as_mut().unwrap().template = Some(template);
        self
    }

    /// The model file.
    pub fn writer(&self, storage: Storage) -> GgufWriter {
        let mut writer = GgufWriter::new().string("general.architecture", &self.architecture);
        for (key, value) in &self.integers {
            writer = writer.u32(key, *value);
        }
        for (key, value) in &self.numbers {
            writer = writer.f32(key, *value);
        }
        for (key, value) in &self.strings {
            writer = writer.string(key, value);
        }
        for (key, values) in &self.lists {
            writer = writer.i32s(key, values);
        }
        for (name, factors) in &self.factors {
            writer = writer.f32_tensor(name, &[factors.len()], factors);
        }
        if let Some(vocabulary) = &self.vocabulary {
            writer = vocabulary.write(writer);
        }
        for (name, shape) in &self.tensors {
            let values = random_weights(name, shape, 0);
            let dtype = match storage {
                Storage::F32 => GgmlDType::F32,
                Storage::Q8_0 => GgmlDType::Q8_0,
                Storage::Of(dtype) => dtype,
            };
            // Convolutions are too short for blocks.
            let columns = shape[shape.len() - 1];
            let blocks = shape.len() > 1 && columns.is_multiple_of(dtype.block_size());
            writer = match blocks {
                true => writer.tensor(name, dtype, shape, stored(&values, columns, dtype).unwrap()),
                false => writer.f32_tensor(name, shape, &values),
            };
        }
        writer
    }

    /// Writes the same model as Hugging Face keeps it, in so many files.
    pub fn write_directory(&self, directory: &Path, files: usize) {
        let config = self.directory.config.to_string();
        std::fs::write(directory.join("config.json"), config).unwrap();
        let mut writers = vec![SafetensorsWriter::new(); files];
        let mut index = serde_json::Map::new();
        for (at, (name, shape)) in self.tensors.iter().enumerate() {
            let mut shape = shape.clone();
            let mut values = random_weights(name, &shape, 0);
            let heads = |key: &str| self.integers[&format!("{}.{key}", self.architecture)];
            if self.directory.reordered && name.contains("attn_q.") {
                values = halves(&values, heads("attention.head_count") as usize);
            }
            if self.directory.reordered && name.contains("attn_k.") {
                values = halves(&values, heads("attention.head_count_kv") as usize);
            }
            if self.directory.less_one && name.ends_with("norm.weight") {
                values.iter_mut().for_each(|weight| *weight -= 1.0);
            }
            if name.ends_with("shortconv.conv.weight") {
                shape.insert(1, 1);
            }
            if name.ends_with("ffn_gate_inp_shexp.weight") {
                shape.insert(0, 1);
            }
            let (own_name, name) = (name, &self.directory.names[name]);
            // Granite's files have gate and up of an expert in one.
            if name.contains("input_linear") {
                if own_name.contains("ffn_up_exps") {
                    continue;
                }
                let up = own_name.replace("gate", "up");
                let up = random_weights(&up, &shape, 0);
                let part = shape[1] * shape[2];
                let joint = values.chunks(part).zip(up.chunks(part));
                values = joint.flat_map(|(gate, up)| [gate, up].concat()).collect();
                shape[1] *= 2;
            }
            // Experts lie one by one.
            let count = if name.contains("{}") {
                shape.remove(0)
            } else {
                1
            };
            for (expert, values) in values.chunks(values.len() / count).enumerate() {
                let name = name.replace("{}", &expert.to_string());
                let data = stored(values, 1, GgmlDType::F32).unwrap();
                let writer = &mut writers[at % files];
                *writer = writer.clone().tensor(&name, GgmlDType::F32, &shape, data);
                index.insert(name, format!("model-{}.safetensors", at % files).into());
            }
        }
        if files == 1 {
            writers[0]
                .write(&directory.join("model.safetensors"))
                .unwrap();
            return;
        }
        for (at, writer) in writers.iter().enumerate() {
            writer
                .write(&directory.join(format!("model-{at}.safetensors")))
                .unwrap();
        }
        let index = serde_json::json!({ "weight_map": index }).to_string();
        std::fs::write(directory.join("model.safetensors.index.json"), index).unwrap();
    }

    /// Writes what a chat needs beside the weights of [`TinyModel::write_directory`], as Hugging
    /// Face keeps it: the vocabulary, the template and the ends of an answer.
    pub fn write_chat_files(&self, directory: &Path) {
        let vocabulary = self.vocabulary.as_ref().unwrap();
        let write = |name: &str, content: serde_json::Value| {
            std::fs::write(directory.join(name), content.to_string()).unwrap();
        };
        write("tokenizer.json", vocabulary.tokenizer_json());
        let bos = (vocabulary.model == "llama").then_some("<bos>");
        let end = &vocabulary.tokens[vocabulary.end as usize].0;
        // One token bare, the other with what else there is to know of it.
        let end = serde_json::json!({ "content": end, "special": true });
        let said = serde_json::json!({
            "bos_token": bos, "eos_token": end, "chat_template": vocabulary.template,
        });
        write("tokenizer_config.json", said);
        let ends = serde_json::json!({ "eos_token_id": [vocabulary.end] });
        write("generation_config.json", ends);
    }

    pub fn file(&self, storage: Storage) -> GgufFile {
        GgufFile::from_bytes("model file `tiny`", self.writer(storage).to_bytes()).unwrap()
    }
}

impl Vocabulary {
    /// The same as the `tokenizers` library keeps it.
    fn tokenizer_json(&self) -> serde_json::Value {
        use serde_json::json;
        let tokens = self.tokens.iter().enumerate();
        let ids: serde_json::Map<_, _> = tokens
            .clone()
            .map(|(id, (token, _))| (token.clone(), json!(id)))
            .collect();
        let special = tokens.filter(|(_, (_, kind))| [CONTROL, UNKNOWN].contains(kind));
        let special: Vec<_> = special
            .map(|(id, (token, _))| {
                json!({
                    "id": id, "content": token, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true,
                })
            })
            .collect();
        let (normalizer, pre_tokenizer, decoder, post_processor, merges) = match self.model {
            "gpt2" => (
                json!(null),
                json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true }),
                json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true }),
                json!(null),
                json!(["r a"]),
            ),
            _ => (
                json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" }),
                json!(null),
                json!({ "type": "Sequence", "decoders": [
                    { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                    { "type": "ByteFallback" },
                    { "type": "Fuse" },
                ] }),
                json!({
                    "type": "TemplateProcessing",
                    "single": [
                        { "SpecialToken": { "id": "<bos>", "type_id": 0 } },
                        { "Sequence": { "id": "A", "type_id": 0 } },
                    ],
                    "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }],
                    "special_tokens": {
                        "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] },
                    },
                }),
                json!([]),
            ),
        };
        json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": special,
            "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer,
            "post_processor": post_processor,
            "decoder": decoder,
            "model": {
                "type": "BPE",
                "unk_token": (self.model == "llama").then_some("<unk>"),
                "byte_fallback": self.model == "llama",
                "vocab": ids,
                "merges": merges,
            },
        })
    }

    fn write(&self, writer: GgufWriter) -> GgufWriter {
        let (tokens, types): (Vec<&str>, Vec<i32>) = self
            .tokens
            .iter()
            .map(|(token, kind)| (token.as_str(), *kind))
            .unzip();
        let mut writer = writer
            .string("tokenizer.ggml.model", self.model)
            .strings("tokenizer.ggml.tokens", &tokens)
            .i32s("tokenizer.ggml.token_type", &types)
            .u32("tokenizer.ggml.eos_token_id", self.end);
        writer = match self.model {
            "gpt2" => writer
                .string("tokenizer.ggml.pre", "smollm")
                .strings("tokenizer.ggml.merges", &["r a"])
                .bool("tokenizer.ggml.add_bos_token", false),
            _ => writer
                .string("tokenizer.ggml.pre", "default")
                .f32s("tokenizer.ggml.scores", &vec![-10.0; tokens.len()])
                .u32("tokenizer.ggml.bos_token_id", 2)
                .u32("tokenizer.ggml.unknown_token_id", 3)
                .bool("tokenizer.ggml.add_bos_token", true)
                .bool("tokenizer.ggml.add_space_prefix", false),
        };
        match self.template {
            Some(template) => writer.string("tokenizer.chat_template", template),
            None => writer,
        }
    }
}

/// Every byte as GPT-2 writes it, one merge, and the marks of a chat.
fn byte_level() -> Vocabulary {
    let plain = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let other = (0..256u32).filter(|byte| !plain(byte));
    let mut characters: Vec<(u32, u32)> = (0..256).filter(plain).map(|byte| (byte, byte)).collect();
    characters.extend(other.zip(256..));
    characters.sort_unstable();
    let mut tokens: Vec<(String, i32)> = characters
        .into_iter()
        .map(|(_, shown)| (char::from_u32(shown).unwrap().to_string(), NORMAL))
        .collect();
    tokens.push(("ra".into(), NORMAL));
    tokens.extend(["<|im_start|>", "<|im_end|>"].map(|mark| (mark.to_owned(), CONTROL)));
    Vocabulary {
        model: "gpt2",
        end: tokens.len() as u32 - 1,
        tokens,
        template: Some(
            "{% for message in messages %}<|im_start|>{{ message['role'] }}\n\
             {{ message['content'] }}<|im_end|>\n{% endfor %}\
             {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ),
    }
}

/// Every byte as SentencePiece falls back on it, the letters, and no chat.
fn sentencepiece() -> Vocabulary {
    let marks = [
        ("<pad>", CONTROL),
        ("<eos>", CONTROL),
        ("<bos>", CONTROL),
        ("<unk>", UNKNOWN),
    ];
    let mut tokens: Vec<(String, i32)> = marks
        .into_iter()
        .map(|(mark, kind)| (mark.to_owned(), kind))
        .collect();
    tokens.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), BYTE)));
    tokens.extend(
        ('a'..='z')
            .chain(['▁'])
            .map(|letter| (letter.to_string(), NORMAL)),
    );
    Vocabulary {
        model: "llama",
        tokens,
        end: 1,
        template: None,
    }
}

/// GGUF keeps pairs that turn together side by side; Hugging Face half a head apart.
fn halves(values: &[f32], heads: usize) -> Vec<f32> {
    let width = values.len() / heads;
    // Rows of a head, and their length, follow from the width alone: all tiny heads have 16.
    let (rows, columns) = (16, width / 16);
    let place = |head: usize, row: usize| (head * rows + row) * columns;
    (0..heads)
        .flat_map(|head| (0..rows).map(move |row| (head, row)))
        .flat_map(|(head, row)| {
            let from = place(head, row % (rows / 2) * 2 + row / (rows / 2));
            values[from..from + columns].to_vec()
        })
        .collect()
}
