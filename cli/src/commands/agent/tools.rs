//! The tools that a run has.

use std::sync::Arc;

use anyhow::Result;
use corbie_agents::{Tools, tools};
use corbie_core::{Error, ErrorKind, Tool};

use super::super::{ingest, mcp::servers};
use crate::app::App;
use crate::args::{AgentArgs, Place, ToolName};

/// Passages of one search.
const PASSAGES: usize = 4;

/// The tools that were asked for, or all that fit.
pub async fn assemble(app: &App, args: &AgentArgs) -> Result<Tools> {
    let wants = |tool| args.tools.is_empty() || args.tools.contains(&tool);
    let mut all = Tools::default();
    if wants(ToolName::Calculator) {
        all.add(Arc::new(tools::calculator()))?;
    }
    let has_documents = args.docs.is_some() || args.collection.is_some();
    if args.tools.contains(&ToolName::Search) && !has_documents {
        let cause = "there are no documents to search";
        return Err(Error::new(ErrorKind::BadInput, "--tools search", cause)
            .hint("name them with --docs PATH or --collection NAME")
            .into());
    }
    if has_documents && wants(ToolName::Search) {
        let place = Place {
            docs: args.docs.clone(),
            collection: args.collection.clone(),
        };
        let index = ingest::place(app, &place).await?;
        let retriever = app.retriever(&index, app.search_mode(None)?);
        let search: Arc<dyn Tool> = Arc::new(tools::search(
            "search",
            "the documents",
            retriever,
            PASSAGES,
        ));
        all.add(search)?;
    }
    if let Some(file) = &args.mcp_config {
        servers::add(app, file, &mut all).await?;
    }
    Ok(all)
}
