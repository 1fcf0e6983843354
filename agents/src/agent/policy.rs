//! Which calls run, which wait for a person, and which never run.

use std::collections::BTreeMap;

use corbie_core::{Effects, ToolCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It runs.
    Allow,
    /// A person decides.
    Ask,
    /// It never runs; the model is told.
    Refuse,
}

/// One rule of a [`Policy`]: what it names must all hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The tool; a final `*` stands for any ending. `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Whether it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Whether it may destroy something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Whether it sends data out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<bool>,
    /// Whether text from outside is in the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tainted: Option<bool>,
    /// Values of arguments, by JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, Value>,
    /// What happens then.
    pub then: Action,
}

impl Rule {
    /// A rule for every call.
    pub fn any(then: Action) -> Self {
        Self {
            tool: None,
            read_only: None,
            destructive: None,
            egress: None,
            tainted: None,
            arguments: BTreeMap::new(),
            then,
        }
    }

    /// A rule for calls of this tool with these very arguments.
    pub fn like(call: &ToolCall, then: Action) -> Self {
        Self {
            tool: Some(call.name.clone()),
            arguments: BTreeMap::from([(String::new(), call.arguments.clone())]),
            ..Self::any(then)
        }
    }

    /// Whether it speaks of this call.
    pub fn matches(&self, call: &ToolCall, effects: &Effects, tainted: bool) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => call.name.starts_with(beginning),
            None => call.name == *pattern,
        };
        let is = |wanted: Option<bool>, found: bool| wanted.is_none_or(|wanted| wanted == found);
        self.tool.as_ref().is_none_or(named)
            && is(self.read_only, effects.read_only)
            && is(self.destructive, effects.destructive)
            && is(self.egress, effects.egress)
            && is(self.tainted, tainted)
            && self
                .arguments
                .iter()
                .all(|(pointer, value)| call.arguments.pointer(pointer) == Some(value))
    }
}

/// Which calls run, as data: the first rule that matches decides, and where none does a person is
/// asked.
///
/// ```
/// use corbie_agents::{Action, Policy};
/// use corbie_core::{Effects, ToolCall};
/// use serde_json::json;
///
/// let policy = Policy::default();
/// let call = ToolCall { id: "1".into(), name: "send_mail".into(), arguments: json!({}) };
/// let sends = Effects { egress: true, ..Effects::default() };
/// assert_eq!(policy.judge(&call, &sends, false).0, Action::Ask);
/// let reads = Effects { read_only: true, ..Effects::default() };
/// assert_eq!(policy.judge(&call, &reads, true).0, Action::Allow);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The rules, in order.
    pub rules: Vec<Rule>,
}

impl Default for Policy {
    /// What changes nothing runs, while it sends nothing or no text from outside could tell it
    /// what; for the rest a person is asked.
    fn default() -> Self {
        let reads = Rule {
            read_only: Some(true),
            ..Rule::any(Action::Allow)
        };
        let at_home = Rule {
            egress: Some(false),
            ..reads.clone()
        };
        let untainted = Rule {
            tainted: Some(false),
            ..reads
        };
        Self {
            rules: vec![at_home, untainted],
        }
    }
}

impl Policy {
    /// What changes nothing and sends nothing runs; the rest never does.
    pub fn read_only() -> Self {
        let mut policy = Self::default();
        policy.rules.push(Rule::any(Action::Refuse));
        policy
    }

    /// Everything runs, until text from outside is in the conversation: from then on a person is
    /// asked about what changes or sends something.
    pub fn unattended() -> Self {
        let mut policy = Self::default();
        policy.rules.push(Rule {
            tainted: Some(false),
            ..Rule::any(Action::Allow)
        });
        policy
    }

    /// What happens to a call, and why.
    pub fn judge(&self, call: &ToolCall, effects: &Effects, tainted: bool) -> (Action, String) {
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.matches(call, effects, tainted));
        let action = rule.map_or(Action::Ask, |rule| rule.then);
        let action = match action {
            Action::Allow if effects.approval => Action::Ask,
            action => action,
        };
        (action, reason(effects, tainted))
    }
}

/// Why a person should look.
fn reason(effects: &Effects, tainted: bool) -> String {
    let traits = [
        (effects.approval, "it asks for approval each time"),
        (effects.destructive, "it may destroy something"),
        (effects.egress, "it sends data out"),
        (!effects.read_only, "it may change something"),
        (tainted, "text from outside is in the conversation"),
    ];
    let said: Vec<&str> = traits
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, why)| *why)
        .collect();
    match said.is_empty() {
        true => "the policy says so".to_owned(),
        false => said.join(", and "),
    }
}
