//! What a server's refusals mean to a caller.

use std::error::Error as StdError;
use std::time::Duration;

use corbie_core::{Error, ErrorKind};
use tonic::{Code, Status};

/// The most characters of a server's message that are passed on.
const LONGEST_MESSAGE: usize = 500;

/// How a server marks that it refuses for want of room, not for want of time.
const NO_ROOM: &str = "qdrant-insufficient-storage";

/// The error that `status` is. The key is taken out of it, should the server have repeated it.
pub(super) fn sort(subject: &str, key: Option<&str>, status: &Status) -> Error {
    let retry_after = || {
        let seconds = status.metadata().get("retry-after")?.to_str().ok()?;
        seconds.trim().parse().ok().map(Duration::from_secs)
    };
    let (kind, hint) = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => match key {
            Some(_) => (
                ErrorKind::Unauthorized,
                "check the API key and what it permits",
            ),
            None => (ErrorKind::Unauthorized, "the server wants an API key"),
        },
        Code::NotFound => (
            ErrorKind::NotFound,
            "somebody has removed it; `corbie index rebuild` makes it anew",
        ),
        Code::ResourceExhausted if status.metadata().contains_key(NO_ROOM) => (
            ErrorKind::LimitExceeded,
            "make room on the server, or raise its limits",
        ),
        Code::ResourceExhausted => (
            ErrorKind::RateLimited {
                retry_after: retry_after(),
            },
            "wait, or raise the limits of the collection",
        ),
        Code::InvalidArgument | Code::AlreadyExists => (
            ErrorKind::BadInput,
            "the limits of the collection or of the server may forbid it",
        ),
        Code::OutOfRange => (
            ErrorKind::LimitExceeded,
            "ask for less at a time, or write smaller batches",
        ),
        Code::Unimplemented => (
            ErrorKind::Unsupported,
            "is this the gRPC port of a Qdrant server of version 1.19 or later?",
        ),
        Code::DataLoss => (
            ErrorKind::Malformed,
            "restore the collection, or remove it and ingest again",
        ),
        // What is left is the server or the way to it, and may pass.
        _ => (
            ErrorKind::Unavailable,
            "is the server running, and is this its gRPC port (6334, unless configured)?",
        ),
    };
    Error::new(kind, subject, cause(key, status)).hint(hint)
}

/// What happened, from the message down to its first cause: of a failed connection only that one
/// says why.
fn cause(key: Option<&str>, status: &Status) -> String {
    let mut text = match status.message() {
        "" => format!("{:?}", status.code()),
        message => message.to_owned(),
    };
    let mut source = status.source();
    while let Some(error) = source {
        let said = error.to_string();
        if !text.contains(&said) {
            text += &format!(": {said}");
        }
        source = error.source();
    }
    if let Some(key) = key.filter(|key| !key.is_empty()) {
        text = text.replace(key, "…");
    }
    if text.chars().count() > LONGEST_MESSAGE {
        text = text.chars().take(LONGEST_MESSAGE).chain(['…']).collect();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_repeats_the_key_or_talks_on_is_cut_short() {
        let status = Status::unauthenticated(format!("no such key: hush {}", "x".repeat(9999)));
        let error = sort("it", Some("hush"), &status);
        assert_eq!(error.kind(), &ErrorKind::Unauthorized);
        assert!(!format!("{error:?}").contains("hush"), "{error}");
        assert!(error.cause().chars().count() <= LONGEST_MESSAGE + 1);
    }

    #[test]
    fn want_of_room_is_not_want_of_time() {
        let mut status = Status::resource_exhausted("full");
        let error = sort("it", None, &status);
        assert_eq!(error.kind(), &ErrorKind::RateLimited { retry_after: None });
        status
            .metadata_mut()
            .insert("retry-after", "7".parse().unwrap_or(0.into()));
        let error = sort("it", None, &status);
        let retry_after = Some(Duration::from_secs(7));
        assert_eq!(error.kind(), &ErrorKind::RateLimited { retry_after });
        status.metadata_mut().insert(NO_ROOM, 1.into());
        let error = sort("it", None, &status);
        assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
        assert!(!error.is_retryable());
    }
}
