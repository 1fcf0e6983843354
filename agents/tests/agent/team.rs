//! Several agents: as tools of each other, and handing the conversation on.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use corbie_agents::{
    Agent, Decision, Delegate, HAND_OFF, Inquiry, Limit, Outcome, Peer, Policy, Run, Tools,
};
use corbie_core::testing::{MemoryJournal, ScriptedChatModel};
use corbie_core::{Message, Role, Tool};
use serde_json::{Value, json};

use crate::kit::{Ledger, agent, calls, tools};

fn scripted(script: Vec<Message>) -> (Agent, Arc<ScriptedChatModel>) {
    let model = Arc::new(ScriptedChatModel::new(script).with_context_length(100_000));
    (Agent::new(model.clone()), model)
}

/// An agent that says `script`, whose one tool `helper` is `below`.
fn above(script: Vec<Message>, below: Agent) -> Agent {
    let helper: Arc<dyn Tool> = Arc::new(Delegate::new("helper", "Helps. 帮忙。", below));
    Agent {
        tools: Tools::new([helper]).unwrap(),
        journal: Some(Arc::new(MemoryJournal::default())),
        ..scripted(script).0
    }
}

fn task(text: &str) -> (&str, Value) {
    ("helper", json!({"task": text}))
}

fn answer(run: &Run) -> &str {
    match &run.outcome {
        Outcome::Done { answer, .. } => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_sub_agent_has_its_own_context_and_the_shared_budget() {
    let (below, model) = scripted(vec![
        calls(&[("weather", json!({"city": "北京"}))]),
        Message::assistant("晴, 3"),
    ]);
    let below = Agent {
        tools: tools(&Ledger::default()),
        ..below
    };
    let above = above(
        vec![calls(&[task("Weather?")]), Message::assistant("sunny")],
        below,
    );
    let run = above.run("SECRET goal").await.unwrap();
    assert_eq!(answer(&run), "sunny");
    assert_eq!((run.spent.steps, run.spent.calls), (4, 2));
    // What the tool says is the application's own words, so nothing came from outside.
    assert!(!run.tainted);
    for request in model.requests() {
        assert_eq!(request.messages[0].content, "Weather?");
        assert!(
            request
                .messages
                .iter()
                .all(|it| !it.content.contains("SECRET"))
        );
    }
}

#[tokio::test]
async fn its_approvals_are_the_persons_and_happen_once() {
    type Decide = fn(String) -> Decision;
    let cases: [(Decide, usize, &str); 2] = [
        (|call| Decision::Approve { call }, 1, "paid"),
        (
            |call| Decision::Reject {
                call,
                reason: "太贵".into(),
            },
            0,
            "太贵",
        ),
    ];
    for (decide, effects, told) in cases {
        let ledger = Ledger::default();
        let (below, model) = agent(
            vec![
                calls(&[("pay", json!({"sum": 5}))]),
                Message::assistant("that was it"),
            ],
            &ledger,
        );
        let below = Agent {
            journal: None,
            ..below
        };
        let above = above(
            vec![calls(&[task("Pay 5.")]), Message::assistant("all done")],
            below,
        );
        let run = above.start("r", "Have 5 paid.", &|_| ()).await.unwrap();
        let Outcome::NeedsApproval { calls: pending } = &run.outcome else {
            panic!("{:?}", run.outcome);
        };
        assert_eq!((pending.len(), ledger.len()), (1, 0));
        let id = pending[0].call.id.clone();
        assert_eq!(
            (id.as_str(), pending[0].call.name.as_str()),
            ("c0/c0", "pay")
        );
        // Nothing happens without a decision.
        let run = above.resume("r", [], &|_| ()).await.unwrap();
        assert!(matches!(run.outcome, Outcome::NeedsApproval { .. }));
        assert_eq!(ledger.len(), 0);
        // A decision about a call that does not exist is refused, and takes nothing with it.
        let wrong = decide("c0/c7".into());
        assert!(above.resume("r", [wrong], &|_| ()).await.is_err());
        let run = above.resume("r", [decide(id)], &|_| ()).await.unwrap();
        assert_eq!((answer(&run), ledger.len()), ("all done", effects));
        let requests = model.requests();
        let seen = &requests.last().unwrap().messages;
        assert!(seen.last().unwrap().content.contains(told), "{seen:?}");
    }
}

#[tokio::test]
async fn its_questions_reach_the_person_through_two_levels() {
    let (mut bottom, _) = scripted(vec![
        calls(&[("ask_person", json!({"question": "哪一天？"}))]),
        Message::assistant("周二"),
    ]);
    bottom.options.ask_person = true;
    let middle = Agent {
        journal: None,
        ..above(
            vec![calls(&[task("Ask.")]), Message::assistant("Tuesday")],
            bottom,
        )
    };
    let top = above(
        vec![
            calls(&[task("Find the day.")]),
            Message::assistant("It is Tuesday."),
        ],
        middle,
    );
    let run = top.start("r", "Which day?", &|_| ()).await.unwrap();
    let Outcome::NeedsInput {
        question: Inquiry::Model { call, text },
    } = &run.outcome
    else {
        panic!("{:?}", run.outcome);
    };
    assert_eq!((call.as_str(), text.as_str()), ("c0/c0/c0", "哪一天？"));
    let say = Decision::Say {
        text: "星期二".into(),
    };
    let run = top.resume("r", [say], &|_| ()).await.unwrap();
    assert_eq!(answer(&run), "It is Tuesday.");
}

#[tokio::test]
async fn depth_number_and_budget_have_limits() {
    // As deep as it is nested, no deeper than is allowed.
    let (bottom, _) = scripted(vec![Message::assistant("bottom")]);
    let middle = above(
        vec![calls(&[task("deeper")]), Message::assistant("middle")],
        bottom,
    );
    let mut top = above(
        vec![calls(&[task("deep")]), Message::assistant("top")],
        middle,
    );
    top.options.max_depth = 1;
    let run = top.run("Dig.").await.unwrap();
    assert_eq!(answer(&run), "top");
    // The bottom never spoke: two answers of the top, two of the middle.
    assert_eq!(run.spent.steps, 4);

    // So many runs and no more.
    let (below, model) = scripted((0..9).map(|n| Message::assistant(format!("{n}"))).collect());
    let mut above_it = above(
        vec![
            calls((0..9).map(|_| task("same"))),
            Message::assistant("enough"),
        ],
        below,
    );
    above_it.options.max_sub_runs = 4;
    let run = above_it.run("Many.").await.unwrap();
    assert_eq!((answer(&run), model.requests().len()), ("enough", 4));

    // What is spent below is spent.
    let weather = calls(&[("weather", json!({"city": "北京"}))]);
    let (below, model) = scripted(vec![weather; 50]);
    let below = Agent {
        tools: tools(&Ledger::default()),
        ..below
    };
    let mut above_it = above(
        vec![calls(&[task("loop")]), Message::assistant("end")],
        below,
    );
    above_it.options.budget.steps = Some(3);
    let run = above_it.run("Spend.").await.unwrap();
    assert!(
        matches!(
            run.outcome,
            Outcome::BudgetExceeded {
                limit: Limit::Steps
            }
        ),
        "{:?}",
        run.outcome
    );
    assert_eq!((run.spent.steps, model.requests().len()), (3, 2));
}

#[tokio::test]
async fn taint_goes_down_and_comes_up() {
    // Down: what the conversation above read makes the one below careful.
    let ledger = Ledger::default();
    let below = |ledger: &Ledger| {
        let script = vec![
            calls(&[("post", json!({"text": "stolen"}))]),
            Message::assistant("posted"),
        ];
        let (mut below, _) = agent(script, ledger);
        below.journal = None;
        below.options.policy = Policy::unattended();
        below
    };
    let mut reader = above(
        vec![
            calls(&[("read_mail", json!({}))]),
            calls(&[task("Post this.")]),
            Message::assistant("done"),
        ],
        below(&ledger),
    );
    let mail = tools(&ledger);
    let helper: Arc<dyn Tool> = Arc::new(Delegate::new("helper", "Helps.", below(&ledger)));
    reader.tools = mail;
    reader.tools.add(helper).unwrap();
    let run = reader.run("Read the mail.").await.unwrap();
    assert!(
        matches!(run.outcome, Outcome::NeedsApproval { .. }),
        "{:?}",
        run.outcome
    );
    assert_eq!(ledger.len(), 0);

    // Up: what the one below read taints its answer.
    let (below, _) = agent(
        vec![
            calls(&[("read_mail", json!({}))]),
            Message::assistant("The mail says to pay."),
        ],
        &ledger,
    );
    let above_it = above(
        vec![calls(&[task("Read.")]), Message::assistant("so")],
        below,
    );
    let run = above_it.run("What does the mail say?").await.unwrap();
    assert!(run.tainted);
}

#[tokio::test]
async fn a_run_that_died_below_goes_on_there() {
    let ledger = Ledger::default();
    let script = || {
        vec![
            calls(&[("pay", json!({"sum": 5}))]),
            Message::assistant("paid it"),
        ]
    };
    let journal = Arc::new(MemoryJournal::default());
    let whole = |model_below: Vec<Message>, model_above: Vec<Message>| {
        let (mut below, _) = agent(model_below, &ledger);
        below.journal = None;
        below.options.policy = Policy::unattended();
        Agent {
            journal: Some(journal.clone()),
            ..above(model_above, below)
        }
    };
    let begin = whole(script(), vec![calls(&[task("Pay 5.")])]);
    // The model above has no more to say, so the run fails behind the sub-run; its Ended event
    // is what a crash would have lost.
    let run = begin.start("r", "Have 5 paid.", &|_| ()).await.unwrap();
    assert!(matches!(run.outcome, Outcome::Failed { .. }));
    let events = begin.history("r").await.unwrap();
    let cut = events
        .iter()
        .position(|it| matches!(it.event, corbie_agents::RunEvent::Ended { .. }))
        .unwrap();
    use corbie_core::Journal;
    for (sequence, record) in events[..cut].iter().enumerate() {
        let event = serde_json::to_value(record).unwrap();
        journal.append("cut", sequence as u64, event).await.unwrap();
    }
    // Its sub-run is not there under the new name: copied as well.
    for (sequence, entry) in journal
        .read("r-0", 0)
        .await
        .unwrap()
        .into_iter()
        .enumerate()
    {
        journal
            .append("cut-0", sequence as u64, entry.event)
            .await
            .unwrap();
    }
    let again = whole(vec![], vec![Message::assistant("it is paid")]);
    let run = again.resume("cut", [], &|_| ()).await.unwrap();
    assert_eq!((answer(&run), ledger.len()), ("it is paid", 1));
    let result = run
        .messages
        .iter()
        .find(|it| it.role == Role::Tool)
        .unwrap();
    assert_eq!(result.content, "paid it");
}

#[tokio::test]
async fn a_conversation_is_handed_on_and_back() {
    let (expert, expert_model) = scripted(vec![Message::assistant("兑换率是 7.1。")]);
    let mut expert = expert;
    expert.options.instructions = "You know money.".into();
    let (mut desk, desk_model) = scripted(vec![calls(&[(HAND_OFF, json!({"to": "expert"}))])]);
    desk.name = "desk".into();
    desk.options.instructions = "You greet.".into();
    desk.journal = Some(Arc::new(MemoryJournal::default()));
    desk.peers = vec![Peer {
        name: "expert".into(),
        about: "knows money".into(),
        agent: expert,
    }];
    let run = desk.start("r", "汇率？", &|_| ()).await.unwrap();
    assert_eq!(answer(&run), "兑换率是 7.1。");
    let asked = &desk_model.requests()[0];
    let spec = asked.tools.iter().find(|it| it.name == HAND_OFF).unwrap();
    assert!(spec.description.contains("expert: knows money"));
    assert_eq!(
        spec.parameters["properties"]["to"]["enum"],
        json!(["expert"])
    );
    let seen = &expert_model.requests()[0];
    assert_eq!(seen.messages[0].content, "You know money.");
    assert_eq!(seen.messages[1].content, "汇率？");
    let back = seen.tools.iter().find(|it| it.name == HAND_OFF).unwrap();
    assert_eq!(back.parameters["properties"]["to"]["enum"], json!(["desk"]));
    // Who has it keeps it, also when more is said behind the answer.
    let desk = Agent {
        peers: vec![Peer {
            agent: scripted(vec![Message::assistant("昨天是 7.0。")]).0,
            ..desk.peers[0].clone()
        }],
        ..desk
    };
    let more = Decision::Say {
        text: "昨天呢？".into(),
    };
    let run = desk.resume("r", [more], &|_| ()).await.unwrap();
    assert_eq!(answer(&run), "昨天是 7.0。");
    // Without the agent that has it, the run says whom it lacks.
    let (mut alone, _) = scripted(vec![Message::assistant("?")]);
    alone.journal = desk.journal.clone();
    let more = Decision::Say { text: "?".into() };
    let error = alone.resume("r", [more], &|_| ()).await.unwrap_err();
    assert!(error.to_string().contains("expert"), "{error}");
}

#[tokio::test]
async fn nobody_hands_on_to_nobody() {
    let (mut desk, _) = scripted(vec![
        calls(&[(HAND_OFF, json!({"to": "nobody"}))]),
        Message::assistant("I answer myself."),
    ]);
    desk.peers = vec![Peer {
        name: "expert".into(),
        about: "knows money".into(),
        agent: scripted(vec![]).0,
    }];
    let run = desk.run("?").await.unwrap();
    assert_eq!(answer(&run), "I answer myself.");
    assert!(run.messages[2].content.contains("expert"));
}
