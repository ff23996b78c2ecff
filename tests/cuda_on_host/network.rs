//! Every operator of a network, step by step: the step's inputs and weights are rounded to half
//! precision first, so that what is left between kernel and oracle is the rounding of sums.

use portcullis::ops::{
    item::{Item, ItemMut},
    program::{Activation, BufferId, Op, Program, Shape, Step, WeightId, Window},
    step::execute,
};

use crate::{
    device::{Device, Extent, STAGES},
    halves::{half, rounded, single},
    layout::Job,
    support::{dice::Dice, networks},
};

/// f32 sums against f64 sums, relative to the sum of their absolute terms.
const SUM_TOLERANCE: f32 = 4e-6;
/// Half a unit in the last place of half precision, and the smallest step there is.
const HALF_TOLERANCE: f32 = 1.0 / 2048.0;
const HALF_STEP: f32 = 6.0e-8;
/// Cases per operator.
const CASES: usize = 18;

/// A convolution's tile: positions and channels.
const TILES: [(&str, usize, usize); 3] =
    [("conv2d_128x128", 128, 128), ("conv2d_128x64", 128, 64), ("conv2d_64x64", 64, 64)];

fn pitch(channels: usize) -> usize {
    channels.next_multiple_of(8)
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("a small shape")
}

/// Values per channel, with zeros up to the pitch.
fn per_channel(values: &[f32]) -> Vec<f32> {
    let mut padded = values.to_vec();
    padded.resize(pitch(values.len()), 0.0);
    padded
}

/// A step with its inputs, item by item, all in half precision already.
struct Case<'a> {
    program: &'a Program,
    step: &'a Step,
    /// `[item][input]`.
    inputs: Vec<Vec<Vec<f32>>>,
}

/// One run of a case on the machine.
struct Run<'a> {
    device: &'a mut Device,
    dice: &'a mut Dice,
    wide: bool,
    held: Vec<u64>,
}

impl Run<'_> {
    fn keep(&mut self, address: u64) -> u64 {
        self.held.push(address);
        address
    }

    fn floats(&mut self, values: &[f32]) -> u64 {
        let address = self.device.hold(values);
        self.keep(address)
    }

    fn halves(&mut self, values: &[f32]) -> u64 {
        let halves: Vec<u16> = values.iter().map(|&value| half(value)).collect();
        let address = self.device.hold(&halves);
        self.keep(address)
    }

    fn room(&mut self, bytes: usize) -> u64 {
        let address = self.device.take(bytes);
        self.keep(address)
    }

    /// Items as a tensor with a pitch.
    fn tensor<'v>(&mut self, items: impl Iterator<Item = &'v [f32]>, channels: usize) -> u64 {
        let mut values = Vec::new();
        for position in items.flat_map(|item| item.chunks(channels)) {
            values.extend_from_slice(position);
            values.resize(values.len().next_multiple_of(pitch(channels)), 0.0);
        }
        self.halves(&values)
    }

    /// The output as the host wants it; what is beyond the channels must be zero.
    fn output(&mut self, address: u64, positions: usize, channels: usize, wide: bool) -> Vec<f32> {
        if wide {
            return self.device.read(address, positions * channels);
        }
        let halves: Vec<u16> = self.device.read(address, positions * pitch(channels));
        let mut values = Vec::with_capacity(positions * channels);
        for position in halves.chunks(pitch(channels)) {
            assert!(position[channels..].iter().all(|&beyond| beyond == 0), "{position:x?}");
            values.extend(position[..channels].iter().map(|&bits| single(bits)));
        }
        values
    }

    fn each(&mut self, entry: &str, positions: usize, channels: usize, job: &Job) {
        let units = positions * pitch(channels) / 8;
        let grid = Extent(word(units.div_ceil(256)), 1, 1);
        self.device.launch(entry, grid, Extent(256, 1, 1), 0, job);
    }

    fn end(self) {
        for address in self.held {
            self.device.free(address);
        }
    }
}

