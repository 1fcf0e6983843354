//! One request at work.

use std::ops::ControlFlow;
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result};

use super::guess::Guesser;
use super::prefix::common;
use super::{Request, Written};
use crate::constraint::Mask;
use crate::decoder::Sequence;

/// After so many of one request's tokens logits are computed at once: they are the length of a
/// vocabulary.
const MOST_ROWS: usize = 32;

/// A request that runs.
pub(super) struct Run {
    /// Counts up in order of arrival.
    pub id: u64,
    pub request: Request,
    /// The prompt and what was written.
    pub text: Vec<u32>,
    /// What the decoder has read of it.
    pub sequence: Sequence,
    /// What the next pass reads, or this one does.
    pub reading: Vec<u32>,
    guesser: Guesser,
    /// Guessed tokens that the next pass reads behind the text.
    guess: Vec<u32>,
    /// How many of the prompt's last tokens its sink has still to see the logits after.
    weighs: usize,
    /// An earlier request that is reading what this one begins with too, and how much of it.
    pub follows: Option<(u64, usize)>,
    begun: Instant,
    first_choice: Option<Instant>,
    cached: Option<usize>,
}

/// What came of a choice.
pub(super) enum Progress {
    GoesOn,
    /// It ended, cut off by its limit or not.
    Ended {
        cut: bool,
    },
}

impl Run {
    /// `guesses`: the most tokens that are guessed at a time.
    pub fn new(id: u64, request: Request, sequence: Sequence, guesses: usize) -> Self {
        Self {
            id,
            text: request.prompt.clone(),
            weighs: request.sink.weighs().min(request.prompt.len()),
            request,
            sequence,
            reading: Vec::new(),
            guesser: Guesser::new(guesses),
            guess: Vec::new(),
            follows: None,
            begun: Instant::now(),
            first_choice: None,
            cached: None,
        }
    }

    /// The tokens that were not read yet.
    pub fn unread(&self) -> usize {
        // Guesses are read beyond the text.
        let read = self.sequence.tokens().len();
        self.text.len().saturating_sub(read)
    }

    /// The tokens that the next pass may read, guessed ones behind the text's, so that logits of
    /// few are wanted at once.
    pub fn readable(&mut self) -> usize {
        if self.is_writing() && self.weighs == 0 {
            // The pass itself chooses one more.
            let limit = self.left().saturating_sub(1);
            self.guess = self.guesser.guess(&self.text, limit);
        }
        let before = self.first_wanted() - self.sequence.tokens().len();
        (self.unread() + self.guess.len()).min(before + MOST_ROWS)
    }

    /// Lays out the next `share` of these tokens to be read.
    pub fn lay_out(&mut self, share: usize) {
        self.guess.truncate(share.saturating_sub(self.unread()));
        let start = self.sequence.tokens().len();
        let of_text = share - self.guess.len();
        self.reading.clear();
        self.reading
            .extend_from_slice(&self.text[start..start + of_text]);
        self.reading.extend_from_slice(&self.guess);
    }

    /// How many guessed tokens the pass reads.
    pub fn guessed(&self) -> usize {
        self.guess.len()
    }

    /// How many more tokens it may write.
    pub fn left(&self) -> usize {
        self.request.max_tokens - self.written()
    }

    fn written(&self) -> usize {
        self.text.len() - self.request.prompt.len()
    }

    /// Whether it has written something or is about to.
    pub fn is_writing(&self) -> bool {
        self.first_choice.is_some()
    }

    /// After how many of the next `share` tokens logits are wanted: the text's last, and those
    /// that are weighed.
    pub fn wanted(&self, share: usize) -> usize {
        let start = self.sequence.tokens().len();
        let first = self.first_wanted();
        (start + share).saturating_sub(first.max(start))
    }

    fn first_wanted(&self) -> usize {
        match self.weighs {
            0 => self.text.len() - 1,
            count => self.request.prompt.len() - count,
        }
    }

    /// Takes over a sequence that has read the beginning of its text. The tokens whose logits are
    /// wanted stay to be read.
    pub fn go_on_from(&mut self, mut sequence: Sequence) {
        sequence.truncate(self.first_wanted());
        if sequence.tokens().len() > self.sequence.tokens().len() {
            self.sequence = sequence;
        }
    }

