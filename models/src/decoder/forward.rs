//! The forward pass: tokens in, logits out.

use std::sync::Arc;

use super::adapter::Users;
use super::feed_forward::Buffers;
use super::weights::Norm;
use super::{Decoder, Step};
use crate::kernels::{add, add_scaled};

/// Buffers of one forward pass, kept from one to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(super) positions: Vec<usize>,
    pub(super) users: Users,
    pub(super) state: Vec<f32>,
    pub(super) normed: Vec<f32>,
    pub(super) projected: Vec<f32>,
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
    pub(super) turned: Vec<f32>,
    pub(super) mixed: Vec<f32>,
    pub(super) update: Vec<f32>,
    pub(super) feed_forward: Buffers,
    last: Vec<f32>,
    pub(super) scratch: Vec<f32>,
    pub(super) logits: Vec<f32>,
}

/// The first `length` numbers of `buffer`, which grows when it must. What they are is left to
/// whoever writes them.
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

impl Decoder {
    /// Runs the tokens of all `steps` at the positions that follow their sequences' caches, and
    /// leaves the logits that they want in the workspace, one step's after the other's.
    pub(super) fn run(&self, steps: &mut [Step<'_>], workspace: &mut Workspace) {
        workspace.positions.clear();
        workspace.users.clear();
        for step in &*steps {
            let start = step.sequence.tokens.len();
            let row = workspace.positions.len();
            workspace.positions.extend(start..start + step.tokens.len());
            if let Some(adapter) = &step.sequence.adapter {
                let rows = row..workspace.positions.len();
                workspace.users.push((rows, Arc::clone(adapter)));
            }
        }
        self.embed(steps, workspace);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.mix(index, layer, steps, workspace);
            self.feed_forward(index, layer, workspace);
        }
        self.head(steps, workspace);
    }

    /// Fills the state with the tokens' embeddings.
    fn embed(&self, steps: &[Step<'_>], workspace: &mut Workspace) {
        let hidden = self.config.hidden;
        let scale = self.config.embedding_scale;
        let tokens = steps.iter().flat_map(|step| step.tokens);
        workspace
            .state
            .resize(workspace.positions.len() * hidden, 0.0);
        for (token, row) in tokens.zip(workspace.state.chunks_exact_mut(hidden)) {
            self.weights.embedding.row(*token as usize, row);
            if scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }

    /// Adds the update to the state, normalised first where the architecture does so.
    pub(super) fn add_update(&self, post_norm: Option<&Norm>, workspace: &mut Workspace) {
        let w = workspace;
        let update = &w.update[..w.state.len()];
        let update = match post_norm {
            Some(norm) => {
                let normed = room(&mut w.normed, update.len());
                norm.apply(update, self.config.norm_eps, normed);
                normed
            }
            None => update,
        };
        match self.config.residual_scale {
            1.0 => add(&mut w.state, update),
            scale => add_scaled(&mut w.state, update, scale),
        }
    }

    /// The logits of the last positions of each step, as many as it wants.
    fn head(&self, steps: &[Step<'_>], workspace: &mut Workspace) {
        let w = workspace;
        let hidden = self.config.hidden;
        let wanted: usize = steps.iter().map(|step| step.wanted).sum();
        w.logits.resize(wanted * self.vocabulary(), 0.0);
        if wanted == 0 {
            return;
        }
        let last = room(&mut w.last, wanted * hidden);
        let (mut from, mut to) = (0, 0);
        for step in steps {
            from += step.tokens.len() * hidden;
            let length = step.wanted * hidden;
            last[to..to + length].copy_from_slice(&w.state[from - length..from]);
            to += length;
        }
        let normed = room(&mut w.normed, last.len());
        let norm = &self.weights.output_norm;
        norm.apply(last, self.config.norm_eps, normed);
        self.weights.head().multiply(normed, &mut w.logits);
        let scale = self.config.logit_scale;
        if scale != 1.0 {
            w.logits.iter_mut().for_each(|x| *x *= scale);
        }
        if let Some(cap) = self.config.final_softcap {
            w.logits
                .iter_mut()
                .for_each(|x| *x = cap * (*x / cap).tanh());
        }
    }
}
