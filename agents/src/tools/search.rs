//! Retrieval as a tool.

use std::sync::Arc;

use corbie_core::{Effects, Invocation, RetrieveRequest, Retriever};
use serde_json::{Value, json};

use crate::FunctionTool;

/// A tool that finds passages of a collection. Its results are text from outside.
pub fn search(
    name: &str,
    about: &str,
    retriever: Arc<dyn Retriever>,
    limit: usize,
) -> FunctionTool {
    let schema = json!({
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to look for"}},
        "required": ["query"],
        "additionalProperties": false,
    });
    let description = format!("Finds passages in {about}. 在文档中查找段落。");
    FunctionTool::new(name, description, schema, move |run: Invocation| {
        let retriever = Arc::clone(&retriever);
        async move {
            let query = run.arguments["query"].as_str().unwrap_or_default();
            let request = RetrieveRequest::new(query).with_limit(limit);
            let hits = retriever.retrieve(request).await?;
            let found: Vec<Value> = hits
                .iter()
                .map(|hit| {
                    json!({
                        "source": hit.chunk.source,
                        "heading": hit.chunk.heading,
                        "page": hit.chunk.page,
                        "text": hit.chunk.text,
                    })
                })
                .collect();
            Ok(json!(found))
        }
    })
    .with_effects(Effects {
        read_only: true,
        idempotent: true,
        ..Effects::default()
    })
}
