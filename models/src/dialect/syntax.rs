//! Reading whole replies: thinking, text and calls in turn.

use corbie_core::ToolSpec;

use super::block::{Block, bare};
use super::events::{Call, Ids};
use super::form;
use super::reply::{Reply, ReplyParser};

/// What an answer begins in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Opening {
    /// The answer.
    #[default]
    Answer,
    /// White space that only parts the answer from a prompt of plain text.
    Space,
    /// A block of thinking that the prompt opened already.
    Thought,
}

/// The marks around a block of thinking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinking {
    /// What opens it.
    pub open: &'static str,
    /// What closes it.
    pub close: &'static str,
}

/// How a row's replies are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Syntax {
    /// Text with marks in it.
    Marks(Marks),
    /// Channels of messages (OpenAI's harmony).
    Harmony,
    /// A recipient before every message (Functionary 3.2).
    Recipients,
}

/// Text with marks in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    /// Whether an answer that begins with a JSON object with a name and arguments is a call.
    pub bare: bool,
    /// Blocks with which an answer may begin.
    pub at_start: &'static [(&'static str, Block)],
    /// Marks that open calls.
    pub opens: &'static [(&'static str, Block)],
    /// Whether thinking may come in the middle of an answer.
    pub thinks_again: bool,
    /// Marks that mean nothing to a reader.
    pub silent: &'static [&'static str],
}

impl Marks {
    /// No marks at all.
    pub const NONE: Self = Self {
        bare: false,
        at_start: &[],
        opens: &[],
        thinks_again: false,
        silent: &[],
    };
}

/// What reading needs to know.
struct Context {
    thinking: &'static [Thinking],
    opening: Opening,
    tools: Vec<ToolSpec>,
}

impl Syntax {
    /// The same with no calls in it, where calls do not come in channels of their own.
    pub fn without_calls(self) -> Self {
        match self {
            Self::Marks(marks) => Self::Marks(Marks {
                bare: false,
                at_start: &[],
                opens: &[],
                ..marks
            }),
            other => other,
        }
    }

    pub fn parser(
        self,
        ids: Ids,
        thinking: &'static [Thinking],
        tools: &[ToolSpec],
        opening: Opening,
    ) -> ReplyParser {
        let context = Context {
            thinking,
            opening,
            tools: tools.to_vec(),
        };
        match self {
            Self::Marks(marks) => ReplyParser::new(ids, |reply| marked(reply, marks, context)),
            Self::Harmony => ReplyParser::new(ids, |reply| harmony(reply, context)),
            Self::Recipients => ReplyParser::new(ids, |reply| recipients(reply, context)),
        }
    }
}

/// Reads the thinking with which an answer may begin.
async fn thoughts(reply: &Reply, context: &Context) {
    let within = context.opening == Opening::Thought;
    if context.opening == Opening::Space {
        reply.part();
    }
    if !within {
        reply.spaces().await;
        let opens: Vec<&str> = context.thinking.iter().map(|it| it.open).collect();
        if reply.eat_any(&opens).await.is_none() {
            reply.back(0);
            return;
        }
        reply.accept();
    }
    thought(reply, context).await;
}

/// Reads thinking up to where it closes.
async fn thought(reply: &Reply, context: &Context) {
    let closes: Vec<&str> = context.thinking.iter().map(|it| it.close).collect();
    if reply.reasoning_to(&closes).await.is_some() {
        reply.eat_any(&closes).await;
        reply.accept();
        reply.part();
    }
}

async fn marked(reply: Reply, marks: Marks, context: Context) {
    thoughts(&reply, &context).await;
    at_start(&reply, marks, &context).await;
    let thinking: &[_] = match marks.thinks_again {
        true => context.thinking,
        false => &[],
    };
    let blocks = marks.opens;
    let words: Vec<&str> = (blocks.iter().map(|(mark, _)| *mark))
        .chain(thinking.iter().map(|it| it.open))
        .chain(marks.silent.iter().copied())
        .collect();
    while let Some(index) = reply.text_to(&words).await {
        reply.eat(words[index]).await;
        match blocks.get(index) {
            Some((_, block)) => {
                if !block.read(&reply, &context.tools).await {
                    reply.give_up();
                }
            }
            None => {
                reply.accept();
                if index < blocks.len() + thinking.len() {
                    thought(&reply, &context).await;
                }
            }
        }
    }
}

