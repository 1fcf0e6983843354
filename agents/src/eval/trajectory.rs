//! The calls of a run against those that were expected.

use corbie_core::ToolCall;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Record, RunEvent};

/// A call that is expected in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedCall {
    /// The tool.
    pub tool: String,
    /// Arguments that the call must have; it may have others. `None`: any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Value>,
}

impl ExpectedCall {
    /// A call of `tool`, with any arguments.
    pub fn of(tool: impl Into<String>) -> Self {
        Self {
            tool: tool.into(),
            arguments: None,
        }
    }

    /// The same with these arguments.
    #[must_use]
    pub fn with(mut self, arguments: Value) -> Self {
        self.arguments = Some(arguments);
        self
    }

    fn fits(&self, call: &ToolCall) -> bool {
        let arguments = |wanted| holds(&call.arguments, wanted);
        self.tool == call.name && self.arguments.as_ref().is_none_or(arguments)
    }
}

/// Whether `value` is `wanted`, or an object with all its fields.
fn holds(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Object(value), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| value.get(key).is_some_and(|value| holds(value, wanted))),
        (Value::Number(value), Value::Number(wanted)) => value.as_f64() == wanted.as_f64(),
        _ => value == wanted,
    }
}

/// Whether the order of calls counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// They must come in the order in which they are listed; others may stand between them.
    #[default]
    Listed,
    /// They may come in any order.
    Any,
}

/// How a run's calls compare to those that were expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Trajectory {
    /// Calls that were made as expected.
    pub matched: usize,
    /// Expected calls that were not made, or not in order.
    pub missing: Vec<String>,
    /// Calls that were made and not expected.
    pub unexpected: Vec<String>,
    /// Calls whose tool failed or was not run.
    pub failed: usize,
}

impl Trajectory {
    /// Compares the calls of a run, those that failed among them, to `expected`. As many as
    /// possible are matched, each call once.
    ///
    /// ```
    /// use corbie_agents::eval::trajectory::{ExpectedCall, Order, Trajectory};
    ///
    /// let compared = Trajectory::compare(&[], &[ExpectedCall::of("get_weather")], Order::Listed);
    /// assert_eq!(compared.missing, ["get_weather"]);
    /// assert!(!compared.is_exact());
    /// ```
    pub fn compare(records: &[Record], expected: &[ExpectedCall], order: Order) -> Self {
        let made = calls(records);
        let partners = match order {
            Order::Listed => in_order(expected, &made),
            Order::Any => in_any_order(expected, &made),
        };
        let failed = |record: &&Record| match &record.event {
            RunEvent::Ended { result, .. } => result.failed,
            _ => false,
        };
        let missing = expected.iter().zip(&partners);
        let missing = missing.filter(|(_, partner)| partner.is_none());
        let unexpected = (0..made.len()).filter(|index| !partners.contains(&Some(*index)));
        Self {
            matched: partners.iter().flatten().count(),
            missing: missing.map(|(call, _)| call.tool.clone()).collect(),
            unexpected: unexpected.map(|index| made[index].name.clone()).collect(),
            failed: records.iter().filter(failed).count(),
        }
    }

    /// Whether all expected calls were made.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Whether all expected calls were made and no others.
    pub fn is_exact(&self) -> bool {
        self.is_complete() && self.unexpected.is_empty()
    }
}

/// The calls that the model made in a run, in order. A test asserts on those of a
/// [`Run`](crate::Run) by [`Run::calls`](crate::Run::calls).
pub fn calls(records: &[Record]) -> Vec<&ToolCall> {
    let calls = records.iter().filter_map(|record| match &record.event {
        RunEvent::Replied { message, .. } => Some(&message.tool_calls),
        _ => None,
    });
    calls.flatten().collect()
}

