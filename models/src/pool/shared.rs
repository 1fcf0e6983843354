//! Who is in memory: the pool's ledger, and what moves models in and out of it.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use corbie_core::{Error, ErrorKind, Result};
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::channel::oneshot;

use super::plan::{Duty, Loaded, Plan};
use super::{ModelState, ModelStatus, PoolOptions};

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub duty: Duty,
    pub name: String,
}

/// The ledger, shared with handles, streams and loading threads.
pub(super) struct Shared {
    pub options: PoolOptions,
    ledger: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    entries: BTreeMap<Key, Entry>,
    /// Who waits for room, in order of arrival. Only the first may take any.
    line: VecDeque<InLine>,
    /// The bytes of models that were told to go and are not gone yet.
    going: usize,
    clock: u64,
}

struct Entry {
    plan: Plan,
    place: Place,
    /// Requests that run on it.
    users: usize,
    /// Goes when nobody uses it any more.
    leaving: bool,
    /// The clock's time of its last use.
    used: u64,
    last_used: Option<SystemTime>,
    /// Handles that callers hold: they keep a tokenizer.
    handles: usize,
}

/// Where a model is.
enum Place {
    Absent,
    Loading {
        bytes: usize,
        done: f32,
        waiting: Vec<UnboundedSender<Step>>,
    },
    Ready {
        bytes: usize,
        model: Arc<Loaded>,
    },
    Evicted,
}

struct InLine {
    ticket: u64,
    wake: Option<oneshot::Sender<()>>,
}

/// What those who wait for a load are told.
pub(super) enum Step {
    Progress(f32),
    Done(Result<Pinned>),
}

/// What came of asking for a model.
pub(super) enum Asked {
    /// It is here.
    Here(Pinned),
    /// It is being loaded.
    Loading(UnboundedReceiver<Step>),
    /// There is no room: wait for one's turn.
    InLine(u64, oneshot::Receiver<()>),
}

impl Entry {
    /// The bytes that count against the limit.
    fn charge(&self) -> usize {
        match &self.place {
            Place::Loading { bytes, .. } | Place::Ready { bytes, .. } => *bytes,
            Place::Absent | Place::Evicted => self.kept(),
        }
    }

    /// The bytes that its handles keep without it.
    fn kept(&self) -> usize {
        match self.handles {
            0 => 0,
            _ => self.plan.kept,
        }
    }

    /// The bytes that evicting it would give back; `None`: it cannot be.
    fn gain(&self) -> Option<usize> {
        match &self.place {
            Place::Ready { bytes, .. } if self.users == 0 => {
                Some(bytes.saturating_sub(self.kept()))
            }
            _ => None,
        }
    }

    /// Takes the model out, with the bytes that it gives back.
    fn evict(&mut self) -> Option<(Arc<Loaded>, usize)> {
        self.leaving = false;
        match std::mem::replace(&mut self.place, Place::Evicted) {
            Place::Ready { model, bytes } => Some((model, bytes.saturating_sub(self.kept()))),
            other => {
                self.place = other;
                None
            }
        }
    }
}

impl Ledger {
    fn touch(&mut self, key: &Key) {
        self.clock += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.used = self.clock;
            entry.last_used = Some(SystemTime::now());
        }
    }

    fn taken(&self) -> usize {
        self.entries.values().map(Entry::charge).sum()
    }

    /// Makes room for `least` bytes of a model that is not in memory, by evicting whoever was not
    /// used for longest. Gives how many bytes it may have once those are gone; `None`, and nothing
    /// is evicted, when those in use, and those that go for somebody else, leave too little.
    fn make_room(&mut self, key: &Key, limit: usize, least: usize) -> Option<(usize, Evicted)> {
        let own = self.entries.get(key).map_or(0, Entry::charge);
        let mut others = self.taken() - own + self.going;
        let mut idle: Vec<(u64, Key, usize)> = Vec::new();
        for (key, entry) in &self.entries {
            idle.extend(entry.gain().map(|gain| (entry.used, key.clone(), gain)));
        }
        idle.sort();
        let mut go = Vec::new();
        for (_, key, gain) in idle {
            if limit.saturating_sub(others) >= least {
                break;
            }
            others -= gain;
            go.push(key);
        }
        let free = limit.saturating_sub(others);
        if free < least {
            return None;
        }
        let mut evicted = Evicted::default();
        for key in go {
            evicted.add(self.entries.get_mut(&key).and_then(Entry::evict));
        }
        self.going += evicted.bytes;
        Some((free, evicted))
    }

    /// Wakes who is first in line, if anybody.
    fn wake(&mut self) {
        if let Some(wake) = self.line.front_mut().and_then(|first| first.wake.take()) {
            // Gone already: its ticket is about to be given back, which wakes the next.
            let _ = wake.send(());
        }
    }
}

