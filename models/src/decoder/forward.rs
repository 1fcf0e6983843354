//! The forward pass: tokens in, logits out.

use super::config::Activation;
use super::weights::Layer;
use super::{Decoder, Step};
use crate::kernels::{
    AttentionShape, RopeTable, add, causal_attention, gelu_mul, rms_norm, rope, silu_mul,
};

/// Buffers of one forward pass, kept from one to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    positions: Vec<usize>,
    state: Vec<f32>,
    normed: Vec<f32>,
    projected: Vec<f32>,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    turned: Vec<f32>,
    mixed: Vec<f32>,
    update: Vec<f32>,
    gate_up: Vec<f32>,
    gated: Vec<f32>,
    last: Vec<f32>,
    scratch: Vec<f32>,
    pub(super) logits: Vec<f32>,
}

/// The first `length` numbers of `buffer`, which grows when it must. What they are is left to
/// whoever writes them.
fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
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
        for step in &*steps {
            let start = step.sequence.tokens.len();
            workspace.positions.extend(start..start + step.tokens.len());
        }
        self.embed(steps, workspace);
        for (index, layer) in self.weights.layers.iter().enumerate() {
            self.attend(index, layer, steps, workspace);
            self.feed_forward(layer, workspace);
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

    /// The attention half of a block, added to the state.
    fn attend(
        &self,
        index: usize,
        layer: &Layer,
        steps: &mut [Step<'_>],
        workspace: &mut Workspace,
    ) {
        let w = workspace;
        let shape: &AttentionShape = &self.config.attention(index);
        let table: &RopeTable = match (&self.local_rope, shape.window) {
            (Some(local), Some(_)) => local,
            _ => &self.rope,
        };
        let (m, eps) = (w.positions.len(), self.config.norm_eps);
        let width = shape.heads * shape.head_dim;
        let kv_width = shape.kv_heads * shape.head_dim;

        let normed = room(&mut w.normed, w.state.len());
        rms_norm(&w.state, &layer.attention_norm, eps, normed);
        let projected = room(&mut w.projected, m * layer.qkv.rows());
        layer.qkv.multiply(normed, projected, &mut w.scratch);

        let q = room(&mut w.q, m * width);
        let k = room(&mut w.k, m * kv_width);
        let v = room(&mut w.v, m * kv_width);
        for (i, row) in projected.chunks_exact(layer.qkv.rows()).enumerate() {
            let (q_row, kv_row) = row.split_at(width);
            let (k_row, v_row) = kv_row.split_at(kv_width);
            q[i * width..][..width].copy_from_slice(q_row);
            k[i * kv_width..][..kv_width].copy_from_slice(k_row);
            v[i * kv_width..][..kv_width].copy_from_slice(v_row);
        }
        if let Some([q_norm, k_norm]) = &layer.head_norms {
            for (heads, norm) in [(&mut *q, q_norm), (&mut *k, k_norm)] {
                let raw = room(&mut w.turned, heads.len());
                raw.copy_from_slice(heads);
                rms_norm(raw, norm, eps, heads);
            }
        }
        rope(q, shape.head_dim, table, &w.positions);
        rope(k, shape.head_dim, table, &w.positions);

        let mut start = 0;
        for step in &mut *steps {
            let rows = start * kv_width..(start + step.tokens.len()) * kv_width;
            step.sequence.caches[index].push(&k[rows.clone()], &v[rows]);
            start += step.tokens.len();
        }
        let caches: Vec<_> = steps
            .iter()
            .map(|step| (&step.sequence.caches[index], step.tokens.len()))
            .collect();
        let mixed = room(&mut w.mixed, m * width);
        causal_attention(shape, q, &caches, mixed);
        let update = room(&mut w.update, w.state.len());
        layer
            .attention_output
            .multiply(mixed, update, &mut w.scratch);
        self.add_update(layer.attention_post_norm.as_deref(), w);
    }

    /// The feed-forward half of a block, added to the state.
    fn feed_forward(&self, layer: &Layer, workspace: &mut Workspace) {
        let w = workspace;
        let n = self.config.feed_forward;
        let m = w.positions.len();
        let normed = room(&mut w.normed, w.state.len());
        rms_norm(
            &w.state,
            &layer.feed_forward_norm,
            self.config.norm_eps,
            normed,
        );
        let gate_up = room(&mut w.gate_up, m * 2 * n);
        layer.gate_up.multiply(normed, gate_up, &mut w.scratch);
        let gated = room(&mut w.gated, m * n);
        match self.config.architecture.activation {
            Activation::Silu => silu_mul(gate_up, n, gated),
            Activation::GeluTanh => gelu_mul(gate_up, n, gated),
        }
        let update = room(&mut w.update, w.state.len());
        layer.down.multiply(gated, update, &mut w.scratch);
        self.add_update(layer.feed_forward_post_norm.as_deref(), w);
    }

    /// Adds the update to the state, normalised first where the architecture does so.
    fn add_update(&self, post_norm: Option<&[f32]>, workspace: &mut Workspace) {
        let w = workspace;
        let update = &w.update[..w.state.len()];
        match post_norm {
            Some(norm) => {
                let normed = room(&mut w.normed, w.state.len());
                rms_norm(update, norm, self.config.norm_eps, normed);
                add(&mut w.state, normed);
            }
            None => add(&mut w.state, update),
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
        rms_norm(
            last,
            &self.weights.output_norm,
            self.config.norm_eps,
            normed,
        );
        self.weights.head().multiply(normed, &mut w.logits);
        if let Some(cap) = self.config.final_softcap {
            w.logits
                .iter_mut()
                .for_each(|x| *x = cap * (*x / cap).tanh());
        }
    }
}
