//! Cutting a document's text into spans that fit a model.
//!
//! Three questions, one file each: where a text can be cut (`blocks` finds headings,
//! paragraphs, code and tables; `corbie_core::sentences` finds sentences), how much fits (`measure`), and
//! which pieces go together (here).

mod blocks;
mod measure;

use std::ops::Range;
use std::sync::Arc;

use corbie_core::{Document, Error, ErrorKind, Result, Span, Splitter, TokenCounter, sentences};

use blocks::{Block, Kind, blocks, items};
use measure::Measure;

/// How a [`TokenSplitter`] cuts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitOptions {
    /// The most tokens of a span; the counter's own limit holds as well. 200 unless told.
    pub max_tokens: usize,
    /// Tokens of whole sentences that a span repeats from the one before it, where both lie in
    /// one section. None unless told.
    pub overlap_tokens: usize,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            max_tokens: 200,
            overlap_tokens: 0,
        }
    }
}

impl From<usize> for SplitOptions {
    fn from(max_tokens: usize) -> Self {
        Self {
            max_tokens,
            ..Self::default()
        }
    }
}

/// Cuts at headings, then between paragraphs, then between sentences, and within a sentence only
/// where it alone is too long; sizes are those of the model that will read the spans.
///
/// A span never runs on into the next section, unless all it holds so far is the headings above
/// that section. Code and tables stay whole where they fit.
///
/// ```
/// use std::sync::Arc;
/// use corbie_core::{Document, Splitter, testing::WordCounter};
/// use corbie_loaders::TokenSplitter;
///
/// let counter = Arc::new(WordCounter { limit: 6 });
/// let splitter = TokenSplitter::new(counter, Default::default());
/// let document = Document::new("a.txt", "One two three. Four five six seven. Eight.");
/// let spans = splitter.split(&document)?;
/// assert_eq!(&document.text[spans[0].start..spans[0].end], "One two three.");
/// assert_eq!(&document.text[spans[1].start..spans[1].end], "Four five six seven. Eight.");
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TokenSplitter {
    counter: Arc<dyn TokenCounter>,
    options: SplitOptions,
}

impl TokenSplitter {
    /// A splitter that counts with `counter`.
    pub fn new(counter: Arc<dyn TokenCounter>, options: SplitOptions) -> Self {
        Self { counter, options }
    }
}

impl Splitter for TokenSplitter {
    fn split(&self, document: &Document) -> Result<Vec<Span>> {
        let measure = Measure {
            text: &document.text,
            counter: self.counter.as_ref(),
            max_tokens: self.options.max_tokens.min(self.counter.limit()),
        };
        if measure.max_tokens == 0 {
            let error = Error::new(ErrorKind::BadInput, "splitter", "spans of zero tokens");
            return Err(error.hint("set `max_tokens` to at least 1"));
        }
        let mut packer = Packer {
            measure,
            overlap_tokens: self.options.overlap_tokens,
            pieces: Vec::new(),
            cuts: Vec::new(),
        };
        for block in blocks(&document.text, &document.headings) {
            packer.place_block(&block).map_err(|cause| {
                Error::new(ErrorKind::BadInput, &document.source, cause).hint("raise `max_tokens`")
            })?;
        }
        packer.flush();
        let spans = packer.cuts.into_iter().map(|(range, tokens)| Span {
            page: document.page_at(range.start),
            heading: document.heading_path_at(range.start),
            start: range.start,
            end: range.end,
            tokens,
        });
        Ok(spans.collect())
    }

    fn identity(&self) -> String {
        let SplitOptions {
            max_tokens,
            overlap_tokens,
        } = self.options;
        format!("tokens-1 max={max_tokens} overlap={overlap_tokens}")
    }
}

/// Puts pieces together, in order, as long as they fit.
struct Packer<'a> {
    measure: Measure<'a>,
    overlap_tokens: usize,
    /// The span being filled.
    pieces: Vec<Piece>,
    /// The finished spans with their tokens.
    cuts: Vec<(Range<usize>, usize)>,
}

#[derive(Debug, Clone)]
struct Piece {
    range: Range<usize>,
    tokens: usize,
    /// The level of a heading.
    heading: Option<u8>,
}

