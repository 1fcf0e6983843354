//! Whether the arguments of a call fit the schema of its tool.
//!
//! Schemas come from tool servers, arguments from models: both may be hostile. No reference is
//! fetched, ever; what a check may cost is reckoned before it is made.

use corbie_core::schema::{self, MAX_VISITS, MAX_VISITS_TO_LIST};
use corbie_core::{Error, ErrorKind, Result};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

/// Where a schema refers to itself, checking recurses: it has a stack of its own.
const STACK: usize = 64 << 20;
/// How often an expression of a schema may go back, and how many bytes its automaton may take.
const MAX_BACKTRACKS: usize = 100_000;
const MAX_AUTOMATON: usize = 1 << 20;

/// The schema of a tool's arguments, compiled.
pub struct Arguments {
    validator: Validator,
    /// The schema, where it refers to itself.
    recursive: Option<Value>,
}

impl Arguments {
    /// Compiles the schema of `subject`.
    ///
    /// # Errors
    ///
    /// Those of [`schema::check`]; [`BadInput`](ErrorKind::BadInput) for what is no schema.
    pub fn new(subject: &str, root: &Value) -> Result<Self> {
        schema::measure(subject, root)?;
        let recursive = schema::has_references(root);
        let validator = within_stack(recursive, || {
            schema::check(subject, root)?;
            let patterns = PatternOptions::fancy_regex()
                .backtrack_limit(MAX_BACKTRACKS)
                .size_limit(MAX_AUTOMATON)
                .dfa_size_limit(MAX_AUTOMATON);
            let options = jsonschema::options()
                .offline()
                .with_pattern_options(patterns);
            options.build(root).map_err(|error| {
                let cause = format!("its schema is none: {error}");
                Error::new(ErrorKind::BadInput, subject, cause)
            })
        })??;
        Ok(Self {
            validator,
            recursive: recursive.then(|| root.clone()),
        })
    }

    /// What is wrong with `arguments`, in words for the model; at most `most` complaints.
    pub fn complaints(&self, arguments: &Value, most: usize) -> Vec<String> {
        let found = within_stack(self.recursive.is_some(), || {
            if let Some(root) = &self.recursive {
                let visits = schema::cost(root, arguments).map(|cost| cost.visits);
                if visits.is_none_or(|visits| visits > MAX_VISITS) {
                    return vec!["checking them would take too long".to_owned()];
                }
                if self.validator.is_valid(arguments) {
                    return Vec::new();
                }
                if visits > Some(MAX_VISITS_TO_LIST) {
                    return vec!["they do not satisfy its schema".to_owned()];
                }
            }
            let errors = self.validator.iter_errors(arguments).take(most);
            let say = |error: jsonschema::ValidationError<'_>| match error.instance_path().as_str()
            {
                "" => error.to_string(),
                path => format!("at `{path}`: {error}"),
            };
            errors.map(say).collect()
        });
        found.unwrap_or_else(|error| vec![error.to_string()])
    }
}

/// Runs `work`, on a thread with a large stack where it recurses.
fn within_stack<T: Send>(recurses: bool, work: impl FnOnce() -> T + Send) -> Result<T> {
    if !recurses {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("corbie-schema".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io("thread that checks arguments", error))?
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, "JSON Schema", "checking it panicked"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    fn kind(root: &Value) -> ErrorKind {
        let start = Instant::now();
        let result = Arguments::new("tool `t`", root);
        assert!(start.elapsed() < Duration::from_secs(20));
        result.err().unwrap().kind().clone()
    }

    /// `anyOf` within `anyOf`, so deep.
    fn nested(levels: usize) -> Value {
        let within = |inner| {
            let alternatives = Value::Array(vec![inner]);
            Value::Object(serde_json::Map::from_iter([("anyOf".into(), alternatives)]))
        };
        (0..levels).fold(json!({}), |inner, _| within(inner))
    }

    #[test]
    fn references_that_lead_out_are_refused() {
        for reference in [
            "http://evil.test/schema.json",
            "https://evil.test/schema.json#/a",
            "file:///etc/passwd",
            "//evil.test/x",
            "other.json",
            "#/nowhere",
        ] {
            for root in [
                json!({"$ref": reference}),
                json!({"properties": {"a": {"items": {"$ref": reference}}}}),
                json!({"$id": "https://own.test/", "properties": {"a": {"$ref": reference}}}),
            ] {
                assert_eq!(kind(&root), ErrorKind::Unsupported, "{root}");
            }
        }
    }

    #[test]
    fn bombs_are_refused_in_bounded_time() {
        // Wide: 2^20 alternatives side by side.
        let wide = json!({"anyOf": vec![json!({"type": "string"}); 1 << 20]});
        assert!(matches!(kind(&wide), ErrorKind::LimitExceeded));
        // Deep: more levels than are walked.
        assert!(matches!(kind(&nested(1000)), ErrorKind::LimitExceeded));
        // Folded: twenty definitions, each twice the one before, 2^20 when unfolded.
        let mut definitions = serde_json::Map::new();
        for level in 0..20 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
        }
        definitions.insert("d20".into(), json!({"type": "string"}));
        let folded = json!({"$ref": "#/$defs/d0", "$defs": definitions});
        let schema = Arguments::new("tool `t`", &folded);
        let start = Instant::now();
        if let Ok(schema) = schema {
            assert!(!schema.complaints(&json!(1), 5).is_empty());
        }
        assert!(start.elapsed() < Duration::from_secs(20));
        // Thirty of them are too many.
        let mut definitions = serde_json::Map::new();
        for level in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
            definitions.insert(format!("d{level}"), json!({"anyOf": [next, next]}));
        }
        definitions.insert("d30".into(), json!({"type": "string"}));
        let folded = json!({"$ref": "#/$defs/d0", "$defs": definitions});
        assert!(matches!(kind(&folded), ErrorKind::LimitExceeded));
        // Endless.
        let endless = json!({"$ref": "#"});
        assert!(matches!(kind(&endless), ErrorKind::LimitExceeded));
    }

    #[test]
    fn a_schema_may_refer_to_itself() {
        let tree = json!({
            "type": "object",
            "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
            "required": ["children"],
        });
        let schema = Arguments::new("tool `t`", &tree).unwrap();
        let right = json!({"children": [{"children": []}]});
        assert!(schema.complaints(&right, 5).is_empty());
        let wrong = json!({"children": [{"children": 1}]});
        let found = schema.complaints(&wrong, 5);
        assert!(found[0].contains("/children/0/children"), "{found:?}");
    }
}
