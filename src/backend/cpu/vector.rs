//! The small vector trait that every CPU kernel is written over, once.
//!
//! A value of a [`Simd`] type is a proof that the running processor has that instruction set: it
//! can only be made by its `detect`. Kernels are structs that implement [`Kernel`]; [`Simd::call`]
//! runs one inside a function compiled for the instruction set, so that everything marked
//! `#[inline(always)]` becomes that set's code. The instruction sets themselves stand in
//! `avx512.rs`, `avx2.rs`, `neon.rs` (with the crate's only vector intrinsics) and `portable.rs`
//! (plain arrays).
//!
//! Invariant: every load and store of this trait checks its slice; the one inner loop that cannot
//! afford a check per step, [`Simd::fma_block`], checks once on entry.

/// Work that is compiled once per instruction set.
pub(super) trait Kernel {
    /// What it gives back.
    type Output;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// One instruction set.
pub(super) trait Simd: Copy + Send + Sync + 'static {
    /// A register of f32 values.
    type V: Copy;
    /// Values in a register.
    const LANES: usize;
    /// Most rows of a register block: `ROWS` × 2 accumulators, two weights and a broadcast fit the
    /// register file.
    const ROWS: usize;

    /// Runs `kernel` as code of this instruction set.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::V;
    /// `from[at..at + LANES]`.
    fn load(self, from: &[f32], at: usize) -> Self::V;
    /// `to[at..at + LANES] = value`.
    fn store(self, value: Self::V, to: &mut [f32], at: usize);
    /// Half-precision values `from[at..at + LANES]`, widened.
    fn load_half(self, from: &[u16], at: usize) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; `b` where either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; `b` where either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `x < 0 ? below : x` per lane; a value that is not a number stays.
    fn where_negative(self, x: Self::V, below: Self::V) -> Self::V;
    /// Nearest whole number.
    fn round(self, x: Self::V) -> Self::V;
    /// `2^n` for whole `n` in -126..=127.
    fn power_of_two(self, n: Self::V) -> Self::V;

    /// The heart of every matrix product: for each run of `pixels` and each `k` below its depth,
    /// `sum[i][j] += run[i · PITCH + k] · weights[((done + k) · COLUMNS + j) · LANES ..]`, where
    /// `done` is the depth of the runs before.
    ///
    /// Panics unless pixels and weights reach that far.
    fn fma_block<const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
        self,
        pixels: Pixels<'_>,
        weights: &[f32],
    ) -> [[Self::V; COLUMNS]; ROWS];

    /// As [`Simd::fma_block`], over half-precision weights.
    fn fma_block_half<const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
        self,
        pixels: Pixels<'_>,
        weights: &[u16],
    ) -> [[Self::V; COLUMNS]; ROWS];

    /// The end of a register block in the common case: `out[i · step + j · LANES ..] =
    /// bent(sum[i][j] + bias[j])`, straight from the registers.
    ///
    /// Panics unless bias, slopes and output reach that far.
    fn store_block<const ROWS: usize, const COLUMNS: usize>(
        self,
        sums: [[Self::V; COLUMNS]; ROWS],
        bias: &[f32],
        slopes: Option<&[f32]>,
        out: &mut [f32],
        step: usize,
    );

    /// A row of output pixels under a 3 × 3 depthwise window.
    ///
    /// Panics unless every slice reaches as far as [`Stencil`] says.
    fn stencil<const STRIDE: usize>(self, work: Stencil<'_>);

    /// The first `count` values of `from[at..]`, zeros after them; `count` ≤ `LANES`.
    #[inline(always)]
    fn load_part(self, from: &[f32], at: usize, count: usize) -> Self::V {
        if count == Self::LANES {
            return self.load(from, at);
        }
        let mut lanes = [0.0; LANES_MAX];
        lanes[..count].copy_from_slice(&from[at..at + count]);
        self.load(&lanes, 0)
    }

    /// The first `count` lanes to `to[at..]`; `count` ≤ `LANES`.
    #[inline(always)]
    fn store_part(self, value: Self::V, to: &mut [f32], at: usize, count: usize) {
        if count == Self::LANES {
            return self.store(value, to, at);
        }
        let mut lanes = [0.0; LANES_MAX];
        self.store(value, &mut lanes, 0);
        to[at..at + count].copy_from_slice(&lanes[..count]);
    }

    /// `e^x`, within two units in the last place; below -87 it is as at -87, above 88 as at 88.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        // e^x = 2^n · e^r with r = x - n·ln 2 in two parts, |r| ≤ ln 2 / 2; minimax after Cephes.
        let x = self.max(self.splat(-87.3), self.min(self.splat(88.3), x));
        let n = self.round(self.mul(x, self.splat(std::f32::consts::LOG2_E)));
        let r = self.fma(n, self.splat(-0.693_359_4), x);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = self.fma(p, r, self.splat(coefficient));
        }
        let p = self.fma(self.mul(p, r), r, self.add(r, self.splat(1.0)));
        self.mul(p, self.power_of_two(n))
    }
}

