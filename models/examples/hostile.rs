//! What hostile files, templates and forms cost:
//! `cargo run --release -p corbie-models --features testing --example hostile [NAME]`
//!
//! Runs the cases of `tests/hostile` whose name has `NAME` in it, prints the slowest step of each
//! and the most memory it takes, and fails if any is over a second or 256 MiB. On Linux, where the
//! system tells it (to 10 ms), time is the processor's, so that a busy machine does no harm.

#[path = "../tests/hostile/cases/mod.rs"]
mod cases;
#[path = "support/memory.rs"]
mod memory;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const TIME: Duration = Duration::from_secs(1);
const MEMORY: usize = 256 << 20;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let (mut count, mut over) = (0, 0);
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    let mut out = std::io::stdout();
    let clock = Clock(Instant::now());
    for (subject, cases) in cases::all() {
        for case in cases {
            let name = format!("{subject}: {}", case.name);
            if !name.contains(&wanted) {
                continue;
            }
            let before = memory::begin();
            let start = clock.now();
            let (mut last, mut longest) = (start, Duration::ZERO);
            let outcome = (case.run)(&mut || {
                let now = clock.now();
                longest = longest.max(now - last);
                last = now;
            });
            longest = longest.max(clock.now() - last);
            let whole = clock.now() - start;
            let taken = memory::most() - before;
            let said = outcome.map_or_else(|error| error.to_string(), |()| "ends well".to_owned());
            let said: String = said.chars().take(120).collect();
            let is_over = longest > TIME || taken > MEMORY;
            let line = format!(
                "{}{:>8.1} ms {:>8.1} ms whole {:>5} MiB  {name}: {said}",
                if is_over { "OVER " } else { "" },
                longest.as_secs_f64() * 1e3,
                whole.as_secs_f64() * 1e3,
                taken >> 20,
            );
            if writeln!(out, "{}", line.replace('\n', " ")).is_err() {
                return ExitCode::FAILURE;
            }
            count += 1;
            over += usize::from(is_over);
            (slowest, largest) = (slowest.max(longest), largest.max(taken));
        }
    }
    let last = format!(
        "{count} cases, {over} over; slowest step {slowest:.0?}, most memory {} MiB",
        largest >> 20
    );
    let written = writeln!(out, "{last}");
    match over == 0 && written.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// How long this process has worked, or been there.
struct Clock(Instant);

impl Clock {
    fn now(&self) -> Duration {
        self.worked().unwrap_or_else(|| self.0.elapsed())
    }

    /// Fields 14 and 15 of the process's `stat`: hundredths of a second in and out of the system.
    fn worked(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields = stat.rsplit_once(')')?.1.split_whitespace();
        let ticks = fields.skip(11).take(2).map(str::parse::<u64>);
        let ticks = ticks.collect::<Result<Vec<_>, _>>().ok()?;
        Some(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
    }
}
