//! ECMA-262 patterns, as JSON Schema has them, and the texts they match inside JSON's quotes.

use regex_automata::meta::Regex;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};

use super::super::repetition;
use super::text::Text;

/// What ECMA-262 calls white space.
const SPACE: &str = "\\t\\n\\x0b\\x0c\\r \\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}";
/// Any character inside JSON's quotes, written in the only way the grammar allows.
pub const CHARACTER: &str = r#"([^"\\\x00-\x1f\x7f]|\\["\\bfnrt])"#;

/// A pattern that a text must have somewhere.
#[derive(Debug, Clone)]
pub struct Pattern {
    source: String,
    hir: Hir,
    regex: Regex,
}

impl Pattern {
    /// Reads a pattern; the error says what is not supported.
    pub fn parse(source: &str) -> Result<Self, String> {
        let translated = translate(source)?;
        let hir = regex_syntax::ParserBuilder::new()
            .nest_limit(100)
            .build()
            .parse(&translated)
            .map_err(|error| reason(&error))?;
        repetition::check(&hir)?;
        let regex = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(4 << 20)))
            .build(&translated)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            source: source.to_owned(),
            hir,
            regex,
        })
    }

    /// As JSON Schema writes it.
    pub fn source(&self) -> &str {
        &self.source
    }

    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The texts with the pattern in them, in JSON's quotes.
    pub fn quoted(&self) -> Result<Text, String> {
        let inside = search(&self.hir)?;
        Ok(Text::Regex(format!("\"{inside}\"")))
    }
}

/// The texts that `regex` (in Rust's syntax) matches from start to end, in JSON's quotes.
pub fn quoted_whole(regex: &str) -> Result<Text, String> {
    let hir = regex_syntax::Parser::new()
        .parse(regex)
        .map_err(|error| reason(&error))?;
    Ok(Text::Regex(format!("\"{}\"", quote(&hir)?)))
}

/// `text` as JSON writes it, in its one allowed way.
pub fn quoted_literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

/// Writes a pattern in Rust's syntax.
fn translate(source: &str) -> Result<String, String> {
    let mut translated = String::with_capacity(source.len());
    let mut characters = source.chars().peekable();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                let Some(escaped) = characters.next() else {
                    return Err("it ends in a backslash".to_owned());
                };
                let class = match escaped {
                    'd' | 'D' => Some("0-9"),
                    'w' | 'W' => Some("0-9A-Za-z_"),
                    's' | 'S' => Some(SPACE),
                    _ => None,
                };
                match (class, escaped) {
                    (Some(class), 'd' | 'w' | 's') => translated.push_str(&format!("[{class}]")),
                    (Some(class), _) => translated.push_str(&format!("[^{class}]")),
                    (None, 'c') => match characters.next() {
                        Some(letter @ ('a'..='z' | 'A'..='Z')) => {
                            translated.push_str(&format!("\\x{:02x}", letter as u32 % 32));
                        }
                        _ => return Err("`\\c` stands without a letter".to_owned()),
                    },
                    (None, '0') => translated.push_str("\\x00"),
                    (None, 'b') if in_class => translated.push_str("\\x08"),
                    (None, 'a' | 'z' | 'A' | 'Z' | 'Q' | 'E' | 'U' | 'x') if escaped != 'x' => {
                        return Err(format!("`\\{escaped}` is no escape of ECMA-262"));
                    }
                    // A pair of surrogates is one character.
                    (None, 'u') => translated.push_str(&unicode(&mut characters)?),
                    (None, _) => {
                        translated.push('\\');
                        translated.push(escaped);
                    }
                }
            }
            '[' if in_class => translated.push_str("\\["),
            '[' => {
                in_class = true;
                translated.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    translated.push('^');
                }
                if characters.peek() == Some(&']') {
                    return Err("an empty class is not supported".to_owned());
                }
            }
            ']' if in_class => {
                in_class = false;
                translated.push(']');
            }
            // Two of these are set operations in Rust's classes.
            '&' | '~' if in_class => {
                translated.push('\\');
                translated.push(character);
            }
            '-' if in_class && characters.peek() == Some(&'-') => translated.push_str("\\-"),
            // What `.` is not, in ECMA-262.
            '.' if !in_class => translated.push_str("[^\\n\\r\\x{2028}\\x{2029}]"),
            _ => translated.push(character),
        }
    }
    Ok(translated)
}

fn unicode(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let wrong = || "`\\u` stands without four digits".to_owned();
    if characters.next_if_eq(&'{').is_some() {
        let digits: String = characters.by_ref().take_while(|c| *c != '}').collect();
        return Ok(format!("\\u{{{digits}}}"));
    }
    let mut four = || -> Option<u32> {
        let digits: String = characters.by_ref().take(4).collect();
        (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok())?
    };
    let first = four().ok_or_else(wrong)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Ok(format!("\\x{{{first:x}}}"));
    }
    if characters.next() != Some('\\') || characters.next() != Some('u') {
        return Err("half of a surrogate pair is no character".to_owned());
    }
    let digits: String = characters.by_ref().take(4).collect();
    let second = u32::from_str_radix(&digits, 16).map_err(|_| wrong())?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err("half of a surrogate pair is no character".to_owned());
    }
    Ok(format!(
        "\\x{{{:x}}}",
        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
    ))
}

