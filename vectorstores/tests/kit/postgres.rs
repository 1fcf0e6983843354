//! A PostgreSQL server for tests: the one that `CORBIE_POSTGRES_URL` names, or one that
//! `tests/postgres/serve.py` makes and that ends with this process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use corbie_core::VectorStore;
use corbie_vectorstores::index::{Place, Stores};
use corbie_vectorstores::{PostgresOptions, PostgresStore, postgres_stores};
use futures::executor::block_on;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

/// The server's URL; `None`, having said why, where there is none.
#[allow(clippy::print_stderr)] // What was not tested is part of the result.
pub fn url() -> Option<String> {
    static SERVER: OnceLock<Result<(String, Option<Child>), String>> = OnceLock::new();
    let server = SERVER.get_or_init(|| match std::env::var("CORBIE_POSTGRES_URL") {
        Ok(url) => Ok((url, None)),
        Err(_) => serve().map(|(url, child)| (url, Some(child))),
    });
    match server {
        Ok((url, _)) => Some(url.clone()),
        Err(why) => {
            eprintln!("skipped: no PostgreSQL server, CORBIE_POSTGRES_URL is not set, and {why}");
            None
        }
    }
}

fn serve() -> Result<(String, Child), String> {
    let python = std::env::var("CORBIE_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/postgres/serve.py");
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/postgres");
    let mut child = Command::new(&python)
        .args([script, folder])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("`{python}` does not run: {error}"))?;
    let mut url = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut url);
    }
    match url.trim() {
        "" => Err("tests/postgres/serve.py makes none here".to_owned()),
        url => Ok((url.to_owned(), child)),
    }
}

/// Collections of one test on the server, gone at its end.
pub struct Server {
    pub url: String,
    pub stores: Arc<dyn Stores>,
    place: Place,
}

impl Server {
    pub fn connect() -> Option<Self> {
        Some(Self::at(url()?))
    }

    /// A server whose connections can be told from those of other tests.
    pub fn at(url: String) -> Self {
        let stores = postgres_stores(options(&url)).unwrap();
        let place = Place {
            collection: "birds' 鸟".into(),
            index: Uuid::new_v4(),
            generation: 1,
            dimension: Some(4),
            folder: "/".into(),
        };
        Self { url, stores, place }
    }

    pub fn table(&self) -> String {
        self.place.shared_name()
    }

    pub fn options(&self) -> PostgresOptions {
        PostgresOptions {
            table: self.table(),
            dimension: Some(4),
            ..options(&self.url)
        }
    }

    pub fn store(&self) -> PostgresStore {
        PostgresStore::open(self.options()).unwrap()
    }

    pub fn place(&self, dimension: Option<usize>) -> Place {
        Place {
            dimension,
            ..self.place.clone()
        }
    }

    pub fn open(&self, dimension: Option<usize>) -> Arc<dyn VectorStore> {
        self.stores.open(&self.place(dimension)).unwrap()
    }

    /// The first column of what the statements answer, asked beside the store.
    pub fn sql(&self, statements: &str) -> Vec<String> {
        runtime().block_on(async { ask(&client(&self.url).await, statements).await })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed says so itself.
        let _ = block_on(self.stores.remove(&self.place));
    }
}

pub fn options(url: &str) -> PostgresOptions {
    PostgresOptions {
        url: url.to_owned(),
        ..PostgresOptions::default()
    }
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// A connection without a store.
pub async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

pub async fn ask(client: &Client, statements: &str) -> Vec<String> {
    let answers = client.simple_query(statements).await.unwrap();
    let first = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    });
    first.collect()
}
