//! Networks at random: one op at a time, and whole graphs.

use std::sync::Arc;

use portcullis::ops::program::{
    Activation, BufferId, ChannelOrder, Op, Output, Program, Shape, Step, WeightId, Window,
};

use super::dice::Dice;

/// Odd and even, below and above every vector width.
pub(crate) const CHANNELS: [usize; 9] = [1, 3, 4, 7, 8, 16, 17, 33, 64];
const KERNELS: [usize; 5] = [1, 2, 3, 5, 7];
/// Multiply-accumulates of one item of a random case, so that scalar loops stay quick.
const MACS_MAX: u64 = 1_500_000;

/// A program in the making.
pub(crate) struct Draft {
    program: Program,
}

impl Draft {
    /// Begins with an input of `shape`, in buffer 0.
    pub(crate) fn new(name: &str, shape: Shape) -> Self {
        Self {
            program: Program {
                name: name.to_owned(),
                input: BufferId(0),
                channels: ChannelOrder::Rgb,
                buffers: vec![shape],
                weights: Vec::new(),
                steps: Vec::new(),
                outputs: Vec::new(),
            },
        }
    }

    pub(crate) fn shape(&self, buffer: BufferId) -> Shape {
        self.program.shape(buffer)
    }

    pub(crate) fn buffers(&self) -> usize {
        self.program.buffers.len()
    }

    fn weight(&mut self, values: Vec<f32>) -> WeightId {
        self.program.weights.push(Arc::from(values));
        WeightId(self.program.weights.len() - 1)
    }

    fn step(&mut self, op: Op, inputs: &[BufferId], shape: Shape) -> BufferId {
        self.program.buffers.push(shape);
        let output = BufferId(self.program.buffers.len() - 1);
        self.program.steps.push(Step { op, inputs: inputs.to_vec(), output });
        output
    }

    /// Any of the four, with slopes in [-1, 1).
    fn activation(&mut self, dice: &mut Dice, channels: usize) -> Activation {
        match dice.below(4) {
            0 => Activation::Identity,
            1 => Activation::Relu,
            2 => Activation::Sigmoid,
            _ => Activation::Prelu(self.weight(dice.units(channels, 1.0))),
        }
    }

    pub(crate) fn add(&mut self, dice: &mut Dice, a: BufferId, b: BufferId) -> BufferId {
        let shape = self.shape(a);
        let activation = self.activation(dice, shape.c);
        self.step(Op::Add { activation }, &[a, b], shape)
    }

    pub(crate) fn affine(&mut self, dice: &mut Dice, input: BufferId) -> BufferId {
        let shape = self.shape(input);
        let scale = self.weight(dice.units(shape.c, 1.5));
        let shift = self.weight(dice.units(shape.c, 0.5));
        let activation = self.activation(dice, shape.c);
        self.step(Op::Affine { scale, shift, activation }, &[input], shape)
    }

    pub(crate) fn concat(&mut self, inputs: &[BufferId]) -> BufferId {
        let c = inputs.iter().map(|&input| self.shape(input).c).sum();
        let shape = Shape { c, ..self.shape(inputs[0]) };
        self.step(Op::Concat, inputs, shape)
    }

    /// A convolution to `outputs` channels; weights shrink with the fan-in, so that values keep
    /// their size through a deep network.
    pub(crate) fn conv2d(
        &mut self,
        dice: &mut Dice,
        input: BufferId,
        window: Window,
        outputs: usize,
        residual: Option<BufferId>,
    ) -> BufferId {
        let shape = self.shape(input);
        let fan_in = window.kernel[0] * window.kernel[1] * shape.c;
        let weights = self.weight(dice.units(fan_in * outputs, (3.0 / fan_in as f32).sqrt()));
        let bias = self.weight(dice.units(outputs, 0.5));
        let activation = self.activation(dice, outputs);
        let [h, w] = window.output(shape.h, shape.w);
        let inputs: Vec<BufferId> = [input].into_iter().chain(residual).collect();
        let op = Op::Conv2d { window, weights, bias, activation };
        self.step(op, &inputs, Shape { h, w, c: outputs })
    }

