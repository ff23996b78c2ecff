//! `warp`: a bilinear sample of the frame, as an embedder's input.
//!
//! ```text
//! (u, v) = to_frame(x, y)                        at whole output coordinates x, y
//! x0 = ⌊u⌋, y0 = ⌊v⌋, fx = u - x0, fy = v - y0
//! out[y][x][c] = (1 - fy) · ((1 - fx) · p(y0,     x0) + fx · p(y0,     x0 + 1))
//!              +      fy  · ((1 - fx) · p(y0 + 1, x0) + fx · p(y0 + 1, x0 + 1))
//! ```
//!
//! `p` is the frame's pixel, and zero outside it: the picture fades to black over the one pixel
//! around its edge. A position that is not a number or farther away is zero. The position is
//! computed in f64 from the six f32 coefficients; values are 0 to 255 and are not rounded.
//!
//! Shapes: frame h × w × 3, RGB, 8 bits; output the network's input, c = 3, f32, in the program's
//! channel order.
//! Source: OpenCV `warpAffine` with `INTER_LINEAR | WARP_INVERSE_MAP`, border constant zero, which
//! rounds to 8 bits (and, before version 5, takes fractions in 1/32 of a pixel). Measured against
//! OpenCV 5.0.0 on nine crops of photographs: never further apart than that rounding, 0.5.

use super::{
    item::ItemMut,
    program::{ChannelOrder, ToFrame},
};
use crate::types::FrameView;

/// The op: `out` is the network's whole input.
pub fn warp(
    frame: FrameView<'_>,
    to_frame: &ToFrame,
    channels: ChannelOrder,
    out: &mut ItemMut<'_>,
) {
    let m = to_frame.0.map(f64::from);
    out.fill_positions_with(|y, x, values| {
        let (x, y) = (x as f64, y as f64);
        let u = m[0] * x + m[1] * y + m[2];
        let v = m[3] * x + m[4] * y + m[5];
        let sampled = Sample::at(frame, u, v);
        for (c, value) in values.iter_mut().enumerate() {
            *value = sampled.as_ref().map_or(0.0, |sampled| sampled.of(channels.rgb(c)) as f32);
        }
    });
}

/// A place in the frame between four pixels.
struct Sample<'a> {
    pixels: &'a [u8],
    /// Where the red of each pixel stands, row by row; `None` outside the frame.
    places: [[Option<usize>; 2]; 2],
    fx: f64,
    fy: f64,
}

impl<'a> Sample<'a> {
    /// The one at column `u` and row `v`; `None` where all four pixels are outside.
    fn at(frame: FrameView<'a>, u: f64, v: f64) -> Option<Self> {
        let (width, height) = (frame.width_px(), frame.height_px());
        let near = u > -1.0 && u < f64::from(width) && v > -1.0 && v < f64::from(height);
        if !near {
            return None;
        }
        let (x0, y0) = (below(u), below(v));
        let inside =
            |at: i64, count: u32| usize::try_from(at).ok().filter(|&at| at < count as usize);
        let columns = [inside(x0, width), inside(x0 + 1, width)];
        let rows = [inside(y0, height), inside(y0 + 1, height)];
        let place =
            |row: Option<usize>, column: Option<usize>| Some((row? * width as usize + column?) * 3);
        let places = rows.map(|row| columns.map(|column| place(row, column)));
        Some(Self { pixels: frame.pixels(), places, fx: u - x0 as f64, fy: v - y0 as f64 })
    }

    /// Its `colour`: 0 red, 1 green, 2 blue.
    fn of(&self, colour: usize) -> f64 {
        let Self { pixels, places, fx, fy } = self;
        let [above, below] = places.map(|row| {
            let [left, right] =
                row.map(|place| place.map_or(0.0, |place| f64::from(pixels[place + colour])));
            (1.0 - fx) * left + fx * right
        });
        (1.0 - fy) * above + fy * below
    }
}

/// The whole number at or below `value`, which is above -1 and no larger than a frame; a cast,
/// where `floor` would be a call.
fn below(value: f64) -> i64 {
    if value < 0.0 { -1 } else { value as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{
        item::{computed, picture},
        program::Shape,
    };

    /// Red channel of a warp of a 2 × 2 frame with red 10, 20 over 30, 40.
    fn warped(m: [f32; 6], shape: Shape) -> Vec<f32> {
        let pixels = [10, 1, 2, 20, 3, 4, 30, 5, 6, 40, 7, 8];
        let frame = FrameView::new(&pixels, 2, 2).expect("four pixels");
        let all = computed(shape, |mut out| warp(frame, &ToFrame(m), ChannelOrder::Rgb, &mut out));
        all.into_iter().step_by(3).collect()
    }

    const TWO: Shape = Shape { h: 2, w: 2, c: 3 };

    #[test]
    fn the_identity_copies() {
        assert_eq!(warped([1.0, 0.0, 0.0, 0.0, 1.0, 0.0], TWO), [10.0, 20.0, 30.0, 40.0]);
    }

    #[test]
    fn between_pixels_is_linear_and_the_edge_fades_to_zero() {
        let quarter = [1.0, 0.0, 0.25, 0.0, 1.0, 0.5];
        assert_eq!(warped(quarter, TWO), [22.5, 22.5, 16.25, 15.0]);
        assert_eq!(warped([1.0, 0.0, -0.5, 0.0, 1.0, -0.5], TWO), [2.5, 7.5, 10.0, 25.0]);
    }

    #[test]
    fn opencv_gives_the_same_but_for_its_rounding() {
        let pixels = picture(7, 5);
        let frame = FrameView::new(&pixels, 7, 5).expect("35 pixels");
        let to_frame = ToFrame([1.25, -0.5, 0.75, 0.5, 1.25, -0.5]);
        let shape = Shape { h: 3, w: 3, c: 3 };
        let out = computed(shape, |mut out| warp(frame, &to_frame, ChannelOrder::Rgb, &mut out));
        // cv2.warpAffine(pixels, to_frame, (3, 3), flags=INTER_LINEAR | WARP_INVERSE_MAP), 5.0.0.
        let opencv: [u8; 27] = [
            14, 55, 97, 74, 157, 240, 168, 123, 78, 56, 139, 174, 150, 169, 60, 114, 101, 168, 88,
            151, 21, 212, 39, 122, 78, 162, 180,
        ];
        for (held, rounded) in out.iter().zip(opencv) {
            assert!((held - f32::from(rounded)).abs() <= 0.5, "{out:?}");
        }
    }

    #[test]
    fn a_quarter_turn_reads_columns_as_rows() {
        assert_eq!(warped([0.0, 1.0, 0.0, 1.0, 0.0, 0.0], TWO), [10.0, 30.0, 20.0, 40.0]);
    }

    #[test]
    fn outside_and_nowhere_are_zero() {
        for m in [[1.0, 0.0, 2.0, 0.0, 1.0, 0.0], [f32::NAN; 6], [f32::INFINITY; 6], [-1e30; 6]] {
            let out = warped(m, TWO);
            assert!(out.iter().all(|&value| value == 0.0), "{m:?}: {out:?}");
        }
    }

    #[test]
    fn channels_follow_the_program() {
        let frame = FrameView::new(&[1, 2, 3], 1, 1).expect("one pixel");
        let still = ToFrame([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let shape = Shape { h: 1, w: 1, c: 3 };
        let bgr = computed(shape, |mut out| warp(frame, &still, ChannelOrder::Bgr, &mut out));
        assert_eq!(bgr, [3.0, 2.0, 1.0]);
    }
}
