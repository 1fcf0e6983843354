//! A conversation: turns that remember the ones before, within the model's real context.

use std::sync::{Arc, Mutex, PoisonError};

use corbie_core::{
    ChatEvent, ChatModel, ChatRequest, Error, ErrorKind, Message, Result, Sampling, Usage,
};
use futures::StreamExt;

use crate::QuestionCheck;
use crate::answer::{
    Answer, AnswerEvent, AnswerStream, Answerer, Question, Verdict, latest_turns, refusal,
    room_for_prompt,
};
use crate::text::content_terms;

/// A conversation with a model, over documents or without any.
///
/// When the history no longer fits, the oldest turns are left out whole; instructions stay. A
/// turn is remembered when its answer is complete: one that was dropped half-way is not.
pub struct Conversation {
    partner: Partner,
    /// The instructions of a conversation without documents.
    pub system: Option<String>,
    /// The most tokens of one answer, in a conversation without documents.
    pub answer_tokens: usize,
    /// How tokens are chosen, in a conversation without documents.
    pub sampling: Sampling,
    /// Runs before anything else, in a conversation without documents.
    pub check: Option<Arc<dyn QuestionCheck>>,
    turns: Arc<Mutex<Vec<Turn>>>,
}

enum Partner {
    Model(Arc<dyn ChatModel>),
    Documents(Answerer),
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What the user said.
    pub question: String,
    /// What was answered.
    pub answer: String,
}

impl Conversation {
    /// A conversation with a model alone.
    pub fn new(model: Arc<dyn ChatModel>) -> Self {
        Self::with(Partner::Model(model))
    }

    /// A conversation about documents.
    pub fn over(answerer: Answerer) -> Self {
        Self::with(Partner::Documents(answerer))
    }

    fn with(partner: Partner) -> Self {
        Self {
            partner,
            system: None,
            answer_tokens: 512,
            sampling: Sampling {
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            check: None,
            turns: Arc::default(),
        }
    }

    /// The turns so far.
    pub fn turns(&self) -> Vec<Turn> {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Forgets all turns.
    pub fn clear(&self) {
        self.turns
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Says something and starts the answer.
    ///
    /// # Errors
    ///
    /// Those of [`Answerer::ask`]; [`ContextTooLong`](ErrorKind::ContextTooLong) when what is
    /// said does not fit the model even without the turns before.
    pub async fn say(&self, text: &str) -> Result<AnswerStream> {
        let turns = self.turns();
        let stream = match &self.partner {
            Partner::Documents(answerer) => {
                let search = turns
                    .last()
                    .and_then(|last| follow_up(text, &last.question));
                let question = Question {
                    text: text.to_owned(),
                    search,
                    history: messages(&turns),
                    filter: None,
                };
                answerer.ask(question).await?
            }
            Partner::Model(model) => self.chat(model, text, &turns).await?,
        };
        let (memory, question) = (self.turns.clone(), text.to_owned());
        let remember = move |event: &Result<AnswerEvent>| {
            if let Ok(AnswerEvent::Done(answer)) = event {
                let mut turns = memory.lock().unwrap_or_else(PoisonError::into_inner);
                turns.push(Turn {
                    question: question.clone(),
                    answer: answer.answer.clone(),
                });
            }
        };
        Ok(stream.inspect(remember).boxed())
    }

    async fn chat(
        &self,
        model: &Arc<dyn ChatModel>,
        text: &str,
        turns: &[Turn],
    ) -> Result<AnswerStream> {
        if text.trim().is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "message", "it is empty"));
        }
        if let Some(reason) = refusal(self.check.as_deref(), text).await? {
            return Ok(crate::answer::without_model(Verdict::Refused, reason));
        }
        let limit = room_for_prompt(model.as_ref(), self.answer_tokens)?;
        let request = |history: &[Message]| {
            let mut messages: Vec<Message> = self.system.iter().map(Message::system).collect();
            messages.extend_from_slice(history);
            messages.push(Message::user(text));
            ChatRequest {
                sampling: self.sampling,
                max_tokens: Some(self.answer_tokens),
                ..ChatRequest::new(messages)
            }
        };
        let history = messages(turns);
        let fits = |history: &[Message]| Ok(model.prompt_tokens(&request(history))? <= limit);
        let request = request(latest_turns(&history, fits)?);
        let tokens = model.prompt_tokens(&request)?;
        if tokens > limit {
            let cause = format!(
                "it takes {tokens} tokens, {limit} are left of the context beside the answer"
            );
            let kind = ErrorKind::ContextTooLong { tokens, limit };
            return Err(Error::new(kind, "message", cause)
                .hint("shorten it, or use a model with a longer context"));
        }
        let chat = model.stream(request).await?;
        let mut said = String::new();
        let events = chat.filter_map(move |event| {
            let event = match event {
                Ok(ChatEvent::Text(piece)) => {
                    said.push_str(&piece);
                    Some(Ok(AnswerEvent::Text(piece)))
                }
                Ok(ChatEvent::Finish { usage, .. }) => {
                    let text = std::mem::take(&mut said);
                    Some(Ok(AnswerEvent::Done(answered(text, usage))))
                }
                Ok(ChatEvent::Reasoning(_) | ChatEvent::ToolCall(_)) => None,
                Err(error) => Some(Err(error)),
            };
            std::future::ready(event)
        });
        Ok(events.boxed())
    }
}

fn answered(text: String, usage: Usage) -> Answer {
    Answer {
        v: 1,
        answer: text,
        verdict: Verdict::Answered,
        citations: Vec::new(),
        usage,
        cached: false,
    }
}

fn messages(turns: &[Turn]) -> Vec<Message> {
    let pair = |turn: &Turn| {
        [
            Message::user(&turn.question),
            Message::assistant(&turn.answer),
        ]
    };
    turns.iter().flat_map(pair).collect()
}

/// What to look for when `question` leans on the one before: both questions. It leans when it
/// has at most two content terms (four pairs in Chinese), or points back with a word that stands
/// for another.
fn follow_up(question: &str, previous: &str) -> Option<String> {
    let terms = content_terms(question);
    let han = question.chars().any(crate::text::is_han);
    let few = terms.len() <= if han { 4 } else { 2 };
    let points_back = match han {
        true => POINTING_CHINESE.iter().any(|word| question.contains(word)),
        false => question
            .to_lowercase()
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| POINTING_ENGLISH.contains(&word)),
    };
    (few || points_back).then(|| format!("{previous} {question}"))
}

const POINTING_ENGLISH: &[&str] = &[
    "it", "its", "they", "them", "their", "he", "him", "his", "she", "her", "that", "those",
    "this", "these", "there", "then",
];
const POINTING_CHINESE: &[&str] = &["它", "他", "她", "那", "这", "這", "其", "呢"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_that_lean_on_the_one_before_are_looked_up_with_it() {
        let check = |question: &str, leans: bool| {
            assert_eq!(follow_up(question, "Before").is_some(), leans, "{question}");
        };
        check("How high is it?", true);
        check("And in winter?", true);
        check("Which permit does the petrel net need?", false);
        check("那冬天呢？", true);
        check("岛上每人每天可以用多少升淡水？", false);
    }
}