fn with_curve(run: &mut Run<'_>, job: Job, program: &Program, activation: Activation) -> Job {
    let (curve, slopes) = match activation {
        Activation::Identity => (0, 0),
        Activation::Prelu(slopes) => (1, run.floats(&per_channel(program.weight(slopes)))),
        Activation::Relu => (2, 0),
        Activation::Sigmoid => (3, 0),
    };
    Job { curve, slopes, ..job }
}

fn with_window(job: Job, window: &Window) -> Job {
    Job {
        kernel_h: word(window.kernel[0]),
        kernel_w: word(window.kernel[1]),
        stride_h: word(window.stride[0]),
        stride_w: word(window.stride[1]),
        pad_top: word(window.pad[0]),
        pad_left: word(window.pad[1]),
        ..job
    }
}

/// Weights `[tap][in][out]` as the product reads them, half `[pitch(out)][K]`.
fn filters(weights: &[f32], taps: usize, inputs: usize, outputs: usize) -> Vec<f32> {
    let depth = (taps * pitch(inputs)).next_multiple_of(32);
    let mut packed = vec![0.0; pitch(outputs) * depth];
    for tap in 0..taps {
        for i in 0..inputs {
            for o in 0..outputs {
                let at = o * depth + tap * pitch(inputs) + i;
                packed[at] = weights[(tap * inputs + i) * outputs + o];
            }
        }
    }
    packed
}