/// Reads what is a call only if an answer begins with it.
async fn at_start(reply: &Reply, marks: Marks, context: &Context) {
    if !marks.bare && marks.at_start.is_empty() {
        return;
    }
    reply.spaces().await;
    if marks.bare && reply.peek().await == Some('{') {
        match bare(reply).await {
            Some(calls) => reply.calls(calls),
            None => reply.give_up(),
        }
        return;
    }
    for (mark, block) in marks.at_start {
        if reply.eat(mark).await {
            if !block.read(reply, &context.tools).await {
                reply.give_up();
            }
            return;
        }
    }
    reply.back(0);
}

const START: &str = "<|start|>";
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const ENDS: [&str; 4] = ["<|end|>", "<|return|>", "<|call|>", START];

/// The longest header of a message.
const MAX_HEADER: usize = 512;

async fn harmony(reply: Reply, context: Context) {
    if context.opening == Opening::Thought {
        reply.reasoning_to(&ENDS).await;
    }
    loop {
        // The end of the last message, or of one that was given up.
        while reply.eat_any(&ENDS[..3]).await.is_some() {
            reply.accept();
        }
        let begins = reply.sees(START).await
            || reply.sees(CHANNEL).await
            || reply.sees(MESSAGE).await
            || reply.sees(" to=").await;
        if !begins {
            let marks = [ENDS[0], ENDS[1], ENDS[2], START, CHANNEL];
            match reply.text_to(&marks).await {
                Some(_) => continue,
                None => return,
            }
        }
        let Some((header, _)) = reply.through(&[MESSAGE], MAX_HEADER).await else {
            reply.give_up();
            continue;
        };
        let (channel, recipient) = channel_and_recipient(&header);
        if let Some(recipient) = recipient {
            reply.spaces().await;
            let arguments = reply.json().await.and_then(form::arguments);
            let name = recipient.strip_prefix("functions.").unwrap_or(recipient);
            match arguments {
                Some(arguments) => reply.calls([Call {
                    id: None,
                    name: name.to_owned(),
                    arguments,
                }]),
                None => reply.give_up(),
            }
        } else if channel == "analysis" {
            reply.accept();
            reply.reasoning_to(&ENDS).await;
        } else {
            reply.accept();
            reply.paragraph();
            reply.text_to(&ENDS).await;
        }
    }
}

/// Of a message's header: its channel, and the tool that it is for.
fn channel_and_recipient(header: &str) -> (&str, Option<&str>) {
    fn word(text: &str) -> &str {
        let end = text.find(|c: char| c.is_whitespace() || c == '<');
        &text[..end.unwrap_or(text.len())]
    }
    let channel = header
        .rsplit_once(CHANNEL)
        .map_or("", |(_, rest)| word(rest));
    let recipient = header.rsplit_once("to=").map(|(_, rest)| word(rest));
    let recipient = recipient.filter(|name| !name.is_empty() && *name != "assistant");
    (channel, recipient)
}

const RECIPIENT: &str = ">>>";

async fn recipients(reply: Reply, context: Context) {
    thoughts(&reply, &context).await;
    // The prompt ends with the mark of the first recipient.
    reply.eat(RECIPIENT).await;
    loop {
        if !addressed(&reply).await {
            reply.give_up();
        }
        if reply.text_to(&[RECIPIENT]).await.is_none() {
            return;
        }
        reply.eat(RECIPIENT).await;
    }
}

/// Reads a recipient and, unless it is everybody, the call that follows; gives whether it was one.
async fn addressed(reply: &Reply) -> bool {
    let Some(name) = reply.name().await else {
        return false;
    };
    if !reply.eat("\n").await {
        return false;
    }
    if name == "all" {
        reply.accept();
        return true;
    }
    reply.spaces().await;
    let arguments = match reply.peek().await {
        Some('{') => reply.json().await.and_then(form::arguments),
        _ => None,
    };
    let Some(arguments) = arguments else {
        return false;
    };
    reply.calls([Call {
        id: None,
        name,
        arguments,
    }]);
    true
}
