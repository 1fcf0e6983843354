//! Asking the model.

use corbie_core::{
    ChatEvent, ChatRequest, Error, ErrorKind, FinishReason, Message, Result, ToolSpec, Usage,
};
use futures::StreamExt;
use serde_json::json;
use tracing::Instrument;

use super::event::RunEvent;
use super::runner::Live;
use super::{ASK_PERSON, Agent, AgentEvent, MAX_CALLS, summary, window};
use crate::spans;

/// Tokens that are kept free for an answer where none are asked for.
const ROOM: usize = 512;

impl Agent {
    /// What the model may call, as it is told.
    fn specs(&self, run: &Live<'_>) -> Vec<ToolSpec> {
        let mut specs: Vec<ToolSpec> = self.tools.specs().cloned().collect();
        if self.options.ask_person {
            specs.push(ToolSpec {
                name: ASK_PERSON.into(),
                description: "Asks the person a question that no tool can answer.".into(),
                parameters: json!({
                    "type": "object",
                    "properties": {"question": {"type": "string"}},
                    "required": ["question"],
                    "additionalProperties": false,
                }),
            });
        }
        specs.extend(run.root.hand_off_spec(&run.state));
        specs
    }

    /// Asks the model and writes down what it answers.
    pub(super) async fn ask(&self, run: &mut Live<'_>) -> Result<()> {
        let mut request = self.request(run);
        if self.options.summarise
            && let Some(event) =
                summary::due(self.model.as_ref(), &run.state, &request, self.room()).await
        {
            run.record(event).await?;
            request = self.request(run);
        }
        match self.reply(run, request).await {
            Ok(event) => run.record(event).await,
            Err(error) => self.fail(run, &error).await,
        }
    }

    fn room(&self) -> usize {
        self.options.max_tokens.unwrap_or(ROOM)
    }

    fn request(&self, run: &Live<'_>) -> ChatRequest {
        let options = &self.options;
        let system = Some(Message::system(options.instructions.as_str()));
        let system = system.filter(|message| !message.content.is_empty());
        ChatRequest {
            tools: self.specs(run),
            tool_choice: options.tool_choice.clone(),
            parallel_tool_calls: options.parallel,
            response_format: options.response_format.clone(),
            sampling: options.sampling,
            max_tokens: options.max_tokens,
            timeout: self.left(run),
            ..ChatRequest::new(system.into_iter().chain(run.state.prompt()))
        }
    }

    /// The model's answer.
    async fn reply(&self, run: &Live<'_>, mut request: ChatRequest) -> Result<RunEvent> {
        for hook in &self.hooks {
            request = hook.before_model(&run.state, request).await?;
        }
        window::fit(self.model.as_ref(), &mut request, self.room())?;
        let span = spans::chat(self.model.as_ref(), &request);
        let answered = self.read(run, request).instrument(span.clone()).await;
        let (mut message, dropped, finish, usage) =
            answered.inspect_err(|error| spans::failed(&span, error))?;
        spans::answered(&span, finish, usage);
        for hook in &self.hooks {
            message = hook.after_model(&run.state, message).await?;
        }
        Ok(RunEvent::Replied {
            message,
            finish,
            usage,
            dropped,
        })
    }

    /// Reads the model's stream: its answer, how many calls were too many, how it ended.
    async fn read(
        &self,
        run: &Live<'_>,
        request: ChatRequest,
    ) -> Result<(Message, usize, FinishReason, Usage)> {
        let mut stream = self.model.stream(request).await?;
        let mut message = Message::assistant("");
        let mut dropped = 0;
        while let Some(event) = stream.next().await {
            match event? {
                ChatEvent::Text(text) => {
                    message.content.push_str(&text);
                    (run.watch)(AgentEvent::Text(text));
                }
                ChatEvent::Reasoning(text) => {
                    message.reasoning.get_or_insert_default().push_str(&text);
                    (run.watch)(AgentEvent::Reasoning(text));
                }
                // What a model floods with is worth neither the memory nor the journal.
                ChatEvent::ToolCall(_) if message.tool_calls.len() >= MAX_CALLS => dropped += 1,
                ChatEvent::ToolCall(call) => {
                    (run.watch)(AgentEvent::Call(call.clone()));
                    message.tool_calls.push(call);
                }
                ChatEvent::Finish { reason, usage } => {
                    return Ok((message, dropped, reason, usage));
                }
            }
        }
        Err(Error::new(
            ErrorKind::Malformed,
            "chat stream",
            "it ended without a finish event",
        ))
    }
}
