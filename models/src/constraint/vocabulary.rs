//! A tokenizer as grammars see it: the bytes each token adds in the middle of a text.

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::tokenizer::{EncodeOptions, TokenKind, Tokenizer};

/// Longer tokens than this are never allowed: the trie has no room for them.
const MAX_TOKEN_BYTES: usize = 1000;

/// The trie's nodes are numbered with 22 bits.
const MAX_TRIE_BYTES: usize = 4_000_000;

pub(super) struct Vocabulary {
    tokenizer: Arc<Tokenizer>,
    trie: TokTrie,
    /// The number of tokens, without the end that is made up for tokenizers that have none.
    size: usize,
    /// The token of each single byte.
    spelling: Vec<Option<TokenId>>,
    structural: Vec<TokenId>,
}

impl Vocabulary {
    pub fn new(tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::Unsupported, "constrained decoding", why);
        let size = tokenizer.vocab_size();
        let ends: Vec<TokenId> = tokenizer
            .eos_ids()
            .iter()
            .copied()
            .filter(|id| (*id as usize) < size)
            .collect();
        let mut words: Vec<Vec<u8>> = (0..size as u32)
            .map(|id| word(&tokenizer, id, ends.contains(&id)))
            .collect();
        let ends = match ends.is_empty() {
            true => {
                words.push(special(b"end"));
                vec![size as TokenId]
            }
            false => ends,
        };
        if words.iter().map(Vec::len).sum::<usize>() > MAX_TRIE_BYTES {
            return Err(refuse("the tokenizer's vocabulary is too large"));
        }
        let info = TokRxInfo::new(words.len() as u32, ends[0]);
        let trie = TokTrie::from(&info, &words).with_eos_tokens(&ends);
        let spelling = (0..=u8::MAX)
            .map(|byte| trie.token_id_at_bytes(&[byte]))
            .collect();
        let structural = |token: &TokenId| {
            let bytes = trie.token(*token);
            bytes.iter().any(|byte| b"\"{}[],".contains(byte))
        };
        let structural = (0..size as TokenId).filter(structural).collect();
        Ok(Self {
            tokenizer,
            trie,
            size,
            spelling,
            structural,
        })
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// The tokens that end an answer.
    pub fn ends(&self) -> &[TokenId] {
        self.trie.eos_tokens()
    }

    pub fn trie(&self) -> &TokTrie {
        &self.trie
    }

    /// Tokens with a byte that has a meaning of its own in JSON.
    pub fn structural(&self) -> &[TokenId] {
        &self.structural
    }

    pub fn bytes(&self, token: TokenId) -> &[u8] {
        self.trie.token(token)
    }

    /// `bytes` in tokens, one for each byte where there are such tokens.
    pub fn spell(&self, bytes: &[u8]) -> Vec<TokenId> {
        let letters: Option<Vec<TokenId>> = bytes
            .iter()
            .map(|byte| self.spelling[usize::from(*byte)])
            .collect();
        letters.unwrap_or_else(|| self.trie.greedy_tokenize(bytes))
    }

    /// `bytes` in tokens, as the tokenizer cuts them in the middle of a text.
    pub fn encode_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.tokenize_bytes(bytes)
    }

    /// Whether `token` stands for text.
    pub fn is_text(&self, token: TokenId) -> bool {
        (token as usize) < self.size
            && !self.trie.token(token).is_empty()
            && !self.trie.is_special_token(token)
    }

    pub fn environment(self: Arc<Self>) -> TokEnv {
        self
    }

    /// The tokens of `text` as it continues another text.
    fn encode(&self, text: &str) -> Vec<TokenId> {
        let encoded = self.encode_within(text);
        match encoded {
            // Tokens that are taken whole are no text to a grammar.
            Some(ids) if self.trie.decode_raw(&ids) == text.as_bytes() => ids,
            _ => self.trie.greedy_tokenize(text.as_bytes()),
        }
    }

    fn encode_within(&self, text: &str) -> Option<Vec<TokenId>> {
        let encode = |text: &str| self.tokenizer.encode(text, EncodeOptions::default()).ok();
        let ids = encode(text)?;
        if self.trie.decode_raw(&ids) == text.as_bytes() {
            return Some(ids);
        }
        // Some tokenizers put a space before a text: behind a line break there is none.
        let ids = encode(&format!("\n{text}"))?;
        (1..=ids.len().min(3)).find_map(|taken| {
            let ends_line = self.trie.decode_raw(&ids[..taken]).ends_with(b"\n");
            ends_line.then(|| ids[taken..].to_vec())
        })
    }
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.encode(text))
    }
}

/// What the trie holds for a token: its bytes, nothing if it may never come, or a name that no
/// text can match.
fn word(tokenizer: &Tokenizer, id: u32, ends: bool) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    if bytes.len() > MAX_TOKEN_BYTES {
        return Vec::new();
    }
    match tokenizer.token_kind(id) {
        _ if ends => special(bytes),
        TokenKind::Unused => Vec::new(),
        TokenKind::Control | TokenKind::Unknown => special(bytes),
        // Markers of a chat are user-defined in some files; runs of spaces are so in others.
        TokenKind::UserDefined if bytes.starts_with(b"<") && bytes.ends_with(b">") => {
            special(bytes)
        }
        _ if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) && bytes.len() > 1 => Vec::new(),
        TokenKind::Normal | TokenKind::UserDefined | TokenKind::Byte => bytes.to_vec(),
    }
}

fn special(name: &[u8]) -> Vec<u8> {
    [&[TokTrie::SPECIAL_TOKEN_MARKER], name].concat()
}
