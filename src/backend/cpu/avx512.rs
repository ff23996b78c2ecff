//! AVX-512F: 32 registers of 16 values; two fused multiply-adds per cycle on server cores.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::x86_64::*;

use super::{
    islands::{fma_blocks, stencil, stencils, store_block},
    vector::{Kernel, Pixels, Simd, Stencil},
};

/// Proof that the processor has AVX-512F.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, where the processor has it.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        there.then_some(Self(()))
    }
}

/// Compiles `kernel` for AVX-512F.
///
/// # Safety
/// The processor has the features named.
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn compiled<K: Kernel>(kernel: K, simd: Avx512) -> K::Output {
    kernel.run(simd)
}

/// One register of f32 values.
///
/// # Safety
/// The processor has AVX-512F, and 16 values can be read at `at`.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn single(at: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_loadu_ps(at) }
}

/// One register of half-precision values, widened.
///
/// # Safety
/// As [`single`].
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn half(at: *const u16) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
}

/// Writes one register of f32 values.
///
/// # Safety
/// As [`single`], and the values can be written.
#[inline]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn write(at: *mut f32, value: __m512) {
    // SAFETY: the caller's promise.
    unsafe { _mm512_storeu_ps(at, value) }
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const ROWS: usize = 14;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so the features are there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32], at: usize) -> __m512 {
        assert!(from.len() >= 16 && at <= from.len() - 16, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX-512F; 16 values from `at` are inside the slice.
        unsafe { _mm512_loadu_ps(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32], at: usize) {
        assert!(to.len() >= 16 && at <= to.len() - 16, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX-512F; 16 values from `at` are inside the slice.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr().add(at), value) }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16], at: usize) -> __m512 {
        assert!(from.len() >= 16 && at <= from.len() - 16, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX-512F; 16 values from `at` are inside the slice.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().add(at).cast())) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_div_ps(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    fn where_negative(self, x: __m512, below: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe {
            let negative = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
            _mm512_mask_mov_ps(x, negative, below)
        }
    }

    #[inline(always)]
    fn round(self, x: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_roundscale_ps::<0>(x) }
    }

    #[inline(always)]
    fn power_of_two(self, n: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512F.
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
    }

    fma_blocks!(_mm512_setzero_ps(), _mm512_set1_ps, _mm512_fmadd_ps, single, half);

    store_block!(single, write);

    stencil!();
}

stencils!(Avx512, single, write);
