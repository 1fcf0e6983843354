use corbie_core::{ChatRequest, ResponseFormat, TokenCounter};

/// Tokens that a chat format adds to each message.
const PER_MESSAGE: usize = 4;

/// Counts tokens without the model's tokenizer, rather too high than too low.
///
/// Three ASCII bytes are a token (English prose has about four), every other character is one
/// (Chinese has 0.6 to 1), and characters beyond the basic plane, such as emoji, are two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenEstimate {
    /// The limit to report.
    pub limit: usize,
}

impl TokenCounter for TokenEstimate {
    fn count(&self, text: &str) -> usize {
        estimate(text)
    }

    fn limit(&self) -> usize {
        self.limit
    }
}

impl TokenEstimate {
    /// The longest beginning of `text` that fits the limit.
    pub fn cut<'a>(&self, text: &'a str) -> &'a str {
        if estimate(text) <= self.limit {
            return text;
        }
        let mut thirds = 0;
        for (at, character) in text.char_indices() {
            thirds += weight(character);
            if thirds > self.limit * 3 {
                return &text[..at];
            }
        }
        text
    }
}

/// The tokens of a whole request: messages, calls, tools and the answer's schema.
pub fn of_request(request: &ChatRequest) -> usize {
    let messages = request.messages.iter().map(|message| {
        let calls = message
            .tool_calls
            .iter()
            .map(|call| estimate(&call.name) + estimate(&call.arguments.to_string()) + PER_MESSAGE);
        estimate(&message.content) + calls.sum::<usize>() + PER_MESSAGE
    });
    let tools = request.tools.iter().map(|tool| {
        let schema = tool.parameters.to_string();
        estimate(&tool.name) + estimate(&tool.description) + estimate(&schema) + PER_MESSAGE
    });
    let form = match &request.response_format {
        ResponseFormat::JsonSchema(schema) => estimate(&schema.to_string()),
        _ => 0,
    };
    messages.sum::<usize>() + tools.sum::<usize>() + form
}

/// The tokens of a text.
pub fn estimate(text: &str) -> usize {
    text.chars().map(weight).sum::<usize>().div_ceil(3)
}

/// A character's weight in thirds of a token.
fn weight(character: char) -> usize {
    match character.len_utf8() {
        1 => 1,
        2 | 3 => 3,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn english_and_chinese_are_counted_and_cut_on_characters() {
        for (text, tokens) in [("", 0), ("raven", 2), ("乌鸦", 2), ("🐦", 2), ("a乌", 2)] {
            assert_eq!(estimate(text), tokens, "{text}");
        }
        let counter = TokenEstimate { limit: 3 };
        assert_eq!(counter.cut("乌鸦会藏食物"), "乌鸦会");
        assert_eq!(counter.cut("ravens cache"), "ravens ca");
        assert_eq!(counter.cut("short"), "short");
    }
}