    pub(crate) fn dense(&mut self, dice: &mut Dice, input: BufferId, outputs: usize) -> BufferId {
        let fan_in = self.shape(input).len();
        let weights = self.weight(dice.units(fan_in * outputs, (3.0 / fan_in as f32).sqrt()));
        let bias = self.weight(dice.units(outputs, 0.5));
        let activation = self.activation(dice, outputs);
        let shape = Shape { h: 1, w: 1, c: outputs };
        self.step(Op::Dense { weights, bias, activation }, &[input], shape)
    }

    pub(crate) fn depthwise(
        &mut self,
        dice: &mut Dice,
        input: BufferId,
        window: Window,
        residual: Option<BufferId>,
    ) -> BufferId {
        let shape = self.shape(input);
        let fan_in = window.kernel[0] * window.kernel[1];
        let weights = self.weight(dice.units(fan_in * shape.c, (3.0 / fan_in as f32).sqrt()));
        let bias = self.weight(dice.units(shape.c, 0.5));
        let activation = self.activation(dice, shape.c);
        let [h, w] = window.output(shape.h, shape.w);
        let inputs: Vec<BufferId> = [input].into_iter().chain(residual).collect();
        let op = Op::Depthwise { window, weights, bias, activation };
        self.step(op, &inputs, Shape { h, w, c: shape.c })
    }

    pub(crate) fn global_average(&mut self, input: BufferId) -> BufferId {
        let c = self.shape(input).c;
        self.step(Op::GlobalAverage, &[input], Shape { h: 1, w: 1, c })
    }

    pub(crate) fn max_pool(&mut self, input: BufferId, window: Window) -> BufferId {
        let shape = self.shape(input);
        let [h, w] = window.output(shape.h, shape.w);
        self.step(Op::MaxPool { window }, &[input], Shape { h, w, c: shape.c })
    }

    pub(crate) fn scale(&mut self, input: BufferId, gate: BufferId) -> BufferId {
        self.step(Op::Scale, &[input, gate], self.shape(input))
    }

    pub(crate) fn softmax(&mut self, input: BufferId) -> BufferId {
        self.step(Op::Softmax, &[input], self.shape(input))
    }

    pub(crate) fn upsample(&mut self, input: BufferId, factor: usize) -> BufferId {
        let Shape { h, w, c } = self.shape(input);
        let shape = Shape { h: h * factor, w: w * factor, c };
        self.step(Op::Upsample { factor }, &[input], shape)
    }

    /// Ends with these outputs.
    pub(crate) fn finish(mut self, outputs: &[BufferId]) -> Program {
        self.program.outputs = outputs
            .iter()
            .enumerate()
            .map(|(index, &buffer)| Output { name: format!("output {index}"), buffer })
            .collect();
        assert_eq!(self.program.check(), Ok(()), "the suite drafts sound programs");
        self.program
    }
}

/// The input of case `number`: every channel count in turn, 1 to 9 rows and positions.
fn input_shape(dice: &mut Dice, number: usize) -> Shape {
    Shape { h: 1 + dice.below(9), w: 1 + dice.below(9), c: CHANNELS[number % CHANNELS.len()] }
}

/// A window that fits over `input`; padding below the kernel where `pools`.
pub(crate) fn window(dice: &mut Dice, input: Shape, pools: bool) -> Window {
    loop {
        let kernel = [dice.pick(&KERNELS), dice.pick(&KERNELS)];
        let mut pad = [0; 4].map(|_: usize| dice.below(3));
        if pools {
            pad = [0, 1, 2, 3].map(|side| pad[side].min(kernel[side % 2] - 1));
        }
        let window = Window { kernel, stride: [1 + dice.below(2), 1 + dice.below(2)], pad };
        let [h, w] = window.output(input.h, input.w);
        if h > 0 && w > 0 {
            return window;
        }
    }
}

/// Repeats `draft` until scalar loops can follow it quickly.
fn small(mut draft: impl FnMut() -> Program) -> Program {
    loop {
        let program = draft();
        if program.macs() <= MACS_MAX {
            return program;
        }
    }
}

