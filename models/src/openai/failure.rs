//! What a service's failures mean to the caller.

use std::fmt;
use std::time::Duration;

use async_openai::error::OpenAIError;
use corbie_core::{Error, ErrorKind};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::RemoteOptions;

/// The most characters of a service's own words in an error.
const MAX_WORDS: usize = 300;

/// An answer that is not a success.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// How long to wait, where the service says.
    pub retry_after: Option<Duration>,
    /// What it says.
    pub body: Vec<u8>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)
    }
}

impl std::error::Error for Refused {}

/// Sorts a failure by what the caller can do.
pub fn sort(options: &RemoteOptions, error: OpenAIError) -> Error {
    let subject = options.subject();
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<Refused>() {
            Ok(refused) => refusal(options, *refused),
            Err(other) => Error::new(
                ErrorKind::Internal,
                subject,
                words(options, &other.to_string()),
            ),
        },
        OpenAIError::Reqwest(error) => {
            // Addresses may hold credentials, and the outermost message says least.
            let error = error.without_url();
            let mut cause: &dyn std::error::Error = &error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            Error::new(
                ErrorKind::Unavailable,
                subject,
                format!("{} does not answer: {cause}", host(options)),
            )
            .hint("check that the service runs and its address is right")
        }
        OpenAIError::JSONDeserialize(error, _) => Error::new(
            ErrorKind::Malformed,
            subject,
            format!("its answer is not the expected JSON: {error}"),
        ),
        OpenAIError::StreamError(error) => Error::new(
            ErrorKind::Unavailable,
            subject,
            format!(
                "its answer broke off: {}",
                words(options, &error.to_string())
            ),
        ),
        OpenAIError::InvalidArgument(why) => Error::new(ErrorKind::BadInput, subject, why),
        other => Error::new(
            ErrorKind::Internal,
            subject,
            words(options, &other.to_string()),
        ),
    }
}

/// The host alone: a base URL may hold a password.
fn host(options: &RemoteOptions) -> String {
    let url = reqwest::Url::parse(&options.base_url).ok();
    let host = url.as_ref().and_then(|url| url.host_str());
    host.unwrap_or("the service").to_owned()
}

fn refusal(options: &RemoteOptions, refused: Refused) -> Error {
    let body: Value = serde_json::from_slice(&refused.body)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&refused.body).into_owned()));
    by_status(
        options,
        refused.status,
        refused.retry_after,
        body.get("error").unwrap_or(&body),
    )
}

/// An error object inside a stream that began well.
pub fn in_stream(options: &RemoteOptions, error: &Value) -> Error {
    let code = error.get("code").and_then(Value::as_u64);
    let status = code
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(500);
    by_status(options, status, None, error)
}

fn by_status(
    options: &RemoteOptions,
    status: u16,
    retry_after: Option<Duration>,
    said: &Value,
) -> Error {
    let text = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default();
    let message = match said {
        Value::String(message) => message.as_str(),
        _ => text("message"),
    };
    let cause = match message.trim() {
        "" => format!("the service answers {status}"),
        message => format!("the service answers {status}: {}", words(options, message)),
    };
    let signs = [text("code"), text("type"), message]
        .join(" ")
        .to_ascii_lowercase();
    let error = |kind| Error::new(kind, options.subject(), &cause);
    match status {
        401 | 403 => {
            let error = error(ErrorKind::Unauthorized);
            match options.key_variable {
                Some(variable) => error.hint(format!("check {variable}")),
                None => error,
            }
        }
        400 | 413 | 422 | 500 if is_context_too_long(&signs) => {
            let (tokens, limit) = context_numbers(said, message, options.context_length);
            error(ErrorKind::ContextTooLong { tokens, limit })
                .hint("shorten the conversation or take fewer passages")
        }
        402 => error(ErrorKind::LimitExceeded).hint("the account has no credit left"),
        429 if signs.contains("insufficient_quota") => {
            error(ErrorKind::LimitExceeded).hint("the account has no credit left")
        }
        429 => error(ErrorKind::RateLimited { retry_after }),
        404 => error(ErrorKind::NotFound).hint("check the model's name and the service's address"),
        408 | 409 | 425 | 500..=599 => error(ErrorKind::Unavailable),
        300..=399 => error(ErrorKind::Malformed).hint("the address redirects: use the final one"),
        _ => error(ErrorKind::BadInput),
    }
}

fn is_context_too_long(signs: &str) -> bool {
    [
        "context_length_exceeded",
        "exceed_context_size",
        "maximum context length",
        "context length",
        "context window",
        "context size",
        "prompt is too long",
        "too many tokens",
    ]
    .iter()
    .any(|sign| signs.contains(sign))
}

/// How long the prompt is and how much fits: by the fields that llama.cpp sends, or by the numbers
/// of a message such as "maximum context length is 8192 tokens, you asked for 9000".
fn context_numbers(said: &Value, message: &str, configured: Option<usize>) -> (usize, usize) {
    let field = |name: &str| usize::try_from(said.get(name)?.as_u64()?).ok();
    let numbers: Vec<usize> = message
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .filter(|number| *number >= 64)
        .collect();
    let limit = field("n_ctx")
        .or(configured)
        .or_else(|| numbers.iter().min().copied())
        .unwrap_or(0);
    let tokens = field("n_prompt_tokens").or_else(|| numbers.iter().max().copied());
    (tokens.unwrap_or(0).max(limit.saturating_add(1)), limit)
}

/// A service's own words: short, on one line, and without our key, which some services repeat.
fn words(options: &RemoteOptions, text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(key) = &options.key
        && !key.expose_secret().is_empty()
    {
        text = text.replace(key.expose_secret(), "[key]");
    }
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_WORDS)
        .collect()
}
