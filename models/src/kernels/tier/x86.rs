//! Vectors of x86-64.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// Eight numbers, with AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx2 {
    _private: (),
}

/// Sixteen numbers, with AVX-512 F, BW, DQ, VL and VNNI.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512 {
    _private: (),
}

/// Runs `kernel` compiled for AVX2.
///
/// # Safety
///
/// The machine has the instructions.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2 { _private: () })
}

/// Runs `kernel` compiled for AVX-512.
///
/// # Safety
///
/// The machine has the instructions.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512 { _private: () })
}

// The same names with another prefix: one text for both tiers.
macro_rules! lanes {
    (
        $type:ty, $vector:ty, $lanes:expr, $registers:expr, $half:ty,
        $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $div:ident,
        $mul_add:ident, $max:ident, $min:ident, $load_half:ident, $from_f16:ident,
        $widen:ident, $shift:ident, $cast:ident, $to_int:ident, $add_int:ident, $splat_int:ident,
        select($a:ident, $b:ident, $x:ident, $y:ident) $select:expr, round($r:ident) $round:expr
    ) => {
        // SAFETY: values are made in the functions above alone, whose callers vouch for the
        // machine. That is also what makes every intrinsic below safe to call; the reads and
        // writes are within what the methods' contracts promise.
        unsafe impl Lanes for $type {
            type Vector = $vector;
            const LANES: usize = $lanes;
            const REGISTERS: usize = $registers;

            #[inline(always)]
            fn splat(self, x: f32) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $splat(x) }
            }

            #[inline(always)]
            unsafe fn load(self, from: *const f32) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $load(from) }
            }

            #[inline(always)]
            unsafe fn load_f16(self, from: *const u16) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $from_f16($load_half(from.cast::<$half>())) }
            }

            #[inline(always)]
            unsafe fn load_bf16(self, from: *const u16) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $cast($shift::<16>($widen($load_half(from.cast::<$half>())))) }
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32, x: $vector) {
                // SAFETY: see the implementation's.
                unsafe { $store(to, x) }
            }

            #[inline(always)]
            fn add(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $add(a, b) }
            }

            #[inline(always)]
            fn sub(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $sub(a, b) }
            }

            #[inline(always)]
            fn mul(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $mul(a, b) }
            }

            #[inline(always)]
            fn div(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $div(a, b) }
            }

            #[inline(always)]
            fn mul_add(self, a: $vector, b: $vector, c: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $mul_add(a, b, c) }
            }

            #[inline(always)]
            fn max(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $max(a, b) }
            }

            #[inline(always)]
            fn min(self, a: $vector, b: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $min(a, b) }
            }

            #[inline(always)]
            fn select(self, $a: $vector, $b: $vector, $x: $vector, $y: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $select }
            }

            #[inline(always)]
            fn round(self, $r: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $round }
            }

            #[inline(always)]
            fn power_of_two(self, n: $vector) -> $vector {
                // SAFETY: see the implementation's.
                unsafe { $cast($shift::<23>($add_int($to_int(n), $splat_int(127)))) }
            }
        }
    };
}

lanes!(
    Avx2, __m256, 8, 16, __m128i,
    _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps, _mm256_sub_ps,
    _mm256_mul_ps, _mm256_div_ps, _mm256_fmadd_ps, _mm256_max_ps, _mm256_min_ps,
    _mm_loadu_si128, _mm256_cvtph_ps, _mm256_cvtepu16_epi32, _mm256_slli_epi32,
    _mm256_castsi256_ps, _mm256_cvtps_epi32, _mm256_add_epi32, _mm256_set1_epi32,
    select(a, b, x, y) _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)),
    round(x) _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
);

lanes!(
    Avx512, __m512, 16, 32, __m256i,
    _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps, _mm512_sub_ps,
    _mm512_mul_ps, _mm512_div_ps, _mm512_fmadd_ps, _mm512_max_ps, _mm512_min_ps,
    _mm256_loadu_si256, _mm512_cvtph_ps, _mm512_cvtepu16_epi32, _mm512_slli_epi32,
    _mm512_castsi512_ps, _mm512_cvtps_epi32, _mm512_add_epi32, _mm512_set1_epi32,
    select(a, b, x, y) _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x),
    round(x) _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
);
