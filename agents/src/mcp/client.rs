//! Servers that are connected, and their tools.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use corbie_core::{Error, ErrorKind, Invocation, Result, Tool};
use rmcp::model::{
    CallToolRequestParams, CallToolResult, GetPromptRequestParams, JsonObject, ProtocolVersion,
    ReadResourceRequestParams, ServerCapabilities, SubscriptionFilter,
};
use rmcp::service::{RoleClient, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientCacheConfig, ClientLifecycleMode, ClientServiceExt};

use super::config::{Config, Endpoint, namespace};
use super::handler::{Consent, Handler, Host};
use super::launch::{self, Program, command_line};
use super::pins::{Approval, Pins, Subject};
use super::screen::escaped;
use super::tool::{Candidate, ServerTool, effects};
use super::{call, content, helpers, listing};
use crate::Tools;

/// The largest message of a server.
const MAX_MESSAGE: usize = 16 << 20;

/// How servers are connected.
#[derive(Clone)]
pub struct ConnectOptions {
    /// The person who approves and answers.
    pub host: Arc<dyn Host>,
    /// Whether only servers on this machine may be reached.
    pub offline: bool,
    /// How long a server may take until it is ready.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    /// Nobody is there: what was not approved before is not used.
    fn default() -> Self {
        Self {
            host: Arc::new(()),
            offline: false,
            timeout: Duration::from_secs(60),
        }
    }
}

/// A tool that a server has and a model does not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The server.
    pub server: String,
    /// The tool.
    pub tool: String,
    /// Why.
    pub why: String,
    /// Whether a person's approval would let it in.
    pub needs_approval: bool,
}

/// What is known of a connected server, shared with its tools. The server's program ends with it.
pub struct Connection {
    pub handler: Arc<Handler>,
    service: RunningService<RoleClient, Arc<Handler>>,
    /// The tools as they are now, by the server's names.
    hashes: Mutex<HashMap<String, String>>,
    _program: Option<Program>,
}

impl Connection {
    /// Lists the tools again, after the server said that they changed.
    pub async fn look_again(&self) -> Result<()> {
        self.handler.stale.store(false, Ordering::Release);
        let listed = listing::tools(&self.handler.server, self.service.peer()).await;
        let listed = listed.inspect_err(|_| self.handler.stale.store(true, Ordering::Release))?;
        self.remember(listed.into_iter().filter_map(|it| Candidate::new(it).ok()));
        Ok(())
    }

    fn remember(&self, tools: impl Iterator<Item = Candidate>) {
        let tools = tools.map(|it| (it.described.name.into_owned(), it.hash));
        let tools = tools.collect();
        *self.hashes.lock().unwrap_or_else(PoisonError::into_inner) = tools;
    }

    /// Whether a tool is what it was.
    pub fn is_still(&self, tool: &str, hash: &str) -> bool {
        let hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        hashes.get(tool).is_some_and(|now| now == hash)
    }

    pub async fn call(
        &self,
        params: CallToolRequestParams,
        run: &Invocation,
    ) -> Result<CallToolResult> {
        call::tool(self.service.peer(), &self.handler, params, run).await
    }

    fn fail(&self) -> impl Fn(rmcp::service::ServiceError) -> Error + '_ {
        |error| call::failed(&self.handler.server, error)
    }
}

/// A connected server.
#[derive(Clone)]
pub struct Client {
    space: String,
    connection: Arc<Connection>,
    tools: Vec<Arc<dyn Tool>>,
    blocked: Vec<Blocked>,
}

