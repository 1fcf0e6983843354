//! `tokenizer.json` of any bytes: refused, or a tokenizer that encodes.

use std::sync::Once;

use corbie_models::tokenizer::{EncodeOptions, Tokenizer};

pub fn run(bytes: &[u8]) {
    // Panics of the library are caught: only those that come through are findings.
    static QUIET: Once = Once::new();
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("tokenizer.json");
    std::fs::write(&path, bytes).expect("a file can be written");
    let Ok(tokenizer) = Tokenizer::from_file(&path) else {
        return;
    };
    for options in [
        EncodeOptions::default(),
        EncodeOptions {
            parse_special: true,
            add_special: true,
        },
    ] {
        if let Ok(ids) = tokenizer.encode("Ravens <s> 渡鸦ab\n\u{0}", options) {
            let _ = tokenizer.decode(&ids, true);
        }
    }
    let _ = tokenizer.decode(&[0, u32::MAX, 3], false);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let whole = |model: &str, before: &str, decoder: &str, normalizer: &str, post: &str| {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{{"id":3,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}],"normalizer":{normalizer},"pre_tokenizer":{before},"post_processor":{post},"decoder":{decoder},"model":{model}}}"#
        )
        .into_bytes()
    };
    let bytes =
        r#"{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}"#;
    vec![
        whole(
            r#"{"type":"BPE","dropout":null,"unk_token":"a","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":true,"ignore_merges":false,"vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}"#,
            bytes,
            bytes,
            "null",
            "null",
        ),
        whole(
            r#"{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"\u0023\u0023","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"a":1,"\u0023\u0023b":2}}"#,
            r#"{"type":"BertPreTokenizer"}"#,
            r#"{"type":"WordPiece","prefix":"\u0023\u0023","cleanup":true}"#,
            r#"{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}"#,
            r#"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[3],"tokens":["<s>"]}}}"#,
        ),
        whole(
            r#"{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0.0],["▁a",-1.5],["b",-2.0]]}"#,
            r#"{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#,
            r#"{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}"#,
            r#"{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"Regex":" +"},"content":"▁"},{"type":"NFKC"}]}"#,
            "null",
        ),
        whole(
            r#"{"type":"WordLevel","vocab":{"a":0,"b":1,"<unk>":2},"unk_token":"<unk>"}"#,
            r#"{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\s+"},"behavior":"Removed","invert":false},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"}]}"#,
            "null",
            r#"{"type":"Lowercase"}"#,
            "null",
        ),
    ]
}

pub const WORDS: &[&str] = &[
    "\"type\":\"",
    "BPE",
    "Unigram",
    "WordPiece",
    "WordLevel",
    "Metaspace",
    "ByteLevel",
    "Replace",
    "Precompiled",
    "Strip",
    "StripAccents",
    "NFC",
    "Sequence",
    "FixedLength",
    "UnicodeScripts",
    "CharDelimiterSplit",
    "null",
    "true",
    "4294967295",
    "16777216",
    "-1",
    "1e308",
    "\"\"",
    "(a|aa)+$",
    "(.*)*",
    "\\\\p{L}",
    "渡",
    "\"ignore_merges\":true",
    "\"dropout\":0.5",
    "CTC",
    "BPEDecoder",
    "RobertaProcessing",
    "BertProcessing",
];
