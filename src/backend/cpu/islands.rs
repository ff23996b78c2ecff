//! The pointer loops of [`Simd`](super::vector::Simd), written once as macros and expanded inside
//! each instruction set's island: a macro, because the code must stand in the file that may be
//! unsafe and be made of that set's own intrinsics. Each loop checks its slices once, on entry.

/// The pointer loops of [`Simd::fma_block`] and [`Simd::fma_block_half`], written once and expanded
/// inside each instruction set's island. `$zero`, `$splat`, `$fma` are intrinsics; `$load` and
/// `$load_half` read one register from a pointer.
macro_rules! fma_blocks {
    ($zero:expr, $splat:expr, $fma:expr, $load:expr, $load_half:expr) => {
        fma_blocks!(@one fma_block, f32, $zero, $splat, $fma, $load);
        fma_blocks!(@one fma_block_half, u16, $zero, $splat, $fma, $load_half);
    };
    (@one $name:ident, $weight:ty, $zero:expr, $splat:expr, $fma:expr, $load:expr) => {
        #[inline(always)]
        fn $name<const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(
            self,
            pixels: Pixels<'_>,
            weights: &[$weight],
        ) -> [[Self::V; COLUMNS]; ROWS] {
            let needed = pixels.depth() * COLUMNS * Self::LANES;
            assert!(weights.len() >= needed, "weights reach their depth");
            let mut b = weights.as_ptr();
            // SAFETY: the instruction set is there (`self` proves it).
            let mut sums = [[unsafe { $zero }; COLUMNS]; ROWS];
            let mut number = 0;
            while let Some((run, depth)) = pixels.run(number, ROWS, PITCH) {
                number += 1;
                assert!(run.len() >= (ROWS - 1) * PITCH + depth, "rows reach their depth");
                let mut a = run.as_ptr();
                for _ in 0..depth {
                    // SAFETY: the instruction set is there. `a` has advanced by k < depth, so `a +
                    // i · PITCH` is inside the run for i < ROWS. The depths of all runs add up to
                    // `pixels.depth()`, so COLUMNS whole registers of `b` are inside the weights;
                    // the last advance is to at most one past the end.
                    unsafe {
                        let mut row = [$zero; COLUMNS];
                        for (j, weight) in row.iter_mut().enumerate() {
                            *weight = $load(b.add(j * Self::LANES));
                        }
                        for (i, sums) in sums.iter_mut().enumerate() {
                            let x = $splat(*a.add(i * PITCH));
                            for (sum, weight) in sums.iter_mut().zip(row) {
                                *sum = $fma(x, weight, *sum);
                            }
                        }
                        a = a.add(1);
                        b = b.add(COLUMNS * Self::LANES);
                    }
                }
            }
            sums
        }
    };
}
pub(super) use fma_blocks;

/// The pointer loop of [`Simd::store_block`], written once and expanded inside each instruction
/// set's island; `$load` and `$store` move one register.
macro_rules! store_block {
    ($load:expr, $store:expr) => {
        #[inline(always)]
        fn store_block<const ROWS: usize, const COLUMNS: usize>(
            self,
            sums: [[Self::V; COLUMNS]; ROWS],
            bias: &[f32],
            slopes: Option<&[f32]>,
            out: &mut [f32],
            step: usize,
        ) {
            let width = COLUMNS * Self::LANES;
            assert!(bias.len() >= width, "biases");
            assert!(slopes.is_none_or(|slopes| slopes.len() >= width), "slopes");
            assert!(out.len() >= (ROWS - 1) * step + width, "output");
            // SAFETY: the instruction set is there (`self` proves it); all slices were just seen to
            // hold the registers that are read or written.
            unsafe {
                let mut to = out.as_mut_ptr();
                let mut biases = [self.splat(0.0); COLUMNS];
                let mut bends = [self.splat(1.0); COLUMNS];
                for j in 0..COLUMNS {
                    biases[j] = $load(bias.as_ptr().add(j * Self::LANES));
                }
                let Some(slopes) = slopes else {
                    for row in sums {
                        for j in 0..COLUMNS {
                            $store(to.add(j * Self::LANES), self.add(row[j], biases[j]));
                        }
                        to = to.wrapping_add(step);
                    }
                    return;
                };
                for j in 0..COLUMNS {
                    bends[j] = $load(slopes.as_ptr().add(j * Self::LANES));
                }
                for row in sums {
                    for j in 0..COLUMNS {
                        let value = self.add(row[j], biases[j]);
                        let value = self.where_negative(value, self.mul(value, bends[j]));
                        $store(to.add(j * Self::LANES), value);
                    }
                    to = to.wrapping_add(step);
                }
            }
        }
    };
}
pub(super) use store_block;

