//! What a plan says, done by plain loops over f32: each launch reads and writes where its bindings
//! point, in the kernels' layouts, and the results must be the oracle's.

use std::sync::Arc;

use bytemuck::{cast_slice, pod_collect_to_vec};
use proptest::prelude::*;

use super::*;
use crate::ops::{
    item::{Item, ItemMut},
    program::{ChannelOrder, Output},
    step,
};

const MACHINE: Machine = Machine { multiprocessors: 4, shared_bytes_max: 1 << 16, stages: 4 };

/// Half precision as f32: 11 significant bits.
fn from_half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f32::from(bits & 0x3FF));
    match exponent {
        0 => sign * fraction * (-24.0_f32).exp2(),
        _ => sign * (1024.0 + fraction) * ((exponent - 25) as f32).exp2(),
    }
}

/// The memory of one run: tensors with a pitch in f32, results dense.
struct Machinery<'a> {
    plan: &'a Plan,
    slots: Vec<Vec<f32>>,
    results: Vec<Vec<f32>>,
    weights: Vec<Vec<f32>>,
}

impl<'a> Machinery<'a> {
    fn new(program: &Program, plan: &'a Plan) -> Self {
        let slot = |bytes: &usize| vec![f32::NAN; bytes / HALF];
        let weights = plan.weights.iter().map(|&(id, form)| {
            let bytes = form.of(program.weight(id)).expect("small weights");
            match form {
                Form::Rows { .. } => pod_collect_to_vec::<u8, f32>(&bytes),
                Form::Product { .. } => {
                    cast_slice::<u8, u16>(&bytes).iter().map(|&bits| from_half(bits)).collect()
                }
            }
        });
        Self {
            plan,
            slots: plan.slots.sizes.iter().map(slot).collect(),
            results: plan.results.iter().map(|held| vec![f32::NAN; held.values]).collect(),
            weights: weights.collect(),
        }
    }

    fn read(&self, bound: Bound) -> &[f32] {
        match bound {
            Bound::Nothing => &[],
            Bound::Buffer(id) => &self.slots[self.plan.slots.of[id.0].expect("it has a slot")],
            Bound::Result(place) => &self.results[place],
            Bound::Weight(place) => &self.weights[place],
        }
    }

    /// Where a launch writes, and the distance of positions there.
    fn target(&mut self, bound: Bound, job: &Job) -> (&mut [f32], usize) {
        match bound {
            Bound::Result(place) => (&mut self.results[place], job.out_c as usize),
            Bound::Buffer(id) => {
                let slot = self.plan.slots.of[id.0].expect("it has a slot");
                (&mut self.slots[slot], pitch(job.out_c as usize))
            }
            other => panic!("nothing is written to {other:?}"),
        }
    }

    /// Writes `value(position, channel)`, zeros up to the pitch.
    fn write(&mut self, bound: Bound, job: &Job, values: &[f32]) {
        let channels = job.out_c as usize;
        assert_eq!(job.wide == 1, matches!(bound, Bound::Result(_)));
        let (target, distance) = self.target(bound, job);
        for (to, from) in target.chunks_mut(distance).zip(values.chunks(channels)) {
            to.fill(0.0);
            to[..channels].copy_from_slice(from);
        }
    }

