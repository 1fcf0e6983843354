//! Closures as tools.

use std::future::Future;
use std::time::Duration;

use corbie_core::{BoxFuture, Effects, Invocation, Result, Tool, ToolSpec};
use serde_json::Value;

type Work = Box<dyn Fn(Invocation) -> BoxFuture<'static, Result<Value>> + Send + Sync>;

/// A function as a [`Tool`], made while the program runs.
///
/// ```
/// use corbie_agents::FunctionTool;
/// use corbie_core::{Effects, Invocation, Tool};
/// use serde_json::json;
///
/// let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
/// let tool = FunctionTool::new("weather", "The weather of a city. 查询城市天气。", schema, |run: Invocation| async move {
///     Ok(json!({"city": run.arguments["city"], "celsius": 21}))
/// })
/// .with_effects(Effects { read_only: true, ..Effects::default() });
/// assert_eq!(tool.spec().name, "weather");
/// ```
pub struct FunctionTool {
    spec: ToolSpec,
    effects: Effects,
    timeout: Option<Duration>,
    work: Work,
}

impl FunctionTool {
    /// A tool that may do anything, until [`FunctionTool::with_effects`] says less.
    pub fn new<F, R>(
        name: impl Into<String>,
        description: impl Into<String>,
        parameters: Value,
        work: F,
    ) -> Self
    where
        F: Fn(Invocation) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Value>> + Send + 'static,
    {
        Self {
            spec: ToolSpec {
                name: name.into(),
                description: description.into(),
                parameters,
            },
            effects: Effects::default(),
            timeout: None,
            work: Box::new(move |run| Box::pin(work(run))),
        }
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
}

impl Tool for FunctionTool {
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
        // What nobody waits for does not begin.
        Box::pin(async move { (self.work)(run).await })
    }
}
