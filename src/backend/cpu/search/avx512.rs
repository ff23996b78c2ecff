//! AVX-512 with VNNI: 64 products of bytes, summed by fours, in one instruction.
#![expect(unsafe_code, reason = "vector intrinsics; every block says why it is sound")]

use std::arch::x86_64::*;

use super::lanes::{BLOCK_ROWS, Kernel, Lanes, block_words, pack_from};

/// Proof that the processor has AVX-512 F, BW, VL and VNNI.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// The proof, where the processor has them.
    pub(super) fn detect() -> Option<Self> {
        let there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("bmi1");
        there.then_some(Self(()))
    }
}

/// Compiles `kernel` for these sets.
///
/// # Safety
/// The processor has the features named.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,popcnt,bmi1")]
#[inline(never)]
unsafe fn compiled<K: Kernel>(kernel: K, lanes: Avx512) -> K::Output {
    kernel.run(lanes)
}

/// Adds 128 to each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shifted(values: __m512i) -> __m512i {
    _mm512_xor_si512(values, _mm512_set1_epi8(i8::MIN))
}

/// The totals of sixteen registers, one per lane: halves are added crosswise, four times.
#[inline]
#[target_feature(enable = "avx512f")]
fn across(sums: [__m512i; 16]) -> __m512i {
    let twos: [__m512i; 8] = std::array::from_fn(|i| {
        let (a, b) = (sums[2 * i], sums[2 * i + 1]);
        _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b))
    });
    let fours: [__m512i; 4] = std::array::from_fn(|i| {
        let (a, b) = (twos[2 * i], twos[2 * i + 1]);
        _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b))
    });
    // Each holds four rows in each quarter; now quarters are added.
    let quarters = |a, b| {
        let even = _mm512_shuffle_i32x4::<0x88>(a, b);
        _mm512_add_epi32(even, _mm512_shuffle_i32x4::<0xdd>(a, b))
    };
    quarters(quarters(fours[0], fours[1]), quarters(fours[2], fours[3]))
}

/// Bytes `at..at + 16` of rows 0, 4, 8 and 12 from `from`, rows `pitch` bytes apart.
///
/// # Safety
/// The processor has AVX-512F, and 16 bytes can be read at each of the four places.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn four_rows(from: *const i8, pitch: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let row = |r: usize| _mm_loadu_si128(from.add(r * pitch).cast());
        let first = _mm512_castsi128_si512(row(0));
        let second = _mm512_mask_broadcast_i32x4(first, 0x00f0, row(4));
        let third = _mm512_mask_broadcast_i32x4(second, 0x0f00, row(8));
        _mm512_mask_broadcast_i32x4(third, 0xf000, row(12))
    }
}

impl Avx512 {
    /// Packs 16 values of 16 rows from `from`, rows `pitch` bytes apart, into four groups of words
    /// at `to`.
    ///
    /// # Safety
    /// 16 bytes can be read in each of the 16 rows, and 16 words written in each of the 4 groups.
    #[inline(always)]
    unsafe fn pack_16(self, from: *const i8, pitch: usize, to: *mut u32) {
        // SAFETY: `self` proves the features; the caller's promise covers every row and group. A
        // register of `four_rows` holds, in its quarter q, row 4q + i; the unpacking transposes
        // four words of four rows within each quarter, so that register g holds word g of rows 0
        // to 15 in order.
        unsafe {
            let rows: [__m512i; 4] =
                std::array::from_fn(|i| shifted(four_rows(from.add(i * pitch), pitch)));
            let low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
            let high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
            let low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
            let high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
            let groups = [
                _mm512_unpacklo_epi64(low01, low23),
                _mm512_unpackhi_epi64(low01, low23),
                _mm512_unpacklo_epi64(high01, high23),
                _mm512_unpackhi_epi64(high01, high23),
            ];
            for (g, group) in groups.into_iter().enumerate() {
                _mm512_storeu_si512(to.add(g * BLOCK_ROWS).cast(), group);
            }
        }
    }

