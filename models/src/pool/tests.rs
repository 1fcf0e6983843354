//! The pool with models that are only told of: every load stands still until the test lets it go.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use corbie_core::testing::{
    HashEmbedder, ScriptedChatModel, WordCounter, WordReranker, WordSparseEmbedder,
};
use corbie_core::{
    BoxFuture, ChatEvent, ChatModel, ChatModelInfo, ChatStream, EmbedderInfo, Embedding,
    FinishReason, TokenCounter, Usage,
};
use futures::channel::mpsc::{UnboundedSender, unbounded};
use futures::executor::block_on;
use futures::future::poll_immediate;
use futures::{StreamExt, join};

use super::*;
use crate::hub::{HubEvent, silent};

/// The script of all models: what they need, what became of them, and when loads go on.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// The bytes of each model: least, most, kept.
    sizes: BTreeMap<String, (usize, usize, usize)>,
    /// What happened, in order.
    events: Vec<String>,
    /// Models whose next loads end so.
    endings: BTreeMap<String, Vec<Ending>>,
    /// Loads and ends that wait to be let go.
    gates: BTreeMap<String, Arc<Mutex<Receiver<()>>>>,
    /// What a stream of each model gives next.
    streams: BTreeMap<String, Vec<Feed>>,
}

type Feed = UnboundedSender<Result<ChatEvent>>;

#[derive(Clone, Copy)]
enum Ending {
    Error,
    Panic,
}

impl Script {
    /// Models with what they need at least; they make use of no more, and keep nothing.
    fn of(sizes: &[(&str, usize)]) -> Self {
        let script = Self::default();
        for (name, bytes) in sizes {
            script.size(name, *bytes, *bytes, 0);
        }
        script
    }

    fn size(&self, name: &str, least: usize, most: usize, kept: usize) {
        let mut told = self.0.lock().unwrap();
        told.sizes.insert(name.to_owned(), (least, most, kept));
    }

    fn pool(&self, memory: usize) -> ModelPool {
        self.pool_with(PoolOptions {
            memory,
            ..PoolOptions::default()
        })
    }

    fn pool_with(&self, options: PoolOptions) -> ModelPool {
        ModelPool::new(self.clone(), options)
    }

    fn note(&self, event: String) {
        self.0.lock().unwrap().events.push(event);
    }

    fn events(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().events)
    }

    /// Waits at the gate of `name`, where there is one.
    fn pass(&self, name: &str) {
        let gate = self.0.lock().unwrap().gates.get(name).cloned();
        if let Some(gate) = gate {
            gate.lock().unwrap().recv().unwrap();
        }
    }

    /// Loads of `name`, or the end of a model (`drop name`), wait for what comes through the
    /// sender.
    fn gate(&self, name: &str) -> Sender<()> {
        let (sender, receiver) = channel();
        let gate = Arc::new(Mutex::new(receiver));
        self.0.lock().unwrap().gates.insert(name.to_owned(), gate);
        sender
    }

    fn ends(&self, name: &str, ending: Ending) {
        let mut told = self.0.lock().unwrap();
        told.endings
            .entry(name.to_owned())
            .or_default()
            .push(ending);
    }

    /// What feeds the oldest stream of `name`.
    fn feed(&self, name: &str) -> Feed {
        let mut told = self.0.lock().unwrap();
        told.streams.get_mut(name).unwrap().remove(0)
    }
}

impl Plans for Script {
    fn plan<'a>(&'a self, duty: Duty, name: &'a str, _: Report<'a>) -> BoxFuture<'a, Result<Plan>> {
        let (script, own) = (self.clone(), name.to_owned());
        Box::pin(async move {
            let sizes = script.0.lock().unwrap().sizes.clone();
            let Some((least, most, kept)) = sizes.get(&own).copied() else {
                return Err(Error::new(ErrorKind::NotFound, own, "no such model"));
            };
            Ok(Plan {
                least,
                most,
                kept,
                load: Arc::new(move |bytes, progress| script.load(duty, &own, bytes, progress)),
            })
        })
    }
}

