//! `fit` and `warp` by rows of the network's input: the meaning of `ops::fit` (bit for bit) and
//! `ops::warp`, fast enough not to matter.
//!
//! `fit` is separable over whole numbers: the source rows of one target row are summed with their
//! overlaps into a stretch of columns (plain loops that the compiler vectorises for the instruction
//! set), and the columns are then dealt out to their targets. All sums are exact, so any order
//! gives the oracle's result.

use super::{
    rows::OutRows,
    vector::{Kernel, Simd},
};
use crate::{
    ops::{
        fit,
        program::{ChannelOrder, Feed, ToFrame},
    },
    types::FrameView,
};

/// Source columns summed at a time; their sums fit the first-level cache.
const STRETCH: usize = 1024;
/// Colours of a pixel.
const COLOURS: usize = 3;

/// Rows `y..` of the network's input, as many as `out` has.
pub(super) struct FeedRows<'a> {
    pub(super) feed: &'a Feed<'a>,
    pub(super) channels: ChannelOrder,
    pub(super) y: usize,
    pub(super) out: OutRows<'a>,
}

impl Kernel for FeedRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, _simd: S) {
        let layout = *self.out.layout;
        let order = [0, 1, 2].map(|c| self.channels.rgb(c));
        let rows = self.out.values.len() / layout.pitch;
        for row in 0..rows {
            let y = self.y + row;
            let out = self.out.pixels(row);
            match self.feed {
                Feed::Tensor(values) => out.copy_from_slice(&values[y * out.len()..][..out.len()]),
                Feed::Warp { frame, to_frame } => warp_row(*frame, to_frame, order, y, out),
                Feed::Fit { frame } => {
                    let (w, h) = (frame.width_px() as usize, frame.height_px() as usize);
                    let plan = fit::plan(w, h, layout.shape.w, layout.shape.h);
                    fit_row(*frame, &plan, order, y, out);
                }
            }
        }
    }
}

/// One row of `fit`.
#[inline(always)]
fn fit_row(frame: FrameView<'_>, plan: &fit::Plan, order: [usize; 3], y: usize, out: &mut [f32]) {
    let (w, h) = (frame.width_px() as usize, frame.height_px() as usize);
    if y >= plan.new_h {
        return out.fill(0.0);
    }
    let (filled, empty) = out.split_at_mut(plan.new_w * COLOURS);
    empty.fill(0.0);
    if plan.new_w == w && plan.new_h == h {
        let from = &frame.pixels()[y * w * COLOURS..][..w * COLOURS];
        for (to, from) in filled.chunks_exact_mut(COLOURS).zip(from.chunks_exact(COLOURS)) {
            for (c, to) in to.iter_mut().enumerate() {
                *to = f32::from(from[order[c]]);
            }
        }
        return;
    }
    let mut columns = Columns::new(w, plan.new_w, w * h, filled);
    let mut sums = [0_u32; STRETCH * COLOURS];
    for start in (0..w).step_by(STRETCH) {
        let count = STRETCH.min(w - start);
        let sums = &mut sums[..count * COLOURS];
        sums.fill(0);
        for sy in fit::covered(y, h, plan.new_h) {
            // At most 255 · frame height in a sum: fits 32 bits, as ops::fit asserts for all of it.
            let weight = fit::overlap(y, sy, h, plan.new_h) as u32;
            let row = &frame.pixels()[(sy * w + start) * COLOURS..][..count * COLOURS];
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += u32::from(value) * weight;
            }
        }
        for pixel in sums.chunks_exact(COLOURS) {
            columns.push([pixel[order[0]], pixel[order[1]], pixel[order[2]]]);
        }
    }
}

/// Deals source columns out to target pixels, from left to right.
struct Columns<'a> {
    size: usize,
    new: usize,
    area: u64,
    per_area: f64,
    sums: [u64; COLOURS],
    source: usize,
    target: usize,
    out: &'a mut [f32],
}

impl<'a> Columns<'a> {
    #[inline(always)]
    fn new(size: usize, new: usize, area: usize, out: &'a mut [f32]) -> Self {
        let per_area = 1.0 / area as f64;
        Self { size, new, area: area as u64, per_area, sums: [0; 3], source: 0, target: 0, out }
    }

