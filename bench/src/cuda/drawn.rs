//! What a network computes, without its weights: PyTorch beside us makes the same steps of it.

use portcullis::ops::program::{Activation, BufferId, Op, Program, Step, Window};
use serde::Serialize;

/// A program; buffers are numbers.
#[derive(Debug, Serialize)]
pub(super) struct Drawn {
    input: usize,
    outputs: Vec<usize>,
    /// Rows, positions and channels of every buffer.
    shapes: Vec<[usize; 3]>,
    steps: Vec<DrawnStep>,
}

/// A step by the name of its op; what an op does not have holds what changes nothing.
#[derive(Debug, Serialize)]
struct DrawnStep {
    op: &'static str,
    inputs: Vec<usize>,
    output: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Top, left, bottom, right.
    pad: [usize; 4],
    factor: usize,
    activation: &'static str,
}

impl Drawn {
    /// Of `program`.
    pub(super) fn of(program: &Program) -> Self {
        Self {
            input: program.input.0,
            outputs: program.outputs.iter().map(|output| output.buffer.0).collect(),
            shapes: program.buffers.iter().map(|shape| [shape.h, shape.w, shape.c]).collect(),
            steps: program.steps.iter().map(drawn).collect(),
        }
    }
}

fn drawn(step: &Step) -> DrawnStep {
    let point = Window { kernel: [1; 2], stride: [1; 2], pad: [0; 4] };
    let plain = Activation::Identity;
    let (op, window, factor, activation) = match step.op {
        Op::Add { activation } => ("add", point, 1, activation),
        Op::Affine { activation, .. } => ("affine", point, 1, activation),
        Op::Concat => ("concat", point, 1, plain),
        Op::Conv2d { window, activation, .. } => ("conv2d", window, 1, activation),
        Op::Dense { activation, .. } => ("dense", point, 1, activation),
        Op::Depthwise { window, activation, .. } => ("depthwise", window, 1, activation),
        Op::GlobalAverage => ("global_average", point, 1, plain),
        Op::MaxPool { window } => ("max_pool", window, 1, plain),
        Op::Scale => ("scale", point, 1, plain),
        Op::Softmax => ("softmax", point, 1, plain),
        Op::Upsample { factor } => ("upsample", point, factor, plain),
    };
    let Window { kernel, stride, pad } = window;
    DrawnStep {
        op,
        inputs: step.inputs.iter().map(|&BufferId(number)| number).collect(),
        output: step.output.0,
        kernel,
        stride,
        pad,
        factor,
        activation: match activation {
            Activation::Identity => "identity",
            Activation::Prelu(_) => "prelu",
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
        },
    }
}
