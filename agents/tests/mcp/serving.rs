//! Our server over HTTP: all calls of our client, sessions of older ones, and T2.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use corbie_agents::mcp::{
    Client, ConnectOptions, Consent, Endpoint, HttpOptions, HttpServer, Pins, Prompt, Resource,
    Resources, Server,
};
use corbie_agents::{FunctionTool, Tools, tools};
use corbie_core::{BoxFuture, Effects, ErrorKind, Invocation, PromptTemplate, Result, Tool};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Person, call, names};

struct Notes;

impl Resources for Notes {
    fn list(
        &self,
        after: Option<String>,
    ) -> BoxFuture<'_, Result<(Vec<Resource>, Option<String>)>> {
        let note = |n: usize| Resource {
            uri: format!("note://{n}"),
            name: format!("note {n}"),
            media_type: "text/plain".into(),
            bytes: Some(9),
        };
        let page = match after.as_deref() {
            None => (vec![note(1)], Some("2".to_owned())),
            _ => (vec![note(2)], None),
        };
        Box::pin(async { Ok(page) })
    }

    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<(String, String)>>> {
        let text = uri.strip_prefix("note://").map(|n| format!("第{n}条"));
        Box::pin(async { Ok(text.map(|text| (text, "text/plain".into()))) })
    }
}

fn server() -> Server {
    let steps = FunctionTool::new(
        "steps",
        "Tells how it gets on",
        json!({"type": "object"}),
        |run: Invocation| async move {
            run.report("half");
            Ok("all".into())
        },
    )
    .with_effects(Effects {
        read_only: true,
        ..Effects::default()
    });
    let all: [Arc<dyn Tool>; 2] = [Arc::new(tools::calculator()), Arc::new(steps)];
    Server {
        instructions: "Computes.".into(),
        resources: Some(Arc::new(Notes)),
        prompts: vec![Prompt {
            name: "ask".into(),
            description: "Asks".into(),
            arguments: vec![("question".into(), "What to ask".into())],
            template: PromptTemplate::new("Answer this: {{question}}").unwrap(),
        }],
        ..Server::new("test", Tools::new(all).unwrap())
    }
}

async fn serve(options: HttpOptions) -> String {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = HttpServer::bind(address, server(), options).await.unwrap();
    let url = server.url();
    tokio::spawn(server.run());
    url
}

async fn connect(url: &str) -> Client {
    let endpoint = Endpoint::Http {
        url: url.into(),
        headers: BTreeMap::from([("X-Who".to_owned(), "me".to_owned())]),
    };
    let options = ConnectOptions {
        host: Person::who_says(Consent::Believed),
        offline: true,
        ..ConnectOptions::default()
    };
    let pins = Pins::in_memory().unwrap();
    Client::connect("ours", &endpoint, &pins, &options)
        .await
        .unwrap()
}

#[tokio::test]
async fn our_client_calls_all_that_our_server_has() {
    let client = connect(&serve(HttpOptions::default()).await).await;
    assert_eq!(client.protocol_version(), "2026-07-28");
    assert!(names(&client).contains(&"ours__calculator".to_owned()));
    let sum = call(&client, "ours__calculator", json!({"expression": "2 + 3"})).await;
    assert!(sum.unwrap().contains('5'));
    let error = call(&client, "ours__calculator", json!({"expression": "2 +"})).await;
    assert!(error.is_err());
    let error = call(&client, "ours__calculator", json!({"wrong": 1}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("do not fit"), "{error}");
    assert_eq!(
        call(&client, "ours__steps", json!({})).await.unwrap(),
        "all"
    );
    let listed = call(&client, "ours__list_resources", json!({}))
        .await
        .unwrap();
    assert_eq!(listed, "note://1: note 1\nnote://2: note 2");
    let read = call(&client, "ours__read_resource", json!({"uri": "note://2"})).await;
    assert_eq!(read.unwrap(), "第2条");
    let error = call(
        &client,
        "ours__read_resource",
        json!({"uri": "file:///etc/passwd"}),
    )
    .await;
    assert!(error.unwrap_err().to_string().contains("no resource"));
    let arguments = json!({"name": "ask", "arguments": {"question": "谁？"}});
    let prompt = call(&client, "ours__get_prompt", arguments).await.unwrap();
    assert_eq!(prompt, "user: Answer this: 谁？");
    let error = call(&client, "ours__get_prompt", json!({"name": "ask"}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("question"), "{error}");
}

/// Sends a request as it is; the status and the whole reply.
async fn send(url: &str, head: &str, body: &str) -> (u16, String) {
    let authority = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/mcp")
        .unwrap();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let head = head.replace("{host}", authority);
    let length = body.len();
    let request = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let status = reply.split(' ').nth(1).unwrap().parse().unwrap();
    (status, reply)
}

const POST: &str = "POST /mcp HTTP/1.1\r\nAccept: application/json, text/event-stream\r\n";

fn initialize() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": {"name": "old", "version": "1"}}})
    .to_string()
}

fn list() -> String {
    json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}).to_string()
}

