//! From a program to dispatches: where buffers lie, and what each step is told.
//!
//! Buffers share slots of device memory: a slot is free again after the last step that reads the
//! buffer in it, so that a deep network needs a few slots and not one per layer. Results and the
//! input keep theirs until the next run, because they are copied after the last step and before the
//! first.
//!
//! Invariant: an input and the output of one step never share a slot. A dispatch never has more
//! workgroups on an axis than the device takes, nor more turns of a loop; what does not fit is
//! refused by step, at load.

use super::{layout::Job, shaders::Shader, turns};
use crate::ops::program::{Activation, BufferId, Op, Program, Shape, Step, WeightId, Window};

/// Positions and channels of the output that a workgroup of conv2d.wgsl computes, and taps that it
/// takes at a time.
const CONV_POSITIONS: usize = 64;
pub(super) const CONV_CHANNELS: usize = 32;
pub(super) const CONV_DEPTH: usize = 16;
/// Outputs of a workgroup of dense.wgsl.
pub(super) const DENSE_OUTPUTS: usize = 8;
/// Items that a lane of dense.wgsl sums.
const DENSE_ITEMS: u32 = 4;
/// Lanes of a workgroup that computes one value per lane.
const LANES: usize = 64;
/// Bytes of f32 weights of a dense layer from which on they are kept in half precision: what no
/// cache of a device holds, as on `cpu`.
pub(super) const HALVED_FROM_BYTES: usize = 16 << 20;

/// Why a step cannot run here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) step: usize,
    pub(super) why: String,
}

/// What a device takes of one dispatch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Workgroups on an axis.
    pub(super) groups: u32,
    /// Turns of the loops of a lane.
    pub(super) turns: u64,
}

impl Bounds {
    /// Refuses a dispatch that the device would not do, or would do by half.
    fn admit(self, dispatch: &Dispatch) -> Result<(), String> {
        let most = self.groups;
        if dispatch.groups.iter().any(|&groups| groups > most) {
            let [x, y] = dispatch.groups;
            return Err(format!("{x} by {y} workgroups; the device takes {most} on an axis"));
        }
        let turns = turns::of_step(dispatch.shader, &dispatch.job);
        if turns > self.turns {
            return Err(format!(
                "{turns} turns of a loop; this device, which is simulated, ends a lane after {}: \
                 take a GPU, or the engine `cpu`",
                self.turns
            ));
        }
        Ok(())
    }
}

/// What a shader is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// The slot of a buffer.
    Buffer(BufferId),
    /// A weight as it is.
    Weight(WeightId),
    /// A weight as the step's shader wants it laid out.
    Packed(WeightId),
    /// One value that is never used.
    Nothing,
}

/// One dispatch.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) shader: Shader,
    pub(super) job: Job,
    /// After the job, in the order of the shader's bindings.
    pub(super) bound: Vec<Bound>,
    /// Workgroups on the first two axes.
    pub(super) groups: [u32; 2],
    /// Items that one workgroup on the third axis computes.
    pub(super) items_each: u32,
}

/// A program, laid out.
#[derive(Debug)]
pub(super) struct Plan {
    /// Values of one item in each slot.
    pub(super) slots: Vec<usize>,
    /// Slot of each buffer that is used.
    pub(super) slot_of: Vec<Option<usize>>,
    pub(super) dispatches: Vec<Dispatch>,
}

/// Lays `program`, which is sound, out for `items` items and a device with these bounds.
pub(super) fn plan(program: &Program, items: usize, bounds: Bounds) -> Result<Plan, Refused> {
    let (slots, slot_of) = slots(program);
    let mut dispatches = Vec::new();
    for (number, step) in program.steps.iter().enumerate() {
        let refuse = |why: String| Refused { step: number, why };
        for dispatch in dispatches_of(program, step, items).map_err(refuse)? {
            bounds.admit(&dispatch).map_err(refuse)?;
            dispatches.push(dispatch);
        }
    }
    Ok(Plan { slots, slot_of, dispatches })
}

/// Slots, and the slot of each buffer that is read or written.
fn slots(program: &Program) -> (Vec<usize>, Vec<Option<usize>>) {
    let forever = program.steps.len();
    let mut last_read = vec![0; program.buffers.len()];
    for (number, step) in program.steps.iter().enumerate() {
        step.inputs.iter().for_each(|input| last_read[input.0] = number);
    }
    last_read[program.input.0] = forever;
    program.outputs.iter().for_each(|output| last_read[output.buffer.0] = forever);
    let mut sizes = vec![program.shape(program.input).len()];
    let mut slot_of = vec![None; program.buffers.len()];
    slot_of[program.input.0] = Some(0);
    let mut free: Vec<usize> = Vec::new();
    for (number, step) in program.steps.iter().enumerate() {
        let values = program.shape(step.output).len();
        // The smallest that is large enough, else the largest, which grows.
        free.sort_unstable_by_key(|&slot| sizes[slot]);
        let fitting = free.iter().position(|&slot| sizes[slot] >= values);
        let slot = match fitting.or(free.len().checked_sub(1)) {
            Some(at) => free.remove(at),
            None => {
                sizes.push(0);
                sizes.len() - 1
            }
        };
        sizes[slot] = sizes[slot].max(values);
        slot_of[step.output.0] = Some(slot);
        // A buffer that nobody reads is done with when it is written.
        let mut done: Vec<usize> = step.inputs.iter().map(|input| input.0).collect();
        done.push(step.output.0);
        done.sort_unstable();
        done.dedup();
        done.retain(|&buffer| last_read[buffer] <= number);
        free.extend(done.iter().filter_map(|&buffer| slot_of[buffer]));
    }
    (sizes, slot_of)
}

