//! Threads for calls that block.

use std::thread::JoinHandle;

use corbie_core::{BoxFuture, Error, ErrorKind, Result};
use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A few threads that run blocking calls for any executor. Dropping waits for what they do:
/// afterwards nothing of the store is in use.
pub(super) struct Threads {
    queue: Option<Sender<Work>>,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(super) fn start(name: &str, count: usize) -> std::io::Result<Self> {
        let (queue, receiver) = unbounded::<Work>();
        let mut running = Vec::with_capacity(count);
        for _ in 0..count {
            let receiver = receiver.clone();
            let work = move || receiver.iter().for_each(|work| work());
            let thread = std::thread::Builder::new().name(name.to_owned());
            running.push(thread.spawn(work)?);
        }
        Ok(Self {
            queue: Some(queue),
            running,
        })
    }

    /// Runs `work` now; the future is its result. Dropping the future does not stop it.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let (sender, receiver) = oneshot::channel();
        self.start_work(move || {
            // A panic of the engine must cost this call, not the thread that serves the others.
            let work = std::panic::AssertUnwindSafe(work);
            if let Ok(value) = std::panic::catch_unwind(work) {
                let _ = sender.send(value);
            }
        });
        Box::pin(async move {
            receiver.await.map_err(|_| {
                Error::new(
                    ErrorKind::Internal,
                    "the vector store",
                    "its engine gave up on a call",
                )
            })
        })
    }

    /// Runs `work` without telling anybody.
    pub(super) fn start_work(&self, work: impl FnOnce() + Send + 'static) {
        // The threads live as long as the queue: sending fails only when all have panicked, and
        // then the dropped sender of the result tells the caller.
        if let Some(queue) = &self.queue {
            let _ = queue.send(Box::new(work));
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.running.drain(..) {
            // A thread that panicked has nothing left to wait for.
            let _ = thread.join();
        }
    }
}