    fn launch(&mut self, launch: &Launch) {
        let (entry, second) = launch.entries(1, MACHINE);
        assert_eq!(second.is_some(), entry.job.splits > 1);
        let (job, bound) = (entry.job, launch.bindings);
        if entry.kernel == Kernel::Concat {
            return self.concat(&job, bound);
        }
        if entry.kernel == Kernel::Widen {
            let dense = Job { wide: 1, ..job };
            let values = self.dense(bound.input, job.in_c as usize, job.in_h * job.in_w);
            return self.write(bound.out, &dense, &values);
        }
        let values = match entry.kernel {
            Kernel::Conv2d(_) => self.product(&job, bound),
            Kernel::Dense => self.product(&flattened(job), bound),
            Kernel::Affine => self.affine(&job, bound),
            Kernel::Add => self.add(&job, bound),
            Kernel::Depthwise => self.depthwise(&job, bound),
            Kernel::Scale => self.scale(&job, bound),
            Kernel::GlobalAverage => self.global_average(&job, bound),
            other => panic!("no program here has {other:?}"),
        };
        let bent: Vec<f32> = self.bent(&job, bound, values);
        self.write(bound.out, &job, &bent);
        if bound.after != Bound::Nothing {
            let channels = job.out_c as usize;
            let (scale, shift) = (self.read(bound.after_scale), self.read(bound.after_shift));
            let of =
                |(at, value): (usize, &f32)| scale[at % channels] * value + shift[at % channels];
            let after: Vec<f32> = bent.iter().enumerate().map(of).collect();
            self.write(bound.after, &Job { wide: 0, ..job }, &after);
        }
    }

    fn bent(&self, job: &Job, bound: Bindings, mut values: Vec<f32>) -> Vec<f32> {
        let slopes = self.read(bound.slopes);
        assert_eq!(job.curve == 1, !slopes.is_empty());
        for (at, value) in values.iter_mut().enumerate() {
            *value = match job.curve {
                1 if *value < 0.0 => slopes[at % job.out_c as usize] * *value,
                2 => value.max(0.0),
                3 => 1.0 / (1.0 + (-*value).exp()),
                _ => *value,
            };
        }
        values
    }

    /// A tensor without its pitch.
    fn dense(&self, bound: Bound, channels: usize, positions: u32) -> Vec<f32> {
        let rows = self.read(bound).chunks(pitch(channels)).take(positions as usize);
        rows.flat_map(|row| &row[..channels]).copied().collect()
    }

    fn concat(&mut self, job: &Job, bound: Bindings) {
        let channels = job.in_c as usize;
        let values = self.dense(bound.input, channels, job.in_h * job.in_w);
        let (first, wide) = (job.extra as usize, job.out_c as usize);
        let (target, distance) = self.target(bound.out, job);
        for (to, from) in target.chunks_mut(distance).zip(values.chunks(channels)) {
            to[first..first + channels].copy_from_slice(from);
            if first + channels == wide {
                to[wide..].fill(0.0);
            }
        }
    }

    fn product(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let [in_h, in_w, in_c] = [job.in_h, job.in_w, job.in_c].map(|one| one as i64);
        let taps = (job.kernel_h * job.kernel_w) as usize * pitch(in_c as usize);
        let depth = taps.next_multiple_of(DEPTH);
        let (input, weights) = (self.read(bound.input), self.read(bound.weights));
        let (bias, beside) = (self.read(bound.bias), self.read(bound.second));
        let mut values = Vec::new();
        for position in 0..job.out_h * job.out_w {
            let (oy, ox) = (position / job.out_w, position % job.out_w);
            for o in 0..job.out_c as usize {
                let mut sum = bias[o];
                for k in 0..taps {
                    let (tap, i) = ((k / pitch(in_c as usize)) as u32, k % pitch(in_c as usize));
                    let y =
                        i64::from(oy * job.stride_h + tap / job.kernel_w) - i64::from(job.pad_top);
                    let x =
                        i64::from(ox * job.stride_w + tap % job.kernel_w) - i64::from(job.pad_left);
                    if y >= 0 && y < in_h && x >= 0 && x < in_w {
                        let at = (y * in_w + x) as usize * pitch(in_c as usize) + i;
                        sum += input[at] * weights[o * depth + k];
                    }
                }
                if !beside.is_empty() {
                    sum += beside[position as usize * pitch(job.out_c as usize) + o];
                }
                values.push(sum);
            }
        }
        values
    }

