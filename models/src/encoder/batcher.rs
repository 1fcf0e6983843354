//! One model, one thread, and the texts of whoever waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use corbie_core::{Error, ErrorKind, Result};
use futures::channel::oneshot;

use super::forward::{CpuEncoder, Input, Scratch};

/// An encoder on a thread of its own, which ends with it.
///
/// Texts of callers that wait at the same time share batches, one text of each in turn, so that
/// nobody waits for all of a long call. What a text becomes does not depend on that.
pub(super) struct Batcher<T> {
    subject: String,
    jobs: mpsc::Sender<Job<T>>,
}

/// What is made of the vectors of a text's tokens, `[tokens, hidden]`.
pub(super) type Finish<T> = Box<dyn Fn(&[f32]) -> T + Send + Sync>;

type Encode = Box<dyn FnOnce() -> Result<Vec<Input>> + Send>;

struct Job<T> {
    encode: Encode,
    reply: oneshot::Sender<Result<Vec<T>>>,
}

impl<T: Send + 'static> Batcher<T> {
    /// Starts the thread. `subject` names the model in errors; a batch has at most `max_tokens`
    /// tokens unless one text alone has more.
    pub fn spawn(
        subject: String,
        encoder: CpuEncoder,
        max_tokens: usize,
        finish: Finish<T>,
    ) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel();
        let worker = Worker {
            subject: subject.clone(),
            encoder,
            max_tokens,
            finish,
            scratch: Scratch::default(),
            waiting: VecDeque::new(),
        };
        thread::Builder::new()
            .name("corbie-encoder".into())
            .spawn(move || worker.run(&inbox))
            .map_err(|error| Error::io("the encoder's thread", error))?;
        Ok(Self { subject, jobs })
    }

    /// One result for each of the texts that `encode` gives, in order. Dropping the future ends
    /// the work at the next batch.
    pub async fn run(
        &self,
        encode: impl FnOnce() -> Result<Vec<Input>> + Send + 'static,
    ) -> Result<Vec<T>> {
        let gone = || Error::new(ErrorKind::Internal, &self.subject, "its thread has ended");
        let (reply, answer) = oneshot::channel();
        let encode = Box::new(encode);
        self.jobs.send(Job { encode, reply }).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// What the thread owns.
struct Worker<T> {
    subject: String,
    encoder: CpuEncoder,
    max_tokens: usize,
    finish: Finish<T>,
    scratch: Scratch,
    waiting: VecDeque<Waiting<T>>,
}

/// A call whose texts are not all done.
struct Waiting<T> {
    inputs: Vec<Input>,
    outputs: Vec<Option<T>>,
    /// The inputs not yet computed, the longest last.
    left: Vec<usize>,
    reply: oneshot::Sender<Result<Vec<T>>>,
}

impl<T: Send + 'static> Worker<T> {
    fn run(mut self, inbox: &mpsc::Receiver<Job<T>>) {
        loop {
            if self.waiting.is_empty() {
                match inbox.recv() {
                    Ok(job) => self.admit(job),
                    Err(_) => return,
                }
            }
            while let Ok(job) = inbox.try_recv() {
                self.admit(job);
            }
            self.waiting.retain(|call| !call.reply.is_canceled());
            if !self.waiting.is_empty() {
                self.pass();
            }
        }
    }

    fn admit(&mut self, job: Job<T>) {
        let Job { encode, reply } = job;
        if reply.is_canceled() {
            return;
        }
        // The tokenizer comes from a file that nobody vouches for: should it panic on some text,
        // that call fails and the others are served.
        let encoded = catch_unwind(AssertUnwindSafe(encode));
        let encoded = encoded.unwrap_or_else(|_| Err(self.panicked()));
        let inputs = encoded.and_then(|inputs| {
            match inputs.iter().all(|i| self.encoder.accepts(i)) {
                true => Ok(inputs),
                false => {
                    let cause =
                        "the tokenizer and the encoder do not fit together: a token has no vector";
                    Err(Error::new(ErrorKind::Mismatch, &self.subject, cause)
                        .hint("fetch the model's files again"))
                }
            }
        });
        match inputs {
            Ok(inputs) if inputs.is_empty() => _ = reply.send(Ok(Vec::new())),
            Ok(inputs) => {
                let mut left: Vec<usize> = (0..inputs.len()).collect();
                left.sort_by_key(|index| inputs[*index].ids.len());
                self.waiting.push_back(Waiting {
                    outputs: inputs.iter().map(|_| None).collect(),
                    inputs,
                    left,
                    reply,
                });
            }
            Err(error) => _ = reply.send(Err(error)),
        }
    }

    /// Computes one batch and answers the calls that it completes.
    fn pass(&mut self) {
        let mut left: Vec<Vec<usize>> = self.waiting.iter().map(Waiting::lengths).collect();
        let mut batch: Vec<(usize, usize)> = next_batch(&mut left, self.max_tokens)
            .into_iter()
            .filter_map(|call| Some((call, self.waiting[call].left.pop()?)))
            .collect();
        batch.sort_by_key(|(call, index)| {
            std::cmp::Reverse(self.waiting[*call].inputs[*index].ids.len())
        });
        let computed = catch_unwind(AssertUnwindSafe(|| self.compute(&batch)));
        match computed.unwrap_or_else(|_| Err(self.panicked())) {
            Ok(results) => {
                for ((call, index), result) in batch.iter().zip(results) {
                    self.waiting[*call].outputs[*index] = Some(result);
                }
            }
            Err(error) => {
                self.scratch = Scratch::default();
                let mut hit: Vec<usize> = batch.iter().map(|(call, _)| *call).collect();
                hit.sort_unstable();
                hit.dedup();
                for call in hit.into_iter().rev() {
                    if let Some(call) = self.waiting.remove(call) {
                        let copy = Error::new(error.kind().clone(), &self.subject, &error);
                        let _ = call.reply.send(Err(copy));
                    }
                }
                return;
            }
        }
        // Whoever got nothing comes first next time.
        let unserved = (0..self.waiting.len()).find(|call| batch.iter().all(|(c, _)| c != call));
        self.waiting.rotate_left(unserved.unwrap_or(0));
        for mut call in std::mem::take(&mut self.waiting) {
            if call.left.is_empty() {
                let outputs = call.outputs.drain(..).flatten().collect();
                // Nobody may be waiting any more.
                let _ = call.reply.send(Ok(outputs));
            } else {
                self.waiting.push_back(call);
            }
        }
    }

    fn compute(&mut self, batch: &[(usize, usize)]) -> Result<Vec<T>> {
        let Self {
            encoder,
            scratch,
            waiting,
            finish,
            ..
        } = self;
        let inputs: Vec<&Input> = batch
            .iter()
            .map(|(call, index)| &waiting[*call].inputs[*index])
            .collect();
        let hidden = encoder.hidden();
        // On a thread of the pool: from outside, every product would have to wake it anew.
        let states = rayon::scope(|_| encoder.forward(&inputs, scratch)).map_err(|error| {
            Error::new(ErrorKind::Internal, &self.subject, &error).caused_by(error)
        })?;
        let mut rest = states;
        let results = inputs.iter().map(|input| {
            let (rows, after) = rest.split_at(input.ids.len() * hidden);
            rest = after;
            finish(rows)
        });
        Ok(results.collect())
    }

    fn panicked(&self) -> Error {
        Error::new(
            ErrorKind::Internal,
            &self.subject,
            "the computation panicked",
        )
    }
}

