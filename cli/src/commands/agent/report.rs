//! How a run stopped and how it goes on.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use corbie_agents::{Inquiry, Limit, Outcome, Run, Spent};
use corbie_core::Message;
use serde_json::json;

use crate::app::App;
use crate::args::Means;
use crate::output::complain;

/// Says how a run stopped and how it goes on.
pub fn show(app: &App, run: &Run, means: &Means) -> Result<ExitCode> {
    let failed = matches!(run.outcome, Outcome::Failed { .. });
    if app.output.is_json() {
        let mut object = serde_json::to_value(&run.outcome)?;
        object["v"] = json!(1);
        object["run"] = json!(run.id);
        object["spent"] = json!(run.spent);
        app.output.json(&object)?;
    } else {
        let said = said(&run.outcome, &run.messages);
        match failed {
            true => complain(&said),
            false => app.output.line(&said)?,
        }
        let means = raised(means, &run.outcome, &run.spent);
        if let Some(next) = next_step(app, &run.id, Some(&means), Some(&run.outcome)) {
            app.output.note(&next);
        }
        app.output.note(&used(run));
    }
    Ok(match failed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// How a run stopped, for people: an answer alone is only itself. Of one that was cut off there is
/// what the messages end with, if they are given.
pub fn said(outcome: &Outcome, messages: &[Message]) -> String {
    match outcome {
        Outcome::Done { answer, .. } => answer.clone(),
        Outcome::NeedsApproval { calls } => {
            let calls = calls.iter().map(|pending| {
                let call = &pending.call;
                format!(
                    "\n  {}: {}({}): {}",
                    call.id, call.name, call.arguments, pending.why
                )
            });
            format!("It waits for your decision:{}", calls.collect::<String>())
        }
        Outcome::NeedsInput { question } => match question {
            Inquiry::Model { text, .. } => text.clone(),
            Inquiry::Unfinished { call, .. } => format!(
                "`{}` was begun and not seen to end: {}. Did it happen?",
                call.name, call.arguments
            ),
        },
        Outcome::Stuck { why } => format!("Stuck: {why}."),
        Outcome::Refused { why } => format!("Refused: {why}."),
        Outcome::Failed { why, .. } => why.clone(),
        Outcome::BudgetExceeded {
            limit: Limit::AnswerLength,
        } => {
            let end = "The answer was cut off: it is as long as the model may make it.";
            match messages.last() {
                Some(cut) => format!("{}…\n{end}", cut.content.trim_end()),
                None => end.to_owned(),
            }
        }
        Outcome::BudgetExceeded { limit } => {
            let limit = match limit {
                Limit::Steps => "steps",
                Limit::Tokens => "tokens",
                Limit::Time => "time",
                Limit::Cost | Limit::AnswerLength => "money",
            };
            format!("The budget is spent: {limit}.")
        }
    }
}

/// What to type to go on with a run, which stopped so or did not stop (`None`); `None`: it has
/// ended. Without means, the reader must know those that it began with.
pub fn next_step(
    app: &App,
    id: &str,
    means: Option<&Means>,
    outcome: Option<&Outcome>,
) -> Option<String> {
    let (decisions, remark) = match outcome {
        Some(outcome) => decisions(outcome)?,
        None => (Vec::new(), ""),
    };
    let mut words: Vec<String> = ["runs", "resume", id].map(str::to_owned).into();
    words.extend(means.map(Means::words).unwrap_or_default());
    for decision in decisions {
        words.extend(["--decide".to_owned(), decision]);
    }
    let unknown = match means {
        Some(_) => "",
        None => ", with the options that it began with",
    };
    Some(format!("To go on: {}{remark}{unknown}", app.again(&words)))
}

/// The decisions that a run waits for, and which others there are; `None`: it has ended.
fn decisions(outcome: &Outcome) -> Option<(Vec<String>, &'static str)> {
    let say = || vec!["say=TEXT".to_owned()];
    Some(match outcome {
        Outcome::Done { .. } | Outcome::Refused { .. } => return None,
        Outcome::NeedsApproval { calls } => {
            let approve = calls.iter().map(|it| format!("approve={}", it.call.id));
            (approve.collect(), " (or reject=CALL:WHY)")
        }
        Outcome::NeedsInput {
            question: Inquiry::Unfinished { call, .. },
        } => {
            let answer = format!("answer={}:RESULT", call.id);
            (vec![answer], " if it did (repeat=CALL if it did not)")
        }
        Outcome::NeedsInput { .. }
        | Outcome::Stuck { .. }
        | Outcome::BudgetExceeded {
            limit: Limit::AnswerLength,
        } => (say(), ""),
        Outcome::BudgetExceeded { .. } | Outcome::Failed { .. } => (Vec::new(), ""),
    })
}

/// The means with twice the budget that was spent, where it was.
fn raised(means: &Means, outcome: &Outcome, spent: &Spent) -> Means {
    let mut means = means.clone();
    let Outcome::BudgetExceeded { limit } = outcome else {
        return means;
    };
    let mut budget = means.budget.unwrap_or_default();
    let twice = |most: usize, spent: usize| most.max(spent).max(1).saturating_mul(2);
    match limit {
        Limit::Steps => budget.steps = budget.steps.map(|most| twice(most, spent.steps)),
        Limit::Tokens => {
            let tokens = spent.usage.prompt_tokens + spent.usage.completion_tokens;
            budget.tokens = budget.tokens.map(|most| twice(most, tokens));
        }
        Limit::Time => {
            let least = Duration::from_secs(1);
            let time = |most: Duration| most.max(Duration::from_millis(spent.millis)).max(least);
            budget.time = budget.time.map(|most| time(most).saturating_mul(2));
        }
        Limit::Cost | Limit::AnswerLength => return means,
    }
    means.budget = Some(budget);
    means
}

fn used(run: &Run) -> String {
    let spent = &run.spent;
    format!(
        "run {}: {} steps, {} calls, {} tokens read ({} cached), {} written, {:.1} s",
        run.id,
        spent.steps,
        spent.calls,
        spent.usage.prompt_tokens,
        spent.usage.cached_tokens,
        spent.usage.completion_tokens,
        spent.millis as f64 / 1000.0
    )
}

/// What `work` on a run gives. If it is dropped before, because somebody interrupts the program,
/// it is said how the run goes on.
pub async fn unless_interrupted<T>(
    app: &App,
    id: &str,
    means: &Means,
    work: impl Future<Output = T>,
) -> T {
    struct Hint<'a>(&'a App, Option<String>);
    impl Drop for Hint<'_> {
        fn drop(&mut self) {
            if let Some(next) = self.1.take() {
                self.0.output.note(&format!("\nInterrupted. {next}"));
            }
        }
    }
    let mut hint = Hint(app, next_step(app, id, Some(means), None));
    let came = work.await;
    hint.1 = None;
    came
}