impl Client {
    /// Starts or reaches a server, if a person approved that, and takes the tools that a person
    /// approved. What is new or changed they are asked about.
    ///
    /// # Errors
    ///
    /// [`Unauthorized`](ErrorKind::Unauthorized) when it is not approved;
    /// [`NotFound`](ErrorKind::NotFound), [`Unavailable`](ErrorKind::Unavailable) and
    /// [`Malformed`](ErrorKind::Malformed) when it cannot be started, reached or understood;
    /// [`Offline`](ErrorKind::Offline); those of [`Pins`].
    pub async fn connect(
        server: &str,
        endpoint: &Endpoint,
        pins: &Pins,
        options: &ConnectOptions,
    ) -> Result<Self> {
        let believed = approve(server, endpoint, pins, options).await?;
        let handler = Arc::new(Handler::new(server, Arc::clone(&options.host)));
        let ready = start(Arc::clone(&handler), endpoint, options.offline);
        let late = || {
            let cause = format!("it was not ready within {} s", options.timeout.as_secs());
            Error::new(
                ErrorKind::Unavailable,
                format!("MCP server `{server}`"),
                cause,
            )
        };
        let (service, program) = tokio::time::timeout(options.timeout, ready)
            .await
            .map_err(|_| late())??;
        // What is kept might be another thing than what is used.
        let caching = ClientCacheConfig::disabled();
        service.peer().set_response_cache_config(caching).await;
        let connection = Arc::new(Connection {
            handler,
            service,
            hashes: Mutex::default(),
            _program: program,
        });
        let mut client = Self {
            space: namespace(server),
            connection,
            tools: Vec::new(),
            blocked: Vec::new(),
        };
        tokio::time::timeout(options.timeout, client.watch_changes())
            .await
            .map_err(|_| late())?;
        // Ours come first: a tool of the server cannot take their names.
        client.tools = helpers::tools(&client, believed);
        client.take_tools(pins, options).await?;
        Ok(client)
    }

    /// On connections without a session, changes are told to those who listen.
    async fn watch_changes(&self) {
        let changes = self.capabilities().tools.and_then(|it| it.list_changed);
        let stateless = self.protocol_version() >= ProtocolVersion::V_2026_07_28.to_string();
        if changes != Some(true) || !stateless {
            return;
        }
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let Ok(mut subscription) = self.connection.service.peer().listen(filter).await else {
            return;
        };
        let handler = Arc::clone(&self.connection.handler);
        tokio::spawn(async move {
            while let Ok(Some(_)) = subscription.next().await {
                handler.stale.store(true, Ordering::Release);
            }
        });
    }

    /// Takes the tools that are approved; asks about the others.
    async fn take_tools(&mut self, pins: &Pins, options: &ConnectOptions) -> Result<()> {
        let server = self.name().to_owned();
        if self.capabilities().tools.is_none() {
            return Ok(());
        }
        let peer = self.connection.service.peer();
        let listed = tokio::time::timeout(options.timeout, listing::tools(&server, peer)).await;
        let listed = listed.map_err(|_| {
            let cause = "it did not list its tools in time";
            Error::new(
                ErrorKind::Unavailable,
                format!("MCP server `{server}`"),
                cause,
            )
        })??;
        let (mut approved, mut open) = (Vec::new(), Vec::new());
        for described in listed {
            let tool = escaped(&described.name);
            let mut candidate = match Candidate::new(described) {
                Ok(candidate) => candidate,
                Err(error) => {
                    self.block(tool, error.cause().to_owned(), false);
                    continue;
                }
            };
            match pins.approved(&server, Subject::Tool(&candidate.described.name))? {
                Some(approval) if approval.hash == candidate.hash => {
                    approved.push((candidate, approval.believed));
                }
                earlier => {
                    candidate.review.changed = earlier.is_some();
                    open.push(candidate);
                }
            }
        }
        if !open.is_empty() {
            let reviews: Vec<_> = open.iter().map(|it| it.review.clone()).collect();
            let verdicts = options.host.approve_tools(&server, &reviews).await;
            let mut verdicts = verdicts.into_iter();
            for candidate in open {
                let verdict = verdicts.next().unwrap_or_default();
                if verdict == Consent::Refused {
                    let mut why = match candidate.review.changed {
                        true => "it changed since it was approved".to_owned(),
                        false => "it is not approved".to_owned(),
                    };
                    if candidate.review.invisible {
                        why.push_str("; its description holds invisible characters");
                    }
                    self.block(candidate.review.tool, why, true);
                    continue;
                }
                let approval = Approval {
                    hash: candidate.hash.clone(),
                    believed: verdict == Consent::Believed,
                };
                let subject = Subject::Tool(&candidate.described.name);
                pins.approve(&server, subject, &approval)?;
                approved.push((candidate, approval.believed));
            }
        }
        for (candidate, believed) in &approved {
            self.tools.push(Arc::new(ServerTool {
                spec: candidate.spec(&self.space),
                effects: effects(&candidate.described, *believed),
                hash: candidate.hash.clone(),
                tool: candidate.described.name.clone().into_owned(),
                connection: Arc::clone(&self.connection),
            }));
        }
        let approved = approved.into_iter().map(|(candidate, _)| candidate);
        self.connection.remember(approved);
        Ok(())
    }

