//! What is asked of a question before anything else happens.

use corbie_core::{BoxFuture, Result};

/// Decides whether a question may be asked at all.
///
/// It runs first: a blocked question reaches no embedder, no store and no model. A function from
/// the question to an optional reason is a check, too:
///
/// ```
/// use corbie_agents::QuestionCheck;
///
/// let check = |question: &str| {
///     question.contains("password").then(|| "Questions about passwords are not answered.".to_owned())
/// };
/// let refusal = futures::executor::block_on(check.refusal("What is the password?"))?;
/// assert!(refusal.is_some());
/// # Ok::<(), corbie_core::Error>(())
/// ```
pub trait QuestionCheck: Send + Sync {
    /// Why the question is refused, in words for the person who asked; `None`: it may be asked.
    ///
    /// # Errors
    ///
    /// When the check itself fails; the question is not asked then either.
    fn refusal<'a>(&'a self, question: &'a str) -> BoxFuture<'a, Result<Option<String>>>;
}

impl<F> QuestionCheck for F
where
    F: Fn(&str) -> Option<String> + Send + Sync,
{
    fn refusal<'a>(&'a self, question: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { Ok(self(question)) })
    }
}