    fn depthwise(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let channels = job.out_c as usize;
        let (input, weights) = (self.read(bound.input), self.read(bound.weights));
        let bias = self.read(bound.bias);
        let mut values = Vec::new();
        for position in 0..job.out_h * job.out_w {
            for (c, bias) in bias[..channels].iter().enumerate() {
                let mut sum = *bias;
                for tap in 0..job.kernel_h * job.kernel_w {
                    let y = position / job.out_w * job.stride_h + tap / job.kernel_w;
                    let x = position % job.out_w * job.stride_w + tap % job.kernel_w;
                    let y = y.checked_sub(job.pad_top).filter(|&y| y < job.in_h);
                    let x = x.checked_sub(job.pad_left).filter(|&x| x < job.in_w);
                    if let (Some(y), Some(x)) = (y, x) {
                        let at = (y * job.in_w + x) as usize * pitch(channels) + c;
                        sum += input[at] * weights[tap as usize * pitch(channels) + c];
                    }
                }
                values.push(sum);
            }
        }
        values
    }

    fn affine(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let channels = job.out_c as usize;
        let (scale, shift) = (self.read(bound.scale), self.read(bound.bias));
        let values = self.dense(bound.input, channels, job.out_h * job.out_w);
        let of = |(at, value): (usize, &f32)| scale[at % channels] * value + shift[at % channels];
        values.iter().enumerate().map(of).collect()
    }

    fn add(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let both = [bound.input, bound.second]
            .map(|one| self.dense(one, job.out_c as usize, job.out_h * job.out_w));
        both[0].iter().zip(&both[1]).map(|(a, b)| a + b).collect()
    }

    fn scale(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let (channels, gate) = (job.out_c as usize, self.read(bound.second));
        let values = self.dense(bound.input, channels, job.out_h * job.out_w);
        values.iter().enumerate().map(|(at, value)| value * gate[at % channels]).collect()
    }

    fn global_average(&self, job: &Job, bound: Bindings) -> Vec<f32> {
        let channels = job.in_c as usize;
        let values = self.dense(bound.input, channels, job.in_h * job.in_w);
        let mut means = vec![0.0; channels];
        for (at, value) in values.iter().enumerate() {
            means[at % channels] += value / (job.in_h * job.in_w) as f32;
        }
        means
    }
}

/// As dense.cu sees its job.
fn flattened(job: Job) -> Job {
    let in_c = word((job.in_h * job.in_w) as usize * pitch(job.in_c as usize));
    Job {
        in_c,
        in_h: 1,
        in_w: 1,
        out_h: 1,
        out_w: 1,
        kernel_h: 1,
        kernel_w: 1,
        stride_h: 1,
        stride_w: 1,
        pad_top: 0,
        pad_left: 0,
        ..job
    }
}

/// A program under construction, with weights that half precision holds exactly.
struct Draft {
    program: Program,
    state: u64,
}

impl Draft {
    fn new(input: Shape, seed: u64) -> Self {
        let program = Program {
            name: "drafted".to_owned(),
            input: BufferId(0),
            channels: ChannelOrder::Rgb,
            buffers: vec![input],
            weights: Vec::new(),
            steps: Vec::new(),
            outputs: Vec::new(),
        };
        Self { program, state: seed | 1 }
    }

