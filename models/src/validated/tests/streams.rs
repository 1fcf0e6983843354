//! What is released when.

use std::time::Duration;

use corbie_core::ResponseFormat;
use futures::FutureExt;
use futures::channel::mpsc::{self, UnboundedSender};
use futures::executor::block_on;

use super::*;

fn regex() -> ResponseFormat {
    ResponseFormat::Regex("[a-z]+".into())
}

fn text(text: &str) -> ChatEvent {
    ChatEvent::Text(text.into())
}

fn thought(text: &str) -> ChatEvent {
    ChatEvent::Reasoning(text.into())
}

fn end(attempts: usize) -> ChatEvent {
    ChatEvent::Finish {
        reason: FinishReason::Stop,
        usage: Usage {
            prompt_tokens: attempts * COST.prompt_tokens,
            cached_tokens: 0,
            completion_tokens: attempts * COST.completion_tokens,
        },
    }
}

/// An answer whose first attempt comes through a channel.
fn begin(
    request: ChatRequest,
    then: impl IntoIterator<Item = Attempt>,
) -> (UnboundedSender<Result<ChatEvent>>, ChatStream) {
    let (sender, receiver) = mpsc::unbounded();
    let player = Player::new([Attempt::Streams(receiver)].into_iter().chain(then));
    let stream = block_on(player.validated().stream(request)).unwrap();
    (sender, stream)
}

/// What is ready now.
fn ready(stream: &mut ChatStream) -> Vec<ChatEvent> {
    let mut events = Vec::new();
    while let Some(Some(event)) = stream.next().now_or_never() {
        events.push(event.unwrap());
    }
    events
}

#[test]
fn without_a_form_and_tools_everything_passes_at_once() {
    let (sender, mut stream) = begin(ask(), []);
    for event in [thought("Hm."), text("{"), end(1)] {
        sender.unbounded_send(Ok(event.clone())).unwrap();
        assert_eq!(ready(&mut stream), [event]);
    }
}

#[test]
fn bound_text_waits_for_the_check_and_thinking_does_not() {
    let again = Attempt::Says(
        Message {
            reasoning: Some("Oh.".into()),
            ..Message::assistant("mo ss")
        },
        FinishReason::Stop,
    );
    let (sender, mut stream) = begin(ask_for(regex()), [again, says("moss")]);
    for (event, released) in [
        (thought("Hm."), vec![thought("Hm.")]),
        (text("Mo"), vec![]),
        (text("ss"), vec![]),
        (end(1), vec![thought("Oh."), text("moss"), end(3)]),
    ] {
        sender.unbounded_send(Ok(event)).unwrap();
        assert_eq!(ready(&mut stream), released);
    }
    assert!(block_on(stream.next()).is_none());
}

#[test]
fn free_text_beside_tools_streams_and_is_not_said_twice() {
    let right = call("c2", "find", json!({"place": "拉萨"}));
    let wrong = ChatEvent::ToolCall(call("c1", "find", json!({})));
    for (then, released) in [
        (
            calls("Let me look.", [right.clone()]),
            vec![ChatEvent::ToolCall(right.clone())],
        ),
        (says("Moss."), vec![text("\n\nMoss.")]),
    ] {
        let (sender, mut stream) = begin(ask_with_tools(), [then]);
        sender.unbounded_send(Ok(text("Let me see."))).unwrap();
        assert_eq!(ready(&mut stream), [text("Let me see.")]);
        sender.unbounded_send(Ok(wrong.clone())).unwrap();
        assert_eq!(ready(&mut stream), [], "calls wait");
        sender.unbounded_send(Ok(end(1))).unwrap();
        let events = ready(&mut stream);
        assert_eq!(events[..events.len() - 1], released);
    }
}

#[test]
fn dropping_the_stream_drops_the_models() {
    let (sender, mut stream) = begin(ask_for(regex()), []);
    sender.unbounded_send(Ok(text("Mo"))).unwrap();
    assert_eq!(ready(&mut stream), []);
    assert!(!sender.is_closed());
    drop(stream);
    assert!(sender.is_closed());
}

#[test]
fn an_answer_without_end_is_given_up() {
    let (sender, mut stream) = begin(ask_for(regex()), []);
    let piece = "moss".repeat(1 << 16);
    for _ in 0..17 {
        sender.unbounded_send(Ok(text(&piece))).unwrap();
    }
    let error = block_on(stream.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
    assert!(block_on(stream.next()).is_none());
    assert!(sender.is_closed());

    let (sender, mut stream) = begin(ask_for(regex()), []);
    drop(sender);
    let error = block_on(stream.next()).unwrap().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Malformed);
}

#[test]
fn the_time_allowed_is_that_of_all_attempts() {
    let within = |timeout| ChatRequest {
        timeout: Some(timeout),
        ..ask_for(regex())
    };
    let hour = Duration::from_secs(3600);
    let player = Player::new([says("1"), says("moss")]);
    block_on(player.validated().complete(within(hour))).unwrap();
    let requests = player.requests();
    assert_eq!(requests[0].timeout, Some(hour));
    assert!(requests[1].timeout.unwrap() < hour);

    let player = Player::new([says("1"), says("moss")]);
    let error = block_on(player.validated().complete(within(Duration::ZERO))).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
    assert_eq!(InvalidAnswer::of(&error).unwrap().message.content, "1");

    let player = Player::new([says("1"), says("moss")]);
    block_on(player.validated().complete(within(Duration::MAX))).unwrap();
}
