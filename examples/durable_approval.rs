//! A payment that waits for a person, across processes, and happens once.
//!
//! ```sh
//! cargo run --example durable_approval            # begins, and stops with a question
//! cargo run --example durable_approval -- approve # another process goes on
//! cargo run --example durable_approval -- approve # there is nothing to repeat
//! ```
//!
//! The model is scripted, so that the example shows the same on every machine; any other takes its
//! place.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use corbie::agents::FunctionTool;
use corbie::agents::{Agent, Decision, Outcome, SqliteJournal, Tools, history};
use corbie::core::testing::{ScriptedChatModel, call, says};
use corbie::core::{Effects, Error, Invocation, Result, Tool};
use serde_json::json;

const RUN: &str = "invoice-17";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = Path::new(".corbie");
    std::fs::create_dir_all(folder).map_err(|error| Error::io(".corbie", error))?;
    let journal = Arc::new(SqliteJournal::open(&folder.join("example-runs.db"))?);
    let known = history(journal.as_ref(), RUN).await.unwrap_or_default();
    let agent = Agent {
        tools: Tools::new([payment()])?,
        journal: Some(journal),
        ..Agent::new(model(!known.is_empty()))
    };

    let approved = std::env::args().nth(1).is_some_and(|it| it == "approve");
    let run = match (known.is_empty(), approved) {
        (true, _) => agent.start(RUN, "Pay invoice 17.", &|_| ()).await?,
        (false, false) => agent.resume(RUN, [], &|_| ()).await?,
        (false, true) => {
            let call = "c0".to_owned();
            agent
                .resume(RUN, [Decision::Approve { call }], &|_| ())
                .await?
        }
    };
    match &run.outcome {
        Outcome::NeedsApproval { calls } => {
            for pending in calls {
                let call = &pending.call;
                println!("May I? {}({}): {}", call.name, call.arguments, pending.why);
            }
        }
        Outcome::Done { answer, .. } => println!("{answer}"),
        other => println!("{other:?}"),
    }
    Ok(())
}

/// Pays. A real service would be given the key, and would do nothing the second time.
fn payment() -> Arc<dyn Tool> {
    let schema = json!({
        "type": "object",
        "properties": {"sum": {"type": "integer"}, "to": {"type": "string"}},
        "required": ["sum", "to"],
    });
    let pay = FunctionTool::new(
        "pay",
        "Pays a sum. 付款。",
        schema,
        |run: Invocation| async move {
            println!("paying {} (key {})", run.arguments, run.key);
            Ok(json!("paid"))
        },
    );
    Arc::new(pay.with_effects(Effects {
        idempotent: true,
        egress: true,
        trusted: true,
        ..Effects::default()
    }))
}

/// Asks for the payment first, then tells of it.
fn model(has_asked: bool) -> Arc<ScriptedChatModel> {
    let ask = call("pay", json!({"sum": 120, "to": "Acme"}));
    let told = says("Invoice 17 is paid.");
    let script = match has_asked {
        true => vec![told],
        false => vec![ask, told],
    };
    Arc::new(ScriptedChatModel::new(script))
}
