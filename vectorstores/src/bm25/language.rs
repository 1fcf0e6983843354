//! The languages whose words have stems.

use rust_stemmers::{Algorithm, Stemmer};
use serde::{Deserialize, Serialize};

/// How words are reduced to their stems (the Snowball algorithms), so that "flies" finds "fly".
/// Chinese, Japanese and Korean text is cut the same way under each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // The variants are the names of languages.
pub enum Language {
    /// Words stay as they are.
    None,
    #[default]
    English,
    Arabic,
    Danish,
    Dutch,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

/// One row for each language: its name in options and files, and its stemmer.
const LANGUAGES: [(Language, &str, Option<Algorithm>); 19] = [
    (Language::None, "none", None),
    (Language::English, "english", Some(Algorithm::English)),
    (Language::Arabic, "arabic", Some(Algorithm::Arabic)),
    (Language::Danish, "danish", Some(Algorithm::Danish)),
    (Language::Dutch, "dutch", Some(Algorithm::Dutch)),
    (Language::Finnish, "finnish", Some(Algorithm::Finnish)),
    (Language::French, "french", Some(Algorithm::French)),
    (Language::German, "german", Some(Algorithm::German)),
    (Language::Greek, "greek", Some(Algorithm::Greek)),
    (Language::Hungarian, "hungarian", Some(Algorithm::Hungarian)),
    (Language::Italian, "italian", Some(Algorithm::Italian)),
    (Language::Norwegian, "norwegian", Some(Algorithm::Norwegian)),
    (
        Language::Portuguese,
        "portuguese",
        Some(Algorithm::Portuguese),
    ),
    (Language::Romanian, "romanian", Some(Algorithm::Romanian)),
    (Language::Russian, "russian", Some(Algorithm::Russian)),
    (Language::Spanish, "spanish", Some(Algorithm::Spanish)),
    (Language::Swedish, "swedish", Some(Algorithm::Swedish)),
    (Language::Tamil, "tamil", Some(Algorithm::Tamil)),
    (Language::Turkish, "turkish", Some(Algorithm::Turkish)),
];

impl Language {
    /// Every language.
    pub fn all() -> impl Iterator<Item = Self> {
        LANGUAGES.iter().map(|(language, _, _)| *language)
    }

    /// Its name in options and files.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    pub(super) fn stemmer(self) -> Option<Stemmer> {
        self.row().2.map(Stemmer::create)
    }

    fn row(self) -> &'static (Self, &'static str, Option<Algorithm>) {
        let found = LANGUAGES.iter().find(|(language, _, _)| *language == self);
        found.unwrap_or(&LANGUAGES[0])
    }
}

impl std::str::FromStr for Language {
    type Err = corbie_core::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = LANGUAGES.iter().find(|(_, own, _)| *own == name);
        found.map(|(language, _, _)| *language).ok_or_else(|| {
            let names: Vec<&str> = LANGUAGES.iter().map(|(_, name, _)| *name).collect();
            corbie_core::Error::new(
                corbie_core::ErrorKind::BadInput,
                format!("language `{name}`"),
                "there is no stemmer of this name",
            )
            .hint(format!("one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_languages() {
        for language in Language::all() {
            assert_eq!(language.name().parse::<Language>().ok(), Some(language));
        }
        assert!("klingon".parse::<Language>().is_err());
    }
}