    /// One of sixty-four numbers from -1 to 1.
    fn drawn(&mut self) -> f32 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.state >> 58) as f32 - 32.0) / 32.0
    }

    fn weight(&mut self, values: usize) -> WeightId {
        let values: Vec<f32> = (0..values).map(|_| self.drawn()).collect();
        self.program.weights.push(Arc::from(values));
        WeightId(self.program.weights.len() - 1)
    }

    fn step(&mut self, op: Op, inputs: &[BufferId], output: Shape) -> BufferId {
        self.program.buffers.push(output);
        let output = BufferId(self.program.buffers.len() - 1);
        self.program.steps.push(Step { op, inputs: inputs.to_vec(), output });
        output
    }

    fn shape(&self, buffer: BufferId) -> Shape {
        self.program.shape(buffer)
    }

    fn affine(&mut self, input: BufferId) -> BufferId {
        let shape = self.shape(input);
        let (scale, shift) = (self.weight(shape.c), self.weight(shape.c));
        let activation = Activation::Identity;
        self.step(Op::Affine { scale, shift, activation }, &[input], shape)
    }

    fn conv(&mut self, input: BufferId, c: usize, beside: Option<BufferId>) -> BufferId {
        let shape = self.shape(input);
        let window = Window { kernel: [3, 2], stride: [1, 1], pad: [1, 1, 1, 0] };
        let weights = self.weight(6 * shape.c * c);
        let (bias, slopes) = (self.weight(c), self.weight(c));
        let op = Op::Conv2d { window, weights, bias, activation: Activation::Prelu(slopes) };
        let inputs: Vec<BufferId> = [input].into_iter().chain(beside).collect();
        self.step(op, &inputs, Shape { c, ..shape })
    }

    fn depthwise(&mut self, input: BufferId) -> BufferId {
        let shape = self.shape(input);
        let window = Window { kernel: [3, 3], stride: [2, 2], pad: [1; 4] };
        let [h, w] = window.output(shape.h, shape.w);
        let (weights, bias) = (self.weight(9 * shape.c), self.weight(shape.c));
        let op = Op::Depthwise { window, weights, bias, activation: Activation::Relu };
        self.step(op, &[input], Shape { h, w, c: shape.c })
    }

    fn dense(&mut self, input: BufferId, c: usize) -> BufferId {
        let values = self.shape(input).len();
        let (weights, bias) = (self.weight(values * c), self.weight(c));
        let op = Op::Dense { weights, bias, activation: Activation::Sigmoid };
        self.step(op, &[input], Shape { h: 1, w: 1, c })
    }

    fn concat(&mut self, inputs: &[BufferId]) -> BufferId {
        let c = inputs.iter().map(|&input| self.shape(input).c).sum();
        let shape = Shape { c, ..self.shape(inputs[0]) };
        self.step(Op::Concat, inputs, shape)
    }

    fn finish(mut self, outputs: &[BufferId]) -> Program {
        let output = |&buffer: &BufferId| Output { name: format!("{buffer:?}"), buffer };
        self.program.outputs = outputs.iter().map(output).collect();
        self.program.check().expect("a sound program");
        self.program
    }
}

/// Every buffer as the scalar ops compute it.
fn oracle(program: &Program, input: &[f32]) -> Vec<Vec<f32>> {
    let mut buffers = vec![Vec::new(); program.buffers.len()];
    buffers[program.input.0] = input.to_vec();
    for one in &program.steps {
        let shape = program.shape(one.output);
        let mut values = vec![f32::NAN; shape.len()];
        let inputs: Vec<Item<'_>> =
            one.inputs.iter().map(|&id| Item::new(program.shape(id), &buffers[id.0])).collect();
        step::execute(program, one, &inputs, &mut ItemMut::new(shape, &mut values));
        buffers[one.output.0] = values;
    }
    buffers
}

/// Runs the plan of `program` on a drawn input and compares every result.
fn assert_plan_is_the_program(program: &Program, seed: u64) {
    let plan = plan(program, 3).expect("it fits");
    let shape = program.shape(program.input);
    let mut draft = Draft::new(shape, seed);
    let input: Vec<f32> = (0..shape.len()).map(|_| draft.drawn()).collect();
    let mut machinery = Machinery::new(program, &plan);
    for (to, from) in machinery.slots[0].chunks_mut(pitch(shape.c)).zip(input.chunks(shape.c)) {
        to.fill(0.0);
        to[..shape.c].copy_from_slice(from);
    }
    plan.launches.iter().for_each(|launch| machinery.launch(launch));
    let expected = oracle(program, &input);
    for (held, result) in machinery.results.iter().zip(&plan.results) {
        let expected = &expected[result.buffer.0];
        assert_eq!(held.len(), expected.len());
        for (at, (held, expected)) in held.iter().zip(expected).enumerate() {
            let close = (held - expected).abs() <= 1e-4 * (1.0 + expected.abs());
            assert!(close, "{:?}, value {at}: {held}, not {expected}", result.buffer);
        }
    }
}

