//! Fitting a conversation into a model's context.
//!
//! Old results are cleared first, then whole old exchanges are left out; an answer and the results
//! of its calls stay or go together, and the goal always stays.

use std::ops::Range;

use corbie_core::{ChatModel, ChatRequest, Error, ErrorKind, Message, Result, Role};

/// Exchanges at the end that keep their results.
const FRESH: usize = 2;
/// So many exchanges are shortened together: until the next group is due, the prompt only grows,
/// and what a model has read of it stays read.
const GROUP: usize = 8;
/// What stands in the place of a result.
const CLEARED: &str = "[an old result, left out to save room]";

/// How old exchanges are shortened.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// Their results are cleared.
    Clear,
    /// They are left out; the results of others are cleared.
    Drop,
}

/// Shortens the messages of `request` until the prompt leaves `room` tokens for the answer.
///
/// # Errors
///
/// [`ContextTooLong`](ErrorKind::ContextTooLong) when even the goal and the last exchange do not
/// fit; those of [`ChatModel::prompt_tokens`].
pub(super) fn fit(model: &dyn ChatModel, request: &mut ChatRequest, room: usize) -> Result<()> {
    let limit = model.info().context_length;
    let wanted = limit.saturating_sub(room.min(limit / 2));
    let mut tokens = model.prompt_tokens(request)?;
    if tokens <= wanted {
        return Ok(());
    }
    let whole = request.messages.clone();
    let all = exchanges(&whole);
    for how in [How::Clear, How::Drop] {
        let most = match how {
            How::Clear => all.len().saturating_sub(FRESH),
            How::Drop => all.len().saturating_sub(1),
        };
        let mut count = 0;
        while count < most && tokens > wanted {
            let behind = &all[count..most];
            let over = excess(&request.messages, tokens, wanted);
            count += enough(&whole, behind, how, over).next_multiple_of(GROUP);
            count = count.min(most);
            request.messages = shortened(&whole, &all, how, count);
            tokens = model.prompt_tokens(request)?;
        }
        if tokens <= wanted {
            return Ok(());
        }
    }
    match shorten_results(model, request, wanted)? {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::ContextTooLong { tokens, limit },
            "conversation",
            format!("goal and last exchange have {tokens} tokens, the context holds {limit}"),
        )
        .hint("shorten the goal, the instructions or the tools' descriptions")),
    }
}

/// About so many bytes are too many.
fn excess(messages: &[Message], tokens: usize, wanted: usize) -> usize {
    let bytes: usize = messages.iter().map(|it| it.content.len()).sum();
    bytes * (tokens - wanted) / tokens.max(1)
}

/// How many of these exchanges, from the first, save so many bytes.
fn enough(messages: &[Message], exchanges: &[Range<usize>], how: How, bytes: usize) -> usize {
    let saved = |message: &Message| match (how, message.role) {
        (How::Drop, _) => message.content.len(),
        (How::Clear, Role::Tool) => message.content.len().saturating_sub(CLEARED.len()),
        (How::Clear, _) => 0,
    };
    let mut sum = 0;
    let enough = exchanges.iter().take_while(|range| {
        let short = sum < bytes;
        sum += messages[(*range).clone()].iter().map(saved).sum::<usize>();
        short
    });
    enough.count().max(1)
}

/// The messages with the first `count` exchanges shortened.
fn shortened(
    whole: &[Message],
    exchanges: &[Range<usize>],
    how: How,
    count: usize,
) -> Vec<Message> {
    let start = exchanges.first().map_or(whole.len(), |range| range.start);
    let mut messages = whole[..start].to_vec();
    let dropped = match how {
        How::Clear => 0,
        How::Drop => count,
    };
    if dropped > 0 {
        let left_out: usize = exchanges[..dropped].iter().map(Range::len).sum();
        let note = format!("[{left_out} earlier messages were left out to save room.]");
        messages.push(Message::user(note));
    }
    let cleared = match how {
        How::Clear => count,
        How::Drop => exchanges.len().saturating_sub(FRESH),
    };
    for (index, range) in exchanges.iter().enumerate().skip(dropped) {
        for message in &whole[range.clone()] {
            let mut message = message.clone();
            let old = index < cleared && message.role == Role::Tool;
            if old && message.content.len() > CLEARED.len() {
                CLEARED.clone_into(&mut message.content);
            }
            messages.push(message);
        }
    }
    messages
}

/// The exchanges behind the goal: an answer with the results of its calls, or what was said.
pub(super) fn exchanges(messages: &[Message]) -> Vec<Range<usize>> {
    let goal = messages
        .iter()
        .position(|message| message.role == Role::User);
    let mut found: Vec<Range<usize>> = Vec::new();
    let behind = goal.map_or(0, |goal| goal + 1);
    for (index, message) in messages.iter().enumerate().skip(behind) {
        match (message.role, found.last_mut()) {
            (Role::Tool, Some(last)) => last.end = index + 1,
            _ => found.push(index..index + 1),
        }
    }
    found
}

/// Halves the longest result again and again.
fn shorten_results(
    model: &dyn ChatModel,
    request: &mut ChatRequest,
    wanted: usize,
) -> Result<bool> {
    loop {
        let results = request
            .messages
            .iter_mut()
            .filter(|it| it.role == Role::Tool);
        let Some(longest) = results.max_by_key(|it| it.content.len()) else {
            return Ok(false);
        };
        if longest.content.len() < 200 {
            return Ok(false);
        }
        let half = longest
            .content
            .floor_char_boundary(longest.content.len() / 2);
        longest.content.truncate(half);
        longest.content.push_str(" […]");
        if model.prompt_tokens(request)? <= wanted {
            return Ok(true);
        }
    }
}
