//! The parent's hold on one worker process.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::PoisonError;

use corbie_core::{Document, Error, ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::protocol::{Answer, Refusal, Request};
use super::{Complaints, IsolationOptions, WorkerCommand};

pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    complaints: Complaints,
    pub(super) served: usize,
}

/// How a document failed.
pub(super) enum Failure {
    /// The parser said no; the worker is whole.
    Refused(Refusal),
    /// The worker is gone.
    Crashed(Death),
    /// The worker was stopped: out of time.
    Timeout,
    /// The worker was stopped: the document is too large.
    TooLarge,
}

/// How a worker ended, and its last words.
pub(super) struct Death {
    status: Option<ExitStatus>,
    complaints: String,
}

/// As much of standard error as is kept.
const COMPLAINTS_BYTES: usize = 4096;

impl Worker {
    pub(super) fn start(command: &WorkerCommand) -> Result<Self> {
        let subject = || format!("the parse worker `{}`", command.program.display());
        let mut child = Command::new(&command.program)
            .args(&command.arguments)
            // It needs nothing of ours, keys least of all.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| Error::io(subject(), error).hint("check that the program can run"))?;
        let complaints = Complaints::default();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(answers), Some(stderr)) = pipes else {
            return Err(Error::new(
                ErrorKind::Internal,
                subject(),
                "its pipes are missing",
            ));
        };
        tokio::spawn(listen(stderr, complaints.clone()));
        Ok(Self {
            child,
            requests,
            answers: BufReader::new(answers),
            complaints,
            served: 0,
        })
    }

    /// Has one document parsed. After [`Failure::Refused`] the worker can go on; after any other
    /// failure it is dead.
    pub(super) async fn parse(
        &mut self,
        request: &Request,
        bytes: &[u8],
        options: &IsolationOptions,
    ) -> Result<Document, Failure> {
        self.served += 1;
        let exchange = self.exchange(request, bytes, options.max_output_bytes);
        let answer = match tokio::time::timeout(options.wall_time, exchange).await {
            Ok(Ok(Some(answer))) => serde_json::from_slice(&answer),
            Ok(Ok(None)) => {
                self.kill().await;
                return Err(Failure::TooLarge);
            }
            Ok(Err(_)) => return Err(Failure::Crashed(self.death().await)),
            Err(_) => {
                self.kill().await;
                return Err(Failure::Timeout);
            }
        };
        match answer {
            Ok(Answer::Document(document)) => Ok(document),
            Ok(Answer::Refused(refusal)) => Err(Failure::Refused(refusal)),
            // A hostile document may have taken the worker over: what it says is not trusted.
            Err(_) => {
                self.kill().await;
                Err(Failure::Crashed(self.death().await))
            }
        }
    }

    /// Sends a request and returns the answer; nothing if it is longer than `most`.
    async fn exchange(
        &mut self,
        request: &Request,
        bytes: &[u8],
        most: u64,
    ) -> io::Result<Option<Vec<u8>>> {
        let header = serde_json::to_vec(request)?;
        for part in [header.as_slice(), bytes] {
            self.requests
                .write_all(&(part.len() as u64).to_le_bytes())
                .await?;
            self.requests.write_all(part).await?;
        }
        self.requests.flush().await?;
        let mut length = [0; 8];
        self.answers.read_exact(&mut length).await?;
        let length = u64::from_le_bytes(length);
        if length > most {
            return Ok(None);
        }
        let mut answer = Vec::new();
        let read = (&mut self.answers)
            .take(length)
            .read_to_end(&mut answer)
            .await?;
        match read as u64 == length {
            true => Ok(Some(answer)),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    async fn kill(&mut self) {
        // It fails only for a process that has ended already.
        let _ = self.child.kill().await;
    }

    /// How a worker whose pipe broke came to its end.
    async fn death(&mut self) -> Death {
        // One that closed its pipes but lives on is of no use.
        let patience = std::time::Duration::from_secs(5);
        let status = tokio::time::timeout(patience, self.child.wait()).await;
        self.kill().await;
        let complaints = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Death {
            status: status.ok().and_then(Result::ok),
            complaints: String::from_utf8_lossy(&complaints).into_owned(),
        }
    }
}

/// Drains standard error, so that a worker that complains much does not stand still.
async fn listen(mut stderr: ChildStderr, complaints: Complaints) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = complaints.lock().unwrap_or_else(PoisonError::into_inner);
        let room = COMPLAINTS_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
}

impl Failure {
    pub(super) fn into_error(self, source: &str, options: &IsolationOptions) -> Error {
        let limit = |cause: String| Error::new(ErrorKind::LimitExceeded, source, cause);
        let damaged = "the file is damaged or made to do harm";
        match self {
            Self::Refused(refusal) => refusal.into_error(source),
            Self::Timeout => limit(format!(
                "parsing it takes more than {} s",
                options.wall_time.as_secs_f32()
            ))
            .hint(damaged),
            Self::TooLarge => limit(format!(
                "its text is larger than {} MiB",
                options.max_output_bytes >> 20
            )),
            Self::Crashed(death) => match death.reason(options) {
                Reason::Limit(cause) => limit(cause).hint(damaged),
                Reason::Crash(cause) => {
                    Error::new(ErrorKind::Malformed, source, cause).hint(damaged)
                }
                Reason::NoWorker(cause) => Error::new(ErrorKind::Internal, source, cause)
                    .hint("the parse worker does not run: is its command right?"),
            },
        }
    }
}

enum Reason {
    Limit(String),
    Crash(String),
    NoWorker(String),
}

impl Death {
    fn reason(&self, options: &IsolationOptions) -> Reason {
        const ABORT: i32 = 6;
        const KILL: i32 = 9;
        const PROCESSOR_TIME: i32 = 24;
        let memory = || {
            format!(
                "parsing it needs more than {} MiB of memory",
                options.memory_bytes >> 20
            )
        };
        match self.status.and_then(|status| status.signal()) {
            Some(PROCESSOR_TIME) => Reason::Limit(format!(
                "parsing it takes more than {} s of processor time",
                options.processor_time.as_secs().max(1)
            )),
            Some(KILL) => Reason::Limit("its parser was killed: out of memory?".to_owned()),
            Some(ABORT) if self.complaints.contains("memory allocation") => Reason::Limit(memory()),
            Some(_) if self.complaints.contains("overflowed its stack") => {
                Reason::Crash("it is nested too deeply".to_owned())
            }
            Some(signal) => Reason::Crash(format!("its parser crashed (signal {signal})")),
            None => {
                let last = self
                    .complaints
                    .lines()
                    .rfind(|line| !line.trim().is_empty());
                Reason::NoWorker(match last {
                    Some(words) => format!("the parse worker ended: {words}"),
                    None => "the parse worker ended without a word".to_owned(),
                })
            }
        }
    }
}