/// What embedders of the ArcFace family are made of: an affine before each convolution, a residual
/// after the second.
fn residual(seed: u64, channels: usize) -> Program {
    let mut draft = Draft::new(Shape { h: 5, w: 4, c: 3 }, seed);
    let stem = draft.conv(BufferId(0), channels, None);
    let normed = draft.affine(stem);
    let inner = draft.conv(normed, channels, None);
    let outer = draft.conv(inner, channels, Some(stem));
    let normed = draft.affine(outer);
    let small = draft.depthwise(normed);
    let embedding = draft.dense(small, 9);
    draft.finish(&[embedding, outer])
}

#[test]
fn an_affine_after_a_convolution_costs_no_launch() {
    let program = residual(3, 8);
    let plan = plan(&program, 4).expect("it fits");
    let affine = plan.launches.iter().filter(|launch| launch.kernel == Kernel::Affine);
    assert_eq!(affine.count(), 0, "{:?}", plan.launches);
    // Three convolutions, depthwise, dense, and the middle result that a step reads too.
    assert_eq!(plan.launches.len(), 6);
    assert_eq!(plan.launches.last().map(|launch| launch.kernel), Some(Kernel::Widen));
    let stem = plan.launches[0].bindings;
    let slot = |bound| match bound {
        Bound::Buffer(id) => plan.slots.of[id.0],
        other => panic!("{other:?} is no buffer"),
    };
    assert_ne!(slot(stem.out), slot(stem.after));
    assert_plan_is_the_program(&program, 7);
}

#[test]
fn results_that_no_step_reads_come_out_of_their_step() {
    let mut draft = Draft::new(Shape { h: 4, w: 3, c: 5 }, 1);
    let one = draft.conv(BufferId(0), 9, None);
    let two = draft.depthwise(one);
    let three = draft.depthwise(BufferId(0));
    let all = draft.concat(&[three, two]);
    let program = draft.finish(&[all, BufferId(0), two, all]);
    let plan = plan(&program, 2).expect("it fits");
    let widened = plan.launches.iter().filter(|launch| launch.kernel == Kernel::Widen);
    assert_eq!((plan.results.len(), widened.count()), (3, 2));
    assert!(plan.slots.of[all.0].is_none(), "it needs no slot");
    assert_plan_is_the_program(&program, 5);
}

#[test]
fn an_affine_is_launched_where_nothing_before_it_can_write_it() {
    let mut draft = Draft::new(Shape { h: 3, w: 3, c: 3 }, 1);
    // Of the input; the second of one convolution; one that the host alone reads.
    let first = draft.affine(BufferId(0));
    let conv = draft.conv(first, 4, None);
    let (second, third) = (draft.affine(conv), draft.affine(conv));
    let sum = draft.step(
        Op::Add { activation: Activation::Relu },
        &[second, third],
        Shape { h: 3, w: 3, c: 4 },
    );
    let last = draft.conv(sum, 4, None);
    let last = draft.affine(last);
    let program = draft.finish(&[last]);
    let plan = plan(&program, 1).expect("it fits");
    let affine = plan.launches.iter().filter(|launch| launch.kernel == Kernel::Affine);
    assert_eq!(affine.count(), 3);
    assert_plan_is_the_program(&program, 2);
}

