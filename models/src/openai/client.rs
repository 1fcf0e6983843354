//! The connection to one service.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_openai::Client;
use async_openai::config::Config;
use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use backon::{ExponentialBuilder, Retryable};
use corbie_core::{BoxFuture, Error, ErrorKind, Result};
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::RemoteOptions;
use super::failure::{self, Refused};

/// The most bytes of a refusal that are read.
const MAX_REFUSAL: usize = 64 << 10;

/// A service that asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A client of one service.
#[derive(Clone)]
pub struct Remote {
    pub options: Arc<RemoteOptions>,
    pub client: Client<Endpoint>,
}

impl Remote {
    /// A client; nothing is connected yet.
    pub fn new(options: RemoteOptions) -> Result<Self> {
        let subject = options.subject();
        if options.offline {
            return Err(Error::new(
                ErrorKind::Offline,
                subject,
                "it is remote, and the network may not be used",
            )
            .hint("choose a local model, such as smollm2"));
        }
        let refuse = |why: &str| Error::new(ErrorKind::BadInput, &subject, why);
        let base = options.base_url.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&base).map_err(|_| refuse("its base URL is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("its base URL is neither http nor https"));
        }
        let mut headers = HeaderMap::new();
        if let Some(key) = &options.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret()))
                .map_err(|_| refuse("the key holds characters that no header may"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .user_agent(concat!("corbie/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .read_timeout(options.read_timeout)
            .build()
            .map_err(|error| Error::new(ErrorKind::Internal, &subject, error))?;
        let endpoint = Endpoint {
            base,
            headers,
            key: options.key.clone().unwrap_or_else(|| String::new().into()),
        };
        let client = Client::build(http.clone(), endpoint).with_http_service(Transport { http });
        Ok(Self {
            options: Arc::new(options),
            client,
        })
    }

    /// Runs `call` until it succeeds, fails for good, or the retries are used up.
    pub async fn retry<T, F>(&self, call: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, OpenAIError>>,
    {
        let attempt = || async {
            let outcome = call().await;
            outcome.map_err(|error| failure::sort(&self.options, error))
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.options.retry_delay)
            .with_max_times(self.options.retries)
            .with_jitter();
        attempt
            .retry(pauses)
            .when(Error::is_retryable)
            .adjust(|error: &Error, pause| match error.kind() {
                ErrorKind::RateLimited {
                    retry_after: Some(asked),
                } => pause
                    .map(|_| *asked)
                    .filter(|asked| *asked <= LONGEST_PAUSE),
                _ => pause,
            })
            .await
    }
}

/// Where the service is and how it knows us.
#[derive(Clone)]
pub struct Endpoint {
    base: String,
    headers: HeaderMap,
    key: SecretString,
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.key
    }
}

/// Sends a request once. A refusal becomes an error here, with its `Retry-After`, and before the
/// client library could log its content.
#[derive(Clone)]
struct Transport {
    http: reqwest::Client,
}

impl tower_service::Service<HttpRequestFactory> for Transport {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, std::result::Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequestFactory) -> Self::Future {
        let http = self.http.clone();
        Box::pin(async move {
            let request = request.build().await?;
            let mut response = http.execute(request).await?;
            if response.status().is_success() {
                return Ok(response);
            }
            let retry_after = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.trim().parse().ok())
                .filter(|seconds: &f64| (0.0..1e9).contains(seconds))
                .map(Duration::from_secs_f64);
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                let room = MAX_REFUSAL - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if body.len() == MAX_REFUSAL {
                    break;
                }
            }
            Err(OpenAIError::Boxed(Box::new(Refused {
                status: response.status().as_u16(),
                retry_after,
                body,
            })))
        })
    }
}
