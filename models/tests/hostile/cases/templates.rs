//! Chat templates that mean harm.

use corbie_core::{Message, Result};
use corbie_models::template::ChatTemplate;

use super::Case;

/// Makes a text of 2^60 bytes in 60 steps.
pub const DOUBLES: &str = "{% set ns = namespace(x='渡鸦') %}{% for i in range(60) %}\
    {% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x | length }}";
pub const LOOPS: &str = "{% for a in range(99999) %}{% for b in range(99999) %}\
    {% for c in range(99999) %}x{% endfor %}{% endfor %}{% endfor %}";

/// Reads a template and renders a short conversation with it.
pub fn attempt(source: &str, step: &mut dyn FnMut()) -> Result<()> {
    let template = ChatTemplate::new("hostile", source, "<s>", "</s>")?;
    step();
    let messages = [
        Message::system("Be kind."),
        Message::user("渡鸦 cache food."),
    ];
    template.render(&messages, &[], true).map(drop)
}

pub fn cases() -> Vec<Case> {
    sources()
        .into_iter()
        .map(|(name, source)| Case::new(name, move |step| attempt(&source, step)))
        .collect()
}

/// A statement in a loop over a namespace that has `x`.
fn looped(begin: &str, times: usize, statement: &str, end: &str) -> String {
    format!(
        "{{% set ns = namespace(x={begin}, y={begin}) %}}{{% for i in range({times}) %}}\
         {statement}{{% endfor %}}{end}"
    )
}

/// Lists that share their parts, as deep as asked, in two copies.
fn shared(depth: usize, end: &str) -> String {
    let statement = "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}";
    looped("[1]", depth, statement, end)
}

/// The same without a loop.
fn unrolled(depth: usize, end: &str) -> String {
    let statement = "{% set x = [x, x] %}{% set y = [y, y] %}".repeat(depth);
    format!("{{% set x = [1] %}}{{% set y = [1] %}}{statement}{end}")
}

