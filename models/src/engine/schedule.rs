//! Who runs: admitting requests, one pass after the other, and what follows from each.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result};

use super::inbox::{Entry, Inbox};
use super::masks::{Question, beside};
use super::plan::{Budget, shares};
use super::prefix::{Prefixes, common};
use super::run::{Progress, Run};
use super::{EngineOptions, Request};
use crate::constraint::Mask;
use crate::decoder::{Decoder, Step, Workspace};
use crate::kernels::BLOCK_POSITIONS;

/// The requests at work and what they share.
pub(super) struct Schedule<'a> {
    name: &'a str,
    decoder: &'a Arc<Decoder>,
    inbox: &'a Inbox,
    options: EngineOptions,
    workspace: Workspace,
    prefixes: Prefixes,
    /// In order of arrival.
    runs: Vec<Run>,
    /// Requests that gave their memory to earlier ones; they go on when there is room.
    parked: VecDeque<Run>,
    next_id: u64,
    budget: Budget,
}

impl<'a> Schedule<'a> {
    pub fn new(
        name: &'a str,
        decoder: &'a Arc<Decoder>,
        inbox: &'a Inbox,
        options: EngineOptions,
    ) -> Self {
        Self {
            name,
            decoder,
            inbox,
            options,
            workspace: Workspace::default(),
            prefixes: Prefixes::new(),
            runs: Vec::new(),
            parked: VecDeque::new(),
            next_id: 0,
            budget: Budget::new(),
        }
    }

    /// Works until nothing is left to do.
    pub fn run(&mut self) {
        loop {
            self.drop_gone();
            self.admit();
            if self.runs.is_empty() {
                return;
            }
            if let Err(error) = self.pass() {
                // What concerns no single request concerns all.
                for run in self.runs.drain(..) {
                    run.end(Err(Error::new(error.kind().clone(), self.name, &error)));
                }
            }
        }
    }

    /// Ends what nobody waits for any more, and what took too long.
    fn drop_gone(&mut self) {
        let now = Instant::now();
        let late = |request: &Request| request.deadline.is_some_and(|deadline| now >= deadline);
        let gone = |request: &Request| request.sink.is_cancelled() || late(request);
        for request in self.inbox.remove(gone) {
            if late(&request) {
                request.sink.end(Err(self.too_late()));
            }
        }
        let parked = std::mem::take(&mut self.parked);
        let runs = std::mem::take(&mut self.runs);
        let is_gone = |run: &Run| gone(&run.request);
        let (mut ended, runs): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(is_gone);
        let (more, parked): (VecDeque<Run>, _) = parked.into_iter().partition(is_gone);
        (self.runs, self.parked) = (runs, parked);
        ended.extend(more);
        for run in ended {
            self.prefixes.keep(&run.sequence, true);
            match late(&run.request) {
                true => drop(run.end(Err(self.too_late()))),
                false => drop(run),
            }
        }
    }

    fn too_late(&self) -> Error {
        let cause = "the answer took longer than the request allows";
        Error::new(ErrorKind::LimitExceeded, self.name, cause)
            .hint("allow more time, or ask for fewer tokens")
    }

    /// Lets requests in while there is room.
    fn admit(&mut self) {
        while self.runs.len() < self.options.running {
            let reserved: usize = self.runs.iter().map(|run| self.memory_of(&run.text)).sum();
            let fits = |text: &[u32]| {
                self.runs.is_empty() || reserved + self.memory_of(text) <= self.options.memory
            };
            if let Some(first) = self.parked.front() {
                if !fits(&first.text) {
                    return;
                }
                if let Some(mut run) = self.parked.pop_front() {
                    let adapter = run.request.adapter.as_ref();
                    run.go_on_from(self.prefixes.recall(self.decoder, adapter, &run.text));
                    self.runs.push(run);
                }
                continue;
            }
            let fits = |entry: &Entry| match entry {
                Entry::Request(request) => fits(&request.prompt),
                Entry::Together(first, _) => fits(&first.prompt),
                Entry::Call(_) | Entry::Forget => true,
            };
            match self.inbox.take(fits) {
                None => return,
                Some(Entry::Call(work)) => work(self.decoder, &mut self.workspace),
                Some(Entry::Forget) => self.prefixes = Prefixes::new(),
                Some(Entry::Request(request)) => self.begin(*request),
                Some(Entry::Together(first, rest)) => self.begin_together(*first, rest),
            }
        }
    }

    /// What a text takes now and in the near future.
    fn memory_of(&self, text: &[u32]) -> usize {
        self.decoder.memory_of(text.len() + BLOCK_POSITIONS)
    }

    fn begin(&mut self, request: Request) {
        let sequence = self.decoder.sequence_with(request.adapter.clone());
        let mut run = Run::new(self.next_id, request, sequence, self.options.guesses);
        self.next_id += 1;
        let adapter = run.request.adapter.as_ref();
        run.go_on_from(self.prefixes.recall(self.decoder, adapter, &run.text));
        // What an earlier request is about to read need not be read twice.
        let known = run.sequence.tokens().len();
        let adapter = |run: &Run| run.request.adapter.as_ref().map(|adapter| adapter.id());
        let reading = self.runs.iter();
        let reading = reading.filter(|it| !it.is_writing() && adapter(it) == adapter(&run));
        run.follows = reading
            .map(|other| (other.id, common(&other.text, &run.text)))
            .filter(|(_, common)| *common >= known + BLOCK_POSITIONS)
            .max_by_key(|(_, common)| *common);
        self.runs.push(run);
    }

