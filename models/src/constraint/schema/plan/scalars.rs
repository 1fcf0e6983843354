//! Values without parts, as texts.

use regex_automata::meta::Regex;

use crate::constraint::schema::Refusal;
use crate::constraint::schema::pattern::{CHARACTER, quoted_literal, quoted_whole};
use crate::constraint::schema::shape::{Case, Strings};
use crate::constraint::schema::text::Text;

/// Patterns that one string must have or not have.
const MAX_MEETING: usize = 4;

/// The values without parts that a case allows.
pub(super) fn scalars(case: &Case) -> Result<Vec<Text>, Refusal> {
    let mut texts = Vec::new();
    let words = [
        (case.null, "null"),
        (case.booleans[0], "false"),
        (case.booleans[1], "true"),
    ];
    for (_, word) in words.into_iter().filter(|(may, _)| *may) {
        texts.push(Text::Literal(word.to_owned()));
    }
    if let Some(numbers) = &case.number {
        match numbers.listed() {
            Some(listed) => {
                texts.extend(
                    listed
                        .into_iter()
                        .map(|number| Text::Literal(number.to_string())),
                );
            }
            None => {
                let mut sets = vec![numbers.range.text()];
                for number in &numbers.none_of {
                    sets.push(spellings(number).not());
                }
                texts.push(match sets.len() {
                    1 => sets.remove(0),
                    _ => Text::All(sets),
                });
            }
        }
    }
    if let Some(of) = &case.string {
        match strings(of)? {
            Text::Any(listed) => texts.extend(listed),
            text => texts.push(text),
        }
    }
    Ok(texts)
}

/// Every way to write a number with the same value, exponents included.
fn spellings(number: &serde_json::Number) -> Text {
    let text = number.to_string();
    // Numbers with an exponent may spell any value, so none of them is left.
    let exponent = Text::regex("-?[0-9.]+[eE].*");
    let plain = match text.split_once('.') {
        _ if text.contains(['e', 'E']) => Text::Literal(text),
        Some((whole, fraction)) => {
            let fraction = fraction.trim_end_matches('0');
            match fraction.is_empty() {
                true => Text::Regex(format!(r"{whole}(\.0+)?")),
                false => Text::Regex(format!(r"{whole}\.{fraction}0*")),
            }
        }
        None => Text::Regex(format!(r"{text}(\.0+)?")),
    };
    let negative_zero = Text::regex(r"-0(\.0+)?");
    match number.as_f64() {
        Some(0.0) => Text::Any(vec![plain, negative_zero, exponent]),
        _ => Text::Any(vec![plain, exponent]),
    }
}

/// Strings in their quotes.
pub(super) fn strings(of: &Strings) -> Result<Text, Refusal> {
    let refuse = |keyword: &str| {
        let keyword = keyword.to_owned();
        move |why: String| Refusal::unsupported(&keyword, why)
    };
    if let Some(listed) = of.listed() {
        let fits = |text: &&&String| set_has(of, text);
        let quoted = listed.iter().filter(fits).map(|text| quoted_literal(text));
        return Ok(Text::Any(quoted.map(Text::Literal).collect()));
    }
    let mut sets = Vec::new();
    let times = match (of.shortest, of.longest) {
        (0, None) => "*".to_owned(),
        (least, None) => format!("{{{least},}}"),
        (least, Some(most)) => format!("{{{least},{most}}}"),
    };
    if of.shortest > 0 || of.longest.is_some() || of.patterns.is_empty() && of.formats.is_empty() {
        if of.shortest.max(of.longest.unwrap_or(0)) > 100_000 {
            return Err(refuse("maxLength")(
                "lengths over 100,000 are not counted".to_owned(),
            ));
        }
        sets.push(Text::Regex(format!("\"{CHARACTER}{times}\"")));
    }
    if of.patterns.len() > MAX_MEETING {
        let why = format!("more than {MAX_MEETING} patterns meet in one string");
        return Err(refuse("pattern")(why));
    }
    for (pattern, wanted) in &of.patterns {
        let set = pattern.quoted().map_err(refuse("pattern"))?;
        if *wanted {
            sets.push(set);
        } else {
            sets.push(Text::Regex(format!("\"{CHARACTER}*\"")));
            sets.push(set.not());
        }
    }
    for format in &of.formats {
        sets.push(quoted_whole(format).map_err(refuse("format"))?);
    }
    for text in &of.none_of {
        sets.push(Text::Literal(quoted_literal(text)).not());
    }
    Ok(match sets.len() {
        1 => sets.remove(0),
        _ => Text::All(sets),
    })
}

pub(super) fn set_has(of: &Strings, text: &str) -> bool {
    let fits = |format: &&str| {
        Regex::new(&format!("^(?:{format})$")).is_ok_and(|regex| regex.is_match(text))
    };
    let listed = of
        .one_of
        .as_ref()
        .is_none_or(|texts| texts.iter().any(|other| other == text));
    listed && of.contains(text) && of.formats.iter().all(fits)
}
