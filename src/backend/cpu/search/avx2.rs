//! AVX2: bytes are widened to 16 bits and multiplied in pairs, summed in 32 bits at once.
//!
//! The one instruction that multiplies bytes (`vpmaddubsw`) saturates its 16-bit sums at 255 · 127
//! · 2; splitting a word into its even and odd bytes costs two instructions for all probes of a
//! block and cannot overflow.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::x86_64::*;

use super::lanes::{BLOCK_ROWS, Kernel, Lanes, block_words, pack_from};

/// Proof that the processor has AVX2.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// The proof, where the processor has it.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt");
        there.then_some(Self(()))
    }
}

/// Compiles `kernel` for AVX2.
///
/// # Safety
/// The processor has the features named.
#[target_feature(enable = "avx2,popcnt")]
#[inline(never)]
unsafe fn compiled<K: Kernel>(kernel: K, lanes: Avx2) -> K::Output {
    kernel.run(lanes)
}

/// The sum of a register's eight lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn total(sum: __m256i) -> i32 {
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let pair = _mm_add_epi32(half, _mm_unpackhi_epi64(half, half));
    _mm_cvtsi128_si32(_mm_add_epi32(pair, _mm_shuffle_epi32::<1>(pair)))
}

impl Avx2 {
    /// Packs 16 values of 4 rows from `from`, rows `pitch` bytes apart, into four groups at `to`.
    ///
    /// # Safety
    /// 16 bytes can be read in each of the 4 rows, and 4 words written in each of the 4 groups.
    #[inline(always)]
    unsafe fn pack_4(self, from: *const i8, pitch: usize, to: *mut u32) {
        // SAFETY: `self` proves AVX2; the caller's promise covers the loads and stores, which are
        // of the transposed four by four words.
        unsafe {
            let high = _mm_set1_epi8(i8::MIN);
            let rows: [__m128i; 4] = std::array::from_fn(|i| {
                _mm_xor_si128(_mm_loadu_si128(from.add(i * pitch).cast()), high)
            });
            let low01 = _mm_unpacklo_epi32(rows[0], rows[1]);
            let high01 = _mm_unpackhi_epi32(rows[0], rows[1]);
            let low23 = _mm_unpacklo_epi32(rows[2], rows[3]);
            let high23 = _mm_unpackhi_epi32(rows[2], rows[3]);
            let groups = [
                _mm_unpacklo_epi64(low01, low23),
                _mm_unpackhi_epi64(low01, low23),
                _mm_unpacklo_epi64(high01, high23),
                _mm_unpackhi_epi64(high01, high23),
            ];
            for (g, group) in groups.into_iter().enumerate() {
                _mm_storeu_si128(to.add(g * BLOCK_ROWS).cast(), group);
            }
        }
    }
}

