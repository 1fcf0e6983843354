//! Sentencepiece's byte-pair encoding (Kudo and Richardson, 2018): Llama 2, Mistral, Gemma.
//!
//! Spaces become `▁`; neighbours are merged into the token with the best score; what has no token
//! becomes bytes. A `▁` in the text itself is therefore a space to such a model.

use std::collections::HashMap;

use corbie_core::Result;

use crate::gguf::Metadata;

use super::merge::{Merged, Piece, merge};
use super::vocabulary::{self, TokenKind, Vocabulary, byte_of};

const SPACE: &str = "▁";
/// No token: a character that only bytes can stand for.
const NONE: u32 = u32::MAX;

pub(super) struct SentencePiece {
    /// Tokens by text: id and priority.
    tokens: HashMap<Box<str>, (u32, u32)>,
    longest: u32,
    bytes: [Option<u32>; 256],
    unknown: Option<u32>,
    space_prefix: bool,
}

impl SentencePiece {
    pub fn from_gguf(metadata: Metadata<'_>) -> Result<(Vocabulary, Self)> {
        let names = vocabulary::names(metadata)?;
        let scores = metadata.required("tokenizer.ggml.scores", Metadata::f32s)?;
        if scores.len() != names.len() {
            return Err(metadata.malformed(format!(
                "it has {} tokens but {} scores",
                names.len(),
                scores.len()
            )));
        }
        let ids = vocabulary::ids(&names);
        let tokens: HashMap<Box<str>, (u32, u32)> = ids
            .into_iter()
            .map(|(name, id)| (name.into(), (id, priority(scores[id as usize]))))
            .collect();
        let longest = tokens.keys().map(|name| name.len()).max().unwrap_or(0) as u32;

        let mut bytes = [None; 256];
        for (id, (name, kind)) in names.iter().enumerate() {
            if *kind == TokenKind::Byte
                && let Some(byte) = byte_of(name)
            {
                bytes[usize::from(byte)] = Some(id as u32);
            }
        }
        let mut vocabulary = Vocabulary::new(names.iter().map(|(name, kind)| {
            let content = match (kind, byte_of(name)) {
                (TokenKind::Byte, Some(byte)) => vec![byte],
                (TokenKind::Normal | TokenKind::Unused, _) => name.replace(SPACE, " ").into_bytes(),
                _ => name.as_bytes().to_vec(),
            };
            (content, *kind)
        }))
        .with_parts(metadata)?
        .with_edges(metadata, true, false)?;
        let space_prefix = metadata
            .bool("tokenizer.ggml.add_space_prefix")?
            .unwrap_or(true);
        vocabulary.space_prefix = space_prefix;
        let unknown = vocabulary.unknown;
        let engine = Self {
            tokens,
            longest,
            bytes,
            unknown,
            space_prefix,
        };
        Ok((vocabulary, engine))
    }

    /// Adds the ids of `text`; `None` when a character has neither token nor bytes.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Option<()> {
        let prefix = if self.space_prefix { SPACE } else { "" };
        let text = format!("{prefix}{}", text.replace(' ', SPACE));
        let mut pieces: Vec<Piece> = text
            .char_indices()
            .map(|(start, character)| {
                let end = start + character.len_utf8();
                Piece {
                    start: start as u32,
                    end: end as u32,
                    id: self.tokens.get(&text[start..end]).map_or(NONE, |t| t.0),
                }
            })
            .collect();
        merge(&mut pieces, |left, right| {
            if right.end - left.start > self.longest {
                return None;
            }
            let both = &text[left.start as usize..right.end as usize];
            self.tokens.get(both).map(|(id, priority)| Merged {
                priority: *priority,
                id: *id,
            })
        });
        for piece in pieces {
            if piece.id != NONE {
                ids.push(piece.id);
                continue;
            }
            for byte in &text.as_bytes()[piece.start as usize..piece.end as usize] {
                match self.bytes[usize::from(*byte)] {
                    Some(id) => ids.push(id),
                    None => {
                        ids.push(self.unknown?);
                        break;
                    }
                }
            }
        }
        Some(())
    }
}

/// The order of merging: the best score has the lowest priority. NaN comes last.
fn priority(score: f32) -> u32 {
    if score.is_nan() {
        return u32::MAX;
    }
    // Adding zero makes -0 and 0 one.
    let bits = (score + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    !ascending
}
