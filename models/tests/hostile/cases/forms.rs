//! Schemas, expressions and grammars that are meant to exhaust time or memory.

use std::sync::{Arc, OnceLock};

use corbie_core::Result;
use corbie_models::constraint::{Form, Grammars};
use corbie_models::gguf::{GgufFile, GgufWriter};
use corbie_models::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::Case;

/// How many tokens are written in each form.
const TOKENS: usize = 50;

/// Grammars over a vocabulary of all bytes, letters and a few words.
pub fn grammars() -> &'static Grammars {
    static GRAMMARS: OnceLock<Grammars> = OnceLock::new();
    GRAMMARS.get_or_init(|| {
        let mut names: Vec<String> = vec!["<unk>".into(), "<end>".into()];
        names.extend((0..=255_u8).map(|byte| format!("<0x{byte:02X}>")));
        let pieces = [
            "\"", "{\"", "\":", "\",", "\"}", "true", "10", "the", "渡", "渡鸦", "aa", "aaaa",
            "ab", "xx",
        ];
        names.extend((0x21..0x7f_u8).map(|byte| char::from(byte).to_string()));
        names.extend(pieces[1..].iter().map(|piece| (*piece).to_owned()));
        names.push("▁".to_owned());
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
        let file = GgufFile::from_bytes("hostile", bytes).expect("it is a file");
        let tokenizer = Tokenizer::from_gguf(&file).expect("it is a vocabulary");
        Grammars::new(Arc::new(tokenizer)).expect("it is small")
    })
}

/// Compiles a form and writes in it, at each step the allowed token that `choose` says.
pub fn attempt(
    form: &Form,
    step: &mut dyn FnMut(),
    mut choose: impl FnMut(usize) -> usize,
) -> Result<()> {
    let mut constraint = grammars().compile(form)?;
    step();
    constraint.check_budget(4 * TOKENS)?;
    step();
    for written in 0..TOKENS {
        let mask = constraint.mask_within(4 * TOKENS - written)?;
        let allowed: Vec<u32> = mask.tokens().filter(|token| *token > 1).collect();
        step();
        let Some(token) = allowed.get(choose(allowed.len().max(1)) % allowed.len().max(1)) else {
            break;
        };
        constraint.commit(*token)?;
        step();
    }
    Ok(())
}

pub fn cases() -> Vec<Case> {
    grammars();
    let with = |name: String, form: Form, first: bool| {
        Case::new(name, move |step| {
            let mut seed = 1_usize;
            attempt(&form, step, |count| {
                // Always the first, or one at random.
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if first { 0 } else { (seed >> 33) % count }
            })
        })
    };
    let all = forms().into_iter().flat_map(|(name, form)| {
        [
            with(name.to_owned(), form.clone(), true),
            with(format!("{name}, at random"), form, false),
        ]
    });
    all.collect()
}

