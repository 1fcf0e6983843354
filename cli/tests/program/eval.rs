use serde_json::{Value, json};

use crate::Place;
use crate::service::{Ran, Reply, Service, calls, says};

/// A few cases in the layout of the Berkeley Function Calling Leaderboard, English and Chinese.
fn write_cases(place: &Place) {
    let weather = json!({
        "name": "weather.now",
        "description": "The weather of a city. 一个城市的天气。",
        "parameters": {
            "type": "dict",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    });
    let add = json!({
        "name": "add",
        "description": "Adds two numbers. 两数相加。",
        "parameters": {
            "type": "dict",
            "properties": {"a": {"type": "float"}, "b": {"type": "float"}},
            "required": ["a", "b"],
        },
    });
    let case = |id: &str, question: &str, functions: &[&Value]| {
        let messages = json!([[{"role": "user", "content": question}]]);
        json!({"id": id, "question": messages, "function": functions})
    };
    let weather_in = |cities: &[&str]| json!({"weather.now": {"city": cities, "days": ["", 1]}});
    let sum = json!({"add": {"a": [2.0], "b": [3.0]}});
    let truth = |id: &str, call: Value| json!({"id": id, "ground_truth": [call]});
    let files: [(&str, Vec<Value>); 5] = [
        (
            "BFCL_v4_simple_python.json",
            vec![
                case(
                    "simple_python_0",
                    "How is the weather in Oslo?",
                    &[&weather],
                ),
                case("simple_python_1", "北京今天天气怎么样？", &[&weather]),
            ],
        ),
        (
            "possible_answer/BFCL_v4_simple_python.json",
            vec![
                truth("simple_python_0", weather_in(&["Oslo"])),
                truth("simple_python_1", weather_in(&["北京", "Beijing"])),
            ],
        ),
        (
            "BFCL_v4_multiple.json",
            vec![case("multiple_0", "二加三等于几？", &[&weather, &add])],
        ),
        (
            "possible_answer/BFCL_v4_multiple.json",
            vec![truth("multiple_0", sum)],
        ),
        (
            "BFCL_v4_irrelevance.json",
            vec![
                case("irrelevance_0", "Who wrote Faust?", &[&add]),
                case("irrelevance_1", "写一首关于乌鸦的诗。", &[&weather]),
            ],
        ),
    ];
    for (name, rows) in files {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        place.write(&format!("data/{name}"), lines);
    }
    let ids = [
        "# all",
        "simple_python_0",
        "simple_python_1",
        "multiple_0",
        "",
        "irrelevance_0",
        "irrelevance_1",
    ];
    place.write("ids.txt", ids.join("\n"));
}

/// What a model answers that is right but for two cases.
fn answer(request: &Value, _: usize) -> Reply {
    let weather = |city: &str| calls("weather_now", json!({"city": city}));
    match request["messages"][0]["content"].as_str().unwrap() {
        "How is the weather in Oslo?" => weather("Oslo"),
        "北京今天天气怎么样？" => weather("上海"),
        "二加三等于几？" => calls("add", json!({"a": 2, "b": 3})),
        "Who wrote Faust?" => says("Goethe."),
        // A call where none is right.
        _ => weather("Raven"),
    }
}

const TOOLS: [&str; 5] = ["eval", "tools", "data", "--ids", "ids.txt"];

#[test]
fn tools_are_judged_by_the_rules_of_the_leaderboard() {
    let place = Place::new();
    write_cases(&place);
    let service = Service::answering(answer);
    let line = [&TOOLS[..], &["--log", "log.jsonl"]].concat();
    let report = service.json(&place, &line);
    assert_eq!(report["v"], 1);
    for (key, expected) in [("cases", 5), ("valid", 5), ("correct", 3), ("malformed", 0)] {
        assert_eq!(report[key], expected, "{key}: {report}");
    }
    let by_category = json!({
        "irrelevance": {"cases": 2, "valid": 2, "correct": 1},
        "multiple": {"cases": 1, "valid": 1, "correct": 1},
        "simple_python": {"cases": 2, "valid": 2, "correct": 1},
    });
    assert_eq!(report["by_category"], by_category);
    assert_eq!(report["gold_breaks_schema"], json!([]));
    let balanced = report["balanced"].as_f64().unwrap();
    assert!(
        (balanced - (2.0 / 3.0 + 0.5) / 2.0).abs() < 1e-9,
        "{report}"
    );

    let log = std::fs::read_to_string(place.path().join("log.jsonl")).unwrap();
    let rows: Vec<Value> = log
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    let faults: Vec<&str> = rows
        .iter()
        .filter_map(|row| row["fault"].as_str())
        .collect();
    assert_eq!(rows.len(), 5);
    assert!(
        faults.len() == 2 && faults[0].contains("上海"),
        "{faults:?}"
    );

    let ran = Service::answering(answer).run(&place, &TOOLS);
    assert!(ran.out.contains("correct              3\n"), "{}", ran.out);
    assert!(!ran.out.contains("\nv "), "{}", ran.out);
    assert!(ran.err.contains("5 of 5 cases"), "{}", ran.err);
}

#[test]
fn cases_are_chosen_by_category_and_number() {
    let place = Place::new();
    write_cases(&place);
    let of = |more: &[&str]| {
        let service = Service::answering(answer);
        let report = service.json(&place, &[&TOOLS[..], more].concat());
        let count = |key: &str| report[key].as_u64().unwrap();
        (count("cases"), count("correct"))
    };
    assert_eq!(of(&["--categories", "multiple,irrelevance"]), (3, 2));
    assert_eq!(of(&["--limit", "2"]), (2, 2));
    assert_eq!(of(&["--limit", "99"]), (5, 3));
    assert_eq!(of(&["--categories", "irrelevance", "--limit", "1"]), (1, 1));
}

#[test]
fn answers_in_a_file_are_judged_without_a_model() {
    let place = Place::new();
    write_cases(&place);
    let weather = |city: &str| json!([{"name": "weather_now", "arguments": {"city": city}}]);
    let rows = [
        json!({"id": "simple_python_0", "calls": weather("oslo")}),
        json!({"id": "simple_python_1", "calls": weather("北京")}),
        json!({"id": "multiple_0", "calls": [{"name": "add", "arguments": {"a": "two", "b": 3.0}}]}),
        json!({"id": "irrelevance_0", "calls": [], "text": "Goethe."}),
        json!({"id": "irrelevance_1", "calls": [], "text": "{\"name\": \"weather"}),
    ];
    let text: String = rows.iter().map(|row| format!("{row}\n\n")).collect();
    place.write("answers.jsonl", text);
    let line = [&TOOLS[..], &["--answers", "answers.jsonl"]].concat();
    let report = place.json(&line, "");
    for (key, expected) in [("cases", 5), ("valid", 3), ("correct", 3), ("malformed", 1)] {
        assert_eq!(report[key], expected, "{key}: {report}");
    }

    for (content, code, words) in [
        (
            "{\"id\": \"simple_python_0\", \"calls\": []}\n{",
            1,
            &["answers.jsonl", "line 2", "\"calls\""][..],
        ),
        (
            "{\"calls\": []}\n",
            1,
            &["answers.jsonl", "line 1", "no `id`"],
        ),
        ("", 1, &["answers.jsonl", "no answer to simple_python_0"]),
    ] {
        place.write("answers.jsonl", content);
        let (found, error) = place.failure(&line, b"");
        assert_eq!(found, code, "{error}");
        for word in words {
            assert!(error.contains(word), "`{word}`: {error}");
        }
    }
}

#[test]
fn wrong_files_of_cases_are_named() {
    let place = Place::new();
    write_cases(&place);
    let check = |line: &[&str], code: i32, words: &[&str]| {
        let (found, error) = place.failure(&[&["eval"][..], line].concat(), b"");
        assert_eq!(found, code, "{line:?}: {error}");
        for word in words {
            assert!(
                error.contains(word),
                "{line:?} does not say `{word}`: {error}"
            );
        }
    };
    check(&["tools", "data"], 2, &["--ids"]);
    check(
        &["tools", "data", "--ids", "nowhere"],
        1,
        &["nowhere", "one a line"],
    );
    check(
        &["tools", "nowhere", "--ids", "ids.txt"],
        1,
        &["nowhere", "bfcl-eval"],
    );
    let some = |more: [&'static str; 2]| [&TOOLS[1..], &more[..]].concat();
    check(&some(["--categories", "poems"]), 2, &["poems", "multiple"]);
    check(
        &some(["--categories", "parallel"]),
        2,
        &["ids.txt", "--categories"],
    );
    check(&some(["--limit", "0"]), 2, &["--limit"]);
    place.write("ids.txt", "simple_python_7\n");
    check(
        &TOOLS[1..],
        1,
        &["simple_python_7", "BFCL_v4_simple_python.json"],
    );
    place.write("ids.txt", "poems_7\n");
    check(&TOOLS[1..], 1, &["poems_7", "the categories are"]);
    place.write("ids.txt", "multiple_0\n");
    place.write("data/possible_answer/BFCL_v4_multiple.json", "");
    check(
        &TOOLS[1..],
        1,
        &["possible_answer", "no answer to multiple_0"],
    );
    place.write("data/BFCL_v4_multiple.json", "{\"id\": \"multiple_0\"}\n");
    check(&TOOLS[1..], 1, &["BFCL_v4_multiple.json", "multiple_0"]);
    place.write("data/BFCL_v4_multiple.json", "[\n");
    check(&TOOLS[1..], 1, &["BFCL_v4_multiple.json", "line 1"]);

    check(&["calls", "nowhere.json"], 1, &["nowhere.json", "`cases`"]);
    place.write("cases.json", "[1, 2");
    check(&["calls", "cases.json"], 1, &["cases.json", "`cases`"]);
    let unknown = json!({"tools": [], "cases": [{"q": "几点？", "tool": "clock"}]});
    place.write("cases.json", unknown.to_string());
    check(
        &["calls", "cases.json"],
        1,
        &["cases.json", "几点？", "`clock`"],
    );
}

#[test]
fn simple_questions_have_one_right_call_or_none() {
    let place = Place::new();
    let texts = |name: &str| {
        let properties = json!({name: {"type": "string"}});
        json!({"type": "object", "properties": properties, "required": [name]})
    };
    let tools = json!([
        {"name": "weather", "description": "天气", "parameters": texts("city")},
        {"name": "calculator", "description": "Arithmetic", "parameters": texts("expression")},
    ]);
    let cases = json!([
        {"q": "北京天气如何？", "tool": "weather", "args": {"city": ["北京", "Beijing"]}},
        {"q": "How is the weather in Oslo?", "tool": "weather", "args": {"city": "Oslo"}},
        {"q": "六乘以七？", "tool": "calculator", "value": 42},
        {"q": "Who are you?", "tool": null},
    ]);
    place.write(
        "cases.json",
        json!({"tools": tools, "cases": cases}).to_string(),
    );
    let answer =
        |request: &Value, _: usize| match request["messages"][0]["content"].as_str().unwrap() {
            "北京天气如何？" => calls("weather", json!({"city": "北京"})),
            "六乘以七？" => calls("calculator", json!({"expression": "7 × 6"})),
            "Who are you?" => says("A raven. 一只乌鸦。"),
            _ => calls("calculator", json!({"expression": "1"})),
        };
    let report = Service::answering(answer).json(&place, &["eval", "calls", "cases.json"]);
    for (key, expected) in [
        ("v", json!(1)),
        ("cases", json!(4)),
        ("right", json!(3)),
        ("right_tool", json!(3)),
        ("valid", json!(4)),
        ("english", json!({"cases": 2, "right": 1})),
        ("chinese", json!({"cases": 2, "right": 2})),
        (
            "by_tool",
            json!({
                "calculator": {"cases": 1, "right": 1},
                "none": {"cases": 1, "right": 1},
                "weather": {"cases": 2, "right": 1},
            }),
        ),
    ] {
        assert_eq!(report[key], expected, "{key}: {report}");
    }
    let line = ["eval", "calls", "cases.json", "--limit", "2"];
    let report = Service::answering(answer).json(&place, &line);
    assert_eq!((&report["cases"], &report["right"]), (&json!(2), &json!(2)));
}

#[test]
fn calls_that_stay_malformed_count_and_services_that_fail_stop() {
    let place = Place::new();
    write_cases(&place);
    place.write("ids.txt", "multiple_0\n");
    let service = Service::answering(|_, _| calls("subtract", json!({"a": 2, "b": 3})));
    let report = service.json(&place, &TOOLS);
    for (key, expected) in [("cases", 1), ("valid", 0), ("correct", 0), ("malformed", 1)] {
        assert_eq!(report[key], expected, "{key}: {report}");
    }
    let service = Service::of([Reply::Refuses(401, "bad key")]);
    let ran: Ran = service.run(&place, &TOOLS);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.contains("check OPENAI_API_KEY"), "{}", ran.err);
}
