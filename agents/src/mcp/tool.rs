//! A server's tool: its name, what it may do, what a person sees of it, and running it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use corbie_core::{
    BoxFuture, Effects, Error, ErrorKind, Invocation, Result, Tool, ToolSpec, schema,
};
use rmcp::model::{CallToolRequestParams, JsonObject, Tool as Described};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::client::Connection;
use super::config::hex;
use super::content;
use super::screen::{escaped, has_invisible};

/// The longest description and schema, in bytes: they stand in every prompt.
const MAX_DESCRIPTION: usize = 16 << 10;
const MAX_SCHEMA: usize = 256 << 10;
/// The longest name that a model may call.
const MAX_NAME: usize = 64;

/// What a person sees of a tool before they approve it. Invisible characters are written out.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// The server's name for it.
    pub tool: String,
    /// What it says it does.
    pub description: String,
    /// The schema of its arguments.
    pub schema: Value,
    /// What the server claims of its effects, in words of the protocol; empty: nothing.
    pub claims: Vec<&'static str>,
    /// Whether it was approved once and is another now.
    pub changed: bool,
    /// Whether it holds characters that people do not see and models read.
    pub invisible: bool,
}

/// A tool as the server describes it, checked, not yet approved.
pub struct Candidate {
    pub described: Described,
    pub hash: String,
    pub review: Review,
}

impl Candidate {
    /// Checks a description.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) and [`Unsupported`](ErrorKind::Unsupported) for
    /// one that costs too much or leads out of itself.
    pub fn new(described: Described) -> Result<Self> {
        let subject = format!("tool `{}`", escaped(&described.name));
        let too_long = |what: &str, most: usize| {
            let cause = format!("its {what} is longer than {most} bytes");
            Err(Error::new(ErrorKind::LimitExceeded, &subject, cause))
        };
        let description = described.description.as_deref().unwrap_or_default();
        if description.len() > MAX_DESCRIPTION {
            return too_long("description", MAX_DESCRIPTION);
        }
        let parameters = Value::Object((*described.input_schema).clone());
        schema::measure(&subject, &parameters)?;
        if parameters.to_string().len() > MAX_SCHEMA {
            return too_long("schema", MAX_SCHEMA);
        }
        if let Some(output) = &described.output_schema {
            schema::measure(&subject, &Value::Object((**output).clone()))?;
        }
        let whole = identity(&described);
        let invisible = has_invisible(&whole);
        Ok(Self {
            hash: hex(&Sha256::digest(whole.as_bytes())),
            review: Review {
                tool: escaped(&described.name),
                description: escaped(description),
                schema: shown(&parameters, true),
                claims: claims(&described),
                changed: false,
                invisible,
            },
            described,
        })
    }

    /// What a model is told. `space` stands before the name.
    pub fn spec(&self, space: &str) -> ToolSpec {
        let title = self.described.title.as_deref().map(escaped);
        ToolSpec {
            name: name(space, &self.described.name),
            description: match self.review.description.is_empty() {
                true => title.unwrap_or_default(),
                false => self.review.description.clone(),
            },
            parameters: shown(
                &Value::Object((*self.described.input_schema).clone()),
                false,
            ),
        }
    }
}

/// What a tool is, as one text: the same for the same tool, whatever the order of its fields.
fn identity(tool: &Described) -> String {
    let annotations = serde_json::to_value(&tool.annotations).unwrap_or_default();
    let whole = json!({
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": *tool.input_schema,
        "outputSchema": tool.output_schema.as_deref(),
        "annotations": annotations,
    });
    sorted(whole).to_string()
}

