//! The Berkeley Function Calling Leaderboard: its single-turn Python cases, by its own rules.
//!
//! The questions and the answers come with the package `bfcl-eval` (Apache-2.0): the folder
//! `bfcl_eval/data`, in which each category is a file `BFCL_v4_CATEGORY.json`, with its answers in
//! `possible_answer/`. The rules are those of `ast_checker.py` in that package, down to what
//! Python thinks equal; `benches/accuracy/bfcl_checker.py` compares verdicts.

mod check;
mod gold;
mod python;
mod standard;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use corbie_core::{Error, ErrorKind, Message, Result, Role, ToolCall, ToolSpec};
use serde_json::{Map, Value};

use super::{malformed, read};

/// The categories that are known.
pub const CATEGORIES: [&str; 11] = [
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
];

/// A question with functions, and the answers that are right.
#[derive(Debug, Clone)]
pub struct BfclCase {
    /// Its name, such as `parallel_multiple_7`.
    pub id: String,
    /// Its category, such as `parallel_multiple`.
    pub category: String,
    /// The question.
    pub messages: Vec<Message>,
    /// The functions, their types as JSON Schema calls them and dots in their names as `_`.
    pub tools: Vec<ToolSpec>,
    /// The functions as they are written.
    functions: Vec<Value>,
    /// One for each call: the function's name, and for each argument the values that are right.
    answers: Vec<Map<String, Value>>,
}

impl BfclCase {
    /// What is wrong with these calls; `None`: they are right.
    pub fn fault(&self, calls: &[ToolCall]) -> Option<String> {
        match self.category.as_str() {
            category if category.ends_with("irrelevance") => {
                (!calls.is_empty()).then(|| "a function is called though none fits".into())
            }
            category if category.ends_with("relevance") => {
                calls.is_empty().then(|| "no function is called".into())
            }
            category => check::fault(self, calls, category.contains("parallel")).err(),
        }
    }

    /// Whether its right answer is a call.
    pub fn wants_call(&self) -> bool {
        !self.category.ends_with("irrelevance")
    }

    /// The calls that a perfect model makes: of each argument's values the first that fits the
    /// function's schema. `None` for cases that are right with any call.
    pub fn gold(&self) -> Option<Vec<ToolCall>> {
        match self.category.ends_with("_relevance") {
            true => None,
            false => Some(gold::calls(self)),
        }
    }

    /// Whether its gold answer breaks the functions' schemas, or is wrong where it does not: nobody
    /// can be both right and valid.
    pub fn gold_breaks_schema(&self) -> bool {
        self.gold().is_some_and(|gold| {
            super::fit(&self.tools, &gold, "") != super::Fit::Fits || self.fault(&gold).is_some()
        })
    }
}

/// Loads the cases with these ids, in their order, from the folder `data` of the package or the
/// one that holds it.
///
/// # Errors
///
/// [`NotFound`](ErrorKind::NotFound) for files or ids that are not there;
/// [`Unsupported`](ErrorKind::Unsupported) for other categories;
/// [`Malformed`](ErrorKind::Malformed) for files that are.
pub fn load(folder: &Path, ids: &[String]) -> Result<Vec<BfclCase>> {
    let folder = data(folder);
    let mut known: HashMap<&str, HashMap<String, BfclCase>> = HashMap::new();
    let mut cases = Vec::with_capacity(ids.len());
    for id in ids {
        let category = id.rsplit_once('_').map_or("", |(category, _)| category);
        let Some(category) = CATEGORIES.iter().find(|known| **known == category) else {
            let cause = "it is of no category that is known here";
            return Err(
                Error::new(ErrorKind::Unsupported, format!("case `{id}`"), cause)
                    .hint(format!("the categories are {}", CATEGORIES.join(", "))),
            );
        };
        if !known.contains_key(category) {
            known.insert(category, load_category(&folder, category)?);
        }
        let case = known.get(category).and_then(|cases| cases.get(id)).cloned();
        cases.push(case.ok_or_else(|| {
            let cause = format!("it is not in {}", file(&folder, category).display());
            Error::new(ErrorKind::NotFound, format!("case `{id}`"), cause)
        })?);
    }
    Ok(cases)
}

/// The ids in a text, one a line; empty lines and those after `#` count nothing.
pub fn ids(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The folder with the files, within the one that is named.
fn data(folder: &Path) -> PathBuf {
    let places = ["", "data", "bfcl_eval/data"].map(|place| folder.join(place));
    let has_files = |place: &&PathBuf| file(place, "multiple").exists();
    places.iter().find(has_files).unwrap_or(&places[0]).clone()
}

fn file(folder: &Path, category: &str) -> PathBuf {
    folder.join(format!("BFCL_v4_{category}.json"))
}

fn load_category(folder: &Path, category: &str) -> Result<HashMap<String, BfclCase>> {
    let path = file(folder, category);
    let mut cases = HashMap::new();
    for row in rows(&path)? {
        let case = case(&row, category).ok_or_else(|| {
            malformed(
                &path,
                format!("the case {} is not as it should be", row["id"]),
            )
        })?;
        cases.insert(case.id.clone(), case);
    }
    if category.ends_with("relevance") {
        return Ok(cases);
    }
    let answers = folder
        .join("possible_answer")
        .join(format!("BFCL_v4_{category}.json"));
    for row in rows(&answers)? {
        let truth = row["ground_truth"].as_array().into_iter().flatten();
        let truth = truth.filter_map(Value::as_object).cloned().collect();
        if let Some(case) = row["id"].as_str().and_then(|id| cases.get_mut(id)) {
            case.answers = truth;
        }
    }
    match cases.values().find(|case| case.answers.is_empty()) {
        Some(case) => Err(malformed(&answers, format!("no answer to {}", case.id))),
        None => Ok(cases),
    }
}

/// The JSON values of a file, one a line.
fn rows(path: &Path) -> Result<Vec<Value>> {
    let text = read(path).map_err(|error| {
        error.hint("name the folder bfcl_eval/data of the package bfcl-eval (PyPI)")
    })?;
    let row = |(index, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| malformed(path, format!("line {}: {error}", index + 1)))
    };
    text.lines().enumerate().map(row).collect()
}

fn case(row: &Value, category: &str) -> Option<BfclCase> {
    let messages = row["question"].get(0)?.as_array()?.iter().map(|message| {
        let role = match message["role"].as_str()? {
            "system" => Role::System,
            "user" => Role::User,
            "assistant" => Role::Assistant,
            _ => return None,
        };
        Some(Message::new(role, message["content"].as_str()?))
    });
    let functions = row["function"].as_array()?.clone();
    let tools = functions.iter().map(|function| {
        Some(ToolSpec {
            name: standard::name(function["name"].as_str()?),
            description: function["description"].as_str()?.to_owned(),
            parameters: standard::schema(&function["parameters"]),
        })
    });
    Some(BfclCase {
        id: row["id"].as_str()?.to_owned(),
        category: category.to_owned(),
        messages: messages.collect::<Option<_>>()?,
        tools: tools.collect::<Option<_>>()?,
        functions,
        answers: Vec::new(),
    })
}
