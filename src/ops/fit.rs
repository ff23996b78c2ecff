//! `fit`: a whole frame as the input of a detector.
//!
//! The frame is shrunk with area interpolation to fit the input, never enlarged, and placed at the
//! top left on zeros; values stay 0 to 255.
//!
//! ```text
//! scale  = input / frame  with  input = in_w, frame = frame_w  or  in_h, frame_h,  whichever is
//!          less; 1 / 1 where the frame fits
//! new    = round(frame_w · scale), round(frame_h · scale), a half upwards, at least 1
//! out[y][x][c] = round( Σ sy sx  frame[sy][sx][c] · rows(y, sy) · columns(x, sx) / area(y, x) )
//! ```
//!
//! One scale holds for both axes, so faces are not stretched; the side that is not tight is cut or
//! left short by less than half an input pixel, and the way back is one division. On a common
//! measure of `input` units per source pixel, source pixel `s` covers `[s · input, (s + 1) ·
//! input)` and target pixel `t` covers `[t · frame, (t + 1) · frame)`, of which only what lies in
//! the picture counts; `columns` and `rows` are the overlaps of the two in units, and `area` is
//! what counts of the target. So every weight is a whole number, the sum is exact, and all machines
//! agree bit for bit. A sum over one axis is at most 255 · 16,384 and fits 32 bits; the whole sum
//! is at most 255 · 16,384² and needs 37. The quotient is rounded half to even.
//!
//! Shapes: frame h × w × 3, RGB, 8 bits; output the network's input, c = 3, f32, in the program's
//! channel order. Source: OpenCV `resize(frame, fx = scale, fy = scale, INTER_AREA)` for 8-bit
//! pictures, which sums the same overlaps in f32 (it drops those below 1/1000 of a pixel) and
//! rounds the same way: equal up to one grey level at exact ties. (`resize` to a size given in
//! whole pixels stretches instead, and moves landmarks by up to a tenth of the eyes' distance.)

use super::{item::ItemMut, program::ChannelOrder};
use crate::{limits::FRAME_EDGE_PX_MAX, types::FrameView};

const _: () = assert!(
    (FRAME_EDGE_PX_MAX as u64).pow(2) * 255 <= 1 << 37 && FRAME_EDGE_PX_MAX * 255 < 1 << 24,
    "a sum over one axis is exact even in f32, and the whole sum in f64"
);

/// Where a frame comes to lie in an input, and how to get back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Columns of the input that the frame fills, from the left.
    pub new_w: usize,
    /// Rows of the input that the frame fills, from the top.
    pub new_h: usize,
    /// The scale's numerator: units per source pixel.
    pub input: usize,
    /// The scale's denominator: units per target pixel, at least `input`.
    pub frame: usize,
}

/// Plans a frame of `frame_w` × `frame_h` pixels into an input of `in_w` × `in_h`; none is zero.
#[must_use]
pub fn plan(frame_w: usize, frame_h: usize, in_w: usize, in_h: usize) -> Plan {
    let (input, frame) = if frame_w <= in_w && frame_h <= in_h {
        (1, 1)
    } else if in_w * frame_h <= in_h * frame_w {
        (in_w, frame_w)
    } else {
        (in_h, frame_h)
    };
    let new = |size: usize| divide_rounded(size * input, frame).max(1);
    Plan { new_w: new(frame_w), new_h: new(frame_h), input, frame }
}

impl Plan {
    /// Frame pixels per input pixel, on both axes; at least 1.
    #[must_use]
    pub fn scale(&self) -> f32 {
        (self.frame as f64 / self.input as f64) as f32
    }

    /// Source pixels that target pixel `t` touches, of `size` in all.
    #[must_use]
    pub fn covered(&self, t: usize, size: usize) -> std::ops::Range<usize> {
        t * self.frame / self.input..((t + 1) * self.frame).div_ceil(self.input).min(size)
    }

    /// Units that source pixel `s` and target pixel `t` share; `t` touches `s`.
    #[must_use]
    pub fn overlap(&self, t: usize, s: usize) -> usize {
        ((t + 1) * self.frame).min((s + 1) * self.input) - (t * self.frame).max(s * self.input)
    }

    /// Units of target pixel `t` that lie in a picture of `size` source pixels.
    #[must_use]
    pub fn extent(&self, t: usize, size: usize) -> usize {
        ((t + 1) * self.frame).min(size * self.input) - t * self.frame
    }
}

/// The op: `out` is the network's whole input.
pub fn fit(frame: FrameView<'_>, channels: ChannelOrder, out: &mut ItemMut<'_>) {
    let (frame_w, frame_h) = (frame.width_px() as usize, frame.height_px() as usize);
    let plan = plan(frame_w, frame_h, out.shape().w, out.shape().h);
    out.fill_with(|y, x, c| {
        if y >= plan.new_h || x >= plan.new_w {
            return 0.0;
        }
        let colour = channels.rgb(c);
        let mut sum = 0;
        for sy in plan.covered(y, frame_h) {
            for sx in plan.covered(x, frame_w) {
                let weight = plan.overlap(y, sy) * plan.overlap(x, sx);
                let pixel = frame.pixels()[(sy * frame_w + sx) * 3 + colour];
                sum += u64::from(pixel) * weight as u64;
            }
        }
        let area = plan.extent(y, frame_h) * plan.extent(x, frame_w);
        round_half_even(sum, area as u64) as f32
    });
}

