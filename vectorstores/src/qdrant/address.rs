//! Where a server is.

use std::net::IpAddr;

use corbie_core::{Error, ErrorKind, Result};
use tonic::transport::Uri;

/// The port of the gRPC interface, where the address names none.
const PORT: u16 = 6334;

/// The address of a server, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Scheme, host and port: how errors and ledgers call it.
    pub name: String,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Whether it leads to this machine.
    pub local: bool,
}

impl Address {
    /// Takes `url` apart. What is refused is not repeated, since it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self> {
        let refuse = |cause: &str| {
            Error::new(ErrorKind::BadInput, "the URL of a Qdrant server", cause)
                .hint("it is http:// or https://, a host and a port, such as http://localhost:6334")
        };
        let uri: Uri = url.parse().map_err(|_| refuse("that is no URL"))?;
        let encrypted = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if authority.contains('@') {
            let error = refuse("it holds a name or a password");
            return Err(error.hint("the API key is an option of its own"));
        }
        // A `#` and what follows is not part of what was parsed.
        let more = uri.path_and_query().map_or("", |rest| rest.as_str());
        if !matches!(more, "" | "/") || url.contains('#') {
            return Err(refuse("it holds more than a host and a port"));
        }
        let host = uri.host().unwrap_or_default();
        let port = match authority.strip_prefix(host).unwrap_or_default() {
            _ if host.is_empty() => return Err(refuse("it names no host")),
            "" => PORT,
            port => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .ok_or_else(|| refuse("its port is none"))?,
        };
        let host = host.to_lowercase();
        let bare = host.trim_matches(['[', ']']);
        let local = bare == "localhost"
            || bare
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback());
        let scheme = if encrypted { "https" } else { "http" };
        Ok(Self {
            name: format!("{scheme}://{host}:{port}"),
            encrypted,
            local,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_called_by_scheme_host_and_port() {
        let table = [
            ("http://localhost", "http://localhost:6334", true),
            ("http://LocalHost:6334/", "http://localhost:6334", true),
            ("http://127.0.0.5:1", "http://127.0.0.5:1", true),
            ("http://[::1]:7", "http://[::1]:7", true),
            ("http://[::1]", "http://[::1]:6334", true),
            ("https://q.example.com", "https://q.example.com:6334", false),
            ("http://10.0.0.1:6334", "http://10.0.0.1:6334", false),
            (
                "http://localhost.example",
                "http://localhost.example:6334",
                false,
            ),
        ];
        for (url, name, local) in table {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.name.as_str(), address.local), (name, local));
            assert_eq!(address.encrypted, url.starts_with("https"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        let refused = [
            "",
            "secret",
            "localhost:6334",
            "ftp://secret",
            "http://",
            "http://secret:99999",
            "http://secret:",
            "http://secret@host",
            "http://u:secret@host:6334",
            "http://host/secret",
            "http://host?key=secret",
            "http://host#secret",
            "http://se cret",
        ];
        for url in refused {
            let error = Address::parse(url).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::BadInput, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{error}");
        }
    }
}
