//! Which tool is called where one must be, and whether one is where the model decides.
//!
//! Where a template knows no tools, questions are weighed (`question.rs`). Models whose template
//! does are asked for names.
//!
//! Small models find some names likelier than others, whatever is asked: the last in a list, the
//! shortest, the one they met in training. So names are weighed by how much likelier the question
//! makes them: the log-probability of a name after the conversation, less a part of that after the
//! same conversation in which nothing is asked. After Zhao et al., Calibrate Before Use (2021), and
//! Holtzman et al., Surface Form Competition (2021), who take all of it off; three quarters are
//! better here than all or nothing (`examples/tool_choice.rs` measures).
//!
//! All names are whole, with the mark that ends them, so that none is the beginning of another,
//! and their log-probabilities are sums: means over tokens choose worse.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use corbie_core::{ChatRequest, ErrorKind, Message, ResponseFormat, Result, Role, ToolChoice};

use super::LocalChatModel;
use crate::dialect::{Dialect, Opening, is_han};

/// Questions that ask nothing, English and Chinese.
const NEUTRAL: [[&str; 4]; 2] = [
    ["N/A", "...", "Please help me.", "Hello"],
    ["无", "……", "请帮帮我。", "你好"],
];

/// How much of a name's score when nothing is asked is taken off.
const WEIGHT: f64 = 0.5;

/// The scores of so many prompts without a question are remembered.
const REMEMBERED: usize = 64;

/// When calibrated scores choose the tool to call, instead of the sampling, token by token.
///
/// That work counts in no [`Usage`](corbie_core::Usage), and what it read before is not computed
/// again for the same tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Calibrate {
    /// For models whose template knows no tools, in answers to a question: which tool is called
    /// where one must be, and whether and which where the model may decide. Each tool is weighed
    /// by how much likelier it makes the question.
    #[default]
    Plain,
    /// For other models too, where they must call a tool, and one, without thinking before: each
    /// tool is weighed by how much likelier the question makes its name.
    Always,
    /// For none.
    Never,
}

/// What was chosen before the answer.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// What may be called now; `None`: what the request says.
    pub tool_choice: Option<ToolChoice>,
    /// The prompt that the answer is written after; `None`: the request's own.
    pub prompt: Option<Vec<u32>>,
    /// Tokens of the request's prompt that were known before, if it has been read.
    pub cached: Option<usize>,
}

/// By what a tool is chosen.
enum By {
    Question,
    Name,
    Nothing,
}

/// Scores of prompts without a question, the latest first.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<VecDeque<(Weighing, Vec<f64>)>>);

/// What was weighed: the adapter, the prompt, and the texts after it.
#[derive(Debug, Clone, PartialEq)]
struct Weighing {
    adapter: Option<u64>,
    prompt: Vec<u32>,
    texts: Vec<Vec<u32>>,
}

impl Remembered {
    fn get(&self, weighing: &Weighing) -> Option<Vec<f64>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|(known, _)| known == weighing)?;
        let entry = known.remove(at)?;
        let scores = entry.1.clone();
        known.push_front(entry);
        Some(scores)
    }

    fn put(&self, weighing: Weighing, scores: Vec<f64>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front((weighing, scores));
        known.truncate(REMEMBERED);
    }
}

impl LocalChatModel {
    /// The tool that calibrated scores choose, where they do. The choice is the same whatever the
    /// sampling is.
    pub(super) async fn choose_tool(
        &self,
        request: &ChatRequest,
        prompt: &[u32],
        opening: Opening,
        deadline: Option<Instant>,
    ) -> Result<Choice> {
        let Some(last) = request.messages.last() else {
            return Ok(Choice::default());
        };
        let decides = match request.tool_choice {
            ToolChoice::Required => false,
            // Whoever has not just been asked may be about to answer from a result.
            ToolChoice::Auto => {
                last.role == Role::User
                    && !request.tools.is_empty()
                    && request.response_format == ResponseFormat::Text
            }
            ToolChoice::Named(_) | ToolChoice::None => return Ok(Choice::default()),
        };
        let chosen = match self.calibrates(request, opening) {
            By::Question if decides || request.tool_choice == ToolChoice::Required => {
                self.choose_by_question(request, prompt, decides, deadline)
                    .await
            }
            By::Name if !decides && request.tools.len() > 1 => {
                self.choose_by_name(request, prompt, opening, deadline)
                    .await
            }
            _ => Ok(Choice::default()),
        };
        match chosen {
            // There is room for the answer perhaps, but not for this.
            Err(error) if matches!(error.kind(), ErrorKind::ContextTooLong { .. }) => {
                Ok(Choice::default())
            }
            choice => choice,
        }
    }

    fn calibrates(&self, request: &ChatRequest, opening: Opening) -> By {
        let dialect = self.template.dialect();
        let plain = std::ptr::eq(dialect, Dialect::plain());
        let special = |mark: &str| self.tokenizer.special_token(mark).is_some();
        let thinks = dialect.thinking.iter().any(|it| special(it.open));
        let one = request.tool_choice == ToolChoice::Required
            && !(dialect.parallel && request.parallel_tool_calls);
        match self.calibrate {
            Calibrate::Plain | Calibrate::Always if plain => By::Question,
            Calibrate::Always if one && !thinks && opening != Opening::Thought => By::Name,
            _ => By::Nothing,
        }
    }

