//! The small operations between matrix products. Each works row by row.

use super::math;
use super::parallel::pieces;
use super::tier::{Kernel, Lanes, Tier};

/// `x += y`.
///
/// # Panics
///
/// When the lengths differ.
pub fn add(x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "numbers to add");
    pieces(x, 4096, 1, |first, x| {
        for (x, y) in x.iter_mut().zip(&y[first..]) {
            *x += y;
        }
    });
}

/// Root-mean-square normalisation of each row of `x`, `[m, weight.len()]`, into `out`
/// (Zhang and Sennrich, 2019).
///
/// # Panics
///
/// When the lengths do not fit.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    assert!(x.len() == out.len() && whole(x, n), "rows of {n} numbers");
    pieces(out, n, 2, |first, out| {
        Tier::best().run(RmsNorm {
            x: &x[first..first + out.len()],
            weight,
            eps,
            out,
        });
    });
}

/// Layer normalisation of each row of `x`, in place (Ba et al., 2016).
///
/// # Panics
///
/// When the lengths do not fit.
pub fn layer_norm(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let n = weight.len();
    assert!(bias.len() == n && whole(x, n), "rows of {n} numbers");
    pieces(x, n, 3, |_, x| {
        Tier::best().run(LayerNorm {
            x,
            weight,
            bias,
            eps,
        });
    });
}

/// The exact Gaussian error linear unit, `x · Φ(x)`, in place.
pub fn gelu(x: &mut [f32]) {
    plain::<Gelu>(x);
}

/// The Gaussian error linear unit in its tanh form, in place.
pub fn gelu_tanh(x: &mut [f32]) {
    plain::<GeluTanh>(x);
}

fn plain<U: Unit>(x: &mut [f32]) {
    let unit = std::marker::PhantomData::<U>;
    pieces(x, 4096, 16, |_, x| Tier::best().run(Plain { x, unit }));
}

/// `out = silu(gate) · up` where each row of `gate_up`, `[m, 2n]`, is `gate` then `up`.
///
/// # Panics
///
/// When the lengths do not fit.
pub fn silu_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    gated::<Silu>(gate_up, n, out);
}

/// `out = gelu(gate) · up` like [`silu_mul`], with the tanh form of the unit, as Gemma has it.
///
/// # Panics
///
/// When the lengths do not fit.
pub fn gelu_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    gated::<GeluTanh>(gate_up, n, out);
}

/// `out = gelu(gate) · up` like [`silu_mul`], with the exact form of the unit, as ModernBERT has
/// it.
///
/// # Panics
///
/// When the lengths do not fit.
pub fn exact_gelu_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    gated::<Gelu>(gate_up, n, out);
}

fn gated<U: Unit>(gate_up: &[f32], n: usize, out: &mut [f32]) {
    assert!(
        gate_up.len() == 2 * out.len() && whole(out, n),
        "rows of twice {n} numbers"
    );
    pieces(out, n, 8, |first, out| {
        let gate_up = &gate_up[2 * first..2 * (first + out.len())];
        let unit = std::marker::PhantomData::<U>;
        Tier::best().run(Gated {
            gate_up,
            n,
            out,
            unit,
        });
    });
}

fn whole(x: &[f32], n: usize) -> bool {
    n > 0 && x.len().is_multiple_of(n)
}

/// Runs a block for each vector of a row: where it starts, and how many numbers it has, which is
/// fewer than `LANES` at the end of some rows. (A closure would not be compiled for the tier.)
macro_rules! each_vector {
    (|$at:ident, $count:ident| in $length:expr, $body:block) => {{
        let length = $length;
        let mut $at = 0;
        while $at < length {
            let $count = L::LANES.min(length - $at);
            $body
            $at += L::LANES;
        }
    }};
}

