//! `corbie config`: the settings in force.

use anyhow::Result;
use serde_json::json;

use crate::app::App;

pub fn show(app: &App, origin: bool) -> Result<()> {
    if app.output.is_json() {
        let row = |setting: &crate::config::Setting| {
            let mut row = json!({ "v": 1, "name": setting.name, "value": setting.value });
            if origin {
                row["origin"] = json!(setting.origin.to_string());
            }
            row
        };
        return app
            .settings
            .iter()
            .try_for_each(|setting| app.output.json(&row(setting)));
    }
    for setting in app.settings.iter() {
        let mut line = format!("{:<14} {}", setting.name, setting.value);
        if origin {
            line = format!("{line:<50} # {} ({})", setting.origin, setting.help);
        }
        app.output.line(&line)?;
    }
    Ok(())
}
