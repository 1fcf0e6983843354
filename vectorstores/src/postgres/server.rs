//! A database, and the connections to it.

use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use corbie_core::{BoxFuture, Error, ErrorKind, Result};
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, Config, IsolationLevel, NoTls, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{Failure, SLOW};
use super::tables::Tables;

/// How often a piece of work is begun at most: once more on a new connection, and once more for
/// what that finds.
const TRIES: usize = 3;

/// What the end of a piece of work on a connection is.
pub(super) type Outcome<T> = Result<T, Failure>;

/// Something to do on a connection, which may be begun more than once.
pub(super) trait Work: Send + Sync + 'static {
    type Output: Send + 'static;

    fn run(
        &self,
        session: &mut Session,
        tables: &Tables,
    ) -> impl Future<Output = Outcome<Self::Output>> + Send;
}

/// A database. Its connections live on a thread of their own, so that any executor may await what
/// they do; it ends when this is dropped.
pub(super) struct Server {
    shared: Arc<Shared>,
    thread: Handle,
    _stop: oneshot::Sender<()>,
}

struct Shared {
    config: Config,
    name: String,
    timeout: Duration,
    tls: OnceLock<MakeRustlsConnect>,
    places: Semaphore,
    idle: Mutex<Vec<Session>>,
}

/// One connection.
pub(super) struct Session {
    pub(super) client: Client,
    extension: Option<Extension>,
}

/// What the extension pgvector is on this server.
#[derive(Clone)]
pub(super) struct Extension {
    /// The type `vector`.
    pub(super) vector: Type,
    /// The type `vector[]`.
    pub(super) vectors: Type,
    /// Whether a search of the graph goes on until enough points pass the filter (since 0.8).
    pub(super) iterates: bool,
}

impl Server {
    /// The server of `url`, which is not asked for anything yet.
    pub(super) fn new(url: &str, timeout: Duration, connections: usize) -> Result<Self> {
        let mut config = parse(url)?;
        if config.get_application_name().is_none() {
            config.application_name("corbie");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(timeout);
        }
        let name = name(&config);
        let io = |error| Error::io(format!("the connections to PostgreSQL at {name}"), error);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(io)?;
        let thread = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = move || {
            // Ends with an error, when the sender is dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let named = std::thread::Builder::new().name("postgres".to_owned());
        named.spawn(work).map_err(io)?;
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                name,
                timeout,
                tls: OnceLock::new(),
                places: Semaphore::new(connections.max(1)),
                idle: Mutex::new(Vec::new()),
            }),
            thread,
            _stop: stop,
        })
    }

    /// Host, port and database, without what is secret.
    pub(super) fn name(&self) -> &str {
        &self.shared.name
    }

    /// Does `work` on one of the connections, and again on another when that is lost. What takes
    /// longer than the timeout, or is no more awaited, is given up.
    pub(super) fn run<W: Work>(
        &self,
        tables: &Arc<Tables>,
        work: W,
    ) -> BoxFuture<'static, Result<W::Output>> {
        let (shared, tables) = (Arc::clone(&self.shared), Arc::clone(tables));
        self.task(async move {
            let tries = shared.try_often(&work, &tables);
            match tokio::time::timeout(shared.timeout, tries).await {
                Ok(outcome) => outcome.map_err(|failure| failure.about(shared.subject(&tables))),
                Err(_) => {
                    let cause = format!("no answer within {} s", shared.timeout.as_secs_f32());
                    let subject = shared.subject(&tables);
                    Err(Error::new(ErrorKind::Unavailable, subject, cause).hint(SLOW))
                }
            }
        })
    }

    /// Does `work` on a connection of its own, for as long as it takes, whether or not anybody
    /// awaits it.
    pub(super) fn run_long<W: Work>(
        &self,
        tables: &Arc<Tables>,
        work: W,
    ) -> JoinHandle<Result<W::Output>> {
        let (shared, tables) = (Arc::clone(&self.shared), Arc::clone(tables));
        self.thread.spawn(async move {
            let outcome = match shared.connect(Duration::ZERO).await {
                Ok(mut session) => work.run(&mut session, &tables).await,
                Err(failure) => Err(failure),
            };
            outcome.map_err(|failure| {
                let error = failure.about(shared.subject(&tables));
                tracing::warn!(%error, "a long work in PostgreSQL did not end well");
                error
            })
        })
    }

    fn task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T>> {
        let thread = self.thread.clone();
        Box::pin(async move {
            let mut task = Task(thread.spawn(work));
            (&mut task.0).await.unwrap_or_else(|error| {
                let subject = "the connections to PostgreSQL";
                Err(Error::new(ErrorKind::Internal, subject, error))
            })
        })
    }
}

