//! Question answering: retrieve, judge, fit, answer, cite.

mod cache;
mod evidence;
mod marks;
mod passages;
mod prompt;
mod run;
mod support;
mod types;
mod writer;

use std::sync::Arc;

use corbie_core::{
    ChatModel, ChatRequest, Error, ErrorKind, Filter, Message, Result, RetrieveRequest, Retriever,
    Sampling, Usage,
};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

pub use cache::{AnswerCache, CacheOptions, Likeness};
pub use evidence::{Evidence, EvidenceOptions};
pub use types::{Answer, AnswerEvent, AnswerStream, Citation, Verdict};

use crate::QuestionCheck;
use crate::spans;
use crate::text::Language;
use passages::Room;
use run::Run;
use support::Grounds;
use writer::Writer;

/// Answers questions from documents, with citations.
///
/// ```
/// use std::sync::Arc;
///
/// use corbie_agents::{Answerer, Verdict};
/// use corbie_core::{BoxFuture, Chunk, Hit, Message, Result, RetrieveRequest, Retriever, Scores, ids};
/// use corbie_core::testing::ScriptedChatModel;
///
/// struct OneHit;
///
/// impl Retriever for OneHit {
///     fn retrieve(&self, _: RetrieveRequest) -> BoxFuture<'_, Result<Vec<Hit>>> {
///         let document = ids::document("notes", "ravens.md");
///         let text = "Ravens cache food under moss.".to_owned();
///         let chunk = Chunk {
///             id: ids::chunk(&document, &text, 0),
///             document,
///             source: "ravens.md".into(),
///             start: 0,
///             end: text.len(),
///             text,
///             page: None,
///             heading: Vec::new(),
///             metadata: Default::default(),
///         };
///         let scores = Scores { dense: Some(0.7), sparse: Some(4.0) };
///         Box::pin(async move { Ok(vec![Hit { chunk, score: 0.03, scores }]) })
///     }
/// }
///
/// let model = ScriptedChatModel::new([Message::assistant("They cache it under moss.")]);
/// let answerer = Answerer::new(Arc::new(model), Arc::new(OneHit));
/// let answer = futures::executor::block_on(answerer.answer("Where do ravens cache food?"))?;
/// assert_eq!(answer.verdict, Verdict::Answered);
/// assert_eq!(answer.answer, "They cache it under moss [1].");
/// assert_eq!(answer.citations[0].source, "ravens.md");
/// # Ok::<(), corbie_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Answerer {
    /// Writes the answer.
    pub model: Arc<dyn ChatModel>,
    /// Finds the passages.
    pub retriever: Arc<dyn Retriever>,
    /// Runs before anything else.
    pub check: Option<Arc<dyn QuestionCheck>>,
    /// Where answers are kept and looked for first, and what else decides them: the collection,
    /// the tenant. Questions within a conversation are neither kept nor looked for.
    pub cache: Option<(Arc<AnswerCache>, String)>,
    /// How it answers.
    pub options: AnswerOptions,
}

/// How an [`Answerer`] answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerOptions {
    /// How many hits are looked at. More than are given: overlapping ones are joined, and the
    /// rarity of terms is measured among them.
    pub fetch: usize,
    /// The most passages the model is given.
    pub passages: usize,
    /// About how many tokens of passages it is given: the time before the first word grows with
    /// it. The best passage is given whole even if it is longer.
    pub passage_tokens: usize,
    /// The most tokens it may write.
    pub answer_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// When the documents are held to say nothing about a question.
    pub evidence: EvidenceOptions,
    /// What is done with sentences that no passage supports.
    pub ungrounded: Ungrounded,
}

/// What is done with a model's sentences that no passage supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ungrounded {
    /// The model is stopped after so many in a row. If none was grounded by then, the passage
    /// that says most about the question is quoted instead: the right choice for small models.
    Quote {
        /// How many.
        patience: usize,
    },
    /// They are shown, without a mark: for models that are trusted to use their own words.
    Show,
}

