//! What is happening, told on standard error: bars on a terminal, a few lines elsewhere.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use corbie_models::hub::HubEvent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, printable};

/// The progress of one model on its way into memory.
pub struct FetchProgress {
    output: Output,
    bar: Mutex<Option<ProgressBar>>,
    begun: Instant,
}

/// How long nothing is shown.
const PATIENCE: Duration = Duration::from_millis(500);

impl FetchProgress {
    pub fn new(output: Output) -> Self {
        Self {
            output,
            bar: Mutex::new(None),
            begun: Instant::now(),
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
            HubEvent::Loading { model, done } => self.load(model, done),
            HubEvent::Fetched { .. } | HubEvent::Loaded { .. } => self.end(),
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

    /// Shows how far loading is, once it takes noticeable time.
    fn load(&self, model: &str, done: f32) {
        let Ok(mut shown) = self.bar.lock() else {
            return;
        };
        if shown.is_none() && self.begun.elapsed() < PATIENCE {
            return;
        }
        let bar = shown.get_or_insert_with(|| {
            let template = "loading {msg:.40} [{bar:30}] {percent}%";
            bar(self.output.quiet, 100, template)
        });
        bar.set_message(printable(model));
        bar.set_position((done * 100.0) as u64);
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
