use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::{Error, Invocation, Result, Tool, schema};

/// The laws of [`Tool`], with `arguments` by which the tool does its work.
///
/// The tool is called a dozen times, with other arguments among them that its schema may refuse.
///
/// ```
/// use corbie_core::testing::{ScriptedTool, conformance};
/// use serde_json::json;
///
/// let weather = ScriptedTool::new("weather").answering(|_| Ok(json!("晴")));
/// let arguments = json!({"city": "北京"});
/// futures::executor::block_on(conformance::tool(&weather, &arguments));
/// ```
///
/// # Panics
///
/// With the law that is broken.
pub async fn tool(tool: &dyn Tool, arguments: &Value) {
    describes_itself(tool);
    let effects = tool.effects();
    let law = |law: &str| format!("tool `{}`: {law}", tool.spec().name);

    drop(tool.call(Invocation::new("never waited for", arguments.clone())));
    if effects.read_only || effects.idempotent {
        // However far a run got that is dropped, it may be run again.
        drop(
            tool.call(Invocation::new("a key", arguments.clone()))
                .now_or_never(),
        );
    }
    let worked = run(tool, "a key", arguments).await;
    let worked = worked.map_err(|error| error.to_string());
    assert!(
        worked.is_ok(),
        "{}: {worked:?}",
        law("it does its work with these arguments")
    );
    if effects.read_only || effects.idempotent {
        let again = run(tool, "a key", arguments).await;
        let again = again.map_err(|error| error.to_string());
        assert!(
            again.is_ok(),
            "{}: {again:?}",
            law("the same key may be used again")
        );
    }
    if effects.read_only {
        let keys = ["一", "二", "三"];
        let together = join_all(keys.map(|key| run(tool, key, arguments))).await;
        for result in together {
            let result = result.map_err(|error| error.to_string());
            assert!(
                result.is_ok(),
                "{}: {result:?}",
                law("what only reads runs beside itself")
            );
        }
    }
    let strange = [
        Value::Null,
        json!("a text"),
        json!(-1),
        json!([]),
        json!({}),
        json!({"没有": {"such": ["field", null]}}),
    ];
    for strange in strange {
        // It may do something with them, or refuse them, but not break down.
        drop(run(tool, "strange", &strange).await);
    }
    let worked = run(tool, "another key", arguments).await;
    let worked = worked.map_err(|error| error.to_string());
    if effects.read_only {
        assert!(
            worked.is_ok(),
            "{}: {worked:?}",
            law("bad arguments leave it whole")
        );
    }
}

/// The laws of a tool's [`Effects`](crate::Effects), where somebody can look: `state` says how the
/// part of the world stands that a run with `arguments` changes.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::{Arc, Mutex};
///
/// use corbie_core::Effects;
/// use corbie_core::testing::{ScriptedTool, conformance};
/// use serde_json::{Value, json};
///
/// let paid = Arc::new(Mutex::new(BTreeMap::new()));
/// let ledger = paid.clone();
/// let pay = ScriptedTool::new("pay")
///     .with_effects(Effects { idempotent: true, ..Effects::default() })
///     .answering(move |run| {
///         ledger.lock().unwrap().insert(run.key.clone(), run.arguments["sum"].clone());
///         Ok(json!("已付"))
///     });
/// let state = || serde_json::to_value(&*paid.lock().unwrap()).unwrap();
/// futures::executor::block_on(conformance::tool_effects(&pay, &json!({"sum": 5}), state));
/// ```
///
/// # Panics
///
/// With the law that is broken.
pub async fn tool_effects(tool: &dyn Tool, arguments: &Value, state: impl Fn() -> Value) {
    let effects = tool.effects();
    let law = |law: &str| format!("tool `{}`: {law}", tool.spec().name);
    let before = state();
    drop(tool.call(Invocation::new("never waited for", arguments.clone())));
    assert_eq!(
        state(),
        before,
        "{}",
        law("what nobody waits for does not happen")
    );
    run(tool, "once", arguments).await.unwrap();
    let once = state();
    if effects.read_only {
        assert_eq!(once, before, "{}", law("what only reads changes nothing"));
        return;
    }
    assert_ne!(once, before, "{}", law("the state shows what it does"));
    if effects.idempotent {
        run(tool, "once", arguments).await.unwrap();
        assert_eq!(state(), once, "{}", law("one key is one effect"));
    }
}

