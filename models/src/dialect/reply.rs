//! A reply that is read while it is written.
//!
//! A row's syntax is read by straight-line code: it looks at the text, and where the text ends
//! before it can decide, it awaits more. So it sees characters, never pieces, and what comes out
//! cannot depend on how the text was cut. Nothing is read twice: text that turns out to be no
//! call is given back up to the place where that showed, and reading goes on from there.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use corbie_core::ChatEvent;
use serde_json::Value;

use super::events::{Call, Ids, Out};
use super::find::{first, half};
use super::scan::Scanner;

/// The most bytes that one call may have before it is taken for text.
const MAX_CALL_BYTES: usize = 4 << 20;

/// The events of a reply, from its text.
///
/// Text, reasoning and calls come apart. White space around a call or a block of thinking is
/// part of neither.
pub struct ReplyParser {
    reply: Reply,
    reading: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl ReplyParser {
    pub(super) fn new<F>(ids: Ids, read: impl FnOnce(Reply) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let reply = Reply(Arc::new(Mutex::new(State {
            text: String::new(),
            at: 0,
            ended: false,
            out: Out::new(ids),
        })));
        Self {
            reading: Some(Box::pin(read(reply.clone()))),
            reply,
        }
    }

    /// Counts the calls from `number` on: the number of calls that the conversation has already,
    /// so that ids made here stay unique within it.
    #[must_use]
    pub fn numbered_from(self, number: usize) -> Self {
        self.reply.state().out.number = number;
        self
    }

    /// Ends the answer before any of these texts; thinking and calls may hold them.
    #[must_use]
    pub fn stopping_at(self, mut stops: Vec<String>) -> Self {
        stops.retain(|stop| !stop.is_empty());
        self.reply.state().out.stops = stops;
        self
    }

    /// Whether a stop text came: nothing is given after it.
    pub fn stopped(&self) -> bool {
        self.reply.state().out.stopped
    }

    /// Takes the next piece of text; gives what is certain now.
    pub fn push(&mut self, piece: &str) -> Vec<ChatEvent> {
        self.reply.state().text.push_str(piece);
        self.run()
    }

    /// Gives what was held back: nothing more comes. What is left of an unfinished call is text.
    pub fn finish(&mut self) -> Vec<ChatEvent> {
        self.reply.state().ended = true;
        let mut events = self.run();
        let mut state = self.reply.state();
        state.out.finish();
        events.append(&mut state.out.events);
        events
    }

    fn run(&mut self) -> Vec<ChatEvent> {
        if let Some(reading) = &mut self.reading {
            let mut context = Context::from_waker(Waker::noop());
            if reading.as_mut().poll(&mut context).is_ready() {
                self.reading = None;
            }
        }
        let mut state = self.reply.state();
        if self.reading.is_none() {
            // Nothing is read after the end.
            state.text.clear();
            state.at = 0;
        }
        std::mem::take(&mut state.out.events)
    }
}

impl std::fmt::Debug for ReplyParser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyParser")
            .field("reply", &self.reply.state())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct State {
    /// What has come and is neither given out nor dropped.
    text: String,
    /// How much of `text` was read.
    at: usize,
    ended: bool,
    out: Out,
}

/// The text of a reply, as a row's code sees it. A cursor goes through it: what lies before the
/// cursor is held until it is given out as text ([`Reply::give_up`]) or dropped
/// ([`Reply::accept`]).
#[derive(Clone)]
pub(super) struct Reply(Arc<Mutex<State>>);

impl Reply {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it is locked leaves whole texts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `decide` knows; it is told whether the text has ended.
    async fn until_known<T>(&self, mut decide: impl FnMut(&mut State) -> Option<T>) -> T {
        std::future::poll_fn(|_| match decide(&mut self.state()) {
            Some(known) => Poll::Ready(known),
            None => Poll::Pending,
        })
        .await
    }

    /// The character at the cursor; `None` at the end.
    pub async fn peek(&self) -> Option<char> {
        self.until_known(|state| {
            let next = state.text[state.at..].chars().next();
            (next.is_some() || state.ended).then_some(next)
        })
        .await
    }

    /// Whether `literal` is at the cursor.
    pub async fn sees(&self, literal: &str) -> bool {
        self.until_known(|state| {
            let rest = &state.text[state.at..];
            if rest.starts_with(literal) {
                return Some(true);
            }
            (state.ended || !literal.starts_with(rest)).then_some(false)
        })
        .await
    }

    /// Reads `literal` if it is at the cursor.
    pub async fn eat(&self, literal: &str) -> bool {
        let seen = self.sees(literal).await;
        if seen {
            self.state().at += literal.len();
        }
        seen
    }

    /// Reads the first of `literals` that is at the cursor.
    pub async fn eat_any(&self, literals: &[&str]) -> Option<usize> {
        for (index, literal) in literals.iter().enumerate() {
            if self.eat(literal).await {
                return Some(index);
            }
        }
        None
    }

    /// Reads white space.
    pub async fn spaces(&self) {
        self.until_known(|state| {
            let rest = &state.text[state.at..];
            let left = rest.trim_start().len();
            state.at = state.text.len() - left;
            (left > 0 || state.ended).then_some(())
        })
        .await;
    }

