//! What the user may type about the Model Context Protocol.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ToolName;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct McpArgs {
    #[command(subcommand)]
    pub command: Option<McpCommand>,
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// Serving; without an address on standard input and output.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Serve over HTTP at this address of this machine, such as 127.0.0.1:8765
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<SocketAddr>,
    /// A collection that is served, or another one given so; by default all
    #[arg(long, value_name = "NAME")]
    pub collection: Vec<String>,
    /// Other tools that are served, too
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAMES")]
    pub tools: Vec<ToolName>,
}

#[derive(Debug, Subcommand)]
pub enum McpCommand {
    /// What the servers of a file offer, and what of it is approved
    List {
        /// The file: {"mcpServers": {NAME: {"command": …} or {"url": …}}}
        #[arg(long, value_name = "FILE")]
        mcp_config: PathBuf,
    },
    /// Look at a server's command and tools, and approve them
    Approve(McpServer),
    /// Take back all that was approved of a server
    Forget {
        /// The server's name in its file
        server: String,
    },
}

#[derive(Debug, Args)]
pub struct McpServer {
    /// The server's name in the file
    pub server: String,
    /// The file: {"mcpServers": {NAME: {"command": …} or {"url": …}}}
    #[arg(long, value_name = "FILE")]
    pub mcp_config: PathBuf,
    /// Approve without a question: the command and all tools as they are now
    #[arg(long)]
    pub yes: bool,
    /// Believe what the server says of its tools' effects: those that only read run unasked
    #[arg(long)]
    pub believe: bool,
}