    async fn choose_by_name(
        &self,
        request: &ChatRequest,
        prompt: &[u32],
        opening: Opening,
        deadline: Option<Instant>,
    ) -> Result<Choice> {
        let without = self.without_question(request)?;
        if without.is_empty() {
            return Ok(Choice::default());
        }
        let (before, names) = self.calls(request, opening)?;
        let prompt = [prompt, &before].concat();
        let weighed = self.weigh(prompt, &names, deadline).await?;
        let nothing = self.neutral(&without, &before, &names, deadline).await?;
        let score = |index: usize| weighed.scores[index] - WEIGHT * nothing[index];
        let mut best = 0;
        for index in 1..names.len() {
            if score(index) > score(best) {
                best = index;
            }
        }
        let tool = request.tools.get(best).map(|tool| tool.name.clone());
        Ok(Choice {
            tool_choice: tool.map(ToolChoice::Named),
            prompt: None,
            cached: Some(weighed.cached),
        })
    }

    /// The prompts of the conversation with nothing asked in place of its last question; none
    /// where there is no question.
    fn without_question(&self, request: &ChatRequest) -> Result<Vec<Vec<u32>>> {
        let Some(at) = question(request) else {
            return Ok(Vec::new());
        };
        let chinese = is_chinese(request, Some(at));
        let prompts = NEUTRAL[usize::from(chinese)].map(|nothing| {
            let mut request = request.clone();
            request.messages[at].content = nothing.to_owned();
            self.prompt(&request)
        });
        prompts.into_iter().collect()
    }

    /// The scores of texts after prompts without a question and what follows them: the mean of
    /// their log-probabilities over all prompts.
    async fn neutral(
        &self,
        prompts: &[Vec<u32>],
        before: &[u32],
        texts: &[Vec<u32>],
        deadline: Option<Instant>,
    ) -> Result<Vec<f64>> {
        let mut mean = vec![0.0; texts.len()];
        for prompt in prompts {
            let weighing = Weighing {
                adapter: self.adapter.as_ref().map(|adapter| adapter.id()),
                prompt: [prompt, before].concat(),
                texts: texts.to_vec(),
            };
            let scores = match self.remembered.get(&weighing) {
                Some(scores) => scores,
                None => {
                    let prompt = weighing.prompt.clone();
                    let scores = self.weigh(prompt, texts, deadline).await?.scores;
                    self.remembered.put(weighing, scores.clone());
                    scores
                }
            };
            for (mean, score) in mean.iter_mut().zip(scores) {
                *mean += score / prompts.len() as f64;
            }
        }
        Ok(mean)
    }

    /// What calls of all tools begin with, up to the name, and then each tool's name, up to the
    /// token that ends it: so no name is the beginning of another.
    fn calls(&self, request: &ChatRequest, opening: Opening) -> Result<(Vec<u32>, Vec<Vec<u32>>)> {
        // As in the prompt, which has a space behind `Answer:`, and none behind `回答：`. Some
        // vocabularies put one before every text themselves.
        let chinese = is_chinese(request, question(request));
        let bare = self.tokenizer.encode_except("{", &[])?;
        let own = bare.first().map(|id| self.tokenizer.token_bytes(*id));
        let parted =
            opening == Opening::Space && !chinese && !own.is_some_and(|it| it.starts_with(b" "));
        let mut before: Option<Vec<u32>> = None;
        let mut calls = Vec::with_capacity(request.tools.len());
        for tool in &request.tools {
            let (mut text, mut name) = self.template.dialect().opening(&tool.name);
            if parted {
                text.insert(0, ' ');
                name = name.start + 1..name.end + 1;
            }
            let mut ids = self
                .tokenizer
                .encode_except(&text, std::slice::from_ref(&name))?;
            let mut behind = text.len().saturating_sub(name.end + 1);
            let mut kept = ids.len();
            // From the end: what a vocabulary puts before a text does not matter.
            while let Some(last) = kept.checked_sub(1) {
                match behind.checked_sub(self.tokenizer.token_bytes(ids[last]).len()) {
                    Some(rest) => (behind, kept) = (rest, last),
                    None => break,
                }
            }
            ids.truncate(kept);
            let whole = match before {
                Some(before) => before,
                None => self.tokenizer.encode_except(&text[..name.start], &[])?,
            };
            let shared = whole.iter().zip(&ids).take_while(|(a, b)| a == b).count();
            before = Some(whole[..shared].to_vec());
            calls.push(ids);
        }
        let before = before.unwrap_or_default();
        calls
            .iter_mut()
            .for_each(|call| drop(call.drain(..before.len())));
        Ok((before, calls))
    }
}

/// Where the last question stands.
pub(super) fn question(request: &ChatRequest) -> Option<usize> {
    let is_asked = |message: &Message| message.role == Role::User;
    request.messages.iter().rposition(is_asked)
}

fn is_chinese(request: &ChatRequest, question: Option<usize>) -> bool {
    let asked = question.and_then(|at| request.messages.get(at));
    asked.is_some_and(|message| message.content.chars().any(is_han))
}