    /// Reads characters that `keep` keeps, at most `limit` bytes of them.
    pub async fn while_kept(&self, limit: usize, keep: impl Fn(char) -> bool) -> String {
        let start = self.state().at;
        self.until_known(|state| {
            while let Some(next) = state.text[state.at..].chars().next() {
                if !keep(next) || state.at - start + next.len_utf8() > limit {
                    return Some(());
                }
                state.at += next.len_utf8();
            }
            state.ended.then_some(())
        })
        .await;
        let state = self.state();
        state.text[start..state.at].to_owned()
    }

    /// Reads a tool's name: letters, digits, `_`, `-` and `.`.
    pub async fn name(&self) -> Option<String> {
        let name = self
            .while_kept(256, |c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
            .await;
        (!name.is_empty()).then_some(name)
    }

    /// Reads up to and with the first of `marks`, at most `limit` bytes away; gives the text before
    /// it and the mark's index. Without any it reads as far as that and gives nothing.
    pub async fn through(&self, marks: &[&str], limit: usize) -> Option<(String, usize)> {
        let limit = limit.min(MAX_CALL_BYTES);
        let start = self.state().at;
        let longest = marks.iter().map(|mark| mark.len()).max().unwrap_or(0);
        let found = self
            .until_known(|state| {
                let found = first(&state.text[state.at..], marks);
                let found = found.map(|(offset, index)| (state.at + offset, index));
                if let Some((at, index)) = found
                    && at - start <= limit
                {
                    return Some(Some((at, index)));
                }
                let whole = |state: &State, mut at: usize| {
                    while !state.text.is_char_boundary(at) {
                        at -= 1;
                    }
                    at
                };
                if !state.ended && state.text.len() - start < limit + longest {
                    // What cannot belong to a mark is not searched again.
                    let next = state.text.len().saturating_sub(longest).max(state.at);
                    state.at = whole(state, next);
                    return None;
                }
                // As far as the limit, however much more has come.
                state.at = whole(state, state.text.len().min(start + limit));
                Some(None)
            })
            .await;
        let (at, index) = found?;
        let mut state = self.state();
        state.at = at + marks[index].len();
        Some((state.text[start..at].to_owned(), index))
    }

    /// Reads what `scanner` takes, up to its end; without an end the cursor stays where that
    /// showed.
    pub async fn scan(&self, mut scanner: impl Scanner) -> Option<String> {
        let start = self.state().at;
        let whole = self
            .until_known(|state| {
                while let Some(next) = state.text[state.at..].chars().next() {
                    let size = next.len_utf8();
                    if state.at - start > MAX_CALL_BYTES {
                        return Some(false);
                    }
                    match scanner.take(next) {
                        Some(true) => {
                            state.at += size;
                            if scanner.is_done() {
                                return Some(true);
                            }
                        }
                        Some(false) => return Some(true),
                        None => return Some(false),
                    }
                }
                state.ended.then(|| scanner.may_end())
            })
            .await;
        let state = self.state();
        whole.then(|| state.text[start..state.at].to_owned())
    }

    /// Reads a JSON value.
    pub async fn json(&self) -> Option<Value> {
        let text = self.scan(super::scan::Json::default()).await?;
        serde_json::from_str(&text).ok()
    }

    /// Where the cursor is, to go back to with [`Reply::back`].
    pub fn place(&self) -> usize {
        self.state().at
    }

    /// Moves the cursor back to a place before which nothing was given out since.
    pub fn back(&self, place: usize) {
        let mut state = self.state();
        state.at = place.min(state.at);
    }

    /// Drops what was read.
    pub fn accept(&self) {
        let mut state = self.state();
        let at = std::mem::take(&mut state.at);
        state.text.drain(..at);
    }

    /// Gives out what was read as text: it was no call.
    pub fn give_up(&self) {
        let mut state = self.state();
        let at = std::mem::take(&mut state.at);
        let text: String = state.text.drain(..at).collect();
        state.out.text(&text);
    }

    /// Drops what was read and gives out the calls that it was.
    pub fn calls(&self, calls: impl IntoIterator<Item = Call>) {
        self.accept();
        let mut state = self.state();
        for call in calls {
            state.out.call(call);
        }
    }

    /// Gives out text up to the first of `marks`, where the cursor then is; `None` at the end.
    pub async fn text_to(&self, marks: &[&str]) -> Option<usize> {
        self.pass(marks, Out::text).await
    }

    /// Gives out thinking up to the first of `marks`.
    pub async fn reasoning_to(&self, marks: &[&str]) -> Option<usize> {
        self.pass(marks, Out::reasoning).await
    }

    async fn pass(&self, marks: &[&str], give: fn(&mut Out, &str)) -> Option<usize> {
        self.until_known(|state| {
            debug_assert_eq!(state.at, 0, "what was read is accepted or given up first");
            let found = first(&state.text, marks);
            let sure = match found {
                Some((at, _)) => at,
                None if state.ended => state.text.len(),
                None => state.text.len() - half(&state.text, marks),
            };
            let text: String = state.text.drain(..sure).collect();
            give(&mut state.out, &text);
            match found {
                Some((_, index)) => Some(Some(index)),
                None => state.ended.then_some(None),
            }
        })
        .await
    }

    /// White space that follows parts what came from the answer, and is dropped.
    pub fn part(&self) {
        self.state().out.parted = true;
    }

    /// What follows is another paragraph.
    pub fn paragraph(&self) {
        let mut state = self.state();
        if state.out.spoke {
            state.out.space = "\n\n".to_owned();
            state.out.parted = true;
        }
    }
}
