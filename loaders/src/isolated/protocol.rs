//! What parent and worker say to each other, and the worker's side of it.
//!
//! A request is a JSON header, then the document's bytes; an answer is JSON. Each part is
//! preceded by its length, eight bytes, little-endian.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use corbie_core::{Document, Error, ErrorKind, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::IsolationOptions;
use crate::parser::guarded;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    source: String,
    memory_bytes: u64,
    processor_seconds: u64,
}

impl Request {
    pub(super) fn new(source: &str, options: &IsolationOptions) -> Self {
        Self {
            source: source.to_owned(),
            memory_bytes: options.memory_bytes,
            processor_seconds: options.processor_time.as_secs().max(1),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Document(Document),
    Refused(Refusal),
}

/// An [`Error`] on its way from worker to parent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    kind: RefusalKind,
    cause: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RefusalKind {
    Malformed,
    Unsupported,
    LimitExceeded,
    Internal,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Malformed => RefusalKind::Malformed,
            ErrorKind::Unsupported => RefusalKind::Unsupported,
            ErrorKind::LimitExceeded => RefusalKind::LimitExceeded,
            _ => RefusalKind::Internal,
        };
        Self {
            kind,
            cause: error.cause().to_owned(),
            hint: error.next_step().map(str::to_owned),
        }
    }
}

impl Refusal {
    pub(super) fn into_error(self, source: &str) -> Error {
        let kind = match self.kind {
            RefusalKind::Malformed => ErrorKind::Malformed,
            RefusalKind::Unsupported => ErrorKind::Unsupported,
            RefusalKind::LimitExceeded => ErrorKind::LimitExceeded,
            RefusalKind::Internal => ErrorKind::Internal,
        };
        let error = Error::new(kind, source, self.cause);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Serves as a worker of an [`IsolatedParser`](super::IsolatedParser) until its parent closes the
/// pipe: reads documents from standard input, parses them with `parse`, writes the results to
/// standard output.
///
/// It limits its own process: address space and processor time as the parent asks, no core
/// dumps, no files written. Whatever `parse` prints goes nowhere.
///
/// # Errors
///
/// When a pipe breaks or the limits cannot be set.
pub fn worker_main(parse: impl Fn(&str, &[u8]) -> Result<Document> + Sync) -> io::Result<()> {
    // Decoders may print; the answers keep the real standard output for themselves.
    let answers = File::from(rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?);
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    // A panic is reported as the document's reason.
    std::panic::set_hook(Box::new(|_| {}));
    set_limit(Resource::Core, 0)?;
    set_limit(Resource::Fsize, 0)?;
    serve(BufReader::new(io::stdin().lock()), answers, parse)
}

fn serve(
    mut requests: impl Read,
    mut answers: impl Write,
    parse: impl Fn(&str, &[u8]) -> Result<Document> + Sync,
) -> io::Result<()> {
    while let Some(header) = read_part(&mut requests)? {
        let request: Request = serde_json::from_slice(&header)?;
        limit(&request)?;
        let bytes = read_part(&mut requests)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let answer = match guarded(&request.source, || parse(&request.source, &bytes)) {
            Ok(document) => Answer::Document(document),
            Err(error) => Answer::Refused(error.into()),
        };
        drop(bytes);
        let answer = serde_json::to_vec(&answer)?;
        answers.write_all(&(answer.len() as u64).to_le_bytes())?;
        answers.write_all(&answer)?;
        answers.flush()?;
    }
    Ok(())
}

/// One part with its length before it; nothing when the input has ended.
fn read_part(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from_le_bytes(length);
    let mut part = Vec::new();
    input.take(length).read_to_end(&mut part)?;
    if part.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(part))
}

fn limit(request: &Request) -> io::Result<()> {
    set_limit(Resource::As, request.memory_bytes)?;
    // The system counts a process' whole life: each document gets its time on top.
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds = u64::try_from(used.tv_sec).unwrap_or_default();
    let now = Rlimit {
        current: Some(seconds + 1 + request.processor_seconds),
        maximum: None,
    };
    Ok(setrlimit(Resource::Cpu, now)?)
}

fn set_limit(resource: Resource, limit: u64) -> io::Result<()> {
    // A stricter limit may be in force already, and stays.
    let hardest = rustix::process::getrlimit(resource)
        .maximum
        .unwrap_or(u64::MAX);
    let limit = limit.min(hardest);
    let both = Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    Ok(setrlimit(resource, both)?)
}
