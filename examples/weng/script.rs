//! What is to be done, and what scripted models say on the way.

use std::sync::Arc;

use corbie::core::testing::{ScriptedChatModel, call, says};
use corbie::core::{ChatRequest, Role};
use corbie::prelude::*;
use serde_json::json;

/// The models of the three who work together.
pub struct Cast {
    pub planner: Arc<dyn ChatModel>,
    pub agent: Arc<dyn ChatModel>,
    pub librarian: Arc<dyn ChatModel>,
}

impl Cast {
    pub fn all(model: Arc<dyn ChatModel>) -> Self {
        Self {
            planner: model.clone(),
            agent: model.clone(),
            librarian: model,
        }
    }
}

/// What is to be done, in one language, and what scripted models say on the way.
#[derive(Clone, Copy)]
pub struct Script {
    pub scope: &'static str,
    pub goal: &'static str,
    /// The goal of a process that finds something in its memory.
    pub goal_again: &'static str,
    pub agent: &'static str,
    pub librarian: &'static str,
    plans: [&'static str; 3],
    question: &'static str,
    query: &'static str,
    found: &'static str,
    fact: &'static str,
    noted: &'static str,
}

pub const ENGLISH: Script = Script {
    scope: "island:skerrow",
    goal: "Find out how many storm petrel sites were occupied on Skerrow in 2020, and remember it.",
    goal_again: "How many storm petrel sites were occupied on Skerrow in 2020? It is in the memory.",
    agent: "Do the task with the tools. Then say its result in one sentence.",
    librarian: "Find the answer with the tool `search` and say it in one sentence, with its source.",
    plans: [
        r#"{"steps": ["Ask the harbour office by telephone", "Remember the number"]}"#,
        r#"{"steps": ["Have the librarian look the number up", "Remember the number"]}"#,
        r#"{"steps": ["Recall what is known of storm petrels"]}"#,
    ],
    question: "How many storm petrel sites were occupied on Skerrow in 2020?",
    query: "storm petrel colony occupied sites 2020",
    found: "In 2020 there were 1,340 occupied sites (storm-petrels.html).",
    fact: "In 2020 there were 1,340 occupied storm petrel sites on Skerrow.",
    noted: "The number of occupied sites, 1,340 in 2020, is remembered.",
};

pub const CHINESE: Script = Script {
    scope: "岛:斯凯罗",
    goal: "查清斯凯罗岛2023年数到多少个海鹦洞，并记住。",
    goal_again: "斯凯罗岛2023年数到多少个海鹦洞？记忆里有。",
    agent: "用工具完成任务，然后用一句话说出结果。",
    librarian: "用工具 search 查找答案，用一句话说出答案和出处。",
    plans: [
        r#"{"steps": ["打电话问港务处", "记住这个数目"]}"#,
        r#"{"steps": ["让图书管理员在手册里查这个数目", "记住这个数目"]}"#,
        r#"{"steps": ["回忆关于海鹦洞的事实"]}"#,
    ],
    question: "斯凯罗岛2023年数到多少个海鹦洞？",
    query: "2023年 海鹦洞 数量",
    found: "2023年全岛数到五千二百个海鹦洞（观鸟指南.html）。",
    fact: "斯凯罗岛2023年数到五千二百个海鹦洞。",
    noted: "海鹦洞的数目五千二百个已经记住。",
};

impl Script {
    /// The models of a process that knows nothing yet, or of one that has something to recall.
    pub fn cast(self, is_first: bool) -> Cast {
        let cast = match is_first {
            true => self.learning(),
            false => self.recalling(),
        };
        let [planner, agent, librarian] = cast.map(|it| Arc::new(it) as Arc<dyn ChatModel>);
        Cast {
            planner,
            agent,
            librarian,
        }
    }

    fn learning(self) -> [ScriptedChatModel; 3] {
        let ring = || call("telephone", json!({"question": self.question}));
        [
            ScriptedChatModel::new([self.plans[0], self.plans[1], self.fact]),
            ScriptedChatModel::new([
                ring(),
                ring(),
                ring(),
                call("librarian", json!({"task": self.question})),
                says(self.found),
                call("remember", json!({"text": self.fact})),
                says(self.noted),
            ]),
            ScriptedChatModel::new([
                call("search", json!({"query": self.query})),
                says(self.found),
            ]),
        ]
    }

    /// What these say comes from the memory alone: they repeat what they read.
    fn recalling(self) -> [ScriptedChatModel; 3] {
        [
            ScriptedChatModel::answering(move |before, request| match before {
                0 => says(self.plans[2]),
                _ => says(last_line(request)),
            }),
            ScriptedChatModel::answering(move |before, request| match before {
                0 => call("recall", json!({"query": self.question})),
                _ => says(recalled(request)),
            }),
            ScriptedChatModel::new([""; 0]),
        ]
    }
}

/// The first note that the last result holds.
fn recalled(request: &ChatRequest) -> String {
    let mut results = request.messages.iter().filter(|it| it.role == Role::Tool);
    let last = results.next_back().map_or("", |it| it.content.as_str());
    let notes: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    notes[0]["text"].as_str().unwrap_or(last).to_owned()
}

/// The result in the last line of what is asked.
fn last_line(request: &ChatRequest) -> String {
    let asked = request.messages.last().map_or("", |it| it.content.as_str());
    let line = asked.trim_end().lines().last().unwrap_or_default();
    let result = line.split_once([':', '：']);
    result.map_or(line, |(_, result)| result.trim()).to_owned()
}
