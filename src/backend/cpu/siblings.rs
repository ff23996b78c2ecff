//! Heads that read the same buffer, merged: a detector's score, box and landmark heads are
//! pointwise convolutions of 1, 4 or 10 channels over one feature map, each followed by its own
//! depthwise convolution. Apart, every one of them fills a whole panel of a register block with
//! zeros; together they fill one.
//!
//! Merged are branches of the same form that end in outputs of the program and nowhere else. What
//! comes back is a program that computes the same values, and for each output of the original the
//! channels of the merged buffer that are its own. A sigmoid at the end of a branch is left to the
//! copy into the results, as its neighbours may have none.

use std::{collections::BTreeMap, sync::Arc};

use crate::ops::program::{Activation, BufferId, Op, Program, Shape, Step, WeightId, Window};

/// Where an output of the original program lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct View {
    /// Buffer of the merged program.
    pub(super) buffer: BufferId,
    /// First channel.
    pub(super) first: usize,
    /// Channels.
    pub(super) channels: usize,
    /// Whether `1 / (1 + e^-x)` is still to be applied.
    pub(super) sigmoid: bool,
}

/// A pointwise convolution, and the depthwise one behind it where there is one.
struct Branch {
    convolution: usize,
    depthwise: Option<usize>,
}

/// What merged branches have in common: the buffer that they read, and the depthwise window.
type Key = (BufferId, Option<([usize; 2], [usize; 2], [usize; 4])>);

/// Merges the branches of `program`.
pub(super) fn merge(program: &Program) -> (Program, Vec<View>) {
    let mut merged = program.clone();
    let mut views: Vec<View> = program
        .outputs
        .iter()
        .map(|output| View {
            buffer: output.buffer,
            first: 0,
            channels: program.shape(output.buffer).c,
            sigmoid: false,
        })
        .collect();
    let mut replaced: BTreeMap<usize, Vec<Step>> = BTreeMap::new();
    let mut removed = vec![false; program.steps.len()];
    for branches in groups(program).into_values().filter(|branches| branches.len() > 1) {
        let steps = join(program, &branches, &mut merged, &mut views);
        replaced.insert(branches[0].convolution, steps);
        for branch in &branches {
            removed[branch.convolution] = true;
            if let Some(depthwise) = branch.depthwise {
                removed[depthwise] = true;
            }
        }
    }
    merged.steps = (0..program.steps.len())
        .flat_map(|number| {
            let kept = (!removed[number]).then(|| program.steps[number].clone());
            replaced.remove(&number).unwrap_or_default().into_iter().chain(kept)
        })
        .collect();
    for (output, view) in merged.outputs.iter_mut().zip(&views) {
        output.buffer = view.buffer;
    }
    (merged, views)
}

/// Branches by what they have in common.
fn groups(program: &Program) -> BTreeMap<Key, Vec<Branch>> {
    let readers = |buffer: BufferId| {
        let reads = move |step: &Step| step.inputs.contains(&buffer);
        program.steps.iter().enumerate().filter(move |(_, step)| reads(step))
    };
    let is_output = |buffer| program.outputs.iter().any(|output| output.buffer == buffer);
    let ends = |buffer| is_output(buffer) && readers(buffer).next().is_none();
    let mut groups: BTreeMap<Key, Vec<Branch>> = BTreeMap::new();
    for (number, step) in program.steps.iter().enumerate() {
        let Op::Conv2d { window, activation, .. } = step.op else { continue };
        let pointwise = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        if window != pointwise || step.inputs.len() != 1 {
            continue;
        }
        let source = step.inputs[0];
        if ends(step.output) {
            let branch = Branch { convolution: number, depthwise: None };
            groups.entry((source, None)).or_default().push(branch);
        } else if let [(next, reader)] = readers(step.output).collect::<Vec<_>>()[..]
            && let Op::Depthwise { window, .. } = reader.op
            && reader.inputs.len() == 1
            && activation != Activation::Sigmoid
            && !is_output(step.output)
            && ends(reader.output)
        {
            let key = Some((window.kernel, window.stride, window.pad));
            let branch = Branch { convolution: number, depthwise: Some(next) };
            groups.entry((source, key)).or_default().push(branch);
        }
    }
    groups
}

/// The steps that do the work of all `branches`; notes where their outputs lie.
fn join(
    program: &Program,
    branches: &[Branch],
    merged: &mut Program,
    views: &mut [View],
) -> Vec<Step> {
    let mut steps = Vec::new();
    let convolutions: Vec<&Step> =
        branches.iter().map(|branch| &program.steps[branch.convolution]).collect();
    let mut last = add(program, &convolutions, convolutions[0].inputs[0], merged);
    let depthwises: Vec<&Step> = branches
        .iter()
        .filter_map(|branch| branch.depthwise)
        .map(|number| &program.steps[number])
        .collect();
    let mut ends = &convolutions;
    steps.push(last.clone());
    if !depthwises.is_empty() {
        last = add(program, &depthwises, last.output, merged);
        ends = &depthwises;
        steps.push(last.clone());
    }
    let mut first = 0;
    for step in ends {
        let channels = program.shape(step.output).c;
        let sigmoid = parts(&step.op).2 == Activation::Sigmoid;
        for (view, output) in views.iter_mut().zip(&program.outputs) {
            if output.buffer == step.output {
                *view = View { buffer: last.output, first, channels, sigmoid };
            }
        }
        first += channels;
    }
    steps
}