/// `sum / area`, to the nearest; a half goes to the even neighbour.
#[must_use]
pub fn round_half_even(sum: u64, area: u64) -> u64 {
    let (below, left) = (sum / area, sum % area);
    let up = 2 * left > area || (2 * left == area && below % 2 == 1);
    below + u64::from(up)
}

fn divide_rounded(dividend: usize, divisor: usize) -> usize {
    (2 * dividend + divisor) / (2 * divisor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{item::computed, program::Shape};

    fn fitted(pixels: &[u8], w: u32, h: u32, input: [usize; 2]) -> Vec<f32> {
        let frame = FrameView::new(pixels, w, h).expect("a frame");
        let shape = Shape { h: input[0], w: input[1], c: 3 };
        computed(shape, |mut out| fit(frame, ChannelOrder::Rgb, &mut out))
    }

    #[test]
    fn plans_shrink_to_the_tighter_side_and_never_enlarge() {
        let sizes = |w, h| {
            let plan = plan(w, h, 640, 640);
            (plan.new_w, plan.new_h)
        };
        assert_eq!(sizes(640, 480), (640, 480));
        assert_eq!(sizes(1, 1), (1, 1));
        assert_eq!(sizes(1280, 960), (640, 480));
        assert_eq!(sizes(960, 1280), (480, 640));
        assert_eq!(sizes(641, 3), (640, 3));
        assert_eq!(sizes(12_000, 1), (640, 1));
        assert_eq!(sizes(641, 641), (640, 640));
        let plan = plan(1000, 750, 320, 256);
        assert_eq!((plan.new_w, plan.new_h, plan.scale()), (320, 240, 3.125));
    }

    #[test]
    fn a_small_frame_is_copied_to_the_top_left_in_the_programs_order() {
        let frame = FrameView::new(&[1, 2, 3, 4, 5, 6], 2, 1).expect("two pixels");
        let out =
            computed(Shape { h: 2, w: 3, c: 3 }, |mut out| fit(frame, ChannelOrder::Bgr, &mut out));
        assert_eq!(out[..6], [3.0, 2.0, 1.0, 6.0, 5.0, 4.0]);
        assert!(out[6..].iter().all(|&value| value == 0.0));
    }

    #[test]
    fn three_columns_become_two_by_their_overlaps() {
        // Targets cover 1.5 sources each: (a + b/2) / 1.5 and (b/2 + c) / 1.5.
        let grey = |v: u8| [v, v, v];
        let pixels = [grey(30), grey(60), grey(240)].concat();
        assert_eq!(fitted(&pixels, 3, 1, [1, 2]), [40.0, 40.0, 40.0, 180.0, 180.0, 180.0]);
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!((round_half_even(5, 2), round_half_even(7, 2)), (2, 4));
        assert_eq!((round_half_even(4, 3), round_half_even(5, 3)), (1, 2));
        assert_eq!(fitted(&[1, 3, 5, 2, 4, 6], 2, 1, [1, 1]), [2.0, 4.0, 6.0]);
    }

    #[test]
    fn one_scale_holds_for_both_axes() {
        // Columns halve; of three rows the last stands alone in its target.
        let pixels: Vec<u8> = [[10, 20], [30, 40], [70, 90]].into_iter().flatten().collect();
        let grey: Vec<u8> = pixels.iter().flat_map(|&value| [value; 3]).collect();
        let plan = plan(2, 3, 1, 2);
        assert_eq!((plan.new_w, plan.new_h, plan.input, plan.frame), (1, 2, 1, 2));
        assert_eq!(fitted(&grey, 2, 3, [2, 1]), [25.0, 25.0, 25.0, 80.0, 80.0, 80.0]);
    }

    #[test]
    fn the_weights_of_every_target_pixel_sum_to_what_counts_of_it() {
        for (w, h, in_w, in_h) in [
            (7, 5, 3, 3),
            (640, 639, 639, 700),
            (13, 1, 1, 9),
            (1200, 800, 640, 640),
            (1, 90, 8, 8),
        ] {
            let plan = plan(w, h, in_w, in_h);
            for (size, new) in [(w, plan.new_w), (h, plan.new_h)] {
                for t in 0..new {
                    let sum: usize = plan.covered(t, size).map(|s| plan.overlap(t, s)).sum();
                    assert_eq!(sum, plan.extent(t, size), "target {t} of {size} → {new}");
                    // A target counts whole, or it is the last and at least half of it counts, or
                    // it is the only one.
                    let whole = sum == plan.frame;
                    assert!(whole || t + 1 == new && (2 * sum >= plan.frame || new == 1));
                }
            }
        }
    }
}
