//! Whether calls are those of tools.

use corbie_core::{ChatRequest, Error, ErrorKind, Result, ToolCall, ToolChoice};
use serde_json::Value;

use super::fault::{Fault, quoted, shorten};
use super::schema::Schema;

/// The tools of a request and how they may be called.
pub struct Calls {
    tools: Vec<(String, Schema)>,
    choice: ToolChoice,
    parallel: bool,
}

impl Calls {
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a choice that nothing can honour; those of
    /// [`Schema::new`] for a tool's arguments.
    pub fn of(request: &ChatRequest) -> Result<Self> {
        let refuse = |why: String| Err(Error::new(ErrorKind::BadInput, "tool_choice", why));
        match &request.tool_choice {
            ToolChoice::Required if request.tools.is_empty() => {
                return refuse("a call is required, but there are no tools".into());
            }
            ToolChoice::Named(name) if request.tools.iter().all(|tool| tool.name != *name) => {
                return refuse(format!("there is no tool `{name}`"));
            }
            _ => {}
        }
        let tools = request.tools.iter().map(|tool| {
            let what = format!("arguments of tool `{}`", tool.name);
            // A tool without a schema takes any object.
            let schema = match &tool.parameters {
                Value::Null => &Value::Bool(true),
                schema => schema,
            };
            Ok((tool.name.clone(), Schema::new(&what, schema)?))
        });
        Ok(Self {
            tools: tools.collect::<Result<_>>()?,
            choice: request.tool_choice.clone(),
            parallel: request.parallel_tool_calls,
        })
    }

    /// Whether an answer without a call is wrong.
    pub fn must_call(&self) -> bool {
        matches!(self.choice, ToolChoice::Required | ToolChoice::Named(_))
    }

    /// What is wrong with the calls of an answer.
    ///
    /// # Errors
    ///
    /// When checking an argument would take too long.
    pub fn check(&self, calls: &[ToolCall], limit: usize) -> Result<Vec<Fault>> {
        let Some(first) = calls.first() else {
            let expected = match &self.choice {
                ToolChoice::Named(name) => format!("a call to `{name}`"),
                ToolChoice::Required => format!("a call to one of {}", self.names()),
                _ => return Ok(Vec::new()),
            };
            return Ok(vec![Fault::new(expected, "no call")]);
        };
        if self.tools.is_empty() || self.choice == ToolChoice::None {
            let found = format!("a call to {}", quoted(&first.name));
            return Ok(vec![Fault::new("an answer without a call", found)]);
        }
        let mut faults = Vec::new();
        if !self.parallel && calls.len() > 1 {
            faults.push(Fault::new("one call", format!("{} calls", calls.len())));
        }
        for (number, call) in calls.iter().enumerate() {
            let found = self.check_one(call, limit)?;
            faults.extend(found.into_iter().map(|fault| Fault {
                call: Some(number),
                ..fault
            }));
        }
        Ok(faults)
    }

    fn check_one(&self, call: &ToolCall, limit: usize) -> Result<Vec<Fault>> {
        let wrong_name = |expected| {
            let found = format!("a call to {}", quoted(&call.name));
            Ok(vec![Fault::new(expected, found)])
        };
        if let ToolChoice::Named(name) = &self.choice
            && call.name != *name
        {
            return wrong_name(format!("a call to `{name}`"));
        }
        let Some((_, schema)) = self.tools.iter().find(|(name, _)| *name == call.name) else {
            return wrong_name(format!("a call to one of {}", self.names()));
        };
        if !call.arguments.is_object() {
            let found = shorten(&call.arguments.to_string(), 80);
            return Ok(vec![Fault::new("arguments as an object", found)]);
        }
        schema.check(&call.arguments, limit)
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.tools.iter().map(|it| format!("`{}`", it.0)).collect();
        shorten(&names.join(", "), 400)
    }
}
