//! The tools that a run has.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{
    FunctionTool, Memory, MemoryOptions, MemoryTools, Offload, Record, Tools, tools,
};
use corbie_core::{Embedder, Error, ErrorKind};
use corbie_vectorstores::SearchMode;

use super::super::{ingest, mcp::servers};
use crate::app::App;
use crate::args::{Means, Place, ToolName};

/// Passages of one search.
const PASSAGES: usize = 4;
/// Whose memory it is where nobody says.
const SCOPE: &str = "default";

/// The tools that were asked for, or those that are safe and have something to work on, for a run
/// in which so much happened.
pub async fn assemble(app: &App, args: &Means, so_far: &[Record]) -> Result<Tools> {
    // A file that is none is told before documents are indexed.
    let servers = args.mcp_config.as_deref();
    let servers = servers.map(servers::read).transpose()?;
    let named = |tool| args.tools.contains(&tool);
    let wants = |tool| args.tools.is_empty() || named(tool);
    let mut all = Tools::default();
    if wants(ToolName::Calculator) {
        add(&mut all, [tools::calculator()])?;
    }
    let has_documents = args.docs.is_some() || args.collection.is_some();
    if named(ToolName::Search) && !has_documents {
        let hint = "name them with --docs PATH or --collection NAME";
        return Err(nothing(
            "--tools search",
            "there are no documents to search",
            hint,
        ));
    }
    if has_documents && wants(ToolName::Search) {
        add(&mut all, [search(app, args).await?])?;
    }
    if named(ToolName::Clock) {
        let options = tools::ClockOptions {
            zone: zone(),
            ..tools::ClockOptions::default()
        };
        add(&mut all, options.tools()?)?;
    }
    if named(ToolName::Todo) {
        add(&mut all, [tools::TodoList::of(so_far).tool()])?;
    }
    if named(ToolName::Files) && args.files.is_none() {
        let cause = "there is no folder whose files it may use";
        return Err(nothing("--tools files", cause, "name it with --files DIR"));
    }
    if let Some(folder) = &args.files
        && wants(ToolName::Files)
    {
        let options = tools::FilesOptions {
            write: args.write,
            ..tools::FilesOptions::new(folder)
        };
        add(&mut all, options.tools()?)?;
    }
    if named(ToolName::Memory) || (args.memory.is_some() && wants(ToolName::Memory)) {
        let scope = args.memory.as_deref().unwrap_or(SCOPE);
        let tools = MemoryTools::new(Arc::new(memory(app).await?), scope);
        add(&mut all, tools.tools())?;
    }
    if named(ToolName::Fetch) {
        add(&mut all, [fetch(app, args)?])?;
    }
    if named(ToolName::Code) {
        add(&mut all, [tools::CodeOptions::default().tool()])?;
    }
    let is_long = [ToolName::Files, ToolName::Fetch, ToolName::Code];
    if args.files.is_some() || args.mcp_config.is_some() || is_long.into_iter().any(named) {
        let folder = Path::new(app.settings.get("data_dir")).join("results");
        all.offload(Offload::new(folder))?;
    }
    if let (Some(file), Some(config)) = (&args.mcp_config, servers) {
        servers::add(app, file, &config, &mut all).await?;
    }
    Ok(all)
}

/// The option that brings the tool of this name.
pub fn option_of(tool: &str) -> &'static str {
    match tool {
        "search" => "--docs PATH or --collection NAME",
        "list_files" | "read_file" | "search_files" => "--files DIR",
        "write_file" | "append_file" => "--files DIR --write",
        "remember" | "recall" | "forget" => "--memory SCOPE",
        server if server.contains("__") => "--mcp-config FILE",
        _ => "--tools NAMES",
    }
}

fn add(all: &mut Tools, tools: impl IntoIterator<Item = FunctionTool>) -> Result<()> {
    for tool in tools {
        all.add(Arc::new(tool))?;
    }
    Ok(())
}

fn nothing(option: &str, cause: &str, hint: &str) -> anyhow::Error {
    Error::new(ErrorKind::BadInput, option, cause)
        .hint(hint)
        .into()
}

async fn search(app: &App, args: &Means) -> Result<FunctionTool> {
    let place = Place {
        docs: args.docs.clone(),
        collection: args.collection.clone(),
    };
    let index = ingest::place(app, &place).await?;
    let retriever = app.retriever(&index, app.search_mode(None)?);
    Ok(tools::search(
        "search",
        "the documents",
        retriever,
        PASSAGES,
    ))
}

/// This machine's long-term memory.
async fn memory(app: &App) -> Result<Memory> {
    let embedder: Option<Arc<dyn Embedder>> = match app.search_mode(None)? {
        SearchMode::Keyword => None,
        SearchMode::Dense | SearchMode::Hybrid => Some(app.embedder(None).await?),
    };
    let folder = Path::new(app.settings.get("data_dir"));
    std::fs::create_dir_all(folder)?;
    let options = MemoryOptions {
        embedder,
        ..MemoryOptions::default()
    };
    Ok(Memory::open(&folder.join("memory.db"), options)?)
}

fn fetch(app: &App, args: &Means) -> Result<FunctionTool> {
    if app.settings.switch("offline")? {
        return Err(Error::new(
            ErrorKind::Offline,
            "--tools fetch",
            "the network may not be used",
        )
        .hint("leave out --offline")
        .into());
    }
    let options = tools::FetchOptions {
        hosts: (!args.hosts.is_empty()).then(|| args.hosts.clone()),
        parser: Some(app.parser()?),
        ..tools::FetchOptions::default()
    };
    Ok(options.tool()?)
}

/// This machine's time zone by its name; UTC where it has none.
fn zone() -> String {
    let linked = || {
        let target = std::fs::read_link("/etc/localtime").ok()?;
        let (_, name) = target.to_str()?.split_once("zoneinfo/")?;
        Some(name.to_owned())
    };
    let named = std::env::var("TZ").ok().filter(|name| !name.is_empty());
    let name = named.or_else(linked).unwrap_or_default();
    let options = tools::ClockOptions {
        zone: name.clone(),
        ..tools::ClockOptions::default()
    };
    match options.tools() {
        Ok(_) => name,
        Err(_) => "UTC".to_owned(),
    }
}
