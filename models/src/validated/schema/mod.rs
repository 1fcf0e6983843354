//! Whether a JSON value satisfies a schema.
//!
//! Schemas come from tool servers and callers, values from models: both may be hostile. No
//! reference is fetched, ever; what a check may cost is reckoned before it is made.

mod explain;

use corbie_core::schema::{self, Cost, MAX_VISITS, MAX_VISITS_TO_LIST};
use corbie_core::{Error, ErrorKind, Result};
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use super::fault::{Fault, shorten};

/// Checking recurses through schema and value, so it has a stack of its own.
const STACK: usize = 64 << 20;
/// How often an expression of a schema may go back, and how many bytes its automaton may take.
const MAX_BACKTRACKS: usize = 100_000;
const MAX_AUTOMATON: usize = 1 << 20;

/// A JSON Schema, compiled: drafts 4 to 2020-12, formats included.
pub struct Schema {
    root: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles the schema of `what`.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for what is no schema,
    /// [`Unsupported`](ErrorKind::Unsupported) for references that lead out of it or depend on
    /// where they are met, [`LimitExceeded`](ErrorKind::LimitExceeded) for one too large.
    pub fn new(what: &str, root: &Value) -> Result<Self> {
        deep(|| schema::check(what, root))??;
        let mut options = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .with_pattern_options(
                PatternOptions::fancy_regex()
                    .backtrack_limit(MAX_BACKTRACKS)
                    .size_limit(MAX_AUTOMATON)
                    .dfa_size_limit(MAX_AUTOMATON),
            );
        // The names of the keywords tell what `$schema` does not.
        if root.get("$schema").is_none() && root.get("definitions").is_some() {
            options = options.with_draft(Draft::Draft7);
        }
        let validator = deep(|| options.build(root))?.map_err(|error| {
            let place = match error.instance_path().as_str() {
                "" => String::new(),
                path => format!("at `#{path}`: "),
            };
            let why = format!("{place}{}", shorten(&error.to_string(), 200));
            Error::new(ErrorKind::BadInput, what, why)
        })?;
        Ok(Self {
            root: root.clone(),
            validator,
        })
    }

    /// What is wrong with a value; at most `limit` faults.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) when finding out would take too long.
    pub fn check(&self, value: &Value, limit: usize) -> Result<Vec<Fault>> {
        deep(|| {
            let cost = schema::cost(&self.root, value);
            let Some(Cost { visits, .. }) = cost.filter(|cost| cost.visits <= MAX_VISITS) else {
                let cause = "checking it by this schema would take too long";
                return Err(Error::new(ErrorKind::LimitExceeded, "answer", cause)
                    .hint("take a schema that refers to itself less"));
            };
            if self.validator.is_valid(value) {
                return Ok(Vec::new());
            }
            if visits > MAX_VISITS_TO_LIST {
                let found = shorten(&value.to_string(), 80);
                return Ok(vec![Fault::new("a value that satisfies the schema", found)]);
            }
            let errors = self.validator.iter_errors(value);
            Ok(errors
                .take(limit)
                .map(|error| explain::fault(&error))
                .collect())
        })?
    }
}

/// Runs `work` where there is stack enough for it.
fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("corbie-schema".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io("thread that checks JSON", error))?
            .join()
            .map_err(|_| Error::new(ErrorKind::Internal, "JSON Schema", "checking it panicked"))
    })
}

#[cfg(test)]
mod tests;
