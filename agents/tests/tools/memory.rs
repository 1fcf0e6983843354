//! Notes: written, replaced, found, forgotten.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use corbie_agents::{Memory, MemoryOptions, NewNote};
use corbie_core::testing::{FakeClock, HashEmbedder};
use corbie_core::{Clock, Embedder};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn clock() -> Arc<FakeClock> {
    // 2026-11-24 in UTC.
    Arc::new(FakeClock::at(1_795_478_400))
}

fn open(path: &Path, clock: &Arc<FakeClock>, dense: bool) -> Memory {
    let embedder = dense.then(|| Arc::new(HashEmbedder::new(64)) as Arc<dyn Embedder>);
    let clock: Arc<dyn Clock> = clock.clone();
    Memory::open(path, MemoryOptions { clock, embedder }).unwrap()
}

async fn texts(memory: &Memory, question: &str, scopes: &[&str]) -> Vec<String> {
    let notes = memory.recall(question, scopes, 3).await.unwrap();
    notes.into_iter().map(|note| note.text).collect()
}

#[tokio::test]
async fn notes_are_found_after_the_process_by_words_and_by_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let memory = open(&path, &clock(), false);
    for (scope, text) in [
        ("user:ann", "Ann keeps a raven called Munin."),
        ("user:ann", "安对花生过敏。"),
        ("user:ann", "The deployment runs on Fridays."),
        ("user:bob", "Bob keeps a raven, too."),
        ("project:corbie", "Ravens are the mascot of the project."),
    ] {
        memory.remember(NewNote::new(scope, text)).await.unwrap();
    }
    drop(memory);
    // Later with an embedder: it gives vectors to what was written without one.
    for dense in [false, true] {
        let memory = open(&path, &clock(), dense);
        let found = texts(&memory, "Which bird does Ann keep?", &["user:ann"]).await;
        assert_eq!(found[0], "Ann keeps a raven called Munin.", "{dense}");
        assert_eq!(
            texts(&memory, "对什么过敏？", &["user:ann"]).await[0],
            "安对花生过敏。"
        );
        let both = texts(&memory, "ravens", &["user:ann", "project:corbie"]).await;
        assert!(both.contains(&"Ravens are the mascot of the project.".to_owned()));
        for scopes in [
            &["user:ann"][..],
            &["user:ann", "project:corbie"],
            &["nobody"],
            &[],
        ] {
            let found = texts(&memory, "Bob raven", scopes).await;
            assert!(!found.iter().any(|text| text.contains("Bob")), "{scopes:?}");
        }
    }
    let memory = open(&path, &clock(), true);
    // No word in common, but parts that the embedder hashes alike: dense search alone finds those.
    assert!(
        !memory
            .recall("keeps", &["user:ann"], 3)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_newer_note_replaces_an_older_one() {
    for dense in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let memory = open(&folder.path().join("memory.db"), &clock, dense);
        let scope = "user:安";
        let first = memory
            .remember(NewNote::new(scope, "安住在柏林。"))
            .await
            .unwrap();
        clock.advance(DAY);
        let replaces = |id, text: &str| NewNote {
            replaces: Some(id),
            ..NewNote::new(scope, text)
        };
        let second = memory
            .remember(replaces(first.id, "安住在巴黎。"))
            .await
            .unwrap();
        let third = memory
            .remember(replaces(second.id, "安住在上海。"))
            .await
            .unwrap();
        assert_eq!(
            texts(&memory, "安住在柏林还是巴黎？", &[scope]).await,
            ["安住在上海。"]
        );
        assert_eq!(memory.notes(scope).unwrap(), std::slice::from_ref(&third));
        assert_eq!(
            memory.history(third.id).unwrap(),
            [second.clone(), first.clone()]
        );
        let shown = serde_json::to_value([&first, &second]).unwrap();
        assert_eq!(
            (&shown[0]["date"], &shown[1]["date"]),
            (&"2026-11-24".into(), &"2026-11-25".into())
        );
        // What is replaced, of another scope or unknown cannot be replaced.
        let other = memory
            .remember(NewNote::new("user:bob", "Bob"))
            .await
            .unwrap();
        for id in [first.id, other.id, 999, -1] {
            assert!(
                memory.remember(replaces(id, "安住在月球。")).await.is_err(),
                "{id}"
            );
        }
        assert_eq!(memory.notes(scope).unwrap().len(), 1);
        assert_eq!(memory.notes("user:bob").unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_note_is_written_once() {
    let folder = tempfile::tempdir().unwrap();
    let memory = open(&folder.path().join("memory.db"), &clock(), false);
    let note = |key: &str, text: &str| NewNote {
        key: Some(key.to_owned()),
        ..NewNote::new("s", text)
    };
    let first = memory.remember(note("run-1", "a fact")).await.unwrap();
    for again in [
        note("run-1", "a fact"),
        note("run-2", " a fact\n"),
        note("run-3", "a\u{200b} fact"),
    ] {
        assert_eq!(memory.remember(again).await.unwrap().id, first.id);
    }
    for (scope, text) in [("", "x"), ("s", " "), ("s", "\u{e0041}"), ("a\nb", "x")] {
        assert!(memory.remember(NewNote::new(scope, text)).await.is_err());
    }
    assert!(
        memory
            .remember(NewNote::new("s", "x".repeat(5000)))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn what_is_forgotten_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.db");
    let clock = clock();
    let memory = open(&path, &clock, true);
    let write = async |scope: &str, text: &str, replaces| {
        let note = NewNote {
            replaces,
            ..NewNote::new(scope, text)
        };
        memory.remember(note).await.unwrap().id
    };
    let old = write("a", "the password was grackle", None).await;
    let new = write("a", "the password is magpie", Some(old)).await;
    write("a", "the office is green", None).await;
    write("b", "the office is blue", None).await;
    assert!(!memory.forget("b", new).unwrap(), "it is of another scope");
    assert!(memory.forget("a", new).unwrap());
    assert!(!memory.forget("a", new).unwrap());
    assert!(memory.history(new).unwrap().is_empty());
    let left = texts(&memory, "password", &["a"]).await;
    assert!(
        !left.iter().any(|text| text.contains("password")),
        "{left:?}"
    );
    // Not even in the file.
    let bytes: Vec<u8> = ["memory.db", "memory.db-wal"]
        .iter()
        .flat_map(|name| std::fs::read(folder.path().join(name)).unwrap_or_default())
        .collect();
    for word in ["grackle", "magpie"] {
        assert!(
            !bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes()),
            "{word}"
        );
    }
    // By age, by number, by scope.
    clock.advance(DAY);
    let day = clock.now();
    write("a", "newer", None).await;
    clock.advance(DAY);
    write("a", "newest", None).await;
    assert_eq!(memory.forget_before("a", day).unwrap(), 1);
    assert_eq!(memory.keep_newest("a", 1).unwrap(), 1);
    assert_eq!(memory.notes("a").unwrap()[0].text, "newest");
    assert_eq!(memory.forget_scope("a").unwrap(), 1);
    assert_eq!(memory.notes("b").unwrap().len(), 1);
}

#[test]
fn a_file_of_another_kind_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    drop(corbie_agents::SqliteJournal::open(&path).unwrap());
    let before = std::fs::read(&path).unwrap();
    let error = Memory::open(&path, MemoryOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("no memory of Corbie"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}
