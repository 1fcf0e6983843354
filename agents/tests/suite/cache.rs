//! Kept answers: who is given one, and when it dies.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use corbie_agents::{AnswerCache, Answerer, CacheOptions, Likeness, Question};
use corbie_core::testing::HashEmbedder;
use corbie_core::{ErrorKind, Filter, Message};
use corbie_vectorstores::index::Versions;
use tempfile::TempDir;

use super::kit::{Fixed, model};

const RAVENS: &str = "Ravens cache food under moss. 渡鸦把食物藏在苔藓下面。";

/// Documents whose versions the test changes.
#[derive(Clone, Default)]
struct Documents(Arc<Mutex<HashMap<String, String>>>);

impl Documents {
    fn set(&self, source: &str, version: &str) {
        self.0.lock().unwrap().insert(source.into(), version.into());
    }

    fn versions(&self) -> Versions {
        let own = self.clone();
        Arc::new(move |source| Ok(own.0.lock().unwrap().get(source).cloned()))
    }
}

struct Setting {
    dir: TempDir,
    documents: Documents,
    options: CacheOptions,
}

impl Setting {
    fn new() -> Self {
        let documents = Documents::default();
        documents.set("0.md", "1");
        Self {
            dir: tempfile::tempdir().unwrap(),
            documents,
            options: CacheOptions::default(),
        }
    }

    fn cache(&self) -> Arc<AnswerCache> {
        let path = self.dir.path().join("answers.sqlite");
        let embedder = Some(Arc::new(HashEmbedder::new(64)) as _);
        let versions = self.documents.versions();
        Arc::new(AnswerCache::open(&path, embedder, versions, self.options).unwrap())
    }

    fn answerer(&self, scope: &str) -> (Answerer, Arc<Fixed>) {
        let retriever = Arc::new(Fixed::new(&[RAVENS]));
        let answerer = Answerer {
            cache: Some((self.cache(), scope.into())),
            ..Answerer::new(
                model(&["Ravens cache food under moss."; 9]),
                retriever.clone(),
            )
        };
        (answerer, retriever)
    }
}

#[tokio::test]
async fn the_same_question_is_answered_once_while_its_documents_stay() {
    let setting = Setting::new();
    let (answerer, retriever) = setting.answerer("birds");
    let first = answerer
        .answer("Where do ravens cache food?")
        .await
        .unwrap();
    assert!(!first.cached && first.usage.prompt_tokens > 0);
    let same = [
        "Where do ravens cache food?",
        "where do the ravens cache food",
        "  Where do ravens  cache food ?!",
    ];
    for question in same {
        let again = answerer.answer(question).await.unwrap();
        assert!(again.cached, "{question}");
        assert_eq!(
            (&again.answer, &again.citations),
            (&first.answer, &first.citations)
        );
        assert_eq!(again.usage.prompt_tokens, 0, "it cost nothing");
    }
    let calls = || retriever.calls.load(Ordering::SeqCst);
    assert_eq!(calls(), 1);
    let (after_restart, _) = setting.answerer("birds");
    assert!(after_restart.answer(same[0]).await.unwrap().cached);

    setting.documents.set("0.md", "2");
    assert!(
        !answerer.answer(same[0]).await.unwrap().cached,
        "a cited document changed"
    );
    assert!(
        answerer.answer(same[0]).await.unwrap().cached,
        "and was kept anew"
    );
    setting.documents.0.lock().unwrap().clear();
    assert!(
        !answerer.answer(same[0]).await.unwrap().cached,
        "a cited document is gone"
    );
    assert_eq!(
        setting.cache().len().unwrap(),
        0,
        "nothing is kept of what is gone"
    );
}

