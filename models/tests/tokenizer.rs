//! Tokenizers against the ids that the models' own tokenizers give.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};

use corbie_core::TokenCounter;
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::tokenizer::{EncodeOptions, Tokenizer};
use proptest::prelude::*;

const PLAIN: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: false,
};
const PARSED: EncodeOptions = EncodeOptions {
    add_special: false,
    parse_special: true,
};

/// The evaluation data, or a visible line where it is absent.
fn data(folder: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("CORBIE_DATA") else {
        eprintln!("skipped: CORBIE_DATA is not set");
        return None;
    };
    Some(Path::new(&root).join(folder))
}

fn vocabularies(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "gguf"))
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_line_of_the_published_ids_matches() {
    let Some(folder) = data("tokenizers") else {
        return;
    };
    for path in vocabularies(&folder) {
        let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
        let beside = |extension: &str| {
            let mut name = path.clone().into_os_string();
            name.push(extension);
            std::fs::read_to_string(name).unwrap()
        };
        let (inputs, outputs) = (beside(".inp"), beside(".out"));
        let mark = "\n__ggml_vocab_test__\n";
        let inputs = inputs.strip_suffix(mark).unwrap_or(&inputs);
        let inputs: Vec<&str> = inputs.split(mark).collect();
        let outputs: Vec<&str> = outputs.lines().collect();
        assert_eq!(inputs.len(), outputs.len(), "{}", path.display());
        for (input, output) in inputs.iter().zip(outputs) {
            let expected: Vec<u32> = output
                .split_whitespace()
                .map(|id| id.parse().unwrap())
                .collect();
            let ids = tokenizer.encode(input, PLAIN).unwrap();
            assert_eq!(ids, expected, "{}: {input:?}", path.display());
        }
    }
}

#[test]
fn real_vocabularies_lose_nothing_and_take_long_texts() {
    let Some(folder) = data("tokenizers") else {
        return;
    };
    let long: Vec<String> = ["x", "ab", "乌鸦", " ", "\n", "🐦", "a b ", "1", "=-", "qzj"]
        .iter()
        .map(|part| part.repeat(200_000 / part.chars().count()))
        .collect();
    for path in vocabularies(&folder) {
        let tokenizer = Tokenizer::from_gguf(&GgufFile::open(&path).unwrap()).unwrap();
        let exact = !path.to_string_lossy().contains("bert");
        for text in &long {
            let start = std::time::Instant::now();
            let ids = tokenizer.encode(text, PLAIN).unwrap();
            // The promise is n log n; this is tenfold and more.
            assert!(start.elapsed().as_secs() < 20, "{}", path.display());
            if exact {
                assert_eq!(&tokenizer.decode(&ids, true), text, "{}", path.display());
            }
        }
        let mut runner = proptest::test_runner::TestRunner::default();
        runner
            .run(&any_text(), |text| {
                let ids = tokenizer.encode(&text, PLAIN).unwrap();
                let mut decoder = tokenizer.decoder();
                let mut streamed: String = ids.iter().map(|id| decoder.push(*id)).collect();
                streamed.push_str(&decoder.finish());
                if exact {
                    prop_assert_eq!(&tokenizer.decode(&ids, true), &text);
                    prop_assert_eq!(streamed.trim_start(), text.trim_start());
                    prop_assert!(streamed.len() <= text.len() + 1);
                }
                Ok(())
            })
            .unwrap();
    }
}

/// Text of many kinds. Sentencepiece reads its own mark for the space as a space.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\n\t]{0,60}",
        "[\u{4e00}-\u{9fff}，。 a-z0-9]{0,40}",
        "[\u{1f300}-\u{1faff}\u{200d}\u{fe0f} ]{0,20}",
        "[ \n\r\t\u{a0}\u{3000}x]{0,30}",
        "(<\\||\\|>|im_start|</?s>|<0x0A>|user| ){0,12}",
    ]
    .prop_map(|text: String| text.replace('▁', " "))
}

/// A small byte-level vocabulary: all bytes, a few merges, special tokens.
fn byte_level() -> GgufWriter {
    let mut tokens: Vec<String> = (0..=255u8)
        .map(|byte| match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte).to_string(),
            0..=0x20 => char::from_u32(0x100 + u32::from(byte)).unwrap().to_string(),
            0x7f..=0xa0 => char::from_u32(0x121 + u32::from(byte) - 0x7f)
                .unwrap()
                .to_string(),
            0xad => '\u{143}'.to_string(),
        })
        .collect();
    let merges = ["c a", "ca w", "Ġ caw", "r a", "ra ven"];
    tokens.extend(
        [
            "ca",
            "caw",
            "Ġcaw",
            "ra",
            "<|im_start|>",
            "<|im_end|>",
            "<tool>",
        ]
        .map(Into::into),
    );
    let mut kinds = vec![1; tokens.len()];
    let special = kinds.len() - 3;
    kinds[special..].copy_from_slice(&[3, 3, 4]);
    GgufWriter::new()
        .string("general.architecture", "llama")
        .u32("llama.context_length", 512)
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", "gpt-2")
        .strings("tokenizer.ggml.tokens", &tokens)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .strings("tokenizer.ggml.merges", &merges)
        .u32("tokenizer.ggml.bos_token_id", special as u32)
        .u32("tokenizer.ggml.eos_token_id", special as u32 + 1)
        .bool("tokenizer.ggml.add_bos_token", true)
}

