//! The small operations between matrix products. Each works row by row.

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

#[cfg(test)]
mod tests;
mod units;

pub use units::{
    exact_gelu_mul, gelu, gelu_mul, gelu_tanh, relu_squared, relu_squared_mul, silu, silu_mul,
};

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

/// `x += factor · y`.
///
/// # Panics
///
/// When the lengths differ.
pub fn add_scaled(x: &mut [f32], y: &[f32], factor: f32) {
    assert_eq!(x.len(), y.len(), "numbers to add");
    pieces(x, 4096, 1, |first, x| {
        for (x, y) in x.iter_mut().zip(&y[first..]) {
            *x += factor * y;
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

fn whole(x: &[f32], n: usize) -> bool {
    n > 0 && x.len().is_multiple_of(n)
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
