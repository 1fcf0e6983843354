//! Byte-level byte-pair encoding (Radford et al., 2019): GPT-2, Llama 3, Qwen, SmolLM, DeepSeek.
//!
//! A pre-tokenizer cuts the text into words; in each, neighbouring bytes are merged by the rank
//! of their pair.

use std::collections::HashMap;

use corbie_core::Result;

use crate::gguf::Metadata;

use super::merge::{Merged, Piece, merge};
use super::pre_tokenizer::PreTokenizer;
use super::vocabulary::{self, TokenKind, Vocabulary};

/// More merges than this no vocabulary has; the largest in use have half a million.
const MAX_MERGES: usize = 1 << 20;
/// More steps without a token than this no vocabulary has: nearly every merge makes a token.
const MAX_STEPS: usize = 1 << 17;

pub(super) struct ByteLevel {
    pre_tokenizer: PreTokenizer,
    /// A pair's rank and what it makes.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// The token of each byte.
    bytes: [u32; 256],
    /// Ids from here on are steps of merging that the vocabulary has no token for.
    size: u32,
    /// Words that are tokens, where those are not merged at all.
    words: HashMap<Box<[u8]>, u32>,
    unknown: Option<u32>,
}

impl ByteLevel {
    pub fn from_gguf(metadata: Metadata<'_>) -> Result<(Vocabulary, Self)> {
        let pre_tokenizer = PreTokenizer::named(
            metadata.str("tokenizer.ggml.pre")?.unwrap_or("default"),
            metadata.subject(),
        )?;
        let names = vocabulary::names(metadata)?;
        let lines = vocabulary::texts(metadata, "tokenizer.ggml.merges", MAX_MERGES)?;
        let alphabet = Alphabet::new();
        let size = names.len() as u32;

        let known = vocabulary::ids(&names);
        // Steps of merging without a token get ids above all tokens'.
        let mut steps: HashMap<String, u32> = HashMap::new();
        let mut id_of = |text: &str| match known.get(text) {
            Some(id) => *id,
            None => {
                let next = size + steps.len() as u32;
                *steps.entry(text.to_owned()).or_insert(next)
            }
        };
        let mut bytes = [0; 256];
        for (byte, id) in bytes.iter_mut().enumerate() {
            *id = id_of(alphabet.characters[byte].encode_utf8(&mut [0; 4]));
        }
        let mut merges = HashMap::with_capacity(lines.len());
        for (rank, line) in lines.iter().enumerate() {
            // The first character may itself be a space in files of odd origin.
            let cut = line.char_indices().skip(1).find(|(_, c)| *c == ' ');
            let Some((cut, _)) = cut else {
                return Err(metadata.malformed(format!("merge {rank} is no pair: `{line}`")));
            };
            let (left, right) = (&line[..cut], &line[cut + 1..]);
            let pair = (id_of(left), id_of(right));
            let made = id_of(&format!("{left}{right}"));
            merges.entry(pair).or_insert((rank as u32, made));
            if made > size + MAX_STEPS as u32 {
                let cause = format!("over {MAX_STEPS} of its merges make no token");
                return Err(metadata.malformed(cause));
            }
        }

        let contents: Vec<(Vec<u8>, TokenKind)> = names
            .iter()
            .map(|(name, kind)| {
                let content = match kind {
                    TokenKind::Normal | TokenKind::Unused | TokenKind::Byte => alphabet.bytes(name),
                    _ => name.as_bytes().to_vec(),
                };
                (content, *kind)
            })
            .collect();
        let words = if pre_tokenizer.whole_words_first() {
            known
                .values()
                .map(|id| (contents[*id as usize].0.as_slice().into(), *id))
                .collect()
        } else {
            HashMap::new()
        };
        let vocabulary = Vocabulary::new(contents).with_parts(metadata)?.with_edges(
            metadata,
            pre_tokenizer.adds_bos(),
            false,
        )?;
        let engine = Self {
            pre_tokenizer,
            merges,
            bytes,
            size,
            words,
            unknown: vocabulary.unknown,
        };
        Ok((vocabulary, engine))
    }

    /// Adds the ids of `text`; `None` when a byte has no token.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Option<()> {
        let mut pieces = Vec::new();
        for word in self.pre_tokenizer.words(text) {
            let word = word.as_bytes();
            if let Some(id) = self.words.get(word) {
                ids.push(*id);
                continue;
            }
            pieces.clear();
            pieces.extend(word.iter().zip(0u32..).map(|(byte, start)| Piece {
                start,
                end: start + 1,
                id: self.bytes[usize::from(*byte)],
            }));
            merge(&mut pieces, |left, right| {
                self.merges
                    .get(&(left.id, right.id))
                    .map(|(rank, id)| Merged {
                        priority: *rank,
                        id: *id,
                    })
            });
            for piece in &pieces {
                if piece.id < self.size {
                    ids.push(piece.id);
                    continue;
                }
                for byte in &word[piece.start as usize..piece.end as usize] {
                    match self.bytes[usize::from(*byte)] {
                        id if id < self.size => ids.push(id),
                        _ => ids.push(self.unknown?),
                    }
                }
            }
        }
        Some(())
    }
}

/// The characters that stand for bytes in the names of tokens: visible ones for themselves, the
/// others moved to where they can be seen.
pub(super) struct Alphabet {
    characters: [char; 256],
    bytes: HashMap<char, u8>,
}

impl Alphabet {
    pub fn new() -> Self {
        let mut characters = ['\0'; 256];
        let mut moved = 0;
        for byte in 0..=255u8 {
            characters[usize::from(byte)] = match byte {
                b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
                _ => {
                    moved += 1;
                    char::from_u32(0xff + moved).expect("it is below 0x200")
                }
            };
        }
        let bytes = (0..=255).map(|b: u8| (characters[usize::from(b)], b));
        Self {
            bytes: bytes.collect(),
            characters,
        }
    }

    /// The bytes a name stands for; a name with other characters stands for itself.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        name.chars()
            .map(|character| self.bytes.get(&character).copied())
            .collect::<Option<Vec<u8>>>()
            .unwrap_or_else(|| name.as_bytes().to_vec())
    }
}
