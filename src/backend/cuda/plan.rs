//! From a program to launches: what each step is told, what it is bound to, what is done in one go.
//!
//! Two things are done on the way beside the steps themselves: an affine that follows a convolution
//! is written by that convolution as well ([`Fused`]), and a result that no step reads leaves its
//! step as the host wants it, in f32.
//!
//! Invariant: every index that a kernel computes stays within what it computes it in
//! ([`POSITIONS_MAX`]); what does not is refused by step, at load. How a launch is divided depends
//! on the number of items and on the machine alone, so that equal batches give equal bits.

use std::collections::HashMap;

use super::{
    driver::launch::Extent,
    kernels::{self, Block, Kernel, Machine},
    layout::Job,
    weights::{DEPTH, Form, pitch},
};
use crate::{
    backend::gpu::lifetimes::{Slots, Touch},
    ops::program::{Activation, BufferId, Op, Program, Shape, Step, WeightId, Window},
};

/// Positions of all items, and values of one item, that a kernel numbers.
const POSITIONS_MAX: usize = (1 << 31) - 1;
/// Bytes of a half.
pub(super) const HALF: usize = 2;
/// Bytes of an f32.
pub(super) const VALUE: usize = 4;
/// Positions that a thread of depthwise.cu computes.
const STRIP: usize = 4;
/// Parts that the depth of a product is divided into at most, and stages of each at least.
const SPLITS_MAX: usize = 16;
const SPLIT_STEPS_MIN: usize = 8;

/// Why a step cannot run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) step: usize,
    pub(super) why: String,
}

/// What an address of a [`Job`] is the address of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Bound {
    #[default]
    Nothing,
    /// A buffer of the program, in half precision.
    Buffer(BufferId),
    /// A result in f32, by its place in [`Plan::results`].
    Result(usize),
    /// A weight, by its place in [`Plan::weights`].
    Weight(usize),
}

/// What the addresses of a [`Job`] are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Bindings {
    pub(super) input: Bound,
    pub(super) second: Bound,
    pub(super) weights: Bound,
    pub(super) bias: Bound,
    pub(super) scale: Bound,
    pub(super) slopes: Bound,
    pub(super) out: Bound,
    pub(super) after_scale: Bound,
    pub(super) after_shift: Bound,
    pub(super) after: Bound,
}

/// How the work of a launch is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// A thread per so many runs of eight channels of an item.
    Octets(usize),
    /// A warp for each.
    Warps(usize),
    /// A thread per position.
    Positions(usize),
    /// A product of so many positions an item, so many channels and so many stages.
    Product { positions: usize, channels: usize, steps: usize },
}

/// One kernel with what it is told, for any number of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Launch {
    kernel: Kernel,
    work: Work,
    /// Without addresses and items.
    job: Job,
    pub(super) bindings: Bindings,
}

/// A launch for a number of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kernel: Kernel,
    pub(super) extent: Extent,
    /// Without addresses.
    pub(super) job: Job,
    /// Bytes of partial sums, where the depth is divided.
    pub(super) sums_bytes: usize,
}

impl Launch {
    /// The entries for `items` items: one, or two where the depth is divided.
    pub(super) fn entries(&self, items: usize, machine: Machine) -> (Entry, Option<Entry>) {
        let told = u32::try_from(items).expect("a batch is small");
        let job = Job { items: told, ..self.job };
        let single = |extent| Entry { kernel: self.kernel, extent, job, sums_bytes: 0 };
        let (positions, channels, steps) = match self.work {
            Work::Octets(each) => return (single(kernels::elementwise(each * items)), None),
            Work::Warps(each) => return (single(kernels::by_warp(each * items)), None),
            Work::Positions(each) => return (single(kernels::elementwise(each * items)), None),
            Work::Product { positions, channels, steps } => (positions, channels, steps),
        };
        let rows = positions * items;
        let shapes: &[Block] = match self.kernel {
            Kernel::Dense => &[Block::Small],
            _ => &Block::ALL,
        };
        let (block, splits) = divide(machine, shapes, (rows, channels), steps);
        let kernel = match self.kernel {
            Kernel::Dense => Kernel::Dense,
            _ => Kernel::Conv2d(block),
        };
        let job = Job { splits, ..job };
        let extent = kernels::product(machine, block, (rows, channels), splits);
        if splits == 1 {
            return (Entry { kernel, extent, job, sums_bytes: 0 }, None);
        }
        let sums_bytes = splits as usize * rows * channels * VALUE;
        let adding = match kernel {
            Kernel::Dense => Kernel::DenseSum,
            _ => Kernel::Conv2dSum,
        };
        let over = kernels::elementwise(rows * channels / 8);
        let second = Entry { kernel: adding, extent: over, job, sums_bytes };
        (Entry { kernel, extent, job, sums_bytes }, Some(second))
    }
}

