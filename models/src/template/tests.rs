//! Templates written for these tests, with what they must give.
#![allow(clippy::unwrap_used)]

use corbie_core::{ErrorKind, Message};
use serde_json::json;

use super::ChatTemplate;

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new("test", source, "<s>", "</s>").unwrap()
}

fn rendered(source: &str) -> String {
    let messages = [Message::system("Be kind."), Message::user("乌鸦 <b>?")];
    template(source).render(&messages, &[], true).unwrap()
}

#[test]
fn templates_render_as_in_python() {
    let cases = [
        // Blocks take the line end after them and the blanks before them.
        (
            "{% if true %}\n  {% if true %}\nx\n  {% endif %}\n{% endif %}\n",
            "x\n",
        ),
        (
            "{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}",
            "<s></s>True",
        ),
        ("{{ messages[1]['content'] | tojson }}", "\"乌鸦 <b>?\""),
        (
            "{{ [1, {'b': 1.0, 'a': none}] | tojson }}",
            "[1, {\"b\": 1.0, \"a\": null}]",
        ),
        (
            "{{ {'a': [1]} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1\n  ]\n}",
        ),
        ("{{ tools is none }} {{ tools }}", "True None"),
        (
            "{{ ' a '.strip() ~ 'b'.upper() ~ 'c,d'.split(',')[1] }}",
            "aBd",
        ),
        (
            "{{ messages[0].content[:2] }}{{ messages[::-1][0].role }}",
            "Beuser",
        ),
        (
            "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
            "2",
        ),
        (
            "{% for m in messages %}{% if loop.last %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
            "system",
        ),
        ("{%- generation -%}\nx\n{%- endgeneration -%}", "x"),
        ("{{ missing }}{{ missing is defined }}", "False"),
        // What checks are woven into: jumps, macros, recursion, chained comparisons.
        (
            "{% macro m(a, b='y') %}<{{ a ~ b if a else 'none' }}>{% endmacro %}{{ m('x') ~ m('', b='z') }}",
            "<xy><none>",
        ),
        (
            "{% macro f(n) %}{{ caller(n + 1) }}{% endmacro %}{% call(x) f(1) %}{{ x }}{% endcall %}",
            "2",
        ),
        (
            "{% for n in [[1, [2]], 3] recursive %}{% if n is sequence %}({{ loop(n) }}){% else %}{{ n }}{% endif %}{% else %}no{% endfor %}",
            "(1(2))3",
        ),
        (
            "{{ 1 < 2 < 3 and 3 > 2 }} {{ 'a' in {'a': 1} and 2 not in (1, 3) }} {{ 3 < 2 < 9 or 'x' }}",
            "True True x",
        ),
        (
            "{% set ns = namespace(x=[]) %}{% for m in messages %}{% set ns.x = ns.x + [m.role] %}{% endfor %}{{ ns.x * 2 }}{{ ns.x[::-1] | list }}",
            "['system', 'user', 'system', 'user']['user', 'system']",
        ),
        ("{% for a in [] %}x{% else %}empty{% endfor %}", "empty"),
    ];
    for (source, expected) in cases {
        assert_eq!(rendered(source), expected, "{source}");
    }
}

#[test]
fn a_refusal_is_the_callers_to_mend() {
    let error = template("{{ raise_exception('no system message, 请') }}")
        .render(&[Message::user("x")], &[], true)
        .unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadInput);
    assert!(
        error.to_string().contains("no system message, 请"),
        "{error}"
    );
}

#[test]
fn hostile_templates_end() {
    let cases = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
        "{{ 'x' * 999999999999 }}",
        "{{ range(999999999999) | list }}",
        "{{ [[[1]]] | tojson(indent=999999999) }}",
        "{% include '/etc/passwd' %}",
        "{% extends '/etc/passwd' %}",
    ];
    for source in cases {
        let error = ChatTemplate::new("test", source, "", "")
            .and_then(|template| template.render(&[Message::user("x")], &[], true))
            .unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Malformed | ErrorKind::LimitExceeded
            ),
            "{source}: {error}"
        );
    }
    for source in ["{%}", "{% if %}"] {
        assert!(ChatTemplate::new("test", source, "", "").is_err());
    }
}

