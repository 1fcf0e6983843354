#![allow(clippy::unwrap_used)]

mod chat;
mod embed;
mod failure;
mod validated;

use std::time::Duration;

use super::*;
use crate::loopback::{Reply, Server};

/// A key that must show up nowhere but in the `Authorization` header.
const CANARY: &str = "sk-canary-1234567890";

fn options(provider: &str, server: &Server) -> RemoteOptions {
    RemoteOptions {
        base_url: format!("{}/v1", server.url),
        key: Some(CANARY.to_owned().into()),
        retries: 2,
        retry_delay: Duration::from_nanos(1),
        ..RemoteOptions::new(provider, "tiny").unwrap()
    }
}

/// An event stream of these JSON lines.
fn events(lines: &[&str]) -> Reply {
    let body: String = lines
        .iter()
        .map(|line| format!("data: {line}\n\n"))
        .collect();
    Reply::new(200, body).header("content-type", "text/event-stream")
}
