//! A server on a port of this machine: streamable HTTP.
//!
//! Programs on this machine may use it, web pages may not: a page in a browser can reach a port of
//! this machine, by its own address or by a name of its own that it has resolved to it. So every
//! request must name this machine as its `Host` and come from no page (`Origin`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corbie_core::{Error, ErrorKind, Result};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderValue, ORIGIN, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::server::{Offer, Server};

/// The path of the endpoint.
const PATH: &str = "/mcp";
/// A request's head must come within this time.
const HEAD: Duration = Duration::from_secs(10);

type Reply = Response<BoxBody<Bytes, Infallible>>;

/// The limits of an [`HttpServer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpOptions {
    /// Open connections; more wait.
    pub connections: usize,
    /// Sessions of clients of 2025 and before; more are refused until one ends.
    pub sessions: usize,
    /// The most bytes of a request.
    pub body_bytes: usize,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connections: 256,
            sessions: 64,
            body_bytes: 4 << 20,
        }
    }
}

/// A [`Server`] that waits on a port of this machine.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    options: HttpOptions,
    endpoint: Endpoint,
}

#[derive(Clone)]
struct Endpoint {
    service: StreamableHttpService<Offer, LocalSessionManager>,
    sessions: Arc<LocalSessionManager>,
    most_sessions: usize,
    hosts: Arc<[String]>,
}

impl HttpServer {
    /// Takes a port; 0: any that is free.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for an address beyond this machine: whoever reached it
    /// could call every tool. [`Io`](ErrorKind::Io) when the port cannot be taken.
    pub async fn bind(address: SocketAddr, server: Server, options: HttpOptions) -> Result<Self> {
        let subject = format!("address {address}");
        if !address.ip().is_loopback() {
            let cause = "it can be reached from other machines";
            return Err(Error::new(ErrorKind::BadInput, subject, cause)
                .hint("take one of this machine, such as 127.0.0.1:8765"));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| Error::io(&subject, error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::io(&subject, error))?;
        let port = address.port();
        let hosts = [
            format!("localhost:{port}"),
            format!("127.0.0.1:{port}"),
            format!("[::1]:{port}"),
            address.to_string(),
        ];
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts(hosts.clone())
            .enforce_origin_validation()
            .with_max_request_body_bytes(options.body_bytes);
        let sessions = Arc::new(LocalSessionManager::default());
        let offer = Offer::new(server);
        let service =
            StreamableHttpService::new(move || Ok(offer.clone()), Arc::clone(&sessions), config);
        Ok(Self {
            listener,
            address,
            options,
            endpoint: Endpoint {
                service,
                sessions,
                most_sessions: options.sessions,
                hosts: Arc::new(hosts),
            },
        })
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Serves until the future is dropped; open connections end with it.
    ///
    /// # Errors
    ///
    /// [`Io`](ErrorKind::Io) when no connection can be taken any more.
    pub async fn run(self) -> Result<()> {
        let places = Arc::new(Semaphore::new(self.options.connections));
        let mut connections = JoinSet::new();
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                // One caller gave up, or files ran out for a moment.
                Err(error) if passes(&error) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                Err(error) => return Err(Error::io(self.url(), error)),
            };
            while connections.try_join_next().is_some() {}
            let endpoint = self.endpoint.clone();
            connections.spawn(async move {
                let _place = place;
                let service = hyper::service::service_fn(move |request| {
                    let endpoint = endpoint.clone();
                    async move { Ok::<_, Infallible>(endpoint.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .serve_connection(TokioIo::new(stream), service);
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection ended");
                }
            });
        }
    }
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServer")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}

fn passes(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    // 23 and 24: too many open files, of the machine and of the process.
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::Interrupted
    ) || matches!(error.raw_os_error(), Some(23 | 24))
}

impl Endpoint {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        if let Err(why) = guard(request.headers(), &self.hosts) {
            return plain(StatusCode::FORBIDDEN, why);
        }
        if request.uri().path() != PATH {
            return plain(StatusCode::NOT_FOUND, "the endpoint is /mcp");
        }
        if self.is_full(request.headers()).await {
            let mut reply = plain(StatusCode::SERVICE_UNAVAILABLE, "too many sessions");
            reply
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return reply;
        }
        self.service.handle(request).await
    }

    /// Whether a request that may begin a session comes while there are too many.
    async fn is_full(&self, headers: &HeaderMap) -> bool {
        !headers.contains_key("mcp-session-id")
            && self.sessions.sessions.read().await.len() >= self.most_sessions
    }
}

/// Whether a request comes from a program on this machine: it names this machine, and no page.
///
/// # Errors
///
/// Why it does not.
fn guard(headers: &HeaderMap, hosts: &[String]) -> Result<(), &'static str> {
    let mut named = headers.get_all(HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    let known = |host: &str| hosts.iter().any(|known| known.eq_ignore_ascii_case(host));
    if !host.is_some_and(known) || named.next().is_some() {
        return Err("this server answers to its own address only");
    }
    if headers.contains_key(ORIGIN) {
        return Err("web pages may not use this server");
    }
    Ok(())
}

fn plain(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from_static(text.as_bytes())).boxed());
    *reply.status_mut() = status;
    reply
}
