//! What must come out: the scalar ops, walked step by step, and how close a backend has to come.

use portcullis::{
    backend::{Network, Precision},
    ops::{
        item::{Item, ItemMut},
        program::{Activation, Feed, Op, Program},
        step,
    },
};

use super::dice::Dice;

/// A single f32 op against f64 sums, relative to the sum of its absolute terms.
const OP_TOLERANCE: f32 = 2e-6;
/// A dense layer of tens of thousands of inputs, whose weights a backend may keep in half precision
/// (11 significant bits): six standard deviations of that rounding, relative as above.
const HALVED_TOLERANCE: f32 = 1e-5;
/// A whole network, relative to the largest value in any of its buffers.
const NETWORK_TOLERANCE: f32 = 2e-5;

/// The relative distance of neighbours in half precision, and what its roundings add to one op and
/// to a whole network, relative as above: a weight is half a neighbour off at most, and so is what
/// lies between two steps.
const HALF_STEP: f32 = 1.0 / 1024.0;
const HALF_OP_TOLERANCE: f32 = HALF_STEP / 2.0;
const HALF_NETWORK_TOLERANCE: f32 = 8.0 * HALF_STEP;

/// How results are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Closeness {
    /// Bit for bit.
    Exact,
    /// One op.
    Op,
    /// One dense layer that is large enough to be kept in half precision.
    Halved,
    /// A whole network.
    Network,
}

/// Every buffer of `program` after `input` was fed; those that nothing writes stay empty.
pub(crate) fn buffers(program: &Program, input: &[f32]) -> Vec<Vec<f32>> {
    let mut buffers = vec![Vec::new(); program.buffers.len()];
    buffers[program.input.0] = input.to_vec();
    for step in &program.steps {
        let shape = program.shape(step.output);
        let mut values = vec![f32::NAN; shape.len()];
        let inputs: Vec<Item<'_>> =
            step.inputs.iter().map(|&id| Item::new(program.shape(id), &buffers[id.0])).collect();
        step::execute(program, step, &inputs, &mut ItemMut::new(shape, &mut values));
        buffers[step.output.0] = values;
    }
    buffers
}

/// Runs `inputs` as one batch on `network` and compares every output of every item.
pub(crate) fn compare(
    network: &mut dyn Network,
    program: &Program,
    inputs: &[Vec<f32>],
    closeness: Closeness,
) {
    let feeds: Vec<Feed<'_>> = inputs.iter().map(|input| Feed::Tensor(input)).collect();
    network.run(&feeds).expect("a sound batch runs");
    for (item, input) in inputs.iter().enumerate() {
        let input = &kept(network, input);
        let expected = buffers(program, input);
        let tolerance = tolerance(program, input, &expected, closeness)
            + rounding(network, program, input, &expected, closeness);
        for (index, output) in program.outputs.iter().enumerate() {
            let held = network.output(index, item);
            let what = format!("output {index} of item {item} in {}", inputs.len());
            assert_close(held, &expected[output.buffer.0], tolerance, &what, program);
        }
    }
}

/// Fills every buffer of `network` with numbers that are none, so that a value which is not
/// computed afresh shows.
pub(crate) fn poison(network: &mut dyn Network, program: &Program) {
    let poison = vec![f32::NAN; program.shape(program.input).len()];
    let feeds = vec![Feed::Tensor(&poison); network.batch_max()];
    network.run(&feeds).expect("what is no number can be fed all the same");
}

/// Inputs for a batch of `count` items.
pub(crate) fn inputs(dice: &mut Dice, program: &Program, count: usize) -> Vec<Vec<f32>> {
    let values = program.shape(program.input).len();
    (0..count).map(|_| dice.units(values, 1.0)).collect()
}

