//! `corbie chat`: a conversation, with or without documents.

use std::io::{IsTerminal, stdin};
use std::process::ExitCode;

use anyhow::Result;
use corbie_agents::{Answer, AnswerEvent, Conversation};
use corbie_vectorstores::index::Index;
use futures::StreamExt;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::app::App;
use crate::args::ChatArgs;
use crate::cite::sources;

pub async fn run(app: &App, args: ChatArgs) -> Result<ExitCode> {
    let index = match &args.collection {
        Some(name) => Some(app.open(name).await?),
        None => None,
    };
    let model = app.chat_model().await?;
    let conversation = match &index {
        Some(index) => Conversation::over(app.answerer(model, index, app.search_mode(None)?)?),
        None => Conversation::new(model),
    };
    let mut lines = Lines::new()?;
    if lines.is_interactive() {
        app.output
            .note("An empty line or Ctrl-D ends; /new starts afresh.");
    }
    while let Some(line) = lines.next()? {
        match line.trim() {
            "" => break,
            "/new" => conversation.clear(),
            text => turn(app, &conversation, index.as_ref(), text).await?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn turn(
    app: &App,
    conversation: &Conversation,
    index: Option<&Index>,
    text: &str,
) -> Result<()> {
    let mut events = conversation.say(text).await?;
    while let Some(event) = events.next().await {
        match event? {
            AnswerEvent::Text(piece) if !app.output.is_json() => app.output.text(&piece)?,
            AnswerEvent::Done(answer) => end(app, index, &answer).await?,
            AnswerEvent::Text(_) | AnswerEvent::Citations(_) => {}
        }
    }
    Ok(())
}

async fn end(app: &App, index: Option<&Index>, answer: &Answer) -> Result<()> {
    if app.output.is_json() {
        return app.output.json(answer);
    }
    app.output.line("")?;
    if let Some(index) = index {
        app.output.line(&sources(app, index, &answer.citations))?;
    }
    Ok(())
}

/// Lines from a person at a terminal, or from a pipe.
enum Lines {
    Terminal(Box<DefaultEditor>),
    Pipe,
}

impl Lines {
    fn new() -> Result<Self> {
        Ok(match stdin().is_terminal() {
            true => Self::Terminal(Box::new(DefaultEditor::new()?)),
            false => Self::Pipe,
        })
    }

    fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    fn next(&mut self) -> Result<Option<String>> {
        match self {
            Self::Terminal(editor) => match editor.readline("> ") {
                Ok(line) => {
                    // A history that cannot grow is no reason to stop.
                    let _ = editor.add_history_entry(&line);
                    Ok(Some(line))
                }
                Err(ReadlineError::Eof | ReadlineError::Interrupted) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Pipe => {
                let mut line = String::new();
                let read = stdin().read_line(&mut line)?;
                Ok((read > 0).then_some(line))
            }
        }
    }
}
