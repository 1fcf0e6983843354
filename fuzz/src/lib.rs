//! What is fuzzed: each target reads bytes of any kind and must neither panic nor run away. Two
//! front ends feed them: libFuzzer (`fuzz_targets`), and a plain loop of mutations (`mutate`).

pub mod adapter;
pub mod directory;
pub mod form;
pub mod gguf;
pub mod reply;
pub mod template;
pub mod tokenizer_json;

/// Something that is fuzzed.
pub struct Target {
    pub name: &'static str,
    /// Reads any bytes.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of its inputs.
    pub words: &'static [&'static str],
}

pub const TARGETS: [Target; 7] = [
    Target {
        name: "gguf",
        run: gguf::run,
        seeds: gguf::seeds,
        words: gguf::WORDS,
    },
    Target {
        name: "template",
        run: template::run,
        seeds: template::seeds,
        words: template::WORDS,
    },
    Target {
        name: "form",
        run: form::run,
        seeds: form::seeds,
        words: form::WORDS,
    },
    Target {
        name: "tokenizer_json",
        run: tokenizer_json::run,
        seeds: tokenizer_json::seeds,
        words: tokenizer_json::WORDS,
    },
    Target {
        name: "reply",
        run: reply::run,
        seeds: reply::seeds,
        words: reply::WORDS,
    },
    Target {
        name: "directory",
        run: directory::run,
        seeds: directory::seeds,
        words: directory::WORDS,
    },
    Target {
        name: "adapter",
        run: adapter::run,
        seeds: adapter::seeds,
        words: adapter::WORDS,
    },
];

/// The model that files are made of: a few thousand weights.
pub fn tiny() -> corbie_models::testing::RandomModel {
    corbie_models::testing::RandomModel {
        vocabulary: 40,
        layers: 1,
        hidden: 16,
        feed_forward: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        context_length: 64,
        ..corbie_models::testing::RandomModel::new("llama").expect("there is such a row")
    }
}

/// Two parts of an input: its first two bytes say where the second begins.
pub fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.split_first_chunk() {
        Some((length, rest)) => rest.split_at(rest.len().min(u16::from_le_bytes(*length).into())),
        None => (&[], &[]),
    }
}

/// An input of two parts.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u16::try_from(first.len()).unwrap_or(u16::MAX);
    [&length.to_le_bytes(), first, second].concat()
}

/// Writes the seeds of a target into the folder that `CORBIE_FUZZ_SEEDS` names, if it names one.
pub fn write_seeds(name: &str) {
    let Some(folder) = std::env::var_os("CORBIE_FUZZ_SEEDS") else {
        return;
    };
    let folder = std::path::PathBuf::from(folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let target = TARGETS.iter().find(|target| target.name == name);
    for (index, seed) in target.iter().flat_map(|it| (it.seeds)()).enumerate() {
        let path = folder.join(format!("seed-{index}"));
        std::fs::write(path, seed).expect("a seed can be written");
    }
}
