//! Whether a program is sound: every buffer written before it is read, every shape and every weight
//! of the size that its operation needs. Backends may rely on it.

use crate::ops::program::{Activation, Op, Program, Shape, Step, WeightId};

/// What contradicts itself in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProgramFlaw {
    /// A step, the input or an output names a buffer that is not there.
    #[error("step {step} names a buffer or a weight that does not exist")]
    Absent {
        /// The step; as many as there are steps for the input and the outputs.
        step: usize,
    },
    /// A buffer is read before it is written, or written twice.
    #[error("step {step} reads a buffer too early or writes one again")]
    Order {
        /// The step; as many as there are steps for the outputs.
        step: usize,
    },
    /// A step has more or fewer inputs than its operation.
    #[error("step {step} has {held} inputs")]
    Inputs {
        /// The step.
        step: usize,
        /// Inputs found.
        held: usize,
    },
    /// The result's shape is not what the operation gives.
    #[error("step {step} gives {expected:?}, its buffer is {held:?}")]
    Shape {
        /// The step.
        step: usize,
        /// What it gives.
        expected: Shape,
        /// What the buffer holds.
        held: Shape,
    },
    /// A weight has the wrong number of values.
    #[error("step {step} needs a weight of {expected} values, got {held}")]
    Weight {
        /// The step.
        step: usize,
        /// Values needed.
        expected: usize,
        /// Values found.
        held: usize,
    },
}

/// Checks a whole program.
///
/// # Errors
/// The first [`ProgramFlaw`].
pub fn check(program: &Program) -> Result<(), ProgramFlaw> {
    let end = program.steps.len();
    let mut written = vec![false; program.buffers.len()];
    *written.get_mut(program.input.0).ok_or(ProgramFlaw::Absent { step: end })? = true;
    for (index, step) in program.steps.iter().enumerate() {
        for input in &step.inputs {
            match written.get(input.0) {
                None => return Err(ProgramFlaw::Absent { step: index }),
                Some(false) => return Err(ProgramFlaw::Order { step: index }),
                Some(true) => {}
            }
        }
        check_step(program, index, step)?;
        let output = &mut written[step.output.0];
        if std::mem::replace(output, true) {
            return Err(ProgramFlaw::Order { step: index });
        }
    }
    for output in &program.outputs {
        match written.get(output.buffer.0) {
            None => return Err(ProgramFlaw::Absent { step: end }),
            Some(false) => return Err(ProgramFlaw::Order { step: end }),
            Some(true) => {}
        }
    }
    Ok(())
}

fn check_step(program: &Program, index: usize, step: &Step) -> Result<(), ProgramFlaw> {
    let allowed = match step.op {
        Op::Add { .. } | Op::Scale => 2..=2,
        Op::Concat => 1..=usize::MAX,
        Op::Conv2d { .. } | Op::Depthwise { .. } => 1..=2,
        _ => 1..=1,
    };
    if !allowed.contains(&step.inputs.len()) {
        return Err(ProgramFlaw::Inputs { step: index, held: step.inputs.len() });
    }
    let inputs: Vec<Shape> = step.inputs.iter().map(|&input| program.shape(input)).collect();
    let held = program.buffers.get(step.output.0).ok_or(ProgramFlaw::Absent { step: index })?;
    let expected = result_shape(&step.op, &inputs, *held);
    if expected != *held {
        return Err(ProgramFlaw::Shape { step: index, expected, held: *held });
    }
    for (weight, expected) in weights(&step.op, inputs[0], *held) {
        let held = program.weights.get(weight.0).ok_or(ProgramFlaw::Absent { step: index })?.len();
        if held != expected {
            return Err(ProgramFlaw::Weight { step: index, expected, held });
        }
    }
    Ok(())
}

/// The shape that `op` gives over `inputs`; where the operation leaves the channels open, those of
/// `held`.
fn result_shape(op: &Op, inputs: &[Shape], held: Shape) -> Shape {
    let first = inputs[0];
    let second = inputs.get(1).copied();
    let windowed = |window: &crate::ops::program::Window, c: usize| {
        let [h, w] = window.output(first.h, first.w);
        // A residual of another shape gives a result that nothing has.
        second.filter(|&residual| residual != Shape { h, w, c }).unwrap_or(Shape { h, w, c })
    };
    match op {
        Op::Add { .. } => second.unwrap_or(first),
        Op::Affine { .. } | Op::Softmax => first,
        Op::Concat => {
            let alike = inputs.iter().all(|shape| shape.h == first.h && shape.w == first.w);
            let c = if alike { inputs.iter().map(|shape| shape.c).sum() } else { 0 };
            Shape { c, ..first }
        }
        Op::Conv2d { window, .. } => windowed(window, held.c),
        Op::Depthwise { window, .. } => windowed(window, first.c),
        Op::Dense { .. } => Shape { h: 1, w: 1, c: held.c },
        Op::GlobalAverage => Shape { h: 1, w: 1, c: first.c },
        Op::MaxPool { window } => windowed(window, first.c),
        Op::Scale => match second {
            Some(gate) if gate == (Shape { h: 1, w: 1, c: first.c }) => first,
            _ => Shape { h: 0, w: 0, c: 0 },
        },
        Op::Upsample { factor } => Shape { h: first.h * factor, w: first.w * factor, c: first.c },
    }
}

/// Weights of a step, each with the number of values it must have.
fn weights(op: &Op, input: Shape, output: Shape) -> Vec<(WeightId, usize)> {
    let mut needed = Vec::with_capacity(3);
    let activation = match *op {
        Op::Add { activation } => activation,
        Op::Affine { scale, shift, activation } => {
            needed.extend([(scale, output.c), (shift, output.c)]);
            activation
        }
        Op::Conv2d { window, weights, bias, activation } => {
            let places = window.kernel[0] * window.kernel[1];
            needed.extend([(weights, places * input.c * output.c), (bias, output.c)]);
            activation
        }
        Op::Dense { weights, bias, activation } => {
            needed.extend([(weights, input.len() * output.len()), (bias, output.len())]);
            activation
        }
        Op::Depthwise { window, weights, bias, activation } => {
            let places = window.kernel[0] * window.kernel[1];
            needed.extend([(weights, places * output.c), (bias, output.c)]);
            activation
        }
        _ => Activation::Identity,
    };
    if let Activation::Prelu(slopes) = activation {
        needed.push((slopes, output.c));
    }
    needed
}
