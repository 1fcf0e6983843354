//! What other programs are offered.

use std::sync::Arc;

use anyhow::Result;
use corbie_agents::mcp::{Prompt, Server};
use corbie_agents::{FunctionTool, Tools, tools};
use corbie_core::{Effects, Error, ErrorKind, Invocation, PromptTemplate, Tool};
use serde_json::{Value, json};

use super::collections::Served;
use crate::app::App;
use crate::args::{ServeArgs, ToolName, typed};

/// Passages of a search that asks for no number, and the most.
const PASSAGES: u64 = 5;
const MOST_PASSAGES: u64 = 50;

const INSTRUCTIONS: &str = "Answers and passages come from the user's own documents. `ask` answers \
    with [n] marks that refer to its citations; `search` gives passages only; `list_collections` \
    tells what there is.";

const PROMPT: &str = "Answer this question from my documents, with the tool `search` or `ask`. \
    Say where each statement stands (source and page), and say so when the documents hold nothing \
    about it. 请根据我的文档回答，并注明出处。\n\n{{question}}";

/// The server of `corbie mcp`.
pub fn server(app: App, args: &ServeArgs) -> Result<Server> {
    let served = Arc::new(Served::new(app, &args.collection)?);
    let mut all = Tools::default();
    for tool in collection_tools(&served) {
        all.add(tool)?;
    }
    for tool in &args.tools {
        match tool {
            ToolName::Calculator => all.add(Arc::new(tools::calculator()))?,
            ToolName::Clock => {
                for tool in tools::ClockOptions::default().tools()? {
                    all.add(Arc::new(tool))?;
                }
            }
            ToolName::Code => all.add(Arc::new(tools::CodeOptions::default().tool()))?,
            ToolName::Search => {}
            other => {
                let cause = format!("`{}` is for agents of this program only", typed(other));
                return Err(Error::new(ErrorKind::BadInput, "--tools", cause)
                    .hint("calculator, clock and code can be served")
                    .into());
            }
        }
    }
    let prompt = Prompt {
        name: "ask_documents".into(),
        description: "Answers a question from the documents, with sources. 根据文档回答。".into(),
        arguments: vec![("question".into(), "The question. 问题".into())],
        template: PromptTemplate::new(PROMPT)?,
    };
    Ok(Server {
        instructions: INSTRUCTIONS.into(),
        resources: Some(served),
        prompts: vec![prompt],
        ..Server::new("corbie", all)
    })
}

/// Searching and asking change nothing; what they give is text of documents.
const READS: Effects = Effects {
    read_only: true,
    destructive: false,
    egress: false,
    idempotent: true,
    trusted: false,
    approval: false,
};

fn collection_tools(served: &Arc<Served>) -> Vec<Arc<dyn Tool>> {
    let text = |run: &Invocation, name: &str| run.arguments[name].as_str().map(str::to_owned);
    let collection =
        json!({"type": "string", "description": "The collection; needed where there are several"});
    let (searched, asked, listed) = (served.clone(), served.clone(), served.clone());
    let search = FunctionTool::new(
        "search",
        "Finds passages in the documents of a collection, best first. 在文档中查找段落。",
        schema(
            json!({
                "query": {"type": "string", "description": "What to look for"},
                "collection": collection,
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST_PASSAGES},
            }),
            &["query"],
        ),
        move |run: Invocation| {
            let served = searched.clone();
            async move {
                let query = text(&run, "query").unwrap_or_default();
                let limit = run.arguments["limit"].as_u64().unwrap_or(PASSAGES);
                let limit = usize::try_from(limit.min(MOST_PASSAGES)).unwrap_or(1);
                served
                    .search(text(&run, "collection").as_deref(), &query, limit)
                    .await
            }
        },
    );
    let ask = FunctionTool::new(
        "ask",
        "Answers a question from the documents of a collection, with citations. 根据文档回答问题，附引文。",
        schema(
            json!({
                "question": {"type": "string", "description": "The question"},
                "collection": collection,
            }),
            &["question"],
        ),
        move |run: Invocation| {
            let served = asked.clone();
            async move {
                let question = text(&run, "question").unwrap_or_default();
                let answer = served
                    .ask(text(&run, "collection").as_deref(), &question)
                    .await?;
                Ok(json!(answer))
            }
        },
    );
    let list = FunctionTool::new(
        "list_collections",
        "Lists the collections of documents. 列出文档集。",
        schema(json!({}), &[]),
        move |_run: Invocation| {
            let served = listed.clone();
            async move { served.list() }
        },
    );
    let all = [search, ask, list].into_iter();
    all.map(|tool| Arc::new(tool.with_effects(READS)) as Arc<dyn Tool>)
        .collect()
}

fn schema(fields: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": false,
    })
}