fn nested(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(json!({"type": "string"}), |inner, _| wrap(inner))
}
pub fn forms() -> Vec<(&'static str, Form)> {
    let schema = |value: Value| Form::JsonSchema(value);
    let both = |inner: Value| json!({"anyOf": [inner.clone(), inner]});
    let names = |count: usize| -> Value {
        (0..count)
            .map(|n| (format!("p{n}"), json!({"type": "string"})))
            .collect()
    };
    vec![
        ("a million nested anyOf", schema(nested(20, both))),
        (
            "deep items",
            schema(nested(1_000, |inner| json!({"items": inner}))),
        ),
        (
            "deep not",
            schema(nested(99, |inner| json!({"not": inner}))),
        ),
        (
            "many members",
            schema(json!({"type": "object", "properties": names(3_000)})),
        ),
        (
            "many members of many kinds",
            schema(json!({
                "type": "object",
                "properties": names(500),
                "minProperties": 40,
                "maxProperties": 60,
            })),
        ),
        (
            "many dependencies",
            schema(json!({
                "dependentRequired": (0..30).map(|n| (format!("a{n}"), json!([format!("b{n}")]))).collect::<Value>(),
            })),
        ),
        (
            "many oneOf",
            schema(json!({
                "oneOf": (0..60).map(|n| json!({"properties": {format!("a{n}"): {"const": n}}})).collect::<Value>(),
            })),
        ),
        (
            "references in a ring",
            schema(json!({
                "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}},
                "$ref": "#/$defs/a",
            })),
        ),
        (
            "doubling references",
            schema(json!({
                "$defs": (0..40).map(|n| {
                    let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
                    (format!("d{n}"), json!({"type": "array", "prefixItems": [next, next], "minItems": 2}))
                }).chain([("d40".to_owned(), json!({"type": "null"}))]).collect::<Value>(),
                "$ref": "#/$defs/d0",
            })),
        ),
        (
            "a large enum",
            schema(json!({"enum": (0..50_000).collect::<Vec<_>>()})),
        ),
        (
            "a long string",
            schema(json!({"type": "string", "minLength": 90_000})),
        ),
        (
            "a huge length",
            schema(json!({"type": "string", "maxLength": 4_000_000_000_u64})),
        ),
        (
            "a huge array",
            schema(json!({"type": "array", "minItems": 1_000_000_000})),
        ),
        (
            "a catastrophic pattern",
            schema(json!({"type": "string", "pattern": "^(a+)+(b+)+(a|aa)+$", "minLength": 50})),
        ),
        (
            "repeated repetition",
            schema(json!({"type": "string", "pattern": "^(((a{0,99}){0,99}){0,99}){0,99}$"})),
        ),
        (
            "patterns that meet",
            schema(json!({
                "allOf": (1..30).map(|n| json!({"pattern": format!("^(.{{{n}}})*$")})).collect::<Value>(),
                "type": "string",
            })),
        ),
        (
            "four patterns that meet",
            schema(json!({
                "allOf": vec![7, 11, 13, 17].into_iter().map(|n| json!({"pattern": format!("^(.{{{n}}})+$")})).collect::<Value>(),
                "type": "string",
            })),
        ),
        ("a far back place", Form::Regex("(a|b)*a(a|b){18}".into())),
        (
            "nested repetition",
            Form::Regex("((((x{0,99}){0,99}){0,99}){0,99}){0,99}".into()),
        ),
        (
            "a large class, often",
            Form::Regex(r"(\p{L}|\p{N}){1000}".into()),
        ),
        ("a long expression", Form::Regex("(ab|cd)".repeat(9_000))),
        (
            "deep groups",
            Form::Regex(format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000))),
        ),
        (
            "a long chain of rules",
            Form::Lark(
                (0..4_000)
                    .map(|n| format!("r{n}: \"a\" r{}\n", n + 1))
                    .collect::<String>()
                    + "r4000: \"b\"\nstart: r0\n",
            ),
        ),
        (
            "an ambiguous grammar",
            Form::Lark("start: e\ne: e e e | e e | \"a\" | \"\"\n".into()),
        ),
        (
            "deep brackets",
            Form::Lark(format!(
                "start: {}\"a\"{}",
                "(".repeat(9_000),
                ")".repeat(9_000)
            )),
        ),
        (
            "a grammar that never ends",
            Form::Lark("start: \"a\" start\n".into()),
        ),
        (
            "a large repetition",
            Form::Lark("start: (\"a\" | \"b\" \"c\"){100000000}\n".into()),
        ),
        (
            "many choices",
            Form::Choice((0..20_000).map(|n| format!("{n:x}-{n}")).collect()),
        ),
        (
            "a long text",
            Form::Quote(vec!["ravens cache their food and ".repeat(5_000)]),
        ),
        (
            "too long a text",
            Form::Quote(vec!["raven ".repeat(100_000)]),
        ),
        (
            "a schema elsewhere",
            schema(json!({"$ref": "http://127.0.0.1:1/schema.json"})),
        ),
        (
            "a schema in a file",
            schema(json!({"$ref": "file:///etc/passwd"})),
        ),
        (
            "a schema that is its own part",
            schema(
                json!({"properties": {"a": {"$ref": "#"}}, "required": ["a"], "type": "object"}),
            ),
        ),
        ("a schema that is itself", schema(json!({"$ref": "#"}))),
        (
            "references in circles",
            schema(json!({
                "$defs": (0..200).map(|n| (format!("d{n}"), json!({"allOf": [
                    {"$ref": format!("#/$defs/d{}", (n + 1) % 200)},
                    {"$ref": format!("#/$defs/d{}", (n * 7 + 3) % 200)},
                ]}))).collect::<Value>(),
                "$ref": "#/$defs/d0",
            })),
        ),
        (
            "all against all",
            schema(
                json!({"allOf": (0..40).map(|n| json!({"anyOf": (0..40).map(|m| json!({"multipleOf": n * 40 + m + 1})).collect::<Value>()})).collect::<Value>()}),
            ),
        ),
        (
            "a long enum of texts",
            schema(
                json!({"enum": (0..40_000).map(|n| format!("{n:x}").repeat(20)).collect::<Vec<_>>()}),
            ),
        ),
        (
            "an exact length of 10^9",
            schema(
                json!({"type": "string", "minLength": 1_000_000_000, "maxLength": 1_000_000_000}),
            ),
        ),
        (
            "10^9 items of one kind",
            schema(
                json!({"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 1_000_000_000}),
            ),
        ),
        (
            "10^9 members",
            schema(json!({"type": "object", "minProperties": 1_000_000_000})),
        ),
        (
            "unique items, many",
            schema(
                json!({"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": true, "minItems": 40}),
            ),
        ),
        (
            "a number of 10^308 and more",
            schema(
                json!({"type": "number", "minimum": 1e308, "maximum": 1.1e308, "multipleOf": 1e-300}),
            ),
        ),
        (
            "many divisors",
            schema(
                json!({"type": "integer", "allOf": (2..40).map(|n| json!({"multipleOf": n})).collect::<Value>()}),
            ),
        ),
        (
            "a large divisor",
            schema(json!({"type": "integer", "multipleOf": 999_983})),
        ),
        (
            "many patterned members",
            schema(json!({
                "type": "object",
                "patternProperties": (0..60).map(|n| (format!("^(a|b)*a(a|b){{{n}}}$"), json!({"type": "integer"}))).collect::<Value>(),
                "minProperties": 3,
            })),
        ),
        (
            "a pattern of a million",
            schema(json!({"type": "string", "pattern": "^a{1000000}$"})),
        ),
        (
            "nested patterns",
            schema(json!({"type": "string", "pattern": "^((((a{1,9}){1,9}){1,9}){1,9}){1,9}$"})),
        ),
        (
            "a repetition of a million",
            Form::Regex("x{1000000}".into()),
        ),
        ("up to a million", Form::Regex("x{0,1000000}".into())),
        (
            "three repetitions",
            Form::Regex("((a{1,100}){1,100}){1,100}".into()),
        ),
        (
            "three of any character",
            Form::Regex("((.{1,100}){1,100}){1,100}".into()),
        ),
        ("two repetitions", Form::Regex("(a{1,999}){1,999}".into())),
        (
            "two optional repetitions",
            Form::Regex("(a{0,999}b?){0,999}".into()),
        ),
        ("stars in stars", Form::Regex("((((a*)*)*)*)*b".into())),
        (
            "stars of choices",
            Form::Regex("((a|a)|(a|a))*((a|aa)|(aaa|a))*c".into()),
        ),
        (
            "letters by letters",
            Form::Regex(r"(\p{L}\p{L}){200}[\p{L}&&\p{Greek}]+".into()),
        ),
        (
            "letters without letters",
            Form::Regex(r"([^\p{L}]|\p{Lu}|\p{Ll}|\p{Han}){500}".into()),
        ),
        (
            "far back places",
            Form::Regex("(a|b)*a(a|b){40}c(a|b)*b(a|b){40}".into()),
        ),
        (
            "every length",
            Form::Regex(
                (1..200)
                    .map(|n| format!("(.{{{n}}})*"))
                    .collect::<Vec<_>>()
                    .join("|"),
            ),
        ),
        (
            "left recursion",
            Form::Lark("start: start \"a\" | start start | \"\"\n".into()),
        ),
        (
            "recursion in circles",
            Form::Lark("start: a\na: b | \"x\"\nb: c | a\nc: a | b a\n".into()),
        ),
        (
            "a doubling grammar",
            Form::Lark(
                (0..40)
                    .map(|n| format!("r{n}: r{} r{}\n", n + 1, n + 1))
                    .collect::<String>()
                    + "r40: \"a\"\nstart: r0\n",
            ),
        ),
        (
            "a doubling grammar of nothing",
            Form::Lark(
                (0..40)
                    .map(|n| format!("r{n}: r{} r{}\n", n + 1, n + 1))
                    .collect::<String>()
                    + "r40: \"a\"?\nstart: r0\n",
            ),
        ),
        (
            "doubling terminals",
            Form::Lark(
                (0..40)
                    .map(|n| format!("T{n}: T{} T{}\n", n + 1, n + 1))
                    .collect::<String>()
                    + "T40: \"a\"\nstart: T0\n",
            ),
        ),
        (
            "terminals of repetitions",
            Form::Lark("start: C\nA: /x{0,99}/\nB: A{0,99}\nC: B{0,99}\n".into()),
        ),
        (
            "terminals of optional repetitions",
            Form::Lark(
                "start: C\nA: /(x|xx){0,99}/\nB: (A | \"y\"){0,99}\nC: (B | \"z\"){0,99}\n".into(),
            ),
        ),
        (
            "rules of repetitions",
            Form::Lark("start: c\na: \"x\"{0,99}\nb: a{0,99}\nc: b{0,99}\n".into()),
        ),
        (
            "ambiguous lists",
            Form::Lark(
                "start: a+\na: b* | b b\nb: \"x\"* | \"xx\"* | c\nc: \"x\" c \"x\" | \"x\"\n"
                    .into(),
            ),
        ),
        (
            "palindromes",
            Form::Lark(
                "start: \"a\" start \"a\" | \"b\" start \"b\" | \"a\" | \"b\" | \"\"\n".into(),
            ),
        ),
        (
            "a complement of a complement",
            Form::Lark("start: T\nT: ~(~(/(a|b)*a(a|b){16}/) & ~/(b|a)*b(a|b){16}/)\n".into()),
        ),
        (
            "everything but much",
            Form::Lark(format!(
                "start: T\nT: /(?s:.*)/{}\n",
                (1..60)
                    .map(|n| format!(" & ~/(?s:.*)a{{{n}}}b(?s:.*)/"))
                    .collect::<String>()
            )),
        ),
        (
            "a grammar of binary data",
            Form::Lark("start: \u{0}\u{1}\u{2}".into()),
        ),
        (
            "schemas in a grammar",
            Form::Lark(format!(
                "start: {}\n",
                (0..200)
                    .map(|_| "%json {\"type\": \"object\"} ")
                    .collect::<String>()
            )),
        ),
        (
            "one of 2,000 forms",
            Form::OneOf(
                (0..2_000)
                    .map(|n| Form::Regex(format!("(a|b){{{n}}}c")))
                    .collect(),
            ),
        ),
        (
            "a form in a form",
            (0..1_000).fold(Form::Literal("a".into()), |form, _| {
                Form::Sequence(vec![form])
            }),
        ),
        (
            "repeats of repeats",
            (0..4).fold(Form::Literal("a".into()), |form, _| Form::Repeat {
                form: Box::new(form),
                separator: String::new(),
                least: 0,
                most: Some(9_999),
            }),
        ),
    ]
}