#[tokio::test]
async fn whatever_else_decides_an_answer_keeps_answers_apart() {
    let setting = Setting::new();
    let (ann, _) = setting.answerer("birds of ann");
    let question = "Where do ravens cache food?";
    ann.answer(question).await.unwrap();
    let (bo, _) = setting.answerer("birds of bo");
    assert!(!bo.answer(question).await.unwrap().cached, "another tenant");
    let mut longer = ann.clone();
    longer.options.answer_tokens += 1;
    assert!(
        !longer.answer(question).await.unwrap().cached,
        "other options"
    );
    let filtered = Question {
        filter: Some(Filter::eq("source", "0.md")),
        ..Question::from(question)
    };
    assert!(
        !ann.answer(filtered).await.unwrap().cached,
        "another place to look"
    );
    let later = Question {
        history: vec![Message::user("Hello"), Message::assistant("Hello")],
        ..Question::from(question)
    };
    assert!(!ann.answer(later).await.unwrap().cached, "a conversation");
    assert!(ann.answer(question).await.unwrap().cached);
}

#[tokio::test]
async fn other_questions_are_other_questions() {
    let pairs = [
        ("Where do ravens cache food?", "When do ravens cache food?"),
        ("Do ravens cache food?", "Do ravens not cache food?"),
        ("Do 2 ravens cache food?", "Do 3 ravens cache food?"),
        ("Do ravens eat crows' food?", "Do crows eat ravens' food?"),
        ("Do young ravens cache food?", "Do old ravens cache food?"),
        ("渡鸦把食物藏在哪里？", "渡鸦什么时候藏食物？"),
        ("渡鸦藏食物吗？", "渡鸦不藏食物吗？"),
    ];
    for likeness in [Likeness::SameWords, Likeness::Similar(0.8)] {
        for (first, second) in pairs {
            let setting = Setting {
                options: CacheOptions {
                    likeness,
                    ..CacheOptions::default()
                },
                ..Setting::new()
            };
            let (answerer, _) = setting.answerer("birds");
            answerer.answer(first).await.unwrap();
            let swapped = likeness != Likeness::SameWords && first.starts_with("Do ravens eat");
            let cached = answerer.answer(second).await.unwrap().cached;
            // Words in another order are what `Similar` is known to mistake.
            assert_eq!(cached, swapped, "{first} {second} {likeness:?}");
        }
    }
}

#[tokio::test]
async fn questions_that_are_alike_share_an_answer_where_that_is_wanted() {
    let question = "Where do ravens cache food?";
    let alike = "Where do ravens cache their food in winter?";
    for (likeness, expected) in [(Likeness::SameWords, false), (Likeness::Similar(0.6), true)] {
        let setting = Setting {
            options: CacheOptions {
                likeness,
                ..CacheOptions::default()
            },
            ..Setting::new()
        };
        let (answerer, _) = setting.answerer("birds");
        answerer.answer(question).await.unwrap();
        let answer = answerer.answer(alike).await.unwrap();
        assert_eq!(answer.cached, expected, "{likeness:?}");
    }
}

#[tokio::test]
async fn what_was_not_asked_for_the_longest_goes_first_and_what_is_no_answer_is_not_kept() {
    let setting = Setting {
        options: CacheOptions {
            entries: 2,
            ..CacheOptions::default()
        },
        ..Setting::new()
    };
    let (answerer, _) = setting.answerer("birds");
    let [one, two, three] = ["one", "two", "three"].map(|n| format!("Where do {n} ravens cache?"));
    for question in [&one, &two, &one, &three] {
        answerer.answer(question.as_str()).await.unwrap();
    }
    let cache = setting.cache();
    assert_eq!(cache.len().unwrap(), 2);
    assert!(answerer.answer(one.as_str()).await.unwrap().cached);
    assert!(!answerer.answer(two.as_str()).await.unwrap().cached);
    let knows_nothing = Answerer {
        retriever: Arc::new(Fixed::new(&[])),
        ..answerer.clone()
    };
    let none = knows_nothing
        .answer("What does a football cost?")
        .await
        .unwrap();
    assert!(none.citations.is_empty());
    assert_eq!(cache.len().unwrap(), 2, "a refusal is not kept");

    let other = setting.dir.path().join("other");
    std::fs::write(
        &other,
        b"not a database, but long enough to look at ".repeat(99),
    )
    .unwrap();
    let opened = AnswerCache::open(
        &other,
        None,
        setting.documents.versions(),
        CacheOptions::default(),
    );
    assert_eq!(
        opened.map(|_| ()).unwrap_err().kind(),
        &ErrorKind::Malformed
    );
}