    /// The products of `N` rows with one, yet to be added up across their registers.
    #[inline(always)]
    fn sums<const N: usize>(self, rows: [&[i8]; N], probe: &[i8]) -> [__m512i; N] {
        let length = probe.len();
        assert!(rows.iter().all(|row| row.len() == length), "rows of one length");
        // SAFETY: `self` proves the features; each masked load reads only bytes below `length` of
        // slices that were just seen to have them. What is not loaded is zero in the probe, so that
        // the shifted zero of the row counts for nothing.
        unsafe {
            let mut sums = [_mm512_setzero_si512(); N];
            let mut shift = _mm512_setzero_si512();
            let high = _mm512_set1_epi8(i8::MIN);
            let mut at = 0;
            while at < length {
                let held = (length - at).min(64);
                let mask = u64::MAX >> (64 - held);
                let q = _mm512_maskz_loadu_epi8(mask, probe.as_ptr().add(at));
                shift = _mm512_dpbusd_epi32(shift, high, q);
                for (sum, row) in sums.iter_mut().zip(rows) {
                    let x = _mm512_maskz_loadu_epi8(mask, row.as_ptr().add(at));
                    *sum = _mm512_dpbusd_epi32(*sum, shifted(x), q);
                }
                at += held;
            }
            sums.map(|sum| _mm512_sub_epi32(sum, shift))
        }
    }
}

