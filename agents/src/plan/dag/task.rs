//! Tasks and what holds them together: kinds, references, order.

use std::collections::{BTreeSet, HashMap};

use corbie_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A kind of task that workers can do.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// The name: letters, digits, `_` and `-`.
    pub name: String,
    /// What is done, in words for the model.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

impl Kind {
    /// A kind.
    pub fn new(name: &str, description: &str, parameters: Value) -> Self {
        Self {
            name: name.to_owned(),
            description: description.to_owned(),
            parameters,
        }
    }
}

/// One task of a [`Dag`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Names it: letters, digits, `_` and `-`.
    pub id: String,
    /// What is done.
    pub kind: String,
    /// With what. `{"$from": "t1"}` stands for the result of the task `t1`, at any depth.
    #[serde(default)]
    pub arguments: Value,
    /// Tasks that must be done before, whose results it does not take.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// Tasks with references to each other's results.
///
/// ```
/// use corbie_agents::plan::{Dag, Kind};
/// use serde_json::json;
///
/// let text = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
/// let kinds = [Kind::new("translate", "Translates a text", text)];
/// let dag: Dag = serde_json::from_value(json!({"tasks": [
///     {"id": "t1", "kind": "translate", "arguments": {"text": "乌鸦"}},
///     {"id": "t2", "kind": "translate", "arguments": {"text": {"$from": "t3"}}},
/// ]}))?;
/// assert_eq!(dag.complaints(&kinds, 8)?, ["Task `t2` refers to `t3`, which is no task."]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dag {
    /// The tasks, in any order.
    pub tasks: Vec<Task>,
}

impl Task {
    /// The tasks that it must wait for.
    pub fn needs(&self) -> BTreeSet<&str> {
        let mut found: BTreeSet<&str> = self.after.iter().map(String::as_str).collect();
        references(&self.arguments, String::new(), &mut |id, _| {
            found.insert(id);
        });
        found
    }

    /// The tasks whose results it takes.
    pub(super) fn takes(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        references(&self.arguments, String::new(), &mut |id, _| {
            found.insert(id);
        });
        found
    }
}

impl Dag {
    /// What is wrong with it, in words for the model that wrote it: unknown kinds, arguments that
    /// do not fit, references to nothing, circles. Empty: it can be carried out.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a kind whose schema is none.
    pub fn complaints(&self, kinds: &[Kind], most: usize) -> Result<Vec<String>> {
        let mut found = Vec::new();
        if self.tasks.is_empty() || self.tasks.len() > most {
            found.push(format!("There must be 1 to {most} tasks."));
            return Ok(found);
        }
        let mut ids = HashMap::new();
        for (index, task) in self.tasks.iter().enumerate() {
            let id = &task.id;
            if !is_name(id) {
                found.push(format!(
                    "`{id}` is no id: use letters, digits, `_` and `-`."
                ));
            } else if ids.insert(id.as_str(), index).is_some() {
                found.push(format!("Two tasks have the id `{id}`."));
            }
        }
        for task in &self.tasks {
            let id = &task.id;
            match kinds.iter().find(|kind| kind.name == task.kind) {
                Some(kind) => found.extend(misfits(task, kind)?),
                None => {
                    let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
                    found.push(format!(
                        "Task `{id}` has the kind `{}`. The kinds are: {}.",
                        task.kind,
                        names.join(", ")
                    ));
                }
            }
            for need in task.needs() {
                if !ids.contains_key(need) {
                    found.push(format!("Task `{id}` refers to `{need}`, which is no task."));
                }
            }
        }
        if found.is_empty() && self.in_order().len() < self.tasks.len() {
            found.push("Tasks wait for each other in a circle.".to_owned());
        }
        Ok(found)
    }

