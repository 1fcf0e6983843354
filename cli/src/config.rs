//! Settings: flag, then environment, then `corbie.toml` here, then the user's, then the default.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use corbie_agents::EvidenceOptions;
use corbie_core::{Error, ErrorKind};
use etcetera::BaseStrategy;

use crate::args::Global;

/// One setting: its name in `corbie.toml`, its variable, its default and its meaning.
struct Key {
    name: &'static str,
    variable: &'static str,
    default: &'static str,
    help: &'static str,
}

/// Every setting there is.
const KEYS: &[Key] = &[
    Key {
        name: "model",
        variable: "CORBIE_MODEL",
        default: "smollm2",
        help: "chat model",
    },
    Key {
        name: "embedder",
        variable: "CORBIE_EMBEDDER",
        default: "minilm",
        help: "embedding model of new collections",
    },
    Key {
        name: "sparse",
        variable: "CORBIE_SPARSE",
        default: "bm25",
        help: "what weighs the words of new collections: bm25, or a SPLADE model",
    },
    Key {
        name: "reranker",
        variable: "CORBIE_RERANKER",
        default: "",
        help: "model that scores passages: a folder or hf:owner/repository",
    },
    Key {
        name: "memory",
        variable: "CORBIE_MEMORY",
        default: "",
        help: "the most memory of all models together, such as 6GB; empty: three quarters of the machine's",
    },
    Key {
        name: "precision",
        variable: "CORBIE_PRECISION",
        default: "quick",
        help: "arithmetic of local chat models: quick (activations of 8 bits), fine (16 bits) or f32",
    },
    Key {
        name: "mode",
        variable: "CORBIE_MODE",
        default: "hybrid",
        help: "how passages are found: dense, keyword or hybrid",
    },
    Key {
        name: "answer_cache",
        variable: "CORBIE_ANSWER_CACHE",
        default: "off",
        help: "keep answers while the documents they cite stay: off, or same (for the same question)",
    },
    Key {
        name: "chunk_tokens",
        variable: "CORBIE_CHUNK_TOKENS",
        default: "200",
        help: "the most tokens of a chunk in new collections",
    },
    Key {
        name: "chunk_context",
        variable: "CORBIE_CHUNK_CONTEXT",
        default: "off",
        help: "what is searched beside a chunk's text and headings: off, or model (the chat model says where each chunk stands)",
    },
    Key {
        name: "evidence",
        variable: "CORBIE_EVIDENCE",
        default: "",
        help: "least evidence at which a question is answered, from 0 (always) to 1",
    },
    Key {
        name: "output",
        variable: "CORBIE_OUTPUT",
        default: "text",
        help: "form of results: text, json or md",
    },
    Key {
        name: "offline",
        variable: "CORBIE_OFFLINE",
        default: "false",
        help: "never touch the network",
    },
    Key {
        name: "store",
        variable: "CORBIE_STORE",
        default: if cfg!(feature = "edge") {
            "edge"
        } else {
            "memory"
        },
        help: "where the points of new collections are: edge, edge:FOLDER, memory, qdrant:URL or postgres:URL",
    },
    Key {
        name: "data_dir",
        variable: "CORBIE_DATA_DIR",
        default: "",
        help: "where collections are kept",
    },
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Variable(&'static str),
    File(PathBuf),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One setting with its value and origin.
#[derive(Debug, Clone)]
pub struct Setting {
    pub name: &'static str,
    pub value: String,
    pub origin: Origin,
    pub help: &'static str,
}

/// All settings, resolved.
#[derive(Debug, Clone)]
pub struct Settings(Vec<Setting>);

impl Settings {
    /// Resolves every setting from what was typed, the environment and the files.
    pub fn resolve(flags: &Global) -> Result<Self> {
        let strategy = etcetera::choose_base_strategy()
            .map_err(|e| Error::new(ErrorKind::NotFound, "home folder", e))?;
        let files = [
            PathBuf::from("corbie.toml"),
            strategy.config_dir().join("corbie").join("config.toml"),
        ];
        let files = files
            .iter()
            .filter_map(|path| read_file(path).transpose())
            .collect::<Result<Vec<_>>>()?;
        let data_dir = strategy.data_dir().join("corbie");
        let resolve = |key: &Key| -> Result<Setting> {
            let (value, origin) = flag_value(flags, key.name)
                .map(|value| (value, Origin::Flag))
                .or_else(|| {
                    let value = std::env::var(key.variable).ok().filter(|v| !v.is_empty())?;
                    Some((value, Origin::Variable(key.variable)))
                })
                .or_else(|| {
                    files.iter().find_map(|(path, values)| {
                        let (_, value) = values.iter().find(|(name, _)| name == key.name)?;
                        Some((value.clone(), Origin::File(path.clone())))
                    })
                })
                .unwrap_or_else(|| {
                    let value = match key.name {
                        "data_dir" => data_dir.display().to_string(),
                        "evidence" => EvidenceOptions::default().threshold.to_string(),
                        _ => key.default.to_owned(),
                    };
                    (value, Origin::Default)
                });
            Ok(Setting {
                name: key.name,
                value,
                origin,
                help: key.help,
            })
        };
        Ok(Self(KEYS.iter().map(resolve).collect::<Result<_>>()?))
    }

    /// All settings in the order of their table.
    pub fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }

    /// The value of the setting `name`.
    pub fn get(&self, name: &str) -> &str {
        let setting = self.0.iter().find(|setting| setting.name == name);
        &setting.expect("the name is in the table of settings").value
    }

    /// Where the value of the setting `name` came from.
    pub fn origin(&self, name: &str) -> &Origin {
        let setting = self.0.iter().find(|setting| setting.name == name);
        &setting
            .expect("the name is in the table of settings")
            .origin
    }

    /// The value of the setting `name`, read by `parse`.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        let value = self.get(name);
        parse(value).with_context(|| {
            let setting = self.0.iter().find(|setting| setting.name == name);
            let help = setting.map_or("", |setting| setting.help);
            format!(
                "setting `{name}`: `{value}` (from {}) is not a value it can have ({help})",
                self.origin(name)
            )
        })
    }

    /// The value of a setting that is `true` or `false`.
    pub fn switch(&self, name: &str) -> Result<bool> {
        self.parsed(name, |value| match value {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }
}

fn flag_value(flags: &Global, name: &str) -> Option<String> {
    use clap::ValueEnum;
    match name {
        "model" => flags.model.clone(),
        "embedder" => flags.embedder.clone(),
        "sparse" => flags.sparse.clone(),
        "output" => {
            let value = flags.output?.to_possible_value()?;
            Some(value.get_name().to_owned())
        }
        "offline" => flags.offline.then(|| "true".to_owned()),
        "store" => flags.store.clone(),
        "data_dir" => flags.data_dir.as_ref().map(|p| p.display().to_string()),
        _ => None,
    }
}

type FileValues = (PathBuf, Vec<(String, String)>);

/// The values of one file; `None` where there is no file.
fn read_file(path: &Path) -> Result<Option<FileValues>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path.display().to_string(), error).into()),
    };
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| anyhow::anyhow!("{}: {e}", path.display()))?;
    let mut values = Vec::new();
    for (name, value) in table {
        if !KEYS.iter().any(|key| key.name == name) {
            let near = nearest(&name, KEYS.iter().map(|key| key.name));
            let hint = near
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            bail!("{}: there is no setting `{name}`{hint}", path.display());
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => bail!(
                "{}: `{name}` must be a text, a number or true/false, not {}",
                path.display(),
                other.type_str()
            ),
        };
        values.push((name, value));
    }
    Ok(Some((path.to_owned(), values)))
}

/// The candidate nearest to `word`, if it is near at all.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested() {
        let names = || KEYS.iter().map(|key| key.name);
        assert_eq!(nearest("embeder", names()), Some("embedder"));
        assert_eq!(nearest("zzzzzzzz", names()), None);
    }

    #[test]
    fn an_unknown_key_is_an_error_with_a_suggestion() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("corbie.toml");
        std::fs::write(&path, "embeder = \"minilm\"\n").expect("a written file");
        let error = read_file(&path).expect_err("an unknown key").to_string();
        assert!(error.contains("did you mean `embedder`"), "{error}");
    }
}
