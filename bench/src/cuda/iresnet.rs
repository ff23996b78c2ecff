//! Networks of the ArcFace family with drawn weights, as programs: the shape decides the time, so
//! that no published file is needed to measure it.
//!
//! A block is an affine, a convolution with PReLU, a convolution with the shortcut as its residual;
//! batch norms are folded, as `model` folds them. Weights are scaled by their number, so that
//! values neither grow nor vanish with depth.

use std::sync::Arc;

use portcullis::{
    ops::program::{
        Activation, BufferId, ChannelOrder, Op, Output, Program, Shape, Step, WeightId, Window,
    },
    random::{Entropy, SeededEntropy},
};

/// Blocks of the four stages of a network of that name.
fn blocks(depth: usize) -> [usize; 4] {
    match depth {
        18 => [2, 2, 2, 2],
        50 => [3, 4, 14, 3],
        _ => [3, 13, 30, 3],
    }
}

struct Draft {
    program: Program,
    entropy: SeededEntropy,
}

/// The network with so many layers, from faces of 112 × 112 to templates of 512 values.
pub(super) fn program(depth: usize) -> Program {
    let input = Shape { h: 112, w: 112, c: 3 };
    let mut draft = Draft {
        program: Program {
            name: format!("iresnet{depth}"),
            input: BufferId(0),
            channels: ChannelOrder::Rgb,
            buffers: vec![input],
            weights: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
        },
        entropy: SeededEntropy::new(depth as u64),
    };
    let scaled = draft.affine(BufferId(0), 1.0 / 127.5, -1.0);
    let mut held = draft.conv(scaled, 64, (3, 1), true, None);
    for (stage, many) in blocks(depth).into_iter().enumerate() {
        for block in 0..many {
            held = draft.block(held, 64 << stage, if block == 0 { 2 } else { 1 });
        }
    }
    let normed = draft.affine(held, 1.0, 0.0);
    let embedding = draft.dense(normed, 512);
    draft.program.outputs = vec![Output { name: "embedding".to_owned(), buffer: embedding }];
    draft.program
}

/// An input's values: whole numbers from 0 to 255, as pixels are.
pub(super) fn picture(entropy: &SeededEntropy, values: usize) -> Vec<f32> {
    let mut bytes = vec![0; values];
    entropy.fill(&mut bytes);
    bytes.into_iter().map(f32::from).collect()
}

impl Draft {
    fn weight(&mut self, values: Vec<f32>) -> WeightId {
        self.program.weights.push(Arc::from(values));
        WeightId(self.program.weights.len() - 1)
    }

    /// `values` numbers around zero, each the sum of four even ones, with that deviation.
    fn drawn(&mut self, values: usize, deviation: f32) -> WeightId {
        let mut bytes = vec![0; values * 4];
        self.entropy.fill(&mut bytes);
        let one = |four: &[u8]| {
            let sum: i32 = four.iter().map(|&byte| i32::from(byte)).sum();
            (sum - 510) as f32 / 147.8 * deviation
        };
        let values = bytes.chunks_exact(4).map(one).collect();
        self.weight(values)
    }

    fn step(&mut self, op: Op, inputs: Vec<BufferId>, output: Shape) -> BufferId {
        self.program.buffers.push(output);
        let output = BufferId(self.program.buffers.len() - 1);
        self.program.steps.push(Step { op, inputs, output });
        output
    }

    fn affine(&mut self, input: BufferId, scale: f32, shift: f32) -> BufferId {
        let shape = self.program.shape(input);
        let (scale, shift) = (self.weight(vec![scale; shape.c]), self.weight(vec![shift; shape.c]));
        let op = Op::Affine { scale, shift, activation: Activation::Identity };
        self.step(op, vec![input], shape)
    }

    fn conv(
        &mut self,
        input: BufferId,
        c: usize,
        (edge, stride): (usize, usize),
        bends: bool,
        beside: Option<BufferId>,
    ) -> BufferId {
        let from = self.program.shape(input);
        let window = Window { kernel: [edge; 2], stride: [stride; 2], pad: [edge / 2; 4] };
        let [h, w] = window.output(from.h, from.w);
        let taps = edge * edge * from.c;
        let weights = self.drawn(taps * c, (1.0 / taps as f32).sqrt());
        let bias = self.drawn(c, 0.1);
        let activation = if bends {
            Activation::Prelu(self.weight(vec![0.25; c]))
        } else {
            Activation::Identity
        };
        let inputs = [input].into_iter().chain(beside).collect();
        self.step(Op::Conv2d { window, weights, bias, activation }, inputs, Shape { h, w, c })
    }

    fn block(&mut self, input: BufferId, c: usize, stride: usize) -> BufferId {
        let normed = self.affine(input, 1.0, 0.0);
        let inner = self.conv(normed, c, (3, 1), true, None);
        let is_same = stride == 1 && self.program.shape(input).c == c;
        let shortcut = if is_same { input } else { self.conv(input, c, (1, stride), false, None) };
        self.conv(inner, c, (3, stride), false, Some(shortcut))
    }

    fn dense(&mut self, input: BufferId, c: usize) -> BufferId {
        let values = self.program.shape(input).len();
        let weights = self.drawn(values * c, (1.0 / values as f32).sqrt());
        let bias = self.drawn(c, 0.1);
        let op = Op::Dense { weights, bias, activation: Activation::Identity };
        self.step(op, vec![input], Shape { h: 1, w: 1, c })
    }
}