impl Script {
    fn load(
        &self,
        duty: Duty,
        name: &str,
        bytes: usize,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<Loaded> {
        self.note(format!("load {name} of {bytes}"));
        progress(0.5);
        self.pass(name);
        let mut told = self.0.lock().unwrap();
        let ending = told.endings.get_mut(name).and_then(Vec::pop);
        drop(told);
        match ending {
            Some(Ending::Error) => {
                return Err(Error::new(ErrorKind::Malformed, name, "it is damaged").hint("fetch"));
            }
            Some(Ending::Panic) => panic!("as the script says"),
            None => {}
        }
        let watch = Watch(self.clone(), name.to_owned());
        Ok(match duty {
            Duty::Chat => {
                let model = Arc::new(FedChatModel::new(watch));
                let face = ChatFace {
                    info: model.info().clone(),
                    tokens: Some(Arc::new(WordCounter { limit: 64 })),
                    prompt_tokens: Box::new(|request| Ok(request.messages.len())),
                };
                Loaded::Chat(model, Arc::new(face))
            }
            Duty::Embed => {
                let model = WatchedEmbedder {
                    own: HashEmbedder::new(8),
                    _watch: watch,
                };
                let face = EmbedderFace {
                    info: model.info().clone(),
                    tokens: Arc::new(WordCounter { limit: 64 }),
                };
                Loaded::Embed(Arc::new(model), Arc::new(face))
            }
            Duty::Rerank => Loaded::Rerank(Arc::new(WordReranker)),
            Duty::Sparse => Loaded::Sparse(Arc::new(WordSparseEmbedder)),
        })
    }
}

/// Notes when a model is dropped.
struct Watch(Script, String);

impl Drop for Watch {
    fn drop(&mut self) {
        let event = format!("drop {}", self.1);
        self.0.pass(&event);
        self.0.note(event);
    }
}

struct WatchedEmbedder {
    own: HashEmbedder,
    _watch: Watch,
}

impl Embedder for WatchedEmbedder {
    fn info(&self) -> &EmbedderInfo {
        self.own.info()
    }

    fn tokens(&self) -> &dyn TokenCounter {
        self.own.tokens()
    }

    fn embed<'a>(
        &'a self,
        texts: &'a [String],
        kind: EmbedKind,
    ) -> BoxFuture<'a, Result<Vec<Embedding>>> {
        self.own.embed(texts, kind)
    }
}

/// A chat model whose streams the script feeds.
struct FedChatModel {
    info: ChatModelInfo,
    watch: Watch,
    whole: ScriptedChatModel,
}

impl FedChatModel {
    fn new(watch: Watch) -> Self {
        Self {
            info: ChatModelInfo {
                model: watch.1.clone(),
                context_length: 64,
            },
            watch,
            whole: ScriptedChatModel::new([""; 0]),
        }
    }
}

impl ChatModel for FedChatModel {
    fn info(&self) -> &ChatModelInfo {
        &self.info
    }

    fn tokens(&self) -> Option<&dyn TokenCounter> {
        self.whole.tokens()
    }

    fn prompt_tokens(&self, request: &ChatRequest) -> Result<usize> {
        self.whole.prompt_tokens(request)
    }

    fn stream(&self, _: ChatRequest) -> BoxFuture<'_, Result<ChatStream>> {
        Box::pin(async move {
            let (sender, events) = unbounded();
            let mut told = self.watch.0.0.lock().unwrap();
            let streams = told.streams.entry(self.watch.1.clone()).or_default();
            streams.push(sender);
            Ok(events.boxed())
        })
    }
}

fn ask() -> ChatRequest {
    ChatRequest::new([Message::user("乌鸦?")])
}

fn finish() -> ChatEvent {
    ChatEvent::Finish {
        reason: FinishReason::Stop,
        usage: Usage::default(),
    }
}

fn states(pool: &ModelPool) -> Vec<(String, ModelState)> {
    let models = pool.status().models.into_iter();
    models.map(|it| (it.name, it.state)).collect()
}

