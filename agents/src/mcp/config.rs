//! The file that names servers: `{"mcpServers": {name: {command, args, env} or {url, headers}}}`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use corbie_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// The longest name of a server: a tool's name has 64 letters, and some are the tool's.
const MAX_NAME: usize = 32;

/// How a server is reached.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// A program that is started and spoken to by its standard input and output.
    Command {
        /// The program.
        command: String,
        /// Its arguments, passed as they are.
        args: Vec<String>,
        /// Variables of its environment.
        env: BTreeMap<String, String>,
        /// The folder it is started in; `None`: the present one.
        cwd: Option<PathBuf>,
    },
    /// A service on the network: streamable HTTP.
    Http {
        /// Its address: http or https.
        url: String,
        /// Headers of each request, such as `Authorization`.
        headers: BTreeMap<String, String>,
    },
}

impl Endpoint {
    /// What names it in a list of approved ones: any change gives another.
    pub fn hash(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }
}

/// Values of variables and headers are secrets, so they are not shown.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::launch::command_line(self))
    }
}

/// The servers of a file, by name.
///
/// ```
/// use corbie_agents::mcp::Config;
///
/// let text = r#"{"mcpServers": {"files": {"command": "mcp-files", "args": ["/data"]}}}"#;
/// let config = Config::parse("mcp.json", text)?;
/// assert!(config.servers.contains_key("files"));
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// How each is reached.
    pub servers: BTreeMap<String, Endpoint>,
}

/// A server as people write it. Other programs keep fields of their own beside these.
#[derive(Deserialize)]
struct Entry {
    command: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    #[serde(alias = "serverUrl")]
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    disabled: bool,
    #[serde(rename = "type")]
    transport: Option<String>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Those of [`Config::parse`]; [`Io`](ErrorKind::Io).
    pub fn read(path: &Path) -> Result<Self> {
        let subject = format!("`{}`", path.display());
        let bytes = std::fs::metadata(path).map_err(|error| Error::io(&subject, error))?;
        if bytes.len() > MAX_BYTES {
            let cause = format!("it is larger than {MAX_BYTES} bytes");
            return Err(Error::new(ErrorKind::LimitExceeded, subject, cause));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(&subject, error))?;
        Self::parse(&subject, &text)
    }

    /// Reads the text of a file, which `subject` names in errors. Servers with `"disabled": true`
    /// are left out.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for text that is no such file, a server that is reached in
    /// no way or in two, one whose transport nobody speaks any more, and for two servers whose
    /// tools would get the same names.
    pub fn parse(subject: &str, text: &str) -> Result<Self> {
        let refuse = |cause: String| Error::new(ErrorKind::BadInput, subject, cause);
        let file: Value = serde_json::from_str(text)
            .map_err(|error| refuse(format!("it is no JSON: {error}")))?;
        let Some(entries) = file.get("mcpServers").and_then(Value::as_object) else {
            let error = refuse("it has no `mcpServers`".into());
            return Err(error.hint("the form is {\"mcpServers\": {NAME: {\"command\": …}}}"));
        };
        let mut config = Self::default();
        let mut spaces = Map::new();
        for (name, entry) in entries {
            let entry = Entry::deserialize(entry)
                .map_err(|error| refuse(format!("server `{name}`: {error}")))?;
            if entry.disabled {
                continue;
            }
            let endpoint =
                endpoint(entry).map_err(|cause| refuse(format!("server `{name}`: {cause}")))?;
            let other = spaces.insert(namespace(name), Value::from(name.as_str()));
            if let Some(other) = other {
                let cause = format!("the tools of `{name}` would have the names of {other}'s");
                return Err(refuse(cause).hint("rename one of the servers"));
            }
            config.servers.insert(name.clone(), endpoint);
        }
        Ok(config)
    }
}

fn endpoint(entry: Entry) -> Result<Endpoint, String> {
    if entry.transport.as_deref() == Some("sse") {
        return Err("the transport `sse` was withdrawn in 2025; use its streamable HTTP".into());
    }
    match (entry.command, entry.url) {
        (Some(command), None) if !command.trim().is_empty() => Ok(Endpoint::Command {
            command,
            args: entry.args,
            env: entry.env,
            cwd: entry.cwd,
        }),
        (None, Some(url)) => Ok(Endpoint::Http {
            url,
            headers: entry.headers,
        }),
        (Some(_), Some(_)) => Err("it has a `command` and a `url`".into()),
        _ => Err("it needs a `command` or a `url`".into()),
    }
}

/// What stands before `__` in the names of a server's tools: of letters, digits, `-` and single
/// `_`, so that no other server's tool can have the same name.
pub fn namespace(server: &str) -> String {
    let mut space = String::new();
    for c in server.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => space.push(c),
            '_' if !space.is_empty() && !space.ends_with('_') => space.push('_'),
            '_' => {}
            _ => space.push('-'),
        }
    }
    space.truncate(MAX_NAME);
    match space.trim_end_matches('_') {
        "" => "server".to_owned(),
        space => space.to_owned(),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_of_other_programs_are_read_unchanged() {
        let text = r#"{
            "globalShortcut": "Ctrl+Space",
            "mcpServers": {
                "文件 files": {"command": "npx", "args": ["-y", "a b; rm -rf /"], "env": {"A": "1"}},
                "web": {"type": "http", "url": "https://example.test/mcp", "headers": {"X": "y"}},
                "off": {"command": "x", "disabled": true}
            }
        }"#;
        let config = Config::parse("f", text).unwrap();
        assert_eq!(config.servers.len(), 2);
        let Endpoint::Command { args, .. } = &config.servers["文件 files"] else {
            panic!("a command");
        };
        assert_eq!(args[1], "a b; rm -rf /");
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for (text, told) in [
            ("[", "no JSON"),
            ("{}", "no `mcpServers`"),
            (r#"{"mcpServers": {"a": {}}}"#, "needs a `command`"),
            (
                r#"{"mcpServers": {"a": {"command": " "}}}"#,
                "needs a `command`",
            ),
            (
                r#"{"mcpServers": {"a": {"command": "x", "url": "http://y"}}}"#,
                "and a `url`",
            ),
            (r#"{"mcpServers": {"a": {"command": ["x"]}}}"#, "server `a`"),
            (
                r#"{"mcpServers": {"a": {"type": "sse", "url": "http://y"}}}"#,
                "sse",
            ),
            (
                r#"{"mcpServers": {"a b": {"command": "x"}, "a-b": {"command": "y"}}}"#,
                "would have the names",
            ),
        ] {
            let error = Config::parse("f", text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn namespaces_hold_no_separator() {
        for (name, space) in [
            ("files", "files"),
            ("a__b", "a_b"),
            ("_a_", "a"),
            ("a.b/c", "a-b-c"),
            ("__", "server"),
            ("文件", "--"),
        ] {
            assert_eq!(namespace(name), space);
        }
        assert!(namespace(&"x".repeat(99)).len() <= MAX_NAME);
    }
}