/// The pointer loops of [`Simd::stencil`], written once and expanded inside each instruction set's
/// island, whose type is `$set`; `$load` and `$store` move one register.
macro_rules! stencils {
    ($set:ty, $load:expr, $store:expr) => {
        impl $set {
            /// Pixels `x` to `x + COUNT` of `work`.
            ///
            /// # Safety
            /// `work` was checked for this STRIDE, STRIDE is 1 or 2, COUNT is at most
            /// `STENCIL_PIXELS`, and all of them are among its pixels.
            #[inline(always)]
            unsafe fn stencil_pixels<const STRIDE: usize, const COUNT: usize>(
                self,
                work: &mut Stencil<'_>,
                x: usize,
            ) {
                use super::vector::STENCIL_COLUMNS_MAX;
                let channels = work.channels;
                for c in (0..channels).step_by(Self::LANES) {
                    // SAFETY: the instruction set is there (`self` proves it). The check saw that
                    // every slice holds the whole pixels that are read or written here, and c +
                    // LANES ≤ channels, as channels is a multiple of LANES.
                    unsafe {
                        let mut sums = [$load(work.bias.as_ptr().add(c)); COUNT];
                        for (dy, row) in work.rows.iter().enumerate() {
                            let row = row.as_ptr().add(x * STRIDE * channels + c);
                            let mut columns = [self.splat(0.0); STENCIL_COLUMNS_MAX];
                            let seen = (COUNT - 1) * STRIDE + 3;
                            for (i, column) in columns.iter_mut().enumerate().take(seen) {
                                *column = $load(row.add(i * channels));
                            }
                            for dx in 0..3 {
                                let taps = work.taps.as_ptr().add((dy * 3 + dx) * channels + c);
                                let tap = $load(taps);
                                for (i, sum) in sums.iter_mut().enumerate() {
                                    *sum = self.fma(columns[i * STRIDE + dx], tap, *sum);
                                }
                            }
                        }
                        if let Some(residual) = work.residual {
                            let from = residual.as_ptr().add(x * channels + c);
                            for (i, sum) in sums.iter_mut().enumerate() {
                                *sum = self.add(*sum, $load(from.add(i * channels)));
                            }
                        }
                        if let Some(slopes) = work.slopes {
                            let slope = $load(slopes.as_ptr().add(c));
                            for sum in &mut sums {
                                *sum = self.where_negative(*sum, self.mul(*sum, slope));
                            }
                        }
                        let out = work.out.as_mut_ptr().add(x * channels + c);
                        for (i, &sum) in sums.iter().enumerate() {
                            $store(out.add(i * channels), sum);
                        }
                    }
                }
            }
        }
    };
}
pub(super) use stencils;

/// The safe method over `stencils!`.
macro_rules! stencil {
    () => {
        #[inline(always)]
        fn stencil<const STRIDE: usize>(self, mut work: Stencil<'_>) {
            use super::vector::STENCIL_PIXELS;
            const { assert!(STRIDE == 1 || STRIDE == 2, "the strides that columns have room for") };
            work.check(Self::LANES, STRIDE);
            let mut x = 0;
            while x + STENCIL_PIXELS <= work.pixels {
                // SAFETY: `work` is checked, and the pixels are among its own.
                unsafe { self.stencil_pixels::<STRIDE, STENCIL_PIXELS>(&mut work, x) };
                x += STENCIL_PIXELS;
            }
            while x < work.pixels {
                // SAFETY: as above.
                unsafe { self.stencil_pixels::<STRIDE, 1>(&mut work, x) };
                x += 1;
            }
        }
    };
}
pub(super) use stencil;
