//! Tokenizers from a `tokenizer.json`, run by the library that defines the format.

use std::io::Read;
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use tokenizers::DecoderWrapper;

use super::EncodeOptions;
use super::byte_level::Alphabet;
use super::vocabulary::{TokenKind, Vocabulary, byte_of};

pub(super) struct HuggingFace {
    /// Names of special tokens in the text become those tokens.
    parsing: tokenizers::Tokenizer,
    /// Names of special tokens are text.
    plain: tokenizers::Tokenizer,
}

/// The tokenizers of the largest multilingual models stay below 40 MB.
const LIMIT: u64 = 256 << 20;

impl HuggingFace {
    /// Reads the `tokenizer.json` at `path`, which messages call `name`.
    pub fn read(path: &Path, name: &str) -> Result<(Vocabulary, Self)> {
        let io = |error| Error::io(name, error);
        let file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(io)?;
        match bytes.len() as u64 > LIMIT {
            true => {
                let cause = format!("longer than {LIMIT} bytes");
                Err(Error::new(ErrorKind::Malformed, name, cause))
            }
            false => Self::from_bytes(&bytes, name),
        }
    }

    fn from_bytes(bytes: &[u8], name: &str) -> Result<(Vocabulary, Self)> {
        let malformed = |error: tokenizers::Error| Error::new(ErrorKind::Malformed, name, error);
        let mut parsing = tokenizers::Tokenizer::from_bytes(bytes).map_err(malformed)?;
        parsing.with_padding(None);
        parsing.with_truncation(None).map_err(malformed)?;
        let mut plain = parsing.clone();
        plain.set_encode_special_tokens(true);
        let vocabulary = vocabulary(&parsing);
        Ok((vocabulary, Self { parsing, plain }))
    }

    pub fn encode(&self, text: &str, options: EncodeOptions, name: &str) -> Result<Vec<u32>> {
        let tokenizer = if options.parse_special {
            &self.parsing
        } else {
            &self.plain
        };
        let encoding = tokenizer
            .encode_fast(text, options.add_special)
            .map_err(|error| Error::new(ErrorKind::BadInput, name, error))?;
        Ok(encoding.get_ids().to_vec())
    }
}

/// How the tokens' names spell bytes.
enum Spelling {
    ByteLevel(Box<Alphabet>),
    WordPiece(String),
    SentencePiece,
    Plain,
}

impl Spelling {
    fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        match tokenizer.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => Self::ByteLevel(Box::new(Alphabet::new())),
            Some(DecoderWrapper::WordPiece(decoder)) => Self::WordPiece(decoder.prefix.clone()),
            Some(
                DecoderWrapper::Metaspace(_)
                | DecoderWrapper::ByteFallback(_)
                | DecoderWrapper::Sequence(_),
            ) => Self::SentencePiece,
            _ => Self::Plain,
        }
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        match self {
            Self::ByteLevel(alphabet) => alphabet.bytes(name),
            Self::WordPiece(prefix) => match name.strip_prefix(prefix.as_str()) {
                Some(rest) => rest.as_bytes().to_vec(),
                None => format!(" {name}").into_bytes(),
            },
            Self::SentencePiece => match byte_of(name) {
                Some(byte) => vec![byte],
                None => name.replace('▁', " ").into_bytes(),
            },
            Self::Plain => name.as_bytes().to_vec(),
        }
    }
}

/// Whether encoding puts a space before the first word. A vocabulary without the letter that is
/// tried does so if most of its kind do.
fn starts_with_space(
    tokenizer: &tokenizers::Tokenizer,
    vocabulary: &Vocabulary,
    spelling: &Spelling,
) -> bool {
    let encoded = tokenizer.encode_fast("a", false).ok();
    let first = encoded.and_then(|it| it.get_ids().first().copied());
    match first.filter(|id| vocabulary.kind(*id) == TokenKind::Normal) {
        Some(id) => vocabulary.bytes(id).starts_with(b" "),
        None => !matches!(spelling, Spelling::ByteLevel(_) | Spelling::Plain),
    }
}

fn vocabulary(tokenizer: &tokenizers::Tokenizer) -> Vocabulary {
    let spelling = Spelling::of(tokenizer);
    let added = tokenizer.get_added_tokens_decoder();
    let size = tokenizer
        .get_vocab(true)
        .into_values()
        .max()
        .map_or(0, |id| id.saturating_add(1));
    // A hostile file may give a token a huge id: ids beyond this are not kept.
    let size = size.min(1 << 24);
    let tokens = (0..size).map(|id| match added.get(&id) {
        Some(token) if token.special => (token.content.as_bytes().to_vec(), TokenKind::Control),
        Some(token) => (token.content.as_bytes().to_vec(), TokenKind::UserDefined),
        None => match tokenizer.id_to_token(id) {
            Some(name) => (spelling.bytes(&name), TokenKind::Normal),
            None => (Vec::new(), TokenKind::Unused),
        },
    });
    let mut vocabulary = Vocabulary::new(tokens.collect::<Vec<_>>()).with_named_ends();
    vocabulary.space_prefix = starts_with_space(tokenizer, &vocabulary, &spelling);
    // The tokens that the file puts around a text tell its beginning.
    if let Ok(empty) = tokenizer.encode_fast("", true) {
        vocabulary.bos = empty.get_ids().first().copied();
        vocabulary.prefix = vocabulary.bos;
    }
    vocabulary
}