impl Packer<'_> {
    fn place_block(&mut self, block: &Block) -> Result<(), String> {
        if let Kind::Heading(level) = block.kind {
            let above = self.headings_only().is_some_and(|last| last < level);
            if !above {
                self.flush();
            }
        }
        let heading = match block.kind {
            Kind::Heading(level) => Some(level),
            _ => None,
        };
        let piece = self.piece(block.range.clone(), heading);
        if self.fits(&piece) {
            self.pieces.push(piece);
            return Ok(());
        }
        // A span that is half empty takes some sentences of the next paragraph.
        let is_prose = block.kind == Kind::Prose;
        let open = self.headings_only().is_some()
            || (is_prose && self.tokens() * 2 < self.measure.max_tokens);
        if piece.tokens <= self.measure.max_tokens && !open {
            return self.start_with(piece);
        }
        if !is_prose {
            return self.cut_run(piece.range);
        }
        for item in items(self.measure.text, block.range.clone()) {
            for sentence in sentences(self.measure.text, item) {
                self.place_sentence(sentence)?;
            }
        }
        Ok(())
    }

    fn place_sentence(&mut self, range: Range<usize>) -> Result<(), String> {
        let piece = self.piece(range, None);
        if self.fits(&piece) {
            self.pieces.push(piece);
            Ok(())
        } else if piece.tokens <= self.measure.max_tokens && self.headings_only().is_none() {
            self.start_with(piece)
        } else {
            self.cut_run(piece.range)
        }
    }

    /// Ends the span and begins the next with `piece`, after what the two share.
    fn start_with(&mut self, piece: Piece) -> Result<(), String> {
        let mut shared = Vec::new();
        let mut budget = self.overlap_tokens;
        for last in self.pieces.iter().skip(1).rev() {
            if last.tokens > budget || last.heading.is_some() {
                break;
            }
            budget -= last.tokens;
            shared.insert(0, last.clone());
        }
        self.flush();
        // Where the whole had to be halved, the cut lies further on.
        let last = self.cuts.last().map_or(0, |(range, _)| range.start);
        shared.retain(|piece| piece.range.start > last);
        self.pieces = shared;
        if !self.fits(&piece) {
            self.pieces.clear();
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// Cuts what is too long for one span: code, tables, endless sentences. Headings that wait
    /// for their text go in front.
    fn cut_run(&mut self, range: Range<usize>) -> Result<(), String> {
        let mut start = range.start;
        if self.headings_only().is_some() {
            start = self.pieces[0].range.start;
        } else {
            self.flush();
        }
        self.pieces.clear();
        loop {
            let rest = self.measure.trim(start..range.end);
            if rest.is_empty() {
                return Ok(());
            }
            let end = self.measure.longest_prefix(rest.clone())?;
            self.pieces.push(self.piece(rest.start..end, None));
            if end == rest.end {
                // The last part may be short: what follows can join it.
                return Ok(());
            }
            self.flush();
            start = end;
        }
    }

    fn piece(&self, range: Range<usize>, heading: Option<u8>) -> Piece {
        let range = self.measure.trim(range);
        Piece {
            tokens: self.measure.size(range.clone()),
            range,
            heading,
        }
    }

    /// The level of the last heading, when the span holds nothing but headings.
    fn headings_only(&self) -> Option<u8> {
        let all = self.pieces.iter().all(|piece| piece.heading.is_some());
        self.pieces.last().filter(|_| all)?.heading
    }

    /// About how many tokens the span has.
    fn tokens(&self) -> usize {
        self.pieces.iter().map(|piece| piece.tokens).sum()
    }

    fn fits(&self, piece: &Piece) -> bool {
        let max = self.measure.max_tokens;
        let Some(first) = self.pieces.first() else {
            return piece.tokens <= max;
        };
        // Tokens of parts do not add up exactly: near the limit the whole is counted.
        let sum = self.tokens() + piece.tokens;
        sum * 4 <= max * 3
            || (sum <= max * 2 && self.measure.size(first.range.start..piece.range.end) <= max)
    }

    fn flush(&mut self) {
        let mut pieces = std::mem::take(&mut self.pieces);
        while let (Some(first), Some(last)) = (pieces.first(), pieces.last()) {
            let range = first.range.start..last.range.end;
            if pieces.len() == 1 || self.measure.size(range.clone()) <= self.measure.max_tokens {
                let tokens = self.measure.tokens(range.clone());
                self.cuts.push((range, tokens));
                break;
            }
            // The whole has more tokens than its parts: halve it.
            let second = pieces.split_off(pieces.len() / 2);
            self.pieces = pieces;
            self.flush();
            pieces = second;
        }
    }
}

#[cfg(test)]
mod tests;
