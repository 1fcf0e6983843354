//! The stages one by one: what each makes of its input.

use std::io::{BufRead, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use corbie_core::{
    ChatEvent, Document, EmbedKind, Error, ErrorKind, ResponseFormat, Sampling, Splitter, ToolSpec,
};
use corbie_models::chat::{GenerateOptions, LocalChatModel, LocalChatOptions};
use corbie_models::dialect::{Dialect, Opening, ReplyParser};
use corbie_models::gguf::GgufFile;
use corbie_models::template::ChatTemplate;
use corbie_models::tokenizer::{EncodeOptions, Tokenizer};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{argument, standard_input};
use crate::app::{App, local_only, precision, splitter};
use crate::args::{
    EmbedArgs, FormArgs, GenerateArgs, ParseReplyArgs, RerankArgs, SplitArgs, TemplateArgs,
    TokenizeArgs,
};

/// How many lines are embedded together.
const EMBED_BATCH: usize = 256;

pub async fn parse(app: &App, file: &Path) -> Result<ExitCode> {
    let document = document(app, file).await?;
    match app.output.is_json() {
        true => app.output.json(&json!({
            "v": 1,
            "text": document.text,
            "pages": document.pages,
            "headings": document.headings,
            "metadata": document.metadata,
        }))?,
        false => app.output.line(document.text.trim_end())?,
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn split(app: &App, args: SplitArgs) -> Result<ExitCode> {
    let document = document(app, &args.file).await?;
    let embedder = app.embedder(None).await?;
    let splitter = match args.max_tokens {
        Some(max_tokens) => splitter(&embedder, max_tokens as usize),
        None => app.splitter(&embedder)?,
    };
    let spans = splitter.split(&document)?;
    if app.output.is_json() {
        let chunks: Vec<Value> = spans
            .iter()
            .map(|span| {
                json!({
                    "start": span.start,
                    "end": span.end,
                    "tokens": span.tokens,
                    "page": span.page,
                    "heading": span.heading,
                    "text": &document.text[span.start..span.end],
                })
            })
            .collect();
        app.output.json(&json!({ "v": 1, "chunks": chunks }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for span in &spans {
        let page = span
            .page
            .map(|page| format!(", page {page}"))
            .unwrap_or_default();
        let (start, end, tokens) = (span.start, span.end, span.tokens);
        let heading = span.heading.join(" › ");
        app.output.line(&format!(
            "── {start}..{end}, {tokens} tokens{page}  {heading}"
        ))?;
        app.output.line(document.text[start..end].trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn document(app: &App, file: &Path) -> Result<Document> {
    let (source, bytes) = match file.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin()
                .lock()
                .read_to_end(&mut bytes)
                .map_err(|e| Error::io("standard input", e))?;
            ("-".to_owned(), bytes)
        }
        _ => {
            let name = file.display().to_string();
            let bytes = std::fs::read(file).map_err(|e| {
                Error::io(format!("`{name}`"), e).hint("name a file that can be read")
            })?;
            (name, bytes)
        }
    };
    Ok(app.parser()?.parse(&source, &bytes).await?)
}

pub async fn tokenize(app: &App, args: TokenizeArgs) -> Result<ExitCode> {
    let text = standard_input()?;
    let tokenizer = tokenizer(app).await?;
    let ids = tokenizer.encode(
        &text,
        EncodeOptions {
            add_special: !args.no_special,
            parse_special: args.parse_special,
        },
    )?;
    match app.output.is_json() {
        true => app.output.json(&json!({ "v": 1, "ids": ids }))?,
        false => {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            app.output.line(&ids.join(" "))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The tokenizer of the model in force: of a GGUF file, or of a folder with `tokenizer.json`.
async fn tokenizer(app: &App) -> Result<Tokenizer> {
    let name = app.settings.get("model");
    local_only(name, "tokenizing")?;
    let model = app.resolve(name).await?;
    Ok(match model.path.is_dir() {
        true => Tokenizer::from_directory(&model.path)?,
        false => Tokenizer::from_gguf(&GgufFile::open(&model.path)?)?,
    })
}

/// What `corbie template` reads.
#[derive(Deserialize)]
struct TemplateInput {
    messages: Vec<Value>,
    #[serde(default)]
    tools: Value,
    #[serde(default = "yes")]
    add_generation_prompt: bool,
}

fn yes() -> bool {
    true
}

pub async fn template(app: &App, args: TemplateArgs) -> Result<ExitCode> {
    let input: TemplateInput = serde_json::from_str(&standard_input()?).map_err(|e| {
        Error::new(ErrorKind::BadInput, "standard input", e)
            .hint("give {\"messages\": […], \"tools\": […], \"add_generation_prompt\": true}")
    })?;
    let template = match &args.file {
        Some(file) => {
            let name = file.display().to_string();
            let source = std::fs::read_to_string(file).map_err(|e| Error::io(&name, e))?;
            ChatTemplate::new(name, &source, "", "")?
        }
        None => {
            let name = app.settings.get("model");
            local_only(name, "rendering its template")?;
            let path = app.resolve(name).await?.path;
            match path.is_dir() {
                true => ChatTemplate::from_directory(&path, &Tokenizer::from_directory(&path)?)?,
                false => ChatTemplate::from_gguf(&GgufFile::open(&path)?)?,
            }
        }
    };
    let prompt = template.render_json(
        &json!(input.messages),
        &input.tools,
        input.add_generation_prompt,
    )?;
    match app.output.is_json() {
        true => app.output.json(&json!({ "v": 1, "prompt": prompt }))?,
        false => app.output.text(&prompt)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn embed(app: &App, args: EmbedArgs) -> Result<ExitCode> {
    let embedder = app.embedder(None).await?;
    let kind = match args.query {
        true => EmbedKind::Query,
        false => EmbedKind::Document,
    };
    let mut lines = std::io::stdin().lock().lines();
    loop {
        let texts = lines
            .by_ref()
            .take(EMBED_BATCH)
            .collect::<std::io::Result<Vec<String>>>()
            .map_err(|e| Error::new(ErrorKind::BadInput, "standard input", e))?;
        if texts.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        for vector in embedder.embed(&texts, kind).await? {
            app.output.json(&vector)?;
        }
    }
}

pub async fn rerank(app: &App, args: RerankArgs) -> Result<ExitCode> {
    let text = standard_input()?;
    let mut lines = text.lines();
    let question = match args.question.as_str() {
        "-" => lines.next().unwrap_or_default(),
        question => question,
    };
    let passages: Vec<String> = lines.map(str::to_owned).collect();
    let reranker = app.reranker(args.reranker.as_deref()).await?;
    let scores = reranker.rerank(question, &passages).await?;
    let mut ranked: Vec<usize> = (0..passages.len()).collect();
    ranked.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    for index in ranked.into_iter().take(args.limit.unwrap_or(usize::MAX)) {
        let (score, text) = (scores[index], &passages[index]);
        match app.output.is_json() {
            true => app
                .output
                .json(&json!({ "v": 1, "index": index, "score": score, "text": text }))?,
            false => app.output.line(&format!("{score:.4}  {text}"))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn generate(app: &App, args: GenerateArgs) -> Result<ExitCode> {
    let name = app.settings.get("model");
    local_only(name, "completing a raw prompt")?;
    let path = app.resolve(name).await?.path;
    let options = LocalChatOptions {
        name: Some(name.to_owned()),
        precision: precision(&app.settings)?,
        ..LocalChatOptions::default()
    };
    let need = corbie_models::estimate::chat(&path, &options)?;
    app.models.pool().check(name, need.least())?;
    let model = LocalChatModel::load(&path, options)?;
    let ids = match (&args.prompt.prompt, args.prompt.prompt_ids) {
        (Some(text), _) => {
            let options = EncodeOptions {
                add_special: true,
                parse_special: true,
            };
            model.tokenizer().encode(&argument(text)?, options)?
        }
        (None, ids) => ids.unwrap_or_default(),
    };
    let defaults = Sampling::default();
    let sampling = match args.greedy {
        true => defaults,
        false => Sampling {
            temperature: args.temperature.unwrap_or(0.8),
            top_k: args.top_k,
            top_p: args.top_p.unwrap_or(defaults.top_p),
            min_p: args.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: args
                .repetition_penalty
                .unwrap_or(defaults.repetition_penalty),
            seed: args.seed,
            ..defaults
        },
    };
    let options = GenerateOptions {
        max_tokens: args.max_tokens,
        sampling,
        format: format(&args.form)?,
        tools: match &args.form.tools {
            Some(file) => tools(file)?,
            None => Vec::new(),
        },
        timeout: None,
    };
    let asked = options.tools.clone();
    let completion = model.generate(ids, options).await?;
    match app.output.is_json() {
        true => {
            let mut row = serde_json::to_value(&completion)?;
            row["v"] = json!(1);
            if !asked.is_empty() {
                let written = model.tokenizer().decode(&completion.ids, false);
                let dialect = model.template().dialect();
                let (_, _, calls) = reply(dialect.parser(&asked, Opening::Answer), &written);
                row["tool_calls"] = json!(calls);
            }
            app.output.json(&row)?;
        }
        false => app.output.line(&completion.text)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn parse_reply(app: &App, args: ParseReplyArgs) -> Result<ExitCode> {
    let dialect = Dialect::by_name(&args.dialect).unwrap_or_else(Dialect::plain);
    let tools = match &args.tools {
        Some(file) => tools(file)?,
        None => Vec::new(),
    };
    let opening = match args.thinking {
        true => Opening::Thought,
        false => Opening::Answer,
    };
    let (text, reasoning, calls) = reply(dialect.parser(&tools, opening), &standard_input()?);
    app.output.json(&json!({
        "v": 1, "text": text, "reasoning": reasoning, "tool_calls": calls,
    }))?;
    Ok(ExitCode::SUCCESS)
}

/// The text, the thinking and the calls of what a model wrote.
fn reply(mut parser: ReplyParser, written: &str) -> (String, String, Vec<Value>) {
    let mut events = parser.push(written);
    events.extend(parser.finish());
    let (mut text, mut reasoning, mut calls) = (String::new(), String::new(), Vec::new());
    for event in events {
        match event {
            ChatEvent::Text(piece) => text.push_str(&piece),
            ChatEvent::Reasoning(piece) => reasoning.push_str(&piece),
            ChatEvent::ToolCall(call) => {
                calls.push(json!({ "name": call.name, "arguments": call.arguments }));
            }
            ChatEvent::Finish { .. } => {}
        }
    }
    (text, reasoning, calls)
}

/// What a generated text must be.
fn format(form: &FormArgs) -> Result<ResponseFormat> {
    let read = |file: &Path| {
        let name = file.display().to_string();
        std::fs::read_to_string(file).map_err(|e| Error::io(format!("`{name}`"), e))
    };
    Ok(match form {
        FormArgs {
            schema: Some(file), ..
        } => {
            let schema = serde_json::from_str(&read(file)?).map_err(|error| {
                let name = format!("`{}`", file.display());
                Error::new(ErrorKind::BadInput, name, format!("no JSON: {error}"))
            })?;
            ResponseFormat::JsonSchema(schema)
        }
        FormArgs {
            grammar: Some(file),
            ..
        } => ResponseFormat::Grammar(read(file)?),
        FormArgs {
            regex: Some(regex), ..
        } => ResponseFormat::Regex(regex.clone()),
        FormArgs { choice, .. } if !choice.is_empty() => ResponseFormat::Choice(choice.clone()),
        _ => ResponseFormat::Text,
    })
}

/// The tools in a JSON file, in the form of OpenAI's API or bare.
fn tools(file: &Path) -> Result<Vec<ToolSpec>> {
    let name = file.display().to_string();
    let bad = |cause: serde_json::Error| {
        Error::new(ErrorKind::BadInput, format!("`{name}`"), cause)
            .hint("give [{\"name\": …, \"description\": …, \"parameters\": {…}}]")
    };
    let text = std::fs::read_to_string(file).map_err(|e| Error::io(&name, e))?;
    let tools: Vec<Value> = serde_json::from_str(&text).map_err(bad)?;
    let tool = |mut tool: Value| {
        let tool = match tool.get_mut("function") {
            Some(function) => function.take(),
            None => tool,
        };
        serde_json::from_value(tool).map_err(bad)
    };
    Ok(tools.into_iter().map(tool).collect::<Result<_, _>>()?)
}
