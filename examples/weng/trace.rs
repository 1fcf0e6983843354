//! What is shown of a planner's run.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use corbie::agents::AgentEvent;
use corbie::agents::plan::{PlanEvent, Status};
use corbie::prelude::*;

/// What is shown is written down, too, behind what other processes wrote.
pub struct Trace(File);

impl Trace {
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|error| Error::io(path.display().to_string(), error))?;
        Ok(Self(file))
    }

    pub fn line(&self, text: &str) {
        println!("{text}");
        // A trace that cannot be kept is still shown.
        drop(writeln!(&self.0, "{text}"));
    }

    pub fn show(&self, event: &PlanEvent) {
        match event {
            PlanEvent::Planned { steps, revision } => {
                let heading = match revision {
                    0 => "plan".to_owned(),
                    revision => format!("plan anew ({revision})"),
                };
                self.line(&heading);
                steps
                    .iter()
                    .for_each(|step| self.line(&format!("         - {step}")));
            }
            PlanEvent::Begun { step, text } => self.line(&format!("step {step}   {text}")),
            PlanEvent::Agent { event, .. } => match event {
                AgentEvent::Call(call) => {
                    let arguments = brief(&call.arguments.to_string());
                    self.line(&format!("         → {}({arguments})", call.name));
                }
                AgentEvent::Progress { text, .. } => {
                    self.line(&format!("         │ librarian: {}", brief(text)));
                }
                AgentEvent::Result { result, .. } => {
                    let mark = if result.failed { "✗" } else { "←" };
                    self.line(&format!("         {mark} {}", brief(&result.content)));
                }
                AgentEvent::Nudged(text) => self.line(&format!("         ! {}", brief(text))),
                _ => {}
            },
            PlanEvent::Ended(step) => match &step.status {
                Status::Done { result } => self.line(&format!("  done   {}", brief(result))),
                Status::Failed { why } => self.line(&format!("  failed {}", brief(why))),
                other => self.line(&format!("  {other:?}")),
            },
            PlanEvent::Stopped(outcome) => match outcome {
                Outcome::Done { .. } => {}
                other => self.line(&format!("stopped  {}", brief(&format!("{other:?}")))),
            },
        }
    }
}

/// The beginning of a text, on one line.
pub fn brief(text: &str) -> String {
    const SHOWN: usize = 160;
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &line[..end], text.len()),
        None => line,
    }
}