impl Default for AnswerOptions {
    fn default() -> Self {
        Self {
            fetch: 24,
            passages: 5,
            passage_tokens: 800,
            answer_tokens: 160,
            sampling: Sampling {
                repetition_penalty: 1.1,
                ..Sampling::default()
            },
            evidence: EvidenceOptions::default(),
            ungrounded: Ungrounded::Quote { patience: 2 },
        }
    }
}

/// A question to an [`Answerer`], with what surrounds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Question {
    /// The question, in the user's words.
    pub text: String,
    /// What is looked for, if not the question itself.
    pub search: Option<String>,
    /// Where to look; `None`: everywhere.
    pub filter: Option<Filter>,
    /// Earlier turns, oldest first, in pairs of user and assistant. Those that do not fit are
    /// left out, oldest first and in pairs.
    pub history: Vec<Message>,
}

impl<T: Into<String>> From<T> for Question {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }
}

impl Answerer {
    /// An answerer with default options.
    pub fn new(model: Arc<dyn ChatModel>, retriever: Arc<dyn Retriever>) -> Self {
        Self {
            model,
            retriever,
            check: None,
            cache: None,
            options: AnswerOptions::default(),
        }
    }

    /// The whole answer.
    ///
    /// # Errors
    ///
    /// Those of [`Answerer::ask`] and of the model's stream.
    pub async fn answer(&self, question: impl Into<Question>) -> Result<Answer> {
        Answer::fold(self.ask(question).await?).await
    }

    /// Starts an answer. A refused question, and one about which the documents say nothing, is an
    /// answer with its own [`Verdict`], not an error; the model is not asked then.
    ///
    /// # Errors
    ///
    /// [`BadInput`](ErrorKind::BadInput) for an empty question,
    /// [`ContextTooLong`](ErrorKind::ContextTooLong) when not even one passage fits the model,
    /// and whatever the check, the retriever or the model reports.
    pub async fn ask(&self, question: impl Into<Question>) -> Result<AnswerStream> {
        let question = question.into();
        if question.text.trim().is_empty() {
            return Err(Error::new(ErrorKind::BadInput, "question", "it is empty"));
        }
        if let Some(reason) = refusal(self.check.as_deref(), &question.text).await? {
            return Ok(without_model(Verdict::Refused, reason));
        }
        let Some((cache, scope)) = &self.cache else {
            return self.ask_anew(question).await;
        };
        if !question.history.is_empty() {
            return self.ask_anew(question).await;
        }
        let scope = self.scope(scope, &question);
        if let Some(answer) = cache.find(&scope, &question.text).await? {
            return Ok(kept(answer));
        }
        let text = question.text.clone();
        let stream = self.ask_anew(question).await?;
        Ok(cache.keeping(scope, text, stream))
    }

    /// Everything that decides an answer beside the question and the documents.
    fn scope(&self, scope: &str, question: &Question) -> String {
        let model = self.model.info();
        let parts = serde_json::json!([
            scope,
            model.model,
            self.options,
            question.search,
            question.filter,
        ]);
        corbie_core::ids::text_hash(&parts.to_string())
    }