    /// Begins requests of which the rest go on from all that the first reads.
    fn begin_together(&mut self, first: Request, rest: Vec<Request>) {
        let (leader, common) = (self.next_id, first.prompt.len());
        let before = self.runs.len();
        self.begin(first);
        for request in rest {
            self.begin(request);
        }
        for run in &mut self.runs[before + 1..] {
            let known = run.sequence.tokens().len();
            run.follows = (known < common).then_some((leader, common));
        }
    }

    /// Whether what a run waits for is still being read; takes it over when it is not.
    fn is_held(&mut self, index: usize) -> bool {
        let Some((leader, common)) = self.runs[index].follows else {
            return false;
        };
        let leader = self.runs.iter().find(|run| run.id == leader);
        let reading =
            leader.is_some_and(|it| !it.is_writing() && it.sequence.tokens().len() < common);
        if !reading {
            let run = &mut self.runs[index];
            run.follows = None;
            let adapter = run.request.adapter.as_ref();
            run.go_on_from(self.prefixes.recall(self.decoder, adapter, &run.text));
        }
        reading
    }

    /// One pass of the decoder over all that run.
    ///
    /// # Errors
    ///
    /// Those that concern all requests.
    fn pass(&mut self) -> Result<()> {
        let unread: Vec<usize> = (0..self.runs.len())
            .map(|index| match self.is_held(index) {
                true => 0,
                false => self.runs[index].readable(),
            })
            .collect();
        let budget = self.budget.tokens();
        let mut shares = shares(&unread, budget);
        self.make_room(&mut shares);
        let begun = Instant::now();
        let flowing = self.runs.iter().any(Run::is_writing);
        let mut questions = Vec::new();
        for (index, run) in self.runs.iter_mut().enumerate() {
            let ready = shares[index] > 0 && shares[index] >= run.unread();
            let left = run.left();
            if let Some(guide) = run.request.guide.take_if(|_| ready) {
                questions.push(Question { index, guide, left });
            }
        }
        let mut wanted = Vec::new();
        let mut steps = Vec::new();
        for (index, (run, share)) in self.runs.iter_mut().zip(&shares).enumerate() {
            if *share == 0 {
                continue;
            }
            run.begin();
            let rows = run.wanted(*share);
            if rows > 0 {
                wanted.push((index, rows));
            }
            run.lay_out(*share);
            steps.push(Step {
                sequence: &mut run.sequence,
                tokens: &run.reading,
                wanted: rows,
            });
        }
        let (decoder, workspace) = (self.decoder, &mut self.workspace);
        let (logits, answers) = beside(questions, move || decoder.read(&mut steps, workspace));
        let mut logits = logits?;
        if shares.iter().sum::<usize>() >= budget {
            self.budget.learn(begun.elapsed(), flowing);
        }
        let mut masks: Vec<Option<Result<Option<Mask>>>> = Vec::new();
        masks.resize_with(self.runs.len(), || None);
        for answer in answers {
            self.runs[answer.index].request.guide = Some(answer.guide);
            masks[answer.index] = Some(answer.mask);
        }
        let vocabulary = self.decoder.vocabulary();
        let mut ended = Vec::new();
        for (index, rows) in wanted {
            let (its, rest) = logits.split_at(rows * vocabulary);
            logits = rest;
            let run = &mut self.runs[index];
            run.weigh(rows, its);
            if run.unread() > 0 {
                continue;
            }
            let mask = masks[index].take().unwrap_or(Ok(None));
            let rows = rows.min(run.guessed() + 1);
            let last = &its[its.len() - rows * vocabulary..];
            let progress = mask.and_then(|mask| run.choose_all(self.name, last, rows, mask));
            if !matches!(progress, Ok(Progress::GoesOn)) {
                ended.push((index, progress));
            }
        }
        for (run, share) in self.runs.iter().zip(shares) {
            // Whoever begins in the same way need not wait for the end.
            if share > 0 && !run.is_writing() && run.is_kept() {
                self.prefixes.keep(&run.sequence, false);
            }
        }
        for (index, progress) in ended.into_iter().rev() {
            let run = self.runs.remove(index);
            if run.is_kept() {
                self.prefixes.keep(&run.sequence, true);
            }
            run.end(progress);
        }
        Ok(())
    }

    /// Sees to it that the pass has room: forgets prefixes, then sends back those who came last.
    fn make_room(&mut self, shares: &mut Vec<usize>) {
        loop {
            let growth = self.runs.iter().zip(&*shares).map(|(run, share)| {
                let known = run.sequence.tokens().len();
                let blocks = |tokens: usize| tokens.div_ceil(BLOCK_POSITIONS);
                // A shared last block is copied before it is written to.
                let shared = usize::from(*share > 0 && known % BLOCK_POSITIONS > 0);
                (blocks(known + share) - blocks(known) + shared) * self.decoder.block_bytes()
            });
            let growth: usize = growth.sum();
            if self.decoder.memory_in_use() + growth <= self.options.memory {
                return;
            }
            if self.prefixes.forget_one() {
                continue;
            }
            // One request alone has been found to fit.
            if self.runs.len() == 1 {
                return;
            }
            if let (Some(mut run), Some(_)) = (self.runs.pop(), shares.pop()) {
                run.sequence = self.decoder.sequence_with(run.request.adapter.clone());
                run.follows = None;
                self.parked.push_front(run);
            }
        }
    }
}
