//! Prompts: texts with named blanks.

use crate::{Error, ErrorKind, Result};

/// A text with blanks written `{{name}}`.
///
/// Values are inserted as they are and never read as templates themselves, so text from a
/// document cannot open a blank.
///
/// ```
/// use corbie_core::PromptTemplate;
///
/// let template = PromptTemplate::new("Answer from this: {{passages}}\n\n{{question}}")?;
/// let prompt = template.render(&[("question", "Who?"), ("passages", "[1] {{question}}")])?;
/// assert_eq!(prompt, "Answer from this: [1] {{question}}\n\nWho?");
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Blank(String),
}

impl PromptTemplate {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) when a blank is not closed or its name is not made of
    /// letters, digits and `_`.
    pub fn new(template: &str) -> Result<Self> {
        let bad = |why: String| Error::new(ErrorKind::BadInput, "prompt template", why);
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find("{{") {
            let (text, blank) = rest.split_at(open);
            let close = blank
                .find("}}")
                .ok_or_else(|| bad("a blank opened by `{{` is not closed by `}}`".into()))?;
            let name = blank[2..close].trim();
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(bad(format!(
                    "`{name}` is no name for a blank: use letters, digits and `_`"
                )));
            }
            parts.push(Part::Text(text.to_owned()));
            parts.push(Part::Blank(name.to_owned()));
            rest = &blank[close + 2..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self { parts })
    }

    /// Fills the blanks.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) that names a blank without a value.
    pub fn render(&self, values: &[(&str, &str)]) -> Result<String> {
        let mut prompt = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => prompt.push_str(text),
                Part::Blank(name) => {
                    let value = values.iter().find(|(key, _)| key == name).ok_or_else(|| {
                        Error::new(
                            ErrorKind::BadInput,
                            "prompt template",
                            format!("no value for the blank `{name}`"),
                        )
                    })?;
                    prompt.push_str(value.1);
                }
            }
        }
        Ok(prompt)
    }
}
