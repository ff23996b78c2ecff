//! AVX2 with FMA and F16C (every AVX2 processor has both): 16 registers of 8 values.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::x86_64::*;

use super::{
    islands::{fma_blocks, stencil, stencils, store_block},
    vector::{Kernel, Pixels, Simd, Stencil},
};

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, where the processor has them.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        there.then_some(Self(()))
    }
}

/// Compiles `kernel` for AVX2.
///
/// # Safety
/// The processor has the features named.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn compiled<K: Kernel>(kernel: K, simd: Avx2) -> K::Output {
    kernel.run(simd)
}

/// One register of f32 values.
///
/// # Safety
/// The processor has AVX2 and F16C, and 8 values can be read at `at`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn single(at: *const f32) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_loadu_ps(at) }
}

/// One register of half-precision values, widened.
///
/// # Safety
/// As [`single`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn half(at: *const u16) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
}

/// Writes one register of f32 values.
///
/// # Safety
/// As [`single`], and the values can be written.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn write(at: *mut f32, value: __m256) {
    // SAFETY: the caller's promise.
    unsafe { _mm256_storeu_ps(at, value) }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const ROWS: usize = 6;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so the features are there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32], at: usize) -> __m256 {
        assert!(from.len() >= 8 && at <= from.len() - 8, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX2; 8 values from `at` are inside the slice.
        unsafe { _mm256_loadu_ps(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32], at: usize) {
        assert!(to.len() >= 8 && at <= to.len() - 8, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX2; 8 values from `at` are inside the slice.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr().add(at), value) }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16], at: usize) -> __m256 {
        assert!(from.len() >= 8 && at <= from.len() - 8, "a register reaches beyond its slice");
        // SAFETY: `self` proves F16C; 8 values from `at` are inside the slice.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: `self` proves FMA.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    fn where_negative(self, x: __m256, below: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let negative = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_setzero_ps());
            _mm256_blendv_ps(x, below, negative)
        }
    }

    #[inline(always)]
    fn round(self, x: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
        }
    }

    fma_blocks!(_mm256_setzero_ps(), _mm256_set1_ps, _mm256_fmadd_ps, single, half);

    store_block!(single, write);

    stencil!();
}

stencils!(Avx2, single, write);
