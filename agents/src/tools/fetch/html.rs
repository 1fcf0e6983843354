//! The text of a web page, plainly: for where no parser is given.

/// Elements whose content nobody reads.
const SILENT: [&str; 6] = ["script", "style", "noscript", "template", "svg", "iframe"];
/// Elements that stand within a line.
const INLINE: [&str; 18] = [
    "a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "kbd", "mark", "s", "small",
    "span", "strong", "sub", "sup", "u",
];
/// Named characters.
const NAMED: [(&str, char); 12] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("mdash", '—'),
    ("ndash", '–'),
    ("hellip", '…'),
    ("middot", '·'),
    ("copy", '©'),
    ("times", '×'),
];

/// The text of HTML: without tags, comments and scripts, a line for each block.
pub(super) fn text(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        text.push_str(&decoded(&rest[..at]));
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        let is_tag = rest[1..]
            .starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        if !is_tag {
            text.push('<');
            rest = &rest[1..];
            continue;
        }
        let (tag, after) = tag(rest);
        rest = after;
        let name = name(tag);
        if SILENT.contains(&name.as_str()) && !tag.starts_with('/') && !tag.ends_with('/') {
            rest = behind(rest, &name);
        } else if !INLINE.contains(&name.as_str()) {
            text.push('\n');
        }
    }
    text.push_str(&decoded(rest));
    let lines = text.lines().map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.join(" ")
    });
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// What stands between the brackets of the tag that `html` begins with, and what follows it. A
/// bracket within quotes ends nothing.
fn tag(html: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in html.char_indices().skip(1) {
        match (quote, c) {
            (None, '>') => return (&html[1..at], &html[at + 1..]),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    (&html[1..], "")
}

fn name(tag: &str) -> String {
    let tag = tag.strip_prefix('/').unwrap_or(tag);
    let end = tag
        .find(|c: char| !c.is_ascii_alphanumeric())
        .unwrap_or(tag.len());
    tag[..end].to_ascii_lowercase()
}

/// What follows the end of the element `name`.
fn behind<'a>(html: &'a str, name: &str) -> &'a str {
    let bytes = html.as_bytes();
    let closes = |at: &usize| {
        let after = at + 2;
        bytes[*at] == b'<'
            && bytes.get(at + 1) == Some(&b'/')
            && bytes
                .get(after..after + name.len())
                .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    let end = (0..bytes.len()).find(closes);
    end.map_or("", |at| tag(&html[at..]).1)
}

/// A text with its character references resolved.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        match rest
            .find(';')
            .filter(|end| *end <= 10)
            .and_then(|end| Some((end, character(&rest[1..end])?)))
        {
            Some((end, character)) => {
                decoded.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn character(reference: &str) -> Option<char> {
    let Some(number) = reference.strip_prefix('#') else {
        let named = NAMED.iter().find(|(name, _)| *name == reference);
        return named.map(|(_, character)| *character);
    };
    let number = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => number.parse(),
    };
    number.ok().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn pages_become_text() {
        for (html, wanted) in [
            (
                "<p>Ravens <b>cache</b> food.</p><p>渡鸦</p>",
                "Ravens cache food.\n渡鸦",
            ),
            ("<script>alert('<p>')</script>a<STYLE>b</style >c", "ac"),
            ("a<!-- ignore <p> this -->b", "ab"),
            (
                "1 &lt; 2 &amp;&amp; 3 &gt; 2 &#20320;&#x597d; &unknown; & b",
                "1 < 2 && 3 > 2 你好 &unknown; & b",
            ),
            ("a < b", "a < b"),
            ("<a title='x > y' href=\"z\">link</a>", "link"),
            ("<ul><li>one<li>two</ul>", "one\ntwo"),
            ("<p", ""),
            ("<script>never closed", ""),
            ("<", "<"),
            ("&#xFFFFFFFF;&#0;", "&#xFFFFFFFF;\0"),
            ("a<br/>b", "a\nb"),
        ] {
            assert_eq!(text(html), wanted, "{html}");
        }
    }
}
