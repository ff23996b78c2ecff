//! What a network is fed, on its way to the device: frames as packed bytes, tensors as they are.
//!
//! ```text
//! staging:  pictures (one struct per item) | bytes of frames and rows | tensors
//!               └► uniform buffer              └► pixels                └► the input's slot
//! ```
//!
//! Of a frame that is fitted every row goes up; of one that a crop is warped out of, the rows that
//! the crop touches.

use std::sync::Arc;

use ::wgpu::{
    BindGroup, BindingResource, Buffer, BufferBinding, BufferUsages, CommandEncoder, ComputePass,
};
use bytemuck::cast_slice;

use super::{
    device::{Gpu, Program as Compiled},
    layout::Picture,
    shaders::Shader,
};
use crate::ops::{
    fit,
    program::{ChannelOrder, Feed, Shape, ToFrame},
};

/// Rows more than a crop was computed to touch: positions are rounded once more on the device.
const ROWS_SPARE: f64 = 2.0;
/// Pixels of a frame that one lane sums for a pixel of the input; beyond, a workgroup divides them.
/// A frame of 12 megapixels on an input of 112 × 112 has about a thousand, and Mesa's simulated
/// device ends a lane after some ([`super::turns`]).
const COVERED_MAX: usize = 16_384;
/// Edge of the square of pixels that a workgroup computes.
const SQUARE: usize = 8;

/// The device's side of the feeds of one network.
pub(super) struct Pictures {
    fit: Arc<Compiled>,
    divided: Arc<Compiled>,
    warp: Arc<Compiled>,
    /// One [`Picture`] per item, each at a multiple of `stride`.
    told: Buffer,
    stride: u64,
    pixels: Buffer,
    /// Per item: bound for both ways to fit, and for `warp`.
    bound: Vec<[BindGroup; 3]>,
    input: Buffer,
}

/// One feed, placed.
pub(super) struct Placed<'a> {
    /// Its shader, for a picture.
    kind: Kind,
    /// For a picture.
    pub(super) picture: Picture,
    /// What goes up.
    pub(super) bytes: &'a [u8],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fit,
    /// Fitted by a workgroup per pixel of the input.
    FitDivided,
    Tensor,
    Warp,
}

impl<'a> Placed<'a> {
    /// Places `feed` as item `item` of a batch whose pixels so far end at word `begin`.
    pub(super) fn new(
        feed: &Feed<'a>,
        shape: Shape,
        channels: ChannelOrder,
        item: usize,
        begin: u64,
    ) -> Self {
        let word = |value: usize| u32::try_from(value).expect("bounded by the limits of a frame");
        let blank = Picture {
            begin: u32::try_from(begin).expect("pixels are bounded by a binding"),
            out_h: word(shape.h),
            out_w: word(shape.w),
            item: word(item),
            blue_first: u32::from(channels == ChannelOrder::Bgr),
            ..Picture::default()
        };
        match feed {
            Feed::Tensor(values) => {
                Self { kind: Kind::Tensor, picture: blank, bytes: cast_slice(values) }
            }
            Feed::Fit { frame } => {
                let (w, h) = (frame.width_px(), frame.height_px());
                let plan = fit::plan(w as usize, h as usize, shape.w, shape.h);
                let picture = Picture {
                    rows: h,
                    width: w,
                    height: h,
                    new_h: word(plan.new_h),
                    new_w: word(plan.new_w),
                    input: word(plan.input),
                    frame: word(plan.frame),
                    ..blank
                };
                let covered = plan.frame.div_ceil(plan.input) + 1;
                let is_far_larger = covered.pow(2) > COVERED_MAX;
                let kind = if is_far_larger { Kind::FitDivided } else { Kind::Fit };
                Self { kind, picture, bytes: frame.pixels() }
            }
            Feed::Warp { frame, to_frame } => {
                let (w, h) = (frame.width_px(), frame.height_px());
                let touched = rows_touched(to_frame, shape, h as usize);
                let row_bytes = w as usize * 3;
                let bytes = &frame.pixels()[touched.start * row_bytes..touched.end * row_bytes];
                let [m0, m1, m2, m3, m4, m5] = to_frame.0;
                let picture = Picture {
                    first_row: word(touched.start),
                    rows: word(touched.len()),
                    width: w,
                    height: h,
                    m0,
                    m1,
                    m2,
                    m3,
                    m4,
                    m5,
                    ..blank
                };
                Self { kind: Kind::Warp, picture, bytes }
            }
        }
    }

