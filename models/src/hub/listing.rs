//! What a repository of the hub holds.

use corbie_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::check::{self, Digest};
use super::client::{HubClient, refusal, text, unavailable};
use crate::HubName;

/// The most bytes a listing may have.
const MAX_BYTES: usize = 16 << 20;

/// The files of one commit.
#[derive(Debug)]
pub struct Listing {
    /// The commit.
    pub commit: String,
    /// Its files.
    pub files: Vec<RemoteFile>,
}

/// One file of a listing.
#[derive(Debug, Clone)]
pub struct RemoteFile {
    /// Its path in the repository.
    pub name: String,
    /// Its size, where the hub says.
    pub bytes: Option<u64>,
    /// The digest of its content, where the hub says.
    pub digest: Option<Digest>,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    oid: Option<String>,
}

/// Asks the hub what `name` holds: `GET /api/models/{repo}/revision/{revision}?blobs=true`.
///
/// # Errors
///
/// By kind, when the hub does not answer, refuses, or answers something else.
pub async fn list(client: &HubClient, name: &HubName) -> Result<Listing> {
    let subject = format!("model `hf:{name}`");
    let revision = name.revision.as_deref().unwrap_or("main");
    let segments = ["api", "models"].into_iter().chain(name.repo.split('/'));
    let mut url = client.url(segments.chain(["revision", revision]))?;
    url.set_query(Some("blobs=true"));
    let (mut answer, _) = client.get(&subject, url, 0).await?;
    if !answer.status().is_success() {
        return Err(refusal(&subject, &answer));
    }
    let malformed = |cause: String| Error::new(ErrorKind::Malformed, &subject, cause);
    let html = text(&answer, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if html {
        return Err(
            malformed("a web page came instead of the list of files".into())
                .hint("check HF_ENDPOINT, and whether a login page of this network is in the way"),
        );
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| unavailable(&subject, error))?
    {
        if body.len() + chunk.len() > MAX_BYTES {
            return Err(malformed("its list of files is larger than 16 MiB".into()));
        }
        body.extend_from_slice(&chunk);
    }
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|error| malformed(format!("its list of files cannot be read: {error}")))?;
    if !matches!(Digest::parse(&answer.sha), Some(Digest::GitSha1(_))) {
        return Err(malformed("the hub names a commit that is none".into()));
    }
    let files = answer.siblings.into_iter().map(|sibling| {
        let sha256 = sibling.lfs.and_then(|lfs| lfs.sha256.or(lfs.oid));
        let digest = sha256.or(sibling.blob_id);
        RemoteFile {
            digest: digest.and_then(|digest| Digest::parse(&digest)),
            name: sibling.rfilename,
            bytes: sibling.size,
        }
    });
    Ok(Listing {
        commit: answer.sha,
        files: files
            .filter(|file| check::is_fetched(&file.name) || check::is_pickled(&file.name))
            .collect(),
    })
}
