//! The laws of the engine, on tiny models with random weights.

#![cfg(feature = "local")]
#![allow(clippy::unwrap_used)]

mod tiny;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result, Sampling};
use corbie_models::constraint::Mask;
use corbie_models::decoder::{Decoder, Workspace};
use corbie_models::engine::{Engine, EngineOptions, Guide, Request, Sink, Written};
use corbie_models::kernels::Precision;
use corbie_models::sampling::Sampler;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use tiny::{Storage, TinyModel};

/// Tokens of the tiny models.
const VOCABULARY: u32 = 40;

fn decoder(name: &str) -> Arc<Decoder> {
    let file = TinyModel::fixture(name).file(Storage::F32);
    Arc::new(Decoder::load(&file, Precision::F32).unwrap())
}

fn options(decoder: &Decoder) -> EngineOptions {
    EngineOptions::for_context(decoder, 1024)
}

fn engine(decoder: &Arc<Decoder>) -> Engine {
    Engine::start("model `tiny`", decoder, options(decoder)).unwrap()
}

/// What a request wrote, and how it ended.
type Outcome = (Vec<u32>, Result<Written>);

/// Collects tokens; breaks after `most` of them.
struct Collect {
    tokens: Vec<u32>,
    most: usize,
    done: Sender<Outcome>,
    cancelled: Arc<AtomicBool>,
}

