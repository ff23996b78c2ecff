//! The small vector trait that the search kernels are written over, once: registers of i32 sums,
//! one lane per row, over rows packed four values to a word.
//!
//! A value of a [`Lanes`] type proves that the running processor has that instruction set: only
//! its `detect` makes one. [`Lanes::call`] runs a [`Kernel`] inside a function compiled for the
//! set, so that everything marked `#[inline(always)]` becomes that set's code.
//!
//! Why no sum overflows, on any set: a value is in ±127 and a packed row holds `value + SHIFT` with
//! a `SHIFT` of 0 or 128, so one product is at most 255 · 127. Every multiply-add here sums such
//! products in i32 from the first (no set uses an instruction that saturates to 16 bits; NEON adds
//! two products of at most 127² in 16 bits, 32,258 < 32,768). Over
//! [`crate::limits::DIMS_MAX`] values that is at most 66,323,440; the rest term adds at most 5,748²
//! = 33,039,504 and the threshold is clamped to ±2²⁸ = 268,435,456 beforehand; together less than
//! 2³¹.
//!
//! Invariant: loads and stores check their slice; in the inner loops the lengths are arrays', so
//! that the checks are gone after compilation.

/// Work that is compiled once per instruction set.
pub(super) trait Kernel {
    /// What it gives back.
    type Output;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// One instruction set.
pub(super) trait Lanes: Copy + Send + Sync + 'static {
    /// A register of sums, or of packed rows.
    type V: Copy;
    /// Four values of a probe.
    type Word: Copy;
    /// Sums in a register: rows that one register holds.
    const COUNT: usize;
    /// Registers of rows in a register block.
    const VECTORS: usize;
    /// Most probes in a register block; the sums of a block and what feeds them fit the registers.
    const PROBES: usize;
    /// What is added to each value of a packed row, so that one side of a product is unsigned
    /// where the instruction wants it; a probe takes `SHIFT · Σ q` off its sums.
    const SHIFT: i32;
    /// Words that a probe keeps per group of four values.
    const SPREAD: usize = 1;
    /// Rows whose sums [`Lanes::straight`] gives at once; zero on a set that has no such way.
    const STRAIGHT: usize = 0;

    /// Runs `kernel` as code of this instruction set.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// `value` in every lane.
    fn splat(self, value: i32) -> Self::V;
    /// Packed words `from[at..at + COUNT]`.
    fn load(self, from: &[u32], at: usize) -> Self::V;
    /// `to[at..at + COUNT] = value`.
    fn store(self, value: Self::V, to: &mut [i32], at: usize);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Four values of a probe in every lane, ready to be multiplied with a register of rows.
    fn word(self, words: &[u32], group: usize) -> Self::Word;
    /// Appends what [`Lanes::word`] reads for one group of a probe's values, [`Lanes::SPREAD`]
    /// words.
    fn spread(group: [i8; 4], words: &mut Vec<u32>) {
        words.push(u32::from_le_bytes(group.map(i8::cast_unsigned)));
    }
    /// `sum + Σ row value · probe value` over the four values of each lane.
    fn dot(self, sum: Self::V, rows: Self::V, probe: Self::Word) -> Self::V;
    /// `sum + norm · rest` per lane, for `norms[at..at + COUNT]`; both below 2¹⁵.
    fn rest(self, sum: Self::V, norms: &[u16], at: usize, rest: Self::V) -> Self::V;
    /// One bit per lane: set where the sum is not negative.
    fn reached(self, sum: Self::V) -> u64;
    /// Whether no lane of any of `sums` would set a bit; a set that cannot tell cheaply says no.
    #[inline(always)]
    fn none_reached<const R: usize>(self, sums: [Self::V; R]) -> bool {
        let _ = sums;
        false
    }

    /// The products of [`Lanes::STRAIGHT`] rows of `dims` values with a probe's, one per lane,
    /// `SHIFT` included: for a single probe, whose rows need not be packed.
    #[inline(always)]
    fn straight(self, values: &[i8], dims: usize, probe: &[i8]) -> Self::V {
        let _ = (values, dims, probe);
        unreachable!("a set without a straight way is not asked")
    }

    /// Packs rows: word `g · BLOCK_ROWS + r` of `block` gets values `4g..4g + 4` of row `r`, each
    /// plus `SHIFT`; values beyond `dims` are zero, rows beyond `rows` may be anything.
    fn pack(self, values: &[i8], dims: usize, block: &mut [u32]) {
        pack_from(values, dims, 0, Self::SHIFT, block);
    }

    /// Writes the places of the set bits of `kept` to `rows`, each plus `first`, and the values of
    /// `sums` there to `held`; both have room for all 64. Gives their number.
    #[inline(always)]
    fn gather(
        self,
        mut kept: u64,
        first: u32,
        sums: &[i32; BLOCK_ROWS],
        rows: &mut [u32; BLOCK_ROWS],
        held: &mut [i32; BLOCK_ROWS],
    ) -> usize {
        let mut count = 0;
        while kept != 0 {
            let r = kept.trailing_zeros();
            kept &= kept - 1;
            rows[count % BLOCK_ROWS] = first + r;
            held[count % BLOCK_ROWS] = sums[r as usize % BLOCK_ROWS];
            count += 1;
        }
        count
    }

    /// The exact product of two rows of one length.
    fn product(self, a: &[i8], b: &[i8]) -> i32;

    /// The exact products of the rows that begin at `starts` in `plane` with `probe`.
    #[inline(always)]
    fn products(self, plane: &[i8], starts: [usize; 4], probe: &[i8]) -> [i32; 4] {
        starts.map(|start| self.product(&plane[start..start + probe.len()], probe))
    }

    /// Asks for the cache lines of `bytes` ahead of their use.
    fn prefetch(self, bytes: &[u8]);
}

/// Rows of a packed block: one bit each in a word of the eligibility.
pub(super) const BLOCK_ROWS: usize = 64;

/// Words of a packed block without its norms.
pub(super) const fn block_words(dims: usize) -> usize {
    dims.div_ceil(4) * BLOCK_ROWS
}

/// Scalar packing of the groups from `first` on, for what a vector version leaves over.
pub(super) fn pack_from(values: &[i8], dims: usize, first: usize, shift: i32, block: &mut [u32]) {
    if dims == 0 {
        return;
    }
    let flip = shift as u8; // adding 128 to a byte is flipping its highest bit
    for (r, row) in values.chunks_exact(dims).enumerate() {
        for (g, group) in row.chunks(4).enumerate().skip(first) {
            let mut bytes = [flip; 4];
            for (byte, &value) in bytes.iter_mut().zip(group) {
                *byte = value.cast_unsigned().wrapping_add(flip);
            }
            block[g * BLOCK_ROWS + r] = u32::from_le_bytes(bytes);
        }
    }
}