/// The block and the parts of the depth with which a product of `rows` by `channels` is done
/// soonest, as far as counting says: waves of blocks, each as long as its share of the depth, and
/// the bytes of partial sums.
fn divide(
    machine: Machine,
    shapes: &[Block],
    (rows, channels): (usize, usize),
    steps: usize,
) -> (Block, u32) {
    let mut best: Option<(usize, Block, usize)> = None;
    for &block in shapes {
        let [tall, wide] = block.extent();
        let tiles = rows.div_ceil(tall) * channels.div_ceil(wide);
        let most = (steps / SPLIT_STEPS_MIN).clamp(1, SPLITS_MAX);
        for splits in 1..=most {
            let waves = (tiles * splits).div_ceil(machine.multiprocessors);
            // A stage of a block costs what it multiplies and what it brings in; then the sums go
            // out and come back, one value in the time of a handful of products.
            let stage = tall * wide + 16 * (tall + wide);
            let parts = if splits == 1 { 0 } else { rows * channels * (splits + 1) };
            let adding = parts / machine.multiprocessors;
            let cost = waves * (steps.div_ceil(splits) + 4) * stage + 2 * adding;
            if best.is_none_or(|(least, ..)| cost < least) {
                best = Some((cost, block, splits));
            }
        }
    }
    let (_, block, splits) = best.expect("there is a block of every product");
    // The last part must not be empty: its sums would be zeros, and a block's time.
    let share = steps.div_ceil(splits);
    (block, u32::try_from(steps.div_ceil(share).max(1)).expect("few parts"))
}

/// One result of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) buffer: BufferId,
    /// Values of one item.
    pub(super) values: usize,
}

/// A program, laid out.
#[derive(Debug)]
pub(super) struct Plan {
    /// Bytes of one item in each.
    pub(super) slots: Slots,
    pub(super) launches: Vec<Launch>,
    /// Weights in the forms that are read.
    pub(super) weights: Vec<(WeightId, Form)>,
    /// Buffers that come out, each once.
    pub(super) results: Vec<Product>,
}

impl Plan {
    /// Bytes of partial sums that batches of up to `items` items need.
    pub(super) fn sums_bytes(&self, items: usize, machine: Machine) -> usize {
        let of = |items| self.launches.iter().map(move |one| one.entries(items, machine).0);
        (1..=items).flat_map(of).map(|entry| entry.sums_bytes).max().unwrap_or(0)
    }

    /// Every kernel that batches of up to `items` items need.
    pub(super) fn kernels(&self, items: usize, machine: Machine) -> Vec<Kernel> {
        let mut all = Vec::new();
        for items in 1..=items {
            for launch in &self.launches {
                let (first, second) = launch.entries(items, machine);
                for kernel in [Some(first), second].into_iter().flatten().map(|one| one.kernel) {
                    if !all.contains(&kernel) {
                        all.push(kernel);
                    }
                }
            }
        }
        all
    }
}

/// Bytes of one item of a tensor.
pub(super) fn tensor_bytes(shape: Shape) -> usize {
    shape.h * shape.w * pitch(shape.c) * HALF
}

/// Lays `program`, which is sound, out for batches of up to `items` items.
pub(super) fn plan(program: &Program, items: usize) -> Result<Plan, Refused> {
    for (step, held) in program.steps.iter().enumerate() {
        for &buffer in held.inputs.iter().chain([&held.output]) {
            let Shape { h, w, c } = program.shape(buffer);
            let (positions, values) = (h * w, (h * w).saturating_mul(pitch(c)));
            if positions.saturating_mul(items) > POSITIONS_MAX || values > POSITIONS_MAX {
                let why = format!("{items} items of {h} × {w} × {c}; a kernel counts to 2^31");
                return Err(Refused { step, why });
            }
        }
    }
    let fused = Fused::of(program);
    let mut planner = Planner::new(program);
    for (step, held) in program.steps.iter().enumerate() {
        if fused.by.contains_key(&step) {
            continue;
        }
        let affine = fused.affine(program, step);
        planner.step(held, affine);
        let mut touch = Touch::of(held);
        touch.writes.extend(affine.map(|affine| affine.output));
        touch.writes.retain(|&buffer| matches!(planner.target(buffer).0, Bound::Buffer(_)));
        planner.touches.push(touch);
    }
    planner.widen();
    let size = |buffer| tensor_bytes(program.shape(buffer));
    let slots = Slots::new(program, &planner.touches, size);
    let Planner { launches, weights, results, .. } = planner;
    Ok(Plan { slots, launches, weights, results })
}

/// Which affine is written by which convolution.
#[derive(Debug, Default)]
struct Fused {
    /// Step of the affine, and of its convolution.
    by: HashMap<usize, usize>,
    /// The reverse.
    of: HashMap<usize, usize>,
}

