//! The tokens of a model.

use std::collections::HashMap;

use corbie_core::Result;

use crate::gguf::{Metadata, Value};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for what the vocabulary has no token for.
    Unknown,
    /// Steers the model; no text makes it.
    Control,
    /// A piece of text that is always taken whole.
    UserDefined,
    /// Not in use.
    Unused,
    /// One byte.
    Byte,
}

impl TokenKind {
    fn from_code(code: i32) -> Self {
        match code {
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => Self::Normal,
        }
    }

    /// Whether the token's name in a text is that token only where special tokens are parsed.
    pub fn is_special(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }
}

/// Names of tokens that end an answer in some family of models.
const ENDS: [&str; 20] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<end_of_turn>",
    "<turn|>",
    "<end_of_utterance>",
    "<|end_of_sentence|>",
    "<｜end▁of▁sentence｜>",
    "<eos>",
    "</s>",
    "<EOT>",
    "[EOT]",
];

/// A token is at most this long, so that looking one up takes bounded time.
const MAX_TOKEN_BYTES: usize = 1 << 14;

/// More tokens than this no vocabulary has; the largest in use have a quarter of a million.
const MAX_TOKENS: usize = 1 << 19;

/// All tokens: what they stand for, what they are for, and those with a part to play.
pub(super) struct Vocabulary {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where each token's bytes end.
    ends_at: Vec<u32>,
    kinds: Vec<TokenKind>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unknown: Option<u32>,
    /// What begins a text that special tokens are added to.
    pub prefix: Option<u32>,
    /// What ends it.
    pub suffix: Option<u32>,
    /// Whether encoding puts a space before the first word.
    pub space_prefix: bool,
    /// Tokens that end an answer.
    pub ends: Vec<u32>,
    /// Whether white space after a special token belongs to that token.
    strip_after_special: bool,
}

impl Vocabulary {
    /// Tokens with their bytes and kinds, none of which has a part to play yet.
    pub fn new(tokens: impl IntoIterator<Item = (Vec<u8>, TokenKind)>) -> Self {
        let mut vocabulary = Self {
            bytes: Vec::new(),
            ends_at: Vec::new(),
            kinds: Vec::new(),
            bos: None,
            eos: None,
            unknown: None,
            prefix: None,
            suffix: None,
            space_prefix: false,
            ends: Vec::new(),
            strip_after_special: false,
        };
        for (bytes, kind) in tokens {
            vocabulary.bytes.extend(bytes);
            vocabulary.ends_at.push(vocabulary.bytes.len() as u32);
            vocabulary.kinds.push(kind);
        }
        vocabulary
    }

