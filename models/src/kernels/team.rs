//! Threads that stay awake between the products of a pass.
//!
//! A pass of a small model is hundreds of pieces of work of some tens of microseconds each, one
//! after the other. To wake a thread takes about as long as such a piece; so a helper that has
//! nothing to do looks out for work for a moment before it sleeps. It gives the processor to
//! whoever else wants it after a shorter moment still.
//!
//! There is one team for the process: two models that compute at once would only take the
//! processors from one another. Whoever finds it at work is told so.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long a helper looks out for work without a pause.
const LOOKOUT: Duration = Duration::from_micros(30);

/// How long it looks out for work before it sleeps.
const AWAKE: Duration = Duration::from_micros(300);

/// A leader's work: pieces that anyone may take.
#[derive(Clone, Copy)]
struct Work {
    piece: *const (dyn Fn(usize) + Sync),
    pieces: usize,
    /// How many helpers may take part.
    helpers: usize,
}

/// Helpers for whoever leads at the moment.
pub(super) struct Team {
    helpers: OnceLock<Vec<Helper>>,
    /// Whether somebody leads.
    led: AtomicBool,
    /// Odd while there is work, and another number each time.
    round: AtomicUsize,
    /// Written by the leader while the round is even and no helper is inside.
    work: UnsafeCell<Option<Work>>,
    /// The next piece.
    next: AtomicUsize,
    /// How many helpers may be looking at the work.
    inside: AtomicUsize,
    panicked: AtomicBool,
}

struct Helper {
    thread: Thread,
    asleep: &'static AtomicBool,
}

// SAFETY: `work` is the only part that is not; see there for who may touch it. What it points to
// can be shared, and lives until the leader has closed the round and all helpers have left.
unsafe impl Sync for Team {}

static TEAM: Team = Team {
    helpers: OnceLock::new(),
    led: AtomicBool::new(false),
    round: AtomicUsize::new(0),
    work: UnsafeCell::new(None),
    next: AtomicUsize::new(0),
    inside: AtomicUsize::new(0),
    panicked: AtomicBool::new(false),
};

/// Calls `piece` with every number below `pieces`, on this thread and at most `helpers` others.
/// `false`: the team is at work for somebody else, and nothing was done.
///
/// # Panics
///
/// When a piece does, after the others are done with theirs.
pub(super) fn share(pieces: usize, helpers: usize, piece: &(dyn Fn(usize) + Sync)) -> bool {
    let team = &TEAM;
    if team.led.swap(true, Ordering::Acquire) {
        return false;
    }
    let round = Round { team };
    let known = team.helpers.get_or_init(start);
    // SAFETY: the lifetime is only hidden: `Round` waits for all helpers, however this ends.
    let piece_forever: *const (dyn Fn(usize) + Sync) = unsafe {
        std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(piece)
    };
    // SAFETY: the round is even, and the last leader saw all helpers leave.
    unsafe {
        *team.work.get() = Some(Work {
            piece: piece_forever,
            pieces,
            helpers,
        });
    }
    team.next.store(0, Ordering::Relaxed);
    team.panicked.store(false, Ordering::Relaxed);
    team.round.fetch_add(1, Ordering::SeqCst);
    for helper in known.iter().take(helpers) {
        if helper.asleep.swap(false, Ordering::SeqCst) {
            helper.thread.unpark();
        }
    }
    team.take(pieces, piece);
    drop(round);
    true
}

/// A round that a leader has begun; dropping it ends it.
struct Round {
    team: &'static Team,
}

impl Drop for Round {
    fn drop(&mut self) {
        let team = self.team;
        if team.round.load(Ordering::Relaxed) % 2 == 1 {
            // Nobody takes another piece, should the leader have panicked.
            team.next.store(usize::MAX / 2, Ordering::Relaxed);
            // From here on nobody comes in.
            team.round.fetch_add(1, Ordering::SeqCst);
            let begun = Instant::now();
            while team.inside.load(Ordering::SeqCst) > 0 {
                rest(begun);
            }
        }
        let panicked = team.panicked.load(Ordering::Relaxed);
        team.led.store(false, Ordering::Release);
        if panicked && !thread::panicking() {
            panic!("a part of the work that another thread had taken");
        }
    }
}

