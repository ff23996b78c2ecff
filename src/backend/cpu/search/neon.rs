//! NEON of aarch64, with the dot product instructions where the processor has them.
//!
//! It is compiled and run only by hand, under emulation (`docs/measuring.md` has the command); no
//! aarch64 machine has timed it, and the size of its register block is an estimate.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::{aarch64::*, asm, is_aarch64_feature_detected};

use super::lanes::{Kernel, Lanes};

/// Proof that the processor has NEON, and with `SDOT` its dot product instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Neon<const SDOT: bool>(());

impl<const SDOT: bool> Neon<SDOT> {
    /// The proof, where the processor has them.
    pub(super) fn detect() -> Option<Self> {
        let there = is_aarch64_feature_detected!("neon")
            && (!SDOT || is_aarch64_feature_detected!("dotprod"));
        there.then_some(Self(()))
    }
}

/// Compiles `kernel` for NEON.
///
/// # Safety
/// The processor has NEON.
#[target_feature(enable = "neon")]
#[inline(never)]
unsafe fn compiled<K: Kernel, const SDOT: bool>(kernel: K, lanes: Neon<SDOT>) -> K::Output {
    kernel.run(lanes)
}

/// Four times four products, summed by fours onto `sum`.
///
/// # Safety
/// The processor has NEON, and with `SDOT` its dot product instructions.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn dot<const SDOT: bool>(sum: int32x4_t, rows: int8x16_t, probe: int8x16_t) -> int32x4_t {
    if SDOT {
        let mut sum = sum;
        // SAFETY: the caller promises the instruction, whose intrinsic is not stable yet; it
        // touches the three registers named and nothing else.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {rows:v}.16b, {probe:v}.16b",
                sum = inout(vreg) sum,
                rows = in(vreg) rows,
                probe = in(vreg) probe,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        return sum;
    }
    let low = vmull_s8(vget_low_s8(rows), vget_low_s8(probe));
    let high = vmull_high_s8(rows, probe);
    // Neighbours are added in 16 bits: two products of at most 127² stay below 2¹⁵.
    vpadalq_s16(sum, vpaddq_s16(low, high))
}

impl<const SDOT: bool> Lanes for Neon<SDOT> {
    type V = int32x4_t;
    type Word = int8x16_t;
    const COUNT: usize = 4;
    const VECTORS: usize = 4;
    const PROBES: usize = 4;
    const SHIFT: i32 = 0;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so the features are there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: i32) -> int32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vdupq_n_s32(value) }
    }

    #[inline(always)]
    fn load(self, from: &[u32], at: usize) -> int32x4_t {
        assert!(from.len() >= 4 && at <= from.len() - 4, "a register reaches beyond its slice");
        // SAFETY: `self` proves NEON; 4 words from `at` are inside the slice.
        unsafe { vreinterpretq_s32_u32(vld1q_u32(from.as_ptr().add(at))) }
    }

    #[inline(always)]
    fn store(self, value: int32x4_t, to: &mut [i32], at: usize) {
        assert!(to.len() >= 4 && at <= to.len() - 4, "a register reaches beyond its slice");
        // SAFETY: `self` proves NEON; 4 words from `at` are inside the slice.
        unsafe { vst1q_s32(to.as_mut_ptr().add(at), value) }
    }

    #[inline(always)]
    fn add(self, a: int32x4_t, b: int32x4_t) -> int32x4_t {
        // SAFETY: `self` proves NEON.
        unsafe { vaddq_s32(a, b) }
    }

    #[inline(always)]
    fn word(self, words: &[u32], group: usize) -> int8x16_t {
        // SAFETY: `self` proves NEON.
        unsafe { vreinterpretq_s8_u32(vdupq_n_u32(words[group])) }
    }

    #[inline(always)]
    fn dot(self, sum: int32x4_t, rows: int32x4_t, probe: int8x16_t) -> int32x4_t {
        // SAFETY: `self` proves NEON, and with SDOT its dot product instructions.
        unsafe { dot::<SDOT>(sum, vreinterpretq_s8_s32(rows), probe) }
    }

    #[inline(always)]
    fn rest(self, sum: int32x4_t, norms: &[u16], at: usize, rest: int32x4_t) -> int32x4_t {
        let norms = &norms[at..at + 4];
        // SAFETY: `self` proves NEON; the slice holds 4 norms.
        unsafe {
            let norms = vreinterpretq_s32_u32(vmovl_u16(vld1_u16(norms.as_ptr())));
            vmlaq_s32(sum, norms, rest)
        }
    }

    #[inline(always)]
    fn reached(self, sum: int32x4_t) -> u64 {
        // SAFETY: `self` proves NEON; the array holds 4 words.
        unsafe {
            let bits = vld1q_u32([1, 2, 4, 8].as_ptr());
            u64::from(vaddvq_u32(vandq_u32(vcgezq_s32(sum), bits)))
        }
    }

    #[inline(always)]
    fn product(self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "rows of one length");
        let whole = a.len() - a.len() % 16;
        // SAFETY: `self` proves the features; 16 values from `at` are inside both slices.
        let sum = unsafe {
            let mut sum = vdupq_n_s32(0);
            for at in (0..whole).step_by(16) {
                let x = vld1q_s8(a.as_ptr().add(at));
                sum = dot::<SDOT>(sum, x, vld1q_s8(b.as_ptr().add(at)));
            }
            vaddvq_s32(sum)
        };
        let left = a[whole..].iter().zip(&b[whole..]);
        sum + left.map(|(&x, &q)| i32::from(x) * i32::from(q)).sum::<i32>()
    }

    // The processor's own prefetching is left alone: nothing was measured here.
    #[inline(always)]
    fn prefetch(self, _bytes: &[u8]) {}
}
