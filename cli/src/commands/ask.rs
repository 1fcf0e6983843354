//! `corbie ask`: a question in, a cited answer out.

use std::process::ExitCode;

use anyhow::Result;
use corbie_agents::AnswerEvent;
use futures::StreamExt;

use super::{argument, ingest};
use crate::app::App;
use crate::args::AskArgs;
use crate::cite::sources;

pub async fn run(app: &App, args: AskArgs) -> Result<ExitCode> {
    let question = argument(&args.question)?;
    // The model loads while the index is brought up to date.
    let (index, model) = tokio::try_join!(ingest::place(app, &args.place), app.chat_model())?;
    let mode = app.search_mode(args.search.mode)?;
    let mut answerer = app.answerer(model, &index, mode)?;
    if let Some(limit) = args.search.limit {
        answerer.options.passages = limit as usize;
        answerer.options.fetch = answerer.options.fetch.max(limit as usize);
    }
    if let Some(tokens) = args.max_tokens {
        answerer.options.answer_tokens = tokens as usize;
    }
    let mut events = answerer.ask(question).await?;
    while let Some(event) = events.next().await {
        match event? {
            AnswerEvent::Citations(_) => {}
            AnswerEvent::Text(piece) if !app.output.is_json() => app.output.text(&piece)?,
            AnswerEvent::Text(_) => {}
            AnswerEvent::Done(answer) if app.output.is_json() => app.output.json(&answer)?,
            AnswerEvent::Done(answer) => {
                app.output.line("")?;
                app.output.text(&sources(app, &index, &answer.citations))?;
            }
        }
    }
    app.suggest_larger_models();
    Ok(ExitCode::SUCCESS)
}
