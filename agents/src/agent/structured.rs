//! Answers as values of Rust types.

use corbie_core::{Error, ErrorKind, ResponseFormat, Result};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{Agent, Outcome, Run, fresh_run_id, typed};

impl Agent {
    /// Pursues a goal whose answer is a `T`: the type's schema is the form of the answer. The
    /// value is there when the run is [`Done`](Outcome::Done).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use corbie_core::{Message, testing::ScriptedChatModel};
    /// use corbie_agents::Agent;
    /// use schemars::JsonSchema;
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Sum {
    ///     value: i64,
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> corbie_core::Result<()> {
    /// # let model = ScriptedChatModel::new([Message::assistant(r#"{"value": 5}"#)]);
    /// let agent = Agent::new(Arc::new(model));
    /// let (sum, _) = agent.run_as::<Sum>("What is 2 + 3?").await?;
    /// assert_eq!(sum.map(|it| it.value), Some(5));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when the answer is JSON and no `T`; those of
    /// [`Agent::start`].
    pub async fn run_as<T: DeserializeOwned + JsonSchema>(
        &self,
        goal: &str,
    ) -> Result<(Option<T>, Run)> {
        let mut agent = self.clone();
        agent.options.response_format = ResponseFormat::JsonSchema(typed::schema::<T>());
        let run = agent.start(&fresh_run_id(), goal, &|_| ()).await?;
        let value = match &run.outcome {
            Outcome::Done {
                value: Some(value), ..
            } => Some(T::deserialize(value).map_err(|error| {
                let subject = format!("answer of run `{}`", run.id);
                Error::new(ErrorKind::Malformed, subject, error)
            })?),
            _ => None,
        };
        Ok((value, run))
    }
}
