use std::path::PathBuf;
use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};
use secrecy::SecretString;

/// Where models are kept and how they are fetched.
///
/// The names of the variables are those of Hugging Face's own tools, so that models are shared
/// with them.
#[derive(Debug, Clone)]
pub struct HubOptions {
    /// The cache's folder, of the layout that `huggingface_hub` uses.
    pub cache: PathBuf,
    /// The hub's address. Only `https`, or `http` on this machine.
    pub endpoint: String,
    /// The token for gated and private repositories. It is sent to the endpoint's host alone.
    pub token: Option<SecretString>,
    /// Never touch the network, nor start `pip`.
    pub offline: bool,
    /// How to start `pip`, as an argument vector; empty: the usual ways, in turn.
    pub pip: Vec<String>,
    /// How long a host may take to accept a connection before the next place is tried.
    pub connect_timeout: Duration,
    /// How long a transfer may stand still before it is taken up again.
    pub read_timeout: Duration,
    /// How often a broken transfer is taken up again.
    pub retries: u32,
    /// The wait before the first retry; it doubles each time.
    pub retry_delay: Duration,
}

impl HubOptions {
    /// The defaults with this cache folder.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            endpoint: "https://huggingface.co".into(),
            token: None,
            offline: false,
            pip: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            retries: 4,
            retry_delay: Duration::from_millis(500),
        }
    }

    /// The options that the environment asks for: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`,
    /// `HOME`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_OFFLINE`. `variable` looks one
    /// up; only the program's edge reads the environment itself.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when no variable says where the cache is.
    ///
    /// ```
    /// use corbie_models::hub::HubOptions;
    ///
    /// let options = HubOptions::from_env(|name| match name {
    ///     "HF_HOME" => Some("/data/hf".into()),
    ///     "HF_HUB_OFFLINE" => Some("1".into()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(options.cache, std::path::Path::new("/data/hf/hub"));
    /// assert!(options.offline);
    /// # Ok::<(), corbie_core::Error>(())
    /// ```
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| set(name).map(PathBuf::from);
        let home = path("HF_HOME").or_else(|| {
            path("XDG_CACHE_HOME")
                .or_else(|| path("HOME").map(|home| home.join(".cache")))
                .or_else(|| path("USERPROFILE").map(|home| home.join(".cache")))
                .map(|cache| cache.join("huggingface"))
        });
        let cache = path("HF_HUB_CACHE").or_else(|| home.as_ref().map(|home| home.join("hub")));
        let Some(cache) = cache else {
            return Err(Error::new(
                ErrorKind::BadInput,
                "the model cache",
                "no variable says where it is",
            )
            .hint("set HF_HOME or HF_HUB_CACHE to a folder"));
        };
        let mut options = Self::new(cache);
        if let Some(endpoint) = set("HF_ENDPOINT") {
            options.endpoint = endpoint;
        }
        let token_file = path("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
        options.token = set("HF_TOKEN")
            .or_else(|| std::fs::read_to_string(token_file?).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty())
            .map(SecretString::from);
        options.offline = set("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value));
        Ok(options)
    }
}

/// What Hugging Face's tools take for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.trim().to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn variables_take_precedence_as_in_hugging_face_tools() {
        let options = |pairs: &[(&str, &str)]| {
            let find = |name: &str| pairs.iter().find(|(key, _)| *key == name);
            HubOptions::from_env(|name| find(name).map(|(_, value)| (*value).to_owned()))
        };
        let cache = |pairs: &[(&str, &str)]| options(pairs).unwrap().cache;
        assert_eq!(
            cache(&[("HOME", "/h")]),
            PathBuf::from("/h/.cache/huggingface/hub")
        );
        assert_eq!(
            cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]),
            PathBuf::from("/x/huggingface/hub")
        );
        assert_eq!(
            cache(&[("HOME", "/h"), ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]),
            PathBuf::from("/c")
        );
        assert!(options(&[]).is_err());
        assert!(
            options(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "YES")])
                .unwrap()
                .offline
        );
        assert!(
            !options(&[("HOME", "/h"), ("HF_HUB_OFFLINE", "0")])
                .unwrap()
                .offline
        );
    }

    #[test]
    fn the_token_is_never_printed() {
        let options = HubOptions::from_env(|name| match name {
            "HOME" => Some("/h".into()),
            "HF_TOKEN" => Some("hf_canary".into()),
            _ => None,
        })
        .unwrap();
        assert!(options.token.is_some());
        assert!(!format!("{options:?}").contains("canary"));
    }
}
