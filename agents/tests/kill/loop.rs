//! Killing runs, and looking at what they left.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use corbie_agents::{Inquiry, Outcome, RunEvent, SqliteJournal, history};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::life::{FOLDER, Ledger, RUN, STEPS, effects};

/// A life is killed behind so many lines of its output at the most, and so many microseconds.
const LINES: usize = 40;
const MICROSECONDS: u64 = 4000;
/// The seed of the kills, unless `CORBIE_KILL_SEED` is another.
const SEED: u64 = 9;

/// What was seen in all runs.
#[derive(Debug, Default)]
struct Seen {
    runs: usize,
    kills: usize,
    /// Effects that were begun and not seen to end, with a key and without one.
    open_with_key: usize,
    open_without: usize,
    /// Those without that had happened all the same.
    had_happened: usize,
}

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(default, |value| value.parse().expect("a number"))
}

#[test]
fn exactly_once() {
    let kills = number("CORBIE_KILLS", 15) as usize;
    let mut random = StdRng::seed_from_u64(number("CORBIE_KILL_SEED", SEED));
    let mut seen = Seen::default();
    while seen.kills < kills {
        let folder = tempfile::tempdir().unwrap();
        loop {
            let left = seen.kills < kills;
            let status = live(folder.path(), left.then_some(&mut random));
            if status.success() {
                break;
            }
            assert_eq!(status.signal(), Some(9), "a life that failed: {status}");
            seen.kills += 1;
        }
        seen.runs += 1;
        check(folder.path(), &mut seen);
    }
    let mut out = std::io::stderr().lock();
    std::io::Write::write_fmt(&mut out, format_args!("{STEPS} steps a run: {seen:?}\n")).unwrap();
    assert!(
        kills < 300 || (seen.open_with_key > 0 && seen.had_happened > 0),
        "kills that hit no effect show nothing"
    );
}

/// One life, killed at a moment that `random` chooses.
fn live(folder: &Path, random: Option<&mut StdRng>) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "life::life", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if let Some(random) = random {
        for _ in 0..random.random_range(0..=LINES) {
            if lines.next().is_none() {
                break;
            }
        }
        let moment = Duration::from_micros(random.random_range(0..=MICROSECONDS));
        let begun = Instant::now();
        while begun.elapsed() < moment {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
    }
    // A pipe that nobody reads would stop it.
    lines.for_each(drop);
    child.wait().unwrap()
}

/// Each effect happened once, in order; and none without a key began twice unless a person was
/// asked in between.
fn check(folder: &Path, seen: &mut Seen) {
    let lines = Ledger::of(folder).lines();
    let mut keys: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    let done: Vec<(&str, usize)> = lines
        .iter()
        .map(|line| {
            let (tool, rest) = line.split_once(' ').unwrap();
            (tool, rest.split_once(' ').unwrap().1.parse().unwrap())
        })
        .collect();
    assert_eq!(done, effects(), "the ledger");
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), lines.len(), "a key of its own for each effect");

    let journal = SqliteJournal::open(&folder.join("runs.db")).unwrap();
    let records = futures::executor::block_on(history(&journal, RUN)).unwrap();
    // Calls that were begun, and whether a person was asked since.
    let mut open: HashMap<String, bool> = HashMap::new();
    for record in records {
        match record.event {
            RunEvent::Begun { call, .. } => {
                let asked = open.insert(call.clone(), false);
                let keyed = call.starts_with("pay");
                assert!(
                    keyed || asked != Some(false),
                    "{call} was repeated silently"
                );
                seen.open_with_key += usize::from(keyed && asked.is_some());
            }
            RunEvent::Ended { call, .. } => {
                // A person said that it had happened.
                seen.had_happened += usize::from(open.remove(&call) == Some(true));
            }
            RunEvent::Stopped {
                outcome:
                    Outcome::NeedsInput {
                        question: Inquiry::Unfinished { call, .. },
                    },
            } => {
                seen.open_without += usize::from(open.insert(call.id, true) == Some(false));
            }
            _ => {}
        }
    }
    assert!(open.is_empty(), "{open:?} never ended");
}