pub fn sources() -> Vec<(String, String)> {
    let fixed = [
        ("nested ranges", LOOPS),
        ("doubling by ~", DOUBLES),
        (
            "a macro that calls itself",
            "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        ),
        (
            "a macro that calls itself twice",
            "{% macro m(n) %}{{ m(n + 1) ~ m(n + 1) }}{% endmacro %}{{ m(0) }}",
        ),
        (
            "macros that call one another",
            "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        ),
        (
            "a loop that recurs",
            "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        ),
        (
            "a loop that recurs twice",
            "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        ),
        ("much text by *", "{{ 'a' * 10**9 }}"),
        ("more text by *", "{{ 'a' * 999999999999 }}"),
        (
            "much text, often",
            "{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}",
        ),
        ("a long list by *", "{{ [0] * 10**9 }}"),
        ("a long list by *, counted", "{{ ([0] * 10**9) | length }}"),
        ("a long list by *, as text", "{{ '' ~ [0] * 10**9 }}"),
        (
            "lists of lists by *",
            "{{ [[[0] * 99999] * 99999] * 99999 }}",
        ),
        (
            "lists of lists by *, as text",
            "{{ '' ~ [[[0] * 99999] * 99999] * 99999 }}",
        ),
        (
            "lists of lists by *, joined",
            "{{ ([[[0] * 999] * 999] * 999) | join(',') }}",
        ),
        (
            "lists of lists by *, in capitals",
            "{{ ([[[0] * 999] * 999] * 999) | upper }}",
        ),
        ("a huge range", "{{ range(999999999999) | list }}"),
        (
            "a range, listed often",
            "{% for a in range(99999) %}{{ range(99999) | list | length }}{% endfor %}",
        ),
        (
            "a range, sorted often",
            "{% for a in range(99999) %}{{ range(99999) | sort | length }}{% endfor %}",
        ),
        (
            "unique texts",
            "{% for a in range(99999) %}{{ range(9999) | map('string') | unique | list | length }}{% endfor %}",
        ),
        ("a wide indent", "{{ [[[1]]] | tojson(indent=999999999) }}"),
        (
            "long separators",
            "{{ range(9999) | list | tojson(separators=['x' * 99999, 'y']) }}",
        ),
        ("a long number", "{{ 9 ** 9 ** 9 ** 9 }}"),
        ("a long format", "{{ '%0999999999d' | format(1) }}"),
        (
            "a long format of a method",
            "{{ '{:0999999999}'.format(1) }}",
        ),
        (
            "replaced by much",
            "{{ ('a' * 9999) | replace('a', 'b' * 99999) }}",
        ),
        (
            "replaced by much, as a method",
            "{{ ('a' * 9999).replace('a', 'b' * 99999) }}",
        ),
        (
            "replaced between all",
            "{{ ('a' * 99999) | replace('', 'b' * 9999) }}",
        ),
        ("joined by much", "{{ range(99999) | join('b' * 99999) }}"),
        (
            "joined by much, as a method",
            "{{ ('b' * 99999).join(range(99999)) }}",
        ),
        ("indented by much", "{{ ('a\\n' * 99999) | indent(99999) }}"),
        (
            "split into much",
            "{{ ('a ' * 4000000).split(' ') | length }}",
        ),
        ("escaped", "{{ ('<' * 30000000) | escape | length }}"),
        (
            "escaped in a block",
            "{% autoescape true %}{{ '<' * 30000000 }}{% endautoescape %}",
        ),
        (
            "escaped as JSON",
            "{{ ('\\x01' * 30000000) | tojson | length }}",
        ),
        (
            "escaped as JSON beyond ASCII",
            "{{ ('渡' * 10000000) | tojson(ensure_ascii=true) | length }}",
        ),
        (
            "larger in capitals",
            "{{ ('ΐ' * 15000000) | upper | length }}",
        ),
        (
            "long texts compared",
            "{% set a = 'x' * 9000000 %}{% set b = 'x' * 9000000 %}{% for i in range(99999) %}{% if a == b %}{% endif %}{% endfor %}",
        ),
        (
            "searched for what is not there",
            "{% set a = 'x' * 9000000 %}{% for i in range(99999) %}{% if a.find('xy') > 0 %}{% endif %}{% endfor %}",
        ),
        (
            "searched by a filter",
            "{% set a = 'x' * 9000000 %}{% for i in range(99999) %}{% if 'xy' in a %}{% endif %}{% endfor %}",
        ),
        (
            "a namespace that holds itself",
            "{% set a = namespace() %}{% set a.x = a %}{{ a }}{{ a ~ '' }}{{ a | string }}",
        ),
        (
            "namespaces that hold one another",
            "{% set a = namespace() %}{% set b = namespace() %}{% set a.x = b %}{% set b.x = a %}{{ a == b }}{{ a | upper }}",
        ),
        (
            "a namespace in a list of its own",
            "{% set a = namespace() %}{% set a.x = [a] %}{{ [a] | join }}",
        ),
        (
            "a namespace in a namespace in a call",
            "{% set a = namespace() %}{% set b = namespace(x=a) %}{% set a.x = b %}{{ b | upper }}",
        ),
        (
            "a namespace in a dictionary",
            "{% set a = namespace() %}{% set a.x = dict(y=a) %}{{ a | upper }}",
        ),
        ("debug", "{{ debug() }}"),
        ("include", "{% include '/etc/passwd' %}"),
        ("extends", "{% extends '/etc/passwd' %}"),
        ("import", "{% import '/etc/passwd' as p %}{{ p }}"),
        ("from import", "{% from '/etc/passwd' import p %}{{ p }}"),
        (
            "a block that calls itself",
            "{% block b %}{{ self.b() }}{% endblock %}",
        ),
        (
            "Python's ways out",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        ),
        (
            "a refusal of a megabyte",
            "{{ raise_exception('x' * 1000000) }}",
        ),
        ("half a tag", "{%}"),
        ("an open tag", "{{ 'a"),
        ("an open comment", "{# {% generation %}"),
        (
            "marks of other alphabets",
            "{{ '\u{202e}\u{0}\u{fffd}' ~ messages[0].content[::-1] }}",
        ),
    ];
    let mut sources: Vec<(String, String)> = fixed
        .map(|(name, source)| (name.to_owned(), source.to_owned()))
        .into_iter()
        .collect();
    let ways = [
        ("written", "{{ ns.x }}"),
        ("as text", "{{ ns.x ~ '' }}"),
        ("compared", "{{ ns.x == ns.y }}"),
        ("ordered", "{{ ns.x < ns.y }}"),
        ("in a list", "{{ ns.x in [ns.y] }}"),
        ("as JSON", "{{ ns.x | tojson }}"),
        ("joined", "{{ ns.x | join }}"),
        ("in capitals", "{{ ns.x | upper }}"),
        ("as a string", "{{ ns.x | string | length }}"),
        ("tested for equality", "{{ ns.x is eq ns.y }}"),
        ("sorted", "{{ [ns.x, ns.y] | sort }}"),
        ("made unique", "{{ [ns.x, ns.y] | unique }}"),
        ("as a key", "{{ {ns.x: 1}[ns.y] }}"),
        ("counted", "{{ ns.x.count(ns.y) }}"),
        ("in a refusal", "{{ raise_exception(ns.x) }}"),
        ("in an error", "{{ ns.x - ns.y }}"),
        ("printed", "{{ ns.x | pprint }}"),
    ];
    for (way, end) in ways {
        sources.push((format!("shared lists, {way}"), shared(60, end)));
        sources.push((format!("shared lists, 15 deep, {way}"), shared(15, end)));
        let end = end.replace("ns.x", "x").replace("ns.y", "y");
        sources.push((
            format!("shared lists without a loop, {way}"),
            unrolled(60, &end),
        ));
    }
    let steps = [
        ("doubling by +", "'ab'", "{% set ns.x = ns.x + ns.x %}"),
        (
            "doubling by join",
            "'ab'",
            "{% set ns.x = [ns.x, ns.x] | join %}",
        ),
        (
            "doubling by replace",
            "'ab'",
            "{% set ns.x = ns.x | replace('a', ns.x) %}",
        ),
        ("doubling by *", "'ab'", "{% set ns.x = ns.x * 2 %}"),
        (
            "doubling by format",
            "'ab'",
            "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}",
        ),
        (
            "doubling by a block",
            "'ab'",
            "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}",
        ),
        ("doubling lists by +", "[1]", "{% set ns.x = ns.x + ns.x %}"),
        ("doubling lists by *", "[1]", "{% set ns.x = ns.x * 2 %}"),
        (
            "doubling dictionaries",
            "{}",
            "{% set ns.x = {'a': ns.x, 'b': ns.x} %}",
        ),
        ("doubling tuples", "(1,)", "{% set ns.x = ns.x + ns.x %}"),
        (
            "doubling by zip",
            "[1]",
            "{% set ns.x = ns.x | zip(ns.x) | list %}",
        ),
        (
            "doubling by chain",
            "[1]",
            "{% set ns.x = ns.x | chain(ns.x) %}",
        ),
    ];
    for (name, begin, statement) in steps {
        sources.push((
            name.to_owned(),
            looped(begin, 60, statement, "{{ ns.x | length }}"),
        ));
    }
    let deep = [
        ("lists in lists", "{% set ns.x = [ns.x] %}"),
        (
            "dictionaries in dictionaries",
            "{% set ns.x = {'a': ns.x} %}",
        ),
        (
            "batches of batches",
            "{% set ns.x = ns.x | batch(1) | list %}",
        ),
        ("slices of slices", "{% set ns.x = ns.x[0:] %}"),
        ("backwards and backwards", "{% set ns.x = ns.x | reverse %}"),
        ("sums of sums", "{% set ns.x = ns.x + [] %}"),
        ("once and once", "{% set ns.x = ns.x * 1 %}"),
    ];
    for (name, statement) in deep {
        let end = "{{ ns.x | list | length }}{{ ns.x }}";
        sources.push((
            format!("{name}, 99,999 deep"),
            looped("[1, 2]", 99_999, statement, end),
        ));
    }
    let brackets = |open: &str, close: &str, count: usize| {
        format!("{{{{ {}1{} }}}}", open.repeat(count), close.repeat(count))
    };
    let written = [
        ("brackets", brackets("(", ")", 100_000)),
        ("lists", brackets("[", "]", 100_000)),
        ("dictionaries", brackets("{1:", "}", 100_000)),
        ("signs", brackets("-", "", 100_000)),
        ("negations", brackets("not ", "", 100_000)),
        ("attributes", brackets("a", ".a", 100_000)),
        ("filters", brackets("", "|abs", 100_000)),
        ("tests", brackets("", " is defined", 100_000)),
        ("sums", brackets("", "+1", 100_000)),
        ("powers", brackets("", "**1", 100_000)),
        ("comparisons", brackets("", "<1", 100_000)),
        ("calls", brackets("a", "()", 100_000)),
        ("indices", brackets("a", "[0]", 100_000)),
        ("conditions", brackets("", " if 1 else 1", 100_000)),
        ("alternatives", brackets("", " or 1", 100_000)),
        (
            "blocks",
            format!(
                "{}{}",
                "{% if 1 %}".repeat(20_000),
                "{% endif %}".repeat(20_000)
            ),
        ),
        (
            "branches",
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(20_000)),
        ),
        (
            "loops",
            format!(
                "{}{}",
                "{% for a in [1] %}".repeat(20_000),
                "{% endfor %}".repeat(20_000)
            ),
        ),
    ];
    for (name, source) in written {
        sources.push((format!("many {name}"), source));
    }
    let as_deep_as_is_read = [
        ("signs", brackets("-", "", 390)),
        ("attributes", brackets("a", ".a", 390)),
        ("sums", brackets("", "+1", 390)),
        (
            "branches",
            format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(390)),
        ),
        ("negations", brackets("not ", "", 390)),
        ("filters", brackets("", "|abs", 390)),
        ("lists", brackets("[", "]", 70)),
    ];
    for (name, source) in as_deep_as_is_read {
        sources.push((format!("as many {name} as are read"), source));
    }
    sources.push(("10 MB of text".into(), "渡鸦 ".repeat(1_500_000)));
    sources.push(("10 MB of tags".into(), "{{ 1 }}".repeat(1_500_000)));
    sources.push(("1 MB of tags".into(), "{{ 1 }}".repeat(149_000)));
    sources.push((
        "1 MB of generation blocks".into(),
        "{% generation %} ".repeat(60_000),
    ));
    sources.push((
        "a gigabyte of output".into(),
        format!(
            "{{% set x = '{}' %}}{{% for a in range(99999) %}}{{{{ x }}}}{{% endfor %}}",
            "x".repeat(10_000)
        ),
    ));
    sources
}
