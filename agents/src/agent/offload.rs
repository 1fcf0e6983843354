//! Results that are too long for a model, kept whole in files.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use corbie_core::{Effects, Error, ErrorKind, Invocation, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::FunctionTool;
use super::tools::cut;

/// The name of the tool that reads what was offloaded.
pub const READ_RESULT: &str = "read_result";
/// The bytes of one page.
const PAGE: u64 = 4 << 10;
/// Begins the handle of a result that holds no text from outside.
const OWN: &str = "own-";
/// Begins the handle of one that may.
const OUTSIDE: &str = "out-";

/// A folder for results that are too long for a model: it gets the beginning, the size and a
/// handle, by which the tool `read_result` gives it the rest page by page.
///
/// A handle is made from the effect's key and the content: nobody guesses that of another run.
#[derive(Debug, Clone)]
pub struct Offload {
    /// Where the results are; it is made when the first one comes.
    pub folder: PathBuf,
    /// The most bytes that are kept: the oldest results go first.
    pub most: u64,
}

impl Offload {
    /// A folder of at most 256 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            most: 256 << 20,
        }
    }

    /// The result as the model reads it: whole if it has at most `most` bytes, else its beginning
    /// and how to get the rest.
    pub(super) fn keep(&self, key: &str, text: String, most: usize, trusted: bool) -> String {
        if text.len() <= most {
            return text;
        }
        let handle = match self.write(key, &text, trusted) {
            Ok(handle) => handle,
            Err(error) => {
                let folder = self.folder.display();
                tracing::warn!(%folder, %error, "a long result cannot be kept");
                return cut(text, most);
            }
        };
        let end = text.floor_char_boundary(most);
        format!(
            "{}\n[the first {end} of {} bytes; `{READ_RESULT}` with handle {handle} and offset {end} \
             gives more]",
            &text[..end],
            text.len()
        )
    }

    fn write(&self, key: &str, text: &str, trusted: bool) -> io::Result<String> {
        let digest = Sha256::new()
            .chain_update((key.len() as u64).to_le_bytes())
            .chain_update(key)
            .chain_update(text)
            .finalize();
        let hex: String = digest[..12].iter().map(|b| format!("{b:02x}")).collect();
        let handle = format!("{}{hex}", if trusted { OWN } else { OUTSIDE });
        fs::create_dir_all(&self.folder)?;
        self.make_room(text.len() as u64)?;
        // Whoever reads the handle finds all of it or nothing.
        let temporary = self.folder.join(format!(".{handle}"));
        fs::File::create(&temporary)?.write_all(text.as_bytes())?;
        fs::rename(&temporary, self.folder.join(&handle))?;
        Ok(handle)
    }

    /// Removes the oldest results until `size` more bytes fit.
    fn make_room(&self, size: u64) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_file() && is_handle(&entry.file_name().to_string_lossy()) {
                kept.push((about.modified()?, about.len(), entry.path()));
            }
        }
        kept.sort();
        let mut sum = size + kept.iter().map(|(_, size, _)| size).sum::<u64>();
        for (_, size, path) in kept {
            if sum <= self.most {
                break;
            }
            fs::remove_file(path)?;
            sum -= size;
        }
        Ok(())
    }

    /// The tool that reads what was kept.
    pub(super) fn reader(self: Arc<Self>) -> FunctionTool {
        let schema = json!({
            "type": "object",
            "properties": {
                "handle": {"type": "string", "description": "As the cut result names it"},
                "offset": {"type": "integer", "minimum": 0, "description": "The first byte"},
            },
            "required": ["handle", "offset"],
            "additionalProperties": false,
        });
        let description = "Reads on in a result that was too long. 继续读取过长的结果。";
        FunctionTool::new(READ_RESULT, description, schema, move |run: Invocation| {
            let offload = Arc::clone(&self);
            async move {
                let handle = run.arguments["handle"].as_str().unwrap_or_default();
                let offset = run.arguments["offset"].as_u64().unwrap_or(0);
                if !handle.starts_with(OWN) {
                    run.brings_outside_text();
                }
                offload.page(handle, offset).map(Value::String)
            }
        })
        .with_effects(Effects {
            read_only: true,
            idempotent: true,
            trusted: true,
            ..Effects::default()
        })
    }

    /// One page: where it is, and its text.
    fn page(&self, handle: &str, offset: u64) -> Result<String> {
        let subject = || format!("result `{handle}`");
        if !is_handle(handle) {
            let cause = "no result has such a handle";
            return Err(Error::new(ErrorKind::NotFound, subject(), cause)
                .hint("it stands at the end of the result that was cut"));
        }
        let (bytes, size) =
            read(&self.folder.join(handle), offset).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    Error::new(ErrorKind::NotFound, subject(), "it is not kept any more")
                        .hint("call the tool again that gave it")
                }
                _ => Error::io(subject(), error),
            })?;
        if offset >= size {
            let cause = format!("it has {size} bytes, none from {offset} on");
            return Err(Error::new(ErrorKind::BadInput, subject(), cause));
        }
        // A page begins and ends between characters.
        let is_inner = |byte: &&u8| (**byte & 0xc0) == 0x80;
        let skipped = bytes.iter().take_while(is_inner).count();
        let bytes = &bytes[skipped..];
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
        };
        let start = offset + skipped as u64;
        let end = start + text.len() as u64;
        let next = match end < size {
            true => format!("go on with offset {end}"),
            false => "this is the end".to_owned(),
        };
        Ok(format!(
            "[bytes {start} to {end} of {size}; {next}]\n{text}"
        ))
    }
}

