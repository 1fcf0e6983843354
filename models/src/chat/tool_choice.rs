//! Which tool is called where one must be.
//!
//! Small models find some names likelier than others, whatever is asked: the last in a list, the
//! shortest, the one they met in training. So names are weighed by how much likelier the question
//! makes them: the log-probability of a name after the conversation, less that after the same
//! conversation in which nothing is asked. After Zhao et al., Calibrate Before Use (2021), and
//! Holtzman et al., Surface Form Competition (2021).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use corbie_core::{ChatRequest, ErrorKind, Message, Result, Role, ToolChoice};

use super::LocalChatModel;
use crate::dialect::{Dialect, Opening, is_han};

/// Questions that ask nothing, English and Chinese.
const NEUTRAL: [&[&str]; 2] = [&["N/A", "..."], &["无", "……"]];

/// The scores of so many prompts without a question are remembered.
const REMEMBERED: usize = 32;

/// When the tool of a call that must be made is chosen by calibrated scores of the tools' names,
/// instead of token by token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Calibrate {
    /// For models whose template knows no tools.
    #[default]
    Plain,
    /// For all models, where the answer holds one call and no thinking before it.
    Always,
    /// For none.
    Never,
}

/// The tool that is called.
pub(super) struct Chosen {
    pub name: String,
    /// Tokens of the prompt that were known before it was chosen.
    pub cached: usize,
}

/// Scores of prompts without a question, the latest first.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<VecDeque<(Weighing, Vec<f64>)>>);

/// What was weighed: the adapter, the prompt, and the texts after it.
#[derive(Debug, Clone, PartialEq)]
struct Weighing {
    adapter: Option<u64>,
    prompt: Vec<u32>,
    names: Vec<Vec<u32>>,
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
    /// The tool that must be called, where calibrated scores choose it. The choice is the same
    /// whatever the sampling is.
    pub(super) async fn choose_tool(
        &self,
        request: &ChatRequest,
        prompt: &[u32],
        opening: Opening,
        deadline: Option<Instant>,
    ) -> Result<Option<Chosen>> {
        if !self.chooses(request, opening) {
            return Ok(None);
        }
        let chosen = self.weigh_tools(request, prompt, deadline).await;
        match chosen {
            // There is room for the answer perhaps, but not for this.
            Err(error) if matches!(error.kind(), ErrorKind::ContextTooLong { .. }) => Ok(None),
            chosen => chosen,
        }
    }

    fn chooses(&self, request: &ChatRequest, opening: Opening) -> bool {
        let dialect = self.template.dialect();
        let special = |mark: &str| self.tokenizer.special_token(mark).is_some();
        let thinks = dialect.thinking.iter().any(|it| special(it.open));
        let wanted = match self.calibrate {
            Calibrate::Plain => std::ptr::eq(dialect, Dialect::plain()),
            Calibrate::Always => !(dialect.parallel && request.parallel_tool_calls) && !thinks,
            Calibrate::Never => false,
        };
        wanted
            && opening != Opening::Thought
            && request.tool_choice == ToolChoice::Required
            && request.tools.len() > 1
    }

    async fn weigh_tools(
        &self,
        request: &ChatRequest,
        prompt: &[u32],
        deadline: Option<Instant>,
    ) -> Result<Option<Chosen>> {
        let asked = |message: &&Message| message.role == Role::User;
        let Some(question) = request.messages.iter().rev().find(asked) else {
            return Ok(None);
        };
        let (before, names) = self.names(request)?;
        let weighed = self
            .weigh([prompt, &before].concat(), &names, deadline)
            .await?;
        let mut scores = weighed.scores;
        let neutral = NEUTRAL[usize::from(question.content.chars().any(is_han))];
        for nothing in neutral {
            let mut request = request.clone();
            let messages = request.messages.iter_mut().rev();
            if let Some(question) = messages.into_iter().find(|it| it.role == Role::User) {
                question.content = (*nothing).to_owned();
            }
            let prompt = [self.prompt(&request)?, before.clone()].concat();
            let base = self.neutral(prompt, &names, deadline).await?;
            for (score, base) in scores.iter_mut().zip(base) {
                *score -= base / neutral.len() as f64;
            }
        }
        let best = (0..scores.len())
            .rev()
            .max_by(|a, b| scores[*a].total_cmp(&scores[*b]));
        let tool = best.and_then(|best| request.tools.get(best));
        Ok(tool.map(|tool| Chosen {
            name: tool.name.clone(),
            cached: weighed.cached,
        }))
    }

    /// The scores of names after a prompt without a question.
    async fn neutral(
        &self,
        prompt: Vec<u32>,
        names: &[Vec<u32>],
        deadline: Option<Instant>,
    ) -> Result<Vec<f64>> {
        let weighing = Weighing {
            adapter: self.adapter.as_ref().map(|adapter| adapter.id()),
            prompt: prompt.clone(),
            names: names.to_vec(),
        };
        if let Some(scores) = self.remembered.get(&weighing) {
            return Ok(scores);
        }
        let scores = self.weigh(prompt, names, deadline).await?.scores;
        self.remembered.put(weighing, scores.clone());
        Ok(scores)
    }

    /// What calls of all tools begin with, and then each tool's name, up to the token that ends
    /// it: so no name is the beginning of another.
    fn names(&self, request: &ChatRequest) -> Result<(Vec<u32>, Vec<Vec<u32>>)> {
        let mut calls = Vec::with_capacity(request.tools.len());
        for tool in &request.tools {
            let (text, name) = self.template.dialect().opening(&tool.name);
            let mut ids = self.tokenizer.encode_except(&text, &[name.clone()])?;
            // Some vocabularies put a space before a text, none behind it.
            let mut behind = text.len().saturating_sub(name.end + 1);
            while let Some(last) = ids.last() {
                match behind.checked_sub(self.tokenizer.token_bytes(*last).len()) {
                    Some(rest) => behind = rest,
                    None => break,
                }
                ids.pop();
            }
            calls.push(ids);
        }
        let first = calls.first().cloned().unwrap_or_default();
        let common = |call: &Vec<u32>| call.iter().zip(&first).take_while(|(a, b)| a == b).count();
        let shared = calls.iter().map(common).min().unwrap_or(0);
        calls.iter_mut().for_each(|call| drop(call.drain(..shared)));
        Ok((first[..shared].to_vec(), calls))
    }
}
