//! What is happening, told on standard error: bars on a terminal, a few lines elsewhere.

use std::sync::Mutex;

use corbie_models::hub::HubEvent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, printable};

/// The progress of one fetch.
pub struct FetchProgress {
    output: Output,
    bar: Mutex<Option<ProgressBar>>,
}

impl FetchProgress {
    pub fn new(output: Output) -> Self {
        Self {
            output,
            bar: Mutex::new(None),
        }
    }

    /// Tells of one event.
    pub fn report(&self, event: HubEvent<'_>) {
        match event {
            HubEvent::Trying { place } => self.output.note(&format!("fetching {place}")),
            HubEvent::Failed { place, error } => {
                self.output.note(&format!("{place}: {}", error.cause()));
            }
            HubEvent::Waiting { what } => {
                self.output
                    .note(&format!("another process fetches {what}: waiting for it"));
            }
            HubEvent::Retrying { file, error } => {
                self.output
                    .note(&format!("{file}: {}; trying again", error.cause()));
            }
            HubEvent::Progress { file, done, total } => self.advance(file, done, total),
            HubEvent::Fetched { .. } => self.end(),
            _ => {}
        }
    }

    fn advance(&self, file: &str, done: u64, total: Option<u64>) {
        let Ok(mut shown) = self.bar.lock() else {
            return;
        };
        let bar = shown.get_or_insert_with(|| {
            let template = "{msg:.40} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}";
            bar(self.output.quiet, total.unwrap_or(0), template)
        });
        bar.set_message(printable(file));
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    fn end(&self) {
        if let Ok(mut shown) = self.bar.lock()
            && let Some(bar) = shown.take()
        {
            bar.finish_and_clear();
        }
    }
}

/// A bar on standard error that hides itself where that is no terminal.
pub fn bar(quiet: bool, length: u64, template: &str) -> ProgressBar {
    let target = match quiet {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr(),
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}
