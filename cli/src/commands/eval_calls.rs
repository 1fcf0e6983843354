//! `corbie eval tools` and `corbie eval calls`: are the right functions called?

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::ToolRetrieval;
use corbie_agents::eval::bfcl::{self, BfclCase};
use corbie_agents::eval::calls::{CallCase, CallCases};
use corbie_agents::eval::{Fit, Rate, balanced, fit, pass_hat_k};
use corbie_core::{
    ChatModel, ChatRequest, Error, ErrorKind, Message, Sampling, ToolCall, ToolChoice, ToolSpec,
};
use corbie_models::chat::{Calibrate, Demonstrate, LocalChatOptions};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::or_hint;
use crate::app::App;
use crate::args::{Aids, EvalCallsArgs, EvalToolsArgs};

/// The most tokens of one answer.
const MAX_TOKENS: usize = 256;

/// So many cases are asked together.
const TOGETHER: usize = 4;

/// A model that answers.
struct Asked {
    model: Arc<dyn ChatModel>,
    retrieval: Option<ToolRetrieval>,
}

/// What came of one case.
struct Given {
    calls: Vec<ToolCall>,
    text: String,
    fit: Fit,
}

impl Asked {
    async fn new(app: &App, aids: &Aids) -> Result<Self> {
        let options = LocalChatOptions {
            calibrate: match aids.no_calibration || aids.unconstrained {
                true => Calibrate::Never,
                false => Calibrate::default(),
            },
            demonstrate: match aids.no_demonstrations {
                true => Demonstrate::Others,
                false => Demonstrate::default(),
            },
            unconstrained: aids.unconstrained,
            ..LocalChatOptions::default()
        };
        let retrieval = match aids.keep {
            Some(keep) => Some(ToolRetrieval {
                embedder: app.embedder(None).await?,
                keep: keep as usize,
            }),
            None => None,
        };
        Ok(Self {
            model: app.chat_model_with(options).await?,
            retrieval,
        })
    }

    async fn ask(
        &self,
        messages: Vec<Message>,
        tools: &[ToolSpec],
        sampling: Sampling,
    ) -> Result<Given> {
        let last = messages.last().map_or("", |last| last.content.as_str());
        let offered = match &self.retrieval {
            Some(retrieval) => retrieval.narrow(last, tools.to_vec()).await?,
            None => tools.to_vec(),
        };
        let request = ChatRequest {
            tools: offered,
            tool_choice: ToolChoice::Auto,
            max_tokens: Some(MAX_TOKENS),
            sampling,
            ..ChatRequest::new(messages)
        };
        let message = match self.model.complete(request).await {
            Ok(reply) => reply.message,
            // What a provider cannot read as a call is one that the model malformed.
            Err(error) if matches!(error.kind(), ErrorKind::Malformed) => {
                Message::assistant(format!("{{{error}"))
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Given::new(tools, message.tool_calls, message.content))
    }
}

impl Given {
    fn new(tools: &[ToolSpec], calls: Vec<ToolCall>, text: String) -> Self {
        Self {
            fit: fit(tools, &calls, &text),
            calls,
            text,
        }
    }

