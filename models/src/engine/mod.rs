//! The local engine: one thread that serves many requests with one decoder.
//!
//! Requests go in, tokens come out through each request's [`Sink`]. Running requests share every
//! pass of the decoder: new ones join between two passes, long prompts are read in pieces so that
//! the others keep flowing, and what a prompt shares with texts that were read before is not read
//! again. None of it changes what is written: a request's tokens are those it would get alone.
//!
//! Continuous batching follows Yu et al. (Orca, 2022); blocks of keys and values that sequences
//! share follow Kwon et al. (PagedAttention, 2023), here as a tree of prefixes (Zheng et al.,
//! SGLang, 2024).

mod guess;
mod guide;
mod inbox;
mod masks;
mod plan;
mod prefix;
mod request;
mod run;
mod schedule;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

pub use guide::Guide;
pub use request::{Request, Sink, Written};

use crate::decoder::{Decoder, DecoderConfig, Workspace};
use inbox::{Entry, Inbox};
pub(crate) use plan::MOST_PROMPT_TOKENS;
use schedule::Schedule;

/// What an engine may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineOptions {
    /// The most bytes of keys and values: of running requests first, and of prefixes kept for
    /// later ones with what is left.
    pub memory: usize,
    /// The most requests that run together.
    pub running: usize,
    /// The most requests that wait.
    pub waiting: usize,
    /// How many threads compute; `None`: those that the whole process shares.
    pub threads: Option<usize>,
    /// The most tokens that are guessed from the text at a time and read along with the last one.
    /// What is written does not depend on it.
    pub guesses: usize,
}

/// How many tokens are guessed unless another number is set.
pub(crate) const GUESSES: usize = 10;

impl EngineOptions {
    /// Sixteen requests together, sixty-four waiting, and memory for the longest context, or 512
    /// MiB where that is more.
    pub fn for_context(decoder: &Decoder, context_length: usize) -> Self {
        Self::for_shape(decoder.config(), context_length)
    }

    /// The same for a decoder that is known by its shape alone.
    pub fn for_shape(shape: &DecoderConfig, context_length: usize) -> Self {
        Self {
            memory: shape.memory_of(context_length).max(512 << 20),
            running: 16,
            waiting: 64,
            threads: None,
            guesses: GUESSES,
        }
    }
}

/// How an engine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Requests that wait.
    pub waiting: usize,
    /// Bytes of keys and values in use, kept prefixes among them.
    pub memory: usize,
}

/// The handle of the engine's thread, which ends when the handle is gone and the last request
/// done.
pub struct Engine {
    inbox: Arc<Inbox>,
    decoder: Arc<Decoder>,
    options: EngineOptions,
    name: String,
}

impl Engine {
    /// Starts the engine of `decoder`; `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// When the system grants no thread.
    pub fn start(name: &str, decoder: &Arc<Decoder>, options: EngineOptions) -> Result<Self> {
        let refused = |error| {
            let cause = "its threads cannot be started";
            Error::new(ErrorKind::LimitExceeded, name, cause).caused_by(error)
        };
        let pool = options.threads.map(|count| {
            let pool = ThreadPoolBuilder::new().num_threads(count).build();
            pool.map_err(refused)
        });
        let pool = pool.transpose()?;
        let inbox = Arc::new(Inbox::new(options.waiting));
        let thread = Thread {
            inbox: Arc::clone(&inbox),
            decoder: Arc::clone(decoder),
            options,
            name: name.to_owned(),
        };
        std::thread::Builder::new()
            .name("corbie-engine".into())
            .spawn(move || thread.work(pool.as_ref()))
            .map_err(|error| Error::io(name, error))?;
        Ok(Self {
            inbox,
            decoder: Arc::clone(decoder),
            options,
            name: name.to_owned(),
        })
    }

