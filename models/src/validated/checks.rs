//! What the answer to a request must be.

use corbie_core::{ChatRequest, Message, ResponseFormat, Result, ToolChoice};

use super::calls::Calls;
use super::fault::Fault;
use super::form::Form;

/// What became of an answer, or of a part of it.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It is right, and this is its text.
    Right(String),
    /// It is wrong.
    Wrong(Vec<Fault>),
}

impl Verdict {
    /// Wrong for one reason.
    pub fn wrong(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Wrong(vec![Fault::new(expected, found)])
    }
}

/// What an answer is checked for.
pub struct Checks {
    form: Option<Form>,
    calls: Calls,
}

impl Checks {
    /// The checks that a request asks for; `None`: there is nothing to check.
    ///
    /// # Errors
    ///
    /// When the form, a tool's schema or the tool choice is none, or cannot be checked.
    pub fn of(request: &ChatRequest) -> Result<Option<Self>> {
        let form = Form::of(&request.response_format)?;
        let calls = Calls::of(request)?;
        if form.is_none() && request.tools.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self { form, calls }))
    }

    /// Whether nothing binds the text of the answer.
    pub fn text_is_free(&self) -> bool {
        self.form.is_none() && !self.calls.must_call()
    }

    /// Checks a whole answer; at most `limit` faults are listed.
    ///
    /// # Errors
    ///
    /// When checking it would take too long.
    pub fn check(&self, answer: &Message, limit: usize) -> Result<Verdict> {
        let mut faults = self.calls.check(&answer.tool_calls, limit)?;
        faults.truncate(limit);
        if !faults.is_empty() {
            return Ok(Verdict::Wrong(faults));
        }
        // Calls come in the place of the form.
        match &self.form {
            Some(form) if answer.tool_calls.is_empty() => form.check(&answer.content, limit),
            _ => Ok(Verdict::Right(answer.content.clone())),
        }
    }
}

/// Whether the form of this request binds its answer at all.
pub fn form_binds(request: &ChatRequest) -> bool {
    let must_call = matches!(
        request.tool_choice,
        ToolChoice::Required | ToolChoice::Named(_)
    );
    request.response_format != ResponseFormat::Text && !must_call
}