/// Panics unless `held` is `expected` within `tolerance`, naming the worst value.
pub(crate) fn assert_close(
    held: &[f32],
    expected: &[f32],
    tolerance: f32,
    what: &str,
    program: &Program,
) {
    assert_eq!(held.len(), expected.len(), "{what}: {:?}", program.steps);
    for (at, (&held, &expected)) in held.iter().zip(expected).enumerate() {
        let close = held == expected || (held - expected).abs() <= tolerance;
        assert!(
            close,
            "{what}: value {at} is {held}, not {expected} within {tolerance:e}\nbuffers {:?}\n\
             steps {:#?}",
            program.buffers, program.steps
        );
    }
}

fn tolerance(program: &Program, input: &[f32], expected: &[Vec<f32>], closeness: Closeness) -> f32 {
    match closeness {
        Closeness::Exact => 0.0,
        Closeness::Op => OP_TOLERANCE * largest(&absolute_terms(program, input)),
        Closeness::Halved => HALVED_TOLERANCE * largest(&absolute_terms(program, input)),
        Closeness::Network => NETWORK_TOLERANCE * largest(expected).max(1.0),
    }
}

/// `input` as `network` keeps it.
pub(crate) fn kept(network: &dyn Network, input: &[f32]) -> Vec<f32> {
    match network.precision() {
        Precision::Single => input.to_vec(),
        Precision::Half => input.iter().map(|&value| halved(value)).collect(),
    }
}

/// The nearest number that half precision has, a half to the even neighbour.
fn halved(value: f32) -> f32 {
    if !value.is_finite() || value == 0.0 {
        return value;
    }
    let place = (value.abs().log2().floor().max(-14.0) - 10.0).exp2();
    (value / place).round_ties_even() * place
}

/// How far a value of `network` whose neighbours reach to `largest` may be off, once it was kept.
pub(crate) fn kept_tolerance(network: &dyn Network, largest: f32) -> f32 {
    match network.precision() {
        Precision::Single => 0.0,
        Precision::Half => HALF_STEP / 2.0 * largest,
    }
}

/// What keeping values in half precision adds to the tolerance.
fn rounding(
    network: &dyn Network,
    program: &Program,
    input: &[f32],
    expected: &[Vec<f32>],
    closeness: Closeness,
) -> f32 {
    match (network.precision(), closeness) {
        (Precision::Single, _) | (Precision::Half, Closeness::Exact) => 0.0,
        (Precision::Half, Closeness::Op | Closeness::Halved) => {
            HALF_OP_TOLERANCE * largest(&absolute_terms(program, input))
        }
        (Precision::Half, Closeness::Network) => {
            HALF_NETWORK_TOLERANCE * largest(expected).max(1.0)
        }
    }
}

/// What the sums would be if no term cancelled another: rounding is proportional to it.
fn absolute_terms(program: &Program, input: &[f32]) -> Vec<Vec<f32>> {
    let mut bare = program.clone();
    for weights in &mut bare.weights {
        *weights = weights.iter().map(|weight| weight.abs()).collect();
    }
    let mut saturates = false;
    for step in &mut bare.steps {
        match &mut step.op {
            Op::Add { activation }
            | Op::Affine { activation, .. }
            | Op::Conv2d { activation, .. }
            | Op::Dense { activation, .. }
            | Op::Depthwise { activation, .. } => {
                saturates |= *activation == Activation::Sigmoid;
                *activation = Activation::Identity;
            }
            Op::Softmax => saturates = true,
            Op::Concat
            | Op::GlobalAverage
            | Op::MaxPool { .. }
            | Op::Scale
            | Op::Upsample { .. } => {}
        }
    }
    let input: Vec<f32> = input.iter().map(|value| value.abs()).collect();
    let mut terms = buffers(&bare, &input);
    // An exponential has an error of its own, relative to its range.
    terms.push(vec![f32::from(u8::from(saturates))]);
    terms
}

fn largest(buffers: &[Vec<f32>]) -> f32 {
    buffers.iter().flatten().fold(0.0, |largest, value| value.abs().max(largest))
}