/// `count` numbers of `x` from `at` on, the other lanes zero.
#[inline(always)]
fn load<L: Lanes>(lanes: L, x: &[f32], at: usize, count: usize) -> L::Vector {
    let x = &x[at..at + count];
    if count == L::LANES {
        // SAFETY: the slice has a vector's numbers.
        return unsafe { lanes.load(x.as_ptr()) };
    }
    let mut filled = [0.0; 16];
    filled[..count].copy_from_slice(x);
    // SAFETY: no tier has more than 16 lanes.
    unsafe { lanes.load(filled.as_ptr()) }
}

/// Writes the first `count` lanes of `y` to `x` from `at` on.
#[inline(always)]
fn store<L: Lanes>(lanes: L, x: &mut [f32], at: usize, count: usize, y: L::Vector) {
    let x = &mut x[at..at + count];
    if count == L::LANES {
        // SAFETY: the slice has a vector's numbers.
        return unsafe { lanes.store(x.as_mut_ptr(), y) };
    }
    let mut filled = [0.0; 16];
    // SAFETY: no tier has more than 16 lanes.
    unsafe { lanes.store(filled.as_mut_ptr(), y) };
    x.copy_from_slice(&filled[..count]);
}

struct RmsNorm<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let n = self.weight.len();
        for (x, out) in self.x.chunks_exact(n).zip(self.out.chunks_exact_mut(n)) {
            let mut squares = lanes.splat(0.0);
            each_vector!(|at, count| in n, {
                let x = load(lanes, x, at, count);
                squares = lanes.mul_add(x, x, squares);
            });
            let mean = lanes.sum(squares) / n as f32;
            let scale = lanes.splat(1.0 / (mean + self.eps).sqrt());
            each_vector!(|at, count| in n, {
                let x = lanes.mul(load(lanes, x, at, count), scale);
                let w = load(lanes, self.weight, at, count);
                store(lanes, out, at, count, lanes.mul(x, w));
            });
        }
    }
}

struct LayerNorm<'a> {
    x: &'a mut [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    eps: f32,
}

impl Kernel for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let n = self.weight.len();
        for x in self.x.chunks_exact_mut(n) {
            let mut sum = lanes.splat(0.0);
            each_vector!(|at, count| in n, {
                sum = lanes.add(sum, load(lanes, x, at, count));
            });
            let mean = lanes.sum(sum) / n as f32;
            // The empty lanes of a last vector must not count: its numbers are added one by one.
            let full = n / L::LANES * L::LANES;
            let mut squares = lanes.splat(0.0);
            each_vector!(|at, count| in full, {
                let x = lanes.sub(load(lanes, x, at, count), lanes.splat(mean));
                squares = lanes.mul_add(x, x, squares);
            });
            let mut sum = lanes.sum(squares);
            for x in &x[full..] {
                sum += (x - mean) * (x - mean);
            }
            let scale = lanes.splat(1.0 / (sum / n as f32 + self.eps).sqrt());
            each_vector!(|at, count| in n, {
                let y = lanes.sub(load(lanes, x, at, count), lanes.splat(mean));
                let w = load(lanes, self.weight, at, count);
                let b = load(lanes, self.bias, at, count);
                store(lanes, x, at, count, lanes.mul_add(lanes.mul(y, scale), w, b));
            });
        }
    }
}

/// An activation function.
trait Unit: Sync {
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector;
}

struct Silu;

impl Unit for Silu {
    #[inline(always)]
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
        math::silu(lanes, x)
    }
}

struct GeluTanh;

impl Unit for GeluTanh {
    #[inline(always)]
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
        math::gelu_tanh(lanes, x)
    }
}

struct Gelu;

impl Unit for Gelu {
    #[inline(always)]
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
        math::gelu(lanes, x)
    }
}

struct Plain<'a, U> {
    x: &'a mut [f32],
    unit: std::marker::PhantomData<U>,
}

impl<U: Unit> Kernel for Plain<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let x = self.x;
        each_vector!(|at, count| in x.len(), {
            let y = U::apply(lanes, load(lanes, x, at, count));
            store(lanes, x, at, count, y);
        });
    }
}

struct Gated<'a, U> {
    gate_up: &'a [f32],
    n: usize,
    out: &'a mut [f32],
    unit: std::marker::PhantomData<U>,
}