impl Lanes for Avx512 {
    type V = __m512i;
    type Word = __m512i;
    const COUNT: usize = 16;
    const VECTORS: usize = 4;
    const PROBES: usize = 6;
    const SHIFT: i32 = 128;
    const STRAIGHT: usize = 16;

    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `detect` made `self`, so the features are there.
        unsafe { compiled(kernel, self) }
    }

    #[inline(always)]
    fn splat(self, value: i32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn load(self, from: &[u32], at: usize) -> __m512i {
        assert!(from.len() >= 16 && at <= from.len() - 16, "a register reaches beyond its slice");
        // SAFETY: `self` proves the features; 16 words from `at` are inside the slice.
        unsafe { _mm512_loadu_si512(from.as_ptr().add(at).cast()) }
    }

    #[inline(always)]
    fn store(self, value: __m512i, to: &mut [i32], at: usize) {
        assert!(to.len() >= 16 && at <= to.len() - 16, "a register reaches beyond its slice");
        // SAFETY: `self` proves the features; 16 words from `at` are inside the slice.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().add(at).cast(), value) }
    }

    #[inline(always)]
    fn add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    fn word(self, words: &[u32], group: usize) -> __m512i {
        self.splat(words[group].cast_signed())
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, rows: __m512i, probe: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(sum, rows, probe) }
    }

    #[inline(always)]
    fn rest(self, sum: __m512i, norms: &[u16], at: usize, rest: __m512i) -> __m512i {
        let norms = &norms[at..at + 16];
        // SAFETY: `self` proves the features; the slice holds 16 norms. Both factors are below 2¹⁵
        // and their upper halves zero, so the pair of products is the one product.
        unsafe {
            let norms = _mm512_cvtepu16_epi32(_mm256_loadu_si256(norms.as_ptr().cast()));
            _mm512_dpwssds_epi32(sum, norms, rest)
        }
    }

    #[inline(always)]
    fn reached(self, sum: __m512i) -> u64 {
        // SAFETY: `self` proves the features.
        u64::from(!unsafe { _mm512_movepi32_mask(sum) })
    }

    #[inline(always)]
    fn straight(self, values: &[i8], dims: usize, probe: &[i8]) -> __m512i {
        assert!(values.len() == 16 * dims && probe.len() == dims, "sixteen rows and a probe");
        let mut sums = [self.splat(0); 16];
        let whole = dims - dims % 64;
        let mask = !(u64::MAX << (dims % 64));
        for (r, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `self` proves the features; loads read only bytes below `dims` of the probe
            // and of row `r`, which were just seen to be there. What is not loaded is zero in the
            // probe, so that the shifted zero of the row counts for nothing.
            unsafe {
                let (row, probe) = (values.as_ptr().add(r * dims), probe.as_ptr());
                for at in (0..whole).step_by(64) {
                    let x = _mm512_loadu_si512(row.add(at).cast());
                    let q = _mm512_loadu_si512(probe.add(at).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, shifted(x), q);
                }
                if mask != 0 {
                    let x = _mm512_maskz_loadu_epi8(mask, row.add(whole));
                    let q = _mm512_maskz_loadu_epi8(mask, probe.add(whole));
                    *sum = _mm512_dpbusd_epi32(*sum, shifted(x), q);
                }
            }
        }
        // SAFETY: `self` proves the features.
        unsafe { across(sums) }
    }

    #[inline(always)]
    fn none_reached<const R: usize>(self, sums: [__m512i; R]) -> bool {
        // SAFETY: `self` proves the features.
        unsafe {
            let all = sums.into_iter().fold(_mm512_set1_epi32(-1), |a, b| _mm512_and_si512(a, b));
            _mm512_movepi32_mask(all) == u16::MAX
        }
    }

    #[inline(always)]
    fn gather(
        self,
        kept: u64,
        first: u32,
        sums: &[i32; BLOCK_ROWS],
        rows: &mut [u32; BLOCK_ROWS],
        held: &mut [i32; BLOCK_ROWS],
    ) -> usize {
        let mut count = 0;
        for quarter in 0..4 {
            let bits = (kept >> (16 * quarter)) as u16;
            // SAFETY: `self` proves the features. Before quarter q at most 16 · q places are
            // written, so that 16 more are inside both arrays of 64, as 16 from 16 · q on are
            // inside `sums`.
            unsafe {
                let places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
                let from = _mm512_set1_epi32((first + 16 * quarter as u32).cast_signed());
                let places = _mm512_add_epi32(places, from);
                let sums = _mm512_loadu_si512(sums.as_ptr().add(16 * quarter).cast());
                let places = _mm512_maskz_compress_epi32(bits, places);
                let sums = _mm512_maskz_compress_epi32(bits, sums);
                _mm512_storeu_si512(rows.as_mut_ptr().add(count).cast(), places);
                _mm512_storeu_si512(held.as_mut_ptr().add(count).cast(), sums);
            }
            count += bits.count_ones() as usize;
        }
        count
    }

    #[inline(always)]
    fn pack(self, values: &[i8], dims: usize, block: &mut [u32]) {
        assert!(values.len() <= dims * BLOCK_ROWS, "at most a block of rows");
        assert!(block.len() >= block_words(dims), "a block of words");
        let rows = values.len().checked_div(dims).unwrap_or(0);
        let (strips, chunks) = (rows / 16, dims / 16);
        for strip in 0..strips {
            for chunk in 0..chunks {
                let from = values[strip * 16 * dims + chunk * 16..].as_ptr();
                let to = block[chunk * 4 * BLOCK_ROWS + strip * 16..].as_mut_ptr();
                // SAFETY: rows up to 16 · strip + 15 are whole in `values` and have 16 values from
                // 16 · chunk on; groups 4 · chunk to 4 · chunk + 3 lie in `block`, which holds
                // ⌈dims / 4⌉ of them, and 16 · strip + 16 ≤ BLOCK_ROWS.
                unsafe { self.pack_16(from, dims, to) };
            }
        }
        pack_from(&values[..strips * 16 * dims], dims, chunks * 4, Self::SHIFT, block);
        pack_from(&values[strips * 16 * dims..], dims, 0, Self::SHIFT, &mut block[strips * 16..]);
    }

    #[inline(always)]
    fn product(self, a: &[i8], b: &[i8]) -> i32 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_reduce_add_epi32(self.sums([a], b)[0]) }
    }

    #[inline(always)]
    fn products(self, plane: &[i8], starts: [usize; 4], probe: &[i8]) -> [i32; 4] {
        let rows = starts.map(|start| &plane[start..start + probe.len()]);
        // SAFETY: `self` proves the features; the array takes the four totals.
        unsafe {
            let [a, b, c, d] = self.sums(rows, probe);
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let four =
                _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let low = _mm512_castsi512_si256(four);
            let two = _mm256_add_epi32(low, _mm512_extracti64x4_epi64::<1>(four));
            let low = _mm256_castsi256_si128(two);
            let one = _mm_add_epi32(low, _mm256_extracti128_si256::<1>(two));
            let mut totals = [0; 4];
            _mm_storeu_si128(totals.as_mut_ptr().cast(), one);
            totals
        }
    }

    #[inline(always)]
    fn prefetch(self, bytes: &[u8]) {
        for line in bytes.chunks(64) {
            // SAFETY: a prefetch reads nothing that the program can see, and the place is valid.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }
}