impl Case<'_> {
    fn shape(&self, input: usize) -> Shape {
        self.program.shape(self.step.inputs[input])
    }

    fn output(&self) -> Shape {
        self.program.shape(self.step.output)
    }

    fn items(&self) -> usize {
        self.inputs.len()
    }

    /// Positions of all items of the output.
    fn rows(&self) -> usize {
        self.items() * self.output().h * self.output().w
    }

    fn input(&self, run: &mut Run<'_>, input: usize) -> u64 {
        let items = self.inputs.iter().map(|item| item[input].as_slice());
        run.tensor(items, self.shape(input).c)
    }

    /// Shapes and addresses that all operators have.
    fn job(&self, run: &mut Run<'_>) -> Job {
        let (from, to) = (self.shape(0), self.output());
        let values = if run.wide { to.c * 4 } else { pitch(to.c) * 2 };
        Job {
            input: self.input(run, 0),
            out: run.room(self.rows() * values),
            items: word(self.items()),
            in_h: word(from.h),
            in_w: word(from.w),
            in_c: word(from.c),
            out_h: word(to.h),
            out_w: word(to.w),
            out_c: word(to.c),
            wide: u32::from(run.wide),
            splits: 1,
            ..Job::default()
        }
    }

    /// Bias, residual, activation, and now and then a division of the depth and an affine behind.
    fn tail(
        &self,
        run: &mut Run<'_>,
        job: Job,
        bias: WeightId,
        activation: Activation,
    ) -> (Job, Option<[Vec<f32>; 2]>) {
        let channels = self.output().c;
        let bias = run.floats(&per_channel(self.program.weight(bias)));
        let second = if self.step.inputs.len() > 1 { self.input(run, 1) } else { 0 };
        let mut job = with_curve(run, Job { bias, second, ..job }, self.program, activation);
        job.splits = run.dice.pick(&[1, 1, 2, 3]);
        if job.splits > 1 {
            job.sums = run.room(job.splits as usize * self.rows() * pitch(channels) * 4);
        }
        if run.dice.coin() {
            return (job, None);
        }
        let after = [0; 2].map(|_: i32| run.dice.units(channels, 1.0));
        job.after_scale = run.floats(&per_channel(&after[0]));
        job.after_shift = run.floats(&per_channel(&after[1]));
        job.after = run.room(self.rows() * pitch(channels) * 2);
        (job, Some(after))
    }

    fn conv2d(&self, run: &mut Run<'_>, window: &Window, weights: WeightId, job: &mut Job) {
        let tile = run.dice.pick(&TILES);
        self.conv2d_by(run, tile, window, weights, job);
    }

    fn conv2d_by(
        &self,
        run: &mut Run<'_>,
        (entry, rows, columns): (&str, usize, usize),
        window: &Window,
        weights: WeightId,
        job: &mut Job,
    ) {
        let taps = window.kernel[0] * window.kernel[1];
        let (inputs, outputs) = (self.shape(0).c, self.output().c);
        let packed = filters(self.program.weight(weights), taps, inputs, outputs);
        job.weights = run.halves(&packed);
        let tiles = self.rows().div_ceil(rows) * pitch(outputs).div_ceil(columns);
        let shared = (rows + columns) * 64 * run.device.stages as usize;
        let grid = Extent(word(tiles), 1, job.splits);
        run.device.launch(entry, grid, Extent(128, 1, 1), shared, job);
        if job.splits > 1 {
            run.each("conv2d_sum", self.rows(), outputs, job);
        }
    }

    fn dense(&self, run: &mut Run<'_>, weights: WeightId, job: &mut Job) {
        let Shape { h, w, c } = self.shape(0);
        let outputs = self.output().c;
        let packed = filters(self.program.weight(weights), h * w, c, outputs);
        job.weights = run.halves(&packed);
        let tiles = self.rows().div_ceil(64) * pitch(outputs).div_ceil(64);
        let shared = 128 * 64 * run.device.stages as usize;
        let grid = Extent(word(tiles), 1, job.splits);
        run.device.launch("dense_64x64", grid, Extent(128, 1, 1), shared, job);
        if job.splits > 1 {
            run.each("dense_sum", self.rows(), outputs, job);
        }
    }

    fn concat(&self, run: &mut Run<'_>, job: &Job) {
        let mut extra = 0;
        for input in 0..self.step.inputs.len() {
            let Shape { h, w, c } = self.shape(input);
            let input = self.input(run, input);
            let part = Job { input, in_c: word(c), extra: word(extra), ..*job };
            run.each("concat", self.items() * h * w, c, &part);
            extra += c;
        }
    }

    /// Runs the step; the addresses where the output lies, and the affine behind it.
    fn launch(&self, run: &mut Run<'_>) -> (Job, Option<[Vec<f32>; 2]>) {
        let (rows, channels) = (self.rows(), self.output().c);
        let mut job = self.job(run);
        let mut after = None;
        match self.step.op {
            Op::Add { activation } => {
                let second = self.input(run, 1);
                job = with_curve(run, Job { second, ..job }, self.program, activation);
                run.each("add", rows, channels, &job);
            }
            Op::Affine { scale, shift, activation } => {
                job.scale = run.floats(&per_channel(self.program.weight(scale)));
                job.bias = run.floats(&per_channel(self.program.weight(shift)));
                job = with_curve(run, job, self.program, activation);
                run.each("affine", rows, channels, &job);
            }
            Op::Concat => self.concat(run, &job),
            Op::Conv2d { window, weights, bias, activation } => {
                (job, after) = self.tail(run, with_window(job, &window), bias, activation);
                self.conv2d(run, &window, weights, &mut job);
            }
            Op::Dense { weights, bias, activation } => {
                (job, after) = self.tail(run, job, bias, activation);
                self.dense(run, weights, &mut job);
            }
            Op::Depthwise { window, weights, bias, activation } => {
                (job, after) = self.tail(run, with_window(job, &window), bias, activation);
                let taps = self.program.weight(weights).chunks(channels);
                let packed: Vec<f32> = taps.flat_map(per_channel).collect();
                job.weights = run.floats(&packed);
                run.each("depthwise", rows, channels, &job);
            }
            Op::GlobalAverage => {
                let warps = self.items() * pitch(channels) / 8;
                let grid = Extent(word(warps.div_ceil(8)), 1, 1);
                run.device.launch("global_average", grid, Extent(256, 1, 1), 0, &job);
            }
            Op::MaxPool { window } => {
                run.each("max_pool", rows, channels, &with_window(job, &window));
            }
            Op::Scale => {
                job.second = self.input(run, 1);
                run.each("scale", rows, channels, &job);
            }
            Op::Softmax => {
                let grid = Extent(word(rows.div_ceil(256)), 1, 1);
                run.device.launch("softmax", grid, Extent(256, 1, 1), 0, &job);
            }
            Op::Upsample { factor } => {
                run.each("upsample", rows, channels, &Job { extra: word(factor), ..job });
            }
        }
        (job, after)
    }

    /// The oracle's output of every item, one after the other.
    fn expected(&self, program: &Program, step: &Step) -> Vec<f32> {
        let mut all = Vec::new();
        for item in &self.inputs {
            let inputs: Vec<Item<'_>> =
                (0..item.len()).map(|n| Item::new(self.shape(n), &item[n])).collect();
            let mut values = vec![f32::NAN; self.output().len()];
            execute(program, step, &inputs, &mut ItemMut::new(self.output(), &mut values));
            all.extend(values);
        }
        all
    }

    /// What the largest sum would be if no term cancelled another.
    fn terms(&self) -> f32 {
        let mut bare = self.program.clone();
        for weights in &mut bare.weights {
            *weights = weights.iter().map(|weight| weight.abs()).collect();
        }
        let mut step = self.step.clone();
        if let Op::Add { activation }
        | Op::Affine { activation, .. }
        | Op::Conv2d { activation, .. }
        | Op::Dense { activation, .. }
        | Op::Depthwise { activation, .. } = &mut step.op
        {
            *activation = Activation::Identity;
        }
        let absolute = |item: &Vec<Vec<f32>>| {
            item.iter().map(|input| input.iter().map(|value| value.abs()).collect()).collect()
        };
        let inputs = self.inputs.iter().map(absolute).collect();
        let case = Case { program: &bare, step: &step, inputs };
        let largest = case.expected(&bare, &step).into_iter().fold(0.0, f32::max);
        largest.max(1.0)
    }

    /// Runs the step on the machine and compares.
    fn check(&self, device: &mut Device, dice: &mut Dice) {
        let expected = self.expected(self.program, self.step);
        let terms = self.terms();
        let wide = dice.coin();
        let mut run = Run { device, dice, wide, held: Vec::new() };
        let (job, after) = self.launch(&mut run);
        let (rows, channels) = (self.rows(), self.output().c);
        let held = run.output(job.out, rows, channels, wide);
        let behind = after.map(|after| (run.output(job.after, rows, channels, false), after));
        run.end();
        let exact = matches!(self.step.op, Op::Concat | Op::MaxPool { .. } | Op::Upsample { .. });
        let told = format!("wide {wide}, {job:?}, {:?}", self.step);
        let sums = if exact { 0.0 } else { SUM_TOLERANCE * terms };
        close(&held, &expected, sums, wide || exact, &told);
        if let Some((held, [scale, shift])) = behind {
            let line =
                |(at, &value): (usize, &f32)| scale[at % channels] * value + shift[at % channels];
            let expected: Vec<f32> = expected.iter().enumerate().map(line).collect();
            close(&held, &expected, SUM_TOLERANCE * (terms + 1.0), false, &told);
        }
    }
}

