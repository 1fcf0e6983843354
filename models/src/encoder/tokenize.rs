//! Which tokens a text is.

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result, TokenCounter};
use tokenizers::Tokenizer;

use super::files::malformed;

/// The model's tokenizer, with what it writes around a text taken apart once, so that a text is
/// encoded without offsets, padding or overflowing pieces.
pub(super) struct TextTokenizer {
    tokenizer: Tokenizer,
    before: Vec<u32>,
    after: Vec<u32>,
    /// Tokens of a text with its prompt, without the special ones.
    room: usize,
    /// What a document's prompt leaves of that.
    limit: usize,
    lowercase: bool,
    /// The token that stands for whatever the vocabulary has not got.
    unknown: Option<u32>,
}

impl TextTokenizer {
    /// Reads the content of `tokenizer.json`. `max_tokens` includes special tokens;
    /// `document_prompt` takes its part of it.
    pub fn new(
        path: &Path,
        bytes: &[u8],
        max_tokens: usize,
        lowercase: bool,
        document_prompt: &str,
    ) -> Result<Self> {
        let broken = |error: tokenizers::Error| malformed(path, &error).caused_by(error);
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(broken)?;
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(broken)?;

        let bare = tokenizer.encode_fast("a", false).map_err(broken)?;
        let whole = tokenizer.encode_fast("a", true).map_err(broken)?;
        let (bare, whole) = (bare.get_ids(), whole.get_ids());
        let start = (!bare.is_empty())
            .then(|| whole.windows(bare.len()).position(|part| part == bare))
            .flatten()
            .ok_or_else(|| malformed(path, "the letter `a` cannot be encoded"))?;
        let (before, after) = (&whole[..start], &whole[start + bare.len()..]);
        let mut this = Self {
            before: before.to_vec(),
            after: after.to_vec(),
            room: max_tokens.saturating_sub(before.len() + after.len()),
            limit: 0,
            lowercase,
            unknown: ["[UNK]", "<unk>"]
                .iter()
                .find_map(|token| tokenizer.token_to_id(token)),
            tokenizer,
        };
        this.limit = this.room.saturating_sub(this.count(document_prompt));
        if this.limit == 0 {
            let cause = format!("of {max_tokens} tokens none is left for a text");
            return Err(malformed(path, cause));
        }
        Ok(this)
    }

    /// The ids of `prompt` and `text`, cut at the model's limit, with its special tokens.
    pub fn encode(&self, prompt: &str, text: &str) -> Result<Vec<u32>> {
        let ids = if prompt.is_empty() {
            self.ids(text)
        } else {
            self.ids(&format!("{prompt}{text}"))
        };
        let ids = ids.map_err(|error| {
            Error::new(ErrorKind::BadInput, "a text to embed", &error).caused_by(error)
        })?;
        let ids = &ids.get_ids()[..ids.len().min(self.room)];
        Ok([&self.before, ids, &self.after].concat())
    }

    fn ids(&self, text: &str) -> tokenizers::Result<tokenizers::Encoding> {
        if self.lowercase {
            self.tokenizer.encode_fast(text.to_lowercase(), false)
        } else {
            self.tokenizer.encode_fast(text, false)
        }
    }
}

impl TokenCounter for TextTokenizer {
    /// A text that the tokenizer refuses counts its bytes: more than it could ever be.
    fn count(&self, text: &str) -> usize {
        self.ids(text).map_or(text.len(), |ids| ids.len())
    }

    fn limit(&self) -> usize {
        self.limit
    }

    /// The share of tokens that are not the unknown one; of a text without tokens: 1.
    fn coverage(&self, text: &str) -> f32 {
        let Ok(ids) = self.ids(text) else { return 0.0 };
        let unknown = ids
            .get_ids()
            .iter()
            .filter(|id| Some(**id) == self.unknown)
            .count();
        1.0 - unknown as f32 / ids.len().max(1) as f32
    }
}
