//! Where requests wait.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Request;
use crate::decoder::{Decoder, Workspace};

/// Work on the decoder itself.
pub(super) type Call = Box<dyn FnOnce(&Arc<Decoder>, &mut Workspace) + Send>;

/// What waits.
pub(super) enum Entry {
    Request(Box<Request>),
    /// Requests that begin together; the rest go on from the first one's prompt.
    Together(Box<Request>, Vec<Request>),
    Call(Call),
    /// Forget all prefixes.
    Forget,
}

impl Entry {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Request(request) | Self::Together(request, _) => request.sink.is_cancelled(),
            Self::Call(_) | Self::Forget => false,
        }
    }
}

/// A bounded queue, first come, first served.
pub(super) struct Inbox {
    limit: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Entry>,
    closed: bool,
}

impl Inbox {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Adds an entry, or says how many wait when there is no room.
    pub fn put(&self, entry: Entry) -> Result<(), usize> {
        let mut queue = self.lock();
        if queue.waiting.len() >= self.limit {
            queue.waiting.retain(|entry| !entry.is_cancelled());
        }
        if queue.waiting.len() >= self.limit {
            return Err(queue.waiting.len());
        }
        queue.waiting.push_back(entry);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes what came first, if `wanted` says so.
    pub fn take(&self, wanted: impl FnOnce(&Entry) -> bool) -> Option<Entry> {
        let mut queue = self.lock();
        let first = queue.waiting.front()?;
        match wanted(first) {
            true => queue.waiting.pop_front(),
            false => None,
        }
    }

    /// Takes out everything that `gone` says so of.
    pub fn remove(&self, mut gone: impl FnMut(&Request) -> bool) -> Vec<Request> {
        let mut removed = Vec::new();
        let mut queue = self.lock();
        let waiting = std::mem::take(&mut queue.waiting);
        for entry in waiting {
            match entry {
                Entry::Request(request) if gone(&request) => removed.push(*request),
                entry => queue.waiting.push_back(entry),
            }
        }
        removed
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Waits until something waits; false when there will be no more.
    pub fn wait(&self) -> bool {
        let mut queue = self.lock();
        loop {
            if !queue.waiting.is_empty() {
                return true;
            }
            if queue.closed {
                return false;
            }
            let waited = self.changed.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says that there will be no more.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while the lock is held but a sink that is asked whether it is cancelled,
        // and that leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
