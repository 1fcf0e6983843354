//! Judges calls by the rules of the Berkeley Function Calling Leaderboard.
//!
//! ```text
//! cargo run -p corbie-agents --example bfcl_verdicts -- BFCL_DIR IDS < ANSWERS
//! ```
//!
//! Each line of standard input is `{"id": …, "calls": [{"name": …, "arguments": {…}}]}`; for each
//! comes a line with what is wrong with it (`null`: it is right). With nothing on standard input
//! come the gold answers instead, and whether they break their own schema.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use corbie_agents::eval::bfcl::{self, BfclCase};
use corbie_core::{Error, ErrorKind, Result, ToolCall};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, ids] = arguments.as_slice() else {
        let cause = "the folder with the cases and the file with their ids must be named";
        return Err(Error::new(ErrorKind::BadInput, "arguments", cause));
    };
    let failed = |error| Error::io(ids.clone(), error);
    let ids = bfcl::ids(&std::fs::read_to_string(ids).map_err(failed)?);
    let cases = bfcl::load(Path::new(folder), &ids)?;
    let mut answers = String::new();
    let read = std::io::stdin().read_to_string(&mut answers);
    read.map_err(|error| Error::io("standard input", error))?;
    if answers.is_empty() {
        for case in &cases {
            let gold = case.gold().unwrap_or_default();
            let calls = gold
                .iter()
                .map(|call| json!({"name": call.name, "arguments": call.arguments}));
            let calls: Vec<Value> = calls.collect();
            let breaks = case.gold_breaks_schema();
            print(&json!({"id": case.id, "calls": calls, "breaks_schema": breaks}));
        }
        return Ok(());
    }
    let cases: HashMap<&str, &BfclCase> = cases.iter().map(|it| (it.id.as_str(), it)).collect();
    for line in answers.lines() {
        let answer: Value = serde_json::from_str(line)
            .map_err(|error| Error::new(ErrorKind::Malformed, "standard input", error))?;
        let id = answer["id"].as_str().unwrap_or_default();
        let case = cases.get(id).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("case `{id}`"),
                "it is not asked",
            )
        })?;
        let calls = answer["calls"].as_array().into_iter().flatten();
        let calls: Vec<ToolCall> = calls
            .map(|call| ToolCall {
                id: String::new(),
                name: call["name"].as_str().unwrap_or_default().to_owned(),
                arguments: call["arguments"].clone(),
            })
            .collect();
        print(&json!({"id": id, "fault": case.fault(&calls)}));
    }
    Ok(())
}

#[allow(clippy::print_stdout)]
fn print(line: &Value) {
    println!("{line}");
}
