//! `fit`: a whole frame as the input of a detector.
//!
//! The frame is shrunk with area interpolation to fit the input, never enlarged, and placed at the
//! top left on zeros; values stay 0 to 255.
//!
//! ```text
//! scale  = min(1, in_w / frame_w, in_h / frame_h)
//! new    = round(frame · scale), a half upwards, at least 1
//! out[y][x][c] = round( Σ sy sx  frame[sy][sx][c] · rows(y, sy) · columns(x, sx) / (frame_w · frame_h) )
//! ```
//!
//! Source pixel `s` of `frame_w` covers `[s · new_w, (s + 1) · new_w)` and target pixel `t` covers
//! `[t · frame_w, (t + 1) · frame_w)` on one common scale of `frame_w · new_w` units; `columns` is
//! the overlap of the two in units, and `rows` likewise. So every weight is a whole number, the sum
//! is exact, and all machines agree bit for bit: at most 255 · 12,000,000 = 3,060,000,000, which
//! even fits 32 unsigned bits. The quotient is rounded half to even.
//!
//! Shapes: frame h × w × 3, RGB, 8 bits; output the network's input, c = 3, f32, in the program's
//! channel order.
//! Source: OpenCV `resize` with `INTER_AREA` for 8-bit pictures, which sums the same overlaps in
//! f32. Measured against OpenCV 5.0.0 on nine sizes of noise and of smooth pictures: equal but for
//! one grey level in at most 1 of 7,000 values; in an exact halving, where OpenCV rounds halves
//! upwards instead, one grey level in 1 of 7.

use super::{item::ItemMut, program::ChannelOrder};
use crate::{limits::FRAME_PIXELS_MAX, types::FrameView};

const _: () = assert!(
    FRAME_PIXELS_MAX as u64 * 255 <= u32::MAX as u64,
    "a twin may sum a target pixel in 32 unsigned bits"
);

/// Where a frame comes to lie in an input, and how to get back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Columns of the input that the frame fills, from the left.
    pub new_w: usize,
    /// Rows of the input that the frame fills, from the top.
    pub new_h: usize,
    /// Frame pixels per input pixel, horizontally; at least 1 up to rounding.
    pub scale_x: f32,
    /// Frame pixels per input pixel, vertically.
    pub scale_y: f32,
}

/// Plans a frame of `frame_w` × `frame_h` pixels into an input of `in_w` × `in_h`; none is zero.
#[must_use]
pub fn plan(frame_w: usize, frame_h: usize, in_w: usize, in_h: usize) -> Plan {
    let (new_w, new_h) = if frame_w <= in_w && frame_h <= in_h {
        (frame_w, frame_h)
    } else if in_w * frame_h <= in_h * frame_w {
        (in_w, divide_rounded(frame_h * in_w, frame_w).max(1))
    } else {
        (divide_rounded(frame_w * in_h, frame_h).max(1), in_h)
    };
    Plan {
        new_w,
        new_h,
        scale_x: (frame_w as f64 / new_w as f64) as f32,
        scale_y: (frame_h as f64 / new_h as f64) as f32,
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
        for sy in covered(y, frame_h, plan.new_h) {
            for sx in covered(x, frame_w, plan.new_w) {
                let rows = overlap(y, sy, frame_h, plan.new_h);
                let columns = overlap(x, sx, frame_w, plan.new_w);
                let pixel = frame.pixels()[(sy * frame_w + sx) * 3 + colour];
                sum += u64::from(pixel) * (rows * columns) as u64;
            }
        }
        round_half_even(sum, (frame_w * frame_h) as u64) as f32
    });
}

/// Source pixels that target pixel `t` of `new` touches, of `size` in all.
#[must_use]
pub fn covered(t: usize, size: usize, new: usize) -> std::ops::Range<usize> {
    t * size / new..((t + 1) * size).div_ceil(new)
}

/// Length that source pixel `s` and target pixel `t` share, in units of 1 / (`size` · `new`) of the
/// picture.
#[must_use]
pub fn overlap(t: usize, s: usize, size: usize, new: usize) -> usize {
    ((t + 1) * size).min((s + 1) * new) - (t * size).max(s * new)
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
    use crate::ops::{
        item::{computed, picture},
        program::Shape,
    };

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
        assert_eq!((plan.new_w, plan.new_h, plan.scale_x, plan.scale_y), (320, 240, 3.125, 3.125));
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
    fn opencv_gives_the_same() {
        let pixels = picture(7, 5);
        // cv2.resize(pixels, (4, 3), interpolation=cv2.INTER_AREA), OpenCV 5.0.0.
        let opencv: [u8; 36] = [
            41, 124, 163, 112, 166, 132, 169, 142, 93, 152, 81, 106, 143, 109, 83, 157, 108, 140,
            126, 136, 95, 140, 135, 123, 179, 72, 155, 135, 160, 126, 128, 108, 140, 127, 122, 140,
        ];
        let fitted = fitted(&pixels, 7, 5, [4, 4]);
        assert_eq!(fitted[..36], opencv.map(f32::from));
        assert_eq!(fitted[36..], [0.0; 12]);
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        assert_eq!((round_half_even(5, 2), round_half_even(7, 2)), (2, 4));
        assert_eq!((round_half_even(4, 3), round_half_even(5, 3)), (1, 2));
        assert_eq!(fitted(&[1, 3, 5, 2, 4, 6], 2, 1, [1, 1]), [2.0, 4.0, 6.0]);
    }

    #[test]
    fn the_weights_of_every_target_pixel_sum_to_its_area() {
        for (size, new) in [(7, 3), (640, 639), (5, 5), (13, 1), (1280, 640)] {
            for t in 0..new {
                let sum: usize = covered(t, size, new).map(|s| overlap(t, s, size, new)).sum();
                assert_eq!(sum, size, "target {t} of {size} → {new}");
            }
        }
    }
}