    /// Right only if no call is malformed either.
    fn fault(&self, fault: Option<String>) -> Option<String> {
        match self.fit {
            Fit::Malformed => Some("the text tries to be a call and is none".into()),
            _ => fault,
        }
    }
}

pub async fn tools(app: &App, args: &EvalToolsArgs) -> Result<ExitCode> {
    let text = std::fs::read_to_string(&args.ids).map_err(|error| {
        Error::io(args.ids.display().to_string(), error)
            .hint("name a file with the cases' ids, one a line, with --ids")
    })?;
    let mut ids = bfcl::ids(&text);
    for category in &args.categories {
        if !bfcl::CATEGORIES.contains(&category.as_str()) {
            let cause = format!("there is no category `{category}`");
            return Err(Error::new(ErrorKind::BadInput, "--categories", cause)
                .hint(format!(
                    "the categories are {}",
                    bfcl::CATEGORIES.join(", ")
                ))
                .into());
        }
    }
    let wanted = |id: &String| {
        let category = id.rsplit_once('_').map_or("", |(category, _)| category);
        args.categories.is_empty() || args.categories.iter().any(|it| it == category)
    };
    ids.retain(wanted);
    if ids.is_empty() {
        let cause = "no case is left of those that it names";
        return Err(
            Error::new(ErrorKind::BadInput, args.ids.display().to_string(), cause)
                .hint("name cases such as multiple_7, or other --categories")
                .into(),
        );
    }
    let cases = bfcl::load(&args.folder, &spread(ids, args.limit))?;
    let given = match &args.answers {
        Some(path) => answered(path, &cases)?,
        None => {
            let asked = Asked::new(app, &args.aids).await?;
            let questions = cases.iter().map(|case| {
                (
                    case.messages.clone(),
                    case.tools.as_slice(),
                    Sampling::default(),
                )
            });
            ask_all(app, &asked, questions.collect()).await?
        }
    };
    let mut log = log(&args.aids)?;
    let (mut valid, mut correct) = (Rate::default(), Rate::default());
    let mut by_category: BTreeMap<&str, [Rate; 2]> = BTreeMap::new();
    let (mut malformed, mut broken) = (0, Vec::new());
    for (case, given) in cases.iter().zip(&given) {
        let fault = given.fault(case.fault(&given.calls));
        let fits = given.fit == Fit::Fits;
        valid.add(fits);
        correct.add(fault.is_none());
        malformed += usize::from(given.fit == Fit::Malformed);
        let [category_valid, category_correct] = by_category.entry(&case.category).or_default();
        category_valid.add(fits);
        category_correct.add(fault.is_none());
        if case.gold_breaks_schema() {
            broken.push(case.id.as_str());
        }
        write(&mut log, &json!(case.id), given, fits, fault)?;
    }
    let group = |is_of: &dyn Fn(&str) -> bool| {
        let mut group = Rate::default();
        for (_, [_, correct]) in by_category.iter().filter(|(name, _)| is_of(name)) {
            group += *correct;
        }
        group
    };
    let called = group(&|name| matches!(name, "simple_python" | "multiple"));
    let irrelevant = group(&|name| name == "irrelevance");
    let rows = by_category.iter().map(|(name, [valid, correct])| {
        let row = json!({"cases": valid.of, "valid": valid.right, "correct": correct.right});
        ((*name).to_owned(), row)
    });
    let report = json!({
        "v": 1,
        "cases": correct.of,
        "valid": valid.right,
        "correct": correct.right,
        "interval": correct.interval(),
        "malformed": malformed,
        "balanced": balanced(&[called, irrelevant]),
        "by_category": Value::Object(rows.collect()),
        "gold_breaks_schema": broken,
    });
    show(app, &report)
}

pub async fn calls(app: &App, args: &EvalCallsArgs) -> Result<ExitCode> {
    let form = "it has `tools`, and `cases` such as {\"q\": \"6 × 7?\", \"tool\": \"calculator\"}";
    let cases = CallCases::load(&args.file).map_err(|error| or_hint(error, form))?;
    let CallCases { tools, cases } = cases;
    let cases = spread(cases, args.limit);
    let asked = Asked::new(app, &args.aids).await?;
    let times = args.times as usize;
    // Asked once, a case is asked greedily; asked often, each time with a seed of its own.
    let sampling = |time| match times {
        1 => Sampling::default(),
        _ => Sampling {
            temperature: args.temperature,
            seed: Some(time as u64),
            ..Sampling::default()
        },
    };
    let question = |(case, time): (&CallCase, usize)| {
        (
            vec![Message::user(&case.question)],
            tools.as_slice(),
            sampling(time),
        )
    };
    let attempts = || {
        cases
            .iter()
            .flat_map(|case| (0..times).map(move |time| (case, time)))
    };
    let given = ask_all(app, &asked, attempts().map(question).collect()).await?;
    let mut log = log(&args.aids)?;
    let mut tasks = vec![Rate::default(); cases.len()];
    let (mut right, mut tool, mut valid) = (Rate::default(), Rate::default(), Rate::default());
    let mut languages = [Rate::default(); 2];
    let mut by_tool: BTreeMap<&str, Rate> = BTreeMap::new();
    for (attempt, ((case, _), given)) in attempts().zip(&given).enumerate() {
        let fault = given.fault(case.fault(&given.calls));
        tasks[attempt / times].add(fault.is_none());
        let called = given.calls.first().map(|call| call.name.as_str());
        let fits = given.fit == Fit::Fits;
        right.add(fault.is_none());
        valid.add(fits);
        tool.add(given.fit != Fit::Malformed && called == case.tool.as_deref());
        languages[usize::from(case.is_chinese())].add(fault.is_none());
        let wanted = case.tool.as_deref().unwrap_or("none");
        by_tool.entry(wanted).or_default().add(fault.is_none());
        write(&mut log, &json!(case.question), given, fits, fault)?;
    }
    let count = |rate: &Rate| json!({"cases": rate.of, "right": rate.right});
    let rows = by_tool
        .iter()
        .map(|(name, rate)| ((*name).to_owned(), count(rate)));
    let mut report = json!({
        "v": 1,
        "cases": right.of,
        "right": right.right,
        "interval": right.interval(),
        "right_tool": tool.right,
        "valid": valid.right,
        "english": count(&languages[0]),
        "chinese": count(&languages[1]),
        "by_tool": Value::Object(rows.collect()),
    });
    if times > 1 {
        let chance = |k: usize| (k.to_string(), json!(pass_hat_k(&tasks, k)));
        report["times"] = json!(times);
        report["pass_hat"] = Value::Object((1..=times).map(chance).collect());
    }
    show(app, &report)
}

/// At most so many of the items, spread evenly.
fn spread<T>(items: Vec<T>, limit: Option<u32>) -> Vec<T> {
    let (all, most) = (
        items.len(),
        limit.map_or(usize::MAX, |limit| limit as usize),
    );
    if most >= all {
        return items;
    }
    // The item with index i * all / most, for each i below `most`.
    let mut next = 0;
    let chosen = items.into_iter().enumerate().filter(|(index, _)| {
        let is_next = *index == next * all / most;
        next += usize::from(is_next);
        is_next
    });
    chosen.map(|(_, item)| item).collect()
}

async fn ask_all(
    app: &App,
    asked: &Asked,
    questions: Vec<(Vec<Message>, &[ToolSpec], Sampling)>,
) -> Result<Vec<Given>> {
    let all = questions.len();
    let asking = questions
        .into_iter()
        .map(|(messages, tools, sampling)| asked.ask(messages, tools, sampling));
    let given = stream::iter(asking).buffered(TOGETHER).enumerate();
    given
        .map(|(index, given)| {
            let done = index + 1;
            if done % 10 == 0 || done == all {
                app.output.note(&format!("{done} of {all} cases"));
            }
            given
        })
        .try_collect()
        .await
}

/// The answers to the cases in a file, which must have one to each.
fn answered(path: &Path, cases: &[BfclCase]) -> Result<Vec<Given>> {
    let subject = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(&subject, error))?;
    let mut answers: HashMap<String, Value> = HashMap::new();
    let lines = text.lines().enumerate();
    for (index, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |cause: String| {
            let cause = format!("line {}: {cause}", index + 1);
            Error::new(ErrorKind::Malformed, &subject, cause)
                .hint("a line is {\"id\": …, \"calls\": [{\"name\": …, \"arguments\": {…}}]}")
        };
        let answer: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let id = answer["id"].as_str();
        let id = id.ok_or_else(|| wrong("it has no `id`".into()))?.to_owned();
        answers.insert(id, answer);
    }
    let given = cases.iter().map(|case| {
        let answer = answers.get(&case.id).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                &subject,
                format!("no answer to {}", case.id),
            )
            .hint("add a line for it, or leave it out of the ids")
        })?;
        let calls = answer["calls"].as_array().into_iter().flatten();
        let calls = calls.map(|call| ToolCall {
            id: String::new(),
            name: call["name"].as_str().unwrap_or_default().to_owned(),
            arguments: call["arguments"].clone(),
        });
        let text = answer["text"].as_str().unwrap_or_default().to_owned();
        let mut given = Given::new(&case.tools, calls.collect(), text);
        if answer["malformed"] == true {
            given.fit = Fit::Malformed;
        }
        Ok(given)
    });
    given.collect()
}

fn log(aids: &Aids) -> Result<Option<std::fs::File>> {
    let create = |path: &std::path::PathBuf| {
        std::fs::File::create(path).map_err(|error| Error::io(path.display().to_string(), error))
    };
    Ok(aids.log.as_ref().map(create).transpose()?)
}

fn write(
    log: &mut Option<std::fs::File>,
    case: &Value,
    given: &Given,
    fits: bool,
    fault: Option<String>,
) -> Result<()> {
    let Some(log) = log else { return Ok(()) };
    let row = json!({
        "case": case, "calls": given.calls, "text": given.text, "valid": fits, "fault": fault,
    });
    Ok(writeln!(log, "{row}")?)
}

fn show(app: &App, report: &Value) -> Result<ExitCode> {
    if app.output.is_json() {
        app.output.json(report)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, value) in report.as_object().into_iter().flatten() {
        match value {
            Value::Object(rows) => {
                app.output.line(name)?;
                for (name, row) in rows {
                    app.output.line(&format!("  {name:<18} {row}"))?;
                }
            }
            _ if name == "v" => {}
            value => app.output.line(&format!("{name:<20} {value}"))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
