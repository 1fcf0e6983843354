use std::sync::Arc;

use corbie_agents::{Answerer, Question};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{ChatModel, ErrorKind, Message};

use crate::kit::Fixed;

const QUESTION: &str = "Where do ravens cache food?";

fn passages(words: usize) -> Vec<String> {
    let text = |i: usize| {
        format!(
            "Ravens cache food in place {i}.{}",
            " moss".repeat(words - 6)
        )
    };
    (0..4).map(text).collect()
}

/// Answers over four passages of `words` words in a context of `context` words and returns how
/// many passages and how many words the prompt had.
async fn ask(
    words: usize,
    context: usize,
    history: &[Message],
) -> corbie_core::Result<(usize, usize)> {
    let texts = passages(words);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let script = [Message::assistant("Ravens cache food in place 1 [1].")];
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(context));
    let mut answerer = Answerer::new(model.clone(), Arc::new(Fixed::new(&texts)));
    answerer.options.answer_tokens = 20;
    let question = Question {
        history: history.to_vec(),
        ..QUESTION.into()
    };
    let answer = answerer.answer(question).await?;
    let prompt = model.prompt_tokens(&model.requests()[0])?;
    Ok((answer.citations.len(), prompt))
}

#[tokio::test]
async fn passages_fit_to_the_token() {
    let (all, whole) = ask(50, 4096, &[]).await.unwrap();
    assert_eq!(all, 4);
    let exact = whole + 20;
    assert_eq!(
        ask(50, exact, &[]).await.unwrap(),
        (4, whole),
        "exactly full"
    );
    let (fewer, less) = ask(50, exact - 1, &[]).await.unwrap();
    assert_eq!(fewer, 3, "one word short: one passage less, whole");
    let each = whole - less;
    let one = whole - 3 * each + 20;
    assert_eq!(ask(50, one, &[]).await.unwrap().0, 1);
    let error = ask(50, one - 1, &[]).await.unwrap_err();
    let expected = ErrorKind::ContextTooLong {
        tokens: one - 20,
        limit: one - 21,
    };
    assert_eq!(
        error.kind(),
        &expected,
        "not even one passage fits: {error}"
    );
    let error = ask(50, 20, &[]).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ContextTooLong { .. }),
        "no room at all: {error}"
    );
}

#[tokio::test]
async fn the_budget_is_kept_but_for_the_first_passage() {
    assert_eq!(
        ask(300, 4096, &[]).await.unwrap().0,
        2,
        "800 words are asked for"
    );
    assert_eq!(
        ask(900, 4096, &[]).await.unwrap().0,
        1,
        "the best is given whole"
    );
}

#[tokio::test]
async fn history_takes_what_is_left_in_whole_turns() {
    let turn = |i: usize| {
        [
            Message::user(format!("question {i}")),
            Message::assistant(format!("answer {i}")),
        ]
    };
    let history: Vec<Message> = (0..3).flat_map(turn).collect();
    let (_, bare) = ask(50, 4096, &[]).await.unwrap();
    for (room, turns) in [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2), (12, 3)] {
        let (passages, prompt) = ask(50, bare + 20 + room, &history).await.unwrap();
        assert_eq!(
            (passages, prompt),
            (4, bare + 4 * turns),
            "room for {room} words"
        );
    }
}
