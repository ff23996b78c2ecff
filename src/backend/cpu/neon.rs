//! NEON of aarch64: 32 registers of 4 values.
//!
//! Kept as thin as it can be (one intrinsic per method). It is compiled and run only by hand, under
//! emulation (`docs/measuring.md` has the command); no aarch64 machine has timed it, and the size
//! of its register block is an estimate.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::{aarch64::*, is_aarch64_feature_detected};

use super::{
    islands::{fma_blocks, stencil, stencils, store_block},
    vector::{Kernel, Pixels, Simd, Stencil},
};

/// Proof that the processor has NEON.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon(());

impl Neon {
    /// The proof, where the processor has it (every aarch64 server and phone does).
    pub(super) fn detect() -> Option<Self> {
        is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// Compiles `kernel` for NEON.
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
unsafe fn compiled<K: Kernel>(kernel: K, simd: Neon) -> K::Output {
    kernel.run(simd)
}

/// One register of f32 values.
///
/// # Safety
/// The processor has NEON, and 4 values can be read at `at`.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn single(at: *const f32) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe { vld1q_f32(at) }
}

/// One register of half-precision values, widened: exponent and mantissa moved into place and
/// rescaled by 2^112. Infinities do not occur in packed weights.
///
/// # Safety
/// As [`single`].
#[inline]
#[target_feature(enable = "neon")]
unsafe fn half(at: *const u16) -> float32x4_t {
    // SAFETY: the caller's promise.
    unsafe {
        let bits = vmovl_u16(vld1_u16(at));
        let magnitude = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
        let scale = vdupq_n_f32(f32::from_bits(0x7780_0000));
        let magnitude = vmulq_f32(vreinterpretq_f32_u32(magnitude), scale);
        let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
        vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(magnitude), sign))
    }
}

/// `a · b + c`, in the order of the x86 instruction.
///
/// # Safety
/// The processor has NEON.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
    vfmaq_f32(c, a, b)
}

/// Writes one register of f32 values.
///
/// # Safety
/// As [`single`], and the values can be written.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn write(at: *mut f32, value: float32x4_t) {
    // SAFETY: the caller's promise.
    unsafe { vst1q_f32(at, value) }
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;
    const ROWS: usize = 12;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so NEON is there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    fn load(self, from: &[f32], at: usize) -> float32x4_t {
        assert!(from.len() >= 4 && at <= from.len() - 4, "a register reaches beyond its slice");
        // SAFETY: `self` proves NEON; 4 values from `at` are inside the slice.
        unsafe { vld1q_f32(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    fn store(self, value: float32x4_t, to: &mut [f32], at: usize) {
        assert!(to.len() >= 4 && at <= to.len() - 4, "a register reaches beyond its slice");
        // SAFETY: `self` proves NEON; 4 values from `at` are inside the slice.
        unsafe { vst1q_f32(to.as_mut_ptr().add(at), value) }
    }

    #[inline(always)]
    fn load_half(self, from: &[u16], at: usize) -> float32x4_t {
        assert!(from.len() >= 4 && at <= from.len() - 4, "a register reaches beyond its slice");
        // SAFETY: `self` proves NEON; 4 values from `at` are inside the slice.
        unsafe { half(from.as_ptr().add(at)) }
    }

    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vaddq_f32(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vmulq_f32(a, b) }
    }

    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vdivq_f32(a, b) }
    }

    #[inline(always)]
    fn fma(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vfmaq_f32(c, a, b) }
    }

    // A comparison and a choice, as NEON's own maximum has other rules for what is not a number.
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vbslq_f32(vcgtq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vbslq_f32(vcltq_f32(a, b), a, b) }
    }

    #[inline(always)]
    fn where_negative(self, x: float32x4_t, below: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vbslq_f32(vcltzq_f32(x), below, x) }
    }

    #[inline(always)]
    fn round(self, x: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vrndnq_f32(x) }
    }

    #[inline(always)]
    fn power_of_two(self, n: float32x4_t) -> float32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe {
            let biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
        }
    }

    fma_blocks!(vdupq_n_f32(0.0), vdupq_n_f32, multiply_add, single, half);

    store_block!(single, write);

    stencil!();
}

stencils!(Neon, single, write);