/// A value with the fields of its objects in alphabetical order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut fields: Vec<(String, Value)> = map.into_iter().collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(fields.collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A schema with invisible characters written out: in all texts for a person, in those that only
/// describe for a model, who must be able to say the others.
fn shown(value: &Value, all: bool) -> Value {
    match value {
        Value::Object(map) => {
            let field = |(key, value): (&String, &Value)| {
                let describes = matches!(key.as_str(), "description" | "title" | "$comment");
                let value = match value {
                    Value::String(text) if all || describes => Value::String(escaped(text)),
                    other => shown(other, all),
                };
                let key = if all { escaped(key) } else { key.clone() };
                (key, value)
            };
            Value::Object(map.iter().map(field).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(|it| shown(it, all)).collect()),
        Value::String(text) if all => Value::String(escaped(text)),
        other => other.clone(),
    }
}

fn claims(tool: &Described) -> Vec<&'static str> {
    let Some(hints) = &tool.annotations else {
        return Vec::new();
    };
    [
        (hints.read_only_hint == Some(true), "readOnlyHint"),
        (hints.destructive_hint == Some(false), "not destructiveHint"),
        (hints.idempotent_hint == Some(true), "idempotentHint"),
        (hints.open_world_hint == Some(false), "not openWorldHint"),
    ]
    .into_iter()
    .filter_map(|(claimed, name)| claimed.then_some(name))
    .collect()
}

/// What a server's tool may do: anything, unless the person who approved it believes the server.
/// Its results are never trusted.
pub fn effects(tool: &Described, believed: bool) -> Effects {
    let hints = tool.annotations.clone().unwrap_or_default();
    let claims = |claim: Option<bool>, wanted: bool| believed && claim == Some(wanted);
    let read_only = claims(hints.read_only_hint, true);
    Effects {
        read_only,
        destructive: !read_only && !claims(hints.destructive_hint, false),
        egress: !claims(hints.open_world_hint, false),
        idempotent: read_only || claims(hints.idempotent_hint, true),
        trusted: false,
        approval: false,
    }
}

/// The name by which a model calls a tool: `server__tool`, in letters that every model's tools may
/// have. A name that had to be changed ends with a part of its hash, so that no two become one.
pub fn name(space: &str, tool: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let whole = format!("{space}__{tool}");
    if whole.len() <= MAX_NAME && !tool.is_empty() && tool.chars().all(fits) {
        return whole;
    }
    let hash = &hex(&Sha256::digest(tool.as_bytes()))[..8];
    let mut changed: String = whole
        .chars()
        .map(|c| if fits(c) { c } else { '_' })
        .take(MAX_NAME - 9)
        .collect();
    changed.push('_');
    changed.push_str(hash);
    changed
}

/// An approved tool.
pub struct ServerTool {
    pub spec: ToolSpec,
    pub effects: Effects,
    pub hash: String,
    /// The server's name for it.
    pub tool: String,
    pub connection: Arc<Connection>,
}

