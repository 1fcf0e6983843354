//! Decoding tokens that come one by one.

use std::sync::Arc;

use super::vocabulary::Vocabulary;

/// Turns tokens into text as they come, never giving half a character.
///
/// What it gives continues a text, so a space before the first word is kept. Special tokens give
/// nothing.
pub struct StreamDecoder {
    vocabulary: Arc<Vocabulary>,
    /// The beginning of a character whose rest has not come yet.
    pending: Vec<u8>,
}

impl StreamDecoder {
    pub(super) fn new(vocabulary: Arc<Vocabulary>) -> Self {
        Self {
            vocabulary,
            pending: Vec::new(),
        }
    }

    /// The text that is complete with this token.
    pub fn push(&mut self, id: u32) -> String {
        if !self.vocabulary.kind(id).is_special() {
            self.pending.extend(self.vocabulary.bytes(id));
        }
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(whole) => {
                    text.push_str(whole);
                    rest = &[];
                }
                Err(error) => {
                    let (whole, broken) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(whole));
                    rest = broken;
                    if let Some(length) = error.error_len() {
                        text.push(char::REPLACEMENT_CHARACTER);
                        rest = &rest[length..];
                        continue;
                    }
                }
            }
            break;
        }
        self.pending = rest.to_vec();
        text
    }

    /// What is left at the end: U+FFFD when a character was cut.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

impl std::fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDecoder")
            .field("pending", &self.pending)
            .finish()
    }
}