impl<T> Waiting<T> {
    /// The lengths of what is left, the longest last.
    fn lengths(&self) -> Vec<usize> {
        let length = |index: &usize| self.inputs[*index].ids.len();
        self.left.iter().map(length).collect()
    }
}

/// Which calls the next batch takes a text of, in order: one of each in turn, each call's longest
/// first, as long as there is room for it. `left` has the lengths of each call's texts, the
/// longest last, and loses those that are taken.
fn next_batch(left: &mut [Vec<usize>], max_tokens: usize) -> Vec<usize> {
    let mut taken = Vec::new();
    let mut room = max_tokens;
    loop {
        let before = taken.len();
        for (call, lengths) in left.iter_mut().enumerate() {
            let fits = |length: &&usize| taken.is_empty() || **length <= room;
            if let Some(length) = lengths.last().filter(fits).copied() {
                lengths.pop();
                room = room.saturating_sub(length);
                taken.push(call);
            }
        }
        if taken.len() == before {
            return taken;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::next_batch;

    #[test]
    fn calls_take_turns_within_the_budget() {
        // The lengths of each call's texts, the budget, and the calls that are served.
        type Case<'a> = (&'a [&'a [usize]], usize, &'a [usize]);
        let cases: [Case<'_>; 7] = [
            (&[&[3, 5, 9]], 100, &[0, 0, 0]),
            (&[&[3, 5, 9]], 14, &[0, 0]),
            // A text that is longer than the budget goes alone.
            (&[&[3, 5, 900]], 14, &[0]),
            (&[&[3, 5, 9]], 0, &[0]),
            // A short call behind a long one is served at once.
            (&[&[10, 10, 10, 10], &[2]], 32, &[0, 1, 0, 0]),
            // What does not fit leaves its place to the others.
            (&[&[20], &[20], &[5, 5]], 32, &[0, 2, 2]),
            (&[], 32, &[]),
        ];
        for (left, budget, expected) in cases {
            let mut left: Vec<Vec<usize>> = left.iter().map(|call| call.to_vec()).collect();
            assert_eq!(next_batch(&mut left, budget), expected, "{budget}");
        }
    }
}