impl Tool for ServerTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn effects(&self) -> Effects {
        self.effects
    }

    fn call(&self, run: Invocation) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move {
            let connection = &self.connection;
            if connection.handler.stale.load(Ordering::Acquire) {
                connection.look_again().await?;
            }
            if !connection.is_still(&self.tool, &self.hash) {
                let subject = format!("tool `{}`", self.spec.name);
                let cause = "its server changed it since it was approved";
                return Err(Error::new(ErrorKind::Mismatch, subject, cause)
                    .hint("a person must approve it again"));
            }
            let arguments: JsonObject = match run.arguments.clone() {
                Value::Object(arguments) => arguments,
                _ => Map::new(),
            };
            let params = CallToolRequestParams::new(self.tool.clone()).with_arguments(arguments);
            let result = connection.call(params, &run).await?;
            content::result(&format!("tool `{}`", self.spec.name), result)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn tool(value: Value) -> Described {
        serde_json::from_value(value).unwrap()
    }

    fn candidate(value: Value) -> Candidate {
        Candidate::new(tool(value)).unwrap()
    }

    #[test]
    fn a_hash_covers_all_that_is_said_and_no_order() {
        let one = candidate(json!({
            "name": "add", "description": "Adds", "annotations": {"readOnlyHint": true},
            "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}},
        }));
        let same = candidate(json!({
            "inputSchema": {"properties": {"b": {}, "a": {}}, "type": "object"},
            "annotations": {"readOnlyHint": true}, "description": "Adds", "name": "add",
        }));
        assert_eq!(one.hash, same.hash);
        for other in [
            json!({"name": "add2", "description": "Adds", "annotations": {"readOnlyHint": true},
                "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}),
            json!({"name": "add", "description": "Adds\u{200b}", "annotations": {"readOnlyHint": true},
                "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}),
            json!({"name": "add", "description": "Adds", "annotations": {"readOnlyHint": false},
                "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}),
            json!({"name": "add", "description": "Adds", "annotations": {"readOnlyHint": true},
                "inputSchema": {"type": "object", "properties": {"a": {"title": "x"}, "b": {}}}}),
            json!({"name": "add", "title": "T", "description": "Adds", "annotations": {"readOnlyHint": true},
                "inputSchema": {"type": "object", "properties": {"a": {}, "b": {}}}}),
        ] {
            assert_ne!(one.hash, candidate(other.clone()).hash, "{other}");
        }
    }

    #[test]
    fn what_hides_is_flagged_and_written_out() {
        let hidden = candidate(json!({
            "name": "add",
            "description": "Adds\u{e0049}\u{e0067}\u{202e}",
            "inputSchema": {"type": "object", "properties": {
                "a": {"description": "x\u{200b}", "enum": ["y\u{200b}"]},
            }},
        }));
        assert!(hidden.review.invisible);
        assert_eq!(
            hidden.review.description,
            "Adds\\u{e0049}\\u{e0067}\\u{202e}"
        );
        let property = &hidden.review.schema["properties"]["a"];
        assert_eq!(property["enum"][0], "y\\u{200b}");
        // A model reads no hidden words either, but can say what is wanted.
        let spec = hidden.spec("s");
        assert_eq!(spec.description, hidden.review.description);
        let property = &spec.parameters["properties"]["a"];
        assert_eq!(property["description"], "x\\u{200b}");
        assert_eq!(property["enum"][0], "y\u{200b}");
    }

    #[test]
    fn effects_are_the_worst_until_believed() {
        let reads = tool(json!({"name": "r", "inputSchema": {"type": "object"},
            "annotations": {"readOnlyHint": true, "openWorldHint": false}}));
        let worst = Effects {
            destructive: true,
            egress: true,
            ..Effects::default()
        };
        assert_eq!(effects(&reads, false), worst);
        let believed = Effects {
            read_only: true,
            idempotent: true,
            ..Effects::default()
        };
        assert_eq!(effects(&reads, true), believed);
        let silent = tool(json!({"name": "r", "inputSchema": {"type": "object"}}));
        assert_eq!(effects(&silent, true), worst);
    }

    #[test]
    fn names_fit_and_stay_apart() {
        assert_eq!(name("files", "read"), "files__read");
        let long = "x".repeat(200);
        let names = [
            name("s", "a.b"),
            name("s", "a/b"),
            name("s", "读取"),
            name("s", ""),
            name("s", &long),
            name("s", &format!("{long}y")),
            name("s", "a_b"),
        ];
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        for (index, one) in names.iter().enumerate() {
            assert!(one.len() <= 64 && one.chars().all(fits), "{one}");
            assert!(one.starts_with("s__"));
            assert!(!names[..index].contains(one), "{one}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let wide = vec![json!({}); 1 << 20];
        let bomb = tool(json!({"name": "b", "inputSchema": {"anyOf": wide}}));
        assert!(Candidate::new(bomb).is_err());
        let chatty =
            tool(json!({"name": "b", "description": "x".repeat(1 << 20), "inputSchema": {}}));
        assert!(Candidate::new(chatty).is_err());
    }
}
