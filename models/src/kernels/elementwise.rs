//! The small operations between matrix products. Each works row by row.

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// Root-mean-square normalisation of each row of `x`, `[m, weight.len()]`, into `out`
/// (Zhang and Sennrich, 2019).
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let mean = x.iter().map(|x| x * x).sum::<f32>() / n as f32;
        let scale = 1.0 / (mean + eps).sqrt();
        for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * w;
        }
    }
}

/// Layer normalisation of each row of `x`, in place.
pub fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let n = weight.len();
    for x in x.chunks_exact_mut(n) {
        let mean = x.iter().sum::<f32>() / n as f32;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for ((x, w), b) in x.iter_mut().zip(weight).zip(bias) {
            *x = (*x - mean) * scale * w + b;
        }
    }
}

/// The exact Gaussian error linear unit, `x · Φ(x)`, in place.
pub fn gelu(x: &mut [f32]) {
    for x in x {
        *x =
            0.5 * *x * (1.0 + candle_core::cpu::erf::erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2));
    }
}

/// `out = silu(gate) · up` where each row of `gate_up`, `[m, 2n]`, is `gate` then `up`.
pub fn silu_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    gated(gate_up, n, out, |x| x / (1.0 + (-x).exp()));
}

/// `out = gelu(gate) · up` like [`silu_mul`], with the tanh form of the unit, as Gemma has it.
pub fn gelu_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    let c = (2.0 / std::f32::consts::PI).sqrt();
    gated(gate_up, n, out, |x| {
        0.5 * x * (1.0 + (c * (x + 0.044_715 * x * x * x)).tanh())
    });
}

fn gated(gate_up: &[f32], n: usize, out: &mut [f32], unit: impl Fn(f32) -> f32) {
    for (row, out) in gate_up.chunks_exact(2 * n).zip(out.chunks_exact_mut(n)) {
        let (gate, up) = row.split_at(n);
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = unit(*gate) * up;
        }
    }
}

/// Which pairs of a head's numbers rotary embedding turns together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopeLayout {
    /// Neighbours: `(0, 1), (2, 3), …`: GGUF's layout of `llama`.
    Neighbours,
    /// Halves: `(0, d/2), (1, d/2 + 1), …`: GPT-NeoX, `gemma3` and most others.
    Halves,
}

/// The angles of rotary position embedding (Su et al., 2021).
#[derive(Debug, Clone)]
pub struct RopeTable {
    /// Which numbers turn together.
    pub layout: RopeLayout,
    /// One angle per pair and position: `position · frequencies[pair]`.
    pub frequencies: Vec<f32>,
}

/// Turns every head of each row of `x`, `[m, heads · head_dim]`, by its position.
pub fn rope(x: &mut [f32], head_dim: usize, table: &RopeTable, positions: &[usize]) {
    let width = x.len() / positions.len().max(1);
    for (x, position) in x.chunks_exact_mut(width.max(1)).zip(positions) {
        for head in x.chunks_exact_mut(head_dim) {
            for (i, frequency) in table.frequencies.iter().enumerate() {
                let (sin, cos) = (*position as f32 * frequency).sin_cos();
                let (a, b) = match table.layout {
                    RopeLayout::Neighbours => (2 * i, 2 * i + 1),
                    RopeLayout::Halves => (i, i + table.frequencies.len()),
                };
                (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
            }
        }
    }
}
