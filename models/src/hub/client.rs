//! HTTP to the hub: redirects followed by hand, so that the token never leaves its host.

use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};

use super::options::HubOptions;

/// How many redirects one request may take.
const MAX_REDIRECTS: usize = 8;

/// What of the first answer is kept when a request is redirected: what the hub says of the file
/// before another host delivers it.
#[derive(Debug, Default)]
pub struct Linked {
    /// `x-linked-etag`, without quotes.
    pub etag: Option<String>,
    /// `x-linked-size`.
    pub bytes: Option<u64>,
}

/// A client of one hub.
#[derive(Clone)]
pub struct HubClient {
    http: Client,
    endpoint: Url,
    token: Option<SecretString>,
}

impl HubClient {
    /// A client for the options' endpoint.
    pub fn new(options: &HubOptions) -> Result<Self> {
        let subject = format!("hub endpoint `{}`", options.endpoint);
        let refuse = |why: &str| Error::new(ErrorKind::BadInput, &subject, why);
        let endpoint = Url::parse(&options.endpoint).map_err(|_| refuse("that is no URL"))?;
        if !(endpoint.scheme() == "https" || is_plain_loopback(&endpoint)) {
            return Err(refuse("it must start with https://").hint("check HF_ENDPOINT"));
        }
        let http = Client::builder()
            .user_agent(concat!("corbie/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, subject, error))?;
        Ok(Self {
            http,
            endpoint,
            token: options.token.clone(),
        })
    }

    /// The address of `segments` below the endpoint, each one percent-encoded whole.
    pub fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Result<Url> {
        let mut url = self.endpoint.clone();
        url.path_segments_mut()
            .map_err(|()| Error::new(ErrorKind::BadInput, "hub endpoint", "that is no URL"))?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }

    /// A `GET` from byte `from` on, redirects followed. The answer has any status but a redirect.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](ErrorKind::Unavailable) when a host does not answer,
    /// [`Malformed`](ErrorKind::Malformed) for a redirect that must not be followed.
    pub async fn get(&self, subject: &str, url: Url, from: u64) -> Result<(Response, Linked)> {
        let mut url = url;
        let mut linked = Linked::default();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = HeaderMap::new();
            // A compressed transfer could be neither resumed nor measured.
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if from > 0 {
                headers.insert(RANGE, header(&format!("bytes={from}-"))?);
            }
            if let Some(token) = self.token_for(&url) {
                let mut value = header(&format!("Bearer {}", token.expose_secret()))?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            let answer = self.http.get(url.clone()).headers(headers).send().await;
            let answer = answer.map_err(|error| unavailable(subject, error))?;
            if linked.etag.is_none() {
                linked.etag = text(&answer, "x-linked-etag")
                    .map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
                linked.bytes = text(&answer, "x-linked-size").and_then(|size| size.parse().ok());
            }
            let location = match answer.status().is_redirection() {
                true => answer
                    .headers()
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok()),
                false => None,
            };
            let Some(location) = location else {
                return Ok((answer, linked));
            };
            let next = url.join(location).ok().filter(|next| self.may_follow(next));
            url = next.ok_or_else(|| {
                Error::new(
                    ErrorKind::Malformed,
                    subject,
                    "it redirects to an address that is not https",
                )
            })?;
        }
        Err(Error::new(
            ErrorKind::Malformed,
            subject,
            "it redirects in circles",
        ))
    }

    /// The token goes to the endpoint's own scheme, host and port, and nowhere else.
    fn token_for(&self, url: &Url) -> Option<&SecretString> {
        self.token
            .as_ref()
            .filter(|_| url.origin() == self.endpoint.origin())
    }

    /// Only a hub on this machine may send its client to other plain addresses on this machine.
    fn may_follow(&self, url: &Url) -> bool {
        url.scheme() == "https" || (is_plain_loopback(&self.endpoint) && is_plain_loopback(url))
    }
}

fn is_plain_loopback(url: &Url) -> bool {
    let local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    };
    url.scheme() == "http" && local
}

fn header(text: &str) -> Result<HeaderValue> {
    // The value may be the token: the message must not show it.
    HeaderValue::from_str(text).map_err(|_| {
        Error::new(
            ErrorKind::BadInput,
            "hub request",
            "the token holds characters that no header may",
        )
        .hint("check HF_TOKEN")
    })
}

/// One header of an answer as text.
pub fn text(answer: &Response, name: &str) -> Option<String> {
    answer.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// A transport failure as an error. Addresses are left out: signed ones are secrets.
pub fn unavailable(subject: &str, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        cause = inner.to_string();
        source = inner.source();
    }
    Error::new(ErrorKind::Unavailable, subject, cause)
}

/// The error for an answer that is not the wanted one.
pub fn refusal(subject: &str, answer: &Response) -> Error {
    let status = answer.status();
    let said = text(answer, "x-error-message").unwrap_or_default();
    let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
    let cause = match said.is_empty() {
        true => format!("the hub answers {status}"),
        false => format!("the hub answers {status}: {said}"),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::new(
            ErrorKind::Unauthorized,
            subject,
            cause,
        )
        .hint(
            "accept the model's terms on its page, then set HF_TOKEN to a token that may read it; \
                 a misspelt name is answered the same way",
        ),
        StatusCode::NOT_FOUND => Error::new(ErrorKind::NotFound, subject, cause)
            .hint("check the owner, the repository and the revision"),
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after = text(answer, "retry-after")
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs);
            Error::new(ErrorKind::RateLimited { retry_after }, subject, cause)
        }
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Error::new(ErrorKind::Unavailable, subject, cause)
        }
        _ => Error::new(ErrorKind::Malformed, subject, cause),
    }
}
