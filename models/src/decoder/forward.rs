//! The forward pass: tokens in, logits out.

use super::Decoder;
use super::config::Activation;
use super::weights::Layer;
use crate::kernels::{
    AttentionShape, KvCache, RopeTable, add, causal_attention, gelu_mul, rms_norm, rope, silu_mul,
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
    /// Runs `tokens` at the positions that follow `caches`, and leaves the logits of the last
    /// `wanted` of them, `[wanted, vocabulary]`, in the workspace.
    pub(super) fn run(
        &self,
        caches: &mut [KvCache],
        workspace: &mut Workspace,
        tokens: &[u32],
        wanted: usize,
    ) {
        let start = caches.first().map_or(0, KvCache::len);
        workspace.positions.clear();
        workspace.positions.extend(start..start + tokens.len());
        self.embed(tokens, workspace);
        for (index, (layer, cache)) in self.weights.layers.iter().zip(caches).enumerate() {
            let windowed = self.config.windowed(index).is_some();
            let table = match (&self.local_rope, windowed) {
                (Some(local), true) => local,
                _ => &self.rope,
            };
            self.attend(
                layer,
                &self.config.attention(index),
                table,
                cache,
                workspace,
            );
            self.feed_forward(layer, workspace);
        }
        self.head(tokens.len(), wanted, workspace);
    }

    /// Fills the state with the tokens' embeddings.
    fn embed(&self, tokens: &[u32], workspace: &mut Workspace) {
        let hidden = self.config.hidden;
        let scale = self.config.embedding_scale;
        workspace.state.resize(tokens.len() * hidden, 0.0);
        for (token, row) in tokens.iter().zip(workspace.state.chunks_exact_mut(hidden)) {
            self.weights.embedding.row(*token as usize, row);
            if scale != 1.0 {
                row.iter_mut().for_each(|x| *x *= scale);
            }
        }
    }

    /// The attention half of a block, added to the state.
    fn attend(
        &self,
        layer: &Layer,
        shape: &AttentionShape,
        table: &RopeTable,
        cache: &mut KvCache,
        workspace: &mut Workspace,
    ) {
        let w = workspace;
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

        cache.push(k, v);
        let mixed = room(&mut w.mixed, m * width);
        causal_attention(shape, q, cache, mixed);
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

    /// The logits of the last `wanted` of `m` positions.
    fn head(&self, m: usize, wanted: usize, workspace: &mut Workspace) {
        let w = workspace;
        w.logits.resize(wanted * self.vocabulary(), 0.0);
        if wanted == 0 {
            return;
        }
        let last = &w.state[(m - wanted) * self.config.hidden..];
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
