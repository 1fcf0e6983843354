//! Where one answer stands in its form.

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use llguidance::toktrie::{SimpleVob, TokenId};
use llguidance::{TokenParser, panic_utils};

use super::closing::Closing;
use super::grammars::broken;
use super::mask::Mask;
use super::vocabulary::Vocabulary;
use super::watch::Watch;

/// Where one answer stands in its form: which tokens may come next, and how it can end in time.
///
/// Cloning forks it: both go their own ways.
///
/// ```
/// # use std::sync::Arc;
/// # use corbie_models::constraint::{Form, Grammars};
/// # use corbie_models::gguf::{GgufFile, GgufWriter};
/// # use corbie_models::tokenizer::Tokenizer;
/// # let names = ["<end>", "no", "yes", "n", "o", "y", "e", "s"];
/// # let bytes = GgufWriter::new()
/// #     .string("general.architecture", "llama")
/// #     .string("tokenizer.ggml.model", "llama")
/// #     .strings("tokenizer.ggml.tokens", &names)
/// #     .f32s("tokenizer.ggml.scores", &[0.0; 8])
/// #     .i32s("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 1, 1, 1])
/// #     .u32("tokenizer.ggml.eos_token_id", 0)
/// #     .to_bytes();
/// # let tokenizer = Tokenizer::from_gguf(&GgufFile::from_bytes("tiny", bytes)?)?;
/// let grammars = Grammars::new(Arc::new(tokenizer))?;
/// let mut constraint = grammars.compile(&Form::Choice(vec!["yes".into(), "no".into()]))?;
/// // The tokens are: the end, `no`, `yes`, and the letters n, o, y, e, s.
/// let allowed: Vec<u32> = constraint.mask()?.tokens().collect();
/// assert_eq!(allowed, [1, 2, 3, 5]);
/// constraint.commit(2)?;
/// assert!(constraint.is_complete() && constraint.must_end());
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Constraint {
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) parser: TokenParser,
    pub(super) watch: Option<Watch>,
    pub(super) closing: Closing,
    /// Tokens that steer the model and that the form does not ask for.
    steering: Arc<SimpleVob>,
    complete: bool,
    must_end: bool,
    ended: bool,
}

impl Constraint {
    pub(super) fn new(
        vocabulary: Arc<Vocabulary>,
        mut parser: TokenParser,
        growth: Option<usize>,
        watch: Option<Watch>,
        tokens: &[TokenId],
    ) -> Result<Self> {
        parser.start_without_prompt();
        let trie = vocabulary.trie();
        let mut steering = trie.alloc_token_set();
        for token in 0..trie.vocab_size() as TokenId {
            if !vocabulary.is_text(token) && !tokens.contains(&token) {
                steering.allow_token(token);
            }
        }
        let mut constraint = Self {
            vocabulary,
            parser,
            watch,
            closing: Closing::new(growth),
            steering: Arc::new(steering),
            complete: false,
            must_end: false,
            ended: false,
        };
        constraint.look()?;
        Ok(constraint)
    }