/// A page's bytes and the size of the whole.
fn read(path: &Path, offset: u64) -> io::Result<(Vec<u8>, u64)> {
    let mut file = fs::File::open(path)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(PAGE).read_to_end(&mut bytes)?;
    Ok((bytes, size))
}

/// Whether it is a name that [`Offload`] makes: nothing else is looked up.
fn is_handle(name: &str) -> bool {
    let hex = name.strip_prefix(OWN).or(name.strip_prefix(OUTSIDE));
    hex.is_some_and(|hex| hex.len() == 24 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use corbie_core::testing::conformance;

    use super::*;

    fn handle(shown: &str) -> String {
        let (_, rest) = shown.rsplit_once("handle ").unwrap();
        rest.split_once(' ').unwrap().0.to_owned()
    }

    #[test]
    fn pages_put_together_are_the_result() {
        let folder = tempfile::tempdir().unwrap();
        let offload = Offload::new(folder.path());
        let text = "渡鸦 cache. ".repeat(3000);
        let shown = offload.keep("run-1", text.clone(), 100, true);
        let (beginning, _) = shown.rsplit_once("\n[").unwrap();
        let mut whole = beginning.to_owned();
        while whole.len() < text.len() {
            let page = offload.page(&handle(&shown), whole.len() as u64).unwrap();
            whole.push_str(page.split_once('\n').unwrap().1);
        }
        assert_eq!(whole, text);
        let middle = offload.page(&handle(&shown), 1).unwrap();
        assert!(middle.starts_with("[bytes 3 to "), "{middle}");
        assert!(offload.page(&handle(&shown), 1 << 40).is_err());
    }

    #[test]
    fn only_handles_are_looked_up() {
        let lab = tempfile::tempdir().unwrap();
        fs::write(lab.path().join("canary"), "canary").unwrap();
        let offload = Offload::new(lab.path().join("results"));
        fs::create_dir(&offload.folder).unwrap();
        for name in [
            "../canary",
            "/etc/passwd",
            "",
            "own-",
            "own-../../canary",
            "own-渡鸦",
        ] {
            assert!(offload.page(name, 0).is_err(), "{name}");
        }
    }

    #[tokio::test]
    async fn its_reader_keeps_the_laws_of_tools() {
        let folder = tempfile::tempdir().unwrap();
        let offload = Arc::new(Offload::new(folder.path()));
        let shown = offload.keep("run-1", "渡鸦 cache. ".repeat(99), 100, true);
        let arguments = json!({"handle": handle(&shown), "offset": 100});
        conformance::tool(&offload.reader(), &arguments).await;
    }

    #[test]
    fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let offload = Offload {
            folder: folder.path().to_owned(),
            most: 2500,
        };
        for key in 0..10 {
            offload.keep(&key.to_string(), "x".repeat(1000), 10, false);
            assert!(fs::read_dir(folder.path()).unwrap().count() <= 2);
        }
    }
}