    /// Takes the parts that tokens play from a model file.
    pub fn with_parts(mut self, metadata: Metadata<'_>) -> Result<Self> {
        let token = |name: &str| -> Result<Option<u32>> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            // Some files say "none" by an id that is none.
            let id = metadata
                .u64(&key)
                .or_else(|_| Ok::<_, corbie_core::Error>(None))?;
            Ok(id
                .and_then(|id| u32::try_from(id).ok())
                .filter(|id| (*id as usize) < self.len()))
        };
        let (bos, eos, unknown) = (token("bos")?, token("eos")?, token("unknown")?);
        let mut ends: Vec<u32> = [eos, token("eot")?, token("eom")?]
            .into_iter()
            .flatten()
            .collect();
        ends.extend(self.named_ends());
        ends.sort_unstable();
        ends.dedup();
        self.ends = ends;
        (self.bos, self.eos, self.unknown) = (bos, eos, unknown);
        let name = metadata.str("general.name")?.unwrap_or("").to_lowercase();
        self.strip_after_special = name.contains("phi-3") || name.contains("phi3");
        Ok(self)
    }

    fn named_ends(&self) -> Vec<u32> {
        (0..self.len() as u32)
            .filter(|id| {
                matches!(self.kind(*id), TokenKind::Control | TokenKind::UserDefined)
                    && ENDS.iter().any(|name| name.as_bytes() == self.bytes(*id))
            })
            .collect()
    }

    /// Fills in the ends of an answer by their names alone.
    pub fn with_named_ends(mut self) -> Self {
        self.ends = self.named_ends();
        self.eos = self.eos.or(self.ends.first().copied());
        self
    }

    /// Decides from a model file what begins and ends a text.
    pub fn with_edges(mut self, metadata: Metadata<'_>, bos: bool, eos: bool) -> Result<Self> {
        let says = |name: &str, default: bool| -> Result<bool> {
            let key = format!("tokenizer.ggml.add_{name}_token");
            Ok(metadata.bool(&key)?.unwrap_or(default))
        };
        self.prefix = if says("bos", bos)? { self.bos } else { None };
        self.suffix = if says("eos", eos)? { self.eos } else { None };
        Ok(self)
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The first token that stands for exactly `text`.
    pub fn id(&self, text: &str) -> Option<u32> {
        (0..self.len() as u32).find(|id| self.bytes(*id) == text.as_bytes())
    }

    pub fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(end) = self.ends_at.get(index) else {
            return &[];
        };
        let start = match index {
            0 => 0,
            _ => self.ends_at[index - 1],
        };
        &self.bytes[start as usize..*end as usize]
    }

    pub fn kind(&self, id: u32) -> TokenKind {
        match self.kinds.get(id as usize) {
            Some(kind) => *kind,
            None => TokenKind::Unused,
        }
    }

    pub fn strips_after(&self, id: u32) -> bool {
        // Phi-3's ends of text and beginnings of it do not strip; its turn tokens do.
        self.strip_after_special
            && self.kind(id).is_special()
            && !matches!(self.bytes(id), b"<unk>" | b"<s>" | b"<|endoftext|>")
    }
}

/// The texts of a list in a model file, which may not be too many or too long.
pub(super) fn texts<'a>(metadata: Metadata<'a>, key: &str, most: usize) -> Result<Vec<&'a str>> {
    if let Some(Value::Array { count, .. }) = metadata.get(key)
        && count > most
    {
        let cause = format!("metadata `{key}` has {count} items: at most {most} are read");
        return Err(metadata.malformed(cause));
    }
    let texts = metadata.required(key, Metadata::strings)?;
    match texts.iter().position(|text| text.len() > MAX_TOKEN_BYTES) {
        Some(index) => Err(metadata.malformed(format!(
            "item {index} of `{key}` is over {MAX_TOKEN_BYTES} bytes"
        ))),
        None => Ok(texts),
    }
}

/// The names of all tokens in a model file.
pub(crate) fn token_names(metadata: Metadata<'_>) -> Result<Vec<&str>> {
    texts(metadata, "tokenizer.ggml.tokens", MAX_TOKENS)
}

/// The names of all tokens in a model file and their kinds.
pub(super) fn names<'a>(metadata: Metadata<'a>) -> Result<Vec<(&'a str, TokenKind)>> {
    let names = token_names(metadata)?;
    let kinds = metadata
        .i32s("tokenizer.ggml.token_type")?
        .unwrap_or_else(|| vec![1; names.len()]);
    if kinds.len() != names.len() {
        return Err(metadata.malformed(format!(
            "it has {} tokens but {} token types",
            names.len(),
            kinds.len()
        )));
    }
    Ok(names
        .into_iter()
        .zip(kinds.into_iter().map(TokenKind::from_code))
        .collect())
}

/// The byte that a token named `<0x0A>` stands for.
pub(super) fn byte_of(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    match digits.len() {
        2 => u8::from_str_radix(digits, 16).ok(),
        _ => None,
    }
}

/// The ids of the tokens that text can make, by name. Of two with one name the later counts.
pub(super) fn ids<'a>(names: &[(&'a str, TokenKind)]) -> HashMap<&'a str, u32> {
    names
        .iter()
        .enumerate()
        .filter(|(_, (_, kind))| !kind.is_special() && *kind != TokenKind::Byte)
        .map(|(id, (name, _))| (*name, id as u32))
        .collect()
}
