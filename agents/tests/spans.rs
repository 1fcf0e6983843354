//! What a trace of a run holds, by OpenTelemetry's conventions for generative AI, and what not. In a
//! process of its own: which spans are wanted is known to a whole process.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "suite/kit.rs"]
mod documents;
#[path = "agent/kit.rs"]
mod kit;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use corbie_agents::{Agent, Answerer, Delegate, Tools, Verdict};
use corbie_core::testing::ScriptedChatModel;
use corbie_core::{Document, Message, Tool};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Subscriber, instrument::WithSubscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use crate::kit::{Ledger, agent, calls};

type Fields = BTreeMap<&'static str, String>;
/// A span's id, the name of its parent, its fields.
type Entry = (u64, Option<String>, Fields);

/// Keeps every span with its parent's name and its fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Entry>>>);

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Reader(&mut fields));
        let parent = context.span(id).and_then(|span| span.parent());
        let mut all = self.0.lock().unwrap();
        let parent = parent.and_then(|parent| {
            let found = all
                .iter()
                .rev()
                .find(|(id, ..)| *id == parent.id().into_u64());
            found.map(|(.., fields)| fields["otel.name"].clone())
        });
        all.push((id.into_u64(), parent, fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut all = self.0.lock().unwrap();
        let found = all
            .iter_mut()
            .rev()
            .find(|(known, ..)| *known == id.into_u64());
        values.record(&mut Reader(&mut found.unwrap().2));
    }
}

#[tokio::test]
async fn a_run_is_a_tree_of_spans_without_its_texts() {
    let spans = Spans::default();
    let (mut below, _) = agent(
        vec![
            calls(&[("weather", json!({"city": "北京"}))]),
            calls(&[("fail", json!({}))]),
            Message::assistant("CANARY answer"),
        ],
        &Ledger::default(),
    );
    below.name = "meteorologist".into();
    let helper: Arc<dyn Tool> = Arc::new(Delegate::new("helper", "Helps.", below));
    let model = ScriptedChatModel::new([
        calls(&[("helper", json!({"task": "CANARY task"}))]),
        Message::assistant("CANARY"),
    ]);
    let mut above = Agent::new(Arc::new(model));
    above.tools = Tools::new([helper]).unwrap();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    above
        .run("CANARY goal")
        .with_subscriber(subscriber)
        .await
        .unwrap();
    let spans = spans.0.lock().unwrap();
    let tree: Vec<(&str, &str)> = spans
        .iter()
        .map(|(_, parent, fields)| {
            (
                parent.as_deref().unwrap_or_default(),
                fields["otel.name"].as_str(),
            )
        })
        .collect();
    let wanted = [
        ("", "invoke_agent agent"),
        ("invoke_agent agent", "chat scripted"),
        ("invoke_agent agent", "execute_tool helper"),
        ("execute_tool helper", "invoke_agent meteorologist"),
        ("invoke_agent meteorologist", "chat scripted"),
        ("invoke_agent meteorologist", "execute_tool weather"),
        ("invoke_agent meteorologist", "chat scripted"),
        ("invoke_agent meteorologist", "execute_tool fail"),
        ("invoke_agent meteorologist", "chat scripted"),
        ("invoke_agent agent", "chat scripted"),
    ];
    assert_eq!(tree, wanted);
    let fields = |name: &str| {
        let found = spans
            .iter()
            .find(|(.., fields)| fields["otel.name"] == name);
        &found.unwrap().2
    };
    let chat = fields("chat scripted");
    assert_eq!(chat["gen_ai.operation.name"], "chat");
    assert_eq!(chat["gen_ai.request.model"], "scripted");
    assert!(chat.contains_key("gen_ai.usage.input_tokens"));
    assert!(chat.contains_key("gen_ai.response.finish_reasons"));
    let run = fields("invoke_agent agent");
    assert_eq!(run["gen_ai.agent.name"], "agent");
    assert!(run.contains_key("gen_ai.usage.output_tokens"));
    let tool = fields("execute_tool weather");
    assert_eq!(
        (
            tool["gen_ai.tool.name"].as_str(),
            tool.contains_key("error.type")
        ),
        ("weather", false)
    );
    assert_eq!(fields("execute_tool fail")["error.type"], "tool_error");
    for (.., fields) in spans.iter() {
        for (name, value) in fields {
            assert!(
                !value.contains("CANARY") && !value.contains("北京"),
                "{name}: {value}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_shows_what_was_retrieved_embedded_and_asked() {
    let spans = Spans::default();
    let ravens = Document::new(
        "ravens.md",
        "Ravens hide CANARY acorns under moss in October.",
    );
    let retriever = documents::collection(&[ravens], 0).await;
    let model = documents::model(&["Under moss in October [1]."]);
    let answerer = Answerer::new(model, Arc::new(retriever));
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let answer = async {
        let question = "Where do ravens hide CANARY acorns?";
        answerer.answer(question).await.unwrap()
    };
    let answer = answer.with_subscriber(subscriber).await;
    assert_eq!(answer.verdict, Verdict::Answered);
    let spans = spans.0.lock().unwrap();
    let tree: Vec<(Option<&str>, &str)> = spans
        .iter()
        .map(|(_, parent, fields)| (parent.as_deref(), fields["otel.name"].as_str()))
        .collect();
    assert_eq!(
        tree,
        [
            (None, "retrieval"),
            (Some("retrieval"), "embeddings hash"),
            (None, "chat scripted"),
        ]
    );
    let [(.., retrieval), (.., embeddings), (.., chat)] = &spans[..] else {
        panic!("three spans");
    };
    assert_eq!(retrieval["corbie.retrieval.mode"], "hybrid");
    assert_eq!(retrieval["corbie.retrieval.hits"], "1");
    assert_eq!(embeddings["gen_ai.embeddings.dimension.count"], "256");
    assert!(chat.contains_key("gen_ai.usage.output_tokens"), "{chat:?}");
    let texts = spans.iter().flat_map(|(.., fields)| fields.values());
    assert!(!texts.into_iter().any(|text| text.contains("CANARY")));
}
