//! What a network is fed, as a device is shown it: which bytes go up, and the numbers that say how
//! they become the network's input.
//!
//! Of a frame that is fitted every row goes up; of one that a crop is warped out of, the rows that
//! the crop touches.

use bytemuck::cast_slice;

use crate::{
    backend::BackendError,
    ops::{
        fit,
        program::{Feed, Shape, ToFrame},
    },
};

/// Rows more than a crop was computed to touch: positions are rounded once more on the device.
const ROWS_SPARE: f64 = 2.0;

/// One feed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::backend) struct Shown<'a> {
    /// What goes up.
    pub(in crate::backend) bytes: &'a [u8],
    pub(in crate::backend) how: How,
}

/// How the bytes become an input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::backend) enum How {
    /// They are its values.
    Tensor,
    /// A whole frame is shrunk: [`fit::plan`].
    Fit { of: Frame, plan: fit::Plan },
    /// Rows of a frame are sampled.
    Warp { of: Frame, to_frame: ToFrame },
}

/// The rows that are there, of a frame of that size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct Frame {
    pub(in crate::backend) first_row: u32,
    pub(in crate::backend) rows: u32,
    pub(in crate::backend) width: u32,
    pub(in crate::backend) height: u32,
}

/// A number of a frame or an input as devices have it.
pub(in crate::backend) fn pixels(value: usize) -> u32 {
    u32::try_from(value).expect("bounded by the limits of a frame")
}

impl<'a> Shown<'a> {
    /// `feed` for an input of `shape`.
    pub(in crate::backend) fn new(feed: &Feed<'a>, shape: Shape) -> Self {
        match feed {
            Feed::Tensor(values) => Self { bytes: cast_slice(values), how: How::Tensor },
            Feed::Fit { frame } => {
                let (width, height) = (frame.width_px(), frame.height_px());
                let plan = fit::plan(width as usize, height as usize, shape.w, shape.h);
                let of = Frame { first_row: 0, rows: height, width, height };
                Self { bytes: frame.pixels(), how: How::Fit { of, plan } }
            }
            Feed::Warp { frame, to_frame } => {
                let (width, height) = (frame.width_px(), frame.height_px());
                let touched = rows_touched(to_frame, shape, height as usize);
                let row_bytes = width as usize * 3;
                let bytes = &frame.pixels()[touched.start * row_bytes..touched.end * row_bytes];
                let (first_row, rows) = (pixels(touched.start), pixels(touched.len()));
                let of = Frame { first_row, rows, width, height };
                Self { bytes, how: How::Warp { of, to_frame: *to_frame } }
            }
        }
    }
}

/// Refuses what cannot be fed to a network of that input, before anything is computed.
pub(in crate::backend) fn admit(
    feeds: &[Feed<'_>],
    most: usize,
    input: Shape,
) -> Result<(), BackendError> {
    if feeds.is_empty() || feeds.len() > most {
        return Err(BackendError::Batch { held: feeds.len(), most });
    }
    for (item, feed) in feeds.iter().enumerate() {
        match feed {
            Feed::Tensor(values) if values.len() != input.len() => {
                let (held, needed) = (values.len(), input.len());
                return Err(BackendError::Input { item, needed, held });
            }
            Feed::Fit { .. } | Feed::Warp { .. } if input.c != 3 => {
                return Err(BackendError::Picture { item, channels: input.c });
            }
            Feed::Fit { .. } | Feed::Tensor(_) | Feed::Warp { .. } => {}
        }
    }
    Ok(())
}

/// Rows of a frame of `height` rows that a crop of `shape` touches; none when it lies outside or
/// nowhere.
fn rows_touched(to_frame: &ToFrame, shape: Shape, height: usize) -> std::ops::Range<usize> {
    let m = to_frame.0.map(f64::from);
    let (right, bottom) = (shape.w as f64 - 1.0, shape.h as f64 - 1.0);
    let rows = [(0.0, 0.0), (right, 0.0), (0.0, bottom), (right, bottom)]
        .map(|(x, y)| m[3] * x + m[4] * y + m[5]);
    let lowest = rows.iter().copied().fold(f64::INFINITY, f64::min) - ROWS_SPARE;
    let highest = rows.iter().copied().fold(f64::NEG_INFINITY, f64::max) + 1.0 + ROWS_SPARE;
    if rows.iter().any(|row| !row.is_finite()) {
        return 0..0;
    }
    let height = height as f64;
    let first = lowest.floor().clamp(0.0, height) as usize;
    let end = (highest.floor() + 1.0).clamp(0.0, height) as usize;
    first..end.max(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { h: 11, w: 6, c: 3 };

    #[test]
    fn a_crop_asks_for_the_rows_it_touches_and_a_few_more() {
        let moved = ToFrame([1.0, 0.0, 0.0, 0.0, 1.0, 100.0]);
        assert_eq!(rows_touched(&moved, SHAPE, 1000), 98..114);
        assert_eq!(rows_touched(&moved, SHAPE, 105), 98..105);
        assert_eq!(rows_touched(&moved, SHAPE, 50), 50..50);
        let turned = ToFrame([0.0, 1.0, 0.0, -2.0, 0.0, 10.0]);
        assert_eq!(rows_touched(&turned, SHAPE, 1000), 0..14);
    }

    #[test]
    fn a_crop_of_nowhere_asks_for_nothing() {
        for m in [f32::NAN, f32::INFINITY, -1e30, 3e38] {
            assert!(rows_touched(&ToFrame([m; 6]), SHAPE, 40).is_empty(), "{m}");
        }
    }
}
