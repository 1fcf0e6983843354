//! Runs whose process is killed (SIGKILL) at random moments and begun again, until they are done.
//!
//! | module | what belongs there |
//! |---|---|
//! | `life` | what the killed process does: an agent with a journal, and effects on a ledger |
//! | `loop` | the one that kills, and the laws of exactly once |
//!
//! Fifteen kills; `CORBIE_KILLS` asks for more, `CORBIE_KILL_SEED` for others:
//!
//! ```text
//! CORBIE_KILLS=300 cargo test -p corbie-agents --test kill -- --nocapture
//! ```
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "loop.rs"]
mod kill_loop;
mod life;