fn close(held: &[f32], expected: &[f32], sums: f32, wide: bool, told: &str) {
    assert_eq!(held.len(), expected.len());
    for (at, (&held, &expected)) in held.iter().zip(expected).enumerate() {
        let rounding = if wide { 0.0 } else { HALF_TOLERANCE * expected.abs() + HALF_STEP };
        let near = held == expected || (held - expected).abs() <= sums + rounding;
        assert!(near, "value {at} is {held}, not {expected} within {sums:e}: {told}");
    }
}

/// Every step of `program` over `items` items at random.
fn check(device: &mut Device, dice: &mut Dice, program: &Program, items: usize) {
    let mut program = program.clone();
    for step in &program.steps {
        if let Op::Conv2d { weights, .. } | Op::Dense { weights, .. } = step.op {
            let halved: Vec<f32> =
                program.weights[weights.0].iter().map(|&value| rounded(value)).collect();
            program.weights[weights.0] = halved.into();
        }
    }
    for step in &program.steps {
        let one = |dice: &mut Dice| -> Vec<Vec<f32>> {
            let values = |&input: &_| {
                let values = dice.units(program.shape(input).len(), 2.0);
                values.into_iter().map(rounded).collect()
            };
            step.inputs.iter().map(values).collect()
        };
        let inputs = (0..items).map(|_| one(dice)).collect();
        Case { program: &program, step, inputs }.check(device, dice);
    }
}

