//! How likely a model finds given texts after a prompt.

use std::ops::ControlFlow;
use std::time::Instant;

use corbie_core::{Error, ErrorKind, Result, Sampling};
use futures::channel::oneshot;
use futures::future::try_join_all;
use rayon::prelude::*;

use super::LocalChatModel;
use super::answer::given_up;
use crate::engine::{Request, Sink, Written};
use crate::sampling::Sampler;

/// So many texts are weighed together.
const TOGETHER: usize = 8;

/// The log-probabilities that one request collects, and how much of its prompt was known.
type Collected = Result<(Vec<f64>, usize)>;

/// What was made out of the texts after a prompt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Weighed {
    /// The log-probability of each text.
    pub scores: Vec<f64>,
    /// Tokens of the prompt that were known already.
    pub cached: usize,
}

impl LocalChatModel {
    /// The log-probability (natural logarithm) of each of `continuations` after a prompt of token
    /// ids: the sum over its tokens. That of an empty one is 0.
    ///
    /// The prompt is read once, then eight continuations at a time in one pass of the decoder,
    /// beside the requests that run. A score depends on the prompt and its continuation alone.
    /// Nothing of it counts in any [`Usage`](corbie_core::Usage).
    ///
    /// Dropping the future cancels the work.
    ///
    /// # Errors
    ///
    /// [`ContextTooLong`](ErrorKind::ContextTooLong) when the prompt and the longest continuation
    /// are; [`BadInput`](ErrorKind::BadInput) for an empty prompt or unknown tokens;
    /// [`Malformed`](ErrorKind::Malformed) when the model computes numbers that are none;
    /// [`Overloaded`](ErrorKind::Overloaded) when too many wait.
    ///
    /// ```no_run
    /// # async fn example(model: corbie_models::chat::LocalChatModel) -> corbie_core::Result<()> {
    /// use corbie_models::tokenizer::EncodeOptions;
    ///
    /// let ids = |text: &str| model.tokenizer().encode(text, EncodeOptions::default());
    /// let cities = [ids(" Paris")?, ids(" Rome")?];
    /// let scores = model.score(ids("The capital of France is")?, &cities).await?;
    /// assert!(scores[0] > scores[1]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn score(&self, prompt: Vec<u32>, continuations: &[Vec<u32>]) -> Result<Vec<f64>> {
        let weighed = self.weigh(prompt, continuations, None).await?;
        Ok(weighed.scores)
    }

    /// The same, up to a deadline.
    pub(super) async fn weigh(
        &self,
        prompt: Vec<u32>,
        continuations: &[Vec<u32>],
        deadline: Option<Instant>,
    ) -> Result<Weighed> {
        let longest = continuations.iter().map(Vec::len).max().unwrap_or(0);
        self.room(prompt.len() + longest)?;
        let vocabulary = self.decoder.vocabulary();
        let unknown = |token: &&u32| **token as usize >= vocabulary;
        if let Some(token) = continuations.iter().flatten().find(unknown) {
            let cause = format!("token {token} is not among its {vocabulary}");
            return Err(Error::new(ErrorKind::BadInput, &self.subject, cause));
        }
        let mut weighed = Weighed {
            scores: Vec::with_capacity(continuations.len()),
            cached: 0,
        };
        for (index, some) in continuations.chunks(TOGETHER).enumerate() {
            // After the prompt comes the first token of each, then the others of each.
            let firsts = some.iter().map(|text| text.first().copied().into_iter());
            let firsts: Vec<u32> = firsts.flatten().collect();
            let (first, result) = self.weighing(prompt.clone(), 1, vec![firsts], deadline)?;
            let mut results = vec![result];
            let mut rest = Vec::new();
            for text in some.iter().filter(|text| text.len() > 1) {
                let read = &text[..text.len() - 1];
                let targets = text[1..].iter().map(|token| vec![*token]).collect();
                let prompt = [&prompt[..], read].concat();
                let (request, result) = self.weighing(prompt, read.len(), targets, deadline)?;
                rest.push(request);
                results.push(result);
            }
            self.engine.submit_together(first, rest)?;
            let given_up = |_| given_up(&self.subject);
            let results = results
                .into_iter()
                .map(|result| async { result.await.map_err(given_up)? });
            let mut results = try_join_all(results).await?.into_iter();
            let (firsts, cached) = results.next().unwrap_or_default();
            if index == 0 {
                weighed.cached = cached;
            }
            let mut firsts = firsts.into_iter();
            for text in some {
                let mut sum = 0.0;
                if !text.is_empty() {
                    sum += firsts.next().unwrap_or(f64::NAN);
                }
                if text.len() > 1 {
                    let (rest, _) = results.next().unwrap_or_default();
                    sum += rest.iter().sum::<f64>();
                }
                if sum.is_nan() {
                    let cause = "it computes numbers that are none";
                    return Err(Error::new(ErrorKind::Malformed, &self.subject, cause)
                        .hint("the model file is damaged: fetch it again"));
                }
                weighed.scores.push(sum);
            }
        }
        Ok(weighed)
    }

    /// A request that weighs `targets` after each of the last `weighs` tokens of a prompt, and
    /// where their log-probabilities come, with how much of the prompt was known.
    fn weighing(
        &self,
        prompt: Vec<u32>,
        weighs: usize,
        targets: Vec<Vec<u32>>,
        deadline: Option<Instant>,
    ) -> Result<(Request, oneshot::Receiver<Collected>)> {
        let (reply, result) = oneshot::channel();
        let request = Request {
            prompt,
            max_tokens: 0,
            sampler: Sampler::new(&Sampling::default())?,
            ends: Vec::new(),
            adapter: self.adapter.clone(),
            guide: None,
            deadline,
            sink: Box::new(Weighing {
                vocabulary: self.decoder.vocabulary(),
                weighs,
                targets,
                row: 0,
                scores: Vec::new(),
                reply,
            }),
        };
        Ok((request, result))
    }
}

