//! Our tools, documents and prompts for other programs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corbie_core::{BoxFuture, Error, ErrorKind, Invocation, PromptTemplate, Result, ToolCall};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProgressNotificationParam, PromptArgument, PromptMessage, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ResourceContents, Role, ServerCapabilities,
    ServerConfig, ToolAnnotations,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::{ErrorData, ServiceExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

use crate::agent::{Ran, Tools, fresh_run_id};

/// The most calls that run at once; more wait.
const MAX_CALLS: usize = 16;

/// A document that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its address.
    pub uri: String,
    /// Its name.
    pub name: String,
    /// What it is, such as `text/markdown`.
    pub media_type: String,
    /// How many bytes its text has.
    pub bytes: Option<u64>,
}

/// Where a server's documents come from.
pub trait Resources: Send + Sync {
    /// Some resources, and what to ask for to get the next ones; `None` as `after`: the first.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when `after` is not what an earlier call gave.
    fn list(&self, after: Option<String>)
    -> BoxFuture<'_, Result<(Vec<Resource>, Option<String>)>>;

    /// The text of a resource and what it is; `None`: there is no such resource.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read<'a>(&'a self, uri: &'a str) -> BoxFuture<'a, Result<Option<(String, String)>>>;
}

/// A text with blanks that a server offers to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The blanks, all of which must be filled, and what belongs in them.
    pub arguments: Vec<(String, String)>,
    /// The text.
    pub template: PromptTemplate,
}

/// What a server offers, and how it works.
///
/// ```no_run
/// use std::sync::Arc;
///
/// use corbie_agents::{Tools, mcp::Server, tools};
///
/// # async fn serve() -> corbie_core::Result<()> {
/// let tools = Tools::new([Arc::new(tools::calculator()) as _])?;
/// Server::new("calculator", tools).serve(tokio::io::stdin(), tokio::io::stdout()).await
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// What a client's model should know of it; empty: nothing.
    pub instructions: String,
    /// Its tools.
    pub tools: Tools,
    /// Its documents.
    pub resources: Option<Arc<dyn Resources>>,
    /// Its prompts.
    pub prompts: Vec<Prompt>,
    /// How long a call may take.
    pub timeout: Duration,
    /// The most bytes of a result.
    pub result_bytes: usize,
}

impl Server {
    /// A server of these tools.
    pub fn new(name: impl Into<String>, tools: Tools) -> Self {
        Self {
            name: name.into(),
            instructions: String::new(),
            tools,
            resources: None,
            prompts: Vec::new(),
            timeout: Duration::from_secs(600),
            result_bytes: 1 << 20,
        }
    }

    /// Serves one client on a pair of streams, such as standard input and output, until it leaves.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) when what comes is no Model Context Protocol.
    pub async fn serve<R, W>(self, read: R, write: W) -> Result<()>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let subject = "MCP client";
        match ServiceExt::<RoleServer>::serve(Offer::new(self), (read, write)).await {
            Ok(service) => {
                let ended = service.waiting().await;
                ended.map_err(|error| Error::new(ErrorKind::Internal, subject, error))?;
                Ok(())
            }
            // A client that leaves at once does no harm.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => Ok(()),
            Err(error) => {
                let cause = format!("it does not begin: {error}");
                Err(Error::new(ErrorKind::Malformed, subject, cause))
            }
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("tools", &self.tools)
            .finish_non_exhaustive()
    }
}

/// A server with what its clients share.
#[derive(Clone)]
pub(super) struct Offer {
    server: Arc<Server>,
    calls: Arc<Semaphore>,
}

impl Offer {
    pub fn new(server: Server) -> Self {
        Self {
            server: Arc::new(server),
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
        }
    }

    async fn run(
        &self,
        call: ToolCall,
        context: &RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        let _turn = self.calls.acquire().await;
        let mut run = Invocation::new(fresh_run_id(), call.arguments);
        let (reports, mut heard) = tokio::sync::mpsc::unbounded_channel::<String>();
        let token = context.meta.get_progress_token();
        if token.is_some() {
            run = run.on_progress(move |text| drop(reports.send(text.to_owned())));
        }
        let reported = AtomicU64::new(0);
        let tell = async {
            while let (Some(message), Some(token)) = (heard.recv().await, token.as_ref()) {
                let count = reported.fetch_add(1, Ordering::Relaxed) + 1;
                let progress = ProgressNotificationParam::new(token.clone(), count as f64)
                    .with_message(message);
                // Whoever left hears nothing.
                drop(context.peer.notify_progress(progress).await);
            }
            std::future::pending::<()>().await
        };
        let work = self.server.tools.run(
            &call.name,
            run,
            (self.server.timeout, self.server.timeout),
            self.server.result_bytes,
        );
        let ran = tokio::select! {
            ran = work => ran,
            () = tell => unreachable!("it is pending"),
            () = context.ct.cancelled() => {
                return Err(ErrorData::internal_error("the call was cancelled", None));
            }
        };
        let text = |text: String| vec![ContentBlock::text(text)];
        Ok(match ran {
            Ran::Ended(result) if result.failed => CallToolResult::error(text(result.content)),
            Ran::Ended(result) => CallToolResult::success(text(result.content)),
            Ran::Unknown(why) => {
                let told = format!("Error: {why}; nobody knows whether it took effect");
                CallToolResult::error(text(told))
            }
            Ran::Waits(_) => {
                let told = "Error: it waits for a person, who cannot be asked here";
                CallToolResult::error(text(told.to_owned()))
            }
            Ran::Broke(error) => CallToolResult::error(text(format!("Error: {error}"))),
        })
    }

