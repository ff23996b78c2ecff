//! What a network is fed, on its way to the device: frames as packed bytes, tensors as they are.
//!
//! ```text
//! staging:  pictures (one struct per item) | bytes of frames and rows | tensors
//!               └► uniform buffer              └► pixels                └► the input's slot
//! ```

use std::sync::Arc;

use ::wgpu::{
    BindGroup, BindingResource, Buffer, BufferBinding, BufferUsages, CommandEncoder, ComputePass,
};

use super::{
    device::{Gpu, Program as Compiled},
    layout::Picture,
    shaders::Shader,
};
use crate::{
    backend::{
        BackendError,
        gpu::shown::{Frame, How, Shown, pixels},
    },
    ops::program::{ChannelOrder, Feed, Shape},
};

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
        let blank = Picture {
            begin: u32::try_from(begin).expect("pixels are bounded by a binding"),
            out_h: pixels(shape.h),
            out_w: pixels(shape.w),
            item: pixels(item),
            blue_first: u32::from(channels == ChannelOrder::Bgr),
            ..Picture::default()
        };
        let shown = Shown::new(feed, shape);
        let (kind, picture) = match shown.how {
            How::Tensor => (Kind::Tensor, blank),
            How::Fit { of, plan } => {
                let covered = plan.frame.div_ceil(plan.input) + 1;
                let is_far_larger = covered.pow(2) > COVERED_MAX;
                let kind = if is_far_larger { Kind::FitDivided } else { Kind::Fit };
                let picture = Picture {
                    new_h: pixels(plan.new_h),
                    new_w: pixels(plan.new_w),
                    input: pixels(plan.input),
                    frame: pixels(plan.frame),
                    ..framed(blank, of)
                };
                (kind, picture)
            }
            How::Warp { of, to_frame } => {
                let [m0, m1, m2, m3, m4, m5] = to_frame.0;
                (Kind::Warp, Picture { m0, m1, m2, m3, m4, m5, ..framed(blank, of) })
            }
        };
        Self { kind, picture, bytes: shown.bytes }
    }

    /// Whether it goes to the pixels, and not to the input.
    pub(super) fn is_picture(&self) -> bool {
        self.kind != Kind::Tensor
    }
}

fn framed(picture: Picture, of: Frame) -> Picture {
    let Frame { first_row, rows, width, height } = of;
    Picture { first_row, rows, width, height, ..picture }
}

impl Pictures {
    /// For `items` items of a network whose input lies in `input`.
    pub(super) fn new(gpu: &Gpu, items: usize, input: &Buffer) -> Result<Self, BackendError> {
        let stride = (size_of::<Picture>() as u64).next_multiple_of(gpu.offset_alignment());
        let told = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        let mut pictures = Self {
            fit: gpu.program(Shader::Fit { divided: false }),
            divided: gpu.program(Shader::Fit { divided: true }),
            warp: gpu.program(Shader::Warp),
            told: gpu.buffer("pictures", stride * items as u64, told)?,
            stride,
            pixels: gpu.storage("pixels", 0)?,
            bound: Vec::with_capacity(items),
            input: input.clone(),
        };
        pictures.bind(gpu, items);
        Ok(pictures)
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
    pub(super) fn make_room(
        &mut self,
        gpu: &Gpu,
        encoder: &mut CommandEncoder,
        bytes: u64,
    ) -> Result<(), BackendError> {
        if self.pixels.size() < bytes {
            let room = bytes.next_power_of_two().min(gpu.binding_bytes_max()).max(bytes);
            let larger = gpu.storage("pixels", room)?;
            encoder.clear_buffer(&self.pixels, 0, None);
            self.pixels = larger;
            self.bind(gpu, self.bound.len());
        }
        Ok(())
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
