//! Which tool a question is for, by how likely each tool makes the question.
//!
//! A small model cannot be asked for the name of a tool: what it finds likely is a matter of the
//! name more than of the question. Turned round, it can tell: the same question is weighed after
//! the description of each tool and questions that are asked of it, after such that need no tool,
//! and after nothing. All scores are of one text, so nothing needs to be taken off. After Min et
//! al., Noisy Channel Language Model Prompting for Few-Shot Text Classification (2022).

use std::time::Instant;

use corbie_core::{ChatRequest, Message, Result, ToolCall, ToolChoice, ToolSpec};
use futures::future::try_join_all;
use serde_json::Value;

use super::LocalChatModel;
use super::demonstrations::{self, Demonstrate};
use super::tool_choice::{Choice, question};
use crate::dialect::is_han;
use crate::tokenizer::EncodeOptions;

/// So many questions are shown of each tool.
const SHOWN: usize = 4;

/// A tool of whose use nothing is shown is called if it makes the question likelier by so much
/// than nothing does, in natural logarithms: any description makes any question a little likelier.
/// Of the 352 single calls and irrelevant questions of BFCL's development cases this tells 85 % of
/// both kinds with SmolLM2-135M and 83 % with Gemma 3 270M (`examples/decide.rs`), as well as any
/// value does for both. Less for long questions, or by the share of what is explained, tells worse.
const MARGIN: f64 = 12.0;

/// So many characters of a question are weighed: what it is for is said before.
const WEIGHED: usize = 600;

impl LocalChatModel {
    /// The tool that the last question is for, and the prompt to write its arguments after.
    pub(super) async fn choose_by_question(
        &self,
        request: &ChatRequest,
        prompt: &[u32],
        decides: bool,
        deadline: Option<Instant>,
    ) -> Result<Choice> {
        let Some(at) = question(request) else {
            return Ok(Choice::default());
        };
        let asked = request.messages[at].content.trim();
        let asked: String = asked.chars().take(WEIGHED).collect();
        if asked.is_empty() {
            return Ok(Choice::default());
        }
        // The conversation is read as well: the next step goes on from it. It is read first, so that
        // what was known of it before is not mixed with what is read for the choice.
        let last = prompt.last().copied().into_iter().collect();
        let read = self.weigh(prompt.to_vec(), &[last], deadline).await?;
        let Some(tool) = self.tool_for(request, &asked, decides, deadline).await? else {
            let request = ChatRequest {
                tool_choice: ToolChoice::None,
                ..request.clone()
            };
            return Ok(Choice {
                prompt: Some(self.prompt(&request)?),
                tool_choice: Some(request.tool_choice),
                cached: Some(read.cached),
            });
        };
        Ok(Choice {
            prompt: Some(self.prompt_for(request, tool, &asked, at)?),
            tool_choice: Some(ToolChoice::Named(tool.name.clone())),
            cached: Some(read.cached),
        })
    }

