//! The tokenizer of a directory as Hugging Face keeps models: `tokenizer.json`, and what the files
//! beside it say of the tokens with a part to play.

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::hugging_face::HuggingFace;
use super::vocabulary::Vocabulary;
use super::{Engine, Tokenizer};
use crate::decoder::read_small;

/// The tokens that begin and end what a model reads and writes.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct SpecialTokens {
    /// Whether a file says which tokens they are.
    said: bool,
    /// Begins a text.
    pub bos: Option<String>,
    /// Ends it.
    pub eos: Option<String>,
    /// The ids after which an answer is over.
    ends: Vec<u32>,
}

impl SpecialTokens {
    /// Reads `tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json` and
    /// `config.json`, as far as they are there.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) for a file that is no JSON.
    pub fn read(directory: &Path) -> Result<Self> {
        let mut tokens = Self::default();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let Some(config) = json(directory, name)? else {
                continue;
            };
            tokens.said = true;
            let token = |key: &str| token_text(config.get(key)?);
            tokens.bos = tokens.bos.or_else(|| token("bos_token"));
            tokens.eos = tokens.eos.or_else(|| token("eos_token"));
        }
        for name in ["generation_config.json", "config.json"] {
            let config = json(directory, name)?.unwrap_or_default();
            let own = config.get("eos_token_id");
            let within = config.pointer("/text_config/eos_token_id");
            for ids in own.into_iter().chain(within) {
                let ids = match ids {
                    Value::Array(ids) => ids.as_slice(),
                    id => std::slice::from_ref(id),
                };
                let ids = ids.iter().filter_map(Value::as_u64);
                tokens
                    .ends
                    .extend(ids.filter_map(|id| u32::try_from(id).ok()));
            }
        }
        Ok(tokens)
    }

    /// Gives tokens of `vocabulary` their parts.
    fn assign(&self, vocabulary: &mut Vocabulary) {
        let id = |name: &Option<String>| vocabulary.id(name.as_deref()?);
        let (bos, eos) = (id(&self.bos), id(&self.eos));
        if self.said {
            // What a tokenizer writes around a text may be an end, of embedders for one.
            vocabulary.prefix = vocabulary.prefix.filter(|prefix| Some(*prefix) == bos);
            vocabulary.bos = bos;
        }
        vocabulary.eos = eos.or(vocabulary.eos);
        let known = vocabulary.len() as u32;
        let ids = self.ends.iter().copied().chain(eos);
        vocabulary.ends.extend(ids.filter(|id| *id < known));
        vocabulary.ends.sort_unstable();
        vocabulary.ends.dedup();
    }
}

impl Tokenizer {
    /// The tokenizer of the model in `directory`: that of `tokenizer.json`, whose tokens have the
    /// parts that the files beside it say.
    ///
    /// # Errors
    ///
    /// Those of [`Tokenizer::from_file`]; [`Malformed`](ErrorKind::Malformed) for a file beside it
    /// that is no JSON.
    pub fn from_directory(directory: &Path) -> Result<Self> {
        let path = directory.join("tokenizer.json");
        let name = format!("tokenizer `{}`", path.display());
        let (mut vocabulary, engine) = HuggingFace::read(&path, &name)?;
        SpecialTokens::read(directory)?.assign(&mut vocabulary);
        let engine = Engine::HuggingFace(Box::new(engine));
        Self::new(&name, vocabulary, engine, usize::MAX)
    }
}

/// A token's text, which files write bare or with what else is to be known of it.
fn token_text(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    Some(text.to_owned())
}

/// The JSON in a file of `directory`, if there is such a file.
///
/// # Errors
///
/// [`Malformed`](ErrorKind::Malformed) when it is no JSON; [`Io`](ErrorKind::Io) when it cannot be
/// read.
pub(crate) fn json(directory: &Path, name: &str) -> Result<Option<Value>> {
    let path = directory.join(name);
    let subject = format!("model file `{}`", path.display());
    match read_small(&path, &subject) {
        Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Error::new(ErrorKind::Malformed, subject, &error).caused_by(error)),
    }
}