fn open(pool: &ModelPool, name: &str) -> Arc<dyn ChatModel> {
    block_on(pool.chat(name, &silent)).unwrap()
}

fn stream(model: &Arc<dyn ChatModel>) -> ChatStream {
    block_on(model.stream(ask())).unwrap()
}

#[test]
fn those_who_ask_together_share_one_load() {
    let script = Script::of(&[("a", 4)]);
    let pool = script.pool(10);
    let gate = script.gate("a");
    let seen = Mutex::new(Vec::new());
    let report = |event: HubEvent<'_>| seen.lock().unwrap().push(format!("{event:?}"));
    let (one, two, ()) = block_on(async {
        join!(pool.chat("a", &report), pool.chat("a", &silent), async {
            let status = pool.status();
            assert!(matches!(status.models[0].state, ModelState::Loading(_)));
            assert_eq!((status.taken, status.models[0].running), (4, 0));
            gate.send(()).unwrap();
        })
    });
    assert_eq!(one.unwrap().info(), two.unwrap().info());
    assert_eq!(script.events(), ["load a of 4"]);
    let seen = seen.into_inner().unwrap();
    assert_eq!(
        seen,
        [
            "Loading { model: \"a\", done: 0.5 }",
            "Loaded { model: \"a\" }"
        ]
    );
    let status = pool.status();
    assert_eq!((status.taken, status.limit, status.waiting), (4, 10, 0));
    assert_eq!(status.models[0].state, ModelState::Ready);
    assert_eq!(status.models[0].running, 0);
    assert!(status.models[0].last_used.is_some());
}

#[test]
fn whoever_was_not_used_for_longest_makes_room_and_comes_back_when_used() {
    let script = Script::of(&[("a", 4), ("b", 4), ("c", 4)]);
    let pool = script.pool(10);
    let (a, b) = (open(&pool, "a"), open(&pool, "b"));
    drop(stream(&a));
    let _c = open(&pool, "c");
    let expected = ["load a of 4", "load b of 4", "drop b", "load c of 4"];
    assert_eq!(script.events(), expected);
    let of = |name: &str, state| (name.to_owned(), state);
    assert_eq!(
        states(&pool),
        [
            of("a", ModelState::Ready),
            of("b", ModelState::Evicted),
            of("c", ModelState::Ready)
        ]
    );
    // The handle says what it is without its model, and has it loaded when it needs it.
    assert_eq!(b.info().model, "b");
    assert_eq!(b.tokens().unwrap().count("two words"), 2);
    assert_eq!(b.prompt_tokens(&ask()).unwrap(), 1);
    assert!(script.events().is_empty());
    drop(stream(&b));
    assert_eq!(script.events(), ["drop a", "load b of 4"]);
}

#[test]
fn a_model_in_use_stays_until_its_last_event() {
    for ending in ["finish", "error", "drop"] {
        let script = Script::of(&[("a", 4), ("b", 4)]);
        let pool = script.pool(4);
        let a = open(&pool, "a");
        let mut events = Some(stream(&a));
        let feed = script.feed("a");
        assert_eq!(pool.status().models[0].running, 1);
        let mut b = Box::pin(pool.chat("b", &silent));
        assert!(block_on(poll_immediate(&mut b)).is_none(), "{ending}");
        assert_eq!(pool.status().waiting, 1);
        feed.unbounded_send(Ok(ChatEvent::Text("x".into())))
            .unwrap();
        let last = match ending {
            "finish" => Ok(finish()),
            _ => Err(Error::new(ErrorKind::Internal, "a", "it broke")),
        };
        feed.unbounded_send(last).unwrap();
        if ending == "drop" {
            events = None;
        }
        // A stream that is read to its end frees the model, though it is still held.
        if let Some(events) = &mut events {
            block_on(events.next()).unwrap().unwrap();
            assert!(block_on(poll_immediate(&mut b)).is_none(), "{ending}");
            block_on(events.next()).unwrap().ok();
        }
        block_on(b).unwrap();
        assert_eq!(script.events(), ["load a of 4", "drop a", "load b of 4"]);
        if let Some(events) = &mut events {
            assert!(block_on(events.next()).is_none());
        }
    }
}

