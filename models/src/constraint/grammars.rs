//! Compiling forms for one model.

use std::sync::Arc;

use corbie_core::{Error, ErrorKind, Result};
use llguidance::api::{GrammarInit, ParserLimits, TopLevelGrammar};
use llguidance::toktrie::InferenceCapabilities;
use llguidance::{Logger, ParserFactory, TokenParser, panic_utils};

use crate::tokenizer::Tokenizer;

use super::form::{Form, Source};
use super::progress::Constraint;
use super::vocabulary::Vocabulary;

/// Compiling recurses once for each rule that leads to another, so it has a stack of its own.
const STACK: usize = 256 << 20;

/// What a model's tokenizer must say for grammars over its tokens. Built once for each model;
/// cloning is cheap.
#[derive(Clone)]
pub struct Grammars {
    vocabulary: Arc<Vocabulary>,
    factory: Arc<ParserFactory>,
}

impl Grammars {
    /// The grammars over this tokenizer's tokens.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) when the vocabulary is too large or empty.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Result<Self> {
        let build = || -> Result<Self> {
            let vocabulary = Arc::new(Vocabulary::new(tokenizer)?);
            let environment = vocabulary.clone().environment();
            let mut factory = ParserFactory::new_simple(&environment).map_err(unsupported)?;
            factory.quiet();
            *factory.limits_mut() = limits();
            Ok(Self {
                vocabulary,
                factory: Arc::new(factory),
            })
        };
        panic_utils::catch_unwind(std::panic::AssertUnwindSafe(|| Ok(build())))
            .map_err(unsupported)?
    }

    /// Compiles a form.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) for what cannot be promised (of a schema, the
    /// keyword and where it stands), [`BadInput`](ErrorKind::BadInput) for what is no form or one
    /// that no text has, [`LimitExceeded`](ErrorKind::LimitExceeded) for what would take too long
    /// or too much memory.
    pub fn compile(&self, form: &Form) -> Result<Constraint> {
        on_a_stack("compiling", || {
            let source = Source::of(form)?;
            let parser = parser(&self.factory, form, source.lark)?;
            Constraint::new(
                self.vocabulary.clone(),
                parser,
                source.growth,
                source.watch,
                &source.tokens,
            )
        })
    }
}

impl std::fmt::Debug for Grammars {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grammars")
            .field("vocabulary", &self.vocabulary.size())
            .finish_non_exhaustive()
    }
}

/// Runs `work` on a stack deep enough for it.
pub(super) fn on_a_stack<T: Send>(
    doing: &str,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("corbie-grammar".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|error| Error::io("thread that compiles grammars", error))?
            .join()
            .unwrap_or_else(|_| Err(broken(doing)))
    })
}

/// The parser of a grammar, at its start.
pub(super) fn parser(factory: &ParserFactory, form: &Form, lark: String) -> Result<TokenParser> {
    factory
        .create_parser_from_init_ext(
            GrammarInit::Serialized(TopLevelGrammar::from_lark(lark)),
            Logger::new(0, 0),
            InferenceCapabilities::default(),
            factory.limits().clone(),
        )
        .map_err(|error| not_compiled(form, &error))
}

/// Bounds that end hostile grammars within a second and 256 MiB.
pub(super) fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 2_000,
        initial_lexer_fuel: 600_000,
        // Searches for an end draw on it too, between two masks.
        step_lexer_fuel: 3_000_000,
        step_max_items: 60_000,
        max_lexer_states: 50_000,
        // The parser numbers symbols with 16 bits.
        max_grammar_size: 60_000,
        precompute_large_lexemes: false,
        verbose_errors: false,
    }
}

fn unsupported(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Unsupported, "constrained decoding", error)
}

pub(super) fn broken(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        "grammar engine",
        format!("it failed while {what}"),
    )
}

pub(super) fn not_compiled(form: &Form, error: &impl std::fmt::Display) -> Error {
    let text = error.to_string();
    let text = text.split("\n<").next().unwrap_or_default().trim();
    let limit = [
        "too big",
        "limit",
        "fuel",
        "too large",
        "too complex",
        "too many",
    ];
    let unknown = [
        "not supported",
        "unsupported",
        "look-around",
        "backreference",
    ];
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = match form {
        _ if has(&limit) => ErrorKind::LimitExceeded,
        _ if text.starts_with("panic") => ErrorKind::Internal,
        Form::JsonSchema(_) => ErrorKind::Unsupported,
        _ if has(&unknown) => ErrorKind::Unsupported,
        _ => ErrorKind::BadInput,
    };
    let mut shown: String = text.chars().take(300).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    Error::new(kind, "form of the answer", shown)
}
