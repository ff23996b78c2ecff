//! Which steps become one chain, and which buffers are written all the same.
//!
//! Fusing a link saves writing and reading the buffer before it. It costs rows that two
//! neighbouring bands both compute, because a windowed link needs rows beyond its band; with one
//! thread there is one band and nothing is computed twice. The rings of a chain must also stay
//! within a core's cache.

use super::{chain::Reach, plan::Target};
use crate::ops::program::{BufferId, Op, Program, Step, Window};

/// Most links of a chain.
pub(super) const LINKS_MAX: usize = 24;
/// Most buffers that a chain reads beside its source.
pub(super) const EXTRAS_MAX: usize = 4;
/// Rings of one chain, in bytes: half of a small core's second-level cache.
const RINGS_BYTES_MAX: usize = 640 << 10;
/// Multiply-accumulates that are worth one byte less written and read.
const MACS_PER_BYTE: usize = 2;
/// Steps gathered into stages, before anything is laid out.
pub(super) struct Group {
    /// Their numbers.
    pub(super) steps: Vec<usize>,
    /// Buffers that they read beside the first one's source.
    extras: usize,
}

/// The window of a step that has one.
pub(super) fn window(op: &Op) -> Option<&Window> {
    match op {
        Op::Conv2d { window, .. } | Op::Depthwise { window, .. } | Op::MaxPool { window } => {
            Some(window)
        }
        Op::Add { .. }
        | Op::Affine { .. }
        | Op::Concat
        | Op::Dense { .. }
        | Op::GlobalAverage
        | Op::Scale
        | Op::Softmax
        | Op::Upsample { .. } => None,
    }
}

/// Whether an output row of the step needs only some input rows.
pub(super) fn by_rows(op: &Op) -> bool {
    !matches!(op, Op::Concat | Op::Dense { .. } | Op::GlobalAverage)
}

/// Which input rows an output row of the step needs.
pub(super) fn reach(op: &Op) -> Reach {
    match (window(op), op) {
        (Some(window), _) => Reach {
            kernel: window.kernel[0],
            stride: window.stride[0],
            top: window.pad[0],
            factor: 1,
        },
        (None, Op::Upsample { factor }) => Reach { kernel: 1, stride: 1, top: 0, factor: *factor },
        (None, _) => Reach { kernel: 1, stride: 1, top: 0, factor: 1 },
    }
}

/// The input that a chain would hand on to `step`; the other, where there is one, is an extra.
fn primary(program: &Program, step: &Step, tail_of: &[Option<usize>]) -> BufferId {
    match step.op {
        Op::Add { .. } if tail_of[step.inputs[0].0].is_none() => {
            let other = step.inputs[1];
            let fits = program.shape(other) == program.shape(step.inputs[0]);
            if fits && tail_of[other.0].is_some() { other } else { step.inputs[0] }
        }
        _ => step.inputs[0],
    }
}

/// Gathers steps into stages, in an order in which they can run.
pub(super) fn groups(program: &Program, target: Target) -> Vec<Group> {
    let mut readers = vec![0; program.buffers.len()];
    for input in program.steps.iter().flat_map(|step| &step.inputs) {
        readers[input.0] += 1;
    }
    for output in &program.outputs {
        readers[output.buffer.0] += 2;
    }
    let mut groups: Vec<Group> = Vec::new();
    // Which group's last link wrote a buffer that exactly one step reads.
    let mut tail_of: Vec<Option<usize>> = vec![None; program.buffers.len()];
    for (number, step) in program.steps.iter().enumerate() {
        let from = primary(program, step, &tail_of);
        let extra = step.inputs.len() - 1;
        let open = tail_of[from.0].filter(|&group| {
            let group = &groups[group];
            by_rows(&step.op)
                && group.steps.len() < LINKS_MAX
                && group.extras + extra <= EXTRAS_MAX
                && worth_fusing(program, &group.steps, number, target)
        });
        let group = open.unwrap_or_else(|| {
            groups.push(Group { steps: Vec::new(), extras: 0 });
            groups.len() - 1
        });
        groups[group].steps.push(number);
        groups[group].extras += extra;
        if by_rows(&step.op) && readers[step.output.0] == 1 {
            tail_of[step.output.0] = Some(group);
        }
    }
    groups.sort_by_key(|group| group.steps.last().copied());
    groups
}

/// Whether handing rows on to step `next` costs less than writing the buffer between.
fn worth_fusing(program: &Program, steps: &[usize], next: usize, target: Target) -> bool {
    let all: Vec<&Step> = steps.iter().chain([&next]).map(|&step| &program.steps[step]).collect();
    let rings: usize = all.windows(2).map(|pair| ring_bytes(program, pair[0], pair[1])).sum();
    if rings > RINGS_BYTES_MAX {
        return false;
    }
    let between = program.shape(program.steps[next].inputs[0]).len() * size_of::<f32>();
    recomputed_macs(program, &all, target.threads) <= between * MACS_PER_BYTE
}

/// Bytes of the ring between two links, with strips of one row.
fn ring_bytes(program: &Program, writer: &Step, reader: &Step) -> usize {
    let shape = program.shape(writer.output);
    reach(&reader.op).kernel.min(shape.h) * shape.w * shape.c * size_of::<f32>()
}

/// Multiply-accumulates that neighbouring bands compute twice.
fn recomputed_macs(program: &Program, steps: &[&Step], bands: usize) -> usize {
    let last = program.shape(steps[steps.len() - 1].output);
    let band_rows = last.h.div_ceil(bands);
    let mut macs = 0;
    let mut bounds: Vec<(usize, usize)> = (0..last.h.div_ceil(band_rows))
        .map(|band| (band * band_rows, ((band + 1) * band_rows).min(last.h)))
        .collect();
    for pair in steps.windows(2).rev() {
        let shape = program.shape(pair[0].output);
        for bound in &mut bounds {
            *bound = reach(&pair[1].op).clamped(bound.0, bound.1 - bound.0, shape.h);
        }
        let rows: usize = bounds.iter().map(|(from, to)| to - from).sum();
        let per_row = match pair[0].op {
            Op::Conv2d { window, .. } => {
                let input = program.shape(pair[0].inputs[0]);
                shape.w * shape.c * window.kernel[0] * window.kernel[1] * input.c
            }
            Op::Depthwise { window, .. } => shape.w * shape.c * window.kernel[0] * window.kernel[1],
            _ => shape.w * shape.c,
        };
        macs += rows.saturating_sub(shape.h) * per_row;
    }
    macs
}
