//! What the CPU can do, found at run time, and vectors of `f32` over it.
//!
//! A [`Kernel`] is written once over [`Lanes`] and compiled for every [`Tier`];
//! [`Tier::run`] takes the right one. The methods of `Lanes` are safe because its values exist
//! only where the tier was found to be there.

mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

use portable::Portable;

/// A set of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    /// Whatever the compiler's target has.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Tier {
    /// The best tier of this machine.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("f16c");
            let avx512 = has!("avx512f")
                && has!("avx512bw")
                && has!("avx512dq")
                && has!("avx512vl")
                && has!("avx512vnni");
            match (avx2, avx512) {
                (true, true) => return Self::Avx512,
                (true, false) => return Self::Avx2,
                (false, _) => {}
            }
        }
        Self::Portable
    }

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "any processor",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => "AVX-512 with VNNI",
        }
    }

    /// Every tier of this machine.
    #[cfg(test)]
    pub fn all() -> Vec<Self> {
        let tiers = [
            Self::Portable,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
        ];
        let best = Self::best();
        tiers.into_iter().filter(|tier| *tier <= best).collect()
    }

    /// Runs `kernel` compiled for this tier.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Portable => kernel.run(Portable),
            // SAFETY: the value exists only if `best` found the tier.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::run_avx2(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::run_avx512(kernel) },
        }
    }
}

/// A computation to be compiled for every tier.
pub(crate) trait Kernel {
    /// What it gives back.
    type Output;

    /// Computes. Implementations are `#[inline(always)]`, and so is everything they call:
    /// only then is it compiled with the instructions of the tier.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Vectors of `f32` in one tier.
///
/// # Safety
///
/// A value of the type exists only on machines that have its instructions.
pub(crate) unsafe trait Lanes: Copy {
    /// A vector.
    type Vector: Copy;
    /// Numbers in a vector.
    const LANES: usize;
    /// Vectors that the machine can hold at once.
    const REGISTERS: usize;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::Vector;
    /// The numbers at `from`.
    ///
    /// # Safety
    ///
    /// `LANES` numbers can be read there.
    unsafe fn load(self, from: *const f32) -> Self::Vector;
    /// The half-precision numbers at `from`, widened.
    ///
    /// # Safety
    ///
    /// `LANES` numbers can be read there.
    unsafe fn load_f16(self, from: *const u16) -> Self::Vector;
    /// The bfloat16 numbers at `from`, widened.
    ///
    /// # Safety
    ///
    /// `LANES` numbers can be read there.
    unsafe fn load_bf16(self, from: *const u16) -> Self::Vector;
    /// Writes the lanes to `to`.
    ///
    /// # Safety
    ///
    /// `LANES` numbers can be written there.
    unsafe fn store(self, to: *mut f32, x: Self::Vector);
    /// `a + b`.
    fn add(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a − b`.
    fn sub(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b`.
    fn mul(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a / b`.
    fn div(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a · b + c`, rounded once where the tier can.
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// The greater, and `b` if either is not a number.
    fn max(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// The smaller, and `b` if either is not a number.
    fn min(self, a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `x` where `a < b`, else `y`.
    fn select(
        self,
        a: Self::Vector,
        b: Self::Vector,
        x: Self::Vector,
        y: Self::Vector,
    ) -> Self::Vector;
    /// The nearest whole numbers, ties to even, of numbers below 2²² in size.
    fn round(self, x: Self::Vector) -> Self::Vector;
    /// `2ⁿ` for whole `n` from −126 to 127.
    fn power_of_two(self, n: Self::Vector) -> Self::Vector;

    /// The sum of the lanes, in an order that depends on `LANES` alone.
    #[inline(always)]
    fn sum(self, x: Self::Vector) -> f32 {
        let mut lanes = [0.0f32; 16];
        // SAFETY: no tier has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), x) };
        let mut width = Self::LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
            width /= 2;
        }
        lanes[0]
    }

    /// The greatest of the lanes.
    #[inline(always)]
    fn greatest(self, x: Self::Vector) -> f32 {
        let mut lanes = [f32::NEG_INFINITY; 16];
        // SAFETY: no tier has more than 16 lanes.
        unsafe { self.store(lanes.as_mut_ptr(), x) };
        lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
}