impl<U: Unit> Kernel for Gated<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let n = self.n;
        let rows = self.gate_up.chunks_exact(2 * n);
        for (row, out) in rows.zip(self.out.chunks_exact_mut(n)) {
            let (gate, up) = row.split_at(n);
            each_vector!(|at, count| in n, {
                let gate = U::apply(lanes, load(lanes, gate, at, count));
                let up = load(lanes, up, at, count);
                store(lanes, out, at, count, lanes.mul(gate, up));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| (i as f32 * 0.7311).sin() * 3.0)
            .collect()
    }

    fn close(found: &[f32], expected: impl IntoIterator<Item = f64>) {
        let mut count = 0;
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(
                error <= 2e-6 * expected.abs().max(1.0),
                "{found}, not {expected}"
            );
            count += 1;
        }
        assert_eq!(count, found.len());
    }

    fn wide(x: &[f32]) -> Vec<f64> {
        x.iter().map(|x| f64::from(*x)).collect()
    }

    fn exact_form(x: f64) -> f64 {
        0.5 * x * (1.0 + candle_core::cpu::erf::erf_f64(x * std::f64::consts::FRAC_1_SQRT_2))
    }

    fn tanh_form(x: f64) -> f64 {
        let c = (2.0 / std::f64::consts::PI).sqrt();
        0.5 * x * (1.0 + (c * (x + 0.044_715 * x * x * x)).tanh())
    }

    #[test]
    fn norms_are_those_of_the_formulas() {
        for n in [1, 7, 16, 64, 385, 576] {
            let (x, weight, bias) = (numbers(5 * n), numbers(n), numbers(n + 1));
            let bias = &bias[1..];
            let (w, b) = (wide(&weight), wide(bias));
            let mut out = vec![0.0; 5 * n];
            rms_norm(&x, &weight, 1e-5, &mut out);
            let mut normed = x.clone();
            layer_norm(&mut normed, &weight, bias, 1e-12);
            for row in 0..5 {
                let at = row * n..(row + 1) * n;
                let x = wide(&x[at.clone()]);
                let mean = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
                let scale = 1.0 / (mean + 1e-5).sqrt();
                close(&out[at.clone()], (0..n).map(|i| x[i] * scale * w[i]));
                if n > 1 {
                    let mean = x.iter().sum::<f64>() / n as f64;
                    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                    let scale = 1.0 / (variance + 1e-12).sqrt();
                    close(
                        &normed[at],
                        (0..n).map(|i| (x[i] - mean) * scale * w[i] + b[i]),
                    );
                }
            }
        }
    }

    #[test]
    fn gates_are_those_of_the_formulas() {
        for n in [1, 5, 16, 100, 1536] {
            let gate_up = numbers(3 * 2 * n);
            let expected = |unit: fn(f64) -> f64| {
                let gate_up = wide(&gate_up);
                (0..3 * n).map(move |i| {
                    let at = i / n * 2 * n + i % n;
                    unit(gate_up[at]) * gate_up[at + n]
                })
            };
            let mut out = vec![0.0; 3 * n];
            silu_mul(&gate_up, n, &mut out);
            close(&out, expected(|x| x / (1.0 + (-x).exp())));
            gelu_mul(&gate_up, n, &mut out);
            close(&out, expected(tanh_form));
            exact_gelu_mul(&gate_up, n, &mut out);
            close(&out, expected(exact_form));
        }
    }

    #[test]
    fn sums_and_units_of_any_length() {
        for n in [0, 1, 15, 17, 5000, 100_000] {
            let mut x = numbers(n);
            add(&mut x, &numbers(n));
            close(&x, wide(&numbers(n)).into_iter().map(|x| 2.0 * x));
            let mut x = numbers(n);
            gelu(&mut x);
            close(&x, wide(&numbers(n)).into_iter().map(exact_form));
            let mut x = numbers(n);
            gelu_tanh(&mut x);
            close(&x, wide(&numbers(n)).into_iter().map(tanh_form));
        }
    }
}
