//! The Model Context Protocol: tools of other programs, and ours for them.
//!
//! As a client ([`Clients`]) Corbie starts or reaches the servers of a configuration file, and
//! their tools become [`Tool`](corbie_core::Tool)s named `server__tool`. As a server ([`Server`])
//! it offers [`Tools`](crate::Tools), documents and prompts to any client, over standard input and
//! output or over HTTP on this machine.
//!
//! Servers are not trusted:
//!
//! - A command is started as an argument vector, never through a shell, with an environment of a
//!   few harmless variables and those of the file; only http(s) addresses are reached.
//! - What would be started, and every tool, is approved by a person first ([`Host`]). What was
//!   approved is kept as a hash ([`Pins`]): a tool that changes is blocked until it is approved
//!   again.
//! - What a server says of its tools' effects is a claim. Unless the person who approved a tool
//!   chose to believe it, the tool may do anything.
//! - Invisible characters in descriptions are shown escaped, to people and models.
//! - Schemas are bounded before anything walks them ([`corbie_core::schema`]).
//!
//! Both eras of the protocol are spoken: 2026-07-28 without sessions, 2025-11-25 and before with.

mod call;
mod client;
mod config;
mod content;
mod handler;
mod helpers;
mod http;
mod launch;
mod listing;
mod pins;
mod screen;
mod server;
mod tool;

pub use client::{Blocked, Client, Clients, ConnectOptions};
pub use config::{Config, Endpoint};
pub use handler::{Consent, Elicitation, Host};
pub use http::{HttpOptions, HttpServer};
pub use launch::command_line;
pub use pins::{Approval, Pins, Subject};
pub use screen::{escaped, has_invisible};
pub use server::{Prompt, Resource, Resources, Server};
pub use tool::Review;
