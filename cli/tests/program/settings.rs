use crate::Place;

/// The value and origin of the setting `model`.
fn model(place: &Place, flags: &[&str], variable: Option<&str>) -> (String, String) {
    let mut command = place.corbie(&["config", "show", "--origin", "--output", "json"]);
    command.args(flags);
    if let Some(value) = variable {
        command.env("CORBIE_MODEL", value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|row| row["name"] == "model")
        .unwrap();
    let get = |key: &str| row[key].as_str().unwrap().to_owned();
    (get("value"), get("origin"))
}

#[test]
fn a_flag_beats_a_variable_beats_a_file_beats_the_default() {
    let place = Place::new();
    assert_eq!(
        model(&place, &[], None),
        ("smollm2".into(), "default".into())
    );
    place.write(".config/corbie/config.toml", "model = \"users\"\n");
    let (value, origin) = model(&place, &[], None);
    assert_eq!(value, "users");
    assert!(origin.ends_with("config.toml"), "{origin}");
    place.write("corbie.toml", "model = \"projects\"\n");
    assert_eq!(
        model(&place, &[], None),
        ("projects".into(), "file corbie.toml".into())
    );
    let by_variable = model(&place, &[], Some("variables"));
    assert_eq!(
        by_variable,
        ("variables".into(), "variable CORBIE_MODEL".into())
    );
    let by_flag = model(&place, &["--model", "flags"], Some("variables"));
    assert_eq!(by_flag, ("flags".into(), "flag".into()));
}

#[test]
fn an_unknown_setting_is_refused_with_a_suggestion() {
    let place = Place::new();
    place.write("corbie.toml", "embeder = \"minilm\"\n");
    let (code, error) = place.failure(&["config", "show"], b"");
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("embeder") && error.contains("`embedder`"),
        "{error}"
    );
}
