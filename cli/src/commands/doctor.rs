//! `corbie doctor`: is this machine ready?

use std::process::ExitCode;

use anyhow::Result;
use corbie_models::hub::suggest;
use corbie_models::memory_bytes;
use serde_json::json;

use crate::app::App;
use crate::output::bytes;

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    ok: bool,
    found: String,
}

pub async fn run(app: &App) -> Result<ExitCode> {
    let findings = [
        processors(),
        memory(app),
        data_folder(app),
        cache(app),
        model(app, "chat model", app.settings.get("model")),
        model(app, "embedding model", app.settings.get("embedder")),
        collections(app),
        larger(),
    ];
    for finding in &findings {
        if app.output.is_json() {
            let (what, ok, found) = (finding.what, finding.ok, &finding.found);
            app.output
                .json(&json!({ "v": 1, "check": what, "ok": ok, "found": found }))?;
            continue;
        }
        let mark = if finding.ok { "ok  " } else { "FAIL" };
        app.output
            .line(&format!("{mark} {:<16} {}", finding.what, finding.found))?;
    }
    Ok(match findings.iter().all(|finding| finding.ok) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn processors() -> Finding {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    Finding {
        what: "processors",
        ok: true,
        found: format!(
            "{count}, kernels for {}",
            corbie_models::kernels::instructions()
        ),
    }
}

fn memory(app: &App) -> Finding {
    let limit = match app.models.pool().options().memory {
        usize::MAX => "without a limit".to_owned(),
        limit => format!("up to {}", bytes(limit as u64)),
    };
    let found = match memory_bytes() {
        Some(memory) => format!("{}, models {limit}", bytes(memory)),
        None => format!("unknown, models {limit}"),
    };
    Finding {
        what: "memory",
        ok: true,
        found,
    }
}

fn data_folder(app: &App) -> Finding {
    let path = app.settings.get("data_dir");
    let probe = std::path::Path::new(path).join(".doctor");
    let writable = std::fs::create_dir_all(path).and_then(|()| std::fs::write(&probe, ""));
    // The probe is empty: one left behind does no harm.
    let _ = std::fs::remove_file(&probe);
    Finding {
        what: "data folder",
        ok: writable.is_ok(),
        found: match writable {
            Ok(()) => path.to_owned(),
            Err(error) => format!("{path}: {error}; choose another with --data-dir"),
        },
    }
}

fn cache(app: &App) -> Finding {
    let models = app.hub().list();
    let size: u64 = models.iter().map(|model| model.bytes).sum();
    let path = app.hub().options().cache.display();
    Finding {
        what: "model cache",
        ok: true,
        found: format!("{path}: {} models, {}", models.len(), bytes(size)),
    }
}

fn model(app: &App, what: &'static str, name: &str) -> Finding {
    let (ok, found) = match app.hub().cached(name) {
        Ok(model) => (true, format!("{name} is at {}", model.path.display())),
        Err(error) if matches!(error.kind(), corbie_core::ErrorKind::Offline) => (
            true,
            format!(
                "{name} is not here yet: it is fetched when needed, or by `corbie models pull {name}`"
            ),
        ),
        Err(_) if crate::app::local_only(name, "").is_err() => (true, format!("{name} is remote")),
        Err(error) => (false, error.to_string()),
    };
    Finding { what, ok, found }
}

fn collections(app: &App) -> Finding {
    match app.collections.names() {
        Ok(collections) => Finding {
            what: "collections",
            ok: true,
            found: format!("{} of them", collections.len()),
        },
        Err(error) => Finding {
            what: "collections",
            ok: false,
            found: error.to_string(),
        },
    }
}

fn larger() -> Finding {
    let names: Vec<String> = suggest(memory_bytes().unwrap_or(0), false)
        .into_iter()
        .take(4)
        .map(|entry| format!("{} ({})", entry.alias, bytes(entry.bytes)))
        .collect();
    Finding {
        what: "models that suit",
        ok: true,
        found: names.join(", "),
    }
}
