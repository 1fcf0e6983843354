//! How a run stopped and how it goes on.

use std::process::ExitCode;

use anyhow::Result;
use corbie_agents::{Inquiry, Outcome, Run};
use serde_json::json;

use crate::app::App;

/// Says how a run stopped and how it goes on.
pub fn show(app: &App, run: &Run) -> Result<ExitCode> {
    let code = match run.outcome {
        Outcome::Failed { .. } => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    };
    if app.output.is_json() {
        let mut object = serde_json::to_value(&run.outcome)?;
        object["v"] = json!(1);
        object["run"] = json!(run.id);
        object["spent"] = json!(run.spent);
        app.output.json(&object)?;
        return Ok(code);
    }
    match &run.outcome {
        Outcome::Done { answer, .. } => app.output.line(answer)?,
        Outcome::NeedsApproval { calls } => {
            app.output.line("It waits for your decision:")?;
            for pending in calls {
                let call = &pending.call;
                app.output.line(&format!(
                    "  {}: {}({}): {}",
                    call.id, call.name, call.arguments, pending.why
                ))?;
            }
            app.output.note(&format!(
                "corbie agent --resume {} --decide approve=CALL (or reject=CALL:WHY)",
                run.id
            ));
        }
        Outcome::NeedsInput { question } => match question {
            Inquiry::Model { text, .. } => {
                app.output.line(text)?;
                app.output
                    .note(&format!("corbie agent --resume {} --decide say=…", run.id));
            }
            Inquiry::Unfinished { call, .. } => {
                app.output.line(&format!(
                    "`{}` was begun and not seen to end: {}. Did it happen?",
                    call.name, call.arguments
                ))?;
                app.output.note(&format!(
                    "corbie agent --resume {} --decide answer={id}:RESULT if it did, repeat={id} if not",
                    run.id,
                    id = call.id
                ));
            }
        },
        Outcome::Stuck { why } => app.output.line(&format!("Stuck: {why}."))?,
        Outcome::Refused { why } => app.output.line(&format!("Refused: {why}."))?,
        Outcome::Failed { why, .. } => app.output.line(&format!("Failed: {why}"))?,
        Outcome::BudgetExceeded { limit } => {
            let limit = serde_json::to_value(limit)?;
            app.output.line(&format!(
                "The budget is spent: {}.",
                limit.as_str().unwrap_or_default()
            ))?;
            app.output
                .note(&format!("corbie agent --resume {} --budget …", run.id));
        }
    }
    let spent = &run.spent;
    app.output.note(&format!(
        "run {}: {} steps, {} calls, {} tokens read ({} cached), {} written, {:.1} s",
        run.id,
        spent.steps,
        spent.calls,
        spent.usage.prompt_tokens,
        spent.usage.cached_tokens,
        spent.usage.completion_tokens,
        spent.millis as f64 / 1000.0
    ));
    Ok(code)
}
