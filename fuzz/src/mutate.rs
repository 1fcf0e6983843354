//! Fuzzing without a fuzzer: `cargo run --release --no-default-features --features plain --bin mutate -- TARGET
//! [RUNS] [SEED]` changes the target's seeds at random and reads them. `mutate TARGET --read
//! FILE` reads one input again.
//!
//! The same seed gives the same inputs. The input that is being read lies in
//! `artifacts/TARGET-last`, so that what ends the process can be read again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use corbie_fuzz::{TARGETS, Target};

/// Reading one input should take no longer.
const SLOW: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("name one of: {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let result = match arguments.get(1).map(String::as_str) {
        Some("--read") => std::fs::read(&arguments[2]).map(|bytes| {
            (target.run)(&bytes);
            0
        }),
        runs => {
            let number = |text: Option<&str>, default| {
                text.and_then(|text| text.parse().ok()).unwrap_or(default)
            };
            let seed = number(arguments.get(2).map(String::as_str), 1);
            fuzz(target, number(runs, 100_000), seed)
        }
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(findings) => {
            eprintln!("{findings} findings, in `artifacts`");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn fuzz(target: &Target, runs: u64, seed: u64) -> std::io::Result<usize> {
    std::fs::create_dir_all("artifacts")?;
    let seeds = (target.seeds)();
    let mut random = Random(seed);
    let (mut findings, mut slowest) = (0, Duration::ZERO);
    let start = Instant::now();
    for run in 0..runs {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(8) {
            mutate(&mut input, &seeds, target.words, &mut random);
        }
        std::fs::write(format!("artifacts/{}-last", target.name), &input)?;
        let begin = Instant::now();
        let panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err();
        let took = begin.elapsed();
        slowest = slowest.max(took);
        if panicked || took > SLOW {
            findings += 1;
            let what = if panicked { "panic" } else { "slow" };
            std::fs::write(
                format!("artifacts/{}-{what}-{seed}-{run}", target.name),
                &input,
            )?;
        }
    }
    println!(
        "{}: {runs} inputs in {:.0?}, the slowest in {slowest:.1?}; {findings} findings",
        target.name,
        start.elapsed()
    );
    Ok(findings)
}

/// Steele, Lea and Flood's SplitMix64 (2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `limit`, 0 if that is 0.
    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Inputs do not grow beyond this.
const LONGEST: usize = 64 << 10;

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let at = random.below(input.len());
    let length = random.below(64).min(input.len() - at);
    match random.below(9) {
        0 => input
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => input
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte = random.next() as u8),
        2 => {
            let extremes = [
                0,
                1,
                7,
                0x7f,
                0xff,
                1 << 16,
                1 << 31,
                u64::MAX >> 32,
                1 << 60,
                u64::MAX,
            ];
            let value = extremes[random.below(extremes.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            for (byte, value) in input.iter_mut().skip(at).zip(&value[..width]) {
                *byte = *value;
            }
        }
        3 => drop(input.drain(at..at + length)),
        4 => {
            let piece = input[at..at + length].to_vec();
            let times = 1 + random.below(4);
            input.splice(at..at, piece.repeat(times));
        }
        5 | 6 => {
            let word = words[random.below(words.len())].as_bytes();
            let replaced = if random.below(2) == 0 {
                length.min(word.len())
            } else {
                0
            };
            input.splice(at..at + replaced, word.iter().copied());
        }
        7 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            let to = from + random.below(other.len() - from);
            input.splice(at..at + length, other[from..to].iter().copied());
        }
        _ => input.truncate(random.below(input.len() + 1)),
    }
    input.truncate(LONGEST);
}