    /// Hands its sink the next `rows` logits that it weighs, if it does.
    pub fn weigh(&mut self, rows: usize, logits: &[f32]) {
        if self.weighs > 0 {
            self.weighs = self.weighs.saturating_sub(rows);
            self.request.sink.weigh(logits);
        }
    }

    /// Whether later texts may begin like it: those that are only weighed lead nowhere.
    pub fn is_kept(&self) -> bool {
        self.request.max_tokens > 0 || self.request.sink.weighs() < 2
    }

    /// Notes that reading begins: what is known now was known before.
    pub fn begin(&mut self) {
        let known = self.sequence.tokens().len();
        self.cached
            .get_or_insert(known.min(self.request.prompt.len()));
    }

    /// Chooses the next token by the logits after the text.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the logits are no numbers; those of its guide.
    pub fn choose(&mut self, name: &str, logits: &[f32], mask: Option<&Mask>) -> Result<Progress> {
        self.first_choice.get_or_insert_with(Instant::now);
        if self.left() == 0 {
            return Ok(Progress::Ended { cut: true });
        }
        let choice = self.request.sampler.choose_of(logits, &self.text, mask);
        let Some(token) = choice else {
            let cause = "it computes numbers that are none";
            return Err(Error::new(ErrorKind::Malformed, name, cause)
                .hint("the model file is damaged: fetch it again"));
        };
        if self.request.ends.contains(&token) {
            return Ok(Progress::Ended { cut: false });
        }
        if self.write(token).is_break() {
            return Ok(Progress::Ended { cut: false });
        }
        if self.request.guide.is_some() {
            return self.follow_guide(token);
        }
        Ok(self.progress())
    }

    /// Tells the guide and takes what must follow.
    fn follow_guide(&mut self, token: u32) -> Result<Progress> {
        let left = self.left();
        let Some(guide) = &mut self.request.guide else {
            return Ok(self.progress());
        };
        guide.commit(token)?;
        let forced = guide.forced(left)?;
        let must_end = guide.must_end();
        for token in forced {
            if self.write(token).is_break() {
                return Ok(Progress::Ended { cut: false });
            }
        }
        match must_end {
            true => Ok(Progress::Ended { cut: false }),
            false => Ok(self.progress()),
        }
    }

    fn progress(&self) -> Progress {
        match self.left() {
            0 => Progress::Ended { cut: true },
            _ => Progress::GoesOn,
        }
    }

    fn write(&mut self, token: u32) -> ControlFlow<()> {
        self.text.push(token);
        self.request.sink.token(token)
    }

    /// Chooses tokens by the `rows` of logits after the text and the guesses behind it, as long as
    /// the guesses are right; the first by `mask`.
    ///
    /// # Errors
    ///
    /// As [`Run::choose`].
    pub fn choose_all(
        &mut self,
        name: &str,
        logits: &[f32],
        rows: usize,
        mut mask: Option<Mask>,
    ) -> Result<Progress> {
        let width = logits.len() / rows;
        let start = self.text.len();
        let result = loop {
            let row = self.text.len() - start;
            let logits = &logits[row * width..][..width];
            match self.choose(name, logits, mask.as_ref()) {
                Ok(Progress::GoesOn) => {}
                other => break other,
            }
            let written = &self.text[start..];
            if written.len() >= rows || written != &self.guess[..written.len()] {
                break Ok(Progress::GoesOn);
            }
            let left = self.left();
            mask = match &mut self.request.guide {
                Some(guide) => match guide.mask(left) {
                    Ok(mask) => mask,
                    Err(error) => break Err(error),
                },
                None => None,
            };
        };
        let guess = std::mem::take(&mut self.guess);
        let right = common(&guess, &self.text[start..]);
        self.guesser.learn(guess.len(), right);
        self.sequence.truncate(start + right);
        result
    }

    /// Ends it; gives its sequence.
    pub fn end(self, result: Result<Progress>) -> Sequence {
        let now = Instant::now();
        let first = self.first_choice.unwrap_or(now);
        let written = result.map(|progress| Written {
            cached: self.cached.unwrap_or(0),
            tokens: self.written(),
            cut: matches!(progress, Progress::Ended { cut: true }),
            prefill: first - self.begun,
            decode: now - first,
        });
        self.request.sink.end(written);
        self.sequence
    }
}
