//! What a model is asked about a queue: whether the goal is reached, what else is to be done, and in
//! which order.

use corbie_core::{Message, Result};
use serde::Deserialize;
use serde_json::json;

use super::super::ask::{Halt, Question};
use super::super::honest::done;
use super::super::log::Log;
use super::super::steps::results;
use super::super::words::Words;
use super::{Live, TaskList, TaskQueue};

/// The most new tasks of one answer.
const CREATED: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reached {
    reached: bool,
    answer: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Created {
    tasks: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    order: Vec<usize>,
}

impl TaskQueue {
    /// The answer, if the goal is reached.
    pub(super) async fn is_reached(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        round: usize,
        words: &Words,
    ) -> Result<Option<String>, Halt> {
        if let Some(check) = &self.reached {
            return Ok(check(&live.steps));
        }
        if done(&live.steps).next().is_none() {
            return Ok(None);
        }
        let steps = live.steps.clone();
        let prompt = |bytes: usize| {
            let text = format!("{}{goal}\n{}", words.goal, results(words, &steps, bytes));
            vec![Message::system(words.reached), Message::user(text)]
        };
        let schema = json!({
            "type": "object",
            "properties": {
                "reached": {"type": "boolean"},
                "answer": {"type": "string", "maxLength": 2000},
            },
            "required": ["reached", "answer"],
            "additionalProperties": false,
        });
        let check = |found: &Reached| match found.reached && found.answer.trim().is_empty() {
            true => Err("The goal is reached, so say the answer.".to_owned()),
            false => Ok(()),
        };
        let name = format!("reached.{round}");
        let question = self.question(&name, &prompt);
        let found = log.ask_value(question, schema, &check, &mut live.spent);
        let found: Reached = found.await?;
        Ok(found.reached.then_some(found.answer))
    }

    /// New tasks.
    pub(super) async fn create(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        round: usize,
        words: &Words,
    ) -> Result<Vec<String>, Halt> {
        let steps = live.steps.clone();
        let queued = queued(&live.list);
        let prompt = |bytes: usize| {
            let text = format!(
                "{}{goal}\n{}{}",
                words.goal,
                results(words, &steps, bytes),
                words.list(words.tasks, &queued)
            );
            vec![Message::system(words.create), Message::user(text)]
        };
        let schema = json!({
            "type": "object",
            "properties": {"tasks": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 200},
                "maxItems": CREATED,
            }},
            "required": ["tasks"],
            "additionalProperties": false,
        });
        let name = format!("create.{round}");
        let question = self.question(&name, &prompt);
        let found = log.ask_value(question, schema, &|_: &Created| Ok(()), &mut live.spent);
        let mut created: Created = found.await?;
        created.tasks.retain(|text| !text.trim().is_empty());
        Ok(created.tasks)
    }

    /// Puts the queue in order.
    pub(super) async fn prioritise(
        &self,
        log: &Log,
        goal: &str,
        live: &mut Live,
        round: usize,
        words: &Words,
    ) -> Result<(), Halt> {
        let queued = queued(&live.list);
        let prompt = |_: usize| {
            let text = format!("{}{goal}\n{}", words.goal, words.list(words.tasks, &queued));
            vec![Message::system(words.prioritise), Message::user(text)]
        };
        let count = queued.len();
        let schema = json!({
            "type": "object",
            "properties": {"order": {
                "type": "array",
                "items": {"type": "integer", "enum": live.list.queue()},
                "minItems": count,
                "maxItems": count,
            }},
            "required": ["order"],
            "additionalProperties": false,
        });
        let name = format!("order.{round}");
        let question = self.question(&name, &prompt);
        let found = log.ask_value(question, schema, &|_: &Order| Ok(()), &mut live.spent);
        let found: Order = found.await?;
        live.list.prioritise(&found.order);
        Ok(())
    }

    fn question<'a>(
        &'a self,
        name: &'a str,
        prompt: &'a (dyn Fn(usize) -> Vec<Message> + Send + Sync),
    ) -> Question<'a> {
        Question {
            model: self.model.as_ref(),
            name,
            prompt,
            options: &self.options,
        }
    }
}

/// The tasks that wait, with their numbers.
fn queued(list: &TaskList) -> Vec<String> {
    let queue = list.queue().iter();
    queue
        .map(|number| format!("{number}: {}", list.tasks()[*number].text))
        .collect()
}
