//! Whether a finished text is one of a grammar's.

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use llguidance::TokenParser;
use llguidance::toktrie::{ApproximateTokEnv, TokRxInfo, TokTrie, TokenId};
use llguidance::{ParserFactory, panic_utils};

use super::form::{Form, Source};
use super::grammars;

/// A grammar in llguidance's dialect of Lark that reads finished texts, byte by byte: no model's
/// tokens are needed.
///
/// ```
/// # use corbie_models::constraint::Recognizer;
/// let birds = Recognizer::new(r#"start: BIRD ("," BIRD)*
///     BIRD: "raven" | "乌鸦""#)?;
/// assert_eq!(birds.recognize("raven,乌鸦")?, None);
/// assert_eq!(birds.recognize("raven;乌鸦")?, Some(5));
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub struct Recognizer {
    parser: TokenParser,
}

impl Recognizer {
    /// Compiles a grammar.
    ///
    /// # Errors
    ///
    /// Those of [`Grammars::compile`](super::Grammars::compile).
    pub fn new(lark: &str) -> Result<Self> {
        let form = Form::Lark(lark.to_owned());
        grammars::on_a_stack("compiling", || {
            let source = Source::of(&form)?;
            let mut words: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte]).collect();
            words.push([&[TokTrie::SPECIAL_TOKEN_MARKER], b"end".as_slice()].concat());
            let end = words.len() as TokenId - 1;
            let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), &words);
            let environment = Arc::new(ApproximateTokEnv::new(trie)) as _;
            let mut factory = ParserFactory::new_simple(&environment)
                .map_err(|error| grammars::not_compiled(&form, &error))?;
            factory.quiet();
            *factory.limits_mut() = grammars::limits();
            let mut parser = grammars::parser(&factory, &form, source.lark)?;
            parser.start_without_prompt();
            Ok(Self { parser })
        })
    }

    /// `None` for a text of the grammar; for another, how many of its bytes, in whole characters,
    /// begin one.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) when the grammar is too complicated to go on
    /// with.
    pub fn recognize(&self, text: &str) -> Result<Option<usize>> {
        let mut parser = self.parser.deep_clone();
        let mut read = || -> Result<Option<usize>, String> {
            for (position, byte) in text.bytes().enumerate() {
                let token = [TokenId::from(byte)];
                let fits = !parser.check_stop().map_err(said)?
                    && parser.validate_tokens_raw(&token).map_err(said)? == 1;
                if !fits {
                    return Ok(Some(text.floor_char_boundary(position)));
                }
                parser.consume_token(token[0]).map_err(said)?;
            }
            Ok((!parser.is_accepting()).then_some(text.len()))
        };
        let outcome = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| Ok(read())))
            .map_err(|_| grammars::broken("reading a text"))?;
        outcome.map_err(|why| {
            Error::new(ErrorKind::LimitExceeded, "grammar of the answer", why)
                .hint("a simpler grammar may do")
        })
    }
}

fn said(error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

impl std::fmt::Debug for Recognizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recognizer").finish_non_exhaustive()
    }
}