fn word(value: usize) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{value} does not fit the 32 bits of a shader"))
}

/// One lane per value or position, on two axes.
fn lanes(values: usize) -> Result<[u32; 2], String> {
    const ROW: usize = 32_768;
    let groups = values.div_ceil(LANES);
    Ok([word(groups.min(ROW))?, word(groups.div_ceil(ROW))?])
}

/// The shapes of a job; what is the op's own is filled in by the caller.
fn job(input: Shape, output: Shape, items: usize) -> Result<Job, String> {
    // Indices run over all items of a batch.
    word(input.len().max(output.len()).saturating_mul(items))?;
    Ok(Job {
        in_h: word(input.h)?,
        in_w: word(input.w)?,
        in_c: word(input.c)?,
        out_h: word(output.h)?,
        out_w: word(output.w)?,
        out_c: word(output.c)?,
        items: word(items)?,
        ..Job::default()
    })
}

fn with_window(job: Job, window: &Window) -> Result<Job, String> {
    Ok(Job {
        kernel_h: word(window.kernel[0])?,
        kernel_w: word(window.kernel[1])?,
        stride_h: word(window.stride[0])?,
        stride_w: word(window.stride[1])?,
        pad_top: word(window.pad[0])?,
        pad_left: word(window.pad[1])?,
        ..job
    })
}

/// The constants of activation.wgsl, and the slopes.
fn curve(activation: Activation) -> (u32, Bound) {
    match activation {
        Activation::Identity => (0, Bound::Nothing),
        Activation::Prelu(slopes) => (1, Bound::Weight(slopes)),
        Activation::Relu => (2, Bound::Nothing),
        Activation::Sigmoid => (3, Bound::Nothing),
    }
}

/// The dispatches of one step; only a concatenation has more than one.
fn dispatches_of(program: &Program, step: &Step, items: usize) -> Result<Vec<Dispatch>, String> {
    let input = program.shape(step.inputs[0]);
    let output = program.shape(step.output);
    let bare = job(input, output, items)?;
    let (from, out) = (Bound::Buffer(step.inputs[0]), Bound::Buffer(step.output));
    let second = step.inputs.get(1).map(|&buffer| Bound::Buffer(buffer));
    let single = |shader, job, bound: Vec<Bound>| {
        let groups = lanes(output.len())?;
        Ok(vec![Dispatch { shader, job, bound, groups, items_each: 1 }])
    };
    match step.op {
        Op::Add { activation } => {
            let (curve, slopes) = curve(activation);
            let other = second.expect("a checked addition has two inputs");
            single(Shader::Add, Job { curve, ..bare }, vec![from, other, slopes, out])
        }
        Op::Affine { scale, shift, activation } => {
            let (curve, slopes) = curve(activation);
            let bound = vec![from, Bound::Weight(scale), Bound::Weight(shift), slopes, out];
            single(Shader::Affine, Job { curve, ..bare }, bound)
        }
        Op::Concat => concat(program, step, items),
        Op::Conv2d { window, weights, bias, activation } => {
            let (curve, slopes) = curve(activation);
            let job = Job { curve, residual: u32::from(second.is_some()), ..bare };
            let beside = second.unwrap_or(Bound::Nothing);
            let bound =
                vec![from, Bound::Packed(weights), Bound::Weight(bias), beside, slopes, out];
            conv2d(with_window(job, &window)?, &window, output, bound)
        }
        Op::Dense { weights, bias, activation } => {
            let (curve, slopes) = curve(activation);
            let extra = word(output.len().next_multiple_of(DENSE_OUTPUTS))?;
            // The flattened input is one position with that many channels.
            let job = Job { curve, extra, ..bare };
            let bound = vec![from, Bound::Packed(weights), Bound::Weight(bias), slopes, out];
            let groups = [word(output.len().div_ceil(DENSE_OUTPUTS))?, 1];
            let halved = is_halved(program.weight(weights));
            let shader = Shader::Dense { halved };
            Ok(vec![Dispatch { shader, job, bound, groups, items_each: DENSE_ITEMS }])
        }
        Op::Depthwise { window, weights, bias, activation } => {
            let (curve, slopes) = curve(activation);
            let job = Job { curve, residual: u32::from(second.is_some()), ..bare };
            let beside = second.unwrap_or(Bound::Nothing);
            let (weights, bias) = (Bound::Weight(weights), Bound::Weight(bias));
            let bound = vec![from, weights, bias, beside, slopes, out];
            single(Shader::Depthwise, with_window(job, &window)?, bound)
        }
        Op::GlobalAverage => single(Shader::GlobalAverage, bare, vec![from, out]),
        Op::MaxPool { window } => {
            single(Shader::MaxPool, with_window(bare, &window)?, vec![from, out])
        }
        Op::Scale => {
            let gate = second.expect("a checked scaling has two inputs");
            single(Shader::Scale, bare, vec![from, gate, out])
        }
        Op::Softmax => {
            let groups = lanes(output.h * output.w)?;
            let bound = vec![from, out];
            Ok(vec![Dispatch { shader: Shader::Softmax, job: bare, bound, groups, items_each: 1 }])
        }
        Op::Upsample { factor } => {
            single(Shader::Upsample, Job { extra: word(factor)?, ..bare }, vec![from, out])
        }
    }
}

