//! What is written to standard output, and how.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;

use crate::args::OutputForm;

/// Writes results: standard output is for them alone, everything else goes to standard error.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    pub form: OutputForm,
    pub quiet: bool,
    terminal: bool,
}

impl Output {
    pub fn new(form: OutputForm, quiet: bool) -> Self {
        Self {
            form,
            quiet,
            terminal: io::stdout().is_terminal(),
        }
    }

    pub fn is_json(&self) -> bool {
        self.form == OutputForm::Json
    }

    /// One JSON value on its own line.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
        writeln!(out)?;
        out.flush()?;
        Ok(())
    }

    /// A piece of text, at once.
    pub fn text(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        match self.terminal {
            true => out.write_all(printable(text).as_bytes())?,
            false => out.write_all(text.as_bytes())?,
        }
        out.flush()?;
        Ok(())
    }

    /// A line of text.
    pub fn line(&self, text: &str) -> Result<()> {
        self.text(&format!("{text}\n"))
    }

    /// A remark on standard error, unless `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            // A closed standard error is no reason to fail.
            let _ = writeln!(io::stderr(), "{}", printable(text));
        }
    }
}

/// Says on standard error what went wrong. That it is closed is no reason to fail in another way.
pub fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "error: {}", printable(text));
}

/// A word as it would be typed in a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:@=,+%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// `text` without the characters that could command a terminal.
///
/// Documents and models are not trusted: an escape sequence in a file name or an answer could
/// move the cursor, change the title or paste into a shell.
pub fn printable(text: &str) -> String {
    let harmless = |c: &char| {
        matches!(c, '\n' | '\t')
            || !(c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
    };
    text.chars().filter(harmless).collect()
}

/// A number of bytes for people.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match value < 10.0 {
        true => format!("{value:.1} {}", UNITS[unit]),
        false => format!("{value:.0} {}", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printable_commands_a_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}b\u{9b}31mc\r\u{202e}d\ne\tf";
        assert_eq!(printable(hostile), "a]0;titleb31mcd\ne\tf");
    }

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more() {
        let cases = [
            ("--files", "--files"),
            ("笔记/a.md", "笔记/a.md"),
            ("my notes", "'my notes'"),
            ("*.python.org", "'*.python.org'"),
            ("it's; rm", "'it'\\''s; rm'"),
            ("", "''"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }

    #[test]
    fn bytes_are_written_for_people() {
        let cases = [
            (0, "0.0 kB"),
            (98_362_432, "98 MB"),
            (1_500_000_000, "1.5 GB"),
        ];
        for (count, expected) in cases {
            assert_eq!(bytes(count), expected);
        }
    }
}