/// Collects log-probabilities.
struct Weighing {
    vocabulary: usize,
    weighs: usize,
    /// After each weighed token, the tokens to weigh there.
    targets: Vec<Vec<u32>>,
    /// The weighed token that is next.
    row: usize,
    scores: Vec<f64>,
    reply: oneshot::Sender<Collected>,
}

impl Sink for Weighing {
    fn token(&mut self, _token: u32) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn end(self: Box<Self>, result: Result<Written>) {
        let Self { scores, reply, .. } = *self;
        // Nobody may wait any more.
        let _ = reply.send(result.map(|written| (scores, written.cached)));
    }

    fn is_cancelled(&self) -> bool {
        self.reply.is_canceled()
    }

    fn weighs(&self) -> usize {
        self.weighs
    }

    fn weigh(&mut self, logits: &[f32]) {
        let targets = &self.targets[self.row.min(self.targets.len())..];
        let rows = logits.par_chunks_exact(self.vocabulary).zip(targets);
        let scores: Vec<Vec<f64>> = rows.map(|(logits, targets)| of(logits, targets)).collect();
        self.row += scores.len();
        self.scores.extend(scores.into_iter().flatten());
    }
}

/// The log-probabilities of some tokens: logits less the logarithm of the sum of all their
/// exponentials, which are taken of differences to the greatest so that none overflows.
fn of(logits: &[f32], tokens: &[u32]) -> Vec<f64> {
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|it| f64::from((it - greatest).exp()))
        .sum();
    let total = f64::from(greatest) + sum.ln();
    let of = |token: &u32| {
        logits
            .get(*token as usize)
            .map_or(f64::NAN, |it| f64::from(*it))
    };
    tokens.iter().map(|token| of(token) - total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_do_not_overflow() {
        for shift in [0.0, 1e4, -1e4] {
            let logits: Vec<f32> = [0.0, 1.0, 2.0, -3.0].map(|it| it + shift).to_vec();
            let scores = of(&logits, &[0, 1, 2, 3]);
            let sum: f64 = scores.iter().map(|score| score.exp()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{scores:?}");
            assert!((scores[2] - scores[0] - 2.0).abs() < 1e-3, "{scores:?}");
        }
        assert!(of(&[f32::NAN, 1.0], &[1])[0].is_nan());
        assert_eq!(
            of(&[f32::NEG_INFINITY, 1.0], &[0, 1]),
            [f64::NEG_INFINITY, 0.0]
        );
    }
}
