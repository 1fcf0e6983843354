//! The connection to one server.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use corbie_core::{Error, ErrorKind, Result};
use qdrant_client::qdrant::HealthCheckRequest;
use qdrant_client::qdrant::collections_client::CollectionsClient;
use qdrant_client::qdrant::points_client::PointsClient;
use qdrant_client::qdrant::qdrant_client::QdrantClient;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use super::QdrantOptions;
use super::address::Address;
use super::failure;

/// The most bytes of one answer: a page of points is far below it.
const LARGEST_ANSWER: usize = 256 << 20;

/// A server that asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The first version that counts the words of one namespace alone.
const OLDEST: Version = Version(1, 19);

/// The first version that can look for a text within strings.
const FINDS_TEXT: Version = Version(1, 20);

/// Major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// A server, reached at the first call.
pub(super) struct Server {
    name: String,
    endpoint: Endpoint,
    key: Option<(SecretString, MetadataValue<Ascii>)>,
    timeout: Duration,
    pauses: ExponentialBuilder,
    /// Absent before the first call, and after one that found it broken: a connection belongs to
    /// the runtime that made it, and that one may be gone.
    channel: Mutex<Option<Channel>>,
    version: OnceCell<Version>,
}

impl Server {
    /// The server that the options name; nothing is connected yet.
    pub(super) fn new(options: &QdrantOptions) -> Result<Self> {
        let address = Address::parse(&options.url)?;
        let subject = format!("Qdrant server {}", address.name);
        let refuse = |cause: &str| Error::new(ErrorKind::BadInput, &subject, cause);
        let key = match &options.api_key {
            None => None,
            Some(key) => {
                let value = MetadataValue::try_from(key.expose_secret());
                let mut value: MetadataValue<Ascii> =
                    value.map_err(|_| refuse("the API key holds characters that no header may"))?;
                value.set_sensitive(true);
                Some((key.clone(), value))
            }
        };
        if key.is_some() && !address.encrypted && !address.local && !options.plain_key {
            return Err(refuse("the API key would travel there unencrypted").hint(
                "use https://, leave the key out, or, where nobody else listens, set `plain_key`",
            ));
        }
        let endpoint = Endpoint::from_shared(address.name.clone())
            .map_err(|error| refuse(&error.to_string()))?;
        Ok(Self {
            name: address.name,
            endpoint,
            key,
            timeout: options.timeout,
            pauses: ExponentialBuilder::default()
                .with_min_delay(options.retry_delay)
                .with_max_times(options.retries)
                .with_jitter(),
            channel: Mutex::new(None),
            version: OnceCell::new(),
        })
    }

    /// Scheme, host and port.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server can look for a text within strings.
    pub(super) fn finds_text(&self) -> bool {
        self.version.get().is_some_and(|own| *own >= FINDS_TEXT)
    }

    /// Refuses a server that is too old: it would not heed what it does not know, and answer
    /// something else.
    pub(super) async fn check_version(&self) -> Result<()> {
        let ask = || async {
            let subject = format!("Qdrant server {}", self.name);
            let health = |channel, request| async move {
                let mut client = QdrantClient::new(channel);
                Ok(client.health_check(request).await?.into_inner())
            };
            let reply = self.call(&subject, HealthCheckRequest {}, health).await?;
            let cause = format!("its version is {:?}", reply.version);
            version(&reply.version)
                .filter(|version| *version >= OLDEST)
                .ok_or_else(|| {
                    Error::new(ErrorKind::Unsupported, subject, cause)
                        .hint("Corbie needs Qdrant 1.19 or later")
                })
        };
        self.version.get_or_try_init(ask).await.map(|_| ())
    }

    /// Makes a call until it succeeds, fails for good, or the retries are used up.
    pub(super) async fn call<Q: Clone, R, F>(
        &self,
        subject: &str,
        message: Q,
        send: impl Fn(Channel, Request<Q>) -> F,
    ) -> Result<R>
    where
        F: Future<Output = Result<R, Status>>,
    {
        if tokio::runtime::Handle::try_current().is_err() {
            let cause = "it is used outside a tokio runtime";
            return Err(Error::new(ErrorKind::Unsupported, subject, cause)
                .hint("await it on a runtime with I/O and time"));
        }
        let attempt = || async {
            let mut request = Request::new(message.clone());
            if let Some((_, value)) = &self.key {
                request.metadata_mut().insert("api-key", value.clone());
            }
            let sent = tokio::time::timeout(self.timeout, send(self.channel(subject)?, request));
            let error = match sent.await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => {
                    let key = self.key.as_ref().map(|(key, _)| key.expose_secret());
                    failure::sort(subject, key, &status)
                }
                Err(_) => {
                    let cause = format!("it did not answer within {:?}", self.timeout);
                    Error::new(ErrorKind::Unavailable, subject, cause)
                        .hint("is the server overloaded? a longer `timeout` waits longer")
                }
            };
            if error.kind() == &ErrorKind::Unavailable {
                *self.lock() = None;
            }
            Err(error)
        };
        attempt
            .retry(self.pauses)
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

    fn channel(&self, subject: &str) -> Result<Channel> {
        let mut channel = self.lock();
        if let Some(channel) = &*channel {
            return Ok(channel.clone());
        }
        let mut endpoint = self.endpoint.clone();
        if self.name.starts_with("https") {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(|error| {
                Error::new(ErrorKind::Io, subject, error)
                    .hint("are the certificates of this system's authorities installed?")
            })?;
        }
        Ok(channel.insert(endpoint.connect_lazy()).clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Channel>> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls about points, on a connection.
pub(super) fn points(channel: Channel) -> PointsClient<Channel> {
    PointsClient::new(channel).max_decoding_message_size(LARGEST_ANSWER)
}

/// The calls about collections, on a connection.
pub(super) fn collections(channel: Channel) -> CollectionsClient<Channel> {
    CollectionsClient::new(channel)
}

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.trim_start_matches('v').split('.').map(str::parse);
    Some(Version(numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version("1.9.7") < Some(OLDEST));
        assert!(version("1.19.0-dev") >= Some(OLDEST));
        assert!(version("v2.0.0") >= Some(FINDS_TEXT));
        for none in ["", "1", "one.two", "1.x"] {
            assert_eq!(version(none), None);
        }
    }
}
