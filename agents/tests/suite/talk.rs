use std::sync::Arc;

use corbie_agents::{Answer, Answerer, Conversation, Verdict};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{ChatModel, ErrorKind, Message, Role};

use crate::kit::{Fixed, model};

async fn say(conversation: &Conversation, text: &str) -> corbie_core::Result<Answer> {
    Answer::fold(conversation.say(text).await?).await
}

#[tokio::test]
async fn two_hundred_turns_never_overflow_the_context() {
    let script = (0..200).map(|i| Message::assistant(format!("answer {i}")));
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(100));
    let mut conversation = Conversation::new(model.clone());
    conversation.system = Some("You are a raven.".into());
    conversation.answer_tokens = 30;
    for i in 0..200 {
        let words = " moss".repeat(i % 17);
        let answer = say(&conversation, &format!("question {i}{words}"))
            .await
            .unwrap();
        assert_eq!(answer.answer, format!("answer {i}"));
    }
    assert_eq!(conversation.turns().len(), 200);
    for request in model.requests() {
        assert!(
            model.prompt_tokens(&request).unwrap() <= 70,
            "room for the answer is left"
        );
        let roles: Vec<Role> = request.messages.iter().map(|m| m.role).collect();
        assert_eq!(roles[0], Role::System, "the instructions stay");
        assert!(roles[1..].iter().step_by(2).all(|role| *role == Role::User));
        assert!(
            roles[2..]
                .iter()
                .step_by(2)
                .all(|role| *role == Role::Assistant)
        );
    }
    let last = &model.requests()[199].messages;
    assert!(last.len() > 4, "what fits is remembered");
    assert!(
        last[last.len() - 2].content.contains("answer 198"),
        "the latest first"
    );

    let error = say(&conversation, &"moss ".repeat(67)).await.unwrap_err();
    let expected = ErrorKind::ContextTooLong {
        tokens: 71,
        limit: 70,
    };
    assert_eq!(error.kind(), &expected);
    assert_eq!(
        conversation.turns().len(),
        200,
        "what failed is not remembered"
    );
}

#[tokio::test]
async fn a_follow_up_is_looked_up_with_the_question_before() {
    let text = "The lighthouse is 34 metres high and was built in 1868.";
    let retriever = Arc::new(Fixed::new(&[text]));
    let replies = [
        "The lighthouse is 34 metres high [1].",
        "It was built in 1868 [1].",
    ];
    let model = model(&replies);
    let conversation = Conversation::over(Answerer::new(model.clone(), retriever.clone()));
    say(&conversation, "How high is the lighthouse?")
        .await
        .unwrap();
    let answer = say(&conversation, "And when was it built?").await.unwrap();
    assert_eq!(answer.answer, "It was built in 1868 [1].");
    let asked = retriever.asked.lock().unwrap().clone();
    assert_eq!(
        asked[1],
        "How high is the lighthouse? And when was it built?"
    );
    let messages = &model.requests()[1].messages;
    assert_eq!(
        messages.len(),
        4,
        "the first turn is there, without its passages"
    );
    assert_eq!(messages[1].content, "How high is the lighthouse?");
    assert!(
        messages[3]
            .content
            .ends_with("Question: And when was it built?")
    );
}

#[tokio::test]
async fn a_dropped_answer_is_not_remembered_and_a_check_comes_first() {
    let model = model(&["one two", "three"]);
    let mut conversation = Conversation::new(model.clone());
    drop(conversation.say("你好").await.unwrap());
    assert!(conversation.turns().is_empty());
    conversation.check = Some(Arc::new(|text: &str| {
        text.contains('x').then(|| "No.".to_owned())
    }));
    let refused = say(&conversation, "x").await.unwrap();
    assert_eq!(
        (refused.verdict, model.requests().len()),
        (Verdict::Refused, 1)
    );
    assert_eq!(
        say(&conversation, "再说一次").await.unwrap().answer,
        "three"
    );
    conversation.clear();
    assert!(conversation.turns().is_empty());
}
