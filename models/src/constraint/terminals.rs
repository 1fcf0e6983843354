//! How large the terminals of a Lark grammar become when the names in them are written out.

use std::collections::HashMap;

/// The most parts of a terminal that is written out.
const MAX_PARTS: u64 = 10_000;

/// A terminal: how many parts it has of its own, and the terminals it names.
#[derive(Default)]
struct Terminal<'a> {
    parts: u64,
    names: Vec<&'a str>,
}

/// Refuses terminals that double and double.
pub(super) fn check(lark: &str) -> Result<(), String> {
    let mut terminals: HashMap<&str, Terminal<'_>> = HashMap::new();
    let mut current = None;
    for line in lark.lines() {
        let start = line
            .find([':', '"', '/'])
            .filter(|at| line[*at..].starts_with(':'));
        let body = match start {
            Some(colon) => {
                let name = line[..colon].split('.').next().unwrap_or_default().trim();
                current = is_terminal(name).then_some(name);
                &line[colon + 1..]
            }
            None => line,
        };
        if let Some(name) = current {
            read(body, terminals.entry(name).or_default());
        }
    }
    let mut known = HashMap::new();
    for name in terminals.keys() {
        if written_out(name, &terminals, &mut known) > MAX_PARTS {
            return Err(format!(
                "its terminal `{name}` has over {MAX_PARTS} parts when it is written out"
            ));
        }
    }
    Ok(())
}

fn is_terminal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase() || c == '_')
        && !name.contains(|c: char| c.is_ascii_lowercase())
}

/// Adds what a line says, texts and expressions as one part each.
fn read<'a>(line: &'a str, terminal: &mut Terminal<'a>) {
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '/' => {
                let mut escaped = false;
                let end = rest[1..].find(|c| {
                    let ends = c == first && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                });
                terminal.parts += 1;
                end.map_or(rest.len(), |end| end + 2)
            }
            c if c.is_ascii_alphabetic() || c == '_' => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let word = &rest[..end.unwrap_or(rest.len())];
                if is_terminal(word) {
                    terminal.names.push(word);
                }
                word.len()
            }
            c => c.len_utf8(),
        };
        rest = &rest[length..];
    }
}

/// How many parts a terminal has when it is written out.
fn written_out<'a>(
    name: &'a str,
    terminals: &HashMap<&'a str, Terminal<'a>>,
    known: &mut HashMap<&'a str, u64>,
) -> u64 {
    // One that is being written out counts as one part: grammars refuse circles.
    let mut open = vec![(name, false)];
    while let Some((name, is_read)) = open.pop() {
        let Some(terminal) = terminals.get(name) else {
            continue;
        };
        let names = terminal.names.iter().copied();
        if is_read {
            let parts = |name: &str| known.get(name).copied().unwrap_or(1);
            let parts = names.map(parts).fold(terminal.parts, u64::saturating_add);
            known.insert(name, parts);
        } else if !known.contains_key(name) {
            known.insert(name, 1);
            open.push((name, true));
            open.extend(names.map(|name| (name, false)));
        }
    }
    known.get(name).copied().unwrap_or(1)
}
