//! Reading the small files of a model directory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

/// No configuration file is longer; a longer one is damaged or hostile.
const CONFIG_LIMIT: u64 = 4 << 20;

/// The tokenizers of the largest multilingual models stay below 40 MB.
const TOKENIZER_LIMIT: u64 = 256 << 20;

/// The content of a configuration file, or `None` if there is no such file.
pub(super) fn config(dir: &Path, name: &str) -> Result<Option<Vec<u8>>> {
    match read(&dir.join(name), CONFIG_LIMIT) {
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// The content of a configuration file as a value, or `None` if there is no such file.
pub(super) fn json<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>> {
    let Some(bytes) = config(dir, name)? else {
        return Ok(None);
    };
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| malformed(&dir.join(name), &error).caused_by(error))?;
    Ok(Some(value))
}

/// The content of `tokenizer.json`.
pub(super) fn tokenizer(dir: &Path) -> Result<Vec<u8>> {
    read(&dir.join("tokenizer.json"), TOKENIZER_LIMIT).map_err(|error| needed(error, dir))
}

/// Adds to a missing file's error what a model directory must hold.
pub(super) fn needed(error: Error, dir: &Path) -> Error {
    if *error.kind() != ErrorKind::NotFound {
        return error;
    }
    error.hint(format!(
        "an embedding model is a directory with `config.json`, `tokenizer.json` and \
         `model.safetensors`; is `{}` one?",
        dir.display()
    ))
}

/// The error of a file whose content is not what it should be.
pub(super) fn malformed(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Malformed, path.display().to_string(), cause)
        .hint("fetch the model's files again")
}

/// The error of a file that asks for what is not built.
pub(super) fn unsupported(path: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, path.display().to_string(), cause)
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let io = |error| Error::io(path.display().to_string(), error);
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(malformed(path, format!("longer than {limit} bytes")));
    }
    Ok(bytes)
}
