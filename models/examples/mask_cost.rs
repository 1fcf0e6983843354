//! What constraints cost: `cargo run --release --example mask_cost -- MODEL.gguf`
//!
//! Writes answers of a few forms over the model's vocabulary, each token chosen at random among
//! the allowed, and prints the time of each step: the mask far from the token limit, near it, and
//! going on with a token.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corbie_models::constraint::{Form, Grammars};
use corbie_models::gguf::GgufFile;
use corbie_models::tokenizer::Tokenizer;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

const ROUNDS: u64 = 40;
const TOKENS: usize = 120;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("name a GGUF file")?;
    let tokenizer = Tokenizer::from_gguf(&GgufFile::open(Path::new(&path))?)?;
    let start = Instant::now();
    let grammars = Grammars::new(Arc::new(tokenizer))?;
    report(&format!("vocabulary, read once: {:.0?}", start.elapsed()));
    let forms = [
        (
            "JSON of a tool call",
            Form::JsonSchema(json!({
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "days": {"type": "integer", "minimum": 1, "maximum": 14},
                    "unit": {"enum": ["celsius", "fahrenheit"]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["city", "unit"],
                "additionalProperties": false,
            })),
        ),
        (
            "any JSON object",
            Form::JsonSchema(json!({"type": "object"})),
        ),
        (
            "a date or a name",
            Form::Regex(r"\d{4}-\d{2}-\d{2}|[A-Z][a-z]+( [A-Z][a-z]+)*".into()),
        ),
        ("any text", Form::Regex("(?s:.*)".into())),
        (
            "a quotation",
            Form::Quote(vec!["Corbies cache food and remember where. ".repeat(50)]),
        ),
    ];
    for (name, form) in forms {
        let start = Instant::now();
        let constraint = grammars.compile(&form)?;
        let compiled = start.elapsed();
        let (mut far, mut near, mut going) = (Vec::new(), Vec::new(), Vec::new());
        for seed in 0..ROUNDS {
            let mut random = StdRng::seed_from_u64(seed);
            let mut constraint = constraint.clone();
            for written in 0..TOKENS {
                let start = Instant::now();
                let mask = constraint.mask()?;
                far.push(start.elapsed());
                // Every fourth answer is held to a limit.
                let mask = if seed % 4 == 0 {
                    let start = Instant::now();
                    let mask = constraint.mask_within(TOKENS - written)?;
                    near.push(start.elapsed());
                    mask
                } else {
                    mask
                };
                let allowed: Vec<u32> = mask.tokens().collect();
                let token = allowed[random.random_range(0..allowed.len())];
                let start = Instant::now();
                constraint.commit(token)?;
                going.push(start.elapsed());
                if constraint.has_ended() {
                    break;
                }
            }
        }
        report(&format!("{name}: compiled in {compiled:.1?}"));
        for (what, times) in [
            ("mask", far),
            ("mask within a limit", near),
            ("commit", going),
        ] {
            report(&format!("  {what}: {}", summary(times)));
        }
    }
    Ok(())
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    format!(
        "median {:.1?}, 99 of 100 under {:.1?}, longest {:.1?}, {} times",
        at(50),
        at(99),
        at(100),
        times.len()
    )
}

#[allow(clippy::print_stdout)]
fn report(line: &str) {
    println!("{line}");
}