#[test]
fn a_deep_product_of_few_rows_is_divided_and_its_parts_find_room() {
    let mut draft = Draft::new(Shape { h: 7, w: 7, c: 64 }, 1);
    let embedding = draft.dense(BufferId(0), 128);
    let program = draft.finish(&[embedding]);
    let plan = plan(&program, 64).expect("it fits");
    let large = Machine { multiprocessors: 132, ..MACHINE };
    for items in [1, 2, 63, 64] {
        let (first, second) = plan.launches[0].entries(items, large);
        let second = second.expect("two tiles do not fill the machine");
        assert_eq!((first.kernel, second.kernel), (Kernel::Dense, Kernel::DenseSum));
        assert!(first.job.splits > 1 && first.extent.blocks[2] == first.job.splits);
        let rows = items * 128;
        assert_eq!(first.sums_bytes, first.job.splits as usize * rows * VALUE);
        assert!(first.sums_bytes <= plan.sums_bytes(64, large));
        let kernels = plan.kernels(64, large);
        assert!(kernels.contains(&Kernel::Dense) && kernels.contains(&Kernel::DenseSum));
        // No part is empty.
        let (steps, splits) = (98_usize, first.job.splits as usize);
        assert!(steps.div_ceil(splits) * (splits - 1) < steps);
    }
    assert_plan_is_the_program(&program, 3);
}

#[test]
fn a_large_product_fills_the_machine_with_large_tiles() {
    let large = Machine { multiprocessors: 132, ..MACHINE };
    let (block, splits) = divide(large, &Block::ALL, (64 * 56 * 56, 128), 36);
    assert_eq!((block, splits), (Block::Large, 1));
    let (block, _) = divide(large, &Block::ALL, (64 * 56 * 56, 64), 18);
    assert_eq!(block, Block::Tall);
    let (_, splits) = divide(large, &Block::ALL, (49, 512), 144);
    assert!(splits > 1);
}

#[test]
fn what_a_kernel_cannot_count_is_refused_by_step() {
    let mut draft = Draft::new(Shape { h: 4, w: 4, c: 3 }, 1);
    let conv = draft.conv(BufferId(0), 4, None);
    let mut program = draft.finish(&[conv]);
    plan(&program, 1000).expect("few positions");
    let refused = plan(&program, 1 << 28).expect_err("too many items");
    assert_eq!(refused.step, 0);
    program.buffers[1] = Shape { h: 1 << 20, w: 1 << 12, c: 4 };
    let refused = plan(&program, 1).expect_err("too many positions");
    assert!(refused.why.contains("2^31"), "{refused:?}");
}

#[test]
fn curves_are_numbered_as_in_the_kernels() {
    let text = include_str!("../../../../kernels/activation.cu");
    for (name, op) in [
        ("IDENTITY", Activation::Identity),
        ("PRELU", Activation::Prelu(WeightId(0))),
        ("RELU", Activation::Relu),
        ("SIGMOID", Activation::Sigmoid),
    ] {
        let told = format!("constexpr u32 {name} = {};", curve(op).0);
        assert!(text.contains(&told), "activation.cu does not say `{told}`");
    }
}

#[test]
fn a_launch_has_a_thread_for_everything_that_is_computed() {
    let mut draft = Draft::new(Shape { h: 9, w: 7, c: 12 }, 1);
    let small = draft.depthwise(BufferId(0));
    let all = draft.concat(&[small, small]);
    let program = draft.finish(&[all]);
    let plan = plan(&program, 300).expect("it fits");
    for items in [1, 2, 299] {
        let blocks = |at: usize| plan.launches[at].entries(items, MACHINE).0.extent.blocks[0];
        // Five rows of one strip of two octets; then two octets for each of twenty positions.
        assert_eq!(blocks(0) as usize, (items * 5 * 2).div_ceil(256));
        assert_eq!(blocks(1) as usize, (items * 20 * 2).div_ceil(256));
    }
    let text = include_str!("../../../../kernels/depthwise.cu");
    assert!(text.contains(&format!("constexpr u32 ABREAST = {STRIP};")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn plans_of_any_channels_are_their_programs(seed: u64, channels in 1_usize..20) {
        assert_plan_is_the_program(&residual(seed, channels), seed.rotate_left(7));
    }
}
