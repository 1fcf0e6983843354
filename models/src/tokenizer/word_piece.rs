//! WordPiece (Schuster and Nakajima, 2012), as BERT has it.
//!
//! Text is cleaned, lower-cased and cut into words; each word is taken apart from the left into
//! the longest pieces there are. A word that cannot be is unknown as a whole.

use std::collections::HashMap;

use corbie_core::Result;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::{
    NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::gguf::Metadata;

use super::vocabulary::{self, TokenKind, Vocabulary};

/// Begins a token that begins a word; model files write it for the space.
const WORD: char = '▁';
/// A longer word is unknown, as in BERT's own code.
const MAX_WORD_CHARACTERS: usize = 100;

pub(super) struct WordPiece {
    normalizer: BertNormalizer,
    tokens: HashMap<Box<str>, u32>,
    longest: usize,
    unknown: Option<u32>,
}

impl WordPiece {
    pub fn from_gguf(metadata: Metadata<'_>) -> Result<(Vocabulary, Self)> {
        let names = vocabulary::names(metadata)?;
        let tokens: HashMap<Box<str>, u32> = vocabulary::ids(&names)
            .into_iter()
            .map(|(name, id)| (name.into(), id))
            .collect();
        let longest = tokens.keys().map(|name| name.len()).max().unwrap_or(0);
        // Files do not say whether a model knows capitals, but their vocabularies do.
        let has_capitals = |name: &str| name.chars().any(|c| !c.to_lowercase().eq([c]));
        let lower_case = metadata
            .bool("tokenizer.ggml.normalizer.lowercase")?
            .unwrap_or_else(|| {
                !names
                    .iter()
                    .any(|(name, kind)| *kind == TokenKind::Normal && has_capitals(name))
            });
        let mut vocabulary = Vocabulary::new(names.iter().map(|(name, kind)| {
            let content = match kind {
                TokenKind::Normal => name.replace(WORD, " ").into_bytes(),
                _ => name.as_bytes().to_vec(),
            };
            (content, *kind)
        }))
        .with_parts(metadata)?;
        vocabulary.space_prefix = true;
        let token = |keys: [&str; 2], name: &str| -> Result<Option<u32>> {
            for key in keys {
                if let Some(id) = metadata.u32(&format!("tokenizer.ggml.{key}_token_id"))? {
                    return Ok(Some(id).filter(|id| (*id as usize) < names.len()));
                }
            }
            Ok(names
                .iter()
                .position(|(known, _)| *known == name)
                .map(|id| id as u32))
        };
        // The file format's own spelling is "seperator".
        vocabulary.prefix = token(["cls", "bos"], "[CLS]")?;
        vocabulary.suffix = token(["seperator", "eos"], "[SEP]")?;
        vocabulary.bos = vocabulary.prefix;
        vocabulary.eos = vocabulary.suffix;
        let unknown = token(["unknown", "unk"], "[UNK]")?;
        vocabulary.unknown = unknown;
        let engine = Self {
            normalizer: BertNormalizer::new(true, true, None, lower_case),
            tokens,
            longest,
            unknown,
        };
        Ok((vocabulary, engine))
    }

    /// Adds the ids of `text`; `None` when a word is unknown and no token says so.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Option<()> {
        let mut normalized = NormalizedString::from(text);
        self.normalizer.normalize(&mut normalized).ok()?;
        let mut words = PreTokenizedString::from(normalized);
        BertPreTokenizer.pre_tokenize(&mut words).ok()?;
        let mut name = String::new();
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::Byte) {
            let before = ids.len();
            if self.encode_word(word, &mut name, ids).is_none() {
                ids.truncate(before);
                ids.push(self.unknown?);
            }
        }
        Some(())
    }

    fn encode_word(&self, word: &str, name: &mut String, ids: &mut Vec<u32>) -> Option<()> {
        if word.chars().count() > MAX_WORD_CHARACTERS {
            return None;
        }
        name.clear();
        name.push(WORD);
        name.push_str(word);
        let mut rest = name.as_str();
        while !rest.is_empty() {
            let length = (1..=rest.len().min(self.longest))
                .rev()
                .filter(|length| rest.is_char_boundary(*length))
                .find(|length| {
                    let piece = &rest[..*length];
                    self.tokens.contains_key(piece)
                })?;
            ids.push(self.tokens[&rest[..length]]);
            rest = &rest[length..];
        }
        Some(())
    }
}
