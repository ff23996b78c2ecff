//! From a step of a program to the function that is its meaning.
//!
//! The one `match` from [`Op`] to the op files: a new op does not compile before it stands here.

use super::{
    activation::Curve,
    add::add,
    affine::affine,
    concat::concat,
    conv2d::conv2d,
    dense::dense,
    depthwise::depthwise,
    global_average::global_average,
    item::{Item, ItemMut},
    max_pool::max_pool,
    program::{Op, Program, Step},
    scale::scale,
    softmax::softmax,
    upsample::upsample,
};

/// Computes `step` of `program` over one item: `inputs` in the step's order, into `out`.
///
/// # Panics
/// When the program did not pass [`Program::check`], or the items are not the step's.
pub fn execute(program: &Program, step: &Step, inputs: &[Item<'_>], out: &mut ItemMut<'_>) {
    let weight = |id| program.weight(id);
    let residual = inputs.get(1).copied();
    match step.op {
        Op::Add { activation } => {
            add(inputs[0], inputs[1], Curve::of(program, activation), out);
        }
        Op::Affine { scale, shift, activation } => {
            let curve = Curve::of(program, activation);
            affine(inputs[0], weight(scale), weight(shift), curve, out);
        }
        Op::Concat => concat(inputs, out),
        Op::Conv2d { window, weights, bias, activation } => {
            let curve = Curve::of(program, activation);
            conv2d(inputs[0], &window, weight(weights), weight(bias), residual, curve, out);
        }
        Op::Dense { weights, bias, activation } => {
            let curve = Curve::of(program, activation);
            dense(inputs[0], weight(weights), weight(bias), curve, out);
        }
        Op::Depthwise { window, weights, bias, activation } => {
            let curve = Curve::of(program, activation);
            depthwise(inputs[0], &window, weight(weights), weight(bias), residual, curve, out);
        }
        Op::GlobalAverage => global_average(inputs[0], out),
        Op::MaxPool { window } => max_pool(inputs[0], &window, out),
        Op::Scale => scale(inputs[0], inputs[1], out),
        Op::Softmax => softmax(inputs[0], out),
        Op::Upsample { factor } => upsample(inputs[0], factor, out),
    }
}
