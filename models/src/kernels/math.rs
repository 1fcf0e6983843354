//! Functions of vectors of `f32`.

use super::tier::Lanes;

/// Natural exponential to about one part in 10⁷. Below −87.3 it is zero, above 88.3 it stays
/// what it is there.
#[inline(always)]
pub(super) fn exp<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    const SMALLEST: f32 = -87.3;
    // The first part of ln 2 has so few bits that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // 1 / n! from n = 7 down.
    const SERIES: [f32; 8] = [
        1.0 / 5040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let smallest = lanes.splat(SMALLEST);
    // What is not a number passes: `max` and `min` give their second argument then.
    let cut = lanes.min(lanes.splat(88.3), lanes.max(smallest, x));
    let n = lanes.round(lanes.mul(cut, lanes.splat(std::f32::consts::LOG2_E)));
    let r = lanes.mul_add(n, lanes.splat(-LN_2[0]), cut);
    let r = lanes.mul_add(n, lanes.splat(-LN_2[1]), r);
    let mut sum = lanes.splat(SERIES[0]);
    for coefficient in &SERIES[1..] {
        sum = lanes.mul_add(sum, r, lanes.splat(*coefficient));
    }
    let value = lanes.mul(sum, lanes.power_of_two(n));
    lanes.select(x, smallest, lanes.splat(0.0), value)
}

/// `x · sigmoid(y)`.
#[inline(always)]
fn gate<L: Lanes>(lanes: L, x: L::Vector, y: L::Vector) -> L::Vector {
    let e = exp(lanes, lanes.sub(lanes.splat(0.0), y));
    lanes.div(x, lanes.add(lanes.splat(1.0), e))
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(super) fn silu<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    gate(lanes, x, x)
}

/// The tanh form of the Gaussian error linear unit: `x · (1 + tanh y) / 2` is
/// `x · sigmoid(2y)`, which loses no digits where `tanh y` is near −1.
#[inline(always)]
pub(super) fn gelu_tanh<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    // 2 · √(2/π)
    let c = lanes.splat(1.595_769);
    let square = lanes.mul(x, x);
    let inner = lanes.mul_add(square, lanes.splat(0.044_715), lanes.splat(1.0));
    gate(lanes, x, lanes.mul(lanes.mul(c, x), inner))
}

/// Hyperbolic tangent, to about 10⁻⁷.
#[inline(always)]
pub(super) fn tanh<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let e = exp(lanes, lanes.add(x, x));
    let (one, two) = (lanes.splat(1.0), lanes.splat(2.0));
    lanes.sub(one, lanes.div(two, lanes.add(e, one)))
}

/// The exact Gaussian error linear unit, `x · Φ(x)`.
#[inline(always)]
pub(super) fn gelu<L: Lanes>(lanes: L, x: L::Vector) -> L::Vector {
    let zero = lanes.splat(0.0);
    let z = lanes.mul(x, lanes.splat(std::f32::consts::FRAC_1_SQRT_2));
    let size = lanes.max(lanes.sub(zero, z), z);
    let half = lanes.mul(lanes.splat(0.5), erfc(lanes, size));
    let one_less = lanes.sub(lanes.splat(1.0), half);
    lanes.mul(x, lanes.select(x, zero, half, one_less))
}

/// The complementary error function of `z ≥ 0`, to about two parts in 10⁷: `t · p(t) · exp(−z²)`
/// with `t = 1 / (1 + z/2)` and `p` fitted by least squares to relative error.
#[inline(always)]
fn erfc<L: Lanes>(lanes: L, z: L::Vector) -> L::Vector {
    const P: [f32; 9] = [
        0.282_084_05,
        0.282_423_53,
        0.242_706_55,
        0.204_435_04,
        -0.031_151_03,
        0.285_167_96,
        -0.493_835_03,
        0.287_969,
        -0.059_800_107,
    ];
    let one = lanes.splat(1.0);
    let t = lanes.div(one, lanes.mul_add(z, lanes.splat(0.5), one));
    let mut p = lanes.splat(P[8]);
    for coefficient in P[..8].iter().rev() {
        p = lanes.mul_add(p, t, lanes.splat(*coefficient));
    }
    let e = exp(lanes, lanes.sub(lanes.splat(0.0), lanes.mul(z, z)));
    lanes.mul(lanes.mul(t, p), e)
}