/// Work that is given up when nobody waits for it: its connection is closed, and the server rolls
/// back what was begun.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn subject(&self, tables: &Tables) -> String {
        format!("PostgreSQL at {}, table `{}`", self.name, tables.name)
    }

    async fn try_often<W: Work>(&self, work: &W, tables: &Tables) -> Outcome<W::Output> {
        // Never closed, so that an error is not possible; without a place it is the same work.
        let _place = self.places.acquire().await;
        let mut tries = 1;
        loop {
            let mut session = self.session().await?;
            let outcome = work.run(&mut session, tables).await;
            let lost = outcome.as_ref().is_err_and(Failure::lost);
            if outcome.as_ref().is_err_and(Failure::table_is_gone) {
                tables.forget();
            }
            if lost {
                // Most likely they all are.
                self.idle().clear();
            } else if !session.client.is_closed() {
                self.idle().push(session);
            }
            match outcome {
                Err(failure) if failure.passes() && tries < TRIES => tries += 1,
                outcome => return outcome,
            }
        }
    }

    /// The connections that nobody uses. No panic can happen while it is held.
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn session(&self) -> Outcome<Session> {
        loop {
            let idle = self.idle().pop();
            match idle {
                Some(session) if session.client.is_closed() => {}
                Some(session) => return Ok(session),
                None => return self.connect(self.timeout).await,
            }
        }
    }

    /// A new connection, whose statements the server stops after `timeout`; zero: never.
    async fn connect(&self, timeout: Duration) -> Outcome<Session> {
        // A socket in the file system is this machine's own: nothing is to be hidden on the way.
        let local = |host: &Host| matches!(host, Host::Unix(_));
        let local = self.config.get_hosts().iter().all(local);
        let client = match self.config.get_ssl_mode() {
            SslMode::Disable => self.connect_plainly().await?,
            SslMode::Prefer if local => self.connect_plainly().await?,
            _ => {
                let (client, connection) = self.config.connect(self.tls()?).await?;
                tokio::spawn(connection);
                client
            }
        };
        let setup = "SELECT current_setting('server_encoding'), \
                     set_config('statement_timeout', $1, false), set_config('jit', 'off', false)";
        let timeout = timeout.as_millis().min(i32::MAX as u128).to_string();
        let row = client
            .query_typed_one(setup, &[(&timeout, Type::TEXT)])
            .await?;
        let encoding: String = row.try_get(0)?;
        if encoding != "UTF8" {
            let subject = format!("PostgreSQL at {}", self.name);
            let cause = format!("the database's encoding is {encoding}");
            let error = Error::new(ErrorKind::Unsupported, subject, cause);
            return Err(error.hint("make one with ENCODING 'UTF8'").into());
        }
        Ok(Session {
            client,
            extension: None,
        })
    }

    async fn connect_plainly(&self) -> Outcome<Client> {
        let (client, connection) = self.config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// TLS that trusts whom the machine trusts.
    fn tls(&self) -> Result<MakeRustlsConnect> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_platform_verifier())
            .map_err(|error| {
                let subject = format!("PostgreSQL at {}", self.name);
                Error::new(ErrorKind::Unsupported, subject, format!("no TLS: {error}"))
                    .hint("install the system's CA certificates, or say sslmode=disable")
                    .caused_by(error)
            })?;
        let tls = MakeRustlsConnect::new(config.with_no_client_auth());
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

