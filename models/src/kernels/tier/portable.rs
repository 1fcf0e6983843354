//! Vectors in plain Rust.

use half::{bf16, f16};

use super::Lanes;

/// Eight numbers that the compiler may put into vectors of its target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn map(f: impl Fn(usize) -> f32) -> [f32; 8] {
    let mut out = [0.0; 8];
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(i);
    }
    out
}

// SAFETY: it needs no instructions beyond the target's.
unsafe impl Lanes for Portable {
    type Vector = [f32; 8];
    const LANES: usize = 8;
    const REGISTERS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 8] {
        [x; 8]
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> [f32; 8] {
        // SAFETY: by the contract.
        unsafe { from.cast::<[f32; 8]>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn load_f16(self, from: *const u16) -> [f32; 8] {
        // SAFETY: by the contract.
        let bits = unsafe { from.cast::<[u16; 8]>().read_unaligned() };
        map(|i| f16::from_bits(bits[i]).to_f32())
    }

    #[inline(always)]
    unsafe fn load_bf16(self, from: *const u16) -> [f32; 8] {
        // SAFETY: by the contract.
        let bits = unsafe { from.cast::<[u16; 8]>().read_unaligned() };
        map(|i| bf16::from_bits(bits[i]).to_f32())
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, x: [f32; 8]) {
        // SAFETY: by the contract.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(x) }
    }

    #[inline(always)]
    fn add(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn div(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| a[i] / b[i])
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; 8], b: [f32; 8], c: [f32; 8]) -> [f32; 8] {
        // Without the instruction `f32::mul_add` is a slow function call.
        if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
            map(|i| a[i].mul_add(b[i], c[i]))
        } else {
            map(|i| a[i] * b[i] + c[i])
        }
    }

    #[inline(always)]
    fn max(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn min(self, a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        map(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn select(self, a: [f32; 8], b: [f32; 8], x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
        map(|i| if a[i] < b[i] { x[i] } else { y[i] })
    }

    #[inline(always)]
    fn round(self, x: [f32; 8]) -> [f32; 8] {
        // Adding 1.5 · 2²³ leaves no bits for a fraction: the addition itself rounds.
        const MAGIC: f32 = 12_582_912.0;
        map(|i| (x[i] + MAGIC) - MAGIC)
    }

    #[inline(always)]
    fn power_of_two(self, n: [f32; 8]) -> [f32; 8] {
        map(|i| f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }
}
