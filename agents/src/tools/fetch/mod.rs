//! Web pages.
//!
//! A model that reads a page may be told by it to read another: so nothing behind this machine's
//! own doors is reached. Addresses are checked where they are used, when the connection is made;
//! redirects are followed by hand, each as if it were asked for; what comes is counted while it
//! comes and never unpacked.

mod address;
mod html;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use corbie_core::{BoxFuture, Effects, Error, ErrorKind, Invocation, Parser, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, LOCATION};
use reqwest::{Client, Response, Url, redirect};
use serde_json::{Value, json};

use crate::FunctionTool;

/// The longest address of a page, in bytes.
const MAX_URL: usize = 2048;

/// Finds the addresses of hosts.
pub trait Hosts: Send + Sync {
    /// The addresses of a host.
    ///
    /// # Errors
    ///
    /// When it has none.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>>>;
}

/// Asks the operating system for the addresses of hosts.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemHosts;

impl Hosts for SystemHosts {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await.map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("host `{host}`"), error)
            })?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// How web pages are fetched.
#[derive(Clone)]
pub struct FetchOptions {
    /// The hosts that may be asked: a name, or `*.` and a name for all that end so. `None`: all.
    pub hosts: Option<Vec<String>>,
    /// The longest time for one page, redirects included.
    pub time: Duration,
    /// The most bytes of a page; the rest is left out.
    pub bytes: usize,
    /// The most redirects.
    pub redirects: usize,
    /// Reads HTML; `None`: its text is taken plainly.
    pub parser: Option<Arc<dyn Parser>>,
    /// Whether the environment's proxies are used (`HTTPS_PROXY` and its like). A proxy finds
    /// addresses itself: give it only where it refuses what is private.
    pub proxies: bool,
    /// Finds the addresses of hosts.
    pub lookup: Arc<dyn Hosts>,
    /// Addresses that may be reached though they are not of the public internet: for tests and
    /// development.
    pub private: Vec<IpAddr>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            hosts: None,
            time: Duration::from_secs(20),
            bytes: 2 << 20,
            redirects: 5,
            parser: None,
            proxies: false,
            lookup: Arc::new(SystemHosts),
            private: Vec::new(),
        }
    }
}

impl FetchOptions {
    /// The tool `fetch`. What it gives is text from outside.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up.
    pub fn tool(self) -> Result<FunctionTool> {
        let client = self.client()?;
        let time = self.time;
        let fetcher = Arc::new(Fetcher {
            client,
            options: self,
        });
        let schema = json!({
            "type": "object",
            "properties": {"url": {
                "type": "string",
                "description": "A whole address that begins with https:// or http://",
            }},
            "required": ["url"],
            "additionalProperties": false,
        });
        let description = "Reads a web page. 读取网页。";
        let tool = FunctionTool::new("fetch", description, schema, move |run: Invocation| {
            let fetcher = Arc::clone(&fetcher);
            async move {
                let url = run.arguments["url"].as_str().unwrap_or_default();
                let late = |_| {
                    let cause = format!("it took longer than {} s", time.as_secs_f32());
                    Error::new(ErrorKind::LimitExceeded, subject(url), cause)
                };
                let page = tokio::time::timeout(time, fetcher.fetch(url));
                page.await.map_err(late)?.map(Value::String)
            }
        });
        Ok(tool.with_effects(Effects {
            read_only: true,
            idempotent: true,
            egress: true,
            ..Effects::default()
        }))
    }

    fn client(&self) -> Result<Client> {
        let mut client = Client::builder()
            .user_agent(concat!("corbie/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(PublicHosts {
                lookup: Arc::clone(&self.lookup),
                private: self.private.clone(),
            }));
        if !self.proxies {
            client = client.no_proxy();
        }
        let client = client.build();
        client.map_err(|error| Error::new(ErrorKind::Internal, "HTTP client", error))
    }
}

struct Fetcher {
    client: Client,
    options: FetchOptions,
}

impl Fetcher {
    async fn fetch(&self, text: &str) -> Result<String> {
        let wrong = |cause: String| Error::new(ErrorKind::BadInput, subject(text), cause);
        if text.len() > MAX_URL {
            return Err(wrong(format!("it is longer than {MAX_URL} bytes")));
        }
        let mut url = Url::parse(text.trim()).map_err(|error| {
            wrong(error.to_string()).hint("a whole address begins with https://")
        })?;
        for _ in 0..=self.options.redirects {
            self.check(&url)?;
            let request = self
                .client
                .get(url.clone())
                .header(
                    ACCEPT,
                    "text/html, text/*, application/json;q=0.9, */*;q=0.1",
                )
                .header(ACCEPT_ENCODING, "identity");
            let response = request.send().await.map_err(|error| failed(&url, &error))?;
            let status = response.status();
            let target = response
                .headers()
                .get(LOCATION)
                .filter(|_| status.is_redirection());
            let Some(target) = target else {
                if !status.is_success() {
                    let cause = format!("the server says {status}");
                    let kind = match status.is_server_error() {
                        true => ErrorKind::Unavailable,
                        false => ErrorKind::NotFound,
                    };
                    return Err(Error::new(kind, subject(url.as_str()), cause));
                }
                return self.read(&url, response).await;
            };
            let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
            if target.len() > MAX_URL {
                return Err(wrong("it redirects to an address without end".to_owned()));
            }
            url = url.join(&target).map_err(|error| {
                wrong(format!(
                    "it redirects to `{}`: {error}",
                    target.escape_debug()
                ))
            })?;
        }
        let cause = format!("it redirects more than {} times", self.options.redirects);
        Err(Error::new(ErrorKind::LimitExceeded, subject(text), cause))
    }

