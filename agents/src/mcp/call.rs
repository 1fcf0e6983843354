//! One call of a tool, with the questions and the progress that come in between.

use corbie_core::{Error, ErrorKind, Invocation, Result};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam,
    ClientRequest, InputRequest, InputRequests, InputResponses, RequestId, ServerResult,
};
use rmcp::service::{Peer, PeerRequestOptions, RoleClient, ServiceError};

use super::handler::Handler;

/// How often a server may ask for more before it gives its result.
const MAX_ROUNDS: usize = 8;

/// Calls a tool. Dropping the future tells the server that nobody waits any more.
pub async fn tool(
    peer: &Peer<RoleClient>,
    handler: &Handler,
    mut params: CallToolRequestParams,
    run: &Invocation,
) -> Result<CallToolResult> {
    let server = &handler.server;
    for _ in 0..MAX_ROUNDS {
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params.clone()));
        let options = PeerRequestOptions::no_options();
        let sent = peer.send_request_with_option(request, options).await;
        let sent = sent.map_err(|error| failed(server, error))?;
        let listening = handler.listen(&sent.progress_token, run);
        let mut abandoned = Abandoned {
            peer,
            id: Some(sent.id.clone()),
        };
        let reply = sent.await_response().await;
        abandoned.id = None;
        drop(listening);
        match reply.map_err(|error| failed(server, error))? {
            ServerResult::CallToolResult(result) => return Ok(result),
            ServerResult::EmptyResult(_) => return Ok(CallToolResult::success(Vec::new())),
            ServerResult::InputRequiredResult(wanted) => {
                let requests = wanted.input_requests.unwrap_or_default();
                if requests.is_empty() && wanted.request_state.is_none() {
                    return Err(failed(server, ServiceError::UnexpectedResponse));
                }
                let responses = respond(handler, requests).await?;
                params.input_responses = (!responses.is_empty()).then_some(responses);
                params.request_state = wanted.request_state;
            }
            _ => return Err(failed(server, ServiceError::UnexpectedResponse)),
        }
    }
    let error = ServiceError::InputRequiredRoundsExceeded {
        max_rounds: MAX_ROUNDS,
    };
    Err(failed(server, error))
}

/// Answers what a server wants to know; its questions are asked one after the other.
async fn respond(handler: &Handler, requests: InputRequests) -> Result<InputResponses> {
    let mut responses = InputResponses::new();
    for (key, request) in requests {
        let InputRequest::Elicitation(request) = request else {
            let cause = "it asks for what is not offered: only questions to the person are";
            let subject = format!("MCP server `{}`", handler.server);
            return Err(Error::new(ErrorKind::Unsupported, subject, cause));
        };
        let answer = handler.elicit(request.params).await;
        let answer = serde_json::to_value(answer).unwrap_or_default();
        responses.insert(key, answer);
    }
    Ok(responses)
}

/// Cancels a request when it is dropped before the reply came.
struct Abandoned<'a> {
    peer: &'a Peer<RoleClient>,
    id: Option<RequestId>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let peer = self.peer.clone();
        runtime.spawn(async move {
            let reason = Some("nobody waits for it any more".to_owned());
            let notice = CancelledNotificationParam::new(Some(id), reason);
            // A server that is gone need not be told.
            drop(peer.notify_cancelled(notice).await);
        });
    }
}

/// An error of the protocol as one of ours.
pub fn failed(server: &str, error: ServiceError) -> Error {
    let subject = format!("MCP server `{server}`");
    let (kind, cause) = match error {
        ServiceError::McpError(error) => (ErrorKind::BadInput, error.message.into_owned()),
        ServiceError::TransportClosed => (
            ErrorKind::Unavailable,
            "it closed the connection".to_owned(),
        ),
        ServiceError::TransportSend(error) => (
            ErrorKind::Unavailable,
            format!("it cannot be reached: {error}"),
        ),
        ServiceError::Timeout { .. } => (ErrorKind::LimitExceeded, error.to_string()),
        ServiceError::Cancelled { .. } => (ErrorKind::Cancelled, error.to_string()),
        other => (ErrorKind::Malformed, other.to_string()),
    };
    Error::new(kind, subject, cause)
}
