use serde_json::{Value, json};

use crate::Place;

#[test]
fn parse_shows_what_the_loader_read() {
    let place = Place::new();
    let markdown = "# Nests\r\n\r\nRavens nest early.\r\n\r\n## 巢\r\n\r\n渡鸦筑巢很早。\r\n";
    place.write("nests.md", markdown);
    let parsed = place.json(&["parse", "nests.md"], "");
    assert_eq!(parsed["v"], 1);
    assert_eq!(
        parsed["text"].as_str().unwrap().trim_end(),
        markdown.replace("\r\n", "\n").trim_end()
    );
    assert_eq!(parsed["pages"], serde_json::json!([]));
    assert_eq!(parsed["metadata"]["media_type"], "text/markdown");
    let piped = place.json(&["parse", "-"], markdown);
    assert_eq!(piped["text"], parsed["text"]);
}

#[test]
fn html_is_parsed_in_a_child_process() {
    let place = Place::new();
    let paragraph = "Storm petrels come ashore at night to feed their young in burrows. ".repeat(8);
    let page = format!(
        "<html><head><title>Petrels</title></head><body><nav>Home</nav>\
         <article><h1>Petrels</h1><p>{paragraph}</p><script>steal()</script></article></body></html>"
    );
    place.write("petrels.html", page);
    let parsed = place.json(&["parse", "petrels.html"], "");
    let text = parsed["text"].as_str().unwrap();
    assert!(text.contains("come ashore at night"), "{text}");
    assert!(!text.contains("steal"), "{text}");
    assert_eq!(parsed["metadata"]["title"], "Petrels");
}

#[test]
fn template_renders_a_file() {
    let place = Place::new();
    place.write(
        "chat.jinja",
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}",
    );
    let input = r#"{"messages": [{"role": "user", "content": "乌鸦?"}]}"#;
    let rendered = place.json(&["template", "--file", "chat.jinja"], input);
    assert_eq!(rendered["prompt"], "user: 乌鸦?\n");
}

#[test]
fn completions_are_made_for_every_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let output = place.corbie(&["completions", shell]).output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("ingest"));
    }
}

#[test]
fn parse_reply_tells_calls_from_text() {
    let place = Place::new();
    let reply = "<think>想一想</think>\n好。<tool_call>\n\
        {\"name\": \"get_weather\", \"arguments\": {\"city\": \"北京\"}}\n</tool_call>";
    let parsed = place.json(&["parse-reply", "--dialect", "hermes"], reply);
    assert_eq!(
        parsed,
        serde_json::json!({
            "v": 1, "text": "好。", "reasoning": "想一想",
            "tool_calls": [{"name": "get_weather", "arguments": {"city": "北京"}}],
        })
    );
    place.write(
        "tools.json",
        r#"[{"type": "function", "function": {"name": "f", "description": "", "parameters":
            {"type": "object", "properties": {"a": {"type": "string"}}}}}]"#,
    );
    let reply = "<function=f>\n<parameter=a>\n7\n</parameter>\n</function>";
    let arguments = [
        "parse-reply",
        "--dialect",
        "qwen3-coder",
        "--tools",
        "tools.json",
    ];
    assert_eq!(
        place.json(&arguments, reply)["tool_calls"][0]["arguments"]["a"],
        "7"
    );
    assert_eq!(
        place.json(&arguments[..3], reply)["tool_calls"][0]["arguments"]["a"],
        7
    );
}

#[test]
fn an_unknown_dialect_is_a_usage_error() {
    let place = Place::new();
    let output = place
        .corbie(&["parse-reply", "--dialect", "hermez"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hermes"));
}

#[test]
fn dialects_are_listed() {
    let place = Place::new();
    let output = place
        .corbie(&["models", "dialects", "--output", "json"])
        .output()
        .unwrap();
    let rows: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(rows.iter().any(|row| row["name"] == "lfm2"));
    assert_eq!(rows.last().unwrap()["name"], "plain");
}

/// Writes the first tiny encoder of a kind whose files `models/tests/reference/families.py` made.
pub fn write_encoder(place: &Place, kind: &str) {
    let families = include_str!("../../../models/tests/reference/families.json");
    let families: Value = serde_json::from_str(families).unwrap();
    let cases = families["cases"].as_array().unwrap();
    let case = cases.iter().find(|case| case["kind"] == kind).unwrap();
    for (name, content) in case["files"].as_object().unwrap() {
        let content = match content["tokenizer"].as_u64() {
            Some(index) => &families["tokenizers"][index as usize],
            None => content,
        };
        place.write(&format!("tiny/{name}"), content.to_string());
    }
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let shapes = case["tensors"]["model.safetensors"].as_object().unwrap();
    for (name, shape) in shapes {
        let start = data.len();
        let dims = shape.as_array().unwrap().iter();
        let count: u64 = dims.map(|dim| dim.as_u64().unwrap()).product();
        for index in 0..count {
            let seed = (index + name.len() as u64) as f32;
            data.extend_from_slice(&(seed * 0.7311).sin().to_le_bytes());
        }
        let tensor = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), tensor);
    }
    let header = Value::Object(header).to_string();
    let size = (header.len() as u64).to_le_bytes();
    let file = [&size[..], header.as_bytes(), &data].concat();
    place.write("tiny/model.safetensors", file);
}

#[test]
fn rerank_prints_passages_best_first() {
    let place = Place::new();
    write_encoder(&place, "reranker");
    let passages = [
        "a raven",
        "乌鸦会藏食物。",
        "",
        "crows use tools",
        "a raven",
    ];
    let call = ["rerank", "乌鸦藏什么", "--reranker", "./tiny"];
    let run = |more: &[&str], input: String| {
        let mut command = place.corbie(&[&call[..], more].concat());
        let output = command.write_stdin(input).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = run(&["--output", "json"], passages.join("\n") + "\n");
    let rows: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), passages.len());
    let score = |row: &Value| row["score"].as_f64().unwrap();
    assert!(rows.is_sorted_by(|a, b| score(a) >= score(b)), "{printed}");
    let mut seen = Vec::new();
    for row in &rows {
        let index = row["index"].as_u64().unwrap() as usize;
        assert_eq!(row["v"], 1);
        assert_eq!(row["text"], passages[index]);
        seen.push(index);
    }
    let place_of = |index: usize| seen.iter().position(|i| *i == index).unwrap();
    assert!(place_of(0) < place_of(4), "equal scores keep their order");
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2, 3, 4]);

    let best = run(&["--limit", "1"], passages.join("\n"));
    assert_eq!(best.lines().count(), 1, "{best}");
    assert!(best.trim_end().ends_with(rows[0]["text"].as_str().unwrap()));
    assert_eq!(run(&["--output", "json"], String::new()), "");
}