impl Fused {
    fn of(program: &Program) -> Self {
        let mut fused = Self::default();
        for (at, step) in program.steps.iter().enumerate() {
            let Op::Affine { activation: Activation::Identity, .. } = step.op else { continue };
            // A result that nobody reads leaves its own step in f32.
            if is_read(program, step.output).is_none() {
                continue;
            }
            let written = |other: &Step| other.output == step.inputs[0];
            let Some(before) = program.steps[..at].iter().rposition(written) else { continue };
            let is_conv = matches!(program.steps[before].op, Op::Conv2d { .. });
            if is_conv && !fused.of.contains_key(&before) {
                fused.of.insert(before, at);
                fused.by.insert(at, before);
            }
        }
        fused
    }

    /// The affine that `step` writes as well.
    fn affine<'a>(&self, program: &'a Program, step: usize) -> Option<&'a Step> {
        self.of.get(&step).map(|&affine| &program.steps[affine])
    }
}

/// A step that reads `buffer`.
fn is_read(program: &Program, buffer: BufferId) -> Option<usize> {
    program.steps.iter().position(|step| step.inputs.contains(&buffer))
}

struct Planner<'a> {
    program: &'a Program,
    launches: Vec<Launch>,
    touches: Vec<Touch>,
    weights: Vec<(WeightId, Form)>,
    results: Vec<Product>,
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("shapes were bounded when it was planned")
}

/// The constants of activation.cu, and the slopes.
fn curve(activation: Activation) -> (u32, Option<WeightId>) {
    match activation {
        Activation::Identity => (0, None),
        Activation::Prelu(slopes) => (1, Some(slopes)),
        Activation::Relu => (2, None),
        Activation::Sigmoid => (3, None),
    }
}

