//! The units of feed-forward layers, alone and as gates.

use std::marker::PhantomData;

use super::{load, store, whole};
use crate::kernels::math;
use crate::kernels::parallel::pieces;
use crate::kernels::tier::{Kernel, Lanes, Tier};

/// The exact Gaussian error linear unit, `x · Φ(x)`, in place.
pub fn gelu(x: &mut [f32]) {
    plain::<Gelu>(x);
}

/// The Gaussian error linear unit in its tanh form, in place.
pub fn gelu_tanh(x: &mut [f32]) {
    plain::<GeluTanh>(x);
}

/// `x · sigmoid(x)`, in place.
pub fn silu(x: &mut [f32]) {
    plain::<Silu>(x);
}

/// `max(x, 0)²`, in place (So et al., 2021).
pub fn relu_squared(x: &mut [f32]) {
    plain::<ReluSquared>(x);
}

fn plain<U: Unit>(x: &mut [f32]) {
    let unit = PhantomData::<U>;
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

/// `out = max(gate, 0)² · up` like [`silu_mul`].
///
/// # Panics
///
/// When the lengths do not fit.
pub fn relu_squared_mul(gate_up: &[f32], n: usize, out: &mut [f32]) {
    gated::<ReluSquared>(gate_up, n, out);
}

fn gated<U: Unit>(gate_up: &[f32], n: usize, out: &mut [f32]) {
    assert!(
        gate_up.len() == 2 * out.len() && whole(out, n),
        "rows of twice {n} numbers"
    );
    pieces(out, n, 8, |first, out| {
        let gate_up = &gate_up[2 * first..2 * (first + out.len())];
        let unit = PhantomData::<U>;
        Tier::best().run(Gated {
            gate_up,
            n,
            out,
            unit,
        });
    });
}

struct Plain<'a, U> {
    x: &'a mut [f32],
    unit: PhantomData<U>,
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

/// An activation function.
trait Unit: Sync {
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector;
}

struct Gelu;

impl Unit for Gelu {
    #[inline(always)]
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
        math::gelu(lanes, x)
    }
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

struct ReluSquared;

impl Unit for ReluSquared {
    #[inline(always)]
    fn apply<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
        let x = lanes.max(x, lanes.splat(0.0));
        lanes.mul(x, x)
    }
}

struct Gated<'a, U> {
    gate_up: &'a [f32],
    n: usize,
    out: &'a mut [f32],
    unit: PhantomData<U>,
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
