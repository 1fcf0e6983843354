//! Tokenizers from a `tokenizer.json`, run by the library that defines the format.

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use corbie_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::Value;
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

    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<(Vocabulary, Self)> {
        guarded(name, || Self::parse(bytes, name))
    }

    fn parse(bytes: &[u8], name: &str) -> Result<(Vocabulary, Self)> {
        let malformed = |error: tokenizers::Error| Error::new(ErrorKind::Malformed, name, error);
        // If it is no JSON, the library says so.
        let said = serde_json::from_slice(bytes).unwrap_or_default();
        check_normalizer(&said, name)?;
        let mut parsing = tokenizers::Tokenizer::from_bytes(bytes).map_err(malformed)?;
        parsing.with_padding(None);
        parsing.with_truncation(None).map_err(malformed)?;
        let mut plain = parsing.clone();
        plain.set_encode_special_tokens(true);
        let vocabulary = vocabulary(&parsing, name)?;
        Ok((vocabulary, Self { parsing, plain }))
    }

    pub fn encode(&self, text: &str, options: EncodeOptions, name: &str) -> Result<Vec<u32>> {
        let tokenizer = if options.parse_special {
            &self.parsing
        } else {
            &self.plain
        };
        guarded(name, || {
            let encoding = tokenizer
                .encode_fast(text, options.add_special)
                .map_err(|error| Error::new(ErrorKind::BadInput, name, error))?;
            Ok(encoding.get_ids().to_vec())
        })
    }
}

/// Runs the library, which panics for some files that it reads.
fn guarded<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let cause = "the library `tokenizers` fails with what the file says";
        Err(Error::new(ErrorKind::Malformed, name, cause))
    })
}

/// The most steps that a text may be prepared in, and how many times longer they may make it.
const MAX_STEPS: usize = 64;
const MAX_GROWTH: usize = 256;

/// What a file says of how texts are prepared; the rest of it is large.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(default)]
    normalizer: Value,
}

/// Refuses steps that make texts longer and longer before they are cut, and maps of characters
/// that claim more than they have.
fn check_normalizer(said: &Said, name: &str) -> Result<()> {
    let (mut steps, mut growth) = (0, 1_usize);
    let mut open = vec![&said.normalizer];
    while let Some(step) = open.pop() {
        steps += 1;
        if let Some(parts) = step["normalizers"].as_array() {
            open.extend(parts);
        }
        if let Some(map) = step["precompiled_charsmap"].as_str()
            && claimed(map) > map.len()
        {
            let cause = "its map of characters is shorter than it says";
            return Err(Error::new(ErrorKind::Malformed, name, cause));
        }
        let content = step["content"].as_str().unwrap_or_default().len();
        let pattern = step["pattern"]["String"].as_str().map_or(0, str::len);
        if step["type"] == "Replace" {
            // What may match nothing is put between all characters.
            let each = match pattern {
                0 => content + 1,
                pattern => content.div_ceil(pattern).max(1),
            };
            growth = growth.saturating_mul(each);
        }
        if steps > MAX_STEPS || growth > MAX_GROWTH {
            let cause = format!(
                "its normaliser has over {MAX_STEPS} steps or makes texts over {MAX_GROWTH} times longer"
            );
            return Err(Error::new(ErrorKind::LimitExceeded, name, cause));
        }
    }
    Ok(())
}

/// The bytes that a map in base64 says its first part has: the library reserves memory for them.
fn claimed(map: &str) -> usize {
    let digits = map.bytes().take(6).map(|digit| match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    });
    let bits = digits.fold(0_u64, |bits, digit| bits << 6 | u64::from(digit));
    ((bits >> 4) as u32).swap_bytes() as usize
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

/// How many ids that no token has there may be.
const MAX_UNUSED: usize = 1 << 17;

fn vocabulary(tokenizer: &tokenizers::Tokenizer, name: &str) -> Result<Vocabulary> {
    let spelling = Spelling::of(tokenizer);
    let added = tokenizer.get_added_tokens_decoder();
    let known = tokenizer.get_vocab(true);
    let size = known.values().max().map_or(0, |id| id.saturating_add(1));
    if size as usize > known.len() + MAX_UNUSED {
        let cause = format!("it has {} tokens with ids up to {}", known.len(), size - 1);
        return Err(Error::new(ErrorKind::Malformed, name, cause));
    }
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
    Ok(vocabulary)
}
