//! The Jinja that templates run in: as transformers sets it up, with limits.

use std::time::{Duration, Instant};

use minijinja::syntax::SyntaxConfig;
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, State, Value, escape_formatter, filters, machinery,
};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::{compile, python, weigh};

/// The name the one template is known by.
const NAME: &str = "chat";

/// Macros may nest this deep.
const RECURSION_LIMIT: usize = 200;

/// A template that is not done by then does harm: those in use take some milliseconds.
pub const DEADLINE: Duration = Duration::from_millis(500);

/// How many times longer a text can become when it is escaped.
const ESCAPED: usize = 6;

/// What the template writes for `context`, within so much of minijinja's fuel: it bounds the
/// instructions, and at 64 bytes for each unit the texts and lists that they make.
pub fn render(source: &str, context: Value, fuel: u64, deadline: Instant) -> Result<String, Error> {
    let environment = environment(fuel, deadline)?;
    let template = compile::compile(NAME, source, environment.syntax())?;
    let mut written = String::new();
    let mut output = machinery::make_string_output(&mut written);
    machinery::eval(
        &environment,
        &template.instructions,
        context,
        &template.blocks,
        &mut output,
        AutoEscape::None,
    )?;
    drop(output);
    Ok(written)
}

/// Whether the source is a template; the error says why not.
pub fn check(source: &str) -> Result<(), Error> {
    let environment = environment(0, Instant::now())?;
    compile::compile(NAME, source, environment.syntax()).map(drop)
}

fn environment<'source>(fuel: u64, deadline: Instant) -> Result<Environment<'source>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_fuel(Some(fuel));
    environment.set_recursion_limit(RECURSION_LIMIT);
    // Its reports show all values, however large.
    environment.set_debug(false);
    environment.remove_global("debug");
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|output, state, value| match value.as_str() {
        _ if value.is_undefined() => Ok(()),
        Some(text) => {
            if !matches!(state.auto_escape(), AutoEscape::None) {
                pay_for_escapes(state, text)?;
            }
            escape_formatter(output, state, value)
        }
        None => output
            .write_str(&python::display(value)?)
            .map_err(Error::from),
    });
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", python::strftime_now);
    environment.add_test("iterable", |value: &Value| python::is_iterable(value));
    environment.add_filter("tojson", python::to_json);
    environment.add_filter("string", |value: &Value| python::display(value));
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    add_checks(&mut environment, deadline);
    Ok(environment)
}

/// The checks that [`compile`] weaves in.
fn add_checks(environment: &mut Environment<'_>, deadline: Instant) {
    let tame = move |state: &State<'_, '_>, value: &Value| {
        weigh::weigh(state, value, deadline)?;
        Ok::<_, Error>(true)
    };
    let gathered =
        move |state: &State<'_, '_>, value: Value| weigh::gathered(state, value, deadline);
    // A namespace in a namespace could hold itself.
    let kept = |value: &Value| match weigh::is_namespace(value) {
        true => Err(over_limit("a namespace is kept in a namespace")),
        false => Ok(true),
    };
    environment.add_test(compile::TAME, tame);
    environment.add_test(compile::KEPT, kept);
    environment.add_filter(compile::GATHERED, gathered);
}

fn pay_for_escapes(state: &State<'_, '_>, text: &str) -> Result<(), Error> {
    state.consume_fuel((text.len() * ESCAPED / 64) as u64)
}

/// Python's methods of texts, lists and dictionaries.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if let (Some(text), "format") = (value.as_str(), name) {
        python::check_format(text)?;
        // Each place may show the longest of the arguments.
        let longest = arguments
            .iter()
            .map(|it| it.as_str().map_or(0, str::len))
            .max();
        let places = text.matches('{').count();
        state.consume_fuel((places * longest.unwrap_or(0) / 64) as u64)?;
    }
    unknown_method_callback(state, value, name, arguments)
}

/// The filter `escape`, paid for before it writes.
fn escape(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    pay_for_escapes(state, value.as_str().unwrap_or_default())?;
    filters::escape(state, value)
}

/// Marks an error as the template's own refusal, and as a limit's.
const REFUSAL: &str = "\u{0}refused\u{0}";
const LIMIT: &str = "\u{0}limit\u{0}";

/// The most characters of a refusal that are shown.
const MAX_REFUSAL: usize = 2_000;

fn raise_exception(_state: &State<'_, '_>, message: String) -> Result<Value, Error> {
    let shown: String = message.chars().take(MAX_REFUSAL).collect();
    Err(marked(REFUSAL, &shown))
}

/// The error of a template that is too much.
pub fn over_limit(cause: impl std::fmt::Display) -> Error {
    marked(LIMIT, cause)
}

fn marked(mark: &str, message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{mark}{message}"))
}

/// What a template said when it refused the conversation.
pub fn refusal(error: &Error) -> Option<String> {
    find(error, |error| after(error, REFUSAL))
}

/// Which limit a template met.
pub fn limit(error: &Error) -> Option<String> {
    find(error, |error| match error.kind() {
        ErrorKind::OutOfFuel => Some("it does or makes too much".to_owned()),
        _ => after(error, LIMIT),
    })
}

fn after(error: &Error, mark: &str) -> Option<String> {
    Some(error.detail()?.strip_prefix(mark)?.to_owned())
}

/// What `said` makes of an error or one that caused it.
fn find(error: &Error, said: impl Fn(&Error) -> Option<String>) -> Option<String> {
    let mut error: &dyn std::error::Error = error;
    loop {
        if let Some(found) = error.downcast_ref::<Error>().and_then(&said) {
            return Some(found);
        }
        error = error.source()?;
    }
}

/// The source without `{% generation %}` blocks, which only mark text for training.
pub fn without_generation_blocks(source: &str) -> String {
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(open) = rest.find("{%") {
        let Some(close) = rest[open + 2..].find("%}").map(|close| open + close + 4) else {
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