impl Team {
    /// Takes pieces until there is none left.
    fn take(&self, pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= pieces {
                return;
            }
            piece(index);
        }
    }

    /// What helper `index` does for ever.
    fn help(&self, index: usize, asleep: &AtomicBool) {
        let mut done = 0;
        let mut idle = Instant::now();
        loop {
            let round = self.round.load(Ordering::Acquire);
            if round % 2 == 1 && round != done {
                done = round;
                self.inside.fetch_add(1, Ordering::SeqCst);
                // The leader either sees that somebody is inside, or has closed the round before.
                if self.round.load(Ordering::SeqCst) == round {
                    self.take_part(index);
                }
                self.inside.fetch_sub(1, Ordering::SeqCst);
                idle = Instant::now();
            } else if idle.elapsed() < AWAKE {
                rest(idle);
            } else {
                asleep.store(true, Ordering::SeqCst);
                if self.round.load(Ordering::SeqCst) == round {
                    thread::park();
                }
                asleep.store(false, Ordering::SeqCst);
                idle = Instant::now();
            }
        }
    }

    /// Takes part in the round that is open and cannot end meanwhile.
    fn take_part(&self, index: usize) {
        // SAFETY: the round is open: the leader wrote this before, and nobody writes now.
        let Some(work) = (unsafe { *self.work.get() }) else {
            return;
        };
        if index >= work.helpers {
            return;
        }
        // SAFETY: it lives until all helpers have left.
        let piece = unsafe { &*work.piece };
        if catch_unwind(AssertUnwindSafe(|| self.take(work.pieces, piece))).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }
}

/// A moment's rest for one who has waited since `begun`.
fn rest(begun: Instant) {
    if begun.elapsed() < LOOKOUT {
        for _ in 0..8 {
            std::hint::spin_loop();
        }
    } else {
        thread::yield_now();
    }
}

/// As many helpers as there are processors beside the leader's, or as many as the system starts.
fn start() -> Vec<Helper> {
    let count = thread::available_parallelism().map_or(1, usize::from) - 1;
    let start = |index| {
        let asleep: &'static AtomicBool = Box::leak(Box::default());
        let thread = thread::Builder::new()
            .name("corbie-team".into())
            .spawn(move || TEAM.help(index, asleep))
            .ok()?;
        let thread = thread.thread().clone();
        Some(Helper { thread, asleep })
    };
    (0..count).map_while(start).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::share;

    #[test]
    fn every_piece_is_done_once_whoever_leads() {
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for round in 0..2_000 {
                        let done: Vec<_> = (0..round % 17).map(|_| AtomicUsize::new(0)).collect();
                        let count = |index: usize| {
                            done[index].fetch_add(1, Ordering::Relaxed);
                        };
                        let shared = share(done.len(), round % 5, &count);
                        let expected = usize::from(shared);
                        let times = done.iter().map(|times| times.load(Ordering::Relaxed));
                        assert!(times.into_iter().all(|times| times == expected), "{round}");
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_ends_the_round_and_not_the_team() {
        for panicking in 0..64 {
            let piece = |index: usize| assert!(index != panicking, "on purpose");
            let attempt = || while !share(64, 8, &piece) {};
            assert!(std::panic::catch_unwind(attempt).is_err(), "{panicking}");
        }
        let sum = AtomicUsize::new(0);
        let add = |index: usize| {
            sum.fetch_add(index, Ordering::Relaxed);
        };
        while !share(100, 8, &add) {}
        assert_eq!(sum.into_inner(), 4950);
    }
}
