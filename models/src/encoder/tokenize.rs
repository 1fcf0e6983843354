//! Which tokens a text is.

use std::path::Path;

use corbie_core::{Error, ErrorKind, Result, TokenCounter};
use serde::Deserialize;
use tokenizers::Tokenizer;

use super::files::malformed;
use super::forward::Input;

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

/// What `tokenizer.json` says of long texts.
#[derive(Deserialize)]
struct Truncated {
    truncation: Option<Truncation>,
}

#[derive(Deserialize)]
struct Truncation {
    max_length: usize,
}

/// What a tokenizer writes around a pair of texts.
pub(super) struct PairTemplate {
    before: Vec<u32>,
    between: Vec<u32>,
    after: Vec<u32>,
    /// How many of the tokens between are of the second kind.
    of_second: usize,
    /// Tokens of both texts together, without the special ones.
    room: usize,
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
        let start = find(whole, bare).ok_or_else(|| unreadable(path))?;
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
            return Err(no_room(path, max_tokens));
        }
        Ok(this)
    }

    /// The same for a model that wants no special tokens and as many tokens as the tokenizer's own
    /// file allows.
    pub fn bare_only(mut self, path: &Path, bytes: &[u8]) -> Result<Self> {
        let file: Truncated =
            serde_json::from_slice(bytes).map_err(|e| malformed(path, &e).caused_by(e))?;
        self.before.clear();
        self.after.clear();
        self.room = file
            .truncation
            .map_or(usize::MAX, |truncation| truncation.max_length);
        self.limit = self.room;
        if self.room == 0 {
            return Err(no_room(path, 0));
        }
        Ok(self)
    }

    /// What is written around a pair of texts, of which the model sees `max_tokens` tokens.
    pub fn pair(&self, path: &Path, max_tokens: usize) -> Result<PairTemplate> {
        let broken = |error: tokenizers::Error| malformed(path, &error).caused_by(error);
        let bare = self.tokenizer.encode_fast("a", false).map_err(broken)?;
        let whole = self
            .tokenizer
            .encode_fast(("a", "a"), true)
            .map_err(broken)?;
        let (bare, ids, kinds) = (bare.get_ids(), whole.get_ids(), whole.get_type_ids());
        let first = find(ids, bare).ok_or_else(|| unreadable(path))?;
        let end = first + bare.len();
        let second = find(&ids[end..], bare).ok_or_else(|| unreadable(path))? + end;
        let between = &ids[end..second];
        let after = &ids[second + bare.len()..];
        // The second kind, where there is one, is one run that holds the second text.
        let of_second = kinds[end..second].iter().filter(|kind| **kind == 1).count();
        let special = first + between.len() + after.len();
        let room = max_tokens.saturating_sub(special);
        // Each text keeps at least a token.
        if room < 2 {
            return Err(no_room(path, max_tokens));
        }
        Ok(PairTemplate {
            before: ids[..first].to_vec(),
            between: between.to_vec(),
            after: after.to_vec(),
            of_second,
            room,
        })
    }

    /// The ids of `prompt` and `text`, cut at the model's limit, with its special tokens.
    pub fn encode(&self, prompt: &str, text: &str) -> Result<Input> {
        let ids = if prompt.is_empty() {
            self.bare(text)?
        } else {
            self.bare(&format!("{prompt}{text}"))?
        };
        let ids = &ids[..ids.len().min(self.room)];
        let ids = [&self.before, ids, &self.after].concat();
        Ok(Input {
            second: ids.len(),
            ids,
        })
    }

    /// The ids of `text` alone, uncut.
    pub fn bare(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.ids(text).map_err(|error| {
            Error::new(ErrorKind::BadInput, "a text to encode", &error).caused_by(error)
        })?;
        Ok(ids.get_ids().to_vec())
    }

    /// The token that stands for whatever the vocabulary has not got.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    fn ids(&self, text: &str) -> tokenizers::Result<tokenizers::Encoding> {
        if self.lowercase {
            self.tokenizer.encode_fast(text.to_lowercase(), false)
        } else {
            self.tokenizer.encode_fast(text, false)
        }
    }
}

impl PairTemplate {
    /// Both texts' ids as one input. What does not fit is cut off the longer text; a first text
    /// of at most half the room is never cut.
    pub fn join(&self, first: &[u32], second: &[u32]) -> Input {
        let half = self.room / 2;
        // Of an odd room the longer text gets the larger half.
        let first_half = if first.len() > second.len() {
            self.room - half
        } else {
            half
        };
        let first_room = first_half.max(self.room.saturating_sub(second.len()));
        let first = &first[..first.len().min(first_room)];
        let second = &second[..second.len().min(self.room - first.len())];
        let ids = [&self.before, first, &self.between, second, &self.after].concat();
        let second = self.before.len() + first.len() + self.between.len() - self.of_second;
        Input { ids, second }
    }
}

fn find(whole: &[u32], part: &[u32]) -> Option<usize> {
    (!part.is_empty())
        .then(|| whole.windows(part.len()).position(|window| window == part))
        .flatten()
}

fn unreadable(path: &Path) -> Error {
    malformed(path, "the letter `a` cannot be encoded")
}

fn no_room(path: &Path, max_tokens: usize) -> Error {
    malformed(
        path,
        format!("of {max_tokens} tokens none is left for a text"),
    )
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
