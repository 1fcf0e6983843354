//! Holding an answer to its form, from the place where the form begins.

use std::sync::Arc;

use corbie_core::Result;

use crate::constraint::{Constraint, Mask};
use crate::dialect::Thinking;
use crate::engine::Guide;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// So many tokens must be left for forced ones to be taken as they come; with fewer, ways to the
/// end are weighed token by token.
const EASE: usize = 64;

/// Where a form begins.
#[derive(Debug, Clone)]
pub(super) enum Start {
    /// At the start of the answer, or after thinking that the answer begins with.
    Now {
        /// Tokens that open thinking.
        opens: Vec<u32>,
    },
    /// After thinking that the prompt has opened.
    AfterThinking,
    /// After this text, if it comes; without it there is no form.
    After {
        trigger: String,
        /// Only where nothing but white space stands before it.
        only_at_start: bool,
    },
}

/// Where the answer is.
enum Place {
    /// It may begin to think, or to follow the form.
    Beginning,
    Thinking,
    /// Text that may come to the trigger.
    Free,
    /// In the form.
    Held,
    /// Where no form holds any more.
    Loose,
}

/// Guides one answer.
pub(super) struct Guided {
    tokenizer: Arc<Tokenizer>,
    constraint: Constraint,
    /// The marks that may end thinking, the model's own first.
    closes: Vec<&'static str>,
    start: Start,
    place: Place,
    /// What was written since the place was entered.
    text: Vec<u8>,
    /// All tokens but those that end an answer.
    going_on: Mask,
    /// How many tokens the form needs at least.
    needed: usize,
}

impl Guided {
    /// An answer of at most `max_tokens` that follows `constraint` from `start` on.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](corbie_core::ErrorKind::LimitExceeded) when so few tokens cannot hold
    /// the form.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        mut constraint: Constraint,
        thinking: &'static [Thinking],
        start: Start,
        max_tokens: usize,
    ) -> Result<Self> {
        let mut going_on = Mask::all(tokenizer.vocab_size());
        for end in tokenizer.eos_ids() {
            going_on.remove(*end);
        }
        let needed = match start {
            Start::After { .. } => 0,
            _ => {
                constraint.check_budget(max_tokens)?;
                constraint.tokens_to_close(max_tokens).unwrap_or(0)
            }
        };
        Ok(Self {
            tokenizer,
            constraint,
            closes: thinking.iter().map(|it| it.close).collect(),
            place: match &start {
                Start::Now { .. } => Place::Beginning,
                Start::AfterThinking => Place::Thinking,
                Start::After { .. } => Place::Free,
            },
            start,
            text: Vec::new(),
            going_on,
            needed,
        })
    }

    fn enter(&mut self, place: Place) {
        self.place = place;
        self.text.clear();
    }

    /// The tokens that close thinking.
    fn closing(&self) -> Result<Vec<u32>> {
        let close = self.closes.first().copied().unwrap_or_default();
        let options = EncodeOptions {
            parse_special: true,
            ..EncodeOptions::default()
        };
        self.tokenizer.encode(close, options)
    }

    /// Where the text behind a mark begins, if the mark is there.
    fn behind(&self, mark: &str) -> Option<usize> {
        let at = self
            .text
            .windows(mark.len().max(1))
            .position(|window| window == mark.as_bytes())?;
        Some(at + mark.len())
    }

    /// Enters the form with what was written past its beginning.
    fn hold(&mut self, rest: &[u8]) {
        self.enter(Place::Held);
        if rest.is_empty() {
            return;
        }
        let fork = self.constraint.clone();
        if self.constraint.commit_text(rest).is_err() {
            // It is no form, only a text that looked like one.
            self.constraint = fork;
            self.enter(Place::Loose);
        }
    }
}

impl Guide for Guided {
    fn mask(&mut self, left: usize) -> Result<Option<Mask>> {
        match (&self.place, &self.start) {
            (Place::Free | Place::Loose, _) => Ok(None),
            (Place::Thinking, _) => Ok(Some(self.going_on.clone())),
            (Place::Beginning, Start::Now { opens }) => {
                let mut mask = self.constraint.mask_within(left)?;
                // Thinking needs room: for itself, and for what must come after it.
                if left > self.needed + EASE {
                    opens.iter().for_each(|open| mask.insert(*open));
                }
                Ok(Some(mask))
            }
            (Place::Beginning | Place::Held, _) => match self.constraint.mask_within(left) {
                Ok(mask) => Ok(Some(mask)),
                // What nobody asked for may be cut short: it is no call then.
                Err(_) if matches!(self.start, Start::After { .. }) => {
                    self.enter(Place::Loose);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
        }
    }

    fn commit(&mut self, token: u32) -> Result<()> {
        match &self.place {
            Place::Loose => return Ok(()),
            Place::Held => return self.constraint.commit(token),
            Place::Beginning => {
                let opens = match &self.start {
                    Start::Now { opens } => opens.contains(&token),
                    _ => false,
                };
                return match opens {
                    true => {
                        self.enter(Place::Thinking);
                        Ok(())
                    }
                    false => {
                        self.enter(Place::Held);
                        self.constraint.commit(token)
                    }
                };
            }
            Place::Thinking | Place::Free => {}
        }
        self.text.extend(self.tokenizer.token_bytes(token));
        match &self.start {
            Start::After {
                trigger,
                only_at_start,
            } => {
                let Some(end) = self.behind(trigger) else {
                    return Ok(());
                };
                let before = &self.text[..end - trigger.len()];
                if *only_at_start && !before.trim_ascii().is_empty() {
                    self.enter(Place::Loose);
                    return Ok(());
                }
                let rest = self.text[end..].to_vec();
                self.hold(&rest);
                Ok(())
            }
            _ => {
                let ends = self.closes.iter().filter_map(|close| self.behind(close));
                if let Some(end) = ends.min() {
                    let rest = self.text[end..].trim_ascii_start().to_vec();
                    self.hold(&rest);
                }
                Ok(())
            }
        }
    }

    fn forced(&mut self, left: usize) -> Result<Vec<u32>> {
        if matches!(self.place, Place::Thinking) {
            let closing = self.closing()?;
            if left > self.needed + closing.len() + 1 {
                return Ok(Vec::new());
            }
            for token in &closing {
                self.commit(*token)?;
            }
            return Ok(closing);
        }
        let mut taken = Vec::new();
        while matches!(self.place, Place::Held) {
            let forced = self.constraint.forced();
            if forced.is_empty() || taken.len() + forced.len() + EASE > left {
                break;
            }
            for token in &forced {
                self.constraint.commit(*token)?;
            }
            taken.extend(forced);
        }
        Ok(taken)
    }

    fn must_end(&mut self) -> bool {
        matches!(self.place, Place::Held) && self.constraint.must_end()
    }
}
