//! A network as data: the narrow waist between `model` (which lowers ONNX into it) and every
//! backend (which executes it).
//!
//! All buffers are NHWC; shapes are per item, the batch is the caller's. Flattening is not a step:
//! `Dense` reads its input buffer as `h · w · c` values in NHWC order, and the weights were
//! permuted to that order when the model was lowered.

use std::sync::Arc;

use crate::types::FrameView;

/// A buffer of one item: `h` rows of `w` positions of `c` channels, f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Positions per row.
    pub w: usize,
    /// Channels per position.
    pub c: usize,
}

impl Shape {
    /// Values in one item.
    #[must_use]
    pub fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether the shape holds nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Index into [`Program::buffers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub usize);

/// Index into [`Program::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// A sliding window in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Zero padding: top, left, bottom, right.
    pub pad: [usize; 4],
}

impl Window {
    /// Output height and width over an input of `h` × `w`; zero where the window does not fit.
    #[must_use]
    pub fn output(&self, h: usize, w: usize) -> [usize; 2] {
        let along = |size: usize, before: usize, after: usize, kernel: usize, stride: usize| {
            (size + before + after).checked_sub(kernel).map_or(0, |room| room / stride + 1)
        };
        [
            along(h, self.pad[0], self.pad[2], self.kernel[0], self.stride[0]),
            along(w, self.pad[1], self.pad[3], self.kernel[1], self.stride[1]),
        ]
    }
}

/// Elementwise function at the end of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The value itself.
    Identity,
    /// `x < 0 ? slope[c] · x : x`; one slope per channel.
    Prelu(WeightId),
    /// `max(x, 0)`.
    Relu,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
}

/// One operation. Inputs and output are the step's; shapes are the buffers'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// `activation(a + b)`; two inputs of one shape.
    Add {
        /// At the end.
        activation: Activation,
    },
    /// `activation(scale[c] · x + shift[c])`.
    Affine {
        /// One factor per channel.
        scale: WeightId,
        /// One summand per channel.
        shift: WeightId,
        /// At the end.
        activation: Activation,
    },
    /// Channels of all inputs, one after the other.
    Concat,
    /// `activation(conv(x) + bias (+ residual))`; the residual, where there is one, is the second
    /// input. Weights `[kh][kw][c_in][c_out]`.
    Conv2d {
        /// The window.
        window: Window,
        /// `kh · kw · c_in · c_out` values.
        weights: WeightId,
        /// `c_out` values.
        bias: WeightId,
        /// At the end.
        activation: Activation,
    },
    /// `activation(W x + bias)` over the flattened input. Weights `[in][out]`.
    Dense {
        /// `in · out` values.
        weights: WeightId,
        /// `out` values.
        bias: WeightId,
        /// At the end.
        activation: Activation,
    },
    /// One filter per channel, then as `Conv2d`. Weights `[kh][kw][c]`.
    Depthwise {
        /// The window.
        window: Window,
        /// `kh · kw · c` values.
        weights: WeightId,
        /// `c` values.
        bias: WeightId,
        /// At the end.
        activation: Activation,
    },
    /// Mean over all positions of a channel; output 1 × 1 × c.
    GlobalAverage,
    /// Largest value under the window; padding never wins.
    MaxPool {
        /// The window.
        window: Window,
    },
    /// `x · gate[c]`: first input times the second, which is 1 × 1 × c.
    Scale,
    /// `e^(x - max) / Σ` over channels.
    Softmax,
    /// Nearest-neighbour enlargement by a whole factor.
    Upsample {
        /// The factor, at least 1.
        factor: usize,
    },
}

/// One step: an operation over numbered buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is computed.
    pub op: Op,
    /// Buffers read.
    pub inputs: Vec<BufferId>,
    /// Buffer written; never one of `inputs`.
    pub output: BufferId,
}

/// Order of the three colour channels that a network expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Blue first (YuNet, MiniFASNet).
    Bgr,
    /// Red first (SFace and the ArcFace family).
    Rgb,
}

