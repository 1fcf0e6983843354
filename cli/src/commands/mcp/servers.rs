//! Servers of other programs: what they offer, and what of it is approved.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use corbie_agents::Tools;
use corbie_agents::mcp::{Client, Clients, Config, ConnectOptions, Consent, Host, Pins};
use corbie_core::{Error, ErrorKind};
use serde_json::json;

use super::super::or_hint;
use super::person::Terminal;
use crate::app::App;
use crate::args::McpServer;

fn pins(app: &App) -> Result<Pins> {
    let folder = Path::new(app.settings.get("data_dir"));
    std::fs::create_dir_all(folder)?;
    Ok(Pins::open(&folder.join("mcp.db"))?)
}

fn options(app: &App, host: Arc<dyn Host>) -> Result<ConnectOptions> {
    Ok(ConnectOptions {
        host,
        offline: app.settings.switch("offline")?,
        ..ConnectOptions::default()
    })
}

/// The person at the terminal, if anybody is there.
fn person(app: &App) -> Terminal {
    Terminal {
        output: app.output,
        standing: None,
        yes: Consent::Approved,
    }
}

/// The servers of a file.
pub fn read(file: &Path) -> Result<Config> {
    let form = "its form is {\"mcpServers\": {NAME: {\"command\": …} or {\"url\": …}}}";
    Ok(Config::read(file).map_err(|error| or_hint(error, form))?)
}

/// What is typed to approve a server of this file, and its tools.
fn approving(app: &App, file: &Path, server: &str) -> String {
    let file = file.display().to_string();
    let words = ["mcp", "approve", server, "--mcp-config", &file];
    app.again(&words.map(str::to_owned))
}

/// An error of a server of this file, with the line to type where a person must approve it.
fn told(app: &App, file: &Path, server: &str, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Unauthorized => error.hint(approving(app, file, server)),
        _ => error,
    }
}

/// Adds the tools of a file's servers; says which are left out, and why.
pub async fn add(app: &App, file: &Path, config: &Config, tools: &mut Tools) -> Result<()> {
    let options = options(app, Arc::new(person(app)))?;
    let mut clients = Clients::connect(config, &pins(app)?, &options).await;
    for (server, error) in std::mem::take(&mut clients.failed) {
        let error = told(app, file, &server, error);
        app.output.note(&format!("left out: {error}"));
    }
    for blocked in clients.add_to(tools) {
        let next = match blocked.needs_approval {
            true => format!(" ({})", approving(app, file, &blocked.server)),
            false => String::new(),
        };
        app.output.note(&format!(
            "left out: tool `{}` of MCP server `{}`: {}{next}",
            blocked.tool, blocked.server, blocked.why
        ));
    }
    Ok(())
}

/// Shows what the servers of a file offer. Nothing is approved by it, so only what was approved
/// before is started.
pub async fn list(app: &App, file: &Path) -> Result<ExitCode> {
    let config = read(file)?;
    let options = options(app, Arc::new(()))?;
    let clients = Clients::connect(&config, &pins(app)?, &options).await;
    for client in &clients.connected {
        show(app, client)?;
        if client.blocked().iter().any(|it| it.needs_approval) {
            let next = approving(app, file, client.name());
            app.output.note(&format!("To look at them: {next}"));
        }
    }
    for (server, error) in clients.failed {
        let error = told(app, file, &server, error);
        match app.output.is_json() {
            true => app
                .output
                .json(&json!({"v": 1, "server": server, "error": error.to_string()}))?,
            false => app.output.line(&error.to_string())?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(app: &App, client: &Client) -> Result<()> {
    let tools = client.tools().iter().map(|tool| tool.spec().name.clone());
    let tools: Vec<String> = tools.collect();
    let blocked = client.blocked().iter();
    let blocked: Vec<(&str, &str)> = blocked
        .map(|it| (it.tool.as_str(), it.why.as_str()))
        .collect();
    if app.output.is_json() {
        let blocked = blocked
            .iter()
            .map(|(tool, why)| json!({"tool": tool, "why": why}));
        return app.output.json(&json!({
            "v": 1,
            "server": client.name(),
            "protocol": client.protocol_version(),
            "tools": tools,
            "blocked": blocked.collect::<Vec<_>>(),
        }));
    }
    let version = client.protocol_version();
    app.output
        .line(&format!("{} (protocol {version})", client.name()))?;
    for tool in tools {
        app.output.line(&format!("  {tool}"))?;
    }
    for (tool, why) in blocked {
        app.output.line(&format!("  {tool}: left out: {why}"))?;
    }
    Ok(())
}

/// Shows a server's command and tools and has them approved, all anew.
pub async fn approve(app: &App, args: McpServer) -> Result<ExitCode> {
    let config = read(&args.mcp_config)?;
    let Some(endpoint) = config.servers.get(&args.server) else {
        let subject = format!("MCP server `{}`", args.server);
        let names: Vec<&str> = config.servers.keys().map(String::as_str).collect();
        let error = Error::new(ErrorKind::NotFound, subject, "the file does not name it");
        let names = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        return Err(error.hint(format!("it names {names}")).into());
    };
    let yes = match args.believe {
        true => Consent::Believed,
        false => Consent::Approved,
    };
    let terminal = Terminal {
        standing: args.yes.then_some(yes),
        yes,
        ..person(app)
    };
    let pins = pins(app)?;
    pins.forget(&args.server)?;
    let options = options(app, Arc::new(terminal))?;
    let client = Client::connect(&args.server, endpoint, &pins, &options).await;
    let client = client.map_err(|error| match error.kind() {
        ErrorKind::Unauthorized if !io::stdin().is_terminal() => {
            error.hint("nobody is at a terminal to say yes: look at the command, then give --yes")
        }
        _ => told(app, &args.mcp_config, &args.server, error),
    })?;
    show(app, &client)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes back what was approved.
pub fn forget(app: &App, server: &str) -> Result<ExitCode> {
    if !pins(app)?.forget(server)? {
        let subject = format!("MCP server `{server}`");
        let error = Error::new(ErrorKind::NotFound, subject, "nothing of it was approved");
        let hint = "`corbie mcp list --mcp-config FILE` shows what is";
        return Err(error.hint(hint).into());
    }
    match app.output.is_json() {
        true => app.output.json(&json!({"v": 1, "forgotten": server}))?,
        false => app.output.line(&format!("forgot {server}"))?,
    }
    Ok(ExitCode::SUCCESS)
}
