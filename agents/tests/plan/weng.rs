//! All the parts of an agent in one trace: a plan, another one after a failure, an agent with a
//! context of its own, a fact that is remembered, and its recall in the next process. Each is
//! looked for in the journal, whatever the script says.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use corbie_agents::plan::{PlanRun, Planner};
use corbie_agents::{
    Action, Agent, Delegate, Memory, MemoryOptions, MemoryTools, Record, Rule, RunEvent, RunState,
    SqliteJournal, ToolResult, Tools, history,
};
use corbie_core::testing::{ScriptedChatModel, ScriptedTool, call, says};
use corbie_core::{ChatRequest, Effects, Journal, JournalEntry, Message, Role, Tool, ToolCall};
use serde_json::{Value, json};

const SCOPE: &str = "island:skerrow";

struct Case {
    goal: &'static str,
    plans: [&'static str; 2],
    question: &'static str,
    passage: &'static str,
    found: &'static str,
    fact: &'static str,
    /// What only who read the passage, or remembers it, can know.
    number: &'static str,
    later: &'static str,
    plan_later: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        goal: "Find out how many petrel sites were occupied on Skerrow in 2020, and remember it.",
        plans: [
            r#"{"steps": ["Ask the harbour office by telephone", "Remember the number"]}"#,
            r#"{"steps": ["Have the librarian look it up", "Remember the number"]}"#,
        ],
        question: "How many petrel sites were occupied?",
        passage: "The colony is measured every fifth year. In 2020 there were 1,340 occupied sites.",
        found: "There were 1,340 occupied sites.",
        fact: "In 2020 there were 1,340 occupied petrel sites on Skerrow.",
        number: "1,340",
        later: "How many petrel sites were occupied on Skerrow?",
        plan_later: r#"{"steps": ["Recall what is known of petrel sites"]}"#,
    },
    Case {
        goal: "查清斯凯罗岛2023年数到多少个海鹦洞，并记住。",
        plans: [
            r#"{"steps": ["打电话问港务处", "记住这个数目"]}"#,
            r#"{"steps": ["让图书管理员查这个数目", "记住这个数目"]}"#,
        ],
        question: "数到多少个海鹦洞？",
        passage: "全岛的海鹦洞在2023年数到五千二百个，比十年前少了大约三成。",
        found: "数到五千二百个海鹦洞。",
        fact: "斯凯罗岛2023年数到五千二百个海鹦洞。",
        number: "五千二百",
        later: "斯凯罗岛上数到多少个海鹦洞？",
        plan_later: r#"{"steps": ["回忆关于海鹦洞的事实"]}"#,
    },
];

/// One process: it opens the files of the folder, and has these models.
struct Process {
    planner: ScriptedChatModel,
    agent: ScriptedChatModel,
    librarian: ScriptedChatModel,
}

impl Process {
    async fn run(self, folder: &Path, id: &str, goal: &str, passage: &'static str) -> PlanRun {
        let telephone = ScriptedTool::new("telephone").answering(|_| {
            let cause = "nobody answers, 没人接";
            Err(corbie_core::Error::new(
                corbie_core::ErrorKind::Unavailable,
                "telephone",
                cause,
            ))
        });
        let search = ScriptedTool::new("search").answering(move |_| Ok(json!(passage)));
        let search: Arc<dyn Tool> = Arc::new(search.with_effects(Effects {
            trusted: false,
            ..Effects::READ
        }));
        let librarian = Agent {
            tools: Tools::new([search]).unwrap(),
            ..Agent::new(Arc::new(self.librarian))
        };
        let librarian = Delegate::new("librarian", "Looks things up. 查找。", librarian);
        let memory = MemoryTools {
            approval: false,
            ..MemoryTools::new(memory(folder), SCOPE)
        };
        let [remember, recall, _] = memory.tools();
        let all: [Arc<dyn Tool>; 4] = [
            Arc::new(telephone),
            Arc::new(librarian),
            Arc::new(remember),
            Arc::new(recall),
        ];
        let mut agent = Agent {
            tools: Tools::new(all).unwrap(),
            journal: Some(Arc::new(journal(folder))),
            ..Agent::new(Arc::new(self.agent))
        };
        agent.options.policy.rules.push(Rule {
            tool: Some("remember".into()),
            ..Rule::any(Action::Allow)
        });
        let planner = Planner::new(Arc::new(self.planner), agent);
        planner.start(id, goal, &|_| ()).await.unwrap()
    }
}

fn learning(case: &'static Case) -> Process {
    let ring = || call("telephone", json!({"question": case.question}));
    Process {
        planner: ScriptedChatModel::new([case.plans[0], case.plans[1], case.fact]),
        agent: ScriptedChatModel::new([
            ring(),
            ring(),
            ring(),
            call("librarian", json!({"task": case.question})),
            says(case.found),
            call("remember", json!({"text": case.fact})),
            says(case.found),
        ]),
        librarian: ScriptedChatModel::new([
            call("search", json!({"query": case.question})),
            says(case.found),
        ]),
    }
}

/// Models that know the fact from nowhere but what they read.
fn recalling(case: &'static Case) -> Process {
    fn repeated(request: &ChatRequest) -> Message {
        says(request.messages.last().unwrap().content.as_str())
    }
    Process {
        planner: ScriptedChatModel::answering(|before, request| match before {
            0 => says(case.plan_later),
            _ => repeated(request),
        }),
        agent: ScriptedChatModel::answering(|before, request| match before {
            0 => call("recall", json!({"query": case.question})),
            _ => repeated(request),
        }),
        librarian: ScriptedChatModel::new([""; 0]),
    }
}