    /// Whether it goes to the pixels, and not to the input.
    pub(super) fn is_picture(&self) -> bool {
        self.kind != Kind::Tensor
    }
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

impl Pictures {
    /// For `items` items of a network whose input lies in `input`.
    pub(super) fn new(gpu: &Gpu, items: usize, input: &Buffer) -> Self {
        let stride = (size_of::<Picture>() as u64).next_multiple_of(gpu.offset_alignment());
        let told = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let mut pictures = Self {
            fit: gpu.program(Shader::Fit { divided: false }),
            divided: gpu.program(Shader::Fit { divided: true }),
            warp: gpu.program(Shader::Warp),
            told: gpu.buffer("pictures", stride * items as u64, told),
            stride,
            pixels: gpu.storage("pixels", 0),
            bound: Vec::with_capacity(items),
            input: input.clone(),
        };
        pictures.bind(gpu, items);
        pictures
    }

    fn bind(&mut self, gpu: &Gpu, items: usize) {
        self.bound.clear();
        for item in 0..items as u64 {
            let told = BindingResource::Buffer(BufferBinding {
                buffer: &self.told,
                offset: item * self.stride,
                size: std::num::NonZeroU64::new(size_of::<Picture>() as u64),
            });
            let (pixels, input) = (self.pixels.as_entire_binding(), self.input.as_entire_binding());
            let resources = [told, pixels, input];
            let programs = [&self.fit, &self.divided, &self.warp];
            self.bound.push(programs.map(|program| gpu.bind(program, &resources)));
        }
    }

    /// Distance of two pictures in bytes.
    pub(super) fn stride(&self) -> u64 {
        self.stride
    }

    /// Where pictures are told.
    pub(super) fn told(&self) -> &Buffer {
        &self.told
    }

    /// Where pixels go.
    pub(super) fn pixels(&self) -> &Buffer {
        &self.pixels
    }

    /// Makes room for `bytes` bytes of pixels. Smaller room may hold an earlier flight of the same
    /// batch, and is zeroed by the first of `encoder`'s commands.
    pub(super) fn make_room(&mut self, gpu: &Gpu, encoder: &mut CommandEncoder, bytes: u64) {
        if self.pixels.size() < bytes {
            encoder.clear_buffer(&self.pixels, 0, None);
            let room = bytes.next_power_of_two().min(gpu.binding_bytes_max()).max(bytes);
            self.pixels = gpu.storage("pixels", room);
            self.bind(gpu, self.bound.len());
        }
    }

    /// Turns the pictures among `placed` into the inputs of their items.
    pub(super) fn dispatch(&self, pass: &mut ComputePass<'_>, placed: &[Placed<'_>], input: Shape) {
        let groups = |size: usize, square: usize| {
            u32::try_from(size.div_ceil(square)).expect("inputs are bounded by their buffer")
        };
        for (bound, placed) in self.bound.iter().zip(placed) {
            let (program, bound, square) = match placed.kind {
                Kind::Fit => (&self.fit, &bound[0], SQUARE),
                Kind::FitDivided => (&self.divided, &bound[1], 1),
                Kind::Warp => (&self.warp, &bound[2], SQUARE),
                Kind::Tensor => continue,
            };
            pass.set_pipeline(&program.pipeline);
            pass.set_bind_group(0, bound, &[]);
            pass.dispatch_workgroups(groups(input.w, square), groups(input.h, square), 1);
        }
    }
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
