//! The Model Context Protocol: servers of other programs as tools, and ours as a server.
//!
//! | module | what must hold |
//! |---|---|
//! | `calls` | tools, resources, prompts, questions, progress, cancelling |
//! | `trust` | nothing runs, and no tool is used, that was not approved as it is (T17) |
//! | `launch` | no shell, no keys, no hostile address (T18) |
//! | `bombs` | schemas are bounded (T19) |
//! | `serving` | our server over HTTP: all calls, and no web page reaches it (T2) |
//!
//! The servers are real processes: `server.py` beside this file.

#![allow(clippy::print_stdout)]

mod bombs;
mod calls;
mod kit;
mod launch;
mod serving;
mod trust;