/// The whole texts that have `hir` in them, quoted.
fn search(hir: &Hir) -> Result<String, String> {
    match hir.kind() {
        HirKind::Capture(capture) => search(&capture.sub),
        HirKind::Alternation(options) => {
            let options: Result<Vec<_>, _> = options.iter().map(search).collect();
            Ok(format!("({})", options?.join("|")))
        }
        HirKind::Look(Look::Start | Look::End) | HirKind::Empty => Ok(format!("{CHARACTER}*")),
        HirKind::Concat(parts) => {
            let mut parts = parts.as_slice();
            let (mut before, mut after) = (true, true);
            while let [first, rest @ ..] = parts
                && first.kind() == &HirKind::Look(Look::Start)
            {
                (before, parts) = (false, rest);
            }
            while let [rest @ .., last] = parts
                && last.kind() == &HirKind::Look(Look::End)
            {
                (after, parts) = (false, rest);
            }
            // Anchors inside alternatives at an edge: each alternative for itself.
            if let Some(spread) = spread(parts, before, after) {
                return search(&spread);
            }
            let inside: Result<Vec<_>, _> = parts.iter().map(quote).collect();
            Ok(around(&inside?.concat(), before, after))
        }
        _ => Ok(around(&quote(hir)?, true, true)),
    }
}

fn around(inside: &str, before: bool, after: bool) -> String {
    let any = |wanted: bool| {
        if wanted {
            format!("{CHARACTER}*")
        } else {
            String::new()
        }
    };
    format!("{}{inside}{}", any(before), any(after))
}

/// `(^a|b)c` as `^ac|bc`, and likewise at the end.
fn spread(parts: &[Hir], before: bool, after: bool) -> Option<Hir> {
    let options = |part: &Hir| -> Option<Vec<Hir>> {
        let mut part = part;
        while let HirKind::Capture(capture) = part.kind() {
            part = &capture.sub;
        }
        match part.kind() {
            HirKind::Alternation(options) if !part.properties().look_set().is_empty() => {
                Some(options.clone())
            }
            _ => None,
        }
    };
    let edge = |wanted: bool, look: Look| {
        if wanted {
            Hir::empty()
        } else {
            Hir::look(look)
        }
    };
    let whole = |middle: Vec<Hir>| {
        let mut all = vec![edge(before, Look::Start)];
        all.extend(middle);
        all.push(edge(after, Look::End));
        Hir::concat(all)
    };
    let (first, last) = (parts.first()?, parts.last()?);
    if let Some(options) = options(first) {
        let each = options
            .into_iter()
            .map(|option| whole([vec![option], parts[1..].to_vec()].concat()));
        return Some(Hir::alternation(each.collect()));
    }
    let options = options(last)?;
    let each = options
        .into_iter()
        .map(|option| whole([parts[..parts.len() - 1].to_vec(), vec![option]].concat()));
    Some(Hir::alternation(each.collect()))
}

/// What `hir` matches, with every character as it is between JSON's quotes.
fn quote(hir: &Hir) -> Result<String, String> {
    Ok(match hir.kind() {
        HirKind::Empty => String::new(),
        HirKind::Literal(literal) => {
            let text = std::str::from_utf8(&literal.0).map_err(|_| "it is no text".to_owned())?;
            text.chars()
                .map(|c| class(&ClassUnicode::new([ClassUnicodeRange::new(c, c)])))
                .collect()
        }
        HirKind::Class(Class::Unicode(set)) => class(set),
        HirKind::Class(Class::Bytes(set)) => {
            class(&ClassUnicode::new(set.ranges().iter().map(|range| {
                ClassUnicodeRange::new(range.start() as char, range.end() as char)
            })))
        }
        HirKind::Look(_) => return Err("an anchor or word boundary inside it".to_owned()),
        HirKind::Repetition(Repetition { min, max, sub, .. }) => {
            let times = match (min, max) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (min, None) => format!("{{{min},}}"),
                (min, Some(max)) => format!("{{{min},{max}}}"),
            };
            format!("({}){times}", quote(sub)?)
        }
        HirKind::Capture(capture) => format!("({})", quote(&capture.sub)?),
        HirKind::Concat(parts) => parts.iter().map(quote).collect::<Result<String, _>>()?,
        HirKind::Alternation(options) => {
            let options: Result<Vec<_>, _> = options.iter().map(quote).collect();
            format!("({})", options?.join("|"))
        }
    })
}

/// One character of `set`, as it is between JSON's quotes; of characters that JSON can only write
/// as `\u` and four digits no more than must be.
fn class(set: &ClassUnicode) -> String {
    let has = |c: char| set.ranges().iter().any(|r| r.start() <= c && c <= r.end());
    let mut plain = set.clone();
    plain.difference(&ClassUnicode::new([
        ClassUnicodeRange::new('\0', '\x1f'),
        ClassUnicodeRange::new('"', '"'),
        ClassUnicodeRange::new('\\', '\\'),
        ClassUnicodeRange::new('\x7f', '\x7f'),
    ]));
    let mut options = Vec::new();
    if !plain.ranges().is_empty() {
        options.push(Hir::class(Class::Unicode(plain)).to_string());
    }
    for (character, escaped) in [
        ('"', r#"\\""#),
        ('\\', r"\\\\"),
        ('\u{8}', r"\\b"),
        ('\u{c}', r"\\f"),
        ('\n', r"\\n"),
        ('\r', r"\\r"),
        ('\t', r"\\t"),
    ] {
        if has(character) {
            options.push(escaped.to_owned());
        }
    }
    if options.is_empty() {
        // A class of control characters alone is meant.
        let controls = ('\0'..='\x1f').filter(|c| has(*c));
        options.extend(controls.map(|c| format!(r"\\u{:04x}", c as u32)));
    }
    match options.len() {
        0 => r"[^\s\S]".to_owned(),
        _ => format!("({})", options.join("|")),
    }
}