#[tokio::test]
async fn no_web_page_reaches_it() {
    let url = serve(HttpOptions::default()).await;
    let json = "Content-Type: application/json\r\n";
    for (status, head) in [
        (200, format!("{POST}Host: {{host}}\r\n{json}")),
        (403, format!("{POST}Host: evil.test\r\n{json}")),
        (403, format!("{POST}Host: evil.test:80\r\n{json}")),
        (403, format!("{POST}Host: 127.0.0.1\r\n{json}")),
        (
            403,
            format!("{POST}Host: {{host}}\r\nHost: evil.test\r\n{json}"),
        ),
        (
            403,
            format!("{POST}Host: {{host}}\r\nOrigin: http://evil.test\r\n{json}"),
        ),
        (
            403,
            format!("{POST}Host: {{host}}\r\nOrigin: null\r\n{json}"),
        ),
        (
            403,
            format!("{POST}Host: {{host}}\r\nOrigin: http://{{host}}.evil.test\r\n{json}"),
        ),
        (
            415,
            format!("{POST}Host: {{host}}\r\nContent-Type: text/plain\r\n"),
        ),
        (415, format!("{POST}Host: {{host}}\r\n")),
        // Other paths and methods are no way around it.
        (403, "GET / HTTP/1.1\r\nHost: evil.test\r\n".to_owned()),
        (404, "GET / HTTP/1.1\r\nHost: {host}\r\n".to_owned()),
        (
            403,
            "OPTIONS /mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.test\r\n".to_owned(),
        ),
        (
            403,
            "GET /mcp HTTP/1.1\r\nHost: {host}\r\nOrigin: null\r\nAccept: text/event-stream\r\n"
                .to_owned(),
        ),
    ] {
        let (found, reply) = send(&url, &head, &initialize()).await;
        assert_eq!(found, status, "{head}\n{reply}");
        assert!(
            !reply.to_lowercase().contains("access-control-allow"),
            "{reply}"
        );
    }
}

fn header(reply: &str, name: &str) -> Option<String> {
    let lines = reply.lines();
    let mut found = lines.filter_map(|line| line.split_once(": "));
    found
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.to_owned())
}

#[tokio::test]
async fn clients_of_2025_have_sessions() {
    let url = serve(HttpOptions {
        sessions: 2,
        ..HttpOptions::default()
    })
    .await;
    let head = format!("{POST}Host: {{host}}\r\nContent-Type: application/json\r\n");
    let (status, reply) = send(&url, &head, &initialize()).await;
    assert_eq!(status, 200, "{reply}");
    assert!(
        reply.contains(r#""protocolVersion":"2025-11-25""#),
        "{reply}"
    );
    let session = header(&reply, "mcp-session-id").unwrap();
    let known = format!("{head}Mcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert_eq!(send(&url, &known, &ready).await.0, 202);
    let (status, reply) = send(&url, &known, &list()).await;
    assert_eq!(status, 200);
    assert!(reply.contains("calculator"), "{reply}");
    // One more, and then no more.
    assert_eq!(send(&url, &head, &initialize()).await.0, 200);
    let (status, reply) = send(&url, &head, &initialize()).await;
    assert_eq!(status, 503);
    assert!(header(&reply, "retry-after").is_some());
    // Those who are known go on, and make room when they leave.
    assert_eq!(send(&url, &known, &list()).await.0, 200);
    let leave = known.replace("POST", "DELETE");
    assert!(send(&url, &leave, "").await.0 < 300);
    assert_eq!(send(&url, &known, &list()).await.0, 404);
    assert_eq!(send(&url, &head, &initialize()).await.0, 200);
}

#[tokio::test]
async fn large_requests_are_refused() {
    let url = serve(HttpOptions {
        body_bytes: 1000,
        ..HttpOptions::default()
    })
    .await;
    let head = format!("{POST}Host: {{host}}\r\nContent-Type: application/json\r\n");
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(2000)}).to_string();
    assert_eq!(send(&url, &head, &large).await.0, 413);
    let (status, _) = send(&url, &head, "{nonsense").await;
    assert!((400..500).contains(&status), "{status}");
}

#[tokio::test]
async fn only_this_machine_is_served() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let address = address.parse().unwrap();
        let error = HttpServer::bind(address, server(), HttpOptions::default()).await;
        assert_eq!(error.unwrap_err().kind(), &ErrorKind::BadInput);
    }
}

#[tokio::test]
async fn streams_are_served_until_the_client_leaves() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    let (read, write) = tokio::io::split(ours);
    let served = tokio::spawn(server().serve(read, write));
    let line = format!("{}\n", initialize());
    theirs.write_all(line.as_bytes()).await.unwrap();
    let mut reply = vec![0; 1 << 16];
    let length = theirs.read(&mut reply).await.unwrap();
    let reply: Value = serde_json::from_slice(&reply[..length]).unwrap();
    assert_eq!(reply["result"]["instructions"], "Computes.");
    drop(theirs);
    served.await.unwrap().unwrap();
}