/// Sine and cosine of an angle, each rounded once but for a few last digits of `f64`.
///
/// Plain arithmetic without branches, so that loops over it become vector instructions.
#[inline(always)]
pub(super) fn sin_cos(angle: f32) -> (f32, f32) {
    // Adding 1.5 · 2⁵² leaves no bits for a fraction: the addition itself rounds.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    // The first part of π/2 has so few bits that its multiples are exact.
    const HALF_PI: [f64; 2] = [1.570_796_326_734_125_6, 6.077_100_506_506_192e-11];
    let angle = f64::from(angle);
    let shifted = angle * std::f64::consts::FRAC_2_PI + MAGIC;
    let n = shifted - MAGIC;
    let quadrant = shifted.to_bits();
    let r = (angle - n * HALF_PI[0]) - n * HALF_PI[1];
    let s = r * r;
    let sin = r + r
        * s
        * (-1.0 / 6.0
            + s * (1.0 / 120.0
                + s * (-1.0 / 5040.0 + s * (1.0 / 362_880.0 - s * (1.0 / 39_916_800.0)))));
    let cos = 1.0
        + s * (-0.5
            + s * (1.0 / 24.0
                + s * (-1.0 / 720.0 + s * (1.0 / 40_320.0 - s * (1.0 / 3_628_800.0)))));
    let (sin, cos) = if quadrant & 1 == 0 {
        (sin, cos)
    } else {
        (cos, -sin)
    };
    let (sin, cos) = if quadrant & 2 == 0 {
        (sin, cos)
    } else {
        (-sin, -cos)
    };
    (sin as f32, cos as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::tier::{Kernel, Tier};

    struct Apply<'a> {
        function: &'static str,
        x: &'a mut [f32; 16],
    }

    impl Kernel for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self, lanes: L) {
            for x in self.x.chunks_exact_mut(L::LANES) {
                // SAFETY: the chunk has as many numbers as a vector.
                unsafe {
                    let y = lanes.load(x.as_ptr());
                    let y = match self.function {
                        "exp" => exp(lanes, y),
                        "tanh" => tanh(lanes, y),
                        "silu" => silu(lanes, y),
                        "gelu" => gelu(lanes, y),
                        "gelu_tanh" => gelu_tanh(lanes, y),
                        other => unreachable!("{other}"),
                    };
                    lanes.store(x.as_mut_ptr(), y);
                }
            }
        }
    }

    /// Checks a function on a fine grid: the error is at most `relative` of the value, or
    /// `absolute`.
    fn check(
        function: &'static str,
        exact: fn(f64) -> f64,
        (from, to): (f64, f64),
        relative: f64,
        absolute: f64,
    ) {
        for tier in Tier::all() {
            for i in 0..20_000 {
                let mut x = [0.0f32; 16];
                for (lane, x) in x.iter_mut().enumerate() {
                    *x = (from + (to - from) * (f64::from(i) * 16.0 + lane as f64) / 320_000.0)
                        as f32;
                }
                let mut y = x;
                tier.run(Apply {
                    function,
                    x: &mut y,
                });
                for (x, y) in x.into_iter().zip(y) {
                    let exact = exact(f64::from(x));
                    let error = (f64::from(y) - exact).abs();
                    assert!(
                        error <= (relative * exact.abs()).max(absolute),
                        "{function}({x}) is {exact}, not {y}, on {tier:?}"
                    );
                }
            }
        }
    }

    /// `Φ(x)` to all digits of `f64`: a series near zero, a continued fraction beyond.
    fn normal(x: f64) -> f64 {
        let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        if x.abs() < 3.0 {
            let (mut term, mut sum) = (x, x);
            for n in 1..100 {
                term *= x * x / (2.0 * f64::from(n) + 1.0);
                sum += term;
            }
            return 0.5 + density * sum;
        }
        let fraction = (1..200)
            .rev()
            .fold(x.abs(), |f, n| x.abs() + f64::from(n) / f);
        let tail = density / fraction;
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    #[test]
    fn functions_keep_their_digits() {
        check("exp", f64::exp, (-87.2, 88.2), 2e-7, 0.0);
        check("exp", |_| 0.0, (-1e4, -87.31), 0.0, 0.0);
        check("tanh", f64::tanh, (-20.0, 20.0), 2e-7, 2e-7);
        check("silu", |x| x / (1.0 + (-x).exp()), (-80.0, 80.0), 5e-7, 0.0);
        check("gelu", |x| x * normal(x), (-4.0, 20.0), 1.5e-6, 1e-8);
        let tanh_form = |x: f64| {
            let c = (2.0 / std::f64::consts::PI).sqrt();
            x / (1.0 + (-2.0 * c * (x + 0.044_715 * x * x * x)).exp())
        };
        check("gelu_tanh", tanh_form, (-4.0, 20.0), 3e-6, 1e-8);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for tier in Tier::all() {
            for function in ["exp", "tanh", "silu", "gelu", "gelu_tanh"] {
                let mut x = [f32::NAN; 16];
                tier.run(Apply {
                    function,
                    x: &mut x,
                });
                assert!(x.iter().all(|x| x.is_nan()), "{function} on {tier:?}");
            }
        }
    }

    #[test]
    fn angles_far_out_are_exact() {
        for i in 0..1_000_000u32 {
            let angle = i as f32 * 0.731;
            let (sin, cos) = sin_cos(angle);
            let exact = f64::from(angle).sin_cos();
            assert!((f64::from(sin) - exact.0).abs() < 6e-8, "sin {angle}");
            assert!((f64::from(cos) - exact.1).abs() < 6e-8, "cos {angle}");
        }
        assert_eq!(sin_cos(0.0), (0.0, 1.0));
        assert!(sin_cos(f32::NAN).0.is_nan());
    }
}
