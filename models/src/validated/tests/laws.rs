//! The laws of chat models, kept over a model that is careless at first.

use corbie_core::ToolChoice;
use corbie_core::testing::conformance::{self, Finding};
use futures::executor::block_on;

use super::*;

/// A model that can be held to nothing, listens to words alone, and is wrong until it is told so.
struct Careless {
    info: ChatModelInfo,
    counter: WordCounter,
}

impl ChatModel for Careless {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        Some(&self.counter)
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        let count = |message: &Message| self.counter.count(&message.content);
        Ok(request.messages.iter().map(count).sum())
    }

    fn stream(&self, request: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            request.sampling.validate()?;
            if request.response_format != corbie_core::ResponseFormat::Text {
                let cause = "it holds to no form";
                return Err(Error::new(ErrorKind::Unsupported, "careless", cause));
            }
            let (tokens, limit) = (self.prompt_tokens(&request)?, self.info.context_length);
            if tokens > limit {
                let kind = ErrorKind::ContextTooLong { tokens, limit };
                return Err(Error::new(kind, "careless", "the prompt is too long"));
            }
            let said = |word: &str| request.messages.iter().any(|it| it.content.contains(word));
            let told = said("not accepted");
            let right = |right: &'static str| if told { right } else { "Well." };
            let mut answer = Message::assistant(match () {
                _ if said("JSON Schema") => {
                    right("Here: ```json\n{\"bird\": \"乌鸦\", \"wings\": 2}\n```")
                }
                _ if said("one of these texts") => right("“在苔藓下”。"),
                _ if said("regular expression") => right("123-乌鸦"),
                _ if said("copied character") => right("苔藓下面"),
                _ => "In the woods. 树林里。",
            });
            if let Some(stop) = request.stop.first() {
                let before = answer.content.split(stop.as_str()).next();
                answer.content = before.unwrap_or_default().to_owned();
            }
            let arguments = match told {
                true => json!({"place": "拉萨"}),
                false => json!({"place": ["拉萨"]}),
            };
            match request.tool_choice {
                ToolChoice::Required | ToolChoice::Named(_) => {
                    answer.tool_calls.push(call("c1", "birds", arguments));
                }
                ToolChoice::None if !request.tools.is_empty() && !told => {
                    answer.tool_calls.push(call("c1", "birds", arguments));
                }
                _ => {}
            }
            let mut events = vec![Ok(ChatEvent::Text(answer.content))];
            let reason = match answer.tool_calls.is_empty() {
                true => FinishReason::Stop,
                false => FinishReason::ToolCalls,
            };
            let calls = answer.tool_calls.into_iter().map(ChatEvent::ToolCall);
            events.extend(calls.map(Ok));
            let usage = Usage {
                prompt_tokens: tokens,
                cached_tokens: 0,
                completion_tokens: 5,
            };
            events.push(Ok(ChatEvent::Finish { reason, usage }));
            Ok(futures::stream::iter(events).boxed())
        })
    }
}

#[test]
fn every_behaviour_is_kept() {
    let careless = Arc::new(Careless {
        info: ChatModelInfo {
            model: "careless".into(),
            context_length: 1024,
        },
        counter: WordCounter { limit: 1024 },
    });
    let alone = block_on(conformance::chat_model_behaviours(careless.as_ref()));
    assert!(alone.iter().any(|it| it.finding != Finding::Kept));
    let model = Validated::new(careless, ValidatedOptions::default());
    for behaviour in block_on(conformance::chat_model_behaviours(&model)) {
        assert_eq!(behaviour.finding, Finding::Kept, "{behaviour}");
    }
}
