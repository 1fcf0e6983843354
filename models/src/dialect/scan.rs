//! Where a value ends, found one character after another.

/// Finds the end of a value. It says no as early as it can, so that what follows is read afresh.
pub(super) trait Scanner: Send {
    /// Whether the character belongs to the value; `None`: this is no value.
    fn take(&mut self, next: char) -> Option<bool>;

    /// Whether the value is whole and no further character can belong to it.
    fn is_done(&self) -> bool;

    /// Whether the value is whole if nothing more comes.
    fn may_end(&self) -> bool;
}

/// How deep values may nest: as deep as `serde_json` reads.
const MAX_DEPTH: usize = 127;

/// A JSON value (RFC 8259), read strictly.
#[derive(Debug, Default)]
pub(super) struct Json {
    /// What is open: `{` or `[`.
    open: Vec<char>,
    state: JsonState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum JsonState {
    /// A value must come.
    #[default]
    Value,
    /// After `[`: a value or `]`.
    FirstItem,
    /// After `{`: a key or `}`.
    FirstKey,
    /// After a comma in an object.
    Key,
    Colon,
    /// In a string; whether it is a key.
    Text(bool),
    /// After a backslash; whether it is a key.
    Escape(bool),
    /// This many digits of `\u` are left.
    Hex(bool, u8),
    /// In a number, `true`, `false` or `null`: their letters are checked when they are parsed.
    Word,
    /// After a value within something open.
    After,
    Done,
}

impl Json {
    fn closed(&mut self) -> JsonState {
        match self.open.is_empty() {
            true => JsonState::Done,
            false => JsonState::After,
        }
    }

    fn value(&mut self, next: char) -> Option<JsonState> {
        let first = match next {
            '{' => JsonState::FirstKey,
            '[' => JsonState::FirstItem,
            '"' => return Some(JsonState::Text(false)),
            '-' | '0'..='9' | 't' | 'f' | 'n' => return Some(JsonState::Word),
            _ => return None,
        };
        self.open.push(next);
        (self.open.len() <= MAX_DEPTH).then_some(first)
    }

    fn close(&mut self, next: char) -> Option<JsonState> {
        let opened = self.open.pop()?;
        matches!((opened, next), ('{', '}') | ('[', ']')).then(|| self.closed())
    }

    fn after(&mut self, next: char) -> Option<JsonState> {
        match (next, self.open.last()?) {
            (',', '{') => Some(JsonState::Key),
            (',', _) => Some(JsonState::Value),
            _ => self.close(next),
        }
    }
}

impl Scanner for Json {
    fn take(&mut self, next: char) -> Option<bool> {
        use JsonState::{
            After, Colon, Done, Escape, FirstItem, FirstKey, Hex, Key, Text, Value, Word,
        };
        let space = matches!(next, ' ' | '\t' | '\n' | '\r');
        self.state = match self.state {
            Done => return Some(false),
            Text(key) => match next {
                '"' if key => Colon,
                '"' => self.closed(),
                '\\' => Escape(key),
                '\0'..='\x1f' => return None,
                _ => Text(key),
            },
            Escape(key) => match next {
                'u' => Hex(key, 4),
                '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => Text(key),
                _ => return None,
            },
            Hex(key, left) => match (next.is_ascii_hexdigit(), left) {
                (true, 1) => Text(key),
                (true, _) => Hex(key, left - 1),
                _ => return None,
            },
            Word => match next {
                '0'..='9' | 'a'..='z' | 'E' | '.' | '+' | '-' => Word,
                _ if self.open.is_empty() => return Some(false),
                _ if space => After,
                _ => self.after(next)?,
            },
            state if space => state,
            Value => self.value(next)?,
            FirstItem if next == ']' => self.close(next)?,
            FirstItem => self.value(next)?,
            FirstKey if next == '}' => self.close(next)?,
            FirstKey | Key if next == '"' => Text(true),
            Colon if next == ':' => Value,
            After => self.after(next)?,
            FirstKey | Key | Colon => return None,
        };
        Some(true)
    }

    fn is_done(&self) -> bool {
        self.state == JsonState::Done
    }

    fn may_end(&self) -> bool {
        self.is_done() || (self.state == JsonState::Word && self.open.is_empty())
    }
}

/// A bracketed value whose strings stand between marks: Python's quotes, or special tokens.
#[derive(Debug)]
pub(super) struct Bracketed {
    quotes: &'static [&'static str],
    backslash: bool,
    open: Vec<char>,
    /// The quote that the string in hand ends with.
    within: Option<&'static str>,
    escaped: bool,
    /// The last characters, as many as the longest quote has.
    tail: String,
    done: bool,
}

impl Bracketed {
    /// A list or a call's arguments as Python writes them.
    pub fn python() -> Self {
        Self::new(&["\"", "'"], true)
    }

    /// A value whose strings stand between two marks, which nothing escapes.
    pub fn marked(quotes: &'static [&'static str]) -> Self {
        Self::new(quotes, false)
    }

    fn new(quotes: &'static [&'static str], backslash: bool) -> Self {
        Self {
            quotes,
            backslash,
            open: Vec::new(),
            within: None,
            escaped: false,
            tail: String::new(),
            done: false,
        }
    }

    /// The quote that the text ends with now.
    fn quote(&mut self, next: char) -> Option<&'static str> {
        self.tail.push(next);
        let quotes = self.quotes;
        let found = quotes.iter().find(|quote| self.tail.ends_with(**quote));
        let longest = quotes.iter().map(|quote| quote.len()).max().unwrap_or(0);
        match found {
            Some(_) => self.tail.clear(),
            None if self.tail.len() > longest => {
                let first = self.tail.chars().next().map_or(0, char::len_utf8);
                self.tail.drain(..first);
            }
            None => {}
        }
        found.copied()
    }
}

impl Scanner for Bracketed {
    fn take(&mut self, next: char) -> Option<bool> {
        if self.done {
            return Some(false);
        }
        if self.within.is_some() {
            if std::mem::take(&mut self.escaped) {
                self.tail.clear();
            } else if self.backslash && next == '\\' {
                self.escaped = true;
            } else if self
                .quote(next)
                .is_some_and(|quote| self.within == Some(quote))
            {
                self.within = None;
            }
            return Some(true);
        }
        if let Some(quote) = self.quote(next) {
            self.within = Some(quote);
            return Some(true);
        }
        match next {
            '(' | '[' | '{' => self.open.push(next),
            ')' | ']' | '}' => {
                let opened = self.open.pop()?;
                if !matches!((opened, next), ('(', ')') | ('[', ']') | ('{', '}')) {
                    return None;
                }
                self.done = self.open.is_empty();
            }
            _ if self.open.is_empty() => return None,
            // No literal of Python has these outside its strings.
            '<' | '>' | '|' | ';' | '`' if self.backslash => return None,
            _ => {}
        }
        (self.open.len() <= MAX_DEPTH).then_some(true)
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn may_end(&self) -> bool {
        self.done
    }
}
