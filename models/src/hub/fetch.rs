//! Fetching one file: resumed, measured, hashed, and put in its place whole or not at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use corbie_core::{Error, ErrorKind, Result};
use reqwest::{StatusCode, Url};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use super::cache;
use super::check::{Digest, Hasher, check_content};
use super::client::{HubClient, refusal, text, unavailable};
use super::event::{HubEvent, Report};
use super::options::HubOptions;

/// A server may ask for a longer pause than a user wants to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// One file to fetch.
pub struct Download<'a> {
    /// What errors are about.
    pub subject: &'a str,
    /// The name shown and checked.
    pub file: &'a str,
    /// Where it is.
    pub url: Url,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub digest: &'a Digest,
    /// Where it belongs.
    pub target: &'a Path,
}

impl Download<'_> {
    /// Fetches the file unless it is there.
    ///
    /// What was fetched before a failure stays as `<target>.incomplete` and is taken up again,
    /// unless it proved wrong. No range is asked of another version: the target's name is the
    /// digest of the content, and the whole is hashed, so a changed file can only fail.
    pub async fn run(
        &self,
        client: &HubClient,
        options: &HubOptions,
        report: Report<'_>,
    ) -> Result<()> {
        if self.target.is_file() {
            return Ok(());
        }
        cache::create_parent(self.target)?;
        let mut pause = options.retry_delay;
        let mut left = options.retries;
        loop {
            let error = match self.attempt(client, report).await {
                Ok(()) => break,
                Err(error) if error.is_retryable() && left > 0 => error,
                Err(error) => return Err(error),
            };
            report(HubEvent::Retrying {
                file: self.file,
                error: &error,
            });
            let asked = match error.kind() {
                ErrorKind::RateLimited { retry_after } => retry_after.unwrap_or(pause),
                _ => pause,
            };
            tokio::time::sleep(asked.min(LONGEST_PAUSE)).await;
            pause = pause.saturating_mul(2);
            left -= 1;
        }
        report(HubEvent::Fetched { file: self.file });
        Ok(())
    }

    fn incomplete(&self) -> PathBuf {
        let mut name = self.target.file_name().unwrap_or_default().to_owned();
        name.push(".incomplete");
        self.target.with_file_name(name)
    }

    async fn attempt(&self, client: &HubClient, report: Report<'_>) -> Result<()> {
        let path = self.incomplete();
        let io = |error| Error::io(format!("model cache, {}", path.display()), error);
        let mut file = tokio::fs::File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .await
            .map_err(io)?;
        let (mut hasher, mut done) = self.hash_what_is_here(&mut file).await.map_err(io)?;
        let resumed = done > 0;
        if done > self.bytes {
            file.set_len(0).await.map_err(io)?;
            return Err(Error::new(
                ErrorKind::Unavailable,
                self.subject,
                "what was here of it was too long",
            ));
        }
        if done < self.bytes {
            let (mut answer, linked) = client.get(self.subject, self.url.clone(), done).await?;
            match answer.status() {
                StatusCode::PARTIAL_CONTENT if done > 0 => {
                    let range = text(&answer, "content-range").unwrap_or_default();
                    if range != format!("bytes {done}-{}/{}", self.bytes - 1, self.bytes) {
                        file.set_len(0).await.map_err(io)?;
                        return Err(
                            self.wrong(format!("it sends another range than asked: {range}"))
                        );
                    }
                }
                StatusCode::OK => {
                    // The server sends the whole: it cannot resume, or need not.
                    file.set_len(0).await.map_err(io)?;
                    file.rewind().await.map_err(io)?;
                    hasher = self.digest.hasher(self.bytes);
                    done = 0;
                }
                StatusCode::RANGE_NOT_SATISFIABLE => {
                    file.set_len(0).await.map_err(io)?;
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        self.subject,
                        "the server cannot continue from here",
                    ));
                }
                _ => return Err(refusal(self.subject, &answer)),
            }
            self.check_announced(&answer, &linked.etag, linked.bytes, done)?;
            report(self.progress(done));
            loop {
                let chunk = match answer.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break,
                    Err(error) => {
                        file.flush().await.map_err(io)?;
                        return Err(unavailable(self.subject, error));
                    }
                };
                done += chunk.len() as u64;
                if done > self.bytes {
                    drop(file);
                    return Err(self.discard(&path, "it is longer than announced"));
                }
                hasher.update(&chunk);
                file.write_all(&chunk).await.map_err(io)?;
                report(self.progress(done));
            }
            file.flush().await.map_err(io)?;
        }
        drop(file);
        if done < self.bytes {
            return Err(Error::new(
                ErrorKind::Unavailable,
                self.subject,
                format!(
                    "the transfer of `{}` broke off at {done} of {} bytes",
                    self.file, self.bytes
                ),
            ));
        }
        let digest = hasher.finish();
        if digest != *self.digest {
            let error = self.discard(
                &path,
                &format!("its digest is {digest}, expected {}", self.digest),
            );
            // The older part may be the wrong one: one more try from the start tells.
            return Err(match resumed {
                true => Error::new(ErrorKind::Unavailable, self.subject, error.cause()),
                false => error,
            });
        }
        if let Err(error) = check_content(&path, self.file) {
            return Err(self.discard(&path, error.cause()));
        }
        cache::publish(&path, self.target)
    }

    /// Hashes what an earlier attempt left, and leaves the file's cursor at its end.
    async fn hash_what_is_here(
        &self,
        file: &mut tokio::fs::File,
    ) -> std::io::Result<(Hasher, u64)> {
        let mut hasher = self.digest.hasher(self.bytes);
        let mut buffer = vec![0; 1 << 18];
        let mut done = 0;
        loop {
            match file.read(&mut buffer).await? {
                0 => return Ok((hasher, done)),
                count => {
                    hasher.update(&buffer[..count]);
                    done += count as u64;
                }
            }
        }
    }

    /// Refuses before the transfer what cannot be the file.
    fn check_announced(
        &self,
        answer: &reqwest::Response,
        etag: &Option<String>,
        bytes: Option<u64>,
        done: u64,
    ) -> Result<()> {
        if text(answer, "content-type").is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(self
                .wrong("a web page came instead of the file".into())
                .hint("check whether a login page of this network is in the way"));
        }
        if let Some(etag) = etag.as_deref().and_then(Digest::parse)
            && etag != *self.digest
        {
            return Err(self.wrong(format!(
                "the hub announces digest {etag}, expected {}",
                self.digest
            )));
        }
        let announced = bytes.or_else(|| Some(done + answer.content_length()?));
        match announced {
            Some(announced) if announced != self.bytes => {
                Err(self.wrong(format!("it has {announced} bytes, expected {}", self.bytes)))
            }
            _ => Ok(()),
        }
    }

    fn progress(&self, done: u64) -> HubEvent<'_> {
        HubEvent::Progress {
            file: self.file,
            done,
            total: Some(self.bytes),
        }
    }

    fn wrong(&self, cause: String) -> Error {
        Error::new(
            ErrorKind::Malformed,
            self.subject,
            format!("`{}`: {cause}", self.file),
        )
    }

    /// Removes what proved wrong, so that nothing takes it up again.
    fn discard(&self, path: &Path, cause: &str) -> Error {
        match std::fs::remove_file(path) {
            Ok(()) => self.wrong(cause.to_owned()),
            Err(error) => Error::io(format!("model cache, {}", path.display()), error),
        }
    }
}
