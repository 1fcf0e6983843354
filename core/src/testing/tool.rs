use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{BoxFuture, Effects, Error, ErrorKind, Invocation, Result, Tool, ToolSpec};

type Answers = Box<dyn Fn(&Invocation) -> Result<Value> + Send + Sync>;

/// A tool that gives what it is told, in order, and remembers how it was called.
///
/// It takes any object and changes nothing, unless it is told otherwise.
///
/// ```
/// use corbie_core::testing::ScriptedTool;
/// use corbie_core::{Invocation, Tool};
/// use serde_json::json;
///
/// # futures::executor::block_on(async {
/// let weather = ScriptedTool::new("weather")
///     .fails("the station does not answer")
///     .gives(json!({"天气": "晴", "celsius": 3}));
/// let first = weather.call(Invocation::new("run-0", json!({"city": "北京"}))).await;
/// assert!(first.unwrap_err().to_string().contains("does not answer"));
/// let second = weather.call(Invocation::new("run-1", json!({"city": "北京"}))).await?;
/// assert_eq!(second["celsius"], 3);
/// assert_eq!(weather.arguments()[0], json!({"city": "北京"}));
/// assert_eq!(weather.invocations()[1].key, "run-1");
/// # Ok::<(), corbie_core::Error>(())
/// # }).unwrap();
/// ```
pub struct ScriptedTool {
    spec: ToolSpec,
    effects: Effects,
    timeout: Option<Duration>,
    /// Answers by a function when the script is used up.
    answers: Option<Answers>,
    script: Mutex<VecDeque<Deed>>,
    invocations: Mutex<Vec<Invocation>>,
}

#[derive(Debug)]
enum Deed {
    Gives(Value),
    Fails(String),
    Hangs,
}

impl ScriptedTool {
    /// A tool of this name that has no answers yet.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            spec: ToolSpec {
                description: format!("What the script of `{name}` says."),
                name,
                parameters: json!({"type": "object"}),
            },
            effects: Effects::READ,
            timeout: None,
            answers: None,
            script: Mutex::default(),
            invocations: Mutex::default(),
        }
    }

    /// Says what it does, for the model.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.spec.description = description.into();
        self
    }

    /// The JSON Schema of its arguments.
    #[must_use]
    pub fn with_parameters(mut self, schema: Value) -> Self {
        self.spec.parameters = schema;
        self
    }

    /// Says what it does to the world.
    #[must_use]
    pub fn with_effects(mut self, effects: Effects) -> Self {
        self.effects = effects;
        self
    }

    /// Limits how long one run may take.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// The next call gives this.
    #[must_use]
    pub fn gives(self, result: impl Into<Value>) -> Self {
        self.then(Deed::Gives(result.into()))
    }

    /// The next call fails, as [`ErrorKind::Unavailable`].
    #[must_use]
    pub fn fails(self, why: impl Into<String>) -> Self {
        self.then(Deed::Fails(why.into()))
    }

    /// The next call never ends.
    #[must_use]
    pub fn hangs(self) -> Self {
        self.then(Deed::Hangs)
    }

    /// Calls behind those of the script, or all where there is no script, are answered by a
    /// function.
    ///
    /// ```
    /// use corbie_core::testing::ScriptedTool;
    /// use serde_json::json;
    ///
    /// let add = ScriptedTool::new("add").answering(|run| {
    ///     let number = |name: &str| run.arguments[name].as_i64().unwrap_or(0);
    ///     Ok(json!(number("a") + number("b")))
    /// });
    /// ```
    #[must_use]
    pub fn answering(
        mut self,
        answer: impl Fn(&Invocation) -> Result<Value> + Send + Sync + 'static,
    ) -> Self {
        self.answers = Some(Box::new(answer));
        self
    }

    /// The calls that were begun so far.
    pub fn invocations(&self) -> Vec<Invocation> {
        self.invocations.lock().unwrap().clone()
    }

    /// Their arguments.
    pub fn arguments(&self) -> Vec<Value> {
        let calls = self.invocations.lock().unwrap();
        calls.iter().map(|run| run.arguments.clone()).collect()
    }

    fn then(mut self, deed: Deed) -> Self {
        self.script.get_mut().unwrap().push_back(deed);
        self
    }

    /// What comes of a call; `None`: nothing ever.
    fn answer(&self, run: Invocation) -> Option<Result<Value>> {
        let mut calls = self.invocations.lock().unwrap();
        calls.push(run.clone());
        let number = calls.len();
        let next = self.script.lock().unwrap().pop_front();
        // A function may look at the tool, whose lock it must not find held.
        drop(calls);
        let fail = |kind, why: String| Error::new(kind, format!("tool `{}`", self.spec.name), why);
        match (next, &self.answers) {
            (Some(Deed::Gives(value)), _) => Some(Ok(value)),
            (Some(Deed::Fails(why)), _) => Some(Err(fail(ErrorKind::Unavailable, why))),
            (Some(Deed::Hangs), _) => None,
            (None, Some(answer)) => Some(answer(&run)),
            (None, None) => {
                let why = format!(
                    "its script has {} answers, and call {number} asks for one more: {}",
                    number - 1,
                    run.arguments
                );
                Some(Err(fail(ErrorKind::NotFound, why)))
            }
        }
    }
}

impl fmt::Debug for ScriptedTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTool")
            .field("name", &self.spec.name)
            .field("script", &self.script)
            .field("invocations", &self.invocations)
            .finish_non_exhaustive()
    }
}

impl Tool for ScriptedTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn effects(&self) -> Effects {
        self.effects
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn call(&self, run: Invocation) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            match self.answer(run) {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn a_call_without_an_answer_is_named() {
        let tool = ScriptedTool::new("查询").gives("晴");
        let call = |city: &str| block_on(tool.call(Invocation::new("k", json!({"city": city}))));
        assert_eq!(call("北京").unwrap(), "晴");
        let error = call("上海").unwrap_err().to_string();
        for word in ["tool `查询`", "call 2", "上海"] {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_call_that_hangs_was_begun() {
        let tool = ScriptedTool::new("slow").hangs();
        let run = || tool.call(Invocation::new("k", json!({})));
        drop(run());
        assert!(tool.invocations().is_empty(), "nobody waited for it");
        assert!(run().now_or_never().is_none());
        assert_eq!(tool.invocations().len(), 1);
    }
}
