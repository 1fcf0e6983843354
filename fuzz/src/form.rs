//! Forms of any text: refused, or compiled and written in; what is written satisfies them as far
//! as the mask goes.

use std::sync::{Arc, OnceLock};

use corbie_core::ErrorKind;
use corbie_models::constraint::{Form, Grammars};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::tokenizer::Tokenizer;

fn grammars() -> &'static Grammars {
    static GRAMMARS: OnceLock<Grammars> = OnceLock::new();
    GRAMMARS.get_or_init(|| {
        let mut names: Vec<String> = vec!["<unk>".into(), "<end>".into()];
        names.extend((0..=255_u8).map(|byte| format!("<0x{byte:02X}>")));
        names.extend((0x21..0x7f_u8).map(|byte| char::from(byte).to_string()));
        names.extend(["{\"", "\":", "\"}", "true", "10", "the", "渡", "aa", "▁"].map(String::from));
        let kinds = [2, 3].into_iter().chain([6; 256]).chain([1; 200]);
        let kinds: Vec<i32> = kinds.take(names.len()).collect();
        let bytes = GgufWriter::new()
            .string("general.architecture", "llama")
            .string("tokenizer.ggml.model", "llama")
            .strings("tokenizer.ggml.tokens", &names)
            .f32s("tokenizer.ggml.scores", &vec![0.0; names.len()])
            .i32s("tokenizer.ggml.token_type", &kinds)
            .u32("tokenizer.ggml.unknown_token_id", 0)
            .u32("tokenizer.ggml.eos_token_id", 1)
            .bool("tokenizer.ggml.add_space_prefix", false)
            .to_bytes();
        let file = GgufFile::from_bytes("fuzz", bytes).expect("it is a file");
        let tokenizer = Tokenizer::from_gguf(&file).expect("it is a vocabulary");
        Grammars::new(Arc::new(tokenizer)).expect("it is small")
    })
}

pub fn run(bytes: &[u8]) {
    let (about, choices) = crate::halves(bytes);
    let Some((kind, text)) = about.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let texts = || text.split('|').map(str::to_owned).collect();
    let form = match kind % 5 {
        0 => match serde_json::from_str(text) {
            Ok(schema) => Form::JsonSchema(schema),
            Err(_) => return,
        },
        1 => Form::Regex(text.to_owned()),
        2 => Form::Lark(text.to_owned()),
        3 => Form::Choice(texts()),
        _ => Form::Quote(texts()),
    };
    let mut constraint = match grammars().compile(&form) {
        Ok(constraint) => constraint,
        Err(error) => {
            assert_ne!(*error.kind(), ErrorKind::Internal, "{error}");
            return;
        }
    };
    if constraint.check_budget(100).is_err() {
        return;
    }
    for (written, choice) in choices.iter().take(40).enumerate() {
        let Ok(mask) = constraint.mask_within(100 - written) else {
            return;
        };
        let allowed: Vec<u32> = mask.tokens().collect();
        assert!(!allowed.is_empty());
        let token = allowed[usize::from(*choice) * 7 % allowed.len()];
        let mut fork = constraint.clone();
        match constraint.commit(token) {
            Ok(()) => assert!(fork.commit(token).is_ok()),
            // Only what is too complicated to go on with may fail behind its own mask.
            Err(error) => {
                assert_eq!(*error.kind(), ErrorKind::LimitExceeded, "{error}");
                return;
            }
        }
        if constraint.has_ended() {
            return;
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let forms: [(u8, &str); 12] = [
        (
            0,
            r#"{"type":"object","properties":{"a":{"type":"string","minLength":2},"b":{"type":"integer","minimum":3}},"required":["a"],"additionalProperties":false}"#,
        ),
        (
            0,
            r##"{"$defs":{"t":{"anyOf":[{"type":"null"},{"type":"array","items":{"$ref":"#/$defs/t"},"maxItems":3,"uniqueItems":true}]}},"$ref":"#/$defs/t"}"##,
        ),
        (
            0,
            r#"{"oneOf":[{"const":"x"},{"enum":[1,2.5,"渡"]},{"type":"string","pattern":"^[a-c]{2,4}$"}],"not":{"const":1}}"#,
        ),
        (
            0,
            r#"{"type":"object","patternProperties":{"^x":{"type":"boolean"}},"minProperties":1,"maxProperties":3,"propertyNames":{"maxLength":4},"dependentRequired":{"x":["y"]}}"#,
        ),
        (
            0,
            r#"{"type":"array","prefixItems":[{"type":"number","multipleOf":0.5}],"contains":{"const":7},"minContains":1,"unevaluatedItems":false}"#,
        ),
        (0, r#"{"type":"string","format":"date-time"}"#),
        (1, r"[a-z]{1,5}(-\d{2,3})*|渡鸦?"),
        (1, r"(\p{Lu}\p{Ll}+ ?){1,3}[^\x00-\x1f]?"),
        (
            2,
            "start: item (\",\" item)*\nitem: WORD | NUMBER | \"[\" start \"]\"\nWORD: /[a-z]+/\nNUMBER: /[0-9]{1,3}/\n",
        ),
        (
            2,
            "start: T & ~/x.*/\nT: \"a\"i | \"b\"{2,3}\n%ignore / /\n",
        ),
        (3, "yes|no|渡鸦|maybe"),
        (4, "Ravens cache their food.|渡鸦藏食物。"),
    ];
    forms
        .map(|(kind, text)| {
            let about = [&[kind], text.as_bytes()].concat();
            crate::joined(&about, &[7, 1, 99, 200, 13, 0, 0, 255, 31, 64, 5, 5])
        })
        .to_vec()
}

pub const WORDS: &[&str] = &[
    "{1,1000}",
    "{0,99}",
    "{1000000}",
    "(",
    ")",
    "*",
    "+",
    "?",
    "|",
    "&",
    "~",
    "[^a]",
    r"\p{L}",
    r"\w",
    r"\b",
    "^",
    "$",
    ".",
    "(?s:",
    "start: ",
    "\n",
    "%json {}",
    "%regex ",
    "%ignore ",
    "\"a\"",
    "/a/",
    "\"type\":\"object\"",
    "\"anyOf\":[",
    "\"allOf\":[",
    "\"not\":",
    "\"$ref\":\"#\"",
    "\"items\":",
    "\"minItems\":9999",
    "\"maxLength\":99999",
    "\"pattern\":\"",
    "\"uniqueItems\":true",
    "\"contains\":",
    "\"if\":",
    "\"then\":",
    "\"else\":",
    "\"format\":\"email\"",
    "true",
    "false",
    "null",
    "1e308",
    "-0.0",
    "渡",
    "\"unevaluatedProperties\":false",
    "\"minProperties\":3",
    "\"multipleOf\":0.01",
    "\"const\":",
    "\"enum\":[",
];
