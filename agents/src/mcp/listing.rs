//! What a server has, page by page, within bounds.

use std::collections::HashSet;

use corbie_core::{Error, ErrorKind, Result};
use rmcp::model::{PaginatedRequestParams, Prompt, Resource, ResourceTemplate, Tool};
use rmcp::service::{Peer, RoleClient, ServiceError};

use super::call::failed;

/// More pages or entries are an error: a list must end.
const MAX_PAGES: usize = 100;
const MAX_ENTRIES: usize = 2_000;

macro_rules! lists {
    ($(#[$doc:meta] $name:ident: $method:ident, $field:ident of $item:ty;)*) => {$(
        #[$doc]
        pub async fn $name(server: &str, peer: &Peer<RoleClient>) -> Result<Vec<$item>> {
            let mut all = Vec::new();
            let mut seen = HashSet::new();
            let mut cursor = None;
            for _ in 0..MAX_PAGES {
                let page = PaginatedRequestParams::default().with_cursor(cursor.take());
                let page = match peer.$method(Some(page)).await {
                    // A server without any may not know the question.
                    Err(ServiceError::McpError(error)) if all.is_empty() && unknown(&error) => {
                        return Ok(all);
                    }
                    page => page.map_err(|error| failed(server, error))?,
                };
                all.extend(page.$field);
                if all.len() > MAX_ENTRIES {
                    break;
                }
                match page.next_cursor {
                    Some(next) if seen.insert(next.clone()) => cursor = Some(next),
                    _ => return Ok(all),
                }
            }
            let cause = format!("its list has more than {MAX_ENTRIES} entries or {MAX_PAGES} pages");
            Err(Error::new(ErrorKind::LimitExceeded, format!("MCP server `{server}`"), cause))
        }
    )*};
}

fn unknown(error: &rmcp::ErrorData) -> bool {
    error.code == rmcp::model::ErrorCode::METHOD_NOT_FOUND
}

lists! {
    /// All tools.
    tools: list_tools, tools of Tool;
    /// All resources.
    resources: list_resources, resources of Resource;
    /// All kinds of resources with blanks in their addresses.
    templates: list_resource_templates, resource_templates of ResourceTemplate;
    /// All prompts.
    prompts: list_prompts, prompts of Prompt;
}