/// Models that were taken out of the ledger's entries, and the bytes that they give back.
#[derive(Default)]
struct Evicted {
    models: Vec<Arc<Loaded>>,
    bytes: usize,
}

impl Evicted {
    fn add(&mut self, gone: Option<(Arc<Loaded>, usize)>) {
        if let Some((model, bytes)) = gone {
            self.models.push(model);
            self.bytes += bytes;
        }
    }
}

/// Evicted models on their way out: gone when this is dropped, on whichever thread that is.
struct Leaving(Arc<Shared>, Evicted);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.bury(std::mem::take(&mut self.1));
    }
}

impl Shared {
    pub fn new(options: PoolOptions) -> Self {
        Self {
            options,
            ledger: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        // Nothing panics while the lock is held.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the model is in memory or on its way there.
    pub fn is_here(&self, key: &Key) -> bool {
        let ledger = self.lock();
        let place = ledger.entries.get(key).map(|entry| &entry.place);
        matches!(place, Some(Place::Loading { .. } | Place::Ready { .. }))
    }

    /// Notes how a model is loaded from now on.
    pub fn put(&self, key: &Key, plan: Plan) {
        let mut ledger = self.lock();
        match ledger.entries.get_mut(key) {
            Some(entry) => match entry.place {
                Place::Absent | Place::Evicted => entry.plan = plan,
                // What is here is charged by its own plan.
                Place::Loading { .. } | Place::Ready { .. } => {}
            },
            None => {
                let entry = Entry {
                    plan,
                    place: Place::Absent,
                    users: 0,
                    leaving: false,
                    used: 0,
                    last_used: None,
                    handles: 0,
                };
                ledger.entries.insert(key.clone(), entry);
            }
        }
    }

    /// Asks for a model: takes it when it is here, joins those who wait for it, or begins to load
    /// it. `ticket` is one's place in line, if one has it.
    pub fn ask(self: &Arc<Self>, key: &Key, ticket: Option<u64>) -> Result<Asked> {
        let limit = self.options.memory;
        let mut ledger = self.lock();
        ledger.touch(key);
        let Some(entry) = ledger.entries.get_mut(key) else {
            return Err(error(ErrorKind::Internal, key, "the pool does not know it"));
        };
        match &mut entry.place {
            Place::Ready { model, .. } => {
                let model = Some(Arc::clone(model));
                entry.users += 1;
                return Ok(Asked::Here(Pinned {
                    shared: Arc::clone(self),
                    key: key.clone(),
                    model,
                }));
            }
            Place::Loading { waiting, .. } => {
                let (sender, steps) = unbounded();
                waiting.push(sender);
                return Ok(Asked::Loading(steps));
            }
            Place::Absent | Place::Evicted => {}
        }
        let (least, most) = (entry.plan.least, entry.plan.most);
        if least > limit {
            return Err(too_large(&key.name, least, limit));
        }
        let is_first = ledger
            .line
            .front()
            .is_none_or(|first| Some(first.ticket) == ticket);
        let room = is_first
            .then(|| ledger.make_room(key, limit, least))
            .flatten();
        let Some((free, evicted)) = room else {
            return self.stand_in_line(&mut ledger, key, ticket);
        };
        if ticket.is_some() {
            ledger.line.pop_front();
        }
        let (sender, steps) = unbounded();
        let Some(entry) = ledger.entries.get_mut(key) else {
            return Err(error(ErrorKind::Internal, key, "the pool does not know it"));
        };
        let bytes = most.clamp(least, free.max(least));
        entry.place = Place::Loading {
            bytes,
            done: 0.0,
            waiting: vec![sender],
        };
        let load = Arc::clone(&entry.plan.load);
        ledger.wake();
        drop(ledger);
        let (shared, own) = (Arc::clone(self), key.clone());
        let leaving = Leaving(Arc::clone(self), evicted);
        let work = move || {
            // What went is gone before what comes takes its place.
            drop(leaving);
            let progress = |done: f32| shared.progress(&own, done);
            let loaded = catch_unwind(AssertUnwindSafe(|| load(bytes, &progress)));
            let panicked = |_| Err(error(ErrorKind::Internal, &own, "loading it panicked"));
            shared.finish(&own, loaded.unwrap_or_else(panicked));
        };
        let thread = std::thread::Builder::new().name("load model".into());
        if let Err(refused) = thread.spawn(work) {
            self.finish(key, Err(Error::io(subject(key), refused)));
        }
        Ok(Asked::Loading(steps))
    }

    fn stand_in_line(&self, ledger: &mut Ledger, key: &Key, ticket: Option<u64>) -> Result<Asked> {
        let (wake, woken) = oneshot::channel();
        let ticket = match ticket {
            Some(ticket) => ticket,
            None => {
                let waiting = ledger.line.len();
                if waiting >= self.options.waiting {
                    return Err(overloaded(key, waiting));
                }
                ledger.line.push_back(InLine {
                    ticket: ledger.clock,
                    wake: None,
                });
                ledger.clock
            }
        };
        if let Some(place) = ledger.line.iter_mut().find(|it| it.ticket == ticket) {
            place.wake = Some(wake);
        }
        Ok(Asked::InLine(ticket, woken))
    }

    /// Leaves the line.
    pub fn leave(&self, ticket: u64) {
        let mut ledger = self.lock();
        ledger.line.retain(|it| it.ticket != ticket);
        ledger.wake();
    }

    /// How many wait for room.
    pub fn waiting(&self) -> usize {
        self.lock().line.len()
    }

    /// Drops models outside the lock, and only then gives their bytes to others.
    fn bury(&self, evicted: Evicted) {
        let Evicted { models, bytes } = evicted;
        if models.is_empty() {
            return;
        }
        drop(models);
        let mut ledger = self.lock();
        ledger.going = ledger.going.saturating_sub(bytes);
        ledger.wake();
    }

    fn progress(&self, key: &Key, share: f32) {
        let mut ledger = self.lock();
        if let Some(entry) = ledger.entries.get_mut(key)
            && let Place::Loading { done, waiting, .. } = &mut entry.place
        {
            *done = share.clamp(0.0, 1.0);
            waiting.retain(|it| it.unbounded_send(Step::Progress(*done)).is_ok());
        }
    }

    /// Notes what came of loading, and tells those who wait.
    fn finish(self: &Arc<Self>, key: &Key, loaded: Result<Loaded>) {
        let mut ledger = self.lock();
        let Some(entry) = ledger.entries.get_mut(key) else {
            return;
        };
        let (bytes, waiting) = match std::mem::replace(&mut entry.place, Place::Absent) {
            Place::Loading { bytes, waiting, .. } => (bytes, waiting),
            other => {
                entry.place = other;
                return;
            }
        };
        let outcome = loaded.map(|model| {
            let model = Arc::new(model);
            entry.place = Place::Ready {
                bytes,
                model: Arc::clone(&model),
            };
            model
        });
        if outcome.is_ok() {
            entry.users += waiting.len();
        } else {
            entry.leaving = false;
        }
        let mut evicted = Evicted::default();
        if entry.leaving && entry.users == 0 {
            evicted.add(entry.evict());
        }
        ledger.going += evicted.bytes;
        ledger.wake();
        drop(ledger);
        let tell = |sender: UnboundedSender<Step>| {
            let told = match &outcome {
                Ok(model) => Ok(Pinned {
                    shared: Arc::clone(self),
                    key: key.clone(),
                    model: Some(Arc::clone(model)),
                }),
                Err(error) => Err(copy(error)),
            };
            (sender, Step::Done(told))
        };
        let told: Vec<_> = waiting.into_iter().map(tell).collect();
        // From here on the model goes when the ledger says so.
        drop(outcome);
        self.bury(evicted);
        for (sender, step) in told {
            // Who is gone drops what it is told, and with it its use of the model.
            drop(sender.unbounded_send(step));
        }
    }

    /// Takes the models called `name` out of memory: at once where nobody uses them, otherwise
    /// when nobody does any more. Gives whether all are gone; `None`: there is no such model.
    pub fn unload(&self, name: &str) -> Option<bool> {
        let mut ledger = self.lock();
        let (mut known, mut all, mut evicted) = (false, true, Evicted::default());
        for (key, entry) in &mut ledger.entries {
            if key.name != name {
                continue;
            }
            known = true;
            match &entry.place {
                Place::Ready { .. } if entry.users == 0 => {
                    evicted.add(entry.evict());
                }
                Place::Ready { .. } | Place::Loading { .. } => {
                    entry.leaving = true;
                    all = false;
                }
                Place::Absent | Place::Evicted => {}
            }
        }
        ledger.going += evicted.bytes;
        ledger.wake();
        drop(ledger);
        self.bury(evicted);
        known.then_some(all)
    }

    pub fn status(&self) -> (usize, Vec<ModelStatus>) {
        let ledger = self.lock();
        let models = ledger.entries.iter().map(|(key, entry)| ModelStatus {
            name: key.name.clone(),
            duty: key.duty,
            state: match &entry.place {
                Place::Absent => ModelState::Absent,
                Place::Loading { done, .. } => ModelState::Loading(*done),
                Place::Ready { .. } => ModelState::Ready,
                Place::Evicted => ModelState::Evicted,
            },
            bytes: entry.charge(),
            needed: entry.plan.least,
            running: entry.users,
            last_used: entry.last_used,
        });
        (ledger.taken(), models.collect())
    }

    /// A handle more of the model, which is in memory.
    fn hold(&self, key: &Key) {
        if let Some(entry) = self.lock().entries.get_mut(key) {
            entry.handles += 1;
        }
    }

    /// A handle less.
    fn let_go(&self, key: &Key) {
        let mut ledger = self.lock();
        if let Some(entry) = ledger.entries.get_mut(key) {
            entry.handles = entry.handles.saturating_sub(1);
        }
        ledger.wake();
    }
}

/// A model in use: it stays in memory for as long.
pub(super) struct Pinned {
    shared: Arc<Shared>,
    key: Key,
    /// Taken when the use ends.
    model: Option<Arc<Loaded>>,
}

impl Pinned {
    /// The model.
    pub fn model(&self) -> Result<&Loaded> {
        let gone = || error(ErrorKind::Internal, &self.key, "it is no longer in use");
        self.model.as_deref().ok_or_else(gone)
    }

    /// The error of a plan that loaded something else than was asked for.
    pub fn misplaced(&self) -> Error {
        let cause = "its plan loads a model for another duty";
        error(ErrorKind::Internal, &self.key, cause)
    }

    /// What keeps its tokenizer charged.
    pub fn hold(&self) -> Held {
        self.shared.hold(&self.key);
        Held {
            shared: Arc::clone(&self.shared),
            key: self.key.clone(),
        }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Before anybody is told that it is free.
        drop(self.model.take());
        let mut ledger = self.shared.lock();
        ledger.touch(&self.key);
        let mut evicted = Evicted::default();
        if let Some(entry) = ledger.entries.get_mut(&self.key) {
            entry.users = entry.users.saturating_sub(1);
            if entry.users == 0 && entry.leaving {
                evicted.add(entry.evict());
            }
        }
        ledger.going += evicted.bytes;
        ledger.wake();
        drop(ledger);
        self.shared.bury(evicted);
    }
}

/// A handle's part in the ledger.
pub(super) struct Held {
    pub shared: Arc<Shared>,
    pub key: Key,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.let_go(&self.key);
    }
}

pub(super) fn subject(key: &Key) -> String {
    format!("model `{}`", key.name)
}

pub(super) fn error(kind: ErrorKind, key: &Key, cause: &str) -> Error {
    Error::new(kind, subject(key), cause)
}

fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind().clone(), error.subject(), error.cause());
    match error.next_step() {
        Some(hint) => copy.hint(hint),
        None => copy,
    }
}

pub(super) fn too_large(name: &str, needed: usize, limit: usize) -> Error {
    let cause = format!(
        "it needs {} MB of memory, all models together may take {} MB",
        needed.div_ceil(1_000_000),
        limit / 1_000_000
    );
    Error::new(ErrorKind::LimitExceeded, format!("model `{name}`"), cause)
        .hint("choose a smaller model, a shorter context, or a higher limit of memory")
}

/// The error of whoever found no room.
pub(super) fn overloaded(key: &Key, waiting: usize) -> Error {
    let cause = format!(
        "there is no room for it: the models in memory are in use, their handles keep the rest, \
         and {waiting} requests wait for room"
    );
    Error::new(ErrorKind::Overloaded { waiting }, subject(key), cause)
        .hint("try again when some are answered, or allow the models more memory")
}
