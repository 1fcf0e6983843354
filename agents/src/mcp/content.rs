//! What servers give, as text for a model. Pictures and sounds are named, not inlined.

use corbie_core::{Error, ErrorKind, Result};
use rmcp::model::{CallToolResult, ContentBlock, GetPromptResult, ResourceContents};
use serde_json::Value;

/// The result of a tool.
///
/// # Errors
///
/// What the tool says, when it says that it failed.
pub fn result(subject: &str, result: CallToolResult) -> Result<Value> {
    let mut text = joined(result.content.iter());
    // Servers that give data give it as text, too, for clients that know nothing of it.
    if text.is_empty()
        && let Some(data) = result.structured_content
    {
        text = data.to_string();
    }
    match result.is_error {
        Some(true) => {
            let cause = if text.is_empty() { "it failed" } else { &text };
            Err(Error::new(ErrorKind::BadInput, subject, cause))
        }
        _ => Ok(Value::String(text)),
    }
}

/// A prompt: its messages, each under the name of whoever speaks.
pub fn prompt(prompt: &GetPromptResult) -> String {
    let messages = prompt.messages.iter().map(|message| {
        let role = serde_json::to_value(&message.role).unwrap_or_default();
        let role = role.as_str().unwrap_or("user").to_owned();
        format!("{role}: {}", block(&message.content))
    });
    messages.collect::<Vec<_>>().join("\n\n")
}

/// The parts of a resource.
pub fn resource(parts: &[ResourceContents]) -> String {
    let parts = parts.iter().map(|part| match part {
        ResourceContents::TextResourceContents { text, .. } => text.clone(),
        other => contents(other),
    });
    parts.collect::<Vec<_>>().join("\n\n")
}

fn joined<'a>(blocks: impl Iterator<Item = &'a ContentBlock>) -> String {
    blocks.map(block).collect::<Vec<_>>().join("\n\n")
}

fn block(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => hidden("image", &image.mime_type, &image.data),
        ContentBlock::Audio(audio) => hidden("sound", &audio.mime_type, &audio.data),
        ContentBlock::Resource(embedded) => contents(&embedded.resource),
        ContentBlock::ResourceLink(link) => {
            let about = link.description.as_deref().unwrap_or(&link.name);
            format!("[resource {}: {about}]", link.uri)
        }
        _ => "[content of an unknown kind]".to_owned(),
    }
}

fn contents(contents: &ResourceContents) -> String {
    match contents {
        ResourceContents::TextResourceContents { uri, text, .. } => {
            format!("[resource {uri}]\n{text}")
        }
        ResourceContents::BlobResourceContents {
            uri,
            mime_type,
            blob,
            ..
        } => {
            let kind = mime_type.as_deref().unwrap_or("application/octet-stream");
            format!("[resource {uri}] {}", hidden("file", kind, blob))
        }
        _ => "[resource of an unknown kind]".to_owned(),
    }
}

/// What stands in the place of bytes, given in base 64.
fn hidden(what: &str, kind: &str, data: &str) -> String {
    format!("[{what}, {kind}, {} bytes, not shown]", data.len() / 4 * 3)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn of(result: Value) -> Result<Value> {
        super::result("s", serde_json::from_value(result).unwrap())
    }

    #[test]
    fn content_becomes_text() {
        for (given, text) in [
            (json!({"content": [{"type": "text", "text": "五"}]}), "五"),
            (
                json!({"content": [
                    {"type": "text", "text": "a"},
                    {"type": "image", "data": "AAAA", "mimeType": "image/png"},
                    {"type": "audio", "data": "AAAAAAAA", "mimeType": "audio/wav"},
                ]}),
                "a\n\n[image, image/png, 3 bytes, not shown]\n\n[sound, audio/wav, 6 bytes, not shown]",
            ),
            (
                json!({"content": [
                    {"type": "resource_link", "uri": "x://1", "name": "one"},
                    {"type": "resource", "resource": {"uri": "x://2", "text": "two"}},
                    {"type": "resource", "resource": {"uri": "x://3", "blob": "AAAA", "mimeType": "a/b"}},
                ]}),
                "[resource x://1: one]\n\n[resource x://2]\ntwo\n\n[resource x://3] [file, a/b, 3 bytes, not shown]",
            ),
            (
                json!({"content": [], "structuredContent": {"sum": 3}}),
                r#"{"sum":3}"#,
            ),
            (
                json!({"content": [{"type": "text", "text": "3"}], "structuredContent": {"sum": 3}}),
                "3",
            ),
        ] {
            assert_eq!(of(given).unwrap(), json!(text));
        }
    }

    #[test]
    fn a_failure_is_an_error_in_the_tools_words() {
        let failed =
            json!({"content": [{"type": "text", "text": "no such city"}], "isError": true});
        let error = of(failed).unwrap_err();
        assert!(error.to_string().contains("no such city"));
    }
}