#[test]
fn what_never_fits_is_refused_before_it_is_loaded() {
    let script = Script::of(&[("big", 11_000_000)]);
    let pool = script.pool(10_000_000);
    let refused = block_on(pool.chat("big", &silent)).err().unwrap();
    assert_eq!(refused.kind(), &ErrorKind::LimitExceeded);
    for number in ["11 MB", "10 MB", "`big`"] {
        assert!(refused.to_string().contains(number), "{refused}");
    }
    let beside = pool.check("big", 11_000_000).unwrap_err();
    assert_eq!(beside.to_string(), refused.to_string());
    pool.check("small", 10_000_000).unwrap();
    assert!(script.events().is_empty());
    assert_eq!(states(&pool), [("big".to_owned(), ModelState::Absent)]);
}

#[test]
fn who_waits_too_long_or_behind_too_many_is_told() {
    let impatient = PoolOptions {
        memory: 4,
        patience: Duration::ZERO,
        ..PoolOptions::default()
    };
    let alone = PoolOptions {
        memory: 4,
        waiting: 0,
        ..PoolOptions::default()
    };
    for options in [impatient, alone] {
        let script = Script::of(&[("a", 4), ("b", 4)]);
        let pool = script.pool_with(options);
        let a = open(&pool, "a");
        let events = stream(&a);
        let refused = block_on(pool.chat("b", &silent)).err().unwrap();
        let overloaded = matches!(refused.kind(), ErrorKind::Overloaded { .. });
        assert!(overloaded && refused.is_retryable(), "{refused}");
        assert_eq!(pool.status().waiting, 0);
        drop(events);
        block_on(pool.chat("b", &silent)).unwrap();
    }
}

#[test]
fn the_deadline_of_a_request_covers_the_wait() {
    let script = Script::of(&[("a", 4), ("b", 4)]);
    let pool = script.pool(4);
    let (b, a) = (open(&pool, "b"), open(&pool, "a"));
    let late = ChatRequest {
        timeout: Some(Duration::ZERO),
        ..ask()
    };
    let events = stream(&a);
    let refused = block_on(b.stream(late.clone())).err().unwrap();
    assert!(
        matches!(refused.kind(), ErrorKind::Overloaded { .. }),
        "{refused}"
    );
    drop(events);
    let gate = script.gate("b");
    let refused = block_on(b.stream(late)).err().unwrap();
    assert_eq!(refused.kind(), &ErrorKind::LimitExceeded, "{refused}");
    // The load goes on, and serves who comes later.
    script.events();
    gate.send(()).unwrap();
    drop(stream(&b));
    assert!(script.events().is_empty());
}

#[test]
fn a_load_that_fails_is_tried_again() {
    for (ending, kind) in [
        (Ending::Error, ErrorKind::Malformed),
        (Ending::Panic, ErrorKind::Internal),
    ] {
        let script = Script::of(&[("a", 4)]);
        let pool = script.pool(4);
        script.ends("a", ending);
        let gate = script.gate("a");
        let (one, two, ()) = block_on(async {
            join!(pool.chat("a", &silent), pool.chat("a", &silent), async {
                gate.send(()).unwrap();
            })
        });
        for refused in [one.err().unwrap(), two.err().unwrap()] {
            assert_eq!(refused.kind(), &kind);
        }
        assert_eq!(pool.status().taken, 0);
        assert_eq!(states(&pool), [("a".to_owned(), ModelState::Absent)]);
        gate.send(()).unwrap();
        open(&pool, "a");
        assert_eq!(script.events(), ["load a of 4", "load a of 4"]);
    }
}

