//! The program as a person or a script meets it.
//!
//! | module | what belongs there |
//! |---|---|
//! | `bad_input` | wrong calls: the exit code, and an error that says what to do |
//! | `settings` | where a value comes from |
//! | `stages` | parse, split, tokenize, template, generate without a real model |
//! | `models` | what `models show` says of tiny models |
//! | `agent` | a goal, tools and policies, with a scripted model behind a service |
//! | `failures` | the same where it goes wrong: options, services, pipes, terminals |
//! | `resume` | runs that stopped: deciding, raising budgets, going on as the program says |
//! | `runs` | looking at runs: list, show, replay; forking them |
//! | `mcp` | our client and our server of MCP, as two processes; approvals |
//! | `eval` | `eval tools` and `eval calls` on a few cases |
//! | `collections` | bringing in, copying, moving, verifying, mending; how fast |
//! | `eval_retrieval` | `eval retrieval` and `eval compare` on a few entries |
//! | `service` | that service, for the others |
//! | `real` | real models on the example handbook; fetches them where they are not cached |
#![allow(clippy::unwrap_used)]

mod agent;
mod bad_input;
mod collections;
mod eval;
mod eval_retrieval;
mod failures;
mod mcp;
mod models;
mod real;
mod resume;
mod runs;
mod service;
mod settings;
mod stages;

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// A place of its own for one test: the program runs in it and keeps its data in it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// The program, called with these arguments.
    fn corbie(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("corbie").unwrap();
        command
            .current_dir(self.path())
            .env("CORBIE_DATA_DIR", self.path().join(".data"))
            .env("XDG_CONFIG_HOME", self.path().join(".config"))
            .args(arguments);
        command
    }

    /// What the program prints as JSON.
    fn json(&self, arguments: &[&str], stdin: &str) -> Value {
        let mut command = self.corbie(arguments);
        let output = command
            .args(["--output", "json"])
            .write_stdin(stdin)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The exit code and what the program says on standard error.
    fn failure(&self, arguments: &[&str], stdin: &[u8]) -> (i32, String) {
        let mut command = self.corbie(arguments);
        let output = command.write_stdin(stdin).output().unwrap();
        let code = output.status.code().expect("an exit code, not a signal");
        (code, String::from_utf8(output.stderr).unwrap())
    }
}
