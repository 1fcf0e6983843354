//! Asking whoever sits at the terminal about servers; where nobody does, the answer is no.

use std::io::{self, BufRead, IsTerminal, Write};

use corbie_agents::mcp::{Consent, Elicitation, Endpoint, Host, Review, command_line};
use corbie_core::BoxFuture;
use serde_json::{Map, Value};

use crate::output::{Output, printable};

/// The person at the terminal.
pub struct Terminal {
    pub output: Output,
    /// What they said beforehand to all that is asked.
    pub standing: Option<Consent>,
    /// What a yes means.
    pub yes: Consent,
}

impl Terminal {
    fn consent(&self, question: &str) -> Consent {
        if let Some(consent) = self.standing {
            return consent;
        }
        match ask(question).as_deref() {
            Some("y" | "yes") => self.yes,
            _ => Consent::Refused,
        }
    }

    fn show(&self, tool: &Review) {
        let mut marks = Vec::new();
        if tool.changed {
            marks.push("CHANGED since it was approved".to_owned());
        }
        if tool.invisible {
            marks.push("holds INVISIBLE characters, written out here".to_owned());
        }
        if !tool.claims.is_empty() {
            marks.push(format!("claims: {}", tool.claims.join(", ")));
        }
        let marks = match marks.is_empty() {
            true => String::new(),
            false => format!(" ({})", marks.join("; ")),
        };
        let described = tool.description.replace('\n', "\n    ");
        let text = format!(
            "  {}{marks}\n    {described}\n    {}",
            tool.tool, tool.schema
        );
        self.output.note(&text);
    }
}

impl Host for Terminal {
    fn approve_server<'a>(
        &'a self,
        server: &'a str,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, Consent> {
        Box::pin(async move {
            let what = match endpoint {
                Endpoint::Command { .. } => "starts",
                Endpoint::Http { .. } => "is at",
            };
            let shown = command_line(endpoint);
            self.output.note(&format!(
                "MCP server `{}` {what}:\n  {shown}",
                printable(server)
            ));
            self.consent("Use it? [y]es, anything else: no ")
        })
    }

    fn approve_tools<'a>(
        &'a self,
        server: &'a str,
        tools: &'a [Review],
    ) -> BoxFuture<'a, Vec<Consent>> {
        Box::pin(async move {
            self.output.note(&format!(
                "{} tools of `{}` are new or changed:",
                tools.len(),
                printable(server)
            ));
            tools.iter().for_each(|tool| self.show(tool));
            if let Some(consent) = self.standing {
                return vec![consent; tools.len()];
            }
            match ask("Use them? [y]es all, [e]ach, anything else: none ").as_deref() {
                Some("y" | "yes") => vec![self.yes; tools.len()],
                Some("e" | "each") => {
                    let each = |tool: &Review| self.consent(&format!("{}? [y]es ", tool.tool));
                    tools.iter().map(each).collect()
                }
                _ => Vec::new(),
            }
        })
    }

    fn answer(&self, question: Elicitation) -> BoxFuture<'_, Option<Value>> {
        Box::pin(async move {
            let server = printable(&question.server);
            if let Some(url) = question.url {
                self.output.note(&format!(
                    "`{server}` wants an answer at {url}: {} It was declined.",
                    question.message
                ));
                return None;
            }
            if !io::stdin().is_terminal() {
                return None;
            }
            self.output
                .note(&format!("`{server}` asks: {}", question.message));
            fill_in(&question.schema, ask)
        })
    }
}

/// Asks for each field of an answer; `None`: the person leaves it.
fn fill_in(schema: &Value, ask: impl Fn(&str) -> Option<String>) -> Option<Value> {
    let mut answer = Map::new();
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let about = field["description"].as_str().or(field["title"].as_str());
        let choices = field["enum"].as_array().into_iter().flatten();
        let choices: Vec<&str> = choices.filter_map(Value::as_str).collect();
        let mut question = format!("  {}", about.unwrap_or(name));
        if !choices.is_empty() {
            question.push_str(&format!(" ({})", choices.join(" / ")));
        }
        let said = ask(&format!("{question}: "))?;
        let is_required = required.iter().any(|it| it == name);
        if said.is_empty() {
            match field.get("default") {
                Some(default) => drop(answer.insert(name.clone(), default.clone())),
                None if is_required => return None,
                None => {}
            }
            continue;
        }
        let value = match field["type"].as_str() {
            Some("integer") => Value::from(said.parse::<i64>().ok()?),
            Some("number") => Value::from(said.parse::<f64>().ok()?),
            Some("boolean") => match said.as_str() {
                "y" | "yes" | "true" | "1" => Value::Bool(true),
                _ => Value::Bool(false),
            },
            Some("array") => {
                let parts = said.split(',').map(|part| Value::from(part.trim()));
                Value::Array(parts.collect())
            }
            _ => Value::String(said),
        };
        answer.insert(name.clone(), value);
    }
    Some(Value::Object(answer))
}

/// What the person types; `None`: nobody is there.
fn ask(question: &str) -> Option<String> {
    if !io::stdin().is_terminal() {
        return None;
    }
    // Nobody waits for the lock while a person thinks.
    write!(io::stderr(), "{}", printable(question)).ok()?;
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn answers_have_the_types_that_are_asked_for() {
        let schema = json!({
            "properties": {
                "city": {"type": "string"}, "days": {"type": "integer"},
                "warm": {"type": "boolean"}, "note": {"type": "string"},
                "unit": {"type": "string", "default": "C"},
            },
            "required": ["city", "days"],
        });
        let said = |question: &str| {
            let answers = [("city", "北京"), ("days", "3"), ("warm", "y")];
            let found = answers.iter().find(|(name, _)| question.contains(name));
            Some(found.map_or("", |(_, said)| said).to_owned())
        };
        let answer = fill_in(&schema, said).unwrap();
        let expected = json!({"city": "北京", "days": 3, "warm": true, "unit": "C"});
        assert_eq!(answer, expected);
        assert_eq!(fill_in(&schema, |_| Some(String::new())), None);
        assert_eq!(fill_in(&schema, |_| None), None);
    }
}
