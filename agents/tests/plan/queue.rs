//! The queue of tasks.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::plan::{Added, State, Status, TaskList, TaskQueue};
use corbie_agents::{Limit, Outcome};
use corbie_core::Message;
use corbie_core::testing::HashEmbedder;
use proptest::prelude::*;

use crate::kit::{agent, says};

#[tokio::test]
async fn adding_two_and_three_ends() {
    let goals = [
        ("Add 2 and 3", "2 + 3 is 5."),
        ("把2和3相加", "2加3等于5。"),
    ];
    for (goal, result) in goals {
        let model = says(&[r#"{"reached": true, "answer": "5"}"#]);
        let (agent, _) = agent(vec![Message::assistant(result)], Vec::new());
        let run = TaskQueue::new(model, agent).run(goal).await.unwrap();
        assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "5"));
        assert!(run.steps.len() <= 3, "{:?}", run.steps);
    }
}

#[tokio::test]
async fn a_model_that_never_sees_the_end_runs_out_of_tasks() {
    let no = r#"{"reached": false, "answer": ""}"#;
    let again = r#"{"tasks": ["Add 2 and 3", "ADD  2 and 3!", "Check the sum"]}"#;
    let model = says(&[no, again, no, again]);
    let (agent, works) = agent(vec![Message::assistant("5"); 9], Vec::new());
    let run = TaskQueue::new(model, agent)
        .run("Add 2 and 3")
        .await
        .unwrap();
    assert!(
        matches!(run.outcome, Outcome::Stuck { .. }),
        "{:?}",
        run.outcome
    );
    assert_eq!(works.requests().len(), 2, "what says the same is done once");
    // All that was named is accounted for.
    assert_eq!(run.steps.len(), 7);
    let same = |status: &Status| matches!(status, Status::Skipped { why } if why.contains("says the same"));
    assert_eq!(run.steps.iter().filter(|it| same(&it.status)).count(), 5);
    assert!(
        run.answer.contains("Check the sum") || run.answer.is_empty(),
        "{}",
        run.answer
    );
}

#[tokio::test]
async fn a_program_can_tell_when_it_is_reached() {
    let created = r#"{"tasks": ["Add them up again", "Write the sum down", "Sing"]}"#;
    let model = says(&[created, r#"{"order": [2, 1, 3]}"#]);
    let (agent, works) = agent(["four", "5"].map(Message::assistant).to_vec(), Vec::new());
    let mut queue = TaskQueue::new(model, agent);
    queue.reached = Some(Arc::new(|steps| {
        let five = steps.iter().find(|it| it.status.result() == Some("5"));
        five.map(|_| "5".to_owned())
    }));
    let run = queue.run("Add 2 and 3").await.unwrap();
    assert!(matches!(&run.outcome, Outcome::Done { answer, .. } if answer == "5"));
    // The second task was the one that the model put first.
    assert!(
        works.requests()[1].messages[0]
            .content
            .contains("Write the sum down")
    );
    assert_eq!(run.steps.len(), 4);
    assert_eq!(
        run.steps
            .iter()
            .filter(|it| it.status == Status::Open)
            .count(),
        2
    );
}

#[tokio::test]
async fn an_embedder_finds_tasks_that_say_the_same() {
    let no = r#"{"reached": false, "answer": ""}"#;
    let model = says(&[no, r#"{"tasks": ["the sum of 2 and 3: add it"]}"#]);
    let (agent, works) = agent(vec![Message::assistant("5")], Vec::new());
    let mut queue = TaskQueue::new(model, agent);
    queue.embedder = Some(Arc::new(HashEmbedder::new(256)));
    queue.alike = 0.8;
    let run = queue.run("add 2 and 3: the sum of it").await.unwrap();
    assert!(matches!(run.outcome, Outcome::Stuck { .. }));
    assert_eq!(works.requests().len(), 1);
    assert!(matches!(&run.steps[1].status, Status::Skipped { why } if why.contains("cosine")));
}

#[tokio::test]
async fn a_flood_of_tasks_stays_within_the_budget() {
    let mut script = Vec::new();
    for round in 0..100 {
        script.push(r#"{"reached": false, "answer": ""}"#.to_owned());
        let tasks: Vec<String> = (0..100).map(|n| format!("\"Task {round} {n}\"")).collect();
        script.push(format!("{{\"tasks\": [{}]}}", tasks.join(",")));
        script.push(r#"{"order": []}"#.to_owned());
    }
    let texts: Vec<&str> = script.iter().map(String::as_str).collect();
    let (agent, works) = agent(vec![Message::assistant("done"); 200], Vec::new());
    let mut queue = TaskQueue::new(says(&texts), agent);
    queue.options.budget.steps = Some(20);
    let run = queue.run("Work.").await.unwrap();
    assert_eq!(
        run.outcome,
        Outcome::BudgetExceeded {
            limit: Limit::Steps
        }
    );
    assert!(works.requests().len() <= 8, "{}", works.requests().len());
}

/// What a model may do to a list.
#[derive(Debug, Clone)]
enum Deed {
    Add(String),
    Prioritise(Vec<usize>),
    Work(bool),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        "[ab鸦]{1,2}[ .!]?".prop_map(Deed::Add),
        prop::collection::vec(0..12_usize, 0..8).prop_map(Deed::Prioritise),
        any::<bool>().prop_map(Deed::Work),
    ]
}

proptest! {
    #[test]
    fn no_task_is_lost(deeds in prop::collection::vec(deed(), 0..60)) {
        let mut list = TaskList::new(6);
        let mut added = Vec::new();
        for deed in deeds {
            match deed {
                Deed::Add(text) => {
                    let came = list.add(&text);
                    if let Added::Queued(number) = came {
                        prop_assert_eq!(number, added.len());
                    }
                    added.push(text);
                }
                Deed::Prioritise(order) => list.prioritise(&order),
                Deed::Work(fine) => {
                    if let Some(number) = list.take() {
                        let result = if fine { Ok("x".into()) } else { Err("y".into()) };
                        list.end(number, result);
                    }
                }
            }
            // Every task that was ever named is there, in one state, with its words.
            prop_assert_eq!(list.tasks().len(), added.len());
            let mut queue = list.queue().to_vec();
            queue.sort_unstable();
            let waiting: Vec<usize> = (0..added.len())
                .filter(|at| list.tasks()[*at].state == State::Queued)
                .collect();
            prop_assert_eq!(queue, waiting);
            for (task, text) in list.tasks().iter().zip(&added) {
                prop_assert_eq!(&task.text, text.trim());
                if let State::Duplicate { of, why } = &task.state {
                    let kept = !matches!(list.tasks()[*of].state, State::Duplicate { .. } | State::Declined);
                    prop_assert!(kept && !why.is_empty());
                }
            }
        }
    }
}
