//! What goes wrong with a server, sorted by what the caller can do.

use std::error::Error as _;

use corbie_core::{Error, ErrorKind};
use tokio_postgres::error::SqlState;

/// Why a piece of work on a connection failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server, or the way to it.
    Server(tokio_postgres::Error),
    /// Already in our terms.
    Ours(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

/// What the server's codes mean (PostgreSQL's appendix A), by their beginnings; the first that
/// fits counts.
const MEANINGS: [(&str, ErrorKind, &str); 20] = [
    ("28", ErrorKind::Unauthorized, CREDENTIALS),
    (
        "3D000",
        ErrorKind::NotFound,
        "make the database first: CREATE DATABASE",
    ),
    (
        "42501",
        ErrorKind::Unauthorized,
        "the user must own the tables, or be allowed to create some: GRANT CREATE ON SCHEMA",
    ),
    (
        "42703",
        ErrorKind::Mismatch,
        "a table of this name belongs to something else: choose another name",
    ),
    ("42", ErrorKind::Internal, "please report this"),
    (
        "53100",
        ErrorKind::Io,
        "make room on the disk of the server, then do the same again",
    ),
    (
        "53300",
        ErrorKind::Unavailable,
        "allow the server more connections, or open fewer",
    ),
    ("53", ErrorKind::Unavailable, "try again later"),
    ("57014", ErrorKind::Unavailable, SLOW),
    ("57", ErrorKind::Unavailable, "try again later"),
    ("08", ErrorKind::Unavailable, "try again later"),
    (
        "25006",
        ErrorKind::Unsupported,
        "this server only reads: name the one that writes",
    ),
    (
        "40",
        ErrorKind::Busy,
        "other writers were in the way: try again",
    ),
    (
        "55P03",
        ErrorKind::Busy,
        "somebody else locks the table: try again",
    ),
    (
        "54",
        ErrorKind::LimitExceeded,
        "it is larger than the server takes",
    ),
    (
        "22",
        ErrorKind::BadInput,
        "the server cannot keep such a value",
    ),
    (
        "0A",
        ErrorKind::Unsupported,
        "a newer server, or a newer pgvector, may do it",
    ),
    (
        "XX001",
        ErrorKind::Malformed,
        "the server's files are damaged: restore them",
    ),
    (
        "XX002",
        ErrorKind::Malformed,
        "an index of the server is damaged: REINDEX",
    ),
    ("", ErrorKind::Io, "the server's log says more"),
];

const CREDENTIALS: &str = "name the user and the password in the URL: \
                           postgres://USER:PASSWORD@HOST/DATABASE";

/// What to do about a call that was too slow.
pub(super) const SLOW: &str = "try again later, or allow it more time (`timeout`)";

impl Failure {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            Self::Ours(_) => None,
        }
    }

    /// Whether the connection is of no more use, and another may be.
    pub(super) fn lost(&self) -> bool {
        match (self, self.code()) {
            (Self::Ours(_), _) => false,
            (_, Some(code)) => {
                // 57014 is a query that was stopped; its connection is well.
                let code = code.code();
                code.starts_with("08") || (code.starts_with("57P") && code != "57P04")
            }
            (Self::Server(error), None) => error.is_closed() || io_error(error).is_some(),
        }
    }

    /// Whether a table is not there, though it was before.
    pub(super) fn table_is_gone(&self) -> bool {
        self.code() == Some(&SqlState::UNDEFINED_TABLE)
    }

    /// Whether the extension's files are not on the server.
    pub(super) fn is_not_installed(&self) -> bool {
        let absent = [
            SqlState::UNDEFINED_FILE,
            SqlState::FEATURE_NOT_SUPPORTED,
            SqlState::UNDEFINED_OBJECT,
        ];
        self.code().is_some_and(|code| absent.contains(code))
    }

    /// Whether the user may not do it.
    pub(super) fn is_forbidden(&self) -> bool {
        self.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    }

    /// Whether the same again may end otherwise, at once.
    pub(super) fn passes(&self) -> bool {
        let collided = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        self.lost()
            || self.table_is_gone()
            || self.code().is_some_and(|code| collided.contains(code))
    }

    /// The error for the caller, about `subject`: the server and the table.
    pub(super) fn about(self, subject: impl Into<String>) -> Error {
        let error = match self {
            Self::Ours(error) => return error,
            Self::Server(error) => error,
        };
        let (kind, cause, hint) = match error.as_db_error() {
            Some(said) => {
                let code = said.code().code();
                let meaning = MEANINGS.iter().find(|(begin, ..)| code.starts_with(begin));
                let (_, kind, hint) = meaning.unwrap_or(&MEANINGS[MEANINGS.len() - 1]);
                (kind.clone(), said.message().to_owned(), *hint)
            }
            None => {
                let (kind, hint) = without_code(&error);
                let cause = match error.source() {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                (kind, cause, hint)
            }
        };
        Error::new(kind, subject, cause).hint(hint).caused_by(error)
    }
}

/// The meaning of what the server did not say itself.
fn without_code(error: &tokio_postgres::Error) -> (ErrorKind, &'static str) {
    let said = error.to_string();
    if said.contains("TLS") {
        let hint = "the certificate must be one that this machine trusts, for this host; \
                    sslmode=disable goes without";
        return (ErrorKind::Unavailable, hint);
    }
    if said.contains("authentication") || said.contains("configuration") {
        return (ErrorKind::Unauthorized, CREDENTIALS);
    }
    let away = ["connecting", "timeout", "communicating"];
    let away = error.is_closed() || away.iter().any(|word| said.contains(word));
    if away || io_error(error).is_some() {
        let hint = "is the server running, and does the URL name its host and port?";
        return (ErrorKind::Unavailable, hint);
    }
    (ErrorKind::Internal, "please report this")
}

fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    error.source()?.downcast_ref()
}
