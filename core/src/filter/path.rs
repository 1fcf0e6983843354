//! Where in a payload a condition looks.

use serde_json::Value;

use crate::{Error, ErrorKind, Result};

/// The fields of a payload that hold one value or a list, see [`Chunk`](crate::Chunk).
const FIELDS: [&str; 9] = [
    "document",
    "end",
    "heading",
    "id",
    "namespace",
    "page",
    "source",
    "start",
    "text",
];

/// The field under which anything may lie.
const METADATA: &str = "metadata";

/// The name of a field, taken apart.
///
/// `source` is a field of every chunk; `metadata.author.name` is what lies under these keys of
/// the metadata. A key with `.`, `"` or `[]` in it, or an empty one, is quoted:
/// `metadata."version 1.2"`, with `\"` and `\\` inside. `metadata.authors[].name` is the name of
/// any element of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    steps: Vec<Step>,
}

/// One step from a value to what lies in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// To the value under a key of an object.
    Key(String),
    /// To each element of a list.
    Each,
}

impl FieldPath {
    /// Takes a field's name apart.
    ///
    /// ```
    /// use corbie_core::filter::{FieldPath, Step};
    ///
    /// let path = FieldPath::parse(r#"metadata."a.b"[].名"#)?;
    /// let key = |key: &str| Step::Key(key.into());
    /// assert_eq!(path.steps(), [key("metadata"), key("a.b"), Step::Each, key("名")]);
    /// assert!(FieldPath::parse("sauce").is_err());
    /// # Ok::<(), corbie_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when the name is malformed, or no chunk has such a field.
    pub fn parse(field: &str) -> Result<Self> {
        let path = parse(field).ok_or_else(|| {
            Error::new(ErrorKind::BadInput, subject(field), "it is malformed").hint(
                "keys stand between dots; a key with a dot, a quote or brackets is quoted: \
                 metadata.\"version 1.2\"",
            )
        })?;
        let known = match &path.steps[..] {
            [Step::Key(key), Step::Key(_), ..] => key == METADATA,
            [Step::Key(key)] => FIELDS.contains(&key.as_str()),
            _ => false,
        };
        if known {
            return Ok(path);
        }
        Err(Error::new(
            ErrorKind::BadInput,
            subject(field),
            "there is no such field",
        )
        .hint(format!(
            "the fields are {}, and metadata.KEY",
            FIELDS.join(", ")
        )))
    }

    /// The steps from the payload to the value.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether one of the values found satisfies `test`. A list found at the end stands for its
    /// elements; a list on the way is passed only by [`Step::Each`].
    pub(crate) fn any(&self, payload: &Value, test: &impl Fn(&Value) -> bool) -> bool {
        any(payload, &self.steps, test)
    }
}

fn any(value: &Value, steps: &[Step], test: &impl Fn(&Value) -> bool) -> bool {
    match (steps, value) {
        ([], Value::Array(elements)) => elements.iter().any(test),
        ([], value) => test(value),
        ([Step::Key(key), rest @ ..], Value::Object(map)) => {
            map.get(key).is_some_and(|value| any(value, rest, test))
        }
        ([Step::Each, rest @ ..], Value::Array(elements)) => {
            elements.iter().any(|element| any(element, rest, test))
        }
        _ => false,
    }
}

fn subject(field: &str) -> String {
    format!("filter field {field:?}")
}

fn parse(field: &str) -> Option<FieldPath> {
    let mut steps = Vec::new();
    let mut rest = field;
    loop {
        let (key, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_key(quoted)?,
            None => {
                let end = [rest.find('.'), rest.find("[]")];
                let end = end.into_iter().flatten().min().unwrap_or(rest.len());
                let (key, behind) = rest.split_at(end);
                (key.to_owned(), behind)
            }
        };
        if key.is_empty() && !rest.starts_with('"') {
            return None;
        }
        steps.push(Step::Key(key));
        rest = behind;
        while let Some(behind) = rest.strip_prefix("[]") {
            steps.push(Step::Each);
            rest = behind;
        }
        if rest.is_empty() {
            return Some(FieldPath { steps });
        }
        rest = rest.strip_prefix('.')?;
    }
}

/// The key before the closing quote, and what stands behind it.
fn quoted_key(quoted: &str) -> Option<(String, &str)> {
    let mut key = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((key, &quoted[at + 1..])),
            '\\' => key.push(chars.next()?.1),
            _ => key.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Filter;

    #[test]
    fn names_that_are_none_are_refused() {
        let bad = [
            "",
            "sauce",
            "metadata",
            "metadata.",
            "metadata[].a",
            ".source",
            "source.x",
            "metadata.a.",
            "metadata..a",
            "metadata.\"a",
            "metadata.\"a\"b",
            "metadata.[]",
        ];
        for field in bad {
            let error = FieldPath::parse(field).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::BadInput, "{field:?}");
            assert!(error.to_string().contains(&format!("{field:?}")), "{error}");
        }
    }

    #[test]
    fn any_key_can_be_named() {
        for key in [
            "a.b", "", "\"", "\\", "[]", "a\"b\\c", "键.值", "'; --", "\0",
        ] {
            let path = FieldPath::parse(&Filter::metadata(key)).unwrap();
            let steps = [Step::Key("metadata".into()), Step::Key(key.into())];
            assert_eq!(path.steps(), steps, "{key:?}");
        }
    }
}
