//! Many tools narrowed to the likely few.

use std::collections::HashSet;
use std::sync::Arc;

use corbie_core::{BoxFuture, ChatRequest, EmbedKind, Embedder, Result, Role, ToolSpec};

use super::hook::Hook;
use super::state::RunState;
use super::{ASK_PERSON, HAND_OFF};
use crate::likeness::cosine;
use crate::text::{content_terms, term_set};

/// An embedder that reads less of a text than this says nothing of it.
const READABLE: f32 = 0.5;

/// Keeps the tools that a text is likely for: by the likeness of their vectors and by the words
/// they share, because many embedders read one language only.
///
/// Where neither tells anything (no shared word, and a text that the embedder cannot read) all
/// tools are kept.
#[derive(Clone)]
pub struct ToolRetrieval {
    /// What compares by meaning.
    pub embedder: Arc<dyn Embedder>,
    /// How many tools are kept.
    pub keep: usize,
}

impl ToolRetrieval {
    /// The likely tools for `text`, in the order in which they were given.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use corbie_agents::ToolRetrieval;
    /// use corbie_core::ToolSpec;
    /// use corbie_core::testing::HashEmbedder;
    /// use serde_json::json;
    ///
    /// # futures::executor::block_on(async {
    /// let tool = |name: &str, about: &str| ToolSpec {
    ///     name: name.into(),
    ///     description: about.into(),
    ///     parameters: json!({"type": "object"}),
    /// };
    /// let tools = vec![tool("get_weather", "天气 Weather of a city"), tool("play", "Plays music")];
    /// let retrieval = ToolRetrieval { embedder: Arc::new(HashEmbedder::new(64)), keep: 1 };
    /// let likely = retrieval.narrow("How is the weather in Oslo?", tools).await?;
    /// assert_eq!(likely[0].name, "get_weather");
    /// # Ok::<(), corbie_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Those of the embedder.
    pub async fn narrow(&self, text: &str, specs: Vec<ToolSpec>) -> Result<Vec<ToolSpec>> {
        self.narrow_keeping(text, specs, &[]).await
    }

    /// The same, with tools among them that were called already: a model that sees the results of
    /// a tool must see the tool. They count among those that are kept, and are all kept.
    ///
    /// # Errors
    ///
    /// Those of the embedder.
    pub async fn narrow_keeping(
        &self,
        text: &str,
        specs: Vec<ToolSpec>,
        called: &[String],
    ) -> Result<Vec<ToolSpec>> {
        if specs.len() <= self.keep {
            return Ok(specs);
        }
        let about = |spec: &ToolSpec| {
            let name = spec.name.replace(['_', '-', '.'], " ");
            format!("{name}: {}", spec.description)
        };
        let about: Vec<String> = specs.iter().map(about).collect();
        let mut scores: Vec<f32> = about.iter().map(|about| shared(text, about)).collect();
        let readable = self.embedder.tokens().coverage(text) >= READABLE;
        if readable {
            let question = [text.to_owned()];
            let question = self.embedder.embed(&question, EmbedKind::Query).await?;
            let tools = self.embedder.embed(&about, EmbedKind::Document).await?;
            let question = question.first().map_or(&[][..], Vec::as_slice);
            for (score, tool) in scores.iter_mut().zip(&tools) {
                *score += cosine(question, tool);
            }
        } else if scores.iter().all(|score| *score == 0.0) {
            return Ok(specs);
        }
        let was_called = |index: usize| called.contains(&specs[index].name);
        let mut order: Vec<usize> = (0..specs.len()).collect();
        // The sort is stable: of equals the first stays first.
        order.sort_by(|a, b| {
            let called = was_called(*b).cmp(&was_called(*a));
            called.then(scores[*b].total_cmp(&scores[*a]))
        });
        let all_called = (0..specs.len()).filter(|index| was_called(*index)).count();
        let kept: HashSet<usize> = order.into_iter().take(self.keep.max(all_called)).collect();
        let specs = specs.into_iter().enumerate();
        Ok(specs
            .filter(|(index, _)| kept.contains(index))
            .map(|(_, spec)| spec)
            .collect())
    }
}

/// The model sees the likely tools alone, chosen anew when a person says something more; what was
/// called in the run, and what reaches people and other agents, stays.
impl Hook for ToolRetrieval {
    fn before_model<'a>(
        &'a self,
        _: &'a RunState,
        mut request: ChatRequest,
    ) -> BoxFuture<'a, Result<ChatRequest>> {
        Box::pin(async move {
            let said = request.messages.iter().rev();
            let said = said.filter(|message| message.role == Role::User);
            let text = said.map(|message| message.content.as_str()).next();
            let text = text.unwrap_or_default().to_owned();
            let calls = request.messages.iter().flat_map(|it| &it.tool_calls);
            let mut kept: Vec<String> = calls.map(|call| call.name.clone()).collect();
            kept.extend([ASK_PERSON.to_owned(), HAND_OFF.to_owned()]);
            let all = std::mem::take(&mut request.tools);
            request.tools = self.narrow_keeping(&text, all, &kept).await?;
            Ok(request)
        })
    }
}

impl std::fmt::Debug for ToolRetrieval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolRetrieval")
            .field("embedder", self.embedder.info())
            .field("keep", &self.keep)
            .finish()
    }
}

/// The share of a text's words that stand in a tool's description.
fn shared(text: &str, about: &str) -> f32 {
    let words: HashSet<String> = content_terms(text).into_iter().collect();
    if words.is_empty() {
        return 0.0;
    }
    let known = term_set(about);
    words.intersection(&known).count() as f32 / words.len() as f32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use corbie_core::testing::HashEmbedder;
    use serde_json::json;

    fn tools() -> Vec<ToolSpec> {
        let about = [
            ("get_weather", "Current weather of a city 城市天气"),
            ("play_music", "Plays songs of an artist 播放音乐"),
            ("send_email", "Writes an email 发送邮件"),
            ("set_timer", "Starts a countdown 倒计时"),
        ];
        let tool = |(name, about): (&str, &str)| ToolSpec {
            name: name.into(),
            description: about.into(),
            parameters: json!({"type": "object"}),
        };
        about.into_iter().map(tool).collect()
    }

    #[test]
    fn the_likely_are_kept_in_order() {
        let retrieval = ToolRetrieval {
            embedder: Arc::new(HashEmbedder::new(256)),
            keep: 2,
        };
        let cases: [(&str, &[&str], &[&str]); 4] = [
            ("weather in this city, please", &[], &["get_weather"]),
            ("播放音乐", &[], &["play_music"]),
            ("weather", &["set_timer"], &["get_weather", "set_timer"]),
            (
                "weather",
                &["set_timer", "send_email", "play_music"],
                &["play_music", "send_email", "set_timer"],
            ),
        ];
        for (text, called, expected) in cases {
            let called: Vec<String> = called.iter().map(|it| (*it).to_owned()).collect();
            let narrowed = retrieval.narrow_keeping(text, tools(), &called);
            let narrowed = futures::executor::block_on(narrowed).unwrap();
            assert_eq!(narrowed.len(), called.len().max(2), "{text}");
            for name in expected {
                assert!(narrowed.iter().any(|it| it.name == *name), "{text}: {name}");
            }
            let place = |spec: &ToolSpec| tools().iter().position(|it| it.name == spec.name);
            assert!(narrowed.iter().map(place).is_sorted(), "{text}");
        }
        let few = tools().drain(..2).collect::<Vec<_>>();
        let kept = futures::executor::block_on(retrieval.narrow("x", few.clone())).unwrap();
        assert_eq!(kept, few);
    }
}
