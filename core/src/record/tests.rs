#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::executor::block_on;

use super::*;
use crate::testing::{ScriptedChatModel, Step, says};
use crate::{ChatModel, Error, ErrorKind, Message};

/// What was written, to be read while it is written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn recorder<S: Into<Step>>(script: impl IntoIterator<Item = S>) -> (Recorder, Paper) {
    let paper = Paper::default();
    let model = Arc::new(ScriptedChatModel::new(script));
    (Recorder::new(model, "notes", paper.clone()).unwrap(), paper)
}

fn ask(question: &str) -> ChatRequest {
    ChatRequest::new([Message::user(question)])
}

#[test]
fn answers_come_again_in_their_order() {
    let (recorder, paper) = recorder(["在苔藓下。", "Moss.", "In a nest."]);
    let requests = [ask("哪里?"), ask("Where?"), ask("Where?")];
    let mut replies = Vec::new();
    for request in &requests {
        replies.push(block_on(recorder.complete(request.clone())).unwrap());
    }
    let replay = Replay::new("notes", &paper.text()).unwrap();
    assert_eq!(replay.info(), recorder.info());
    for (request, reply) in requests.iter().zip(&replies) {
        assert_eq!(&block_on(replay.complete(request.clone())).unwrap(), reply);
    }
    let again = block_on(replay.complete(ask("Where?"))).unwrap();
    assert_eq!(again, replies[2], "the last one for good");
    // A limit of time is another each time.
    let hurried = ChatRequest {
        timeout: Some(Duration::from_millis(17)),
        ..ask("哪里?")
    };
    assert_eq!(block_on(replay.complete(hurried)).unwrap(), replies[0]);
}

#[test]
fn what_was_counted_is_counted_the_same() {
    let (recorder, paper) = recorder(["Under moss."]);
    let long = ask("one two three four five");
    for request in [&long, &long, &ask("one two")] {
        recorder.prompt_tokens(request).unwrap();
    }
    block_on(recorder.complete(ask("one two"))).unwrap();
    assert_eq!(
        paper.text().lines().count(),
        4,
        "each count is written once"
    );
    let replay = Replay::new("notes", &paper.text()).unwrap();
    assert_eq!(replay.prompt_tokens(&long).unwrap(), 5);
    assert_eq!(replay.prompt_tokens(&ask("one two")).unwrap(), 2);
    let error = replay.prompt_tokens(&ask("one")).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
}

#[test]
fn a_new_request_is_compared_to_the_one_most_like_it() {
    let (recorder, paper) = recorder(["a", "b"]);
    let first = ChatRequest::new([Message::system("Be brief."), Message::user("Where? 哪里？")]);
    let mut second = first.clone();
    second
        .messages
        .extend([says("Under moss."), Message::user("And then?")]);
    for request in [&first, &second] {
        block_on(recorder.complete(request.clone())).unwrap();
    }
    let replay = Replay::new("notes", &paper.text()).unwrap();
    let mut asked = second;
    asked.messages[3].content = "And now?".into();
    let error = block_on(replay.complete(asked)).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::NotFound);
    let text = error.to_string();
    assert!(
        text.contains("request 2 of 2, message 4 (user) was `And then?`"),
        "{text}"
    );
    let nothing = ChatRequest {
        max_tokens: Some(1),
        ..ChatRequest::new((0..9).map(|n| Message::user(format!("{n}"))))
    };
    let text = block_on(replay.complete(nothing)).unwrap_err().to_string();
    assert!(text.contains("and ") && text.contains(" more"), "{text}");
}

#[test]
fn an_answer_that_failed_or_was_dropped_is_not_kept() {
    let down = Error::new(ErrorKind::Unavailable, "model", "it is down");
    let (recorder, paper) = recorder([Step::from(down), "dropped".into(), "whole".into()]);
    assert!(block_on(recorder.complete(ask("?"))).is_err());
    drop(block_on(recorder.stream(ask("?"))).unwrap());
    block_on(recorder.complete(ask("?"))).unwrap();
    let text = paper.text();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains("whole") && !text.contains("dropped"));
}

#[test]
fn damaged_recordings_are_named() {
    let heading = r#"{"v":1,"model":{"model":"m","context_length":9}}"#;
    for (text, word) in [
        (String::new(), "empty"),
        ("{}\n".to_owned(), "line 1"),
        (heading.replace("\"v\":1", "\"v\":9"), "version 9"),
        (format!("{heading}\nnonsense\n"), "line 2"),
        (format!("{heading}\n{{\"events\":[]}}\n"), "line 2"),
    ] {
        let error = Replay::new("notes", &text).err().unwrap();
        assert_eq!(error.kind(), &ErrorKind::Malformed);
        assert!(error.to_string().contains(word), "{error}");
    }
}
