//! A random vocabulary, and a writer that chooses at random among the allowed tokens.

use std::sync::Arc;

use corbie_core::Result;
use corbie_models::constraint::{Constraint, Grammars};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::tokenizer::Tokenizer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Pieces that real vocabularies have, in JSON and in prose.
const PIECES: [&str; 60] = [
    "\"",
    "{\"",
    "\":",
    "\",",
    "\"}",
    "\"]",
    "\"}]",
    "\"},",
    ",\"",
    "},{",
    "[{",
    "[]",
    "{}",
    "],",
    "▁\"",
    "▁{",
    "▁[",
    "\":▁",
    "\":▁\"",
    ",▁",
    ",▁\"",
    "true",
    "false",
    "null",
    "▁true",
    "tr",
    "ue",
    "nu",
    "ll",
    "10",
    "00",
    "123",
    "0.",
    "-1",
    ".5",
    "e1",
    "the",
    "▁the",
    "ing",
    "foo",
    "bar",
    "baz",
    "name",
    "value",
    "▁of",
    "渡",
    "渡鸦",
    "北京",
    "天气",
    "▁北",
    "。",
    "ä",
    "é",
    "\\",
    "\\\"",
    "\\n",
    "▁▁",
    "▁▁▁▁",
    "ab",
    "aaa",
];

/// A tokenizer with an end, a marker of chats, all bytes, [`PIECES`], and random pairs of letters.
pub fn tokenizer(seed: u64) -> Arc<Tokenizer> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut names: Vec<String> = vec!["<unk>".into(), "<end>".into(), "<|im_start|>".into()];
    let mut kinds = vec![2, 3, 3];
    for byte in 0..=255_u8 {
        names.push(format!("<0x{byte:02X}>"));
        kinds.push(6);
    }
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
            kinds.push(1);
        }
    };
    for byte in 0x21..0x7f_u8 {
        add(char::from(byte).to_string());
    }
    add("▁".to_owned());
    PIECES.iter().for_each(|piece| add((*piece).to_owned()));
    for _ in 0..200 {
        let letter = |random: &mut StdRng| char::from(random.random_range(b'a'..=b'z'));
        let length = random.random_range(2..=4);
        add((0..length).map(|_| letter(&mut random)).collect());
    }
    let scores: Vec<f32> = (0..names.len()).map(|index| -(index as f32)).collect();
    let bytes = GgufWriter::new()
        .string("general.architecture", "llama")
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &names)
        .f32s("tokenizer.ggml.scores", &scores)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.unknown_token_id", 0)
        .u32("tokenizer.ggml.eos_token_id", 1)
        .bool("tokenizer.ggml.add_space_prefix", seed.is_multiple_of(2))
        .to_bytes();
    let file = GgufFile::from_bytes("random", bytes).unwrap();
    Arc::new(Tokenizer::from_gguf(&file).unwrap())
}

/// The tokenizer of the model file that `CORBIE_SMOLLM2` names.
pub fn real_tokenizer() -> Option<Arc<Tokenizer>> {
    let Some(path) = std::env::var_os("CORBIE_SMOLLM2") else {
        eprintln!("skipped: CORBIE_SMOLLM2 is not set");
        return None;
    };
    let file = GgufFile::open(path.as_ref()).unwrap();
    Some(Arc::new(Tokenizer::from_gguf(&file).unwrap()))
}

pub fn grammars(seed: u64) -> (Arc<Tokenizer>, Grammars) {
    let tokenizer = tokenizer(seed);
    let grammars = Grammars::new(tokenizer.clone()).unwrap();
    (tokenizer, grammars)
}

/// The text of tokens in the middle of a text.
pub fn text(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    let bytes = tokens
        .iter()
        .flat_map(|token| tokenizer.token_bytes(*token).to_vec());
    String::from_utf8(bytes.collect()).unwrap()
}

/// Writes an answer of at most `budget` tokens, each chosen at random among the allowed.
pub fn write(constraint: &mut Constraint, budget: usize, random: &mut StdRng) -> Result<Vec<u32>> {
    let mut tokens = Vec::new();
    // Some answers like to end, others to go on.
    let short = random.random_bool(0.5);
    loop {
        if constraint.is_complete() && (constraint.must_end() || (short && random.random_bool(0.3)))
        {
            return Ok(tokens);
        }
        let mask = constraint.mask_within(budget - tokens.len())?;
        let allowed: Vec<u32> = mask.tokens().collect();
        assert!(!allowed.is_empty());
        let token = allowed[random.random_range(0..allowed.len())];
        constraint.commit(token)?;
        if constraint.has_ended() {
            return Ok(tokens);
        }
        tokens.push(token);
        assert!(tokens.len() <= budget);
    }
}