#[test]
fn the_plain_format_speaks_the_users_language() {
    let plain = ChatTemplate::plain("base");
    let english = [Message::system("Be brief."), Message::user("Where?")];
    let prompt = plain.render(&english, &[], true).unwrap();
    assert_eq!(prompt, "Be brief.\n\nQuestion: Where?\nAnswer:");
    let chinese = json!([{ "role": "user", "content": "在哪里?" }]);
    let prompt = plain.render_json(&chinese, &json!(null), true).unwrap();
    assert_eq!(prompt, "问题：在哪里?\n回答：");
}

/// A template in the manner of a known family, with what it shows of tools.
fn shown(source: &str, calls: &[&str]) -> String {
    let template = template(source);
    let mut tools = vec![json!({"type": "function", "function": {
        "name": "f", "description": "", "parameters": {"properties": {"a": {"type": "string"}}},
    }})];
    let mut messages = vec![json!({"role": "user", "content": "?"})];
    for name in calls {
        let function = json!({"name": name, "arguments": {"a": "x", "b": 1}});
        messages.push(json!({"role": "assistant", "content": "", "tool_calls": [
            {"id": "1", "type": "function", "function": function},
        ]}));
        messages.push(json!({"role": "tool", "tool_call_id": "1", "content": "r"}));
    }
    template
        .dialect
        .adapt(&mut messages, &mut tools, template.abilities);
    template.shape(&mut messages, &mut tools);
    template
        .render_json(&json!(messages), &json!(tools), true)
        .unwrap()
}

#[test]
fn calls_get_the_form_that_a_template_wants() {
    // Arguments as a text, and no content beside calls.
    let source = "{# <tool_call> <function-name> #}{{ tools }}{% for m in messages %}\
        {% if m.content is none %}{% for c in m.tool_calls %}\
        {{ '[' + c.function.name + c.function.arguments + ']' }}{% endfor %}\
        {% else %}{{ m.content }}{% endif %}{% endfor %}";
    assert!(shown(source, &["f"]).ends_with("?[f{\"a\": \"x\", \"b\": 1}]r"));
    // Parameters must be described.
    let source = "{# <tool_call> <function-name> #}{% for t in tools %}\
        {% for n, p in t.function.parameters.properties | items %}\
        {{ t.function.name + n + '(' + p.description + ')' }}{% endfor %}{% endfor %}";
    assert_eq!(shown(source, &[]), "fa()");
    // Tools stand in the system's message.
    let source = "{% for m in messages %}{% if m.role == 'system' and 'tools' in m %}\
        <|tool|>{{ m.tools }}<|/tool|>{% else %}{{ m.content }}{% endif %}{% endfor %}";
    assert_eq!(
        shown(source, &["f"]),
        "<|tool|>[{\"name\": \"f\", \"description\": \"\", \"parameters\": {\"properties\": \
         {\"a\": {\"type\": \"string\"}}}}]<|/tool|>?<|tool_call|>[{\"name\": \"f\", \
         \"arguments\": {\"a\": \"x\", \"b\": 1}}]<|/tool_call|>r"
    );
}

#[test]
fn a_template_without_tools_gets_instructions() {
    let source = "{% for m in messages %}{% if m.role not in ['user', 'assistant'] %}\
        {{ raise_exception('no such role') }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let prompt = shown(source, &["f", "g"]);
    assert!(prompt.starts_with("<user>You can call these tools:\n{\"name\": \"f\""));
    assert!(prompt.contains("<assistant>{\"name\": \"clock\""));
    assert!(prompt.ends_with(
        "<assistant>{\"name\": \"g\", \"arguments\": {\"a\": \"x\", \"b\": 1}}\
         <user><tool_response>\nr\n</tool_response>"
    ));
}
