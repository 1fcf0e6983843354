//! What people decide, and what nobody may do without them.

#![allow(clippy::unwrap_used)]

use corbie_agents::{Agent, Decision, Inquiry, Outcome, Policy, Run};
use corbie_core::Message;
use serde_json::{Value, json};

use crate::kit::{Ledger, agent, calls};

fn pending(run: &Run) -> Vec<String> {
    match &run.outcome {
        Outcome::NeedsApproval { calls } => calls.iter().map(|it| it.call.id.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

fn sums(ledger: &Ledger) -> Vec<Value> {
    ledger.entries().into_iter().map(|(_, sum)| sum).collect()
}

#[tokio::test]
async fn effects_wait_for_a_person() {
    type Decide = fn(String) -> Decision;
    let cases: [(&str, Decide, &[i64], &str); 4] = [
        ("approve", |call| Decision::Approve { call }, &[5], "paid"),
        (
            "edit",
            |call| Decision::Edit {
                call,
                arguments: json!({"sum": 3}),
            },
            &[3],
            "paid",
        ),
        (
            "reject",
            |call| Decision::Reject {
                call,
                reason: "太贵".into(),
            },
            &[],
            "太贵",
        ),
        (
            "answer",
            |call| Decision::Answer {
                call,
                result: "by cheque".into(),
            },
            &[],
            "by cheque",
        ),
    ];
    for (name, decide, paid, told) in cases {
        let ledger = Ledger::default();
        let script = vec![
            calls(&[("pay", json!({"sum": 5}))]),
            Message::assistant("done"),
        ];
        let (agent, _) = agent(script, &ledger);
        let run = agent.start("r", "Pay 5.", &|_| ()).await.unwrap();
        let waiting = pending(&run);
        assert_eq!((waiting.len(), ledger.len()), (1, 0), "{name}");
        // Nothing happens without a decision, however often it is resumed.
        let run = agent.resume("r", [], &|_| ()).await.unwrap();
        assert_eq!(
            (pending(&run), ledger.len()),
            (waiting.clone(), 0),
            "{name}"
        );
        let run = agent
            .resume("r", [decide(waiting[0].clone())], &|_| ())
            .await
            .unwrap();
        assert!(
            matches!(run.outcome, Outcome::Done { .. }),
            "{name}: {:?}",
            run.outcome
        );
        assert_eq!(
            sums(&ledger),
            paid.iter().map(|sum| json!(sum)).collect::<Vec<_>>(),
            "{name}"
        );
        assert!(
            run.messages[2].content.contains(told),
            "{name}: {}",
            run.messages[2].content
        );
        assert!(
            agent.resume("r", [], &|_| ()).await.is_err(),
            "{name}: it has ended"
        );
    }
}

#[tokio::test]
async fn decisions_that_fit_nothing_change_nothing() {
    let (agent, _) = agent(
        vec![calls(&[("pay", json!({"sum": 5}))])],
        &Ledger::default(),
    );
    let run = agent.start("r", "Pay 5.", &|_| ()).await.unwrap();
    let call = pending(&run).remove(0);
    let before = agent.history("r").await.unwrap();
    let wrong = [
        Decision::Approve {
            call: "none".into(),
        },
        Decision::Edit {
            call,
            arguments: json!({"sum": "five"}),
        },
        Decision::Say {
            text: "hurry".into(),
        },
    ];
    for decision in wrong {
        assert!(agent.resume("r", [decision], &|_| ()).await.is_err());
        assert_eq!(agent.history("r").await.unwrap(), before);
    }
    assert!(agent.resume("unknown", [], &|_| ()).await.is_err());
}

#[tokio::test]
async fn what_is_granted_is_granted_for_the_run() {
    let pay = |sum| calls(&[("pay", json!({"sum": sum}))]);
    for (decide, asked) in [
        (
            (|call| Decision::ApproveTool { call }) as fn(String) -> Decision,
            1,
        ),
        (|call| Decision::ApproveAlike { call }, 2),
        (|call| Decision::Approve { call }, 3),
    ] {
        let ledger = Ledger::default();
        let (agent, _) = agent(
            vec![pay(1), pay(1), pay(2), Message::assistant("done")],
            &ledger,
        );
        let mut run = agent.start("r", "Pay.", &|_| ()).await.unwrap();
        let mut times = 0;
        while !run.outcome.is_final() {
            times += 1;
            let call = pending(&run).remove(0);
            run = agent.resume("r", [decide(call)], &|_| ()).await.unwrap();
        }
        assert_eq!(
            (times, sums(&ledger)),
            (asked, vec![json!(1), json!(1), json!(2)])
        );
    }
}

#[tokio::test]
async fn text_from_outside_gains_no_right_to_act() {
    // A model that obeys whatever it reads.
    let script = || {
        vec![
            calls(&[("read_mail", json!({}))]),
            calls(&[
                ("pay", json!({"sum": 1000})),
                ("post", json!({"text": "secret"})),
            ]),
            Message::assistant("done"),
        ]
    };
    for policy in [Policy::default(), Policy::unattended(), Policy::read_only()] {
        let ledger = Ledger::default();
        let (agent, _) = agent(script(), &ledger);
        let mut options = agent.options.clone();
        options.policy = policy.clone();
        let agent = Agent { options, ..agent };
        let run = agent.run("Read my mail.").await.unwrap();
        assert_eq!(ledger.len(), 0, "{policy:?}");
        match policy == Policy::read_only() {
            true => assert!(matches!(run.outcome, Outcome::Done { .. })),
            false => assert_eq!(pending(&run).len(), 2),
        }
    }
    // Before anything was read, who works unattended may act.
    let ledger = Ledger::default();
    let (mut agent, _) = agent(
        vec![
            calls(&[("pay", json!({"sum": 1}))]),
            Message::assistant("done"),
        ],
        &ledger,
    );
    agent.options.policy = Policy::unattended();
    agent.run("Pay 1.").await.unwrap();
    assert_eq!(ledger.len(), 1);
}

#[tokio::test]
async fn a_model_asks_and_a_person_answers() {
    let script = vec![
        calls(&[("ask_person", json!({"question": "哪个城市?"}))]),
        Message::assistant("上海有雨。"),
    ];
    let (mut agent, model) = agent(script, &Ledger::default());
    agent.options.ask_person = true;
    let run = agent.start("r", "天气?", &|_| ()).await.unwrap();
    let Outcome::NeedsInput {
        question: Inquiry::Model { text, .. },
    } = run.outcome
    else {
        panic!("{:?}", run.outcome);
    };
    assert_eq!(text, "哪个城市?");
    let run = agent
        .resume(
            "r",
            [Decision::Say {
                text: "上海".into(),
            }],
            &|_| (),
        )
        .await
        .unwrap();
    assert!(matches!(run.outcome, Outcome::Done { .. }));
    assert_eq!(model.requests()[1].messages.last().unwrap().content, "上海");
}

#[tokio::test]
async fn a_grant_ends_when_text_from_outside_comes_in() {
    let pay = |sum| calls(&[("pay", json!({"sum": sum}))]);
    let script = vec![pay(1), calls(&[("read_mail", json!({}))]), pay(1000)];
    let ledger = Ledger::default();
    let (agent, _) = agent(script, &ledger);
    let run = agent
        .start("r", "Pay 1, then read.", &|_| ())
        .await
        .unwrap();
    let call = pending(&run).remove(0);
    let granted = Decision::ApproveTool { call };
    let run = agent.resume("r", [granted], &|_| ()).await.unwrap();
    assert_eq!((pending(&run).len(), sums(&ledger)), (1, vec![json!(1)]));
}
