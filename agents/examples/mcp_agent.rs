//! An agent with the tools of other programs (Model Context Protocol), and a server of ours.
//!
//! ```text
//! cargo run -p corbie-agents --features mcp --example mcp_agent -- serve [ADDRESS]
//! cargo run -p corbie-agents --features mcp --example mcp_agent -- list FILE
//! cargo run -p corbie-agents --features mcp --example mcp_agent -- call FILE TOOL ARGUMENTS
//! ```
//!
//! `serve` offers a calculator, on standard input and output or at an address of this machine.
//! `list` connects the servers of a file (`{"mcpServers": {…}}`) and shows their tools. `call` has
//! an agent call one of them; its model is scripted, so that this runs without one. Everything the
//! servers are and have is approved here without a question: an application would ask a person.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use corbie_agents::mcp::{
    Clients, Config, ConnectOptions, Consent, Elicitation, Endpoint, Host, HttpOptions, HttpServer,
    Pins, Prompt, Resource, Resources, Review, Server,
};
use corbie_agents::{Agent, Policy, Tools, tools};
use corbie_core::testing::{ScriptedChatModel, call, says};
use corbie_core::{BoxFuture, PromptTemplate};
use serde_json::Value;

/// Approves everything, and answers questions with the word `corbie`.
struct Trusting;

impl Host for Trusting {
    fn approve_server<'a>(&'a self, _: &'a str, endpoint: &'a Endpoint) -> BoxFuture<'a, Consent> {
        eprintln!("starting {endpoint:?}");
        Box::pin(async { Consent::Believed })
    }

    fn approve_tools<'a>(&'a self, _: &'a str, all: &'a [Review]) -> BoxFuture<'a, Vec<Consent>> {
        Box::pin(async { vec![Consent::Believed; all.len()] })
    }

    fn answer(&self, question: Elicitation) -> BoxFuture<'_, Option<Value>> {
        eprintln!("{} asks: {}", question.server, question.message);
        let required = question.schema["required"].as_array().cloned();
        let fields = required.into_iter().flatten();
        let fields = fields.filter_map(|name| Some((name.as_str()?.to_owned(), "corbie".into())));
        let answer: serde_json::Map<String, Value> = fields.collect();
        Box::pin(async { Some(Value::Object(answer)) })
    }
}

/// One document.
struct Note;

impl Resources for Note {
    fn list(
        &self,
        _after: Option<String>,
    ) -> BoxFuture<'_, corbie_core::Result<(Vec<Resource>, Option<String>)>> {
        let note = Resource {
            uri: "note://ravens".into(),
            name: "ravens".into(),
            media_type: "text/plain".into(),
            bytes: None,
        };
        Box::pin(async { Ok((vec![note], None)) })
    }

    fn read<'a>(
        &'a self,
        uri: &'a str,
    ) -> BoxFuture<'a, corbie_core::Result<Option<(String, String)>>> {
        let text = (uri == "note://ravens").then(|| "Ravens cache food. 乌鸦藏食物。".to_owned());
        Box::pin(async { Ok(text.map(|text| (text, "text/plain".to_owned()))) })
    }
}

fn server() -> Result<Server> {
    Ok(Server {
        resources: Some(Arc::new(Note)),
        prompts: vec![Prompt {
            name: "compute".into(),
            description: "Computes something".into(),
            arguments: vec![("what".into(), "An expression".into())],
            template: PromptTemplate::new("Compute {{what}} with the calculator.")?,
        }],
        ..Server::new("example", Tools::new([Arc::new(tools::calculator()) as _])?)
    })
}

async fn connect(file: &str) -> Result<(Clients, Tools)> {
    let options = ConnectOptions {
        host: Arc::new(Trusting),
        ..ConnectOptions::default()
    };
    let config = Config::read(Path::new(file))?;
    let clients = Clients::connect(&config, &Pins::in_memory()?, &options).await;
    let mut all = Tools::default();
    for blocked in clients.add_to(&mut all) {
        eprintln!("left out: {blocked:?}");
    }
    if let Some((_, error)) = clients.failed.first() {
        bail!("{error}");
    }
    Ok((clients, all))
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve"] => {
            let streams = (tokio::io::stdin(), tokio::io::stdout());
            server()?.serve(streams.0, streams.1).await?;
        }
        ["serve", address] => {
            let address = address
                .parse()
                .context("an address such as 127.0.0.1:8765")?;
            let server = HttpServer::bind(address, server()?, HttpOptions::default()).await?;
            eprintln!("serving at {}", server.url());
            server.run().await?;
        }
        ["list", file] => {
            let (clients, all) = connect(file).await?;
            for client in &clients.connected {
                println!("{} speaks {}", client.name(), client.protocol_version());
            }
            for spec in all.specs() {
                println!("{}: {}", spec.name, spec.description);
            }
        }
        ["call", file, tool, given] => {
            let (_clients, all) = connect(file).await?;
            let script = [call(tool, serde_json::from_str(given)?), says("done")];
            let model = ScriptedChatModel::new(script);
            let mut agent = Agent {
                tools: all,
                ..Agent::new(Arc::new(model.with_context_length(1 << 20)))
            };
            agent.options.policy = Policy::unattended();
            let run = agent.run("Call the tool.").await?;
            for result in run.results() {
                println!("{result}");
            }
        }
        _ => bail!("serve [ADDRESS], list FILE, or call FILE TOOL ARGUMENTS"),
    }
    Ok(())
}