fn check_op(op: &str, draft: fn(&mut Dice, usize) -> Program) {
    for stages in STAGES {
        let Some(mut device) = Device::start(op, stages) else { return };
        let dice = &mut Dice::thrown_for(op);
        for number in 0..CASES {
            let program = draft(dice, number);
            let items = 1 + dice.below(3);
            check(&mut device, dice, &program, items);
        }
    }
}

/// One test per operator, named as it.
macro_rules! operators {
    ($($op:ident),* $(,)?) => {
        $(#[test]
        fn $op() {
            check_op(stringify!($op), networks::$op);
        })*
    };
}

operators! {
    activation,
    add,
    affine,
    concat,
    conv2d,
    dense,
    depthwise,
    global_average,
    max_pool,
    scale,
    softmax,
    upsample,
}

#[test]
fn steps_of_the_field_cross_every_tile() {
    let Some(mut device) = Device::start("of the field", 4) else { return };
    let dice = &mut Dice::thrown_for("of the field");
    for program in networks::of_the_field(dice) {
        check(&mut device, dice, &program, 2);
    }
}

#[test]
fn what_is_no_number_stays_under_its_windows() {
    let Some(mut device) = Device::start("no number", 4) else { return };
    let dice = &mut Dice::thrown_for("no number");
    for (side, channels) in [(1, 8), (1, 3), (3, 4), (3, 8), (2, 40)] {
        let mut draft = networks::Draft::new("no number", Shape { h: 7, w: 6, c: channels });
        let window = Window { kernel: [side; 2], stride: [1; 2], pad: [1, 0, 0, 1] };
        let output = draft.conv2d(dice, BufferId(0), window, 12, None);
        let program = draft.finish(&[output]);
        for entry in TILES {
            let values: Vec<f32> = dice
                .units(program.shape(BufferId(0)).len(), 2.0)
                .into_iter()
                .map(rounded)
                .collect();
            let mut broken = values.clone();
            broken[dice.below(values.len())] = f32::NAN;
            let case = |inputs| Case { program: &program, step: &program.steps[0], inputs };
            let case = case(vec![vec![values], vec![broken]]);
            let mut run = Run { device: &mut device, dice, wide: true, held: Vec::new() };
            let Op::Conv2d { weights, bias, activation, .. } = case.step.op else { continue };
            let job = with_window(case.job(&mut run), &window);
            let (mut job, _) = case.tail(&mut run, job, bias, activation);
            case.conv2d_by(&mut run, entry, &window, weights, &mut job);
            let held = run.output(job.out, case.rows(), case.output().c, true);
            run.end();
            let expected = case.expected(&program, case.step);
            let numbers = |values: &[f32]| values.iter().map(|x| x.is_nan()).collect::<Vec<_>>();
            assert_eq!(numbers(&held), numbers(&expected), "{side}, {channels}, {entry:?}");
        }
    }
}

#[test]
fn tensors_come_and_go_as_they_are() {
    let Some(mut device) = Device::start("convert", 4) else { return };
    let dice = &mut Dice::thrown_for("convert");
    for channels in networks::CHANNELS {
        let (items, h, w) = (1 + dice.below(3), 1 + dice.below(9), 1 + dice.below(40));
        let values = dice.units(items * h * w * channels, 70_000.0);
        let input = device.hold(&values);
        let middle = device.take(items * h * w * pitch(channels) * 2);
        let out = device.take(values.len() * 4);
        let shape = Job {
            items: word(items),
            in_h: word(h),
            in_w: word(w),
            in_c: word(channels),
            ..Job::default()
        };
        let mut run = Run { device: &mut device, dice, wide: true, held: Vec::new() };
        run.each("narrow", items * h * w, channels, &Job { input, out: middle, ..shape });
        run.each("widen", items * h * w, channels, &Job { input: middle, out, ..shape });
        let halved: Vec<f32> = values.iter().map(|&value| rounded(value)).collect();
        assert_eq!(run.output(middle, items * h * w, channels, false), halved);
        assert_eq!(run.output(out, items * h * w, channels, true), halved);
    }
}
