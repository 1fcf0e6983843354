//! Finding text in files.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};

use corbie_core::{Error, ErrorKind, Invocation, Result};
use serde_json::Value;

use super::root::Root;
use super::text;

/// The most lines that one search gives.
const MAX_LINES: usize = 100;
/// The most files and folders that one search looks into.
const MAX_FILES: usize = 10_000;
/// The most bytes that one search reads.
const MAX_BYTES: u64 = 128 << 20;
/// The most bytes of a line that are read, and that are shown.
const LINE: (u64, usize) = (64 << 10, 300);

/// The lines that contain a text, as `name:line: text`.
pub(super) fn find(root: &Root, run: &Invocation) -> Result<Value> {
    let wanted = text(run, "text").to_lowercase();
    if wanted.trim().is_empty() {
        return Err(Error::new(
            ErrorKind::BadInput,
            "text",
            "there is nothing to find",
        ));
    }
    let start = text(run, "folder").trim_end_matches('/');
    let mut search = Search {
        wanted,
        lines: Vec::new(),
        bytes: 0,
        files: 0,
    };
    let mut folders = VecDeque::from([match start {
        "." => String::new(),
        other => other.to_owned(),
    }]);
    let mut is_whole = true;
    'all: while let Some(folder) = folders.pop_front() {
        for entry in root.list(&folder)? {
            search.files += 1;
            if search.is_over() {
                is_whole = false;
                break 'all;
            }
            let name = match folder.as_str() {
                "" => entry.name,
                above => format!("{above}/{}", entry.name),
            };
            match entry.is_folder {
                true => folders.push_back(name),
                false => search.look_into(root, &name),
            }
        }
    }
    let mut lines = search.lines;
    match (lines.is_empty(), is_whole) {
        (true, true) => lines.push("(nothing found)".to_owned()),
        (_, false) => lines.push("[the search ended early: look in a single folder]".to_owned()),
        _ => {}
    }
    Ok(lines.join("\n").into())
}

struct Search {
    wanted: String,
    lines: Vec<String>,
    bytes: u64,
    files: usize,
}

impl Search {
    fn is_over(&self) -> bool {
        self.lines.len() >= MAX_LINES || self.files > MAX_FILES || self.bytes > MAX_BYTES
    }

    /// One file; what cannot be read or is no text has no lines.
    fn look_into(&mut self, root: &Root, name: &str) {
        let Ok(file) = root.read(name) else { return };
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        for number in 1_usize.. {
            line.clear();
            let read = (&mut file).take(LINE.0).read_until(b'\n', &mut line);
            let length = read.unwrap_or(0);
            self.bytes += length as u64;
            if length == 0 || line.contains(&0) || self.is_over() {
                return;
            }
            let text = String::from_utf8_lossy(&line);
            if text.to_lowercase().contains(&self.wanted) {
                let text = text.trim();
                let shown = &text[..text.floor_char_boundary(LINE.1)];
                self.lines.push(format!("{name}:{number}: {shown}"));
            }
        }
    }
}
