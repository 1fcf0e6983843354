#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn schema(schema: Value) -> Schema {
    Schema::new("test", &schema).unwrap()
}

#[test]
fn faults_say_where_what_and_instead_of_what() {
    for (root, value, told) in [
        (
            json!({"type": ["string", "null"]}),
            json!(1),
            "null or string",
        ),
        (
            json!({"items": {"minLength": 3}}),
            json!(["ab"]),
            r#"at /0: expected at least 3 characters, found "ab""#,
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, 1]),
            "expected items that all differ, found a list of 2 items",
        ),
        (
            json!({"format": "date"}),
            json!("30 Feb"),
            "in the format `date`",
        ),
        (json!({"pattern": "^乌"}), json!("鸦"), "matches, found"),
        (
            json!({"const": {"a": 1}}),
            json!(1),
            r#"expected {"a":1}, found 1"#,
        ),
        (
            json!({"not": {"type": "string"}}),
            json!("x"),
            "nothing that satisfies",
        ),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"ab": 1}),
            r#"(at most 1 characters), found "ab""#,
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "string"}}, "required": ["b", "c"]}]}),
            json!({"a": 1}),
            "one of 2 shapes (for the nearest: expected string",
        ),
        (json!({"contains": {"const": 1}}), json!([2]), "`contains`"),
        (json!(false), json!(1), "expected nothing here"),
        // Tuples of draft 7, recognised by its words.
        (
            json!({"definitions": {"n": {"type": "number"}}, "items": [{"$ref": "#/definitions/n"}]}),
            json!(["x"]),
            "at /0: expected number",
        ),
    ] {
        let faults = schema(root).check(&value, 8).unwrap();
        let list: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            list.iter().any(|fault| fault.contains(told)),
            "{told}: {list:?}"
        );
    }
    let many = schema(json!({"items": {"type": "string"}}));
    assert_eq!(many.check(&json!([1, 2, 3, 4]), 3).unwrap().len(), 3);
}

/// So many steps, each of which goes two ways to the next.
fn doubling(keyword: &str, steps: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for step in 0..steps {
        let next = json!({"$ref": format!("#/$defs/s{}", step + 1)});
        definitions.insert(format!("s{step}"), json!({keyword: [next, next]}));
    }
    definitions.insert(format!("s{steps}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/s0", "$defs": definitions})
}

fn refused(root: &Value) -> ErrorKind {
    let error = Schema::new("test", root).err().unwrap();
    error.kind().clone()
}

#[test]
fn schemas_that_explode_are_refused_and_large_ones_checked() {
    for keyword in ["anyOf", "allOf", "oneOf"] {
        let bomb = doubling(keyword, 40);
        assert_eq!(refused(&bomb), ErrorKind::LimitExceeded, "{keyword}");
        for (steps, listed) in [(4, true), (18, false)] {
            let large = schema(doubling(keyword, steps));
            let faults = large.check(&json!(1), 8).unwrap();
            let expected = &faults[0].expected;
            let named = expected != "a value that satisfies the schema";
            assert_eq!(named, listed, "{keyword} {steps}: {expected}");
            let right = large.check(&json!("x"), 8).unwrap();
            assert_eq!(right.is_empty(), keyword != "oneOf", "{keyword} {steps}");
        }
    }
    // The value's depth is what doubles the work.
    let within = json!({"properties": {"a": {"$ref": "#"}}});
    let bomb = schema(json!({"type": "object", "allOf": [within, within]}));
    let mut value = json!(1);
    for _ in 0..100 {
        value = json!({"a": value});
    }
    let error = bomb.check(&value, 8).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
}

#[test]
fn ways_without_end_and_far_too_long_ones_are_not_gone() {
    let endless = json!({"anyOf": [{"$ref": "#"}, {"type": "string"}]});
    let mut definitions = serde_json::Map::new();
    for step in 0..5000 {
        let next = format!("#/$defs/s{}", step + 1);
        definitions.insert(format!("s{step}"), json!({"$ref": next}));
    }
    definitions.insert("s5000".into(), json!({"type": "string"}));
    let long = json!({"$ref": "#/$defs/s0", "$defs": definitions});
    let mut deep = json!({});
    for _ in 0..60 {
        deep = json!({"properties": {"a": deep}});
    }
    for root in [endless, long, deep] {
        assert_eq!(refused(&root), ErrorKind::LimitExceeded);
    }
}

#[test]
fn recursive_schemas_of_everyday_are_checked() {
    let tree = schema(json!({
        "$id": "https://corbie.test/tree",
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "https://corbie.test/tree#"}},
        },
        "required": ["name"],
    }));
    let mut value = json!({"name": "叶"});
    for _ in 0..50 {
        value = json!({"name": "枝", "children": [value, {"name": 1}]});
    }
    let faults = tree.check(&value, 100).unwrap();
    assert_eq!(faults.len(), 50);
    assert!(
        faults
            .iter()
            .all(|fault| fault.place.ends_with("/children/1/name"))
    );
}
