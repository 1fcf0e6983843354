//! Chat templates of any text: an error or a prompt.

use corbie_core::{Message, ToolSpec};
use corbie_models::template::ChatTemplate;

pub fn run(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(template) = ChatTemplate::new("fuzz", source, "<s>", "</s>") else {
        return;
    };
    let messages = [Message::system("Be kind."), Message::user("渡鸦 <b>?")];
    let tool = ToolSpec {
        name: "f".into(),
        description: "渡".into(),
        parameters: serde_json::json!({"type": "object", "properties": {"a": {"type": "string"}}}),
    };
    let _ = template.render(&messages, &[], true);
    let _ = template.render(&messages, &[tool], false);
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}",
        "{%- set ns = namespace(x=[1], y='a') -%}{%- for i in range(5) -%}{%- set ns.x = ns.x + [ns.x, i] -%}{%- set ns.y = ns.y ~ ns.y -%}{%- endfor -%}{{ ns.x }}{{ ns.y | upper }}",
        "{% macro m(a, b=1) %}{{ a * b }}{{ caller() }}{% endmacro %}{% call m('x', b=3) %}y{% endcall %}{% set z %}block{% endset %}{{ z }}",
        "{% for m in messages recursive %}{% if loop.first and m.role not in ['user'] %}{% continue %}{% elif m is mapping %}{{ loop.index0 ** 2 // 3 % 5 }}{% else %}{% break %}{% endif %}{% endfor %}",
        "{{ {'a': [1, 2.5, none], 'b': (true,)} | dictsort | list | tojson }}{{ messages[::-1][0].content[1:] }}{{ 'a,b'.split(',') | join('-') | replace('a', 'bc') | indent(2) }}",
        "{# comment #}{% raw %}{{ x }}{% endraw %}{{ messages | map(attribute='role') | select('equalto', 'user') | first | default('x', true) }}{{ raise_exception('no') if false else '' }}",
        "{% generation %}x{% endgeneration %}{% with a = 1, b = a %}{{ a == b }}{{ a < b <= 3 != 4 }}{% endwith %}{% filter upper %}x{% endfilter %}{% autoescape true %}{{ '<' }}{% endautoescape %}{{ strftime_now('%d %b %Y') }}",
    ]
    .map(|source| source.as_bytes().to_vec())
    .to_vec()
}

pub const WORDS: &[&str] = &[
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{%- ",
    " -%}",
    "{#",
    "#}",
    "{% for x in ",
    "{% endfor %}",
    "{% if ",
    "{% endif %}",
    "{% elif ",
    "{% set ns.x = ",
    "{% set x = ",
    "namespace(",
    "ns.x",
    " ~ ",
    " * ",
    " + ",
    " == ",
    " in ",
    " is ",
    " not ",
    "| list",
    "| join",
    "| tojson",
    "| sort",
    "| unique",
    "| string",
    "| batch(2)",
    "| items",
    "| reverse",
    "| groupby('a')",
    "| map('upper')",
    ".items()",
    "range(9)",
    "[0]",
    "[::-1]",
    "loop(",
    "messages",
    "9999999999",
    "recursive",
    "{% macro m(x) %}",
    "{% endmacro %}",
    "{{ m(x) }}",
    "{%}",
    "{% raw %}",
    "{% endraw %}",
    "'",
    "\"",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "渡",
];
