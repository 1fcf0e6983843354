//! Finding the JSON value in an answer.

use serde_json::Value;

use super::text::blocks;

/// So many bytes are read in search of a value in prose.
const MAX_SCANNED: usize = 1 << 20;

/// The only JSON value of a text, as it is written and as it is read.
///
/// It is the whole text, or the only one in a code fence, or the only object or list in prose.
///
/// # Errors
///
/// What was found in its place.
pub fn find(text: &str) -> Result<(&str, Value), String> {
    let whole = text.trim();
    let error = match serde_json::from_str(whole) {
        Ok(value) => return Ok((whole, value)),
        Err(error) => error,
    };
    let fenced = blocks(whole).into_iter().filter_map(|block| {
        // On one line, a language may stand before the value.
        let later = block.trim_start().split_once(' ').map(|(_, rest)| rest);
        [Some(block), later].into_iter().flatten().find_map(|text| {
            let text = text.trim();
            Some((text, serde_json::from_str(text).ok()?))
        })
    });
    let mut found: Vec<(&str, Value)> = fenced.take(2).collect();
    if found.is_empty() {
        found = values(whole).take(2).collect();
    }
    match found.len() {
        0 if whole.is_empty() => Err("no text".to_owned()),
        0 => Err(format!("text that is no JSON: {error}")),
        1 => Ok(found.remove(0)),
        _ => Err("several JSON values".to_owned()),
    }
}

/// The objects and lists in a text, none within another.
///
/// Where a bracket begins no value, the next one is tried, until [`MAX_SCANNED`] bytes were read
/// in vain.
fn values(text: &str) -> impl Iterator<Item = (&str, Value)> {
    let (mut at, mut scanned) = (0, 0);
    std::iter::from_fn(move || {
        loop {
            let start = at + text[at..].find(['{', '['])?;
            let rest = &text[start..];
            let mut reader = serde_json::Deserializer::from_str(rest).into_iter();
            match reader.next()? {
                Ok(value) => {
                    at = start + reader.byte_offset();
                    return Some((&text[start..at], value));
                }
                Err(error) => {
                    let lines = rest
                        .split_inclusive('\n')
                        .take(error.line().saturating_sub(1));
                    scanned += lines.map(str::len).sum::<usize>() + error.column();
                    at = start + 1;
                }
            }
            if scanned > MAX_SCANNED {
                return None;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_value_is_found() {
        for (text, expected) in [
            (r#" {"a": 1} "#, Ok(r#"{"a": 1}"#)),
            ("12", Ok("12")),
            ("```json\n{\"a\": 1}\n```", Ok(r#"{"a": 1}"#)),
            ("```\n12\n```", Ok("12")),
            ("```json {\"a\": 1}```", Ok(r#"{"a": 1}"#)),
            (
                "好的:\n```json\n{\"鸟\": \"乌鸦\"}\n```\n完。",
                Ok("{\"鸟\": \"乌鸦\"}"),
            ),
            ("It is {\"a\": [1, 2]}, I think.", Ok(r#"{"a": [1, 2]}"#)),
            ("结果是{\"a\": \"}\"}。", Ok(r#"{"a": "}"}"#)),
            ("{oops} [1]", Ok("[1]")),
            ("```json\n{\"a\": \"```\"}\n```", Ok("{\"a\": \"```\"}")),
            ("{\"a\": 1} {\"a\": 2}", Err("several JSON values")),
            ("```\n1\n```\n```\n2\n```", Err("several JSON values")),
            ("", Err("no text")),
            ("Under moss.", Err("text that is no JSON")),
            ("{\"a\": 1", Err("text that is no JSON")),
            ("NaN", Err("text that is no JSON")),
        ] {
            match (find(text), expected) {
                (Ok((found, _)), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => {
                    assert!(found.starts_with(expected), "{text}: {found}");
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn brackets_without_end_cost_little() {
        for text in [
            "[".repeat(1 << 18),
            "[1,".repeat(1 << 17),
            "{\"a\":".repeat(1 << 16),
        ] {
            assert!(find(&text).is_err());
        }
    }
}