    fn block(&mut self, tool: String, why: String, needs_approval: bool) {
        self.blocked.push(Blocked {
            server: self.name().to_owned(),
            tool,
            why,
            needs_approval,
        });
    }

    /// The server's name in the file.
    pub fn name(&self) -> &str {
        &self.connection.handler.server
    }

    /// What stands before `__` in the names of its tools.
    pub fn namespace(&self) -> &str {
        &self.space
    }

    /// The protocol that is spoken with it, such as `2026-07-28`.
    pub fn protocol_version(&self) -> String {
        let info = self.connection.service.peer().peer_info();
        info.map(|info| info.protocol_version.to_string())
            .unwrap_or_default()
    }

    /// The same server, for those who only speak to it.
    pub(super) fn without_tools(&self) -> Self {
        Self {
            tools: Vec::new(),
            blocked: Vec::new(),
            ..self.clone()
        }
    }

    pub(super) fn capabilities(&self) -> ServerCapabilities {
        let info = self.connection.service.peer().peer_info();
        info.map(|info| info.capabilities.clone())
            .unwrap_or_default()
    }

    /// Its approved tools, and those that list and read its resources and prompts.
    pub fn tools(&self) -> &[Arc<dyn Tool>] {
        &self.tools
    }

    /// Those of its tools that a model does not get.
    pub fn blocked(&self) -> &[Blocked] {
        &self.blocked
    }

    /// Its resources: a line for each, with address and description; those whose address has
    /// blanks come last.
    ///
    /// # Errors
    ///
    /// When it does not list them.
    pub async fn resources(&self) -> Result<Vec<String>> {
        let (name, peer) = (self.name(), self.connection.service.peer());
        let resources = listing::resources(name, peer).await?;
        let templates = listing::templates(name, peer).await?;
        let line = |uri: &str, name: &str, about: Option<&str>| match about {
            Some(about) => format!("{uri}: {name}: {about}"),
            None => format!("{uri}: {name}"),
        };
        let resources = resources
            .iter()
            .map(|it| line(&it.uri, &it.name, it.description.as_deref()));
        let templates = templates
            .iter()
            .map(|it| line(&it.uri_template, &it.name, it.description.as_deref()));
        Ok(resources.chain(templates).collect())
    }

    /// The text of a resource.
    ///
    /// # Errors
    ///
    /// When it does not give it.
    pub async fn read_resource(&self, uri: &str) -> Result<String> {
        let params = ReadResourceRequestParams::new(uri);
        let read = self.connection.service.read_resource(params).await;
        let read = read.map_err(self.connection.fail())?;
        Ok(content::resource(&read.contents))
    }

    /// Its prompts: a line for each, with name, arguments and description.
    ///
    /// # Errors
    ///
    /// When it does not list them.
    pub async fn prompts(&self) -> Result<Vec<String>> {
        let prompts = listing::prompts(self.name(), self.connection.service.peer()).await?;
        let line = |prompt: &rmcp::model::Prompt| {
            let arguments: Vec<String> = prompt
                .arguments
                .iter()
                .flatten()
                .map(|it| match it.required {
                    Some(true) => it.name.clone(),
                    _ => format!("{}?", it.name),
                })
                .collect();
            let about = prompt.description.as_deref().unwrap_or_default();
            format!("{}({}): {about}", prompt.name, arguments.join(", "))
        };
        Ok(prompts.iter().map(line).collect())
    }

