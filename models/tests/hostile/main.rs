//! What strangers may send ends well or in a typed error, within the promised memory, and never
//! in a panic. `examples/hostile.rs` measures the time that the same cases take.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod cases;
#[path = "../../examples/support/memory.rs"]
mod memory;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use corbie_core::ErrorKind;

use cases::Case;

/// What one case may take beyond what there was before it.
const MEMORY: usize = 256 << 20;

/// Memory is counted for the whole process, so cases take turns.
static TURN: Mutex<()> = Mutex::new(());

fn all_end_well(make: fn() -> Vec<Case>) {
    let _turn = TURN.lock().unwrap_or_else(|broken| broken.into_inner());
    let mut wrong = Vec::new();
    for case in make() {
        let before = memory::begin();
        let outcome = catch_unwind(AssertUnwindSafe(|| (case.run)(&mut || ())));
        let taken = memory::most() - before;
        match outcome {
            Err(_) => wrong.push(format!("{}: it panics", case.name)),
            Ok(Err(error)) if *error.kind() == ErrorKind::Internal => {
                wrong.push(format!("{}: {error}", case.name));
            }
            _ if taken > MEMORY => {
                wrong.push(format!("{}: it takes {} MiB", case.name, taken >> 20));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn model_files_end_well() {
    all_end_well(cases::gguf::cases);
}

#[test]
fn templates_end_well() {
    all_end_well(cases::templates::cases);
}

#[test]
fn forms_end_well() {
    all_end_well(cases::forms::cases);
}

#[test]
fn parts_end_well() {
    all_end_well(cases::parts::cases);
}
