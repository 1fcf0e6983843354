//! Reaching a server: starting its program, or checking its address.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use corbie_core::{Error, ErrorKind, Result};
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::config::Endpoint;
use super::screen::escaped;

/// What a server's program sees of our environment; keys and tokens are not among it.
#[cfg(not(windows))]
const ENVIRONMENT: [&str; 11] = [
    "HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ",
    "USER",
];
#[cfg(windows)]
const ENVIRONMENT: [&str; 14] = [
    "APPDATA",
    "COMSPEC",
    "HOMEDRIVE",
    "HOMEPATH",
    "LANG",
    "LOCALAPPDATA",
    "PATH",
    "PATHEXT",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERNAME",
    "USERPROFILE",
];

/// Parts of names whose values are not shown.
const SECRET: [&str; 7] = [
    "AUTH",
    "COOKIE",
    "CREDENTIAL",
    "KEY",
    "PASS",
    "SECRET",
    "TOKEN",
];

/// What a person is shown before a server is started or reached: exactly what would be run, each
/// argument in quotes where it is not plain. Values that look like secrets are left out.
pub fn command_line(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Command {
            command,
            args,
            env,
            cwd,
        } => {
            let words = std::iter::once(command)
                .chain(args)
                .map(|word| quoted(word));
            let mut line: Vec<String> = assignments(env, "=");
            line.extend(words);
            let line = line.join(" ");
            match cwd {
                Some(folder) => format!("{line} (in {})", quoted(&folder.to_string_lossy())),
                None => line,
            }
        }
        Endpoint::Http { url, headers } => match assignments(headers, ": ") {
            headers if headers.is_empty() => quoted(url),
            headers => format!("{} with {}", quoted(url), headers.join(", ")),
        },
    }
}

fn assignments(values: &BTreeMap<String, String>, sign: &str) -> Vec<String> {
    let shown = |(name, value): (&String, &String)| {
        let upper = name.to_ascii_uppercase();
        let value = match SECRET.iter().any(|part| upper.contains(part)) {
            true => "…".to_owned(),
            false => quoted(value),
        };
        format!("{}{sign}{value}", quoted(name))
    };
    values.iter().map(shown).collect()
}

/// A word as it would be typed; nothing in it can be mistaken for more than the word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!(
            "'{}'",
            escaped(word).replace('\n', "\\n").replace('\'', "'\\''")
        ),
    }
}

/// A server's program while it runs. It ends when this is dropped, and what it started with it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
}

impl Program {
    /// Starts a command, without a shell.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) and [`Io`](ErrorKind::Io) when it cannot be started.
    pub fn start(
        server: &str,
        command: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
        cwd: Option<&Path>,
    ) -> Result<(Self, ChildStdout, ChildStdin)> {
        let subject = || format!("MCP server `{server}`");
        let mut start = Command::new(command);
        start
            .args(args)
            .env_clear()
            .envs(
                ENVIRONMENT
                    .iter()
                    .filter_map(|name| std::env::var_os(name).map(|value| (*name, value))),
            )
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(folder) = cwd {
            start.current_dir(folder);
        }
        #[cfg(unix)]
        start.process_group(0);
        let mut child = start.spawn().map_err(|error| {
            let cause = format!("`{}` cannot be started: {error}", escaped(command));
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Io,
            };
            Error::new(kind, subject(), cause).hint("install it, or mend the file of servers")
        })?;
        let pipes = (child.stdout.take(), child.stdin.take());
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(log(server.to_owned(), errors));
        }
        let program = Self {
            #[cfg(unix)]
            group: child
                .id()
                .and_then(|id| i32::try_from(id).ok())
                .and_then(rustix::process::Pid::from_raw),
            child,
        };
        match pipes {
            (Some(stdout), Some(stdin)) => Ok((program, stdout, stdin)),
            _ => Err(Error::new(ErrorKind::Io, subject(), "it has no pipes")),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Its number is its own only until it has been waited for.
        #[cfg(unix)]
        if let (Some(group), Ok(None)) = (self.group, self.child.try_wait()) {
            // It may have ended in between.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        #[cfg(not(unix))]
        drop(self.child.start_kill());
    }
}