impl Sink for Collect {
    fn token(&mut self, token: u32) -> ControlFlow<()> {
        self.tokens.push(token);
        match self.tokens.len() < self.most {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    fn end(self: Box<Self>, result: Result<Written>) {
        let _ = self.done.send((self.tokens, result));
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A request for `max_tokens` after `prompt`, greedy without a seed, and where its outcome comes.
fn request(prompt: &[u32], max_tokens: usize, seed: Option<u64>) -> (Request, Receiver<Outcome>) {
    let (done, outcome) = channel();
    let sampling = Sampling {
        temperature: if seed.is_some() { 1.0 } else { 0.0 },
        seed,
        ..Sampling::default()
    };
    let request = Request {
        prompt: prompt.to_vec(),
        max_tokens,
        sampler: Sampler::new(&sampling).unwrap(),
        ends: Vec::new(),
        adapter: None,
        guide: None,
        deadline: None,
        sink: Box::new(Collect {
            tokens: Vec::new(),
            most: usize::MAX,
            done,
            cancelled: Arc::default(),
        }),
    };
    (request, outcome)
}

fn text(length: usize, seed: u64) -> Vec<u32> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..length)
        .map(|_| rng.random_range(0..VOCABULARY))
        .collect()
}

/// What a fresh engine that guesses nothing writes for one request.
fn alone(decoder: &Arc<Decoder>, prompt: &[u32], max_tokens: usize, seed: Option<u64>) -> Vec<u32> {
    let options = EngineOptions {
        guesses: 0,
        ..options(decoder)
    };
    let engine = Engine::start("model `tiny`", decoder, options).unwrap();
    let (request, outcome) = request(prompt, max_tokens, seed);
    engine.submit(request).unwrap();
    outcome.recv().unwrap().0
}

/// Keeps the engine busy until the sender is dropped, so that requests pile up.
fn gate(engine: &Engine) -> Sender<()> {
    let (open, closed) = channel::<()>();
    engine
        .call(move |_, _| closed.recv().unwrap_or_default())
        .unwrap();
    open
}

#[test]
fn together_they_write_what_they_write_alone() {
    for name in ["llama", "gemma3"] {
        let decoder = decoder(name);
        let lengths = [1, 300, 20, 64, 65, 5, 130, 17];
        let requests: Vec<_> = (0..)
            .zip(lengths)
            .map(|(i, length)| {
                (
                    text(length, i),
                    20 + 7 * i as usize,
                    (i % 2 == 1).then_some(i),
                )
            })
            .collect();
        let together = engine(&decoder);
        let open = gate(&together);
        let mut outcomes = Vec::new();
        for (prompt, most, seed) in &requests {
            let (request, outcome) = request(prompt, *most, *seed);
            together.submit(request).unwrap();
            outcomes.push(outcome);
        }
        drop(open);
        for ((prompt, most, seed), outcome) in requests.iter().zip(outcomes) {
            let (tokens, written) = outcome.recv().unwrap();
            assert_eq!(tokens.len(), *most);
            assert!(written.unwrap().cut);
            assert_eq!(tokens, alone(&decoder, prompt, *most, *seed), "{name}");
        }
    }
}

#[test]
fn what_was_read_before_is_not_read_again() {
    for name in ["llama", "gemma3"] {
        let decoder = decoder(name);
        let engine = engine(&decoder);
        let write = |prompt: &[u32]| {
            let (request, outcome) = request(prompt, 8, None);
            engine.submit(request).unwrap();
            let (tokens, written) = outcome.recv().unwrap();
            assert_eq!(tokens, alone(&decoder, prompt, 8, None));
            written.unwrap().cached
        };
        let shared = text(200, 1);
        let with = |more: &[u32]| [&shared, more].concat();
        assert_eq!(write(&shared), 0);
        assert_eq!(write(&shared), 199, "the last token's logits are wanted");
        assert_eq!(write(&with(&[1, 2, 3])), 200);
        assert_eq!(write(&with(&[1, 2, 9, 9])), 202);
        let answer = alone(&decoder, &with(&[1, 2, 3]), 8, None);
        let conversation = [with(&[1, 2, 3]), answer, vec![7, 7]].concat();
        assert_eq!(
            write(&conversation),
            210,
            "the last written token was never read"
        );
        assert_eq!(write(&text(90, 2)), 0);
        assert_eq!(write(&shared[..100]), 99);
    }
}

#[test]
fn requests_that_come_together_read_their_common_prefix_once() {
    let decoder = decoder("llama");
    let engine = engine(&decoder);
    let shared = text(192, 5);
    let open = gate(&engine);
    let outcomes: Vec<_> = (0..4)
        .map(|i| {
            let (request, outcome) = request(&[&shared[..], &[i; 70]].concat(), 4, None);
            engine.submit(request).unwrap();
            outcome
        })
        .collect();
    drop(open);
    let cached: Vec<usize> = outcomes
        .iter()
        .map(|outcome| outcome.recv().unwrap().1.unwrap().cached)
        .collect();
    assert_eq!(cached, [0, 192, 192, 192]);
}

#[test]
fn little_memory_changes_when_and_not_what() {
    for name in ["llama", "gemma3"] {
        let (decoder, other) = (decoder(name), decoder(name));
        let little = EngineOptions {
            memory: decoder.memory_of(420),
            ..options(&decoder)
        };
        let engine = Engine::start("model `tiny`", &decoder, little).unwrap();
        let open = gate(&engine);
        let outcomes: Vec<_> = (0..6)
            .map(|i| {
                let prompt = text(40 + 20 * i, i as u64);
                let (request, outcome) = request(&prompt, 150, Some(3));
                engine.submit(request).unwrap();
                (prompt, outcome)
            })
            .collect();
        drop(open);
        for (prompt, outcome) in outcomes {
            let (tokens, written) = outcome.recv().unwrap();
            written.unwrap();
            assert_eq!(tokens, alone(&other, &prompt, 150, Some(3)));
            assert!(engine.load().memory <= little.memory);
        }
        let (endless, _) = request(&[1], 10_000, None);
        let refused = engine.submit(endless).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::LimitExceeded);
        assert!(refused.to_string().contains("10001 tokens"), "{refused}");
        assert!(engine.most_tokens(1024) >= 420);
    }
}

#[test]
fn cancelled_requests_leave_nothing() {
    let decoder = decoder("llama");
    let limits = EngineOptions {
        memory: decoder.memory_of(600),
        ..options(&decoder)
    };
    let engine = Engine::start("model `tiny`", &decoder, limits).unwrap();
    let mut rng = StdRng::seed_from_u64(9);
    let mut outcomes: Vec<(Arc<AtomicBool>, Receiver<Outcome>)> = Vec::new();
    let mut peak = 0;
    for i in 0..1000 {
        let cancelled = Arc::new(AtomicBool::new(rng.random_bool(0.3)));
        let (done, outcome) = channel();
        let most = rng.random_range(1..20);
        let sink = Collect {
            tokens: Vec::new(),
            most,
            done,
            cancelled: Arc::clone(&cancelled),
        };
        let mut request = request(&text(rng.random_range(1..150), i % 50), 30, Some(i)).0;
        request.sink = Box::new(sink);
        while engine.load().waiting >= limits.waiting {
            // The oldest is let go or comes to its end.
            let (flag, outcome) = outcomes.remove(0);
            match rng.random_bool(0.5) {
                true => flag.store(true, Ordering::Relaxed),
                false => drop(outcome.recv()),
            }
        }
        engine.submit(request).unwrap();
        peak = peak.max(engine.load().memory);
        outcomes.push((cancelled, outcome));
    }
    for (flag, _) in &outcomes {
        flag.store(true, Ordering::Relaxed);
    }
    for (_, outcome) in outcomes {
        // Whoever was let go ends without a word.
        drop(outcome.recv());
    }
    engine.forget().unwrap();
    let (idle, reached) = channel();
    engine.call(move |_, _| idle.send(()).unwrap()).unwrap();
    reached.recv().unwrap();
    assert_eq!(decoder.memory_in_use(), 0);
    assert!(peak <= limits.memory + decoder.block_bytes(), "{peak}");
}

/// Waits for nothing.
struct Gone;

impl Sink for Gone {
    fn token(&mut self, _: u32) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn end(self: Box<Self>, _: Result<Written>) {}