#[test]
fn unloading_waits_for_the_last_use() {
    let script = Script::of(&[("a", 4)]);
    let pool = script.pool(4);
    assert_eq!(pool.unload("a").unwrap_err().kind(), &ErrorKind::NotFound);
    let a = open(&pool, "a");
    let (first, second) = (stream(&a), stream(&a));
    assert!(!pool.unload("a").unwrap());
    drop(first);
    assert_eq!(states(&pool), [("a".to_owned(), ModelState::Ready)]);
    script.events();
    drop(second);
    assert_eq!(script.events(), ["drop a"]);
    assert_eq!(states(&pool), [("a".to_owned(), ModelState::Evicted)]);
    assert!(pool.unload("a").unwrap());
    // The handle is as good as before, and the model stays this time.
    drop(stream(&a));
    assert_eq!(script.events(), ["load a of 4"]);
    assert!(pool.unload("a").unwrap());
    assert_eq!(script.events(), ["drop a"]);
}

#[test]
fn a_model_that_is_unloaded_while_it_comes_goes_when_nobody_waits() {
    let script = Script::of(&[("a", 4)]);
    let pool = script.pool(4);
    let gate = script.gate("a");
    let mut given_up = Box::pin(pool.chat("a", &silent));
    assert!(block_on(poll_immediate(&mut given_up)).is_none());
    assert!(!pool.unload("a").unwrap());
    let (opened, ()) = block_on(async {
        join!(pool.chat("a", &silent), async {
            drop(given_up);
            gate.send(()).unwrap();
        })
    });
    let a = opened.unwrap();
    assert_eq!(script.events(), ["load a of 4", "drop a"]);
    gate.send(()).unwrap();
    drop(stream(&a));
    assert_eq!(script.events(), ["load a of 4"]);
}

#[test]
fn the_line_is_first_come_first_served_and_forgets_who_left() {
    let script = Script::of(&[("a", 4), ("b", 4), ("c", 2), ("d", 1)]);
    let pool = script.pool(4);
    let a = open(&pool, "a");
    let events = stream(&a);
    let mut b = Box::pin(pool.chat("b", &silent));
    let mut c = Box::pin(pool.chat("c", &silent));
    let mut d = Box::pin(pool.chat("d", &silent));
    for waiting in [&mut b, &mut c, &mut d] {
        assert!(block_on(poll_immediate(waiting)).is_none());
    }
    assert_eq!(pool.status().waiting, 3);
    drop(b);
    assert_eq!(pool.status().waiting, 2);
    drop(events);
    // The last one is not served before the one in front of it.
    script.events();
    assert!(block_on(poll_immediate(&mut d)).is_none());
    assert!(script.events().is_empty());
    let (c, d) = block_on(async { join!(c, d) });
    c.unwrap();
    d.unwrap();
    assert_eq!(pool.status().waiting, 0);
    // Both have room now, and may be loaded side by side.
    let mut events = script.events();
    events[1..].sort();
    assert_eq!(events, ["drop a", "load c of 2", "load d of 1"]);
}

#[test]
fn nobody_takes_the_room_of_a_model_that_is_still_going() {
    let script = Script::of(&[("a", 4), ("b", 2), ("c", 2)]);
    let pool = script.pool(4);
    let gate = script.gate("drop a");
    open(&pool, "a");
    let mut b = Box::pin(pool.chat("b", &silent));
    let mut c = Box::pin(pool.chat("c", &silent));
    assert!(block_on(poll_immediate(&mut b)).is_none());
    // There will be room beside `b`, but `a` is not gone.
    assert!(block_on(poll_immediate(&mut c)).is_none());
    assert_eq!(pool.status().waiting, 1);
    assert_eq!(script.events(), ["load a of 4"]);
    gate.send(()).unwrap();
    let (b, c) = block_on(async { join!(b, c) });
    b.unwrap();
    c.unwrap();
    assert_eq!(script.events()[0], "drop a");
}