fn describes_itself(tool: &dyn Tool) {
    let spec = tool.spec();
    let name = &spec.name;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    assert!(
        (1..=64).contains(&name.len()) && name.chars().all(fits),
        "tool `{name}`: a name has 1 to 64 letters, digits, `_` and `-`"
    );
    assert!(
        !spec.description.trim().is_empty(),
        "tool `{name}`: its description says something"
    );
    let subject = format!("tool `{name}`");
    let bounded = schema::check(&subject, &spec.parameters).map_err(|error| error.to_string());
    assert!(
        bounded.is_ok(),
        "tool `{name}`: its schema is bounded: {bounded:?}"
    );
    assert_eq!(
        spec.parameters["type"], "object",
        "tool `{name}`: its arguments are an object"
    );
    if let Some(required) = spec.parameters["required"].as_array() {
        let known = |it: &Value| {
            it.as_str()
                .is_some_and(|it| !spec.parameters["properties"][it].is_null())
        };
        assert!(
            required.iter().all(known),
            "tool `{name}`: what is required is described"
        );
    }
    assert_eq!(
        tool.spec(),
        spec,
        "tool `{name}`: it says the same of itself each time"
    );
    let effects = tool.effects();
    assert_eq!(
        tool.effects(),
        effects,
        "tool `{name}`: it has the same effects each time"
    );
    assert!(
        !(effects.read_only && effects.destructive),
        "tool `{name}`: what only reads destroys nothing"
    );
}

/// A run that must not panic, and whose error must say what is wrong with what.
async fn run(tool: &dyn Tool, key: &str, arguments: &Value) -> Result<Value> {
    let name = &tool.spec().name;
    let run = async { tool.call(Invocation::new(key, arguments.clone())).await };
    let ended = AssertUnwindSafe(run).catch_unwind().await;
    let Ok(result) = ended else {
        panic!("tool `{name}` panics with the arguments {arguments}");
    };
    if let Err(error) = &result {
        assert_is_helpful(name, error);
    }
    result
}

fn assert_is_helpful(name: &str, error: &Error) {
    let named = !error.subject().trim().is_empty() && !error.cause().trim().is_empty();
    assert!(
        named,
        "tool `{name}`: an error names the thing and the cause: {error:?}"
    );
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::Effects;
    use crate::testing::ScriptedTool;

    #[test]
    fn tools_that_break_a_law_are_caught() {
        let keeps = |tool: ScriptedTool| {
            let laws = AssertUnwindSafe(async { super::tool(&tool, &json!({})).await });
            block_on(laws.catch_unwind()).is_ok()
        };
        let fine = || ScriptedTool::new("fine").answering(|_| Ok(json!("好")));
        assert!(keeps(fine()));
        let nowhere = json!({"type": "object", "required": ["城市"]});
        let destructive = Effects {
            destructive: true,
            ..Effects::READ
        };
        let careless = |run: &Invocation| Ok(json!(run.arguments.as_object().unwrap().len()));
        for broken in [
            fine().with_description(" "),
            fine().with_parameters(json!({"type": "string"})),
            fine().with_parameters(json!({"type": "object", "$ref": "https://evil.test/"})),
            fine().with_parameters(nowhere),
            fine().with_effects(destructive),
            ScriptedTool::new("天气").answering(|_| Ok(json!("晴"))),
            ScriptedTool::new("careless").answering(careless),
            ScriptedTool::new("tires").gives("one").gives("two"),
        ] {
            let name = format!("{broken:?}");
            assert!(!keeps(broken), "{name}");
        }
    }
}