impl Session {
    /// A transaction that sees one state of the tables, however many questions it asks.
    pub(super) async fn reading(&mut self) -> Outcome<Transaction<'_>> {
        let build = self.client.build_transaction().read_only(true);
        let level = IsolationLevel::RepeatableRead;
        Ok(build.isolation_level(level).start().await?)
    }

    /// A transaction whose every statement sees what others have written before it, whatever the
    /// database's own default is.
    pub(super) async fn writing(&mut self) -> Outcome<Transaction<'_>> {
        let build = self.client.build_transaction().read_only(false);
        let level = IsolationLevel::ReadCommitted;
        Ok(build.isolation_level(level).start().await?)
    }

    /// The extension, wherever it is installed; `None`: it is not.
    pub(super) async fn extension(&mut self) -> Outcome<Option<Extension>> {
        if self.extension.is_none() {
            self.extension = self.find_extension().await?;
        }
        Ok(self.extension.clone())
    }

    async fn find_extension(&self) -> Outcome<Option<Extension>> {
        // Its types and operators are named without their schema, which may be anywhere.
        let find = "SELECT t.oid, t.typarray, n.nspname, e.extversion, \
                    set_config('search_path', concat_ws(', ', \
                        nullif(current_setting('search_path'), ''), quote_ident(n.nspname)), false) \
                    FROM pg_extension e \
                    JOIN pg_namespace n ON n.oid = e.extnamespace \
                    JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = 'vector' \
                    WHERE e.extname = 'vector'";
        let Some(row) = self.client.query_typed_opt(find, &[]).await? else {
            return Ok(None);
        };
        let schema: String = row.try_get(2)?;
        let version: String = row.try_get(3)?;
        let numbers: Vec<u32> = version.split('.').map_while(|n| n.parse().ok()).collect();
        let vector = Type::new(
            "vector".into(),
            row.try_get(0)?,
            Kind::Simple,
            schema.clone(),
        );
        let array = Kind::Array(vector.clone());
        Ok(Some(Extension {
            vectors: Type::new("_vector".into(), row.try_get(1)?, array, schema),
            vector,
            iterates: numbers >= vec![0, 8],
        }))
    }
}

/// What a URL says. Its certificates are always checked, so that `verify-full` is nothing more
/// than `require`.
fn parse(url: &str) -> Result<Config> {
    let refuse = |cause: &str| {
        // What is wrong with it may lie in the password: it is not repeated.
        Error::new(ErrorKind::BadInput, "the URL of a PostgreSQL server", cause).hint(
            "postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=require, and special characters \
             in it as %XX",
        )
    };
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(refuse("it does not begin with postgres://"));
    }
    let plain = match url.split_once('?') {
        Some((place, options)) => {
            let options = options.replace("sslmode=verify-full", "sslmode=require");
            format!(
                "{place}?{}",
                options.replace("sslmode=verify-ca", "sslmode=require")
            )
        }
        None => url.to_owned(),
    };
    let config = Config::from_str(&plain).map_err(|_| refuse("it is malformed"))?;
    if config.get_hosts().is_empty() {
        return Err(refuse("it names no host"));
    }
    if config.get_dbname().is_none_or(str::is_empty) {
        return Err(refuse("it names no database"));
    }
    Ok(config)
}

/// Hosts, ports and database as a URL has them: `db.example.org:5433/notes`.
fn name(config: &Config) -> String {
    let ports = config.get_ports();
    let host = |(at, host): (usize, &Host)| {
        let host = match host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]"),
            Host::Tcp(host) => host.clone(),
            Host::Unix(path) => path.display().to_string().replace('/', "%2F"),
        };
        // One port stands for all hosts.
        match ports.get(at).or(ports.first()) {
            Some(port) if *port != 5432 => format!("{host}:{port}"),
            _ => host,
        }
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    let database = config.get_dbname().unwrap_or_default();
    format!("{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_server_is_named_without_its_secrets() {
        let named = [
            (
                "postgres://ann:s3cret@db.example.org/notes",
                "db.example.org/notes",
            ),
            ("postgresql://db:5433/n?sslmode=verify-full", "db:5433/n"),
            ("postgres://ann@[::1]:5432/n", "[::1]/n"),
            ("postgres://a:1,b:2/n?sslmode=disable", "a:1,b:2/n"),
            ("postgres:///n?host=/run/pg", "%2Frun%2Fpg/n"),
            // A question mark in a password is taken as one.
            ("postgres://ann:a?s3cret@h/d", "h/d"),
        ];
        for (url, expected) in named {
            assert_eq!(name(&parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_it() {
        let bad = [
            "host=h password=s3cret dbname=d",
            "postgres://ann:s3cret@h",
            "postgres://ann:s3cret@h/",
            "postgres://ann:s3cret/x@h:port/d",
            "postgres://h/d?s3cret=1",
        ];
        for url in bad {
            let error = parse(url).map(|_| ()).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::BadInput, "{url}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error}");
            assert!(error.next_step().is_some());
        }
    }
}
