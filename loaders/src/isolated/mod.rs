//! Parsing what strangers wrote in child processes under limits.
//!
//! A decoder that aborts, overflows its stack, hangs or eats memory takes only its worker along:
//! the document is named with the reason, and the next one gets a new worker. The program that
//! embeds Corbie is its own worker: started with a hidden argument it calls [`worker_main`].
//!
//! ```no_run
//! use corbie_loaders::{IsolatedParser, Parsers, WorkerCommand, isolated::worker_main};
//!
//! if std::env::args().nth(1).as_deref() == Some("__parse") {
//!     let parsers = Parsers::standard();
//!     return Ok(worker_main(|source, bytes| parsers.parse_now(source, bytes))?);
//! }
//! let parser = IsolatedParser::new(WorkerCommand::this_program("__parse")?, Default::default());
//! # let _ = parser;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod protocol;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corbie_core::{BoxFuture, Document, Error, ErrorKind, Parser, Result};
use tokio::sync::Semaphore;

use crate::Parsers;
use protocol::Request;
use worker::{Failure, Worker};

pub use protocol::worker_main;

/// The limits of a worker, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationOptions {
    /// The most address space of a worker. 2 GiB unless told.
    pub memory_bytes: u64,
    /// The most processor time for one document, whole seconds. 60 s unless told.
    pub processor_time: Duration,
    /// The most time by the clock for one document. 120 s unless told.
    pub wall_time: Duration,
    /// The most bytes of a parsed document. 256 MiB unless told.
    pub max_output_bytes: u64,
    /// How many documents are parsed at once. As many as there are processors, at most 4, unless
    /// told.
    pub workers: usize,
    /// After this many documents a worker is replaced, so that leaks end. 200 unless told.
    pub documents_per_worker: usize,
}

impl Default for IsolationOptions {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            memory_bytes: 2 << 30,
            processor_time: Duration::from_secs(60),
            wall_time: Duration::from_secs(120),
            max_output_bytes: 256 << 20,
            workers: processors.min(4),
            documents_per_worker: 200,
        }
    }
}

/// The program that becomes a worker, which calls [`worker_main`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl WorkerCommand {
    /// The running program itself, started with one argument that tells it to be a worker.
    ///
    /// # Errors
    ///
    /// When the system does not say which program is running.
    pub fn this_program(argument: &str) -> Result<Self> {
        // This path leads to the running program even after an update has replaced its file.
        let own = PathBuf::from("/proc/self/exe");
        let program = match own.exists() {
            true => own,
            false => {
                std::env::current_exe().map_err(|error| Error::io("the running program", error))?
            }
        };
        Ok(Self {
            program,
            arguments: vec![argument.into()],
        })
    }
}

/// A parser that runs the risky formats (PDF, HTML) of [`Parsers::standard`] in child processes
/// under limits of memory, processor time and wall time; the others are parsed here.
///
/// Needs tokio with its I/O and time drivers. See the [module](self) for how to start one.
pub struct IsolatedParser {
    parsers: Parsers,
    command: WorkerCommand,
    options: IsolationOptions,
    permits: Semaphore,
    // Held only to push and pop, never across an await.
    idle: Mutex<Vec<Worker>>,
}

impl IsolatedParser {
    /// A parser whose workers are started with `command` when they are needed.
    pub fn new(command: WorkerCommand, options: IsolationOptions) -> Self {
        Self {
            parsers: Parsers::standard(),
            permits: Semaphore::new(options.workers.max(1)),
            idle: Mutex::new(Vec::new()),
            command,
            options,
        }
    }

    async fn parse_isolated(&self, source: &str, bytes: &[u8]) -> Result<Document> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|error| Error::new(ErrorKind::Internal, source, error))?;
        let request = Request::new(source, &self.options);
        if let Some(worker) = self.take_idle() {
            match self.run(worker, &request, bytes).await {
                // A worker may have been hurt by an earlier document: a new one decides.
                Err(Failure::Crashed(_)) => {}
                other => return other.map_err(|failure| failure.into_error(source, &self.options)),
            }
        }
        let worker = Worker::start(&self.command)?;
        let result = self.run(worker, &request, bytes).await;
        result.map_err(|failure| failure.into_error(source, &self.options))
    }

    async fn run(
        &self,
        mut worker: Worker,
        request: &Request,
        bytes: &[u8],
    ) -> Result<Document, Failure> {
        let result = worker.parse(request, bytes, &self.options).await;
        // What the document itself was refused for leaves the worker whole.
        let is_whole = matches!(result, Ok(_) | Err(Failure::Refused(_)));
        if is_whole && worker.served < self.options.documents_per_worker {
            self.idle().push(worker);
        }
        result
    }

    fn take_idle(&self) -> Option<Worker> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Parser for IsolatedParser {
    fn parse<'a>(&'a self, source: &'a str, bytes: &'a [u8]) -> BoxFuture<'a, Result<Document>> {
        Box::pin(async move {
            match self.parsers.format_of(source, bytes)?.risky {
                true => self.parse_isolated(source, bytes).await,
                false => self.parsers.parse(source, bytes).await,
            }
        })
    }
}

/// What a worker wrote to its standard error, as far as it is kept.
type Complaints = Arc<Mutex<Vec<u8>>>;