    /// Whether an address may be asked, as far as it can be told before it is.
    fn check(&self, url: &Url) -> Result<()> {
        let refuse = |cause: &str| {
            Err(Error::new(
                ErrorKind::BadInput,
                subject(url.as_str()),
                cause,
            ))
        };
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("only http and https are fetched");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("an address with a name or a password is not fetched");
        }
        let Some(host) = url.host_str() else {
            return refuse("it names no host");
        };
        if let Some(hosts) = &self.options.hosts
            && !hosts.iter().any(|pattern| covers(pattern, host))
        {
            return refuse("this host is not among those that may be asked");
        }
        // A host that is an address is never looked up. However it was spelled, here it is in its
        // usual form.
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match bare.unwrap_or(host).parse::<IpAddr>() {
            Ok(address) if !may_reach(address, &self.options.private) => {
                refuse("this address is not of the public internet")
            }
            _ => Ok(()),
        }
    }

    /// The text of a page.
    async fn read(&self, url: &Url, mut response: Response) -> Result<String> {
        let header = |name| {
            let value = response.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let unsupported = |cause: String| {
            Err(Error::new(
                ErrorKind::Unsupported,
                subject(url.as_str()),
                cause,
            ))
        };
        let packed = header(CONTENT_ENCODING);
        if !matches!(packed.as_str(), "" | "identity") {
            return unsupported(format!(
                "it comes packed ({packed}) though it was not asked to"
            ));
        }
        let kind = header(CONTENT_TYPE);
        let (media_type, parameters) = kind.split_once(';').unwrap_or((&kind, ""));
        let media_type = media_type.trim();
        if !is_text(media_type) {
            return unsupported(format!("it is no text but {media_type}"));
        }
        let mut bytes = Vec::new();
        let mut is_whole = true;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failed(url, &error))?
        {
            let room = self.options.bytes - bytes.len();
            bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                is_whole = false;
                break;
            }
        }
        let text = decoded(&bytes, parameters);
        let is_html = matches!(media_type, "text/html" | "application/xhtml+xml");
        let mut text = match (&self.options.parser, is_html) {
            (Some(parser), true) => parser.parse("page.html", text.as_bytes()).await?.text,
            (None, true) => html::text(&text),
            (_, false) => text,
        };
        if !is_whole {
            text.push_str(&format!(
                "\n[only the first {} bytes were read]",
                self.options.bytes
            ));
        }
        Ok(format!("{url}\n\n{text}"))
    }
}

/// Finds addresses, and gives those that may be reached. It is asked when a connection is made,
/// so a name that means something else a moment later gains nothing.
struct PublicHosts {
    lookup: Arc<dyn Hosts>,
    private: Vec<IpAddr>,
}

impl Resolve for PublicHosts {
    fn resolve(&self, name: Name) -> Resolving {
        let (lookup, private) = (Arc::clone(&self.lookup), self.private.clone());
        Box::pin(async move {
            let host = name.as_str();
            let mut found = lookup.addresses(host).await?;
            found.retain(|address| may_reach(*address, &private));
            if found.is_empty() {
                let cause = "it has no address of the public internet";
                return Err(
                    Error::new(ErrorKind::BadInput, format!("host `{host}`"), cause).into(),
                );
            }
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}

fn may_reach(address: IpAddr, private: &[IpAddr]) -> bool {
    address::is_public(address) || private.contains(&address)
}

/// Whether a pattern stands for a host.
fn covers(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    match pattern.strip_prefix("*.") {
        Some(end) => {
            let rest = host
                .len()
                .checked_sub(end.len())
                .map(|at| host.as_bytes().split_at(at));
            rest.is_some_and(|(before, found)| {
                before.ends_with(b".") && found.eq_ignore_ascii_case(end.as_bytes())
            })
        }
        None => host.eq_ignore_ascii_case(pattern),
    }
}

/// Whether a media type is text.
fn is_text(media_type: &str) -> bool {
    media_type.is_empty()
        || media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || matches!(
            media_type,
            "application/json" | "application/xml" | "application/javascript"
        )
}

/// Bytes as text: by their mark, as UTF-8 if they are, by the charset of the header or of the
/// page.
fn decoded(bytes: &[u8], parameters: &str) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.trim_start_matches('\u{feff}').to_owned();
    }
    let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).to_ascii_lowercase();
    let label = [parameters, &beginning].into_iter().find_map(|text| {
        let (_, after) = text.split_once("charset=")?;
        let after = after.trim_start_matches(['"', '\'']);
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')));
        encoding_rs::Encoding::for_label(&after.as_bytes()[..end.unwrap_or(after.len())])
    });
    label
        .unwrap_or(encoding_rs::UTF_8)
        .decode(bytes)
        .0
        .into_owned()
}

fn subject(url: &str) -> String {
    let shown = &url[..url.floor_char_boundary(200)];
    format!("page `{}`", shown.escape_debug())
}

/// An error of the HTTP client: what refused the address, if something did, else the deepest
/// reason.
fn failed(url: &Url, error: &reqwest::Error) -> Error {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(next) = deepest.source() {
        deepest = next;
        if let Some(own) = deepest.downcast_ref::<Error>() {
            return Error::new(own.kind().clone(), subject(url.as_str()), own);
        }
    }
    Error::new(ErrorKind::Unavailable, subject(url.as_str()), deepest)
}
