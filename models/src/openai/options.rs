use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};
use secrecy::SecretString;

use crate::provider::{self, Provider, Quirks};

/// Which remote model, and how it is reached.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The service's name, as in a model's name before the colon.
    pub provider: String,
    /// The model's name there.
    pub model: String,
    /// Where the API starts.
    pub base_url: String,
    /// The key; `None`: the service needs none.
    pub key: Option<SecretString>,
    /// The environment variable that is named when the key is refused.
    pub key_variable: Option<&'static str>,
    /// In what the service differs from OpenAI.
    pub quirks: Quirks,
    /// The most tokens of prompt and answer together; `None`: unknown, and only the service
    /// refuses what is too long.
    pub context_length: Option<usize>,
    /// How long the service may take to accept a connection.
    pub connect_timeout: Duration,
    /// How long it may stay silent, before the first token and between two.
    pub read_timeout: Duration,
    /// How often an unanswered or refused request is sent again, before its first event only.
    pub retries: usize,
    /// The wait before the first retry; it doubles each time.
    pub retry_delay: Duration,
    /// Refuse to be made at all.
    pub offline: bool,
}

impl RemoteOptions {
    /// The defaults for a model of a known service.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown service.
    pub fn new(provider: &str, model: &str) -> Result<Self> {
        let row = row(provider)?;
        Ok(Self {
            provider: provider.to_owned(),
            model: model.to_owned(),
            base_url: row.base_url.to_owned(),
            key: None,
            key_variable: row.key_variable,
            quirks: row.quirks,
            context_length: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(300),
            retries: 3,
            retry_delay: Duration::from_millis(500),
            offline: false,
        })
    }

    /// The same with the key and address that the environment holds by custom, such as
    /// `OPENAI_API_KEY` and `OPENAI_BASE_URL`. `variable` looks one up; only the program's edge
    /// reads the environment itself.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) for an unknown service.
    pub fn from_env(
        provider: &str,
        model: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let row = row(provider)?;
        let set = |name: Option<&str>| {
            let value = variable(name?)?.trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let mut options = Self::new(provider, model)?;
        options.key = set(row.key_variable).map(SecretString::from);
        if let Some(url) = set(row.url_variable) {
            options.base_url = url;
        }
        Ok(options)
    }

    /// What errors are about: `model openai:name`.
    pub(super) fn subject(&self) -> String {
        format!("model `{}:{}`", self.provider, self.model)
    }
}

fn row(provider: &str) -> Result<&'static Provider> {
    provider::find(provider).ok_or_else(|| {
        let known: Vec<&str> = provider::PROVIDERS.iter().map(|row| row.name).collect();
        Error::new(
            ErrorKind::NotFound,
            format!("provider `{provider}`"),
            "it is unknown",
        )
        .hint(format!("known are {}", known.join(", ")))
    })
}