/// One input, one step, one output.
fn single(
    dice: &mut Dice,
    number: usize,
    name: &str,
    step: impl FnOnce(&mut Draft, &mut Dice, BufferId) -> BufferId,
) -> Program {
    let mut draft = Draft::new(name, input_shape(dice, number));
    let output = step(&mut draft, dice, BufferId(0));
    draft.finish(&[output])
}

pub(crate) fn activation(dice: &mut Dice, number: usize) -> Program {
    let shape = input_shape(dice, number);
    let mut draft = Draft::new("activation", shape);
    let (scale, shift) = (draft.weight(vec![8.0; shape.c]), draft.weight(vec![0.0; shape.c]));
    let slope = draft.weight(dice.units(shape.c, 1.0));
    let all =
        [Activation::Identity, Activation::Prelu(slope), Activation::Relu, Activation::Sigmoid];
    let outputs = all.map(|activation| {
        draft.step(Op::Affine { scale, shift, activation }, &[BufferId(0)], shape)
    });
    draft.finish(&outputs)
}

pub(crate) fn add(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "add", |draft, dice, input| {
        let other = draft.upsample(input, 1);
        draft.add(dice, input, other)
    })
}

pub(crate) fn affine(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "affine", Draft::affine)
}

pub(crate) fn concat(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "concat", |draft, dice, input| {
        let around = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
        let pooled = draft.max_pool(input, around);
        let twice = draft.concat(&[pooled, input]);
        match dice.below(3) {
            0 => draft.concat(&[twice]),
            1 => draft.concat(&[input, twice]),
            _ => draft.concat(&[twice, input, pooled, input]),
        }
    })
}

pub(crate) fn conv2d(dice: &mut Dice, number: usize) -> Program {
    small(|| {
        single(dice, number, "conv2d", |draft, dice, input| {
            let window = window(dice, draft.shape(input), false);
            let outputs = dice.pick(&CHANNELS);
            let residual = dice.coin().then(|| draft.conv2d(dice, input, window, outputs, None));
            draft.conv2d(dice, input, window, outputs, residual)
        })
    })
}

pub(crate) fn dense(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "dense", |draft, dice, input| {
        let outputs = dice.pick(&[1, 2, 3, 5, 8, 31, 64, 128, 200]);
        draft.dense(dice, input, outputs)
    })
}

pub(crate) fn depthwise(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "depthwise", |draft, dice, input| {
        let window = window(dice, draft.shape(input), false);
        let residual = dice.coin().then(|| draft.depthwise(dice, input, window, None));
        draft.depthwise(dice, input, window, residual)
    })
}

pub(crate) fn global_average(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "global_average", |draft, _, input| draft.global_average(input))
}

pub(crate) fn max_pool(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "max_pool", |draft, dice, input| {
        let window = window(dice, draft.shape(input), true);
        draft.max_pool(input, window)
    })
}

pub(crate) fn scale(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "scale", |draft, _, input| {
        let gate = draft.global_average(input);
        draft.scale(input, gate)
    })
}

pub(crate) fn softmax(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "softmax", |draft, dice, input| {
        if dice.coin() {
            return draft.softmax(input);
        }
        // Far apart: shares next to nothing and next to all.
        let shape = draft.shape(input);
        let (scale, shift) = (draft.weight(vec![40.0; shape.c]), draft.weight(vec![0.0; shape.c]));
        let activation = Activation::Identity;
        let spread = draft.step(Op::Affine { scale, shift, activation }, &[input], shape);
        draft.softmax(spread)
    })
}

