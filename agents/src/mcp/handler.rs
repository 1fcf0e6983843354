//! What a server may ask of us: an answer of the person, and to be heard on its progress.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use corbie_core::{BoxFuture, Invocation};
use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult, ElicitationAction,
    Implementation, ProgressNotificationParam, ProgressToken,
};
use rmcp::service::{NotificationContext, RequestContext, RoleClient};
use serde_json::Value;

use super::config::Endpoint;
use super::screen::escaped;
use super::tool::Review;

/// Progress that is kept until whoever waits for it listens.
const EARLY: usize = 32;

/// What a person says to what they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consent {
    /// No.
    #[default]
    Refused,
    /// It may be used.
    Approved,
    /// It may be used, and what the server says of its effects is true.
    Believed,
}

/// A question of a server to the person.
#[derive(Debug, Clone, PartialEq)]
pub struct Elicitation {
    /// The server.
    pub server: String,
    /// What it asks, with invisible characters written out.
    pub message: String,
    /// JSON Schema of the answer: an object of texts, numbers, switches and choices. Null where
    /// the answer is to be given at [`Elicitation::url`].
    pub schema: Value,
    /// An address at which the person would answer. It is not opened for them.
    pub url: Option<String>,
}

/// The person behind a client. Where nobody is there (`()`), the answer is no.
pub trait Host: Send + Sync {
    /// Whether a server may be started or reached: [`command_line`](super::command_line) shows how.
    fn approve_server<'a>(
        &'a self,
        server: &'a str,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, Consent> {
        let _ = (server, endpoint);
        Box::pin(async { Consent::Refused })
    }

    /// Which of these tools, new or changed, may be used; in their order.
    fn approve_tools<'a>(
        &'a self,
        server: &'a str,
        tools: &'a [Review],
    ) -> BoxFuture<'a, Vec<Consent>> {
        let _ = (server, tools);
        Box::pin(async { Vec::new() })
    }

    /// The answer to a server's question, an object by its schema; `None`: no answer.
    fn answer(&self, question: Elicitation) -> BoxFuture<'_, Option<Value>> {
        let _ = question;
        Box::pin(async { None })
    }
}

impl Host for () {}

/// Hears what one server says unasked.
pub struct Handler {
    pub server: String,
    pub host: Arc<dyn Host>,
    /// Whether the server said that its tools changed.
    pub stale: AtomicBool,
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    by_token: HashMap<ProgressToken, Invocation>,
    early: VecDeque<ProgressNotificationParam>,
}

impl Handler {
    pub fn new(server: &str, host: Arc<dyn Host>) -> Self {
        Self {
            server: server.to_owned(),
            host,
            stale: AtomicBool::new(false),
            listeners: Mutex::default(),
        }
    }

    /// Has the progress of a request reported to `run`, until the guard is dropped.
    pub fn listen(&self, token: &ProgressToken, run: &Invocation) -> Listening<'_> {
        let mut listeners = self.listeners();
        let early = std::mem::take(&mut listeners.early);
        let (mine, others) = early
            .into_iter()
            .partition::<VecDeque<_>, _>(|progress| progress.progress_token == *token);
        listeners.early = others;
        listeners.by_token.insert(token.clone(), run.clone());
        drop(listeners);
        mine.iter().for_each(|progress| report(run, progress));
        Listening {
            handler: self,
            token: token.clone(),
        }
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the person.
    pub async fn elicit(&self, request: ElicitRequestParams) -> ElicitResult {
        let server = self.server.clone();
        let question = match request {
            ElicitRequestParams::FormElicitationParams {
                message,
                requested_schema,
                ..
            } => Elicitation {
                server,
                message: escaped(&message),
                schema: serde_json::to_value(requested_schema).unwrap_or_default(),
                url: None,
            },
            ElicitRequestParams::UrlElicitationParams { message, url, .. } => Elicitation {
                server,
                message: escaped(&message),
                schema: Value::Null,
                url: Some(escaped(&url)),
            },
            _ => return ElicitResult::new(ElicitationAction::Decline),
        };
        match self.host.answer(question).await {
            Some(answer) => ElicitResult::new(ElicitationAction::Accept).with_content(answer),
            None => ElicitResult::new(ElicitationAction::Decline),
        }
    }
}

/// While it lives, progress is reported.
pub struct Listening<'a> {
    handler: &'a Handler,
    token: ProgressToken,
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        self.handler.listeners().by_token.remove(&self.token);
    }
}

fn report(run: &Invocation, progress: &ProgressNotificationParam) {
    let done = match progress.total {
        Some(total) => format!("{} of {total}", progress.progress),
        None => progress.progress.to_string(),
    };
    match &progress.message {
        Some(message) => run.report(&format!("{done}: {}", escaped(message))),
        None => run.report(&done),
    }
}

impl rmcp::ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().build();
        ClientConfig::new(
            capabilities,
            Implementation::new("corbie", env!("CARGO_PKG_VERSION")),
        )
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(self.elicit(request).await)
    }

    async fn on_progress(
        &self,
        progress: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let mut listeners = self.listeners();
        let run = listeners.by_token.get(&progress.progress_token).cloned();
        match run {
            Some(run) => {
                drop(listeners);
                report(&run, &progress);
            }
            None => {
                if listeners.early.len() == EARLY {
                    listeners.early.pop_front();
                }
                listeners.early.push_back(progress);
            }
        }
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.stale.store(true, Ordering::Release);
    }
}