fn built(writer: &GgufWriter) -> Tokenizer {
    Tokenizer::from_gguf(&GgufFile::from_bytes("test", writer.to_bytes()).unwrap()).unwrap()
}

#[test]
fn special_tokens_are_text_unless_asked_for() {
    let tokenizer = built(&byte_level());
    let (start, end) = (260, 261);
    let text = "<|im_start|> caw<|im_end|>";
    assert_eq!(tokenizer.encode(text, PARSED).unwrap(), [start, 258, end]);
    let plain = tokenizer.encode(text, PLAIN).unwrap();
    assert!(!plain.contains(&start) && !plain.contains(&end));
    assert_eq!(tokenizer.decode(&plain, true), text);
    let around = EncodeOptions {
        add_special: true,
        ..PLAIN
    };
    assert_eq!(tokenizer.encode(" caw", around).unwrap(), [start, 258]);
    assert_eq!(tokenizer.decode(&[start, 258, end], true), " caw");
    assert_eq!(tokenizer.decode(&[start, 258, end], false), text);
    // What the vocabulary's maker always takes whole is whole in plain text too.
    assert_eq!(tokenizer.encode("<tool>", PLAIN).unwrap(), [262]);

    assert_eq!(tokenizer.bos(), Some(start));
    assert_eq!(tokenizer.eos_ids(), [end]);
    assert!(tokenizer.adds_bos());
    assert_eq!(
        tokenizer.special_tokens().collect::<Vec<_>>(),
        [("<|im_start|>", start), ("<|im_end|>", end)]
    );
    assert_eq!(tokenizer.special_token("<|im_end|>"), Some(end));
    assert_eq!(tokenizer.vocab_size(), 263);
    assert_eq!(tokenizer.token_bytes(258), b" caw");
    assert_eq!(tokenizer.token_bytes(u32::MAX), b"");
    assert_eq!((tokenizer.count(" caw"), tokenizer.limit()), (1, 512));
    assert_eq!(tokenizer.with_limit(7).limit(), 7);
}

#[test]
fn steps_of_merging_without_a_token_fall_apart_into_bytes() {
    let tokenizer = built(&byte_level());
    // "raven" is no token, and neither is "ven": the merge is never reached.
    let ids = tokenizer.encode("raven", PLAIN).unwrap();
    assert_eq!(ids, [259, 118, 101, 110]);
}