fn journal(folder: &Path) -> SqliteJournal {
    SqliteJournal::open(&folder.join("runs.db")).unwrap()
}

fn memory(folder: &Path) -> Arc<Memory> {
    let path = folder.join("memory.db");
    Arc::new(Memory::open(&path, MemoryOptions::default()).unwrap())
}

/// Where a planner's journal has something, and what.
fn kept<'a>(entries: &'a [JournalEntry], key: &str) -> (usize, &'a Value) {
    let found = entries.iter().position(|it| it.event["key"] == key);
    let at = found.unwrap_or_else(|| panic!("nothing is kept as `{key}`: {entries:?}"));
    (at, &entries[at].event["value"])
}

fn steps(plan: &Value) -> Vec<String> {
    let plan: Value = serde_json::from_str(plan["text"].as_str().unwrap()).unwrap();
    serde_json::from_value(plan["steps"].clone()).unwrap()
}

/// The calls of a run, and what came of each.
fn calls(records: &[Record]) -> Vec<(ToolCall, ToolResult)> {
    let made = corbie_agents::eval::trajectory::calls(records);
    let ended = records.iter().filter_map(|record| match &record.event {
        RunEvent::Ended { result, .. } => Some(result.clone()),
        _ => None,
    });
    made.into_iter().cloned().zip(ended).collect()
}

fn holds(records: &[Record], text: &str) -> bool {
    let state = RunState::of(records);
    let mut messages = state.messages().iter();
    messages.any(|message| message.content.contains(text))
}

#[tokio::test]
async fn one_trace_has_a_plan_its_revision_a_sub_agent_and_a_memory_for_the_next_process() {
    for case in &CASES {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let process = learning(case);
        let run = process.run(folder, "first", case.goal, case.passage).await;
        assert!(run.answer.contains(case.number), "{run:?}");
        let process = recalling(case);
        let later = process.run(folder, "second", case.later, "nothing").await;
        assert!(later.answer.contains(case.number), "{later:?}");

        let journal = journal(folder);
        let first = journal.read("first", 0).await.unwrap();
        let of = async |run: &str| history(&journal, run).await.unwrap();

        // A plan, whose steps are runs.
        let (planned, plan) = kept(&first, "plan.0");
        let plan = steps(plan);
        let ring = of("first.1").await;
        assert!(plan.len() > 1 && holds(&ring, &plan[0]), "{plan:?}");

        // Another one, behind an observation that failed and without what failed.
        let (failed, observed) = kept(&first, "1");
        assert_eq!(observed["outcome"]["outcome"], "stuck", "{observed}");
        let calls_of_it = calls(&ring);
        let silent = |(_, result): &(ToolCall, ToolResult)| {
            result.failed && result.content.contains("没人接")
        };
        assert!(!calls_of_it.is_empty() && calls_of_it.iter().all(silent));
        let (revised, anew) = kept(&first, "plan.1");
        let anew = steps(anew);
        assert!(planned < failed && failed < revised);
        assert!(!anew.contains(&plan[0]), "{anew:?}");
        let look_up = of("first.2").await;
        assert!(holds(&look_up, &anew[0]));

        // An agent with a context of its own: what it read, nobody else did.
        let librarian = of("first.2-0").await;
        assert_eq!(RunState::of(&librarian).goal(), case.question);
        assert!(holds(&librarian, case.passage) && !holds(&librarian, case.goal));
        let others = journal.runs().unwrap();
        let others = others
            .iter()
            .filter(|run| !["first.2-0", "first", "second"].contains(&run.as_str()));
        for other in others {
            assert!(!holds(&of(other).await, case.passage), "{other}");
        }
        let (asked, answered) = calls(&look_up).remove(0);
        assert_eq!(asked.name, "librarian");
        assert!(answered.content.contains(case.number) && !answered.failed && !answered.trusted);

        // A fact in the memory, which says that it came from outside.
        let note = of("first.3").await;
        let begun = |record: &Record| matches!(record.event, RunEvent::Begun { .. });
        assert!(
            note.iter().any(begun),
            "an effect is written before it happens"
        );
        let (remembered, result) = calls(&note).remove(0);
        assert_eq!(remembered.name, "remember");
        assert!(!result.failed, "{result:?}");
        let notes = memory(folder).notes(SCOPE).unwrap();
        assert_eq!(notes.len(), 1);
        assert_eq!(remembered.arguments["text"], notes[0].text.as_str());
        assert!(notes[0].outside && notes[0].text.contains(case.number));

        // The next process has it from there: nothing else told it.
        let later = of("second.1").await;
        let (recalled, result) = calls(&later).remove(0);
        assert_eq!(recalled.name, "recall");
        let shown: Value = serde_json::from_str(&result.content).unwrap();
        assert_eq!(shown[0]["id"], notes[0].id);
        assert_eq!(shown[0]["text"], notes[0].text.as_str());
        let state = RunState::of(&later);
        let messages = state.messages();
        let knows = |message: &&Message| message.content.contains(case.number);
        let source = messages.iter().find(knows).unwrap();
        assert_eq!(source.role, Role::Tool, "{messages:?}");
        assert!(
            state.is_tainted(),
            "what came from outside is still from outside"
        );
    }
}
