//! What is meant to exhaust time or memory ends in a typed error, or is compiled in time.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use corbie_core::ErrorKind;
use corbie_models::constraint::Form;
use serde_json::{Value, json};

use crate::kit;

/// Counts what is in use, and the most of it.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller keeps this trait's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps this trait's contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The promise is a second and 256 MiB; other tests run beside this one, so the deadline has
/// tenfold slack.
const DEADLINE: Duration = Duration::from_secs(10);
const MEMORY: usize = 256 << 20;

fn nested(depth: usize, wrap: impl Fn(Value) -> Value) -> Value {
    (0..depth).fold(json!({"type": "string"}), |inner, _| wrap(inner))
}

fn forms() -> Vec<(&'static str, Form)> {
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
    ]
}

#[test]
fn hostile_forms_end_in_time() {
    let (_, grammars) = kit::grammars(1);
    for (name, form) in forms() {
        MOST.store(IN_USE.load(Ordering::Relaxed), Ordering::Relaxed);
        let before = IN_USE.load(Ordering::Relaxed);
        let start = Instant::now();
        let outcome = grammars.compile(&form).and_then(|mut constraint| {
            constraint.check_budget(200)?;
            for left in (0..200).rev().take(20) {
                let mask = constraint.mask_within(left + 1)?;
                let Some(token) = mask.tokens().find(|token| *token > 2) else {
                    break;
                };
                constraint.commit(token)?;
            }
            Ok(())
        });
        let (took, memory) = (
            start.elapsed(),
            MOST.load(Ordering::Relaxed).saturating_sub(before),
        );
        let said = outcome
            .as_ref()
            .map_or_else(ToString::to_string, |()| "compiled".to_owned());
        println!("{name}: {took:?}, {} MiB: {said}", memory >> 20);
        assert!(took < DEADLINE, "{name} took {took:?}");
        assert!(memory < MEMORY, "{name} took {memory} bytes");
        if let Err(error) = outcome {
            assert_ne!(*error.kind(), ErrorKind::Internal, "{name}: {error}");
        }
    }
}
