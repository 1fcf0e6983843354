//! Acting: functions that a model may call.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxFuture, Result};

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names this call within the conversation.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, an object by the tool's schema.
    pub arguments: Value,
}

/// What a model must know of a tool to call it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    /// The name: letters, digits, `_` and `-`.
    pub name: String,
    /// What it does and when to use it.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// What running a tool does to the world, and what its results are worth. The default is the
/// worst: it may do anything once, and nothing it says can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Effects {
    /// It changes nothing, so it may be run at any time and beside others.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// It sends data out of this process.
    pub egress: bool,
    /// Running it twice with the same [`Invocation::key`] is the same as running it once.
    pub idempotent: bool,
    /// Its results are the application's own words: no text of documents, people or the web.
    pub trusted: bool,
    /// A person is asked before it is run, whatever a policy says of its other traits.
    pub approval: bool,
}

impl Effects {
    /// Those of a tool that looks something up and answers in the application's own words.
    ///
    /// ```
    /// use corbie_core::Effects;
    ///
    /// let of_a_web_page = Effects { egress: true, trusted: false, ..Effects::READ };
    /// assert!(of_a_web_page.read_only && !of_a_web_page.trusted);
    /// ```
    pub const READ: Self = Self {
        read_only: true,
        destructive: false,
        egress: false,
        idempotent: true,
        trusted: true,
        approval: false,
    };
}

type Listener = Arc<dyn Fn(&str) + Send + Sync>;

/// One run of a tool.
#[derive(Clone)]
pub struct Invocation {
    /// The arguments, valid by the tool's schema.
    pub arguments: Value,
    /// Names the effect: the same for every attempt at it, and of no other. Services that take an
    /// idempotency key want this one.
    pub key: String,
    /// Whether text from outside is in the conversation that led to it, so that it may be what
    /// somebody else wants. It is, unless whoever runs the tool knows better.
    pub tainted: bool,
    progress: Option<Listener>,
    outside: Arc<AtomicBool>,
    context: Option<Arc<dyn Any + Send + Sync>>,
}

impl Invocation {
    /// A run with these arguments.
    pub fn new(key: impl Into<String>, arguments: Value) -> Self {
        Self {
            arguments,
            key: key.into(),
            tainted: true,
            progress: None,
            outside: Arc::default(),
            context: None,
        }
    }

    /// Has `listener` told how it gets on.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(listener));
        self
    }

    /// Hands along something of the caller's that tools of its own kind know.
    #[must_use]
    pub fn with_context(mut self, context: Arc<dyn Any + Send + Sync>) -> Self {
        self.context = Some(context);
        self
    }

    /// What the caller handed along, if it is of this type.
    pub fn context<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.context.as_ref()?).downcast().ok()
    }

    /// The same in a conversation with or without text from outside.
    #[must_use]
    pub fn with_taint(mut self, tainted: bool) -> Self {
        self.tainted = tainted;
        self
    }

    /// Says that this one result holds text from outside, though the tool's
    /// [`Effects::trusted`] says that its results do not.
    pub fn brings_outside_text(&self) {
        self.outside.store(true, Ordering::Relaxed);
    }

    /// Whether it, or a copy of it, was said to bring text from outside.
    pub fn has_outside_text(&self) -> bool {
        self.outside.load(Ordering::Relaxed)
    }

    /// Tells whoever watches how it gets on.
    pub fn report(&self, progress: &str) {
        if let Some(listener) = &self.progress {
            listener(progress);
        }
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invocation")
            .field("arguments", &self.arguments)
            .field("key", &self.key)
            .field("tainted", &self.tainted)
            .finish_non_exhaustive()
    }
}

/// A function that a model may call.
///
/// ```
/// use corbie_core::{BoxFuture, Effects, Invocation, Result, Tool, ToolSpec};
/// use serde_json::{Value, json};
///
/// struct Add(ToolSpec);
///
/// impl Tool for Add {
///     fn spec(&self) -> &ToolSpec {
///         &self.0
///     }
///
///     fn effects(&self) -> Effects {
///         Effects { read_only: true, trusted: true, ..Effects::default() }
///     }
///
///     fn call(&self, run: Invocation) -> BoxFuture<'_, Result<Value>> {
///         let number = |name: &str| run.arguments[name].as_f64().unwrap_or(0.0);
///         let sum = number("a") + number("b");
///         Box::pin(async move { Ok(json!(sum)) })
///     }
/// }
/// ```
pub trait Tool: Send + Sync {
    /// What the model must know.
    fn spec(&self) -> &ToolSpec;

    /// What running it does to the world. Unless it says otherwise: anything.
    fn effects(&self) -> Effects {
        Effects::default()
    }

    /// How long one run may take; `None`: as long as is usual for the agent. What is left of the
    /// whole run's time limits both.
    fn timeout(&self) -> Option<Duration> {
        None
    }

    /// Runs it. Dropping the future cancels the run.
    ///
    /// # Errors
    ///
    /// An error is shown to the model, which may mend its arguments.
    fn call(&self, run: Invocation) -> BoxFuture<'_, Result<Value>>;
}