/// A convolution to `output`, a workgroup per tile of it.
fn conv2d(
    job: Job,
    window: &Window,
    output: Shape,
    bound: Vec<Bound>,
) -> Result<Vec<Dispatch>, String> {
    let is_point = window.kernel == [1, 1] && window.stride == [1, 1];
    let shader = Shader::Conv2d { pointwise: is_point && window.pad == [0; 4] };
    let groups = [
        word((output.h * output.w).div_ceil(CONV_POSITIONS))?,
        word(output.c.div_ceil(CONV_CHANNELS))?,
    ];
    Ok(vec![Dispatch { shader, job, bound, groups, items_each: 1 }])
}

fn concat(program: &Program, step: &Step, items: usize) -> Result<Vec<Dispatch>, String> {
    let output = program.shape(step.output);
    let mut first = 0;
    let mut dispatches = Vec::with_capacity(step.inputs.len());
    for &buffer in &step.inputs {
        let input = program.shape(buffer);
        dispatches.push(Dispatch {
            shader: Shader::Concat,
            job: Job { extra: word(first)?, ..job(input, output, items)? },
            bound: vec![Bound::Buffer(buffer), Bound::Buffer(step.output)],
            groups: lanes(input.len())?,
            items_each: 1,
        });
        first += input.c;
    }
    Ok(dispatches)
}

/// Whether the weights of a dense layer are kept in half precision: many, and all within its range.
pub(super) fn is_halved(weights: &[f32]) -> bool {
    const LARGEST: f32 = 65_504.0;
    size_of_val(weights) >= HALVED_FROM_BYTES
        && weights.iter().all(|weight| weight.abs() <= LARGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ops::program::{ChannelOrder, Output};

    const BOUNDS: Bounds = Bounds { groups: 65_535, turns: 100 };

    /// A chain of enlargements by one; its input and its last buffer come out.
    fn chain(length: usize) -> Program {
        let output = |buffer| Output { name: String::new(), buffer: BufferId(buffer) };
        let step = |number| Step {
            op: Op::Upsample { factor: 1 },
            inputs: vec![BufferId(number)],
            output: BufferId(number + 1),
        };
        Program {
            name: "chain".to_owned(),
            input: BufferId(0),
            channels: ChannelOrder::Rgb,
            buffers: vec![Shape { h: 2, w: 2, c: 3 }; length + 1],
            weights: vec![Arc::from([1.0])],
            steps: (0..length).map(step).collect(),
            outputs: vec![output(length), output(0)],
        }
    }

    #[test]
    fn a_chain_needs_three_slots_however_long_it_is() {
        let plan = plan(&chain(9), 1, BOUNDS).expect("it fits");
        assert_eq!(plan.slots, [12; 3]);
        for step in chain(9).steps {
            let (read, written) = (plan.slot_of[step.inputs[0].0], plan.slot_of[step.output.0]);
            assert_ne!(read, written);
        }
    }

    #[test]
    fn what_the_device_cannot_dispatch_is_refused_by_step() {
        let refused =
            plan(&chain(1), 1, Bounds { groups: 0, ..BOUNDS }).expect_err("no workgroup at all");
        assert_eq!(refused.step, 0);
        let refused = plan(&chain(1), 1 << 32, BOUNDS).expect_err("too many values");
        assert!(refused.why.contains("32 bits"), "{refused:?}");
    }

    #[test]
    fn a_loop_that_the_device_would_end_is_refused_by_step() {
        let mut program = chain(2);
        program.steps[1].op = Op::GlobalAverage;
        program.buffers[1] = Shape { h: 10, w: 10, c: 3 };
        program.buffers[2] = Shape { h: 1, w: 1, c: 3 };
        plan(&program, 1, BOUNDS).expect("as many as it takes");
        program.buffers[1].h = 11;
        let refused = plan(&program, 1, BOUNDS).expect_err("ten more");
        assert_eq!(refused.step, 1);
        assert!(refused.why.contains("110 turns"), "{refused:?}");
    }
}