/// Single steps as the default detector and embedder have them, larger than any block of a backend.
pub(crate) fn of_the_field(dice: &mut Dice) -> Vec<Program> {
    let window = |side: usize, stride: usize, pad: usize| Window {
        kernel: [side; 2],
        stride: [stride; 2],
        pad: [pad; 4],
    };
    let convolutions = [
        ([56, 40, 3], window(3, 2, 1), 16),
        ([37, 41, 16], window(1, 1, 0), 64),
        ([20, 23, 64], window(3, 1, 1), 64),
        ([14, 14, 128], window(1, 1, 0), 256),
        ([7, 7, 64], window(7, 1, 0), 128),
        ([15, 13, 24], window(5, 2, 2), 10),
    ];
    let depthwise = [
        ([56, 40, 32], window(3, 1, 1)),
        ([33, 29, 64], window(3, 2, 1)),
        ([7, 7, 512], window(7, 1, 0)),
        ([14, 14, 17], window(5, 1, 2)),
    ];
    let begin = |[h, w, c]: [usize; 3]| Draft::new("of the field", Shape { h, w, c });
    let mut programs = Vec::new();
    for (shape, window, outputs) in convolutions {
        let mut draft = begin(shape);
        let output = draft.conv2d(dice, BufferId(0), window, outputs, None);
        programs.push(draft.finish(&[output]));
    }
    for (shape, window) in depthwise {
        let mut draft = begin(shape);
        let output = draft.depthwise(dice, BufferId(0), window, None);
        programs.push(draft.finish(&[output]));
    }
    let mut draft = begin([7, 7, 256]);
    let output = draft.dense(dice, BufferId(0), 128);
    programs.push(draft.finish(&[output]));
    programs
}

pub(crate) fn upsample(dice: &mut Dice, number: usize) -> Program {
    single(dice, number, "upsample", |draft, dice, input| {
        let factor = 1 + dice.below(3);
        draft.upsample(input, factor)
    })
}

/// The dense layer of the default embedder: 50,176 inputs, 25 MB of weights.
pub(crate) fn large_dense(dice: &mut Dice) -> Program {
    let mut draft = Draft::new("large dense", Shape { h: 7, w: 7, c: 1024 });
    let output = draft.dense(dice, BufferId(0), 128);
    draft.finish(&[output])
}

/// Steps over whatever was computed before, a dozen of them; three outputs from anywhere.
pub(crate) fn graph(dice: &mut Dice) -> Program {
    small(|| {
        let (h, w) = (2 + dice.below(8), 2 + dice.below(8));
        let mut draft = Draft::new("graph", Shape { h, w, c: dice.pick(&[1, 3, 4, 8, 17]) });
        for _ in 0..12 {
            let any = dice.below(draft.buffers());
            grow(&mut draft, dice, BufferId(any));
        }
        let last = draft.buffers() - 1;
        let outputs = [last, dice.below(last), dice.below(last + 1)].map(BufferId);
        draft.finish(&outputs)
    })
}

/// One more step, from `input`.
fn grow(draft: &mut Draft, dice: &mut Dice, input: BufferId) {
    let shape = draft.shape(input);
    match dice.below(11) {
        0 => {
            let other = alike(draft, dice, input);
            draft.add(dice, input, other);
        }
        1 => {
            draft.affine(dice, input);
        }
        2 if shape.len() < 4096 => {
            let other = alike(draft, dice, input);
            draft.concat(&[other, input]);
        }
        3 | 4 => {
            let (window, outputs) = (window(dice, shape, false), dice.pick(&[1, 4, 8, 16, 24]));
            let residual = dice.coin().then(|| draft.conv2d(dice, input, window, outputs, None));
            draft.conv2d(dice, input, window, outputs, residual);
        }
        5 => {
            let outputs = dice.pick(&CHANNELS);
            draft.dense(dice, input, outputs);
        }
        6 => {
            let window = window(dice, shape, false);
            draft.depthwise(dice, input, window, None);
        }
        7 => {
            let gate = draft.global_average(input);
            let gate = draft.dense(dice, gate, shape.c);
            draft.scale(input, gate);
        }
        8 => {
            let window = window(dice, shape, true);
            draft.max_pool(input, window);
        }
        9 => {
            draft.softmax(input);
        }
        _ if shape.h * shape.w <= 100 => {
            draft.upsample(input, 2);
        }
        _ => {
            draft.global_average(input);
        }
    }
}

/// A buffer of the same shape as `input`, not always another one.
fn alike(draft: &Draft, dice: &mut Dice, input: BufferId) -> BufferId {
    let shape = draft.shape(input);
    let alike: Vec<usize> =
        (0..draft.buffers()).filter(|&buffer| draft.shape(BufferId(buffer)) == shape).collect();
    BufferId(dice.pick(&alike))
}