impl ChannelOrder {
    /// Which of a pixel's red (0), green (1) and blue (2) stands in channel `c` of the input.
    ///
    /// # Panics
    /// When `c` is not below 3.
    #[must_use]
    pub fn rgb(self, c: usize) -> usize {
        match self {
            Self::Bgr => [2, 1, 0][c],
            Self::Rgb => [0, 1, 2][c],
        }
    }
}

/// A named result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The name in the model file.
    pub name: String,
    /// Where it lies after a run.
    pub buffer: BufferId,
}

/// A network, lowered. Steps stand in an order in which they can be run.
#[derive(Debug, Clone)]
pub struct Program {
    /// The model's name, for messages.
    pub name: String,
    /// Where the input goes.
    pub input: BufferId,
    /// Order of its channels when pixels are fed; values are 0..=255 unless the program says
    /// otherwise with a first `Affine`.
    pub channels: ChannelOrder,
    /// Shape of every buffer.
    pub buffers: Vec<Shape>,
    /// Weights, shared between programs of one model.
    pub weights: Vec<Arc<[f32]>>,
    /// What to do.
    pub steps: Vec<Step>,
    /// What comes out.
    pub outputs: Vec<Output>,
}

impl Program {
    /// Shape of a buffer.
    #[must_use]
    pub fn shape(&self, buffer: BufferId) -> Shape {
        self.buffers[buffer.0]
    }

    /// Values of a weight.
    #[must_use]
    pub fn weight(&self, weight: WeightId) -> &[f32] {
        &self.weights[weight.0]
    }

    /// Multiply-accumulates of one item, the figure that papers state.
    #[must_use]
    pub fn macs(&self) -> u64 {
        let of = |step: &Step| {
            let input = self.shape(step.inputs[0]);
            let output = self.shape(step.output);
            match step.op {
                Op::Conv2d { window, .. } => {
                    output.len() * window.kernel[0] * window.kernel[1] * input.c
                }
                Op::Depthwise { window, .. } => output.len() * window.kernel[0] * window.kernel[1],
                Op::Dense { .. } => input.len() * output.len(),
                Op::Add { .. }
                | Op::Affine { .. }
                | Op::Concat
                | Op::GlobalAverage
                | Op::MaxPool { .. }
                | Op::Scale
                | Op::Softmax
                | Op::Upsample { .. } => 0,
            }
        };
        self.steps.iter().map(|step| of(step) as u64).sum()
    }
}

/// `x_frame = m[0]·x + m[1]·y + m[2]`, `y_frame = m[3]·x + m[4]·y + m[5]`: from pixel centres of
/// the network's input (whole numbers) to pixel centres of the frame, as in OpenCV's inverse map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ToFrame(pub [f32; 6]);

/// What a network is fed, per item.
#[derive(Debug, Clone, Copy)]
pub enum Feed<'a> {
    /// The whole frame, shrunk with area interpolation to fit the input (never enlarged), placed at
    /// the top left on zeros.
    Fit {
        /// The frame, RGB; the backend puts channels in the program's order.
        frame: FrameView<'a>,
    },
    /// The input's own values, NHWC, `shape.len()` of them, already in the program's order.
    Tensor(&'a [f32]),
    /// A bilinear sample of the frame; outside it, zero.
    Warp {
        /// The frame, RGB.
        frame: FrameView<'a>,
        /// Where each input pixel lies in it.
        to_frame: ToFrame,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_onnx_formula() {
        let window = Window { kernel: [3, 3], stride: [2, 2], pad: [1, 1, 1, 1] };
        assert_eq!(window.output(112, 112), [56, 56]);
        assert_eq!(window.output(7, 1), [4, 1]);
        let tall = Window { kernel: [9, 9], stride: [1, 1], pad: [0; 4] };
        assert_eq!(tall.output(8, 9), [0, 1]);
    }
}
