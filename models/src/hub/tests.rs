#![allow(clippy::unwrap_used)]

mod hub;
mod local;
mod real;
mod wheel;

use std::path::Path;
use std::time::Duration;

use corbie_core::Error;

use super::check::Digest;
use super::*;
use crate::loopback::{Reply, Request, Server};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A GGUF file as far as the hub looks at it.
fn gguf(size: usize) -> Vec<u8> {
    let mut content = b"GGUF".to_vec();
    content.extend((4..size).map(|index| (index * 31 % 251) as u8));
    content
}

fn sha256(content: &[u8]) -> String {
    digest(&Digest::Sha256(String::new()), content)
}

fn git_sha1(content: &[u8]) -> String {
    digest(&Digest::GitSha1(String::new()), content)
}

fn digest(kind: &Digest, content: &[u8]) -> String {
    let mut hasher = kind.hasher(content.len() as u64);
    hasher.update(content);
    hasher.finish().as_str().to_owned()
}

/// What the hub's listing says of these files, large ones by SHA-256 and small ones by Git's
/// digest.
fn listing(files: &[(&str, &[u8])]) -> serde_json::Value {
    let siblings: Vec<serde_json::Value> = files
        .iter()
        .map(|(name, content)| match content.len() > 1000 {
            true => serde_json::json!({"rfilename": name, "size": content.len(),
                "lfs": {"sha256": sha256(content), "size": content.len()}}),
            false => serde_json::json!({"rfilename": name, "size": content.len(),
                "blobId": git_sha1(content)}),
        })
        .collect();
    serde_json::json!({"sha": COMMIT, "siblings": siblings})
}

fn is_listing(request: &Request) -> bool {
    request.path.starts_with("/api/models/owner/repo/revision/")
}

/// A hub that has these files and behaves.
fn well_behaved(files: &'static [(&'static str, &'static [u8])]) -> impl Fn(&Request) -> Reply {
    move |request| {
        if is_listing(request) {
            return Reply::new(200, listing(files).to_string())
                .header("content-type", "application/json");
        }
        let file = request
            .path
            .strip_prefix(&format!("/owner/repo/resolve/{COMMIT}/"));
        let found = files.iter().find(|(name, _)| Some(*name) == file);
        match found {
            Some((_, content)) => ranged(request, content),
            None => Reply::new(404, "Entry not found"),
        }
    }
}

/// The content from where the request asks.
fn ranged(request: &Request, content: &[u8]) -> Reply {
    let from = request.header("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    match from {
        Some(from) => {
            let from: usize = from;
            let (last, size) = (content.len() - 1, content.len());
            Reply::new(206, &content[from..])
                .header("content-range", format!("bytes {from}-{last}/{size}"))
        }
        None => Reply::new(200, content),
    }
}

fn hub(server: &Server, cache: &Path) -> Hub {
    Hub::new(HubOptions {
        endpoint: server.url.clone(),
        retries: 2,
        retry_delay: Duration::ZERO,
        ..HubOptions::new(cache)
    })
}

/// The names of all regular files below a folder, locks left out.
fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == ".locks" {
            continue;
        }
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(name),
        }
    }
    found.sort();
    found
}

/// After a failure no model can be found, and nothing finished lies in the cache.
fn assert_nothing_usable(hub: &Hub, cache: &Path, name: &str) {
    assert!(hub.cached(name).is_err(), "{name} must not be usable");
    assert!(hub.list().is_empty());
    let finished: Vec<String> = files_below(cache)
        .into_iter()
        .filter(|file| !file.ends_with(".incomplete"))
        .collect();
    assert!(finished.is_empty(), "left behind: {finished:?}");
}

async fn fails(hub: &Hub, name: &str) -> Error {
    hub.resolve(name, &silent).await.unwrap_err()
}