/// The shapes of a job.
fn job(input: Shape, output: Shape) -> Job {
    Job {
        in_h: word(input.h),
        in_w: word(input.w),
        in_c: word(input.c),
        out_h: word(output.h),
        out_w: word(output.w),
        out_c: word(output.c),
        splits: 1,
        ..Job::default()
    }
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

/// Runs of eight channels of one item.
fn octets(shape: Shape) -> usize {
    shape.h * shape.w * pitch(shape.c) / 8
}

impl<'a> Planner<'a> {
    fn new(program: &'a Program) -> Self {
        let mut results: Vec<Product> = Vec::new();
        for output in &program.outputs {
            let buffer = output.buffer;
            if results.iter().all(|held| held.buffer != buffer) {
                results.push(Product { buffer, values: program.shape(buffer).len() });
            }
        }
        let (launches, touches, weights) = (Vec::new(), Vec::new(), Vec::new());
        Self { program, launches, touches, weights, results }
    }

    fn weight(&mut self, weight: WeightId, form: Form) -> Bound {
        let held = self.weights.iter().position(|&held| held == (weight, form));
        Bound::Weight(held.unwrap_or_else(|| {
            self.weights.push((weight, form));
            self.weights.len() - 1
        }))
    }

    /// Where a step writes: in f32, when the host alone reads it.
    fn target(&self, buffer: BufferId) -> (Bound, u32) {
        let place = self.results.iter().position(|held| held.buffer == buffer);
        match place {
            Some(place) if is_read(self.program, buffer).is_none() => (Bound::Result(place), 1),
            _ => (Bound::Buffer(buffer), 0),
        }
    }

    /// The launches of one step, with the affine that it writes as well.
    fn step(&mut self, step: &Step, affine: Option<&Step>) {
        let program = self.program;
        let (input, output) = (program.shape(step.inputs[0]), program.shape(step.output));
        let (out, wide) = self.target(step.output);
        let second = step.inputs.get(1).map_or(Bound::Nothing, |&id| Bound::Buffer(id));
        let bindings =
            Bindings { input: Bound::Buffer(step.inputs[0]), second, out, ..Bindings::default() };
        let job = Job { wide, ..job(input, output) };
        let plain =
            Launch { kernel: Kernel::Add, work: Work::Octets(octets(output)), job, bindings };
        let launch = match step.op {
            Op::Add { activation } => self.curved(plain, output, activation),
            Op::Affine { scale, shift, activation } => {
                let form = Form::channels(output.c);
                let (scale, bias) = (self.weight(scale, form), self.weight(shift, form));
                let bindings = Bindings { scale, bias, ..bindings };
                let plain = Launch { kernel: Kernel::Affine, bindings, ..plain };
                self.curved(plain, output, activation)
            }
            Op::Concat => return self.concat(step, plain),
            Op::Conv2d { window, weights, bias, activation } => {
                let taps = window.kernel[0] * window.kernel[1];
                let plain = Launch { job: with_window(job, &window), ..plain };
                let rows = output.h * output.w;
                let launch =
                    self.product(plain, Kernel::Conv2d(Block::Large), (weights, bias), taps, rows);
                let launch = self.followed(launch, output, affine);
                self.curved(launch, output, activation)
            }
            Op::Dense { weights, bias, activation } => {
                let taps = input.h * input.w;
                let launch = self.product(plain, Kernel::Dense, (weights, bias), taps, 1);
                self.curved(launch, output, activation)
            }
            Op::Depthwise { window, weights, bias, activation } => {
                let taps = window.kernel[0] * window.kernel[1];
                let weights = self.weight(weights, Form::Rows { taps, channels: output.c });
                let bias = self.weight(bias, Form::channels(output.c));
                let bindings = Bindings { weights, bias, ..bindings };
                let job = with_window(job, &window);
                // A thread computes four neighbouring positions of a row.
                let strips = Shape { w: output.w.div_ceil(STRIP), ..output };
                let work = Work::Octets(octets(strips));
                let plain = Launch { kernel: Kernel::Depthwise, work, job, bindings };
                self.curved(plain, output, activation)
            }
            Op::GlobalAverage => {
                let work = Work::Warps(pitch(output.c) / 8);
                Launch { kernel: Kernel::GlobalAverage, work, ..plain }
            }
            Op::MaxPool { window } => {
                Launch { kernel: Kernel::MaxPool, job: with_window(job, &window), ..plain }
            }
            Op::Scale => Launch { kernel: Kernel::Scale, ..plain },
            Op::Softmax => {
                let work = Work::Positions(output.h * output.w);
                Launch { kernel: Kernel::Softmax, work, ..plain }
            }
            Op::Upsample { factor } => Launch {
                kernel: Kernel::Upsample,
                job: Job { extra: word(factor), ..job },
                ..plain
            },
        };
        self.launches.push(launch);
    }

    fn curved(&mut self, launch: Launch, output: Shape, activation: Activation) -> Launch {
        let (curve, slopes) = curve(activation);
        let slopes = slopes.map_or(Bound::Nothing, |id| self.weight(id, Form::channels(output.c)));
        let bindings = Bindings { slopes, ..launch.bindings };
        Launch { job: Job { curve, ..launch.job }, bindings, ..launch }
    }

    /// A product of `positions` of an item by its output's channels.
    fn product(
        &mut self,
        plain: Launch,
        kernel: Kernel,
        (weights, bias): (WeightId, WeightId),
        taps: usize,
        positions: usize,
    ) -> Launch {
        let (inputs, outputs) = (plain.job.in_c as usize, plain.job.out_c as usize);
        let weights = self.weight(weights, Form::Product { taps, inputs, outputs });
        let bias = self.weight(bias, Form::channels(outputs));
        let steps = (taps * pitch(inputs)).div_ceil(DEPTH);
        let work = Work::Product { positions, channels: pitch(outputs), steps };
        Launch { kernel, work, bindings: Bindings { weights, bias, ..plain.bindings }, ..plain }
    }

    fn followed(&mut self, launch: Launch, output: Shape, affine: Option<&Step>) -> Launch {
        let Some(Step { op: Op::Affine { scale, shift, .. }, output: after, .. }) = affine else {
            return launch;
        };
        let form = Form::channels(output.c);
        let bindings = Bindings {
            after_scale: self.weight(*scale, form),
            after_shift: self.weight(*shift, form),
            after: Bound::Buffer(*after),
            ..launch.bindings
        };
        Launch { bindings, ..launch }
    }

    fn concat(&mut self, step: &Step, plain: Launch) {
        let mut first = 0;
        for &buffer in &step.inputs {
            let input = self.program.shape(buffer);
            let shapes = job(input, self.program.shape(step.output));
            self.launches.push(Launch {
                kernel: Kernel::Concat,
                work: Work::Octets(octets(input)),
                job: Job { extra: word(first), wide: plain.job.wide, ..shapes },
                bindings: Bindings {
                    input: Bound::Buffer(buffer),
                    out: plain.bindings.out,
                    ..Bindings::default()
                },
            });
            first += input.c;
        }
    }

    /// Results that lie in half precision, because a step reads them too or nothing writes them.
    fn widen(&mut self) {
        for (place, held) in self.results.clone().into_iter().enumerate() {
            let is_written = self.program.steps.iter().any(|step| step.output == held.buffer);
            if is_written && is_read(self.program, held.buffer).is_none() {
                continue;
            }
            let shape = self.program.shape(held.buffer);
            self.launches.push(Launch {
                kernel: Kernel::Widen,
                work: Work::Octets(octets(shape)),
                job: job(shape, shape),
                bindings: Bindings {
                    input: Bound::Buffer(held.buffer),
                    out: Bound::Result(place),
                    ..Bindings::default()
                },
            });
        }
    }
}

#[cfg(test)]
mod tests;