    /// Takes the next source column. It covers `[source · new, (source + 1) · new)`, and target `t`
    /// covers `[t · size, (t + 1) · size)`; as new ≤ size, at most two targets share a column.
    #[inline(always)]
    fn push(&mut self, column: [u32; COLOURS]) {
        let (start, end) = (self.source * self.new, (self.source + 1) * self.new);
        let edge = (self.target + 1) * self.size;
        let here = (end.min(edge) - start) as u64;
        for (sum, &value) in self.sums.iter_mut().zip(&column) {
            *sum += u64::from(value) * here;
        }
        self.source += 1;
        if end < edge {
            return;
        }
        for (c, sum) in self.sums.iter_mut().enumerate() {
            self.out[self.target * COLOURS + c] = rounded(*sum, self.area, self.per_area);
            *sum = u64::from(column[c]) * (end - edge) as u64;
        }
        self.target += 1;
    }
}

/// `ops::fit::round_half_even`, with a multiplication in place of the division: the estimate is at
/// most one off, and the exact remainder says so.
#[inline(always)]
fn rounded(sum: u64, area: u64, per_area: f64) -> f32 {
    let mut below = (sum as f64 * per_area) as u64;
    below -= u64::from(below * area > sum);
    below += u64::from((below + 1) * area <= sum);
    let left = sum - below * area;
    let up = 2 * left > area || (2 * left == area && below % 2 == 1);
    (below + u64::from(up)) as f32
}

/// One row of `warp`.
#[inline(always)]
fn warp_row(
    frame: FrameView<'_>,
    to_frame: &ToFrame,
    order: [usize; 3],
    y: usize,
    out: &mut [f32],
) {
    let m = to_frame.0.map(f64::from);
    let (w, h) = (frame.width_px() as usize, frame.height_px() as usize);
    let (width, height) = (w as f64, h as f64);
    for (x, out) in out.chunks_exact_mut(COLOURS).enumerate() {
        let (x, y) = (x as f64, y as f64);
        let u = m[0] * x + m[1] * y + m[2];
        let v = m[3] * x + m[4] * y + m[5];
        if !(u > -1.0 && u < width && v > -1.0 && v < height) {
            out.fill(0.0);
            continue;
        }
        let (x0, y0) = (u.floor(), v.floor());
        let (fx, fy) = ((u - x0) as f32, (v - y0) as f32);
        let corners = if x0 >= 0.0 && y0 >= 0.0 && x0 + 1.0 < width && y0 + 1.0 < height {
            let at = (y0 as usize * w + x0 as usize) * COLOURS;
            let above = &frame.pixels()[at..at + 2 * COLOURS];
            let below = &frame.pixels()[at + w * COLOURS..][..2 * COLOURS];
            [above, below].map(|row| {
                let (left, right) = row.split_at(COLOURS);
                [left, right].map(|pixel| [pixel[0], pixel[1], pixel[2]])
            })
        } else {
            [y0, y0 + 1.0].map(|y| [x0, x0 + 1.0].map(|x| pixel_or_black(frame, x, y)))
        };
        for (c, out) in out.iter_mut().enumerate() {
            let at = |row: usize, column: usize| f32::from(corners[row][column][order[c]]);
            let above = at(0, 0) + fx * (at(0, 1) - at(0, 0));
            let below = at(1, 0) + fx * (at(1, 1) - at(1, 0));
            *out = above + fy * (below - above);
        }
    }
}

/// The frame's pixel at column `x` and row `y`; black outside.
fn pixel_or_black(frame: FrameView<'_>, x: f64, y: f64) -> [u8; COLOURS] {
    let (w, h) = (f64::from(frame.width_px()), f64::from(frame.height_px()));
    if x < 0.0 || y < 0.0 || x >= w || y >= h {
        return [0; COLOURS];
    }
    let at = (y as usize * frame.width_px() as usize + x as usize) * COLOURS;
    [0, 1, 2].map(|colour| frame.pixels()[at + colour])
}