    async fn ask_anew(&self, question: Question) -> Result<AnswerStream> {
        let words = prompt::words(Language::of(&question.text));
        let search = question.search.as_deref().unwrap_or(&question.text);
        let hits = self
            .retriever
            .retrieve(RetrieveRequest {
                question: search.to_owned(),
                filter: question.filter.clone(),
                limit: self.options.fetch.max(self.options.passages),
            })
            .await?;
        let evidence = Evidence::judge(search, &hits, &self.options.evidence);
        tracing::debug!(?evidence, hits = hits.len(), "evidence");
        if hits.is_empty() || evidence.score < self.options.evidence.threshold {
            return Ok(without_model(
                Verdict::NoEvidence,
                words.no_evidence.to_owned(),
            ));
        }
        let room = Room {
            passages: self.options.passages.max(1),
            budget: self.options.passage_tokens,
            limit: room_for_prompt(self.model.as_ref(), self.options.answer_tokens)?,
        };
        let request = |passages: &[Citation], history: &[Message]| ChatRequest {
            sampling: self.options.sampling,
            max_tokens: Some(self.options.answer_tokens),
            ..ChatRequest::new(prompt::messages(words, history, passages, &question.text))
        };
        let citations = passages::choose(&hits, room, |passages| {
            self.model.prompt_tokens(&request(passages, &[]))
        })?;
        let fits = |history: &[Message]| {
            let tokens = self.model.prompt_tokens(&request(&citations, history))?;
            Ok(tokens <= room.limit)
        };
        let history = latest_turns(&question.history, fits)?;
        let request = request(&citations, history);
        let patience = match self.options.ungrounded {
            Ungrounded::Quote { patience } => Some(patience.max(1)),
            Ungrounded::Show => None,
        };
        let prompt_tokens = self.model.prompt_tokens(&request)?;
        let span = spans::chat(self.model.as_ref(), &request);
        let chat = self.model.stream(request).instrument(span.clone()).await;
        let chat = chat.inspect_err(|error| spans::failed(&span, error))?;
        let writer = Writer::new(Grounds::new(search, &citations), patience);
        let run = Run::new(
            self.model.clone(),
            (chat, span),
            prompt_tokens,
            writer,
            words,
            citations,
        );
        Ok(futures::stream::try_unfold(run, Run::next).boxed())
    }
}

/// An answer that was kept: it cost nothing this time.
fn kept(mut answer: Answer) -> AnswerStream {
    answer.cached = true;
    answer.usage = Usage::default();
    let events = [
        AnswerEvent::Citations(answer.citations.clone()),
        AnswerEvent::Text(answer.answer.clone()),
        AnswerEvent::Done(answer),
    ];
    futures::stream::iter(events).map(Ok).boxed()
}

/// Why `check` refuses, if it does.
pub(crate) async fn refusal(
    check: Option<&dyn QuestionCheck>,
    question: &str,
) -> Result<Option<String>> {
    match check {
        Some(check) => check.refusal(question).await,
        None => Ok(None),
    }
}

/// An answer that no model was asked for.
pub(crate) fn without_model(verdict: Verdict, text: String) -> AnswerStream {
    let answer = Answer {
        v: 1,
        answer: text.clone(),
        verdict,
        citations: Vec::new(),
        usage: Usage::default(),
        cached: false,
    };
    let events = [AnswerEvent::Text(text), AnswerEvent::Done(answer)];
    futures::stream::iter(events).map(Ok).boxed()
}

/// How many tokens a prompt may have beside an answer of `answer_tokens`.
pub(crate) fn room_for_prompt(model: &dyn ChatModel, answer_tokens: usize) -> Result<usize> {
    let info = model.info();
    let limit = info.context_length;
    limit
        .checked_sub(answer_tokens)
        .filter(|room| *room > 0)
        .ok_or_else(|| {
            let tokens = answer_tokens;
            Error::new(
                ErrorKind::ContextTooLong { tokens, limit },
                format!("model `{}`", info.model),
                format!("an answer of {tokens} tokens leaves no room in a context of {limit}"),
            )
            .hint("lower the number of answer tokens")
        })
}

/// As many of the latest turns as fit; a turn is a pair of messages and never split.
pub(crate) fn latest_turns(
    history: &[Message],
    fits: impl Fn(&[Message]) -> Result<bool>,
) -> Result<&[Message]> {
    let history = &history[history.len() % 2..];
    // What fits still fits when it is shorter: the first start that fits is found by halving.
    let (mut no, mut yes) = (0, history.len() / 2);
    while no < yes {
        let turn = no.midpoint(yes);
        match fits(&history[2 * turn..])? {
            true => yes = turn,
            false => no = turn + 1,
        }
    }
    Ok(&history[2 * yes..])
}