    /// The likeliest tool; where the model decides, `None` if no tool is likelier.
    async fn tool_for<'a>(
        &self,
        request: &'a ChatRequest,
        asked: &str,
        decides: bool,
        deadline: Option<Instant>,
    ) -> Result<Option<&'a ToolSpec>> {
        if request.tools.len() < 2 && !decides {
            return Ok(request.tools.first());
        }
        let chinese = asked.chars().any(is_han);
        let fitting = self.demonstrate == Demonstrate::Fitting;
        let mut contexts: Vec<String> = request
            .tools
            .iter()
            .map(|tool| about(tool, fitting, chinese))
            .collect();
        if decides {
            contexts.push(context("", &[], chinese));
            let nothing = match chinese {
                true => "闲聊：闲谈和常识。\n",
                false => "talk: Small talk and general knowledge.\n",
            };
            let shown = demonstrations::without_tool(chinese).iter();
            let shown: Vec<&str> = shown.map(String::as_str).collect();
            if fitting {
                contexts.push(context(nothing, &shown, chinese));
            }
        }
        let scores = contexts.iter().map(|context| async move {
            let (prompt, question) = self.parted(context, asked, chinese)?;
            let weighed = self.weigh(prompt, &[question], deadline).await?;
            Ok(weighed.scores.first().copied().unwrap_or_default())
        });
        let scores = try_join_all(scores).await?;
        let (tools, others) = scores.split_at(request.tools.len());
        let mut best = 0;
        for index in 1..tools.len() {
            if tools[index] > tools[best] {
                best = index;
            }
        }
        let Some(tool) = request.tools.get(best) else {
            return Ok(None);
        };
        // What is shown of its use is weighed against questions of which as much is shown.
        let shown = fitting && !demonstrations::of(tool, chinese).is_empty();
        let margin = if shown { f64::NEG_INFINITY } else { MARGIN };
        let margins = [margin, 0.0];
        let needed = others
            .iter()
            .zip(margins)
            .map(|(score, margin)| score + margin);
        let needed = needed.fold(f64::NEG_INFINITY, f64::max);
        Ok((tools[best] > needed).then_some(tool))
    }

    /// The tokens of a context and of the question that follows it, as they are together.
    fn parted(&self, context: &str, asked: &str, chinese: bool) -> Result<(Vec<u32>, Vec<u32>)> {
        let options = EncodeOptions {
            add_special: true,
            parse_special: false,
        };
        let space = if chinese { "" } else { " " };
        let before = self.tokenizer.encode(context, options)?;
        let whole = format!("{context}{space}{asked}\n");
        let whole = self.tokenizer.encode(&whole, options)?;
        let shared = before.iter().zip(&whole);
        let shared = shared.take_while(|(a, b)| a == b).count().max(1);
        let (prompt, question) = whole.split_at(shared.min(whole.len()));
        Ok((prompt.to_vec(), question.to_vec()))
    }

    /// The conversation with this tool alone, and calls of it that answer questions like the last.
    fn prompt_for(
        &self,
        request: &ChatRequest,
        tool: &ToolSpec,
        asked: &str,
        at: usize,
    ) -> Result<Vec<u32>> {
        let mut request = ChatRequest {
            tools: vec![tool.clone()],
            tool_choice: ToolChoice::Named(tool.name.clone()),
            ..request.clone()
        };
        if self.demonstrate == Demonstrate::Fitting {
            let shown = demonstrations::like(tool, asked).into_iter();
            let turns = shown.flat_map(|shown| {
                let mut answer = Message::assistant("");
                answer.tool_calls.push(ToolCall {
                    id: "call_0".to_owned(),
                    name: tool.name.clone(),
                    arguments: Value::Object(shown.arguments),
                });
                [
                    Message::user(demonstrations::annotated(tool, &shown.ask)),
                    answer,
                ]
            });
            let turns: Vec<Message> = turns.collect();
            let question = &mut request.messages[at].content;
            *question = demonstrations::annotated(tool, question);
            request.messages.splice(at..at, turns);
        }
        self.prompt(&request)
    }
}

/// What is said of a tool before the questions that are asked of it.
fn about(tool: &ToolSpec, fitting: bool, chinese: bool) -> String {
    let spaced = |name: &str| name.replace(['_', '-', '.'], " ");
    let properties = tool.parameters["properties"].as_object();
    let arguments: Vec<String> = properties
        .into_iter()
        .flatten()
        .map(|(key, _)| spaced(key))
        .collect();
    let head = format!(
        "{}: {} ({})\n",
        spaced(&tool.name),
        tool.description,
        arguments.join(", ")
    );
    let shown = match fitting {
        true => demonstrations::of(tool, chinese),
        false => Vec::new(),
    };
    let shown: Vec<&str> = shown.iter().map(|it| it.ask.as_str()).take(SHOWN).collect();
    context(&head, &shown, chinese)
}

/// A head, questions, and what stands before the next one.
fn context(head: &str, questions: &[&str], chinese: bool) -> String {
    let (label, space) = match chinese {
        true => ("问题：", ""),
        false => ("Question:", " "),
    };
    let mut text = head.to_owned();
    for question in questions {
        text.push_str(&format!("{label}{space}{question}\n"));
    }
    text.push_str(label);
    text
}
