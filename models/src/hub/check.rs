//! What is checked of every file before it may be used: its name, its kind, its content.

use std::fmt;
use std::io::Read;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use sha1_smol::Sha1;
use sha2::{Digest as _, Sha256};

/// What is ever fetched. Everything else stays where it is, pickled weights above all: loading
/// those runs code.
const EXTENSIONS: [&str; 5] = ["gguf", "safetensors", "json", "txt", "jinja"];

/// File formats that hold weights as Python pickles.
const PICKLED: [&str; 7] = ["bin", "pt", "pth", "ckpt", "pkl", "pickle", "h5"];

fn extension(name: &str) -> String {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    extension.to_ascii_lowercase()
}

/// Whether the name is of a kind that is fetched.
pub fn is_fetched(name: &str) -> bool {
    EXTENSIONS.contains(&extension(name).as_str())
}

/// Whether the name is of a kind whose loading runs code.
pub fn is_pickled(name: &str) -> bool {
    PICKLED.contains(&extension(name).as_str())
}

/// Whether a file name that a server or an archive gave stays inside its folder, on every
/// system: relative, plain components, no separators of other systems, no invisible characters.
pub fn is_safe_name(name: &str) -> bool {
    let plain = |part: &str| {
        let stem = part.split('.').next().unwrap_or(part).to_ascii_uppercase();
        let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
            || (stem.len() == 4
                && (stem.starts_with("COM") || stem.starts_with("LPT"))
                && stem.ends_with(|c: char| c.is_ascii_digit()));
        let reserved = |c: char| {
            c.is_control()
                || "\\:?*\"<>|".contains(c)
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        };
        !part.is_empty()
            && part.len() <= 255
            && part != "."
            && part != ".."
            && !part.ends_with(['.', ' '])
            && !part.contains(reserved)
            && !device
    };
    name.len() <= 1024 && name.split('/').all(plain)
}

/// The error for a name that [`is_safe_name`] refuses.
pub fn unsafe_name(place: &str, name: &str) -> Error {
    let shown: String = name
        .chars()
        .take(80)
        .flat_map(char::escape_default)
        .collect();
    Error::new(
        ErrorKind::Malformed,
        place,
        format!("the file name `{shown}` would leave the model's folder"),
    )
}

/// The error for pickled weights.
pub fn pickled(place: &str, name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        place,
        format!("`{name}` is a Python pickle: loading it would run code, so Corbie never reads it"),
    )
    .hint("choose a repository with GGUF or safetensors files")
}

/// The digest a file must have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Digest {
    /// Of the content: how the hub names large files.
    Sha256(String),
    /// Of a Git blob: how the hub names small files.
    GitSha1(String),
}

impl Digest {
    /// A digest from a server's hexadecimal text; `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match (hex, text.len()) {
            (true, 64) => Some(Self::Sha256(text.to_owned())),
            (true, 40) => Some(Self::GitSha1(text.to_owned())),
            _ => None,
        }
    }

    /// The hexadecimal text, safe as a file name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitSha1(hex) => hex,
        }
    }

    /// Starts to compute a digest of this kind over `bytes` bytes of content.
    pub fn hasher(&self, bytes: u64) -> Hasher {
        match self {
            Self::Sha256(_) => Hasher::Sha256(Box::default()),
            Self::GitSha1(_) => {
                let mut sha1 = Sha1::new();
                sha1.update(format!("blob {bytes}\0").as_bytes());
                Hasher::GitSha1(Box::new(sha1))
            }
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A digest being computed.
#[derive(Clone)]
pub enum Hasher {
    /// See [`Digest::Sha256`].
    Sha256(Box<Sha256>),
    /// See [`Digest::GitSha1`].
    GitSha1(Box<Sha1>),
}

impl Hasher {
    /// Adds content.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitSha1(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of what was added.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hexadecimal(&hasher.finalize())),
            Self::GitSha1(hasher) => Digest::GitSha1(hasher.digest().to_string()),
        }
    }
}

/// The SHA-256 of a file.
pub fn sha256_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Checks that a file begins as its name claims, so that a login page saved under a model's name
/// is refused even where no digest is known.
///
/// # Errors
///
/// [`Malformed`](ErrorKind::Malformed) when it does not.
pub fn check_content(path: &Path, name: &str) -> Result<()> {
    let subject = format!("file `{name}`");
    let mut head = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(|error| Error::io(&subject, error))?;
    let claimed = match extension(name).as_str() {
        "gguf" => head.starts_with(b"GGUF"),
        // Eight bytes of length, then a JSON object.
        "safetensors" => head.get(8) == Some(&b'{'),
        "json" => head
            .trim_ascii_start()
            .first()
            .is_some_and(|byte| matches!(byte, b'{' | b'[')),
        _ => true,
    };
    if claimed {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Malformed,
        subject,
        "the content is not what the name claims",
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused_on_every_system() {
        for name in [
            "",
            "/etc/passwd",
            "../x.json",
            "a/../../x.json",
            "a//b.json",
            "./x.json",
            "a\\..\\x.json",
            "C:\\x.json",
            "C:x.json",
            "\\\\host\\share\\x.json",
            "a\0.json",
            "a\n.json",
            "a\u{202e}nosj.json",
            "NUL.json",
            "com1.json",
            "x.json.",
            "x.json ",
        ] {
            assert!(!is_safe_name(name), "{name:?}");
        }
        for name in [
            "config.json",
            "1_Pooling/config.json",
            "模型.gguf",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "%2e%2e.json",
        ] {
            assert!(is_safe_name(name), "{name:?}");
        }
    }

    #[test]
    fn digests_are_those_of_the_tools_that_named_the_files() {
        let check = |digest: &str, content: &[u8]| {
            let digest = Digest::parse(digest).unwrap();
            let mut hasher = digest.hasher(content.len() as u64);
            hasher.update(content);
            assert_eq!(hasher.finish(), digest);
        };
        // `sha256sum` and `git hash-object` of the same line.
        check(
            "c120cbd78bb979f699dd85d90a393624dd74542759df550d7f3728c5cbb956ca",
            b"raven\n",
        );
        check("81ca422f23fb4b759da7fcb43dfd72b931d6111f", b"raven\n");
        assert_eq!(Digest::parse("../../etc"), None);
        assert_eq!(Digest::parse("ABCDEF"), None);
    }
}
