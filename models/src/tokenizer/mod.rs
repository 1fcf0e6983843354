//! Tokenizers: text becomes the ids a model was trained on, and ids become text.
//!
//! A [`Tokenizer`] is built from what a GGUF file says about its vocabulary, or from a
//! `tokenizer.json`. Encoding takes time in proportion to the text (times its logarithm at most),
//! whatever the text is.
//!
//! Tokens that steer a model, such as `<|im_start|>`, are text unless the caller asks for them
//! ([`EncodeOptions::parse_special`]): what a user types makes no role.

mod byte_level;
mod directory;
mod hugging_face;
mod merge;
mod pre_tokenizer;
mod sentence_piece;
mod stream;
mod vocabulary;
mod word_piece;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use corbie_core::{Error, ErrorKind, Result, TokenCounter};

use crate::gguf::{GgufFile, Metadata};

use byte_level::ByteLevel;
pub(crate) use directory::{SpecialTokens, json};
use hugging_face::HuggingFace;
use sentence_piece::SentencePiece;
pub use stream::StreamDecoder;
pub use vocabulary::TokenKind;
use vocabulary::Vocabulary;
pub(crate) use vocabulary::token_names;
use word_piece::WordPiece;

/// How [`Tokenizer::encode`] treats special tokens. The default: none are added, and their names
/// in the text are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeOptions {
    /// Put the model's own tokens around the text, such as the one that begins every text.
    pub add_special: bool,
    /// Names of special tokens in the text become those tokens.
    pub parse_special: bool,
}

/// Turns text into token ids and back, as one model does.
///
/// ```
/// use corbie_models::gguf::{GgufFile, GgufWriter};
/// use corbie_models::tokenizer::{EncodeOptions, Tokenizer};
///
/// let bytes = GgufWriter::new()
///     .string("general.architecture", "llama")
///     .string("tokenizer.ggml.model", "llama")
///     .strings("tokenizer.ggml.tokens", &["<unk>", "c", "a", "w", "aw", "caw", "▁", "▁caw"])
///     .f32s("tokenizer.ggml.scores", &[0.0, -9.0, -9.0, -9.0, -1.0, -2.0, -9.0, -3.0])
///     .i32s("tokenizer.ggml.token_type", &[2, 1, 1, 1, 1, 1, 1, 1])
///     .u32("tokenizer.ggml.unknown_token_id", 0)
///     .to_bytes();
/// let tokenizer = Tokenizer::from_gguf(&GgufFile::from_bytes("tiny", bytes)?)?;
/// let ids = tokenizer.encode("caw caw", EncodeOptions::default())?;
/// assert_eq!(ids, [7, 7]);
/// assert_eq!(tokenizer.decode(&ids, true), "caw caw");
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct Tokenizer {
    name: String,
    vocabulary: Arc<Vocabulary>,
    engine: Engine,
    /// Finds the tokens that are taken whole even in plain text.
    always_whole: Option<Finder>,
    /// Finds those and the special ones.
    special: Option<Finder>,
    limit: usize,
}

enum Engine {
    ByteLevel(Box<ByteLevel>),
    SentencePiece(Box<SentencePiece>),
    WordPiece(WordPiece),
    HuggingFace(Box<HuggingFace>),
}

