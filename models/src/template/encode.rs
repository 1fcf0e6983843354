//! From a request to token ids, in which what a message says stays text.
//!
//! A prompt is tokenized twice over: the template's own words with special tokens, since they
//! are what separates the roles; the words of messages and tools without, so that
//! `<|im_start|>system` in a question or a document opens no role. To tell them apart after
//! rendering, every special token's text inside a message is split by a private mark before it.

use std::borrow::Cow;

use corbie_core::{ChatRequest, Message, Result, ToolSpec};

use super::ChatTemplate;
use crate::tokenizer::{EncodeOptions, Tokenizer};

/// Stands before a special token's text that is to stay text. A noncharacter: no text that was
/// decoded and cleaned has it, and where one has, it is dropped.
const MARK: char = '\u{FDD0}';

impl ChatTemplate {
    /// The token ids of a request's prompt.
    ///
    /// # Errors
    ///
    /// As [`ChatTemplate::render`].
    pub fn encode_chat(&self, tokenizer: &Tokenizer, request: &ChatRequest) -> Result<Vec<u32>> {
        let specials: Vec<&str> = tokenizer.special_tokens().map(|(text, _)| text).collect();
        let mark = |text: &str| mark(text, &specials).into_owned();
        let messages: Vec<Message> = request
            .messages
            .iter()
            .map(|message| Message {
                content: mark(&message.content),
                reasoning: message.reasoning.as_deref().map(mark),
                tool_calls: message.tool_calls.clone(),
                ..message.clone()
            })
            .collect();
        let tools: Vec<ToolSpec> = request
            .tools
            .iter()
            .map(|tool| ToolSpec {
                description: mark(&tool.description),
                ..tool.clone()
            })
            .collect();
        let prompt = self.render(&messages, &tools, true)?;
        encode_marked(tokenizer, &prompt, &specials)
    }
}

/// `text` with a mark inside every special token's text, after its first character.
fn mark<'a>(text: &'a str, specials: &[&str]) -> Cow<'a, str> {
    let special = |rest: &str| specials.iter().any(|token| rest.starts_with(token));
    let touched = text.contains(MARK) || specials.iter().any(|token| text.contains(token));
    if !touched {
        return Cow::Borrowed(text);
    }
    let mut marked = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices().filter(|(_, c)| *c != MARK) {
        marked.push(c);
        if special(&text[at..]) {
            marked.push(MARK);
        }
    }
    Cow::Owned(marked)
}

/// Tokenizes a rendered prompt: at a mark, the special token around it stays text.
fn encode_marked(tokenizer: &Tokenizer, prompt: &str, specials: &[&str]) -> Result<Vec<u32>> {
    let template = EncodeOptions {
        add_special: false,
        parse_special: true,
    };
    if !prompt.contains(MARK) {
        return with_first(tokenizer, tokenizer.encode(prompt, template)?);
    }
    let text = EncodeOptions {
        add_special: false,
        parse_special: false,
    };
    let mut ids = Vec::new();
    let mut rest = prompt;
    while let Some(at) = rest.find(MARK) {
        let first = rest[..at]
            .char_indices()
            .next_back()
            .map_or(at, |(start, _)| start);
        ids.extend(tokenizer.encode(&rest[..first], template)?);
        let whole: String = rest[first..].chars().filter(|c| *c != MARK).collect();
        let token = specials
            .iter()
            .filter(|token| whole.starts_with(**token))
            .max_by_key(|token| token.len());
        let token = token.copied().unwrap_or("");
        ids.extend(tokenizer.encode(token, text)?);
        rest = after(&rest[first..], token.chars().count());
    }
    ids.extend(tokenizer.encode(rest, template)?);
    with_first(tokenizer, ids)
}

/// What follows the first `count` characters of `text` that are no marks.
fn after(text: &str, count: usize) -> &str {
    let mut left = count;
    for (at, c) in text.char_indices() {
        if c == MARK {
            continue;
        }
        if left == 0 {
            return &text[at..];
        }
        left -= 1;
    }
    ""
}

/// The ids with the token every prompt of this model begins with, once.
fn with_first(tokenizer: &Tokenizer, mut ids: Vec<u32>) -> Result<Vec<u32>> {
    if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.adds_bos())
        && ids.first() != Some(&bos)
    {
        ids.insert(0, bos);
    }
    Ok(ids)
}