#[test]
fn handles_keep_what_they_need_and_it_is_charged() {
    let script = Script::default();
    script.size("a", 10, 10, 2);
    script.size("b", 8, 8, 0);
    let pool = script.pool(10);
    let a = open(&pool, "a");
    let _b = open(&pool, "b");
    assert_eq!(pool.status().taken, 8 + 2);
    // What its own handle keeps never stands in its way.
    drop(stream(&a));
    assert_eq!(pool.status().taken, 10);
    assert!(pool.unload("a").unwrap());
    assert_eq!(pool.status().taken, 2);
    drop(a);
    assert_eq!(pool.status().taken, 0);
}

#[test]
fn what_is_useful_is_given_but_nobody_goes_for_it() {
    let script = Script::default();
    script.size("a", 4, 10, 0);
    script.size("b", 4, 4, 0);
    let pool = script.pool(8);
    open(&pool, "a");
    open(&pool, "b");
    open(&pool, "a");
    assert_eq!(
        script.events(),
        ["load a of 8", "drop a", "load b of 4", "load a of 4"]
    );
}

#[test]
fn one_name_may_have_several_duties() {
    let script = Script::of(&[("m", 2)]);
    let pool = script.pool(10);
    block_on(async {
        for duty in [Duty::Embed, Duty::Rerank, Duty::Sparse] {
            pool.warm_up(duty, "m", &silent).await.unwrap();
        }
        let embedder = pool.embedder("m", &silent).await.unwrap();
        let texts = ["raven".to_owned()];
        let vectors = embedder.embed(&texts, EmbedKind::Query).await.unwrap();
        assert_eq!(vectors[0].len(), 8);
        assert_eq!(embedder.tokens().limit(), 64);
        let reranker = pool.reranker("m", &silent).await.unwrap();
        assert_eq!(reranker.rerank("raven", &texts).await.unwrap(), [1.0]);
        let sparse = pool.sparse_embedder("m", &silent).await.unwrap();
        assert_eq!(sparse.info(), WordSparseEmbedder.info());
        let weights = sparse.embed(&texts, EmbedKind::Query).await.unwrap();
        assert_eq!(weights[0].values, [5.0]);
        let unknown = pool.embedder("n", &silent).await.err().unwrap();
        assert_eq!(unknown.kind(), &ErrorKind::NotFound);
    });
    let events = script.events();
    let loads = events.iter().filter(|it| it.starts_with("load")).count();
    assert_eq!(loads, 3, "{events:?}");
    assert_eq!(pool.status().taken, 6);
    let duties = pool.status().models.into_iter().map(|it| it.duty);
    assert_eq!(
        duties.collect::<Vec<_>>(),
        [Duty::Embed, Duty::Rerank, Duty::Sparse]
    );
}

#[test]
fn many_at_once_keep_the_limit_and_all_are_served() {
    let names = ["a", "b", "c", "d", "e"];
    let sizes: Vec<(&str, usize)> = names.iter().copied().zip([3, 5, 7, 2, 9]).collect();
    let script = Script::of(&sizes);
    let pool = script.pool(10);
    let texts = ["raven".to_owned()];
    let expected = block_on(HashEmbedder::new(8).embed(&texts, EmbedKind::Query)).unwrap();
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (pool, texts, expected) = (&pool, &texts, &expected);
            scope.spawn(move || {
                let open = |name: &str| block_on(pool.embedder(name, &silent)).unwrap();
                let handles = names.map(open);
                for round in 0..200 {
                    let embedder = &handles[(round * (worker + 1) + worker) % names.len()];
                    let vectors = block_on(embedder.embed(texts, EmbedKind::Query)).unwrap();
                    assert_eq!(vectors, *expected);
                    assert!(pool.status().taken <= 10);
                    if round % 50 == worker {
                        pool.unload(names[round % names.len()]).unwrap();
                    }
                }
            });
        }
    });
    let status = pool.status();
    assert_eq!(status.waiting, 0);
    assert!(status.models.iter().all(|model| model.running == 0));
    for name in names {
        pool.unload(name).unwrap();
    }
    assert_eq!(pool.status().taken, 0);
}
