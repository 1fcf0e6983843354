//! What happens in a run, on standard error.

use corbie_agents::AgentEvent;

use crate::app::App;

/// The most characters of one thing that is shown.
const SHOWN: usize = 200;

/// The beginning of a text, on one line.
pub fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

/// Shows on standard error what happens.
pub fn show(app: &App, event: AgentEvent) {
    match event {
        AgentEvent::Call(call) => {
            app.output.note(&format!(
                "→ {}({})",
                call.name,
                short(&call.arguments.to_string())
            ));
        }
        AgentEvent::Progress { text, .. } => app.output.note(&format!("  … {}", short(&text))),
        AgentEvent::Result { result, .. } => {
            let mark = if result.failed { "✗" } else { "←" };
            app.output
                .note(&format!("{mark} {}", short(&result.content)));
        }
        AgentEvent::Nudged(text) => app.output.note(&format!("! {}", short(&text))),
        AgentEvent::Text(_)
        | AgentEvent::Reasoning(_)
        | AgentEvent::Begun(_)
        | AgentEvent::Stopped(_) => {}
    }
}