    fn is_cancelled(&self) -> bool {
        true
    }
}

#[test]
fn a_full_queue_is_overloaded_and_the_cancelled_make_room() {
    let decoder = decoder("llama");
    let few = EngineOptions {
        waiting: 3,
        ..options(&decoder)
    };
    let engine = Engine::start("model `tiny`", &decoder, few).unwrap();
    let (taken, reached) = channel();
    let (open, closed) = channel::<()>();
    let busy = move |_: &_, _: &mut _| {
        taken.send(()).unwrap();
        closed.recv().unwrap_or_default();
    };
    engine.call(busy).unwrap();
    reached.recv().unwrap();
    for _ in 0..2 {
        engine.submit(request(&[1], 1, None).0).unwrap();
    }
    let mut cancelled = request(&[1], 1, None).0;
    cancelled.sink = Box::new(Gone);
    engine.submit(cancelled).unwrap();
    assert_eq!(engine.load().waiting, 3);
    let (last, outcome) = request(&[1], 1, None);
    engine.submit(last).unwrap();
    let refused = engine.submit(request(&[1], 1, None).0).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Overloaded { waiting: 3 });
    drop(open);
    assert_eq!(outcome.recv().unwrap().0.len(), 1);
}

#[test]
fn what_takes_too_long_says_so() {
    let decoder = decoder("llama");
    let engine = engine(&decoder);
    let (mut late, outcome) = request(&text(100, 1), 500, None);
    late.deadline = Some(Instant::now());
    engine.submit(late).unwrap();
    let error = outcome.recv().unwrap().1.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::LimitExceeded);
}

#[test]
fn a_panic_costs_those_who_run() {
    struct Panics;
    impl Sink for Panics {
        fn token(&mut self, _: u32) -> ControlFlow<()> {
            panic!("a bug of the sink");
        }
        fn end(self: Box<Self>, _: Result<Written>) {}
        fn is_cancelled(&self) -> bool {
            false
        }
    }
    let decoder = decoder("llama");
    let engine = engine(&decoder);
    let mut bad = request(&[1, 2], 3, None).0;
    bad.sink = Box::new(Panics);
    engine.submit(bad).unwrap();
    let (good, outcome) = request(&[1, 2], 3, None);
    engine.submit(good).unwrap();
    // It ran beside the other and ended with it, or came later and is whole.
    if let Ok((tokens, _)) = outcome.recv() {
        assert_eq!(tokens, alone(&decoder, &[1, 2], 3, None));
    }
    let (good, outcome) = request(&[1, 2], 3, None);
    engine.submit(good).unwrap();
    assert_eq!(outcome.recv().unwrap().0, alone(&decoder, &[1, 2], 3, None));
}

#[test]
fn nonsense_is_refused_before_work() {
    let decoder = decoder("llama");
    let engine = engine(&decoder);
    for prompt in [vec![], vec![1, VOCABULARY]] {
        let refused = engine.submit(request(&prompt, 1, None).0).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::BadInput);
    }
}

/// Allows tokens that leave the remainder `at % 3` by 3, forces token 9 after each 6, and ends
/// after `length` tokens.
struct Rhythm {
    at: u32,
    last: u32,
    length: u32,
}

