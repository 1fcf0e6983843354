//! Scaled dot-product attention without a score matrix.

use std::ops::Range;

/// The shape of one attention layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Numbers in one head.
    pub head_dim: usize,
    /// Multiplies every score.
    pub scale: f32,
    /// A query at position `p` sees the keys at `p - window + 1 ..= p`; `None`: all up to `p`.
    pub window: Option<usize>,
    /// Scores `s` become `cap · tanh(s / cap)`.
    pub softcap: Option<f32>,
}

/// The keys and values of one layer of one sequence.
#[derive(Debug, Clone)]
pub struct KvCache {
    width: usize,
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// An empty cache.
    pub fn new(kv_heads: usize, head_dim: usize) -> Self {
        Self {
            width: kv_heads * head_dim,
            keys: Vec::new(),
            values: Vec::new(),
        }
    }

    /// How many positions it holds.
    pub fn len(&self) -> usize {
        self.keys.len() / self.width
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Appends positions: `keys` and `values` are `[t, kv_heads · head_dim]`.
    pub fn push(&mut self, keys: &[f32], values: &[f32]) {
        self.keys.extend_from_slice(keys);
        self.values.extend_from_slice(values);
    }

    /// Forgets the positions from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.keys.truncate(len * self.width);
        self.values.truncate(len * self.width);
    }
}

/// Attention of the last `m` positions of `cache` over all that each may see.
///
/// `q` and `out` are `[m, heads · head_dim]`; the keys and values of these positions are already
/// in the cache, and the last row of `q` is its last position.
pub fn causal_attention(shape: &AttentionShape, q: &[f32], cache: &KvCache, out: &mut [f32]) {
    let width = shape.heads * shape.head_dim;
    let first = cache.len() - q.len() / width;
    for (i, (q, out)) in q
        .chunks_exact(width)
        .zip(out.chunks_exact_mut(width))
        .enumerate()
    {
        let position = first + i;
        let start = shape.window.map_or(0, |w| (position + 1).saturating_sub(w));
        attend(
            shape,
            q,
            &cache.keys,
            &cache.values,
            start..position + 1,
            out,
        );
    }
}

/// Attention within segments: each row sees every row of its own segment.
///
/// `q` and `out` are `[t, heads · head_dim]`, `k` and `v` are `[t, kv_heads · head_dim]`;
/// `segments` divide `0..t`.
pub fn bidirectional_attention(
    shape: &AttentionShape,
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Range<usize>],
    out: &mut [f32],
) {
    let width = shape.heads * shape.head_dim;
    for segment in segments {
        for row in segment.clone() {
            let at = row * width..(row + 1) * width;
            attend(shape, &q[at.clone()], k, v, segment.clone(), &mut out[at]);
        }
    }
}

fn attend(
    shape: &AttentionShape,
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    seen: Range<usize>,
    out: &mut [f32],
) {
    let dim = shape.head_dim;
    let width = shape.kv_heads * dim;
    for head in 0..shape.heads {
        let kv_head = head / (shape.heads / shape.kv_heads);
        let q = &q[head * dim..][..dim];
        let score = |j: usize| {
            let k = &keys[j * width + kv_head * dim..][..dim];
            let dot: f32 = q.iter().zip(k).map(|(q, k)| q * k).sum();
            let score = dot * shape.scale;
            shape
                .softcap
                .map_or(score, |cap| cap * (score / cap).tanh())
        };
        let scores: Vec<f32> = seen.clone().map(score).collect();
        let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let weights: Vec<f32> = scores.iter().map(|s| (s - max).exp()).collect();
        let sum: f32 = weights.iter().sum();
        let out = &mut out[head * dim..][..dim];
        out.fill(0.0);
        for (weight, j) in weights.iter().zip(seen.clone()) {
            let v = &values[j * width + kv_head * dim..][..dim];
            for (out, v) in out.iter_mut().zip(v) {
                *out += weight / sum * v;
            }
        }
    }
}