/// Writes what a server says on its standard error to the log, so that it never fills up.
async fn log(server: String, errors: tokio::process::ChildStderr) {
    let mut lines = BufReader::new(errors).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        tracing::debug!(server, "{}", escaped(line.trim_end()));
    }
}

/// A server's address, checked, with the headers of each request.
///
/// # Errors
///
/// [`BadInput`](ErrorKind::BadInput) for what is no address of http or https, or no header;
/// [`Offline`](ErrorKind::Offline) for one beyond this machine when the network may not be used.
pub fn address(
    server: &str,
    url: &str,
    headers: &BTreeMap<String, String>,
    offline: bool,
) -> Result<(Url, HeaderMap)> {
    let subject = || format!("MCP server `{server}`");
    let refuse = |cause: String| Error::new(ErrorKind::BadInput, subject(), cause);
    let shown = escaped(url);
    let parsed =
        Url::parse(url).map_err(|error| refuse(format!("`{shown}` is no address: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(refuse(format!("`{shown}` is no address of http or https")));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        let error = refuse("its address holds a name or password".to_owned());
        return Err(error.hint("put them in `headers`"));
    }
    if offline && !is_here(&parsed) {
        let cause = "it is on the network, which may not be used";
        return Err(Error::new(ErrorKind::Offline, subject(), cause).hint("leave out --offline"));
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let (Ok(key), Ok(mut value)) = (
            HeaderName::try_from(name.as_str()),
            HeaderValue::try_from(value.as_str()),
        ) else {
            return Err(refuse(format!("`{}` is no header", escaped(name))));
        };
        value.set_sensitive(true);
        map.insert(key, value);
    }
    Ok((parsed, map))
}

/// Whether an address is on this machine, whatever a resolver says.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn command(command: &str, args: &[&str], env: &[(&str, &str)]) -> Endpoint {
        Endpoint::Command {
            command: command.into(),
            args: args.iter().map(|it| (*it).to_owned()).collect(),
            env: env
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            cwd: None,
        }
    }

    #[test]
    fn the_exact_command_is_shown() {
        for (endpoint, shown) in [
            (command("npx", &["-y", "pkg@1.2"], &[]), "npx -y pkg@1.2"),
            (
                command("a b", &["; rm -rf ~", ""], &[]),
                "'a b' '; rm -rf ~' ''",
            ),
            (
                command("x", &["it's\n\u{202e}"], &[]),
                "x 'it'\\''s\\n\\u{202e}'",
            ),
            (
                command(
                    "x",
                    &[],
                    &[("API_KEY", "k1"), ("MODE", "fast"), ("PATH", "/evil bin")],
                ),
                "API_KEY=… MODE=fast PATH='/evil bin' x",
            ),
        ] {
            assert_eq!(command_line(&endpoint), shown);
        }
    }

    #[test]
    fn only_http_is_reached() {
        let none = BTreeMap::new();
        for url in [
            "file:///bin/sh",
            "javascript:alert(1)",
            "ftp://x/",
            "stdio:sh",
            "data:text/plain,x",
            "$(touch x)",
            "http://",
            "https://user:secret@host/mcp",
            "",
        ] {
            let error = address("s", url, &none, false).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::BadInput, "{url}");
            assert!(!error.to_string().contains("secret"));
        }
        assert!(address("s", "https://example.test/mcp", &none, false).is_ok());
        let error = address("s", "https://example.test/mcp", &none, true).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Offline);
        assert!(address("s", "http://[::1]:7/mcp", &none, true).is_ok());
        let lines = BTreeMap::from([("A".to_owned(), "x\r\nB: y".to_owned())]);
        assert!(address("s", "http://h/", &lines, false).is_err());
    }
}
