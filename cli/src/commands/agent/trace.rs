//! What happens in a run, on standard error.

use corbie_agents::AgentEvent;

use crate::app::App;

/// Shows on standard error what happens.
pub fn show(app: &App, event: AgentEvent) {
    let short = |text: &str| {
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shown: String = line.chars().take(200).collect();
        if shown.len() < line.len() {
            shown.push('…');
        }
        shown
    };
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