/// Lanes of the widest instruction set.
pub(super) const LANES_MAX: usize = 16;

/// Input and output of [`Simd::stencil`]; `channels` is a multiple of the lanes.
pub(super) struct Stencil<'a> {
    /// Channels of a pixel.
    pub(super) channels: usize,
    /// Output pixels.
    pub(super) pixels: usize,
    /// Three input rows from the first tap on: `((pixels - 1) · STRIDE + 3) · channels` values
    /// each.
    pub(super) rows: [&'a [f32]; 3],
    /// Nine taps: `9 · channels` values.
    pub(super) taps: &'a [f32],
    /// One per channel.
    pub(super) bias: &'a [f32],
    /// One per channel; none for the identity.
    pub(super) slopes: Option<&'a [f32]>,
    /// Added before the activation: `pixels · channels` values.
    pub(super) residual: Option<&'a [f32]>,
    /// `pixels · channels` values.
    pub(super) out: &'a mut [f32],
}

impl Stencil<'_> {
    /// Refuses slices that are too short.
    pub(super) fn check(&self, lanes: usize, stride: usize) {
        let Self { channels, pixels, .. } = *self;
        assert!(pixels > 0 && channels.is_multiple_of(lanes), "channels fill whole registers");
        let span = ((pixels - 1) * stride + 3) * channels;
        assert!(self.rows.iter().all(|row| row.len() >= span), "rows reach under the window");
        assert!(self.taps.len() >= 9 * channels && self.bias.len() >= channels, "taps and bias");
        assert!(self.slopes.is_none_or(|slopes| slopes.len() >= channels), "slopes");
        assert!(self.residual.is_none_or(|all| all.len() >= pixels * channels), "residual");
        assert!(self.out.len() >= pixels * channels, "output");
    }
}

/// Output pixels of a stencil that are computed together, so that a loaded value serves up to
/// three.
pub(super) const STENCIL_PIXELS: usize = 4;
/// Columns that they see at stride 2.
pub(super) const STENCIL_COLUMNS_MAX: usize = (STENCIL_PIXELS - 1) * 2 + 3;

/// The pixels of a register block.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pixels<'a> {
    /// In place: one run of `depth` values per kernel row and pixel.
    Direct {
        /// Kernel rows.
        rows: &'a [&'a [f32]],
        /// Where the first pixel's run begins in each.
        from: usize,
        /// Values of a run.
        depth: usize,
    },
    /// Copied into pieces of `[rows][PITCH]`; the last one may be used in part.
    Packed {
        /// The pieces.
        block: &'a [f32],
        /// Values of a pixel, over all pieces.
        depth: usize,
    },
}

impl<'a> Pixels<'a> {
    /// Values of a pixel over all runs.
    #[inline(always)]
    pub(super) fn depth(&self) -> usize {
        match *self {
            Self::Direct { rows, depth, .. } => rows.len() * depth,
            Self::Packed { depth, .. } => depth,
        }
    }

    /// Run `number` and its depth, where there is one.
    #[inline(always)]
    pub(super) fn run(
        &self,
        number: usize,
        rows: usize,
        pitch: usize,
    ) -> Option<(&'a [f32], usize)> {
        match *self {
            Self::Direct { rows, from, depth } => {
                let row: &'a [f32] = rows.get(number)?;
                Some((&row[from..], depth))
            }
            Self::Packed { block, depth } => {
                let left = depth.checked_sub(number * pitch).filter(|&left| left > 0)?;
                Some((&block[number * rows * pitch..], left.min(pitch)))
            }
        }
    }
}
