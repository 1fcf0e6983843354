//! The half of a block in which positions see one another: attention, or a short convolution.

use super::adapter::{Place, adapt};
use super::architecture::HeadNorms;
use super::forward::{Workspace, room};
use super::weights::{Layer, Mixer, Norm};
use super::{Decoder, Step};
use crate::kernels::{KvCache, RopeTable, causal_attention, causal_convolution, rope};

impl Decoder {
    /// Runs the mixing half of block `index`, added to the state.
    pub(super) fn mix(
        &self,
        index: usize,
        layer: &Layer,
        steps: &mut [Step<'_>],
        workspace: &mut Workspace,
    ) {
        let w = workspace;
        let (m, length) = (w.positions.len(), w.state.len());
        let input = match &layer.mixer_norm {
            Some(norm) => {
                norm.apply(&w.state, self.config.norm_eps, room(&mut w.normed, length));
                &w.normed[..length]
            }
            None => &w.state,
        };
        let (projection, output) = match &layer.mixer {
            Mixer::Attention { qkv, output, .. } => (qkv, output),
            Mixer::Convolution { input, output, .. } => (input, output),
        };
        let projected = room(&mut w.projected, m * projection.rows());
        projection.multiply(input, projected, &mut w.scratch);
        let width = projection.rows();
        adapt(&w.users, index, Place::MixerInput, input, projected, width);
        let width = match &layer.mixer {
            Mixer::Attention { head_norms, .. } => self.attend(index, head_norms, steps, w),
            Mixer::Convolution { taps, .. } => self.convolve(index, taps, steps, w),
        };
        let update = room(&mut w.update, length);
        let mixed = &w.mixed[..m * width];
        output.multiply(mixed, update, &mut w.scratch);
        let width = output.rows();
        adapt(&w.users, index, Place::MixerOutput, mixed, update, width);
        self.add_update(layer.mixer_post_norm.as_ref(), w);
    }

    /// Attention over projected queries, keys and values. Gives the width of what it mixed.
    fn attend(
        &self,
        index: usize,
        head_norms: &Option<[Norm; 2]>,
        steps: &mut [Step<'_>],
        w: &mut Workspace,
    ) -> usize {
        let shape = self.config.attention(index);
        let m = w.positions.len();
        let width = shape.heads * shape.head_dim;
        let kv_width = shape.kv_heads * shape.head_dim;
        let q = room(&mut w.q, m * width);
        let k = room(&mut w.k, m * kv_width);
        let v = room(&mut w.v, m * kv_width);
        let rows = w.projected.chunks_exact(width + 2 * kv_width).take(m);
        for (i, row) in rows.enumerate() {
            let (q_row, kv_row) = row.split_at(width);
            let (k_row, v_row) = kv_row.split_at(kv_width);
            q[i * width..][..width].copy_from_slice(q_row);
            k[i * kv_width..][..kv_width].copy_from_slice(k_row);
            v[i * kv_width..][..kv_width].copy_from_slice(v_row);
        }
        let turns = (!self.config.unturned[index]).then(|| self.rope_of(index));
        let norms = self.config.architecture.head_norms.zip(head_norms.as_ref());
        for (heads, which) in [(&mut *q, 0), (&mut *k, 1)] {
            let mut normalise = |heads: &mut [f32], when| match norms {
                Some((then, norms)) if then == when => {
                    let raw = room(&mut w.turned, heads.len());
                    raw.copy_from_slice(heads);
                    norms[which].apply(raw, self.config.norm_eps, heads);
                }
                _ => {}
            };
            normalise(heads, HeadNorms::BeforeRope);
            if let Some(table) = turns {
                rope(heads, shape.head_dim, table, &w.positions);
            }
            normalise(heads, HeadNorms::AfterRope);
        }
        if let Some(growth) = &self.config.growth {
            for (row, position) in q.chunks_exact_mut(width).zip(&w.positions) {
                let factor = growth.at(*position);
                row.iter_mut().for_each(|x| *x *= factor);
            }
        }
        remember(index, steps, (k, kv_width), (v, kv_width));
        causal_attention(
            &shape,
            q,
            &caches(index, steps),
            room(&mut w.mixed, m * width),
        );
        width
    }

    /// The gated short convolution over projected gates and inputs. Gives the width of what it
    /// mixed.
    fn convolve(
        &self,
        index: usize,
        taps: &[f32],
        steps: &mut [Step<'_>],
        w: &mut Workspace,
    ) -> usize {
        let width = self.config.hidden;
        let m = w.positions.len();
        let rows = || w.projected.chunks_exact(3 * width).take(m);
        let gated = room(&mut w.v, m * width);
        for (row, gated) in rows().zip(gated.chunks_exact_mut(width)) {
            for (to, (gate, x)) in gated.iter_mut().zip(row.iter().zip(&row[2 * width..])) {
                *to = gate * x;
            }
        }
        remember(index, steps, (&[], 0), (gated, width));
        let mixed = room(&mut w.mixed, m * width);
        causal_convolution(taps, &caches(index, steps), mixed);
        for (row, mixed) in rows().zip(mixed.chunks_exact_mut(width)) {
            for (to, gate) in mixed.iter_mut().zip(&row[width..2 * width]) {
                *to *= gate;
            }
        }
        width
    }

    /// The angles of the layer's positions.
    fn rope_of(&self, index: usize) -> &RopeTable {
        match &self.local_rope {
            Some(local) if self.config.windowed(index).is_some() => local,
            _ => &self.rope,
        }
    }
}

/// Adds the rows of keys and values of each step to its cache of the layer.
fn remember(
    index: usize,
    steps: &mut [Step<'_>],
    (keys, key_width): (&[f32], usize),
    (values, value_width): (&[f32], usize),
) {
    let mut start = 0;
    for step in steps {
        let end = start + step.tokens.len();
        step.sequence.caches[index].push(
            &keys[start * key_width..end * key_width],
            &values[start * value_width..end * value_width],
        );
        start = end;
    }
}

/// Each step's cache of the layer, and how many of its rows are new.
fn caches<'a>(index: usize, steps: &'a [Step<'_>]) -> Vec<(&'a KvCache, usize)> {
    let cache = |step: &'a Step<'_>| (&step.sequence.caches[index], step.tokens.len());
    steps.iter().map(cache).collect()
}
