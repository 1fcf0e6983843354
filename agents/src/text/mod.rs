//! What this crate must know of language: which one a text is in, where its sentences end, and
//! which of its terms carry content.

mod sentences;
mod terms;

pub(crate) use sentences::{sentence_end, sentences, without_list_mark};
pub(crate) use terms::{content_terms, numbers, term_set, units};

/// The languages Corbie speaks by itself: of its instructions and its own sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    English,
    Chinese,
}

impl Language {
    /// Chinese when Han characters outnumber the words of other scripts, else English.
    pub(crate) fn of(text: &str) -> Self {
        let han = text.chars().filter(|c| is_han(*c)).count();
        let words = text
            .split(|c: char| !c.is_alphanumeric() || is_han(c))
            .filter(|word| word.chars().any(char::is_alphabetic))
            .count();
        match han > words {
            true => Self::Chinese,
            false => Self::English,
        }
    }
}

pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

/// Whether a character is not seen, or changes how others are: control and zero-width characters,
/// marks of direction, tags.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_follows_the_words() {
        assert_eq!(Language::of("WiFi密码是什么？"), Language::Chinese);
        assert_eq!(
            Language::of("What does 海鹦 mean in English?"),
            Language::English
        );
        assert_eq!(Language::of("???"), Language::English);
    }
}