    /// A prompt, filled in: its messages as one text.
    ///
    /// # Errors
    ///
    /// When it does not give it.
    pub async fn prompt(&self, name: &str, arguments: JsonObject) -> Result<String> {
        let mut params = GetPromptRequestParams::new(name);
        params.arguments = (!arguments.is_empty()).then_some(arguments);
        let prompt = self.connection.service.get_prompt(params).await;
        let prompt = prompt.map_err(self.connection.fail())?;
        Ok(content::prompt(&prompt))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.name())
            .field("protocol", &self.protocol_version())
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

/// Whether a server may be started or reached, and whether its own words on resources are believed.
async fn approve(
    server: &str,
    endpoint: &Endpoint,
    pins: &Pins,
    options: &ConnectOptions,
) -> Result<bool> {
    // A wrong address is told before anybody is asked about it.
    if let Endpoint::Http { url, headers } = endpoint {
        launch::address(server, url, headers, options.offline)?;
    }
    let hash = endpoint.hash();
    let earlier = pins.approved(server, Subject::Endpoint)?;
    if let Some(approval) = earlier.as_ref().filter(|it| it.hash == hash) {
        return Ok(approval.believed);
    }
    let consent = options.host.approve_server(server, endpoint).await;
    if consent == Consent::Refused {
        let what = match earlier {
            Some(_) => "another command or address was approved, not this one",
            None => "nobody approved it",
        };
        let cause = format!("{what}: {}", command_line(endpoint));
        let error = Error::new(
            ErrorKind::Unauthorized,
            format!("MCP server `{server}`"),
            cause,
        );
        return Err(error.hint(format!("corbie mcp approve {server} --mcp-config FILE")));
    }
    let believed = consent == Consent::Believed;
    pins.approve(server, Subject::Endpoint, &Approval { hash, believed })?;
    Ok(believed)
}

type Started = (RunningService<RoleClient, Arc<Handler>>, Option<Program>);

/// Starts or reaches a server and agrees on the protocol: the newest, or what it speaks.
async fn start(handler: Arc<Handler>, endpoint: &Endpoint, offline: bool) -> Result<Started> {
    let server = handler.server.clone();
    let eras = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    };
    let failed = |error: rmcp::service::ClientInitializeError| {
        let cause = format!("it does not begin: {}", escaped(&error.to_string()));
        Error::new(
            ErrorKind::Unavailable,
            format!("MCP server `{server}`"),
            cause,
        )
        .hint("CORBIE_LOG=debug shows what it says")
    };
    match endpoint {
        Endpoint::Command {
            command,
            args,
            env,
            cwd,
        } => {
            let (program, stdout, stdin) =
                Program::start(&server, command, args, env, cwd.as_deref())?;
            let transport = rmcp::transport::async_rw::AsyncRwTransport::new(stdout, stdin)
                .with_max_line_length(MAX_MESSAGE);
            let service = handler.serve_with_lifecycle(transport, eras).await;
            Ok((service.map_err(failed)?, Some(program)))
        }
        Endpoint::Http { url, headers } => {
            let (url, headers) = launch::address(&server, url, headers, offline)?;
            // Headers may hold keys: they go to this address and to no other.
            let client = reqwest::Client::builder()
                .default_headers(headers)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(Duration::from_secs(10));
            let client = client.build().map_err(|error| {
                let subject = format!("MCP server `{server}`");
                Error::new(ErrorKind::Internal, subject, error)
            })?;
            let config = StreamableHttpClientTransportConfig::with_uri(url.to_string());
            let transport = StreamableHttpClientTransport::with_client(client, config);
            let service = handler.serve_with_lifecycle(transport, eras).await;
            Ok((service.map_err(failed)?, None))
        }
    }
}

/// The connected servers of a file.
#[derive(Debug, Default)]
pub struct Clients {
    /// Those that are connected.
    pub connected: Vec<Client>,
    /// Those that are not, by name, and why.
    pub failed: Vec<(String, Error)>,
}

impl Clients {
    /// Connects the servers of a file, one after the other, so that a person is asked about one at
    /// a time. One that fails does not keep the others away.
    pub async fn connect(config: &Config, pins: &Pins, options: &ConnectOptions) -> Self {
        let mut clients = Self::default();
        for (server, endpoint) in &config.servers {
            match Client::connect(server, endpoint, pins, options).await {
                Ok(client) => clients.connected.push(client),
                Err(error) => clients.failed.push((server.clone(), error)),
            }
        }
        clients
    }

    /// Adds all tools to `tools`. Tools that a model does not get are returned: those that are
    /// blocked, and those that a tool of the same name keeps away.
    pub fn add_to(&self, tools: &mut Tools) -> Vec<Blocked> {
        let mut blocked = Vec::new();
        for client in &self.connected {
            blocked.extend_from_slice(client.blocked());
            for tool in client.tools() {
                if let Err(error) = tools.add(Arc::clone(tool)) {
                    blocked.push(Blocked {
                        server: client.name().to_owned(),
                        tool: tool.spec().name.clone(),
                        why: error.cause().to_owned(),
                        needs_approval: false,
                    });
                }
            }
        }
        blocked
    }
}
