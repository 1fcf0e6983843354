//! `corbie mcp`: our collections and tools for other programs, and approving theirs.

mod collections;
mod offer;
mod person;
pub mod servers;

use std::process::ExitCode;

use anyhow::Result;
use corbie_agents::mcp::{HttpOptions, HttpServer};

use crate::app::App;
use crate::args::{McpArgs, McpCommand};

pub async fn run(app: App, args: McpArgs) -> Result<ExitCode> {
    match args.command {
        Some(McpCommand::List { mcp_config }) => servers::list(&app, &mcp_config).await,
        Some(McpCommand::Approve(server)) => servers::approve(&app, server).await,
        Some(McpCommand::Forget { server }) => servers::forget(&app, &server),
        None => {
            let output = app.output;
            let server = offer::server(app, &args.serve)?;
            match args.serve.http {
                Some(address) => {
                    let server = HttpServer::bind(address, server, HttpOptions::default()).await?;
                    output.note(&format!("serving at {}", server.url()));
                    server.run().await?;
                }
                None => {
                    server
                        .serve(tokio::io::stdin(), tokio::io::stdout())
                        .await?
                }
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}