    fn find_prompt(&self, name: &str) -> Result<&Prompt, ErrorData> {
        let found = self
            .server
            .prompts
            .iter()
            .find(|prompt| prompt.name == name);
        found.ok_or_else(|| ErrorData::invalid_params(format!("there is no prompt `{name}`"), None))
    }
}

/// An error of ours as one of the protocol.
fn refused(error: Error) -> ErrorData {
    match error.kind() {
        ErrorKind::BadInput => ErrorData::invalid_params(error.to_string(), None),
        _ => ErrorData::internal_error(error.to_string(), None),
    }
}

impl rmcp::ServerHandler for Offer {
    fn get_info(&self) -> ServerConfig {
        let mut capabilities = ServerCapabilities::builder().enable_tools().build();
        if self.server.resources.is_some() {
            capabilities.resources = Some(Default::default());
        }
        if !self.server.prompts.is_empty() {
            capabilities.prompts = Some(Default::default());
        }
        let identity = Implementation::new(self.server.name.clone(), env!("CARGO_PKG_VERSION"));
        let config = ServerConfig::new(capabilities).with_server_info(identity);
        match self.server.instructions.is_empty() {
            true => config,
            false => config.with_instructions(self.server.instructions.clone()),
        }
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = self.server.tools.specs().map(|spec| {
            let schema = match &spec.parameters {
                Value::Object(schema) => schema.clone(),
                _ => Default::default(),
            };
            let effects = self.server.tools.effects(&spec.name);
            let hints = ToolAnnotations::new()
                .read_only(effects.read_only)
                .destructive(effects.destructive)
                .idempotent(effects.idempotent)
                .open_world(effects.egress);
            rmcp::model::Tool::new(
                spec.name.clone(),
                spec.description.clone(),
                Arc::new(schema),
            )
            .with_annotations(hints)
        });
        Ok(ListToolsResult::with_all_items(tools.collect())
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let call = ToolCall {
            id: String::new(),
            name: request.name.into_owned(),
            arguments: Value::Object(request.arguments.unwrap_or_default()),
        };
        if let Some(complaint) = self.server.tools.complaint(&call) {
            return match self.server.tools.specs().any(|spec| spec.name == call.name) {
                true => Ok(CallToolResult::error(vec![ContentBlock::text(complaint)]).into()),
                false => Err(ErrorData::invalid_params(complaint, None)),
            };
        }
        Ok(self.run(call, &context).await?.into())
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let after = page.and_then(|page| page.cursor);
        let (listed, next) = match &self.server.resources {
            Some(resources) => resources.list(after).await.map_err(refused)?,
            None => (Vec::new(), None),
        };
        let listed = listed.into_iter().map(|it| {
            let resource =
                rmcp::model::Resource::new(it.uri, it.name).with_mime_type(it.media_type);
            match it.bytes {
                Some(bytes) => resource.with_size(bytes),
                None => resource,
            }
        });
        let mut result = ListResourcesResult::with_all_items(listed.collect())
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private);
        result.next_cursor = next;
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::default()
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let found = match &self.server.resources {
            Some(resources) => resources.read(&request.uri).await.map_err(refused)?,
            None => None,
        };
        let Some((text, media_type)) = found else {
            let told = format!("there is no resource {}", request.uri);
            return Err(ErrorData::resource_not_found(told, None));
        };
        let contents = ResourceContents::text(text, request.uri).with_mime_type(media_type);
        Ok(ReadResourceResult::new(vec![contents])
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private)
            .into())
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        let prompts = self.server.prompts.iter().map(|prompt| {
            let arguments = prompt.arguments.iter().map(|(name, about)| {
                PromptArgument::new(name.clone())
                    .with_description(about.clone())
                    .with_required(true)
            });
            rmcp::model::Prompt::new(
                prompt.name.clone(),
                Some(prompt.description.clone()),
                Some(arguments.collect()),
            )
        });
        Ok(ListPromptsResult::with_all_items(prompts.collect())
            .with_ttl_ms(0)
            .with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let prompt = self.find_prompt(&request.name)?;
        let given = request.arguments.unwrap_or_default();
        let values: Vec<(&str, &str)> = given
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let text = prompt.template.render(&values).map_err(refused)?;
        let messages = vec![PromptMessage::new_text(Role::User, text)];
        let result = GetPromptResult::new(messages).with_description(prompt.description.clone());
        Ok(result.into())
    }
}
