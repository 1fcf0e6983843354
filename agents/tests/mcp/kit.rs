//! A server in a folder of its own, and a person who says what the test wants.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use corbie_agents::mcp::{
    Client, ConnectOptions, Consent, Elicitation, Endpoint, Host, Pins, Review,
};
use corbie_core::{BoxFuture, Error, Invocation, Result, Tool};
use serde_json::{Value, json};

/// A person who says the same each time, and remembers what they were shown.
pub struct Person {
    pub says: Consent,
    pub answer: Option<Value>,
    pub servers: Mutex<Vec<Endpoint>>,
    pub tools: Mutex<Vec<Review>>,
    pub questions: Mutex<Vec<Elicitation>>,
}

impl Person {
    pub fn who_says(says: Consent) -> Arc<Self> {
        Arc::new(Self {
            says,
            answer: Some(json!({"city": "北京"})),
            servers: Mutex::default(),
            tools: Mutex::default(),
            questions: Mutex::default(),
        })
    }
}

impl Host for Person {
    fn approve_server<'a>(
        &'a self,
        _server: &'a str,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, Consent> {
        self.servers.lock().unwrap().push(endpoint.clone());
        Box::pin(async { self.says })
    }

    fn approve_tools<'a>(
        &'a self,
        _server: &'a str,
        tools: &'a [Review],
    ) -> BoxFuture<'a, Vec<Consent>> {
        self.tools.lock().unwrap().extend_from_slice(tools);
        Box::pin(async { vec![self.says; tools.len()] })
    }

    fn answer(&self, question: Elicitation) -> BoxFuture<'_, Option<Value>> {
        self.questions.lock().unwrap().push(question);
        Box::pin(async { self.answer.clone() })
    }
}

/// A server's folder and what was approved of it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub pins: Pins,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            pins: Pins::in_memory().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The tools that the server will list.
    pub fn set_tools(&self, tools: &Value) {
        self.write("tools.json", &tools.to_string());
    }

    pub fn endpoint(&self, more: &[&str]) -> Endpoint {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp/server.py");
        let folder = self.folder.path();
        let mut args: Vec<String> = vec![
            script.to_str().unwrap().into(),
            folder.to_str().unwrap().into(),
        ];
        args.extend(more.iter().map(|it| (*it).to_owned()));
        Endpoint::Command {
            command: "python3".into(),
            args,
            env: BTreeMap::from([("PYTHONUTF8".to_owned(), "1".to_owned())]),
            cwd: None,
        }
    }

    pub async fn connect(&self, person: &Arc<Person>) -> Result<Client> {
        self.connect_to(&self.endpoint(&[]), person).await
    }

    pub async fn connect_to(&self, endpoint: &Endpoint, person: &Arc<Person>) -> Result<Client> {
        let options = ConnectOptions {
            host: person.clone(),
            ..ConnectOptions::default()
        };
        Client::connect("fix", endpoint, &self.pins, &options).await
    }
}

pub fn find(client: &Client, name: &str) -> Arc<dyn Tool> {
    let found = client.tools().iter().find(|it| it.spec().name == name);
    Arc::clone(found.unwrap_or_else(|| panic!("no tool {name} in {client:?}")))
}

pub fn names(client: &Client) -> Vec<String> {
    let names = client.tools().iter().map(|it| it.spec().name.clone());
    names.collect()
}

pub async fn call(client: &Client, name: &str, arguments: Value) -> Result<String, Error> {
    let result = find(client, name)
        .call(Invocation::new("k", arguments))
        .await?;
    Ok(result.as_str().unwrap().to_owned())
}
