//! Every output satisfies its schema within its budget.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use corbie_models::constraint::{Form, Grammars};
use corbie_models::tokenizer::Tokenizer;
use jsonschema::{Draft, Validator};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

use crate::kit;

fn validator(schema: &Value, draft: Draft) -> Option<Validator> {
    let options = jsonschema::options()
        .with_draft(draft)
        .should_validate_formats(true);
    options.build(schema).ok()
}

/// What became of a schema.
enum Outcome {
    /// Refused, and why.
    Refused(String),
    /// So many outputs were written; the complaints about them.
    Written(usize, Vec<String>),
}

fn try_schema(
    grammars: &Grammars,
    tokenizer: &Tokenizer,
    schema: &Value,
    draft: Draft,
    rounds: u64,
) -> Outcome {
    let constraint = match grammars.compile(&Form::JsonSchema(schema.clone())) {
        Ok(constraint) => constraint,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let Some(needed) = constraint.clone().tokens_to_close(4_000) else {
        return Outcome::Refused("no way to an end was found".to_owned());
    };
    let validator = validator(schema, draft);
    let (mut count, mut complaints) = (0, Vec::new());
    for round in 0..rounds {
        let mut random = StdRng::seed_from_u64(round);
        let budget = needed + [0, 1, 7, 40, 150][round as usize % 5];
        let tokens = match kit::write(&mut constraint.clone(), budget, &mut random) {
            Ok(tokens) => tokens,
            Err(error) => {
                complaints.push(format!("budget {budget}: {error}"));
                continue;
            }
        };
        count += 1;
        let text = kit::text(tokenizer, &tokens);
        match serde_json::from_str::<Value>(&text) {
            Err(error) => complaints.push(format!("{text:?}: {error}")),
            Ok(value) => {
                if let Some(Err(error)) = validator.as_ref().map(|v| v.validate(&value)) {
                    complaints.push(format!("{text}: {error}"));
                }
            }
        }
    }
    Outcome::Written(count, complaints)
}

/// Schemas of many keywords, with the place and name of each that is refused.
#[test]
fn our_own_schemas_are_satisfied() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("schemas.json")).unwrap();
    let vocabularies = [kit::grammars(0), kit::grammars(1)];
    let mut complaints = Vec::new();
    for case in &cases {
        let schema = &case["schema"];
        let draft = match case["draft"].as_i64() {
            Some(7) => Draft::Draft7,
            _ => Draft::Draft202012,
        };
        for (tokenizer, grammars) in &vocabularies {
            match (
                try_schema(grammars, tokenizer, schema, draft, 10),
                case["refused"].as_str(),
            ) {
                (Outcome::Refused(why), Some(wanted)) if why.contains(wanted) => {}
                (Outcome::Refused(why), _) => complaints.push(format!("{schema}: refused: {why}")),
                (Outcome::Written(..), Some(_)) => {
                    complaints.push(format!("{schema}: was not refused"));
                }
                (Outcome::Written(_, more), None) => {
                    complaints.extend(more.iter().map(|why| format!("{schema}: {why}")));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.push(path);
        }
    }
    found.sort();
}

/// The JSON Schema test suite: at least 85 of 100 schemas that a finite value satisfies.
#[test]
fn the_test_suites_schemas_are_satisfied() {
    let Some(root) = std::env::var_os("CORBIE_DATA") else {
        eprintln!("skipped: CORBIE_DATA is not set");
        return;
    };
    let tests = Path::new(&root).join("jsonschema/JSON-Schema-Test-Suite/tests");
    let (tokenizer, grammars) = match kit::real_tokenizer() {
        Some(tokenizer) => (tokenizer.clone(), Grammars::new(tokenizer).unwrap()),
        None => kit::grammars(1),
    };
    let rounds = std::env::var("CORBIE_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(5);
    let mut complaints = Vec::new();
    let mut outputs = 0;
    for (folder, draft) in [
        ("draft7", Draft::Draft7),
        ("draft2020-12", Draft::Draft202012),
    ] {
        let (mut total, mut supported) = (0, 0);
        let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut files = Vec::new();
        json_files(&tests.join(folder), &mut files);
        for file in files {
            let name = file
                .strip_prefix(tests.join(folder))
                .unwrap()
                .display()
                .to_string();
            let groups: Vec<Value> =
                serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            for group in groups {
                let tests = group["tests"].as_array().unwrap();
                let satisfiable = tests.iter().any(|test| test["valid"] == true);
                let what = format!("{name}: {}", group["description"]);
                match try_schema(&grammars, &tokenizer, &group["schema"], draft, rounds) {
                    Outcome::Refused(why) if satisfiable => {
                        total += 1;
                        refused
                            .entry(name.clone())
                            .or_default()
                            .push(format!("{what}: {why}"));
                    }
                    Outcome::Refused(_) => {}
                    Outcome::Written(count, more) => {
                        total += usize::from(satisfiable);
                        supported += usize::from(satisfiable);
                        outputs += count;
                        complaints.extend(more.iter().map(|why| format!("{what}: {why}")));
                    }
                }
            }
        }
        for why in refused.values().flatten() {
            println!("refused: {why}");
        }
        println!("{folder}: {supported} of {total} schemas are supported");
        assert!(
            supported * 100 >= total * 85,
            "{folder}: {supported} of {total}"
        );
    }
    println!("{outputs} outputs, {} complaints", complaints.len());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// A parameter list of BFCL as a JSON Schema: it says `dict`, `float`, `tuple` and `any`.
fn mapped(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut mapped = serde_json::Map::new();
            for (key, value) in map {
                let renamed = match (key.as_str(), value.as_str()) {
                    ("type", Some("dict")) => "object",
                    ("type", Some("float")) => "number",
                    ("type", Some("tuple")) => "array",
                    ("type", Some("any")) => continue,
                    _ => {
                        mapped.insert(key.clone(), self::mapped(value));
                        continue;
                    }
                };
                mapped.insert(key.clone(), renamed.into());
            }
            Value::Object(mapped)
        }
        Value::Array(list) => list.iter().map(mapped).collect(),
        _ => value.clone(),
    }
}

/// The tools of the Berkeley Function Calling Leaderboard, from the files of `bfcl-eval`.
#[test]
fn bfcls_tools_are_satisfied() {
    let Some(folder) = std::env::var_os("CORBIE_BFCL") else {
        eprintln!("skipped: CORBIE_BFCL (the folder `bfcl_eval/data`) is not set");
        return;
    };
    let (tokenizer, grammars) = match kit::real_tokenizer() {
        Some(tokenizer) => (tokenizer.clone(), Grammars::new(tokenizer).unwrap()),
        None => kit::grammars(1),
    };
    let mut schemas: Vec<Value> = Vec::new();
    for name in ["simple_python", "multiple", "parallel", "parallel_multiple"] {
        let path = Path::new(&folder).join(format!("BFCL_v4_{name}.json"));
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            for function in case["function"].as_array().unwrap() {
                let schema = mapped(&function["parameters"]);
                if !schemas.contains(&schema) {
                    schemas.push(schema);
                }
            }
        }
    }
    let (mut outputs, mut complaints) = (0, Vec::new());
    for schema in &schemas {
        match try_schema(&grammars, &tokenizer, schema, Draft::Draft202012, 5) {
            Outcome::Refused(why) => complaints.push(format!("refused: {why}: {schema}")),
            Outcome::Written(count, more) => {
                outputs += count;
                complaints.extend(more.iter().map(|why| format!("{schema}: {why}")));
            }
        }
    }
    println!("{} schemas of tools, {outputs} outputs", schemas.len());
    assert!(
        complaints.is_empty(),
        "{} complaints:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}