/// Weights, bias and activation of a convolution of either kind.
fn parts(op: &Op) -> (WeightId, WeightId, Activation) {
    match *op {
        Op::Conv2d { weights, bias, activation, .. }
        | Op::Depthwise { weights, bias, activation, .. } => (weights, bias, activation),
        _ => unreachable!("branches are made of convolutions"),
    }
}

/// One step in place of `steps`, which are of one kind and window; its buffers and weights are
/// added to `merged`.
fn add(program: &Program, steps: &[&Step], input: BufferId, merged: &mut Program) -> Step {
    let channels: Vec<usize> = steps.iter().map(|step| program.shape(step.output).c).collect();
    let all = channels.iter().sum();
    let columns: Vec<&[f32]> = steps.iter().map(|step| program.weight(parts(&step.op).0)).collect();
    let rows = columns[0].len() / channels[0];
    let mut weights = Vec::with_capacity(rows * all);
    for row in 0..rows {
        for (columns, &channels) in columns.iter().zip(&channels) {
            weights.extend_from_slice(&columns[row * channels..][..channels]);
        }
    }
    let bias: Vec<f32> =
        steps.iter().flat_map(|step| program.weight(parts(&step.op).1)).copied().collect();
    let mut slopes = Vec::with_capacity(all);
    for (step, &channels) in steps.iter().zip(&channels) {
        match parts(&step.op).2 {
            Activation::Identity | Activation::Sigmoid => slopes.extend(vec![1.0; channels]),
            Activation::Relu => slopes.extend(vec![0.0; channels]),
            Activation::Prelu(own) => slopes.extend_from_slice(program.weight(own)),
        }
    }
    let mut keep = |values: Vec<f32>| {
        merged.weights.push(Arc::from(values));
        WeightId(merged.weights.len() - 1)
    };
    let bent = slopes.iter().any(|&slope| slope != 1.0);
    let activation = if bent { Activation::Prelu(keep(slopes)) } else { Activation::Identity };
    let (weights, bias) = (keep(weights), keep(bias));
    let op = match steps[0].op {
        Op::Conv2d { window, .. } => Op::Conv2d { window, weights, bias, activation },
        Op::Depthwise { window, .. } => Op::Depthwise { window, weights, bias, activation },
        _ => unreachable!("branches are made of convolutions"),
    };
    merged.buffers.push(Shape { c: all, ..program.shape(steps[0].output) });
    Step { op, inputs: vec![input], output: BufferId(merged.buffers.len() - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::program::{ChannelOrder, Output};

    /// Heads of 1 and 2 channels over a feature map; the first ends in a sigmoid.
    fn heads() -> Program {
        let shape = |c| Shape { h: 2, w: 2, c };
        let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0; 4] };
        let around = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
        let mut weights: Vec<Arc<[f32]>> = Vec::new();
        let mut steps = Vec::new();
        for (head, c) in [1, 2].into_iter().enumerate() {
            let first = weights.len();
            let own = |values: usize| -> Arc<[f32]> {
                (0..values).map(|at| (at + 10 * head) as f32).collect()
            };
            weights.extend([own(3 * c), own(c), own(9 * c), own(c)]);
            let [point, bias, taps, last] = [0, 1, 2, 3].map(|at| WeightId(first + at));
            let end = if c == 1 { Activation::Sigmoid } else { Activation::Identity };
            let middle = BufferId(1 + 2 * head);
            steps.push(Step {
                op: Op::Conv2d { window, weights: point, bias, activation: Activation::Relu },
                inputs: vec![BufferId(0)],
                output: middle,
            });
            steps.push(Step {
                op: Op::Depthwise { window: around, weights: taps, bias: last, activation: end },
                inputs: vec![middle],
                output: BufferId(2 + 2 * head),
            });
        }
        let output = |name: &str, buffer| Output { name: name.to_owned(), buffer };
        Program {
            name: "heads".to_owned(),
            input: BufferId(0),
            channels: ChannelOrder::Rgb,
            buffers: [3, 1, 1, 2, 2].map(shape).to_vec(),
            weights,
            steps,
            outputs: vec![output("scores", BufferId(2)), output("boxes", BufferId(4))],
        }
    }

    #[test]
    fn two_heads_become_one_with_their_channels_side_by_side() {
        let program = heads();
        program.check().expect("a sound program");
        let (merged, views) = merge(&program);
        merged.check().expect("merging keeps a program sound");
        assert_eq!(merged.steps.len(), 2);
        let buffer = merged.steps[1].output;
        assert_eq!(
            views,
            [
                View { buffer, first: 0, channels: 1, sigmoid: true },
                View { buffer, first: 1, channels: 2, sigmoid: false },
            ]
        );
        let (weights, bias, _) = parts(&merged.steps[0].op);
        assert_eq!(merged.weight(weights), [0.0, 10.0, 11.0, 1.0, 12.0, 13.0, 2.0, 14.0, 15.0]);
        assert_eq!(merged.weight(bias), [0.0, 10.0, 11.0]);
    }

    #[test]
    fn a_head_that_something_else_reads_stays_apart() {
        let mut program = heads();
        program.outputs.push(Output { name: "middle".to_owned(), buffer: BufferId(1) });
        let (merged, views) = merge(&program);
        assert_eq!(merged.steps, program.steps);
        assert!(views.iter().all(|view| view.first == 0 && !view.sigmoid));
    }
}
