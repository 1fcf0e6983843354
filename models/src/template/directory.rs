//! The chat template of a directory as Hugging Face keeps models.

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde_json::Value;

use super::ChatTemplate;
use crate::decoder::read_small;
use crate::dialect::Dialect;
use crate::tokenizer::{SpecialTokens, Tokenizer, json};

impl ChatTemplate {
    /// The template in a directory, or the plain format where it has none: of
    /// `chat_template.jinja`, `chat_template.json` and `tokenizer_config.json` the first that has
    /// one. Of several templates it is the one called `default`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when what the files say of the template or the special
    /// tokens is damaged.
    pub fn from_directory(directory: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let name = format!("model `{}`", directory.display());
        let Some(source) = source(directory)? else {
            return Ok(Self::plain(name));
        };
        let tokens = SpecialTokens::read(directory)?;
        let (bos, eos) = (
            tokens.bos.unwrap_or_default(),
            tokens.eos.unwrap_or_default(),
        );
        let mut template = Self::new(name, &source, bos, eos)?;
        template.dialect = Dialect::of(Some(&source), &|token| tokenizer.has_token(token));
        Ok(template)
    }
}

/// The source of the template in a directory.
fn source(directory: &Path) -> Result<Option<String>> {
    let path = directory.join("chat_template.jinja");
    let subject = format!("model file `{}`", path.display());
    match read_small(&path, &subject) {
        Err(error) if *error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(bytes) => {
            let text = String::from_utf8(bytes);
            return text.map(Some).map_err(|error| {
                Error::new(ErrorKind::Malformed, subject, "it is not UTF-8").caused_by(error)
            });
        }
    }
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let config = json(directory, name)?;
        let template = config.as_ref().and_then(|it| it.get("chat_template"));
        let source = match template {
            Some(Value::Array(templates)) => {
                let named = |name: &str| templates.iter().find(|it| it["name"] == name);
                let chosen = named("default").or(templates.first());
                chosen.and_then(|it| it["template"].as_str())
            }
            Some(template) => template.as_str(),
            None => None,
        };
        if let Some(source) = source {
            return Ok(Some(source.to_owned()));
        }
    }
    Ok(None)
}