    /// Runs `f` on the parser; its failures and panics become errors.
    pub(super) fn guarded<T, E: std::fmt::Display>(
        &mut self,
        what: &str,
        f: impl FnOnce(&mut TokenParser) -> Result<T, E>,
    ) -> Result<T> {
        let parser = &mut self.parser;
        panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| Ok(f(parser))))
            .map_err(|_| broken(what))?
            .map_err(|error| {
                let text = error.to_string();
                let text = text.lines().next().unwrap_or_default();
                let why = format!("{text} while {what}");
                Error::new(ErrorKind::LimitExceeded, "form of the answer", why)
                    .hint("a simpler schema, grammar or expression may do")
            })
    }

    /// Like [`Constraint::guarded`] for what reports no failure.
    pub(super) fn run<T>(
        &mut self,
        what: &str,
        f: impl FnOnce(&mut TokenParser) -> T,
    ) -> Result<T> {
        self.guarded(what, |parser| Ok::<_, String>(f(parser)))
    }

    /// Finds out whether the answer may or must end here.
    fn look(&mut self) -> Result<()> {
        self.must_end = self.guarded("looking for the end", TokenParser::check_stop)?;
        self.complete =
            self.must_end || self.run("looking for the end", TokenParser::is_accepting)?;
        Ok(())
    }

    /// The tokens that may come next; those that end an answer among them where it may end here.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) when the form is too complicated to go on with.
    pub fn mask(&mut self) -> Result<Mask> {
        if self.must_end {
            return Ok(self.only_ends());
        }
        let set = self.allowed()?;
        let mut mask = Mask::new(&set, self.vocabulary.size());
        if let Some(watch) = &self.watch
            && watch.is_alert()
        {
            for token in self.vocabulary.structural() {
                if mask.allows(*token) && !watch.clone().push(self.vocabulary.bytes(*token)) {
                    mask.remove(*token);
                }
            }
        }
        match mask.is_empty() {
            true => Err(Error::new(
                ErrorKind::LimitExceeded,
                "form of the answer",
                "no token can continue the answer",
            )),
            false => Ok(mask),
        }
    }

    /// What the grammar allows, without what steers the model; ends where it may end.
    fn allowed(&mut self) -> Result<SimpleVob> {
        let mut set = self.guarded("looking for the next token", TokenParser::compute_mask)?;
        set.sub(&self.steering);
        if self.complete {
            for end in self.vocabulary.ends() {
                set.allow_token(*end);
            }
        }
        Ok(set)
    }

    pub(super) fn only_ends(&self) -> Mask {
        Mask::of(self.vocabulary.ends(), self.vocabulary.size())
    }

    /// Goes on with `token`, whatever way of cutting the text into tokens it belongs to. A token
    /// that ends answers ends this one.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when it may not come here; the constraint stands where it
    /// stood.
    pub fn commit(&mut self, token: u32) -> Result<()> {
        let refuse = |why: &str| {
            Err(Error::new(
                ErrorKind::BadInput,
                format!("token {token}"),
                why,
            ))
        };
        if self.ended {
            return refuse("the answer has ended");
        }
        if self.vocabulary.ends().contains(&token) {
            if !self.complete {
                return refuse("the answer may not end here");
            }
            self.ended = true;
            return Ok(());
        }
        if (token as usize) >= self.vocabulary.size() || self.steering.is_allowed(token) {
            return refuse("it is no text");
        }
        if !self.continues(&[token])? {
            return refuse("the form of the answer does not allow it here");
        }
        let mut watch = self.watch.clone();
        if let Some(watch) = &mut watch
            && !watch.push(self.vocabulary.bytes(token))
        {
            return refuse("it repeats a member or an item, or nests too deeply");
        }
        self.watch = watch;
        self.guarded("going on", |parser| parser.consume_token(token))?;
        self.closing.advance(token);
        self.look()
    }

    /// Goes on with the tokens of a text.
    ///
    /// # Errors
    ///
    /// Those of [`Constraint::commit`]; the constraint may stand within the text then.
    pub fn commit_text(&mut self, text: &[u8]) -> Result<()> {
        let tokens = self.vocabulary.encode_bytes(text);
        tokens.into_iter().try_for_each(|token| self.commit(token))
    }

    /// Whether these tokens may come next, one after the other, as far as the grammar goes.
    pub(super) fn continues(&mut self, tokens: &[TokenId]) -> Result<bool> {
        if self.must_end {
            return Ok(tokens.is_empty());
        }
        let valid = self.guarded("checking tokens", |parser| {
            parser.validate_tokens_raw(tokens)
        })?;
        Ok(valid == tokens.len())
    }

    /// The tokens that must come next whatever the model says, as its tokenizer would cut them;
    /// empty where it has a choice. They still have to be committed.
    pub fn forced(&mut self) -> Vec<u32> {
        if self.must_end || self.ended {
            return Vec::new();
        }
        self.run("looking for forced tokens", TokenParser::compute_ff_tokens)
            .unwrap_or_default()
    }

    /// Whether the answer may end here.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether nothing but the end may follow.
    pub fn must_end(&self) -> bool {
        self.must_end
    }

    /// Whether a token has ended the answer.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint")
            .field("complete", &self.complete)
            .field("must_end", &self.must_end)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