    /// Adds a request behind those that wait.
    ///
    /// # Errors
    ///
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait;
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) for a request that the memory could never
    /// hold; [`BadInput`](ErrorKind::BadInput) for an empty prompt or a token that the decoder
    /// does not know.
    pub fn submit(&self, request: Request) -> Result<()> {
        self.check(&request)?;
        self.put(Entry::Request(Box::new(request)))
    }

    /// Adds requests that begin together and count as one that waits. The first one's prompt is
    /// what the prompts of the rest begin with: it is read once, then the rest go on.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::submit`]; none begins then.
    pub fn submit_together(&self, first: Request, rest: Vec<Request>) -> Result<()> {
        self.check(&first)?;
        rest.iter().try_for_each(|request| self.check(request))?;
        self.put(Entry::Together(Box::new(first), rest))
    }

    /// Has the thread do `work` on the decoder between two passes.
    ///
    /// # Errors
    ///
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait.
    pub fn call(
        &self,
        work: impl FnOnce(&Arc<Decoder>, &mut Workspace) + Send + 'static,
    ) -> Result<()> {
        self.put(Entry::Call(Box::new(work)))
    }

    /// Has the thread forget the prefixes that it keeps for later requests.
    ///
    /// # Errors
    ///
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait.
    pub fn forget(&self) -> Result<()> {
        self.put(Entry::Forget)
    }

    fn put(&self, entry: Entry) -> Result<()> {
        self.inbox.put(entry).map_err(|waiting| {
            let cause = format!("{waiting} requests already wait for it");
            Error::new(ErrorKind::Overloaded { waiting }, &self.name, cause)
                .hint("try again when some are answered")
        })
    }

    /// How many tokens a request may have, prompt and answer together, by its memory.
    pub fn most_tokens(&self, context_length: usize) -> usize {
        let (mut fits, mut over) = (0, context_length + 1);
        while over - fits > 1 {
            let middle = fits.midpoint(over);
            match self.decoder.memory_of(middle) <= self.options.memory {
                true => fits = middle,
                false => over = middle,
            }
        }
        fits
    }

    /// How it is doing now.
    pub fn load(&self) -> Load {
        Load {
            waiting: self.inbox.waiting(),
            memory: self.decoder.memory_in_use(),
        }
    }

    fn check(&self, request: &Request) -> Result<()> {
        let refuse = |cause: String| Err(Error::new(ErrorKind::BadInput, &self.name, cause));
        if request.prompt.is_empty() {
            return refuse("the prompt is empty".into());
        }
        let known = self.decoder.vocabulary();
        let unknown = |token: &&u32| **token as usize >= known;
        if let Some(token) = request.prompt.iter().find(unknown) {
            return refuse(format!("token {token} is not among its {known}"));
        }
        if let Some(adapter) = &request.adapter
            && !adapter.fits(self.decoder.config())
        {
            return refuse(format!(
                "{} is for a model of another shape",
                adapter.name()
            ));
        }
        let tokens = request.prompt.len() + request.max_tokens;
        let (needed, limit) = (self.decoder.memory_of(tokens), self.options.memory);
        if needed > limit {
            let mebibytes = |bytes: usize| bytes.div_ceil(1 << 20);
            let cause = format!(
                "a request of {tokens} tokens needs {} MiB of memory, its limit is {} MiB",
                mebibytes(needed),
                mebibytes(limit)
            );
            return Err(Error::new(ErrorKind::LimitExceeded, &self.name, cause)
                .hint("ask for fewer tokens, or load the model with a higher limit"));
        }
        Ok(())
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// What the thread knows.
struct Thread {
    inbox: Arc<Inbox>,
    decoder: Arc<Decoder>,
    options: EngineOptions,
    name: String,
}

impl Thread {
    fn work(self, pool: Option<&ThreadPool>) {
        let fresh = || Schedule::new(&self.name, &self.decoder, &self.inbox, self.options);
        let mut schedule = fresh();
        while self.inbox.wait() {
            // It works on a thread of the pool: from outside, each kernel would wait to be let
            // in.
            let run = || match pool {
                Some(pool) => pool.install(|| schedule.run()),
                None => rayon::scope(|_| schedule.run()),
            };
            // A panic is a bug of ours; it costs the requests that ran, not the model.
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                tracing::error!("the local engine panicked; its state starts anew");
                schedule = fresh();
            }
        }
    }
}