impl Tokenizer {
    /// The tokenizer of the model in `file`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the file's vocabulary is missing or damaged,
    /// [`Unsupported`](ErrorKind::Unsupported) when its kind or pre-tokenizer is not known.
    pub fn from_gguf(file: &GgufFile) -> Result<Self> {
        let metadata = file.metadata();
        let model = metadata.required("tokenizer.ggml.model", Metadata::str)?;
        let (vocabulary, engine) = match model {
            "gpt2" => {
                let (vocabulary, engine) = ByteLevel::from_gguf(metadata)?;
                (vocabulary, Engine::ByteLevel(Box::new(engine)))
            }
            "llama" => {
                let (vocabulary, engine) = SentencePiece::from_gguf(metadata)?;
                (vocabulary, Engine::SentencePiece(Box::new(engine)))
            }
            "bert" => {
                let (vocabulary, engine) = WordPiece::from_gguf(metadata)?;
                (vocabulary, Engine::WordPiece(engine))
            }
            other => {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    file.name(),
                    format!("its tokenizer is of the kind `{other}`"),
                )
                .hint("`gpt2`, `llama` and `bert` are read"));
            }
        };
        let limit = match metadata.str("general.architecture")? {
            Some(architecture) => metadata.u64(&format!("{architecture}.context_length"))?,
            None => None,
        };
        let limit = limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(usize::MAX);
        Self::new(file.name(), vocabulary, engine, limit)
    }

    /// The tokenizer in a `tokenizer.json`, as the `tokenizers` library writes it. Truncation and
    /// padding that the file asks for are left out.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) or [`Io`](ErrorKind::Io) when it cannot be read,
    /// [`Malformed`](ErrorKind::Malformed) when it is no tokenizer.
    pub fn from_file(path: &Path) -> Result<Self> {
        let name = format!("tokenizer `{}`", path.display());
        let (vocabulary, engine) = HuggingFace::read(path, &name)?;
        let engine = Engine::HuggingFace(Box::new(engine));
        Self::new(&name, vocabulary, engine, usize::MAX)
    }

    fn new(name: &str, vocabulary: Vocabulary, engine: Engine, limit: usize) -> Result<Self> {
        let user_defined = |kind: TokenKind| kind == TokenKind::UserDefined;
        let whole = |kind: TokenKind| user_defined(kind) || kind.is_special();
        Ok(Self {
            always_whole: Finder::new(&vocabulary, user_defined, name)?,
            special: Finder::new(&vocabulary, whole, name)?,
            name: name.to_owned(),
            vocabulary: Arc::new(vocabulary),
            engine,
            limit,
        })
    }

    /// Sets the most tokens of text that one input may have: the answer of
    /// [`TokenCounter::limit`]. At first it is the model's context length, where the file tells.
    #[must_use]
    pub fn with_limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// The ids of `text`.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for a character the vocabulary has no token for.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<u32>> {
        if let Engine::HuggingFace(engine) = &self.engine {
            return engine.encode(text, options, &self.name);
        }
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        if options.add_special {
            ids.extend(self.vocabulary.prefix);
        }
        let finder = if options.parse_special {
            &self.special
        } else {
            &self.always_whole
        };
        self.encode_found(text, finder.as_ref(), &[], &mut ids)?;
        if options.add_special {
            ids.extend(self.vocabulary.suffix);
        }
        Ok(ids)
    }

    /// The ids of `text`, special tokens parsed except where they touch one of the `literal`
    /// ranges, which are in order.
    pub(crate) fn encode_except(&self, text: &str, literal: &[Range<usize>]) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        if let Engine::HuggingFace(engine) = &self.engine {
            // That library knows no ranges, so the pieces are encoded apart.
            let mut end = 0;
            let mut piece = |range: Range<usize>, parse_special: bool| -> Result<()> {
                let options = EncodeOptions {
                    add_special: false,
                    parse_special,
                };
                ids.extend(engine.encode(&text[range], options, &self.name)?);
                Ok(())
            };
            for range in literal {
                piece(end..range.start, true)?;
                piece(range.clone(), false)?;
                end = range.end;
            }
            piece(end..text.len(), true)?;
            return Ok(ids);
        }
        self.encode_found(text, self.special.as_ref(), literal, &mut ids)?;
        Ok(ids)
    }

    fn encode_found(
        &self,
        text: &str,
        finder: Option<&Finder>,
        literal: &[Range<usize>],
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        if u32::try_from(text.len()).is_err() {
            return Err(Error::new(
                ErrorKind::LimitExceeded,
                &self.name,
                format!("a text of {} bytes is too long", text.len()),
            ));
        }
        let mut strip = false;
        let mut end = 0;
        let mut literal = literal.iter().peekable();
        for (found, id) in finder.into_iter().flat_map(|finder| finder.find(text)) {
            while literal.next_if(|range| range.end <= found.start).is_some() {}
            if literal.peek().is_some_and(|range| range.start < found.end) {
                continue;
            }
            self.encode_plain(&text[end..found.start], strip, ids)?;
            ids.push(id);
            end = found.end;
            strip = self.vocabulary.strips_after(id);
        }
        self.encode_plain(&text[end..], strip, ids)
    }

    fn encode_plain(&self, text: &str, strip: bool, ids: &mut Vec<u32>) -> Result<()> {
        let text = if strip { text.trim_start() } else { text };
        if text.is_empty() {
            return Ok(());
        }
        let encoded = match &self.engine {
            Engine::ByteLevel(engine) => engine.encode(text, ids),
            Engine::SentencePiece(engine) => engine.encode(text, ids),
            Engine::WordPiece(engine) => engine.encode(text, ids),
            Engine::HuggingFace(_) => None,
        };
        encoded.ok_or_else(|| {
            Error::new(
                ErrorKind::BadInput,
                &self.name,
                "its vocabulary has no token for a character of the text, nor one for the unknown",
            )
        })
    }

    /// The text of `ids`, a whole one: the space that some vocabularies put before the first word
    /// is taken off again. Bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        let mut fresh = self.vocabulary.space_prefix;
        for id in ids {
            if self.vocabulary.kind(*id).is_special() {
                if !skip_special {
                    bytes.extend(self.vocabulary.bytes(*id));
                }
                fresh = self.vocabulary.space_prefix;
                continue;
            }
            let token = self.vocabulary.bytes(*id);
            let token = match token.strip_prefix(b" ") {
                Some(token) if fresh => token,
                _ => token,
            };
            bytes.extend(token);
            fresh = false;
        }
        String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// The bytes that a token stands for: not always whole characters. Empty for unknown ids.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.vocabulary.bytes(id)
    }

    /// Whether the vocabulary has a token that stands for exactly `text`.
    pub fn has_token(&self, text: &str) -> bool {
        self.vocabulary.id(text).is_some()
    }

    /// What kind of token `id` is.
    pub fn token_kind(&self, id: u32) -> TokenKind {
        self.vocabulary.kind(id)
    }

    /// A decoder for tokens that come one by one.
    pub fn decoder(&self) -> StreamDecoder {
        StreamDecoder::new(self.vocabulary.clone())
    }

    /// The token that begins every text, if there is one.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos
    }

    /// The token that ends every text, if there is one.
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.eos
    }

    /// Whether [`EncodeOptions::add_special`] begins the text with [`Tokenizer::bos`].
    pub fn adds_bos(&self) -> bool {
        self.vocabulary.bos.is_some() && self.vocabulary.prefix == self.vocabulary.bos
    }

    /// All tokens after which a model has said all it wanted: the ends of text, turn and message
    /// that the file names, and those known by their names.
    pub fn eos_ids(&self) -> &[u32] {
        &self.vocabulary.ends
    }

    /// The number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// The special tokens: their names and ids.
    pub fn special_tokens(&self) -> impl Iterator<Item = (&str, u32)> {
        (0..self.vocabulary.len() as u32)
            .filter(|id| self.vocabulary.kind(*id).is_special())
            .filter_map(|id| Some((std::str::from_utf8(self.vocabulary.bytes(id)).ok()?, id)))
    }

    /// The id of the special token with this name.
    pub fn special_token(&self, name: &str) -> Option<u32> {
        self.special_tokens()
            .find(|(known, _)| *known == name)
            .map(|(_, id)| id)
    }

    /// How messages name the tokenizer.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl TokenCounter for Tokenizer {
    /// Counts without special tokens. A text that cannot be encoded counts one token a byte,
    /// which is never too few.
    fn count(&self, text: &str) -> usize {
        self.encode(text, EncodeOptions::default())
            .map_or(text.len(), |ids| ids.len())
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("name", &self.name)
            .field("tokens", &self.vocabulary.len())
            .finish()
    }
}

/// Finds tokens by their names in a text: the leftmost, and of those the longest.
struct Finder {
    automaton: AhoCorasick,
    ids: Vec<u32>,
}

impl Finder {
    fn new(
        vocabulary: &Vocabulary,
        wanted: impl Fn(TokenKind) -> bool,
        name: &str,
    ) -> Result<Option<Self>> {
        let ids: Vec<u32> = (0..vocabulary.len() as u32)
            .filter(|id| wanted(vocabulary.kind(*id)) && !vocabulary.bytes(*id).is_empty())
            .collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::builder()
            .match_kind(aho_corasick::MatchKind::LeftmostLongest)
            .build(ids.iter().map(|id| vocabulary.bytes(*id)))
            .map_err(|error| Error::new(ErrorKind::LimitExceeded, name, error))?;
        Ok(Some(Self { automaton, ids }))
    }

    fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = (Range<usize>, u32)> + 'a {
        self.automaton
            .find_iter(text)
            // A name that is no whole UTF-8 could begin inside a character.
            .filter(|found| {
                text.is_char_boundary(found.start()) && text.is_char_boundary(found.end())
            })
            .map(|found| (found.range(), self.ids[found.pattern().as_usize()]))
    }
}