impl Lanes for Avx2 {
    type V = __m256i;
    /// Values 0 and 2 in each lane's halves, and values 1 and 3.
    type Word = (__m256i, __m256i);
    const COUNT: usize = 8;
    const VECTORS: usize = 2;
    const PROBES: usize = 4;
    const SHIFT: i32 = 128;
    const SPREAD: usize = 2;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so the features are there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: i32) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_set1_epi32(value) }
    }

    #[inline(always)]
    fn load(self, from: &[u32], at: usize) -> __m256i {
        assert!(from.len() >= 8 && at <= from.len() - 8, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX2; 8 words from `at` are inside the slice.
        unsafe { _mm256_loadu_si256(from.as_ptr().add(at).cast()) }
    }

    #[inline(always)]
    fn store(self, value: __m256i, to: &mut [i32], at: usize) {
        assert!(to.len() >= 8 && at <= to.len() - 8, "a register reaches beyond its slice");
        // SAFETY: `self` proves AVX2; 8 words from `at` are inside the slice.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().add(at).cast(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe { _mm256_add_epi32(a, b) }
    }

    #[inline(always)]
    fn word(self, words: &[u32], group: usize) -> (__m256i, __m256i) {
        let pair = |at: usize| self.splat(words[at].cast_signed());
        (pair(2 * group), pair(2 * group + 1))
    }

    fn spread(group: [i8; 4], words: &mut Vec<u32>) {
        let [a, b, c, d] = group.map(|value| i32::from(value).cast_unsigned());
        words.extend([(a & 0xffff) | (c << 16), (b & 0xffff) | (d << 16)]);
    }

    #[inline(always)]
    fn dot(self, sum: __m256i, rows: __m256i, probe: (__m256i, __m256i)) -> __m256i {
        // SAFETY: `self` proves AVX2.
        unsafe {
            let even = _mm256_and_si256(rows, _mm256_set1_epi16(0xff));
            let odd = _mm256_srli_epi16::<8>(rows);
            let sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even, probe.0));
            _mm256_add_epi32(sum, _mm256_madd_epi16(odd, probe.1))
        }
    }

    #[inline(always)]
    fn rest(self, sum: __m256i, norms: &[u16], at: usize, rest: __m256i) -> __m256i {
        let norms = &norms[at..at + 8];
        // SAFETY: `self` proves AVX2; the slice holds 8 norms. Both factors are below 2¹⁵ and their
        // upper halves zero, so the pair of products is the one product.
        unsafe {
            let norms = _mm256_cvtepu16_epi32(_mm_loadu_si128(norms.as_ptr().cast()));
            _mm256_add_epi32(sum, _mm256_madd_epi16(norms, rest))
        }
    }

    #[inline(always)]
    fn reached(self, sum: __m256i) -> u64 {
        // SAFETY: `self` proves AVX2.
        let negative = unsafe { _mm256_movemask_ps(_mm256_castsi256_ps(sum)) };
        u64::from(!negative.cast_unsigned() & 0xff)
    }

    #[inline(always)]
    fn pack(self, values: &[i8], dims: usize, block: &mut [u32]) {
        assert!(values.len() <= dims * BLOCK_ROWS, "at most a block of rows");
        assert!(block.len() >= block_words(dims), "a block of words");
        let rows = values.len().checked_div(dims).unwrap_or(0);
        let (strips, chunks) = (rows / 4, dims / 16);
        for strip in 0..strips {
            for chunk in 0..chunks {
                let from = values[strip * 4 * dims + chunk * 16..].as_ptr();
                let to = block[chunk * 4 * BLOCK_ROWS + strip * 4..].as_mut_ptr();
                // SAFETY: rows up to 4 · strip + 3 are whole in `values` and have 16 values from 16
                // · chunk on; groups 4 · chunk to 4 · chunk + 3 lie in `block`, which holds
                // ⌈dims / 4⌉ of them, and 4 · strip + 4 ≤ BLOCK_ROWS.
                unsafe { self.pack_4(from, dims, to) };
            }
        }
        pack_from(&values[..strips * 4 * dims], dims, chunks * 4, Self::SHIFT, block);
        pack_from(&values[strips * 4 * dims..], dims, 0, Self::SHIFT, &mut block[strips * 4..]);
    }

    #[inline(always)]
    fn product(self, a: &[i8], b: &[i8]) -> i32 {
        assert_eq!(a.len(), b.len(), "rows of one length");
        let whole = a.len() - a.len() % 16;
        // SAFETY: `self` proves AVX2; 16 values from `at` are inside both slices .
        let sum = unsafe {
            let mut sum = _mm256_setzero_si256();
            for at in (0..whole).step_by(16) {
                let x = _mm256_cvtepi8_epi16(_mm_loadu_si128(a.as_ptr().add(at).cast()));
                let q = _mm256_cvtepi8_epi16(_mm_loadu_si128(b.as_ptr().add(at).cast()));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, q));
            }
            total(sum)
        };
        let left = a[whole..].iter().zip(&b[whole..]);
        sum + left.map(|(&x, &q)| i32::from(x) * i32::from(q)).sum::<i32>()
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        for line in bytes.chunks(64) {
            // SAFETY: a prefetch reads nothing that the program can see, and the place is valid.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}
