//! Asking whoever sits at the terminal.

use std::io::{self, BufRead, Write};

use anyhow::Result;
use corbie_agents::{Decision, Inquiry, Outcome};

use crate::output::printable;

/// What the person at the terminal decides; `None`: nothing is asked, or they leave it.
pub fn ask(outcome: &Outcome) -> Result<Option<Vec<Decision>>> {
    let mut decisions = Vec::new();
    match outcome {
        Outcome::NeedsApproval { calls } => {
            for pending in calls {
                let call = pending.call.id.clone();
                let question = format!(
                    "{}({}): {}. Run it? [y]es, [n]o, [a]lways in this run, anything else: later ",
                    pending.call.name, pending.call.arguments, pending.why
                );
                decisions.push(match read(&question)?.as_str() {
                    "y" | "yes" => Decision::Approve { call },
                    "a" | "always" => Decision::ApproveTool { call },
                    "n" | "no" => Decision::Reject {
                        call,
                        reason: read("Why? ")?,
                    },
                    _ => return Ok(None),
                });
            }
        }
        Outcome::NeedsInput {
            question: Inquiry::Model { text, .. },
        } => match read(&format!("{text} "))? {
            answer if answer.is_empty() => return Ok(None),
            text => decisions.push(Decision::Say { text }),
        },
        _ => return Ok(None),
    }
    Ok(Some(decisions))
}

fn read(question: &str) -> Result<String> {
    // Nobody waits for the lock while a person thinks.
    write!(io::stderr(), "{}", printable(question))?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
