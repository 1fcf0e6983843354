//! How much of a text fits.

use std::ops::Range;

use corbie_core::TokenCounter;
use unicode_segmentation::UnicodeSegmentation;

/// A text with the size that its spans may have.
pub(super) struct Measure<'a> {
    pub(super) text: &'a str,
    pub(super) counter: &'a dyn TokenCounter,
    pub(super) max_tokens: usize,
}

/// Some tokenizers make one unknown token of the longest word. Text has about 4 bytes a token;
/// what has more than this is cut all the same, for the reader after the embedder.
const MAX_BYTES_PER_TOKEN: usize = 24;

impl Measure<'_> {
    /// The tokens of a range.
    pub(super) fn tokens(&self, range: Range<usize>) -> usize {
        self.counter.count(&self.text[range])
    }

    /// The size of a range without white space at its ends: its tokens, or more where it has
    /// too many bytes.
    pub(super) fn size(&self, range: Range<usize>) -> usize {
        let range = self.trim(range);
        let least = range.len().div_ceil(MAX_BYTES_PER_TOKEN);
        match least > self.max_tokens {
            true => least,
            false => self.tokens(range).max(least),
        }
    }

    fn fits(&self, range: Range<usize>) -> bool {
        self.size(range) <= self.max_tokens
    }

    /// The range without white space at its ends.
    pub(super) fn trim(&self, range: Range<usize>) -> Range<usize> {
        let text = &self.text[range.clone()];
        let start = range.start + text.len() - text.trim_start().len();
        start..start + text.trim().len()
    }

    /// The end of the longest beginning of `range` that fits, at the best place to cut: a line
    /// end, punctuation inside a sentence, a word end, a character.
    ///
    /// # Errors
    ///
    /// When a single character does not fit.
    pub(super) fn longest_prefix(&self, range: Range<usize>) -> Result<usize, String> {
        if self.fits(range.clone()) {
            return Ok(range.end);
        }
        // No more can fit than this, and words need not be sought beyond it.
        let most = self.max_tokens.saturating_mul(MAX_BYTES_PER_TOKEN);
        let window = self
            .text
            .floor_char_boundary(range.start + most.min(range.len()));
        let text = &self.text[range.start..window];
        let words: Vec<usize> = text
            .split_word_bound_indices()
            .map(|(at, word)| range.start + at + word.len())
            .collect();
        let Some(longest) = self.gallop(range.start, &words) else {
            return self.characters(range.start, words.first().copied().unwrap_or(window));
        };
        let half = range.start + (longest - range.start) / 2;
        Ok(self
            .preferred(self.text.ceil_char_boundary(half)..longest)
            .unwrap_or(longest))
    }

    /// The last good place to cut in a range, if it has one.
    fn preferred(&self, range: Range<usize>) -> Option<usize> {
        let text = &self.text[range.clone()];
        let is_line_end = |c: char| c == '\n';
        let is_pause = |c: char| ",;:，；：、…—".contains(c);
        [text.rfind(is_line_end), text.rfind(is_pause)]
            .into_iter()
            .flatten()
            .next()
            .map(|at| self.text.ceil_char_boundary(range.start + at + 1))
    }

    fn characters(&self, start: usize, end: usize) -> Result<usize, String> {
        let ends: Vec<usize> = self.text[start..end]
            .char_indices()
            .map(|(at, character)| start + at + character.len_utf8())
            .collect();
        self.gallop(start, &ends).ok_or_else(|| {
            let limit = self.max_tokens;
            let character = self.text[start..].chars().next().unwrap_or_default();
            format!("the character {character:?} alone is more than {limit} tokens")
        })
    }

    /// The last of the rising `ends` for which `start..end` fits: doubling steps, then halving.
    /// What it returns does fit, however oddly a tokenizer counts.
    fn gallop(&self, start: usize, ends: &[usize]) -> Option<usize> {
        let fits = |count: usize| self.fits(start..ends[count - 1]);
        let mut good = 0;
        let mut bad = ends.len() + 1;
        let mut next = 1;
        while next <= ends.len() {
            if !fits(next) {
                bad = next;
                break;
            }
            good = next;
            next *= 2;
        }
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            match fits(middle) {
                true => good = middle,
                false => bad = middle,
            }
        }
        good.checked_sub(1).map(|last| ends[last])
    }
}
