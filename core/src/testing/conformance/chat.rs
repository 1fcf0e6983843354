use futures::StreamExt;

use crate::{ChatEvent, ChatModel, ChatReply, ChatRequest, ErrorKind, Message, Sampling};

/// The laws of [`ChatModel`]: streamed and whole answers agree, a stream ends with exactly one
/// finish event, limits hold, bad options are refused before work starts.
///
/// The model must answer three requests, greedily the same each time.
///
/// # Panics
///
/// With the law that is broken.
pub async fn chat_model(model: &dyn ChatModel) {
    let request = ChatRequest {
        max_tokens: Some(12),
        ..ChatRequest::new([Message::user("Say where ravens live. 乌鸦住在哪里?")])
    };
    let whole = model.complete(request.clone()).await.unwrap();
    let stream = model.stream(request.clone()).await.unwrap();
    let events: Vec<ChatEvent> = stream.map(|event| event.unwrap()).collect().await;
    let finishes = events
        .iter()
        .filter(|e| matches!(e, ChatEvent::Finish { .. }))
        .count();
    assert_eq!(finishes, 1, "exactly one finish event");
    assert!(
        matches!(events.last(), Some(ChatEvent::Finish { .. })),
        "the finish event is the last"
    );
    let replay = futures::stream::iter(events.into_iter().map(Ok)).boxed();
    let folded = ChatReply::fold(replay).await.unwrap();
    assert_eq!(
        folded.message, whole.message,
        "streamed and whole answers agree"
    );
    assert_eq!(
        folded.finish_reason, whole.finish_reason,
        "for the same reason"
    );
    assert!(whole.usage.completion_tokens <= 12, "max_tokens holds");
    let count = model.prompt_tokens(&request).unwrap();
    match model.tokens() {
        Some(_) => assert_eq!(
            whole.usage.prompt_tokens, count,
            "the prompt costs what was announced"
        ),
        // Without a tokenizer at hand the announced cost is an estimate.
        None => assert!(count > 0, "even an estimated prompt costs something"),
    }

    drop(model.stream(request.clone()).await.unwrap());

    let nonsense = ChatRequest {
        sampling: Sampling {
            temperature: f32::NAN,
            ..Sampling::default()
        },
        ..request
    };
    let refused = model
        .stream(nonsense)
        .await
        .err()
        .expect("NaN is no temperature");
    assert_eq!(
        refused.kind(),
        &ErrorKind::BadInput,
        "bad options are the caller's"
    );

    let limit = model.info().context_length;
    let endless = "raven crow ".repeat(limit);
    let too_long = ChatRequest::new([Message::user(endless)]);
    let refused = model
        .stream(too_long)
        .await
        .err()
        .expect("an overfull context is refused");
    assert!(
        matches!(refused.kind(), ErrorKind::ContextTooLong { tokens, limit } if tokens > limit),
        "with the numbers"
    );
}
