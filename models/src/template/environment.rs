//! The Jinja that templates run in: as transformers sets it up, with limits.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, State, Value, escape_formatter};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::python;

/// The name the one template is known by.
pub const NAME: &str = "chat";

/// Macros may nest this deep.
const RECURSION_LIMIT: usize = 200;

/// An environment with the one template, which may run `instructions`.
pub fn environment(source: &str, instructions: u64) -> Result<Environment<'_>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_fuel(Some(instructions));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_formatter(|output, state, value| match value.is_undefined() {
        true => Ok(()),
        false => match value.as_str() {
            Some(_) => escape_formatter(output, state, value),
            None => output
                .write_str(&python::display(value))
                .map_err(Error::from),
        },
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", python::strftime_now);
    environment.add_test("iterable", |value: &Value| python::is_iterable(value));
    environment.add_filter("tojson", python::to_json);
    environment.add_filter("string", |value: &Value| python::display(value));
    environment.add_template(NAME, source)?;
    Ok(environment)
}

/// Marks an error as the template's own refusal.
const REFUSAL: &str = "\u{0}refused\u{0}";

fn raise_exception(_state: &State<'_, '_>, message: String) -> Result<Value, Error> {
    let message = format!("{REFUSAL}{message}");
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// What a template said when it refused the conversation.
pub fn refusal(error: &Error) -> Option<String> {
    let mut error: &dyn std::error::Error = error;
    loop {
        if let Some(error) = error.downcast_ref::<Error>()
            && let Some(message) = error.detail().and_then(|text| text.strip_prefix(REFUSAL))
        {
            return Some(message.to_owned());
        }
        error = error.source()?;
    }
}

/// The source without `{% generation %}` blocks, which only mark text for training.
pub fn without_generation_blocks(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(close) = rest[open..].find("%}").map(|close| open + close + 2) else {
            break;
        };
        let tag = rest[open + 2..close - 2].trim_matches(['-', '+']).trim();
        match tag {
            "generation" | "endgeneration" => {
                // The white space around the tag goes as Jinja would take it.
                let (before, tag_text) = (&rest[..open], &rest[open..close]);
                let before = match tag_text.starts_with("{%-") {
                    true => before.trim_end(),
                    false => before,
                };
                kept.push_str(before);
                rest = &rest[close..];
                if tag_text.ends_with("-%}") {
                    rest = rest.trim_start();
                } else if let Some(after) = rest.strip_prefix('\n') {
                    rest = after;
                }
            }
            _ => {
                kept.push_str(&rest[..close]);
                rest = &rest[close..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

/// Text that is written up to a limit.
pub struct Output {
    bytes: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Output {
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
            full: false,
        }
    }

    /// Whether more was written than fits.
    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn into_text(self) -> String {
        // Only whole texts were written.
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
