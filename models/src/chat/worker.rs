//! A thread that owns a state and works on it, one job after the other.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use corbie_core::{Error, ErrorKind, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How many jobs may wait for the one that runs.
const MAX_WAITING: usize = 64;

/// Work on a state of type `S`.
pub(super) trait Job<S>: Send {
    /// Does it.
    fn run(self: Box<Self>, state: &mut S);

    /// Whether nobody waits for its result any more.
    fn is_cancelled(&self) -> bool;
}

/// The handle of the thread, which ends when the handle is gone and the last job done.
pub(super) struct Worker<S> {
    shared: Arc<Shared<S>>,
    name: String,
}

struct Shared<S> {
    queue: Mutex<Queue<S>>,
    changed: Condvar,
}

struct Queue<S> {
    waiting: VecDeque<Box<dyn Job<S>>>,
    closed: bool,
}

impl<S: Send + 'static> Worker<S> {
    /// Starts a thread for `name` on a state that `fresh` makes, and makes anew after a job that
    /// panicked. Jobs compute on `threads` threads of their own, or on those of the process.
    ///
    /// # Errors
    ///
    /// When the system grants no thread.
    pub fn start(
        name: &str,
        threads: Option<usize>,
        fresh: impl Fn() -> S + Send + 'static,
    ) -> Result<Self> {
        let pool = threads.map(|count| ThreadPoolBuilder::new().num_threads(count).build());
        let pool = pool.transpose().map_err(|error| {
            Error::new(
                ErrorKind::LimitExceeded,
                name,
                "its threads cannot be started",
            )
            .caused_by(error)
        })?;
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("corbie-model".into())
            .spawn(move || work(&of_thread, pool.as_ref(), fresh))
            .map_err(|error| Error::io(name, error))?;
        Ok(Self {
            shared,
            name: name.to_owned(),
        })
    }

    /// Adds a job behind those that wait.
    ///
    /// # Errors
    ///
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait.
    pub fn submit(&self, job: impl Job<S> + 'static) -> Result<()> {
        let mut queue = self.shared.lock();
        if queue.waiting.len() >= MAX_WAITING {
            queue.waiting.retain(|job| !job.is_cancelled());
        }
        if queue.waiting.len() >= MAX_WAITING {
            let cause = format!("{MAX_WAITING} requests already wait for it");
            let kind = ErrorKind::Overloaded {
                waiting: queue.waiting.len(),
            };
            return Err(
                Error::new(kind, &self.name, cause).hint("try again when some are answered")
            );
        }
        queue.waiting.push_back(Box::new(job));
        self.shared.changed.notify_one();
        Ok(())
    }
}

impl<S> Drop for Worker<S> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl<S> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Queue<S>> {
        // Nothing panics while the lock is held, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, as soon as there is one; `None` when there will be no more.
    fn next(&self) -> Option<Box<dyn Job<S>>> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.waiting.pop_front() {
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn work<S: Send>(shared: &Shared<S>, pool: Option<&ThreadPool>, fresh: impl Fn() -> S) {
    let mut state = fresh();
    while let Some(job) = shared.next() {
        if job.is_cancelled() {
            continue;
        }
        // A job runs on a thread of the pool: from outside, each kernel would wait to be let in.
        let run = || match pool {
            Some(pool) => pool.install(|| job.run(&mut state)),
            None => rayon::scope(|_| job.run(&mut state)),
        };
        // A panic is a bug of ours; it costs the one request, not the model.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            tracing::error!("a request panicked inside the local engine; its state starts anew");
            state = fresh();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Waits for its gate, then counts itself in the state and reports the count.
    struct Gated {
        gate: Receiver<()>,
        report: Sender<u32>,
        cancelled: bool,
    }

    impl Job<u32> for Gated {
        fn run(self: Box<Self>, state: &mut u32) {
            self.gate.recv().expect("a closed gate panics the job");
            *state += 1;
            self.report.send(*state).unwrap();
        }

        fn is_cancelled(&self) -> bool {
            self.cancelled
        }
    }

    fn gated(report: &Sender<u32>, cancelled: bool) -> (Sender<()>, Gated) {
        let (open, gate) = channel();
        let report = report.clone();
        (
            open,
            Gated {
                gate,
                report,
                cancelled,
            },
        )
    }

    #[test]
    fn jobs_run_in_order_and_a_full_queue_is_busy() {
        let worker = Worker::start("model `test`", Some(1), || 0).unwrap();
        let (report, counts) = channel();
        let mut gates = Vec::new();
        let mut refused = None;
        // One runs, the others wait; whether the thread has taken the first yet is open.
        for _ in 0..=MAX_WAITING + 1 {
            let (gate, job) = gated(&report, false);
            gates.push(gate);
            refused = worker.submit(job).err();
        }
        let waiting = MAX_WAITING;
        assert_eq!(refused.unwrap().kind(), &ErrorKind::Overloaded { waiting });
        for gate in &gates {
            // The refused jobs' gates are closed.
            let _ = gate.send(());
        }
        drop(report);
        let counts: Vec<u32> = counts.iter().collect();
        assert!(counts.len() >= MAX_WAITING, "{counts:?}");
        assert!(counts.iter().copied().eq(1..=counts.len() as u32));
    }

    #[test]
    fn cancelled_jobs_make_room_and_never_run() {
        let worker = Worker::start("model `test`", Some(1), || 0).unwrap();
        let (report, counts) = channel();
        let (first, job) = gated(&report, false);
        worker.submit(job).unwrap();
        for _ in 0..3 * MAX_WAITING {
            worker.submit(gated(&report, true).1).unwrap();
        }
        let (last, job) = gated(&report, false);
        worker.submit(job).unwrap();
        drop((worker, report));
        first.send(()).unwrap();
        last.send(()).unwrap();
        assert_eq!(counts.iter().collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_panic_costs_one_job_and_the_state() {
        let worker = Worker::start("model `test`", Some(1), || 10).unwrap();
        let (report, counts) = channel();
        drop(gated(&report, false));
        let (closed, job) = gated(&report, false);
        drop(closed);
        worker.submit(job).unwrap();
        let (gate, job) = gated(&report, false);
        worker.submit(job).unwrap();
        gate.send(()).unwrap();
        assert_eq!(counts.recv().unwrap(), 11);
    }
}