#[test]
fn streams_give_whole_characters_only() {
    let tokenizer = built(&byte_level());
    let ids = tokenizer.encode("a乌🐦", PLAIN).unwrap();
    assert_eq!(ids.len(), 8);
    let mut decoder = tokenizer.decoder();
    let pushed: Vec<String> = ids.iter().map(|id| decoder.push(*id)).collect();
    assert_eq!(pushed, ["a", "", "", "乌", "", "", "", "🐦"]);
    assert_eq!(decoder.finish(), "");

    let mut decoder = tokenizer.decoder();
    let cut: String = ids[..6].iter().map(|id| decoder.push(*id)).collect();
    assert_eq!(
        (cut.as_str(), decoder.finish().as_str()),
        ("a乌", "\u{fffd}")
    );
    let mut decoder = tokenizer.decoder();
    assert_eq!(decoder.push(0xff), "\u{fffd}");
    assert_eq!(decoder.push(0xe4), "");
    assert_eq!(decoder.push(u32::from(b'x')), "\u{fffd}x");
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    let file = |writer: GgufWriter| GgufFile::from_bytes("test", writer.to_bytes()).unwrap();
    for (writer, part) in [
        (byte_level_with_pre("klingon"), "klingon"),
        (
            GgufWriter::new().string("tokenizer.ggml.model", "rwkv"),
            "rwkv",
        ),
        (GgufWriter::new(), "tokenizer.ggml.model"),
        (
            GgufWriter::new().string("tokenizer.ggml.model", "gpt2"),
            "tokenizer.ggml.tokens",
        ),
        (
            GgufWriter::new()
                .string("tokenizer.ggml.model", "llama")
                .strings("tokenizer.ggml.tokens", &["a", "b"])
                .f32s("tokenizer.ggml.scores", &[0.0]),
            "scores",
        ),
        (
            GgufWriter::new()
                .string("tokenizer.ggml.model", "gpt2")
                .strings("tokenizer.ggml.tokens", &["a"])
                .strings("tokenizer.ggml.merges", &["ab"]),
            "merge 0",
        ),
    ] {
        let error = Tokenizer::from_gguf(&file(writer)).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

fn byte_level_with_pre(pre: &str) -> GgufWriter {
    GgufWriter::new()
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
}

/// A small sentencepiece vocabulary with all bytes.
fn sentence_piece(space_prefix: bool) -> GgufWriter {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab", "abab"]
        .map(String::from)
        .to_vec();
    let mut scores = vec![0.0, 0.0, 0.0, -5.0, -6.0, -7.0, -1.0, -2.0, -3.0];
    let mut kinds = vec![2, 3, 3, 1, 1, 1, 1, 1, 1];
    tokens.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>")));
    scores.extend([0.0; 256]);
    kinds.extend([6; 256]);
    GgufWriter::new()
        .string("general.architecture", "llama")
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &tokens)
        .f32s("tokenizer.ggml.scores", &scores)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
        .bool("tokenizer.ggml.add_space_prefix", space_prefix)
}

#[test]
fn sentence_piece_merges_by_score_and_falls_back_to_bytes() {
    let tokenizer = built(&sentence_piece(true));
    for (text, expected) in [
        ("ab", &[7][..]),
        ("abab", &[7, 6]),
        (" ab", &[3, 7]),
        ("ba", &[3, 5, 4]),
        ("é", &[3, 9 + 0xc3, 9 + 0xa9]),
        ("<s>", &[3, 9 + 0x3c, 9 + 0x73, 9 + 0x3e]),
        ("", &[]),
    ] {
        assert_eq!(tokenizer.encode(text, PLAIN).unwrap(), expected, "{text:?}");
        assert_eq!(tokenizer.decode(expected, true), text);
    }
    assert_eq!(tokenizer.encode("<s>ab", PARSED).unwrap(), [1, 7]);
    let bare = built(&sentence_piece(false));
    assert_eq!(bare.encode("abab", PLAIN).unwrap(), [8]);
    assert_eq!(bare.encode(" ab", PLAIN).unwrap(), [7]);
    assert_eq!(bare.decode(&[7], true), " ab");
}

#[test]
fn special_tokens_do_not_grow_out_of_merges() {
    let writer = GgufWriter::new()
        .string("tokenizer.ggml.model", "llama")
        .strings(
            "tokenizer.ggml.tokens",
            &["<", "/s>", "</s>", "/", "s", ">", "s>", "▁"],
        )
        .f32s(
            "tokenizer.ggml.scores",
            &[-1.0, -1.0, 0.0, -1.0, -1.0, -1.0, -1.0, -1.0],
        )
        .i32s("tokenizer.ggml.token_type", &[1, 1, 3, 1, 1, 1, 1, 1])
        .bool("tokenizer.ggml.add_space_prefix", false);
    assert_eq!(built(&writer).encode("</s>", PLAIN).unwrap(), [0, 1]);
}

#[test]
fn word_piece_takes_the_longest_pieces() {
    let writer = GgufWriter::new()
        .string("tokenizer.ggml.model", "bert")
        .strings(
            "tokenizer.ggml.tokens",
            &[
                "[UNK]", "[CLS]", "[SEP]", "▁crow", "▁c", "row", "s", "▁.", "▁乌", "▁cafe",
            ],
        )
        .i32s("tokenizer.ggml.token_type", &[3, 3, 3, 1, 1, 1, 1, 1, 1, 1]);
    let tokenizer = built(&writer);
    let around = EncodeOptions {
        add_special: true,
        ..PLAIN
    };
    for (text, expected) in [
        ("Crows.", &[1, 3, 6, 7, 2][..]),
        ("crow 乌乌", &[1, 3, 8, 8, 2]),
        ("Café", &[1, 9, 2]),
        ("crowx c", &[1, 0, 4, 2]),
        ("", &[1, 2]),
    ] {
        assert_eq!(
            tokenizer.encode(text, around).unwrap(),
            expected,
            "{text:?}"
        );
    }
    assert_eq!(tokenizer.decode(&[1, 3, 6, 7, 2], true), "crows .");
}

proptest! {
    #[test]
    fn small_vocabularies_lose_nothing(text in any_text()) {
        for writer in [byte_level(), sentence_piece(true), sentence_piece(false)] {
            let tokenizer = built(&writer);
            let ids = tokenizer.encode(&text, PLAIN).unwrap();
            prop_assert_eq!(&tokenizer.decode(&ids, true), &text);
        }
    }
}