impl Guide for Rhythm {
    fn mask(&mut self, left: usize) -> Result<Option<Mask>> {
        assert!(left > 0);
        let fits = |token: &u32| token % 3 == self.at % 3;
        let tokens: Vec<u32> = (0..VOCABULARY).filter(fits).collect();
        Ok(Some(Mask::of(&tokens, VOCABULARY as usize)))
    }

    fn commit(&mut self, token: u32) -> Result<()> {
        if token % 3 != self.at % 3 {
            return Err(Error::new(ErrorKind::Internal, "rhythm", "out of step"));
        }
        (self.at, self.last) = (self.at + 1, token);
        Ok(())
    }

    fn forced(&mut self, left: usize) -> Result<Vec<u32>> {
        match self.last == 6 && left > 0 {
            true => {
                (self.at, self.last) = (self.at + 1, 9);
                Ok(vec![9])
            }
            false => Ok(Vec::new()),
        }
    }

    fn must_end(&mut self) -> bool {
        self.at >= self.length
    }
}

#[test]
fn guides_are_followed() {
    let decoder = decoder("llama");
    let engine = engine(&decoder);
    let open = gate(&engine);
    let outcomes: Vec<_> = (0..5)
        .map(|seed| {
            let (mut request, outcome) = request(&text(30, seed), 60, Some(seed));
            let (at, last) = (0, 0);
            let length = 50;
            request.guide = Some(Box::new(Rhythm { at, last, length }));
            engine.submit(request).unwrap();
            outcome
        })
        .collect();
    drop(open);
    for outcome in outcomes {
        let (tokens, written) = outcome.recv().unwrap();
        assert!(!written.unwrap().cut);
        assert!((50..=51).contains(&tokens.len()), "{tokens:?}");
        let (mut at, mut sixes) = (0, 0);
        let mut rest = tokens.iter();
        while let Some(token) = rest.next() {
            assert_eq!(token % 3, at % 3, "{tokens:?}");
            at += 1;
            if *token == 6 {
                sixes += 1;
                assert!(matches!(rest.next(), Some(9)), "{tokens:?}");
                at += 1;
            }
        }
        assert!(sixes <= 25);
    }
}

/// Allows everything.
struct Anything;

impl Guide for Anything {
    fn mask(&mut self, _: usize) -> Result<Option<Mask>> {
        Ok(Some(Mask::all(VOCABULARY as usize)))
    }

    fn commit(&mut self, _: u32) -> Result<()> {
        Ok(())
    }

    fn forced(&mut self, _: usize) -> Result<Vec<u32>> {
        Ok(Vec::new())
    }

    fn must_end(&mut self) -> bool {
        false
    }
}

#[test]
fn a_guide_that_allows_everything_changes_nothing() {
    let decoder = decoder("llama");
    for seed in [None, Some(1)] {
        let engine = engine(&decoder);
        let (mut guided, outcome) = request(&text(30, 4), 40, seed);
        guided.guide = Some(Box::new(Anything));
        engine.submit(guided).unwrap();
        let expected = alone(&decoder, &text(30, 4), 40, seed);
        assert_eq!(outcome.recv().unwrap().0, expected);
    }
}

#[test]
fn guesses_change_nothing() {
    for name in ["llama", "gemma3", "lfm2"] {
        let decoder = decoder(name);
        for (seed, of) in [(None, 3), (None, 40), (Some(1), 5), (Some(2), 2)] {
            // The fewer tokens there are, the more is guessed, right and wrong.
            let prompt: Vec<u32> = text(90, of).iter().map(|token| token % of as u32).collect();
            let expected = alone(&decoder, &prompt, 120, seed);
            for guesses in [1, 10, 40] {
                let options = EngineOptions {
                    guesses,
                    ..options(&decoder)
                };
                let engine = Engine::start("model `tiny`", &decoder, options).unwrap();
                for guided in [false, true] {
                    let (mut request, outcome) = request(&prompt, 120, seed);
                    request.guide = guided.then(|| Box::new(Anything) as Box<dyn Guide>);
                    engine.submit(request).unwrap();
                    let (tokens, written) = outcome.recv().unwrap();
                    assert_eq!(tokens, expected, "{name}, {guesses}, {guided}");
                    assert!(written.unwrap().cut);
                }
                // What is kept of it is what was written, and no guess.
                let next = [&prompt[..], &expected, &[7, 7]].concat();
                let (request, outcome) = request(&next, 20, seed);
                engine.submit(request).unwrap();
                let (tokens, written) = outcome.recv().unwrap();
                assert_eq!(
                    tokens,
                    alone(&decoder, &next, 20, seed),
                    "{name}, {guesses}"
                );
                assert_eq!(written.unwrap().cached, 90 + 119, "{name}, {guesses}");
            }
        }
    }
}