/// For each expected call the made one it is: the longest common subsequence.
fn in_order(expected: &[ExpectedCall], made: &[&ToolCall]) -> Vec<Option<usize>> {
    // The most matches of the rests from an expected call and a made call on.
    let mut most = vec![vec![0_usize; made.len() + 1]; expected.len() + 1];
    for (row, wanted) in expected.iter().enumerate().rev() {
        for (column, call) in made.iter().enumerate().rev() {
            let skipped = most[row + 1][column].max(most[row][column + 1]);
            let both = most[row + 1][column + 1] + usize::from(wanted.fits(call));
            most[row][column] = skipped.max(both);
        }
    }
    let mut partners = vec![None; expected.len()];
    let (mut row, mut column) = (0, 0);
    while row < expected.len() && column < made.len() {
        if expected[row].fits(made[column]) && most[row][column] == most[row + 1][column + 1] + 1 {
            partners[row] = Some(column);
            (row, column) = (row + 1, column + 1);
        } else if most[row + 1][column] == most[row][column] {
            row += 1;
        } else {
            column += 1;
        }
    }
    partners
}

/// For each expected call the made one it is: the largest matching, by augmenting paths.
fn in_any_order(expected: &[ExpectedCall], made: &[&ToolCall]) -> Vec<Option<usize>> {
    let mut owner: Vec<Option<usize>> = vec![None; made.len()];
    for start in 0..expected.len() {
        let mut seen = vec![false; made.len()];
        // The made calls on the way, each with the expected call that reaches for it.
        let mut way: Vec<(usize, usize)> = Vec::new();
        let mut seeker = start;
        loop {
            let next = (0..made.len())
                .filter(|index| !seen[*index] && expected[seeker].fits(made[*index]))
                .min_by_key(|index| owner[*index].is_some());
            match next {
                Some(index) => {
                    seen[index] = true;
                    way.push((seeker, index));
                    match owner[index] {
                        Some(other) => seeker = other,
                        None => {
                            way.iter()
                                .for_each(|(seeker, index)| owner[*index] = Some(*seeker));
                            break;
                        }
                    }
                }
                None => match way.pop() {
                    Some((before, _)) => seeker = before,
                    None => break,
                },
            }
        }
    }
    let partner = |row: usize| owner.iter().position(|owner| *owner == Some(row));
    (0..expected.len()).map(partner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use corbie_core::testing::call;
    use corbie_core::{FinishReason, Usage};
    use serde_json::json;

    fn run(tools: &[(&str, Value)]) -> Vec<Record> {
        let record = |(name, arguments): &(&str, Value)| {
            let message = call(name, arguments.clone());
            Record {
                event: RunEvent::Replied {
                    dropped: 0,
                    message,
                    finish: FinishReason::ToolCalls,
                    usage: Usage::default(),
                },
                millis: 0,
            }
        };
        tools.iter().map(record).collect()
    }

    #[test]
    fn calls_are_matched_in_order_or_not() {
        let a = || ExpectedCall::of("a");
        let b = || ExpectedCall::of("b").with(json!({"city": "大理"}));
        let dali = json!({"city": "大理", "unit": "C"});
        let cases = [
            (vec![a(), b()], Order::Listed, 2, 0),
            (vec![b(), a()], Order::Listed, 1, 1),
            (vec![b(), a()], Order::Any, 2, 0),
            (vec![a(), a()], Order::Any, 1, 1),
            (vec![], Order::Any, 0, 2),
        ];
        let records = run(&[("a", json!({})), ("b", dali)]);
        for (expected, order, matched, unexpected) in cases {
            let compared = Trajectory::compare(&records, &expected, order);
            assert_eq!(compared.matched, matched, "{expected:?} {order:?}");
            assert_eq!(
                compared.unexpected.len(),
                unexpected,
                "{expected:?} {order:?}"
            );
            assert_eq!(compared.matched + compared.missing.len(), expected.len());
        }
    }

    #[test]
    fn a_call_that_fits_two_leaves_room_for_the_other() {
        let records = run(&[("a", json!({"x": 1})), ("a", json!({"x": 2}))]);
        let first = ExpectedCall::of("a").with(json!({"x": 1}));
        let expected = [ExpectedCall::of("a"), first];
        let compared = Trajectory::compare(&records, &expected, Order::Any);
        assert!(compared.is_exact(), "{compared:?}");
    }
}