    /// The tasks' indices, each behind those that it needs; those of circles are left out.
    pub(super) fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        let mut placed: BTreeSet<&str> = BTreeSet::new();
        loop {
            let before = order.len();
            for (index, task) in self.tasks.iter().enumerate() {
                if !order.contains(&index) && task.needs().is_subset(&placed) {
                    order.push(index);
                    placed.insert(&task.id);
                }
            }
            if order.len() == before {
                return order;
            }
        }
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

/// The id that `{"$from": "t1"}` refers to.
fn reference(value: &Value) -> Option<&str> {
    match value.as_object() {
        Some(fields) if fields.len() == 1 => fields.get("$from")?.as_str(),
        _ => None,
    }
}

/// Finds the references in a value, each with its JSON pointer.
fn references<'a>(value: &'a Value, path: String, found: &mut impl FnMut(&'a str, &str)) {
    if let Some(id) = reference(value) {
        return found(id, &path);
    }
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                references(value, format!("{path}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                references(value, format!("{path}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// What of a task's arguments does not fit its kind. What a reference will hold is not known yet.
fn misfits(task: &Task, kind: &Kind) -> Result<Vec<String>> {
    let schema = validator(kind)?;
    let mut unknown = Vec::new();
    references(&task.arguments, String::new(), &mut |_, path| {
        unknown.push(path.to_owned());
    });
    let open = |path: &str| {
        let within = |unknown: &String| {
            path.strip_prefix(unknown.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        unknown.iter().any(within)
    };
    let errors = schema.iter_errors(&task.arguments);
    let errors = errors.filter(|error| !open(error.instance_path().as_str()));
    Ok(errors
        .take(3)
        .map(|error| format!("The arguments of task `{}` do not fit: {error}.", task.id))
        .collect())
}

pub(super) fn validator(kind: &Kind) -> Result<jsonschema::Validator> {
    jsonschema::validator_for(&kind.parameters).map_err(|error| {
        let cause = format!("its schema is none: {error}");
        Error::new(ErrorKind::BadInput, format!("kind `{}`", kind.name), cause)
    })
}

/// Arguments with results in the place of references: as text where that fits the kind, else as
/// the JSON that the text is.
pub(super) fn resolved(
    task: &Task,
    kind: &Kind,
    result: &dyn Fn(&str) -> Option<String>,
) -> Result<Value> {
    let as_text = |id: &str| result(id).map_or(Value::Null, Value::String);
    let as_json = |id: &str| {
        let text = result(id).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    };
    let texts = replaced(&task.arguments, &as_text);
    let schema = validator(kind)?;
    if schema.is_valid(&texts) {
        return Ok(texts);
    }
    let values = replaced(&task.arguments, &as_json);
    Ok(match schema.is_valid(&values) {
        true => values,
        false => texts,
    })
}

fn replaced(value: &Value, with: &dyn Fn(&str) -> Value) -> Value {
    if let Some(id) = reference(value) {
        return with(id);
    }
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), replaced(value, with)))
            .collect(),
        Value::Array(items) => items.iter().map(|item| replaced(item, with)).collect(),
        other => other.clone(),
    }
}

/// The JSON Schema of a DAG of these kinds. Its ids are t1, t2 and so on: under a grammar a model
/// cannot refer to what is no id.
pub(super) fn schema(kinds: &[Kind], most: usize) -> Value {
    let ids: Vec<String> = (1..=most).map(|number| format!("t{number}")).collect();
    let id = json!({"type": "string", "enum": ids});
    let task = |kind: &Kind| {
        json!({
            "type": "object",
            "properties": {
                "id": id,
                "kind": {"type": "string", "enum": [kind.name]},
                "arguments": with_references(&kind.parameters, &id),
            },
            "required": ["id", "kind", "arguments"],
            "additionalProperties": false,
        })
    };
    let tasks: Vec<Value> = kinds.iter().map(task).collect();
    json!({
        "type": "object",
        "properties": {"tasks": {
            "type": "array",
            "items": {"anyOf": tasks},
            "minItems": 1,
            "maxItems": most,
        }},
        "required": ["tasks"],
        "additionalProperties": false,
    })
}

/// A schema of arguments, each of which may be a reference instead.
fn with_references(parameters: &Value, id: &Value) -> Value {
    // References of a schema into itself would point elsewhere here.
    if parameters.to_string().contains("\"$ref\"") {
        return json!({"type": "object"});
    }
    let from = json!({
        "type": "object",
        "properties": {"$from": id},
        "required": ["$from"],
        "additionalProperties": false,
    });
    let mut schema = parameters.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let either = |(name, value): (&String, &Value)| {
            let either = json!({"anyOf": [value, from]});
            (name.clone(), either)
        };
        *properties = properties.iter().map(either).collect::<Map<_, _>>();
    }
    schema
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn kinds() -> Vec<Kind> {
        let parameters = json!({
            "type": "object",
            "properties": {"text": {"type": "string"}, "times": {"type": "integer"}},
            "required": ["text"],
            "additionalProperties": false,
        });
        vec![Kind::new("say", "Says a text", parameters)]
    }

    #[track_caller]
    fn check(tasks: Value, expected: &[&str]) {
        let dag: Dag = serde_json::from_value(json!({ "tasks": tasks })).unwrap();
        let found = dag.complaints(&kinds(), 4).unwrap();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}: {expected}");
        }
    }

    fn say(id: &str, arguments: Value) -> Value {
        json!({"id": id, "kind": "say", "arguments": arguments})
    }

    #[test]
    fn what_cannot_be_carried_out_is_named() {
        let from = |id: &str| json!({"text": {"$from": id}});
        check(
            json!([say("a", json!({"text": "鸦"})), say("b", from("a"))]),
            &[],
        );
        check(json!([]), &["1 to 4 tasks"]);
        check(
            json!([{"id": "a", "kind": "sing", "arguments": {}}]),
            &["kind `sing`. The kinds are: say"],
        );
        check(
            json!([say("a", json!({}))]),
            &["\"text\" is a required property"],
        );
        check(json!([say("a", json!({"text": 1}))]), &["is not of type"]);
        check(
            json!([say("a", json!({"text": {"$from": "b"}, "times": "x"}))]),
            &["is not of type", "`b`, which is no task"],
        );
        check(
            json!([say("a", from("b")), say("b", from("a"))]),
            &["circle"],
        );
        check(json!([say("a", from("a"))]), &["circle"]);
        check(json!([say("a b", json!({"text": ""}))]), &["is no id"]);
        check(
            json!([say("a", json!({"text": ""})), say("a", json!({"text": ""}))]),
            &["Two tasks"],
        );
        let after = json!({"id": "a", "kind": "say", "arguments": {"text": ""}, "after": ["z"]});
        check(json!([after]), &["`z`, which is no task"]);
    }

    #[test]
    fn results_come_as_the_kind_wants_them() {
        let task: Task = serde_json::from_value(say(
            "b",
            json!({"text": {"$from": "a"}, "times": {"$from": "n"}}),
        ))
        .unwrap();
        let result = |id: &str| Some(if id == "n" { "3" } else { "鸦" }.to_owned());
        let arguments = resolved(&task, &kinds()[0], &result).unwrap();
        assert_eq!(arguments, json!({"text": "鸦", "times": 3}));
        let only_text: Task =
            serde_json::from_value(say("b", json!({"text": {"$from": "n"}}))).unwrap();
        let arguments = resolved(&only_text, &kinds()[0], &result).unwrap();
        assert_eq!(arguments, json!({"text": "3"}));
    }
}