/// Collects the logits after the last tokens of a prompt.
struct Weigh {
    weighs: usize,
    rows: Vec<f32>,
    done: Sender<Vec<f32>>,
}

impl Sink for Weigh {
    fn token(&mut self, _: u32) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn end(self: Box<Self>, result: Result<Written>) {
        assert_eq!(result.unwrap().tokens, 0);
        let _ = self.done.send(self.rows);
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn weighs(&self) -> usize {
        self.weighs
    }

    fn weigh(&mut self, logits: &[f32]) {
        self.rows.extend(logits);
    }
}

#[test]
fn weighed_tokens_have_the_logits_of_one_pass() {
    for name in ["llama", "gemma3"] {
        let decoder = decoder(name);
        // So little memory that those who came last give theirs back.
        let limits = EngineOptions {
            memory: decoder.memory_of(400),
            ..options(&decoder)
        };
        let engine = Engine::start("model `tiny`", &decoder, limits).unwrap();
        let prompt = text(140, 1);
        let weighing = |length: usize, weighs: usize| {
            let (done, rows) = channel();
            let (mut request, _) = request(&[&prompt[..], &text(length, 2)].concat(), 0, None);
            request.sink = Box::new(Weigh {
                weighs,
                rows: Vec::new(),
                done,
            });
            (request, rows)
        };
        let expected = |length: usize, weighs: usize| {
            let whole = [&prompt[..], &text(length, 2)].concat();
            let mut workspace = Workspace::default();
            let mut sequence = decoder.sequence();
            let rows = sequence.read(&whole, weighs, &mut workspace);
            rows.unwrap().to_vec()
        };
        let (busy, written) = request(&text(100, 3), 80, None);
        engine.submit(busy).unwrap();
        for _ in 0..2 {
            let (first, rows) = weighing(0, 1);
            let mut outcomes = vec![(0, 1, rows)];
            let mut rest = Vec::new();
            for (length, weighs) in [(1, 1), (7, 7), (90, 90), (100, 3), (150, 200), (5, 145)] {
                let (request, rows) = weighing(length, weighs);
                rest.push(request);
                outcomes.push((length, weighs, rows));
            }
            engine.submit_together(first, rest).unwrap();
            for (length, weighs, rows) in outcomes {
                let rows = rows.recv().unwrap();
                assert!(rows == expected(length, weighs), "{name} {length} {weighs}");
            }
        }
        let alone = alone(&decoder, &text(100, 3), 80, None);
        assert_eq!(written.recv().unwrap().0, alone);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever runs beside a request, was read before it or is dropped meanwhile: it writes the
    /// same.
    #[test]
    fn nothing_beside_a_request_changes_it(
        requests in prop::collection::vec(
            (0u64..4, 1usize..200, 0usize..30, prop::option::of(0u64..9), any::<bool>()),
            1..12,
        ),
        memory in 300usize..900,
    ) {
        let decoder = decoder("gemma3");
        let limits = EngineOptions {
            memory: decoder.memory_of(memory),
            running: 5,
            ..options(&decoder)
        };
        let engine = Engine::start("model `tiny`", &decoder, limits).unwrap();
        let mut outcomes = Vec::new();
        for (source, length, most, seed, cancelled) in requests {
            let prompt = &text(200, source)[..length];
            let (mut request, outcome) = request(prompt, most, seed);
            if cancelled {
                request.sink = Box::new(Gone);
            } else {
                outcomes.push((prompt.to_vec(), most, seed, outcome));
            }
            engine.submit(request).unwrap();
        }
        for (prompt, most, seed, outcome) in outcomes {
            let (tokens, written) = outcome.recv().unwrap();
            prop_assert!(written.is_ok(), "{written:?}");
            prop_assert_eq!(tokens, alone(&decoder, &prompt, most, seed));
        }
    }
}
