//! Whether a program is one: checked by every backend before it allocates anything.
//!
//! After [`Program::check`] every index is in range, every shape follows from its inputs, every
//! weight has its length, steps read only what was written before, and each buffer is written once:
//! by the feed or by one step. So an executor may index without looking and plan its memory by
//! lifetime.
//! What is not checked: whether weights are finite (the model's matter, where bytes come from
//! outside) and whether the network makes sense.

use super::program::{Activation, BufferId, Op, Program, Shape, Step, WeightId, Window};
use crate::limits::BUFFER_VALUES_MAX;

/// No side of a window exceeds this; sums of sizes can then not overflow.
const WINDOW_SIDE_MAX: usize = 1 << 16;

/// A program that no backend can run, and where it is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("program {program}, {place}: {fault}")]
pub struct ProgramError {
    /// The program's name.
    pub program: String,
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
}

/// A place in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Place {
    /// Among its buffers.
    #[error("buffer {0}")]
    Buffer(usize),
    /// Where it says which buffer is fed.
    #[error("input")]
    Input,
    /// Among its outputs.
    #[error("output {0}")]
    Output(usize),
    /// Among its steps.
    #[error("step {0}")]
    Step(usize),
}

/// What is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No such buffer.
    #[error("buffer {buffer} does not exist, there are {buffers}")]
    Buffer {
        /// Named.
        buffer: usize,
        /// Held.
        buffers: usize,
    },
    /// A buffer without values or with more than the limit.
    #[error("{h} x {w} x {c} is no buffer: it holds 1 to {most} values")]
    BufferSize {
        /// Rows.
        h: usize,
        /// Positions.
        w: usize,
        /// Channels.
        c: usize,
        /// The limit.
        most: usize,
    },
    /// The wrong number of inputs.
    #[error("{held} inputs, the operation takes {needed}")]
    Inputs {
        /// Given.
        held: usize,
        /// Taken, in words.
        needed: &'static str,
    },
    /// Nothing comes out.
    #[error("there is no output")]
    NoOutput,
    /// Reads what nobody wrote yet.
    #[error("buffer {buffer} is read before anything wrote it")]
    NotYetWritten {
        /// The buffer.
        buffer: usize,
    },
    /// The buffer's shape is not what the operation takes or gives.
    #[error("buffer {buffer} is {held:?}, the operation needs {needed:?}")]
    Shape {
        /// The buffer.
        buffer: usize,
        /// Its shape.
        held: Shape,
        /// What follows from the other shapes.
        needed: Shape,
    },
    /// A factor of zero.
    #[error("an enlargement by zero")]
    Upsample,
    /// No such weight.
    #[error("weight {weight} does not exist, there are {weights}")]
    Weight {
        /// Named.
        weight: usize,
        /// Held.
        weights: usize,
    },
    /// A weight of the wrong length.
    #[error("weight {weight} holds {held} values, the operation takes {needed}")]
    WeightLength {
        /// The weight.
        weight: usize,
        /// Held.
        held: usize,
        /// Taken.
        needed: usize,
    },
    /// A window without area or step, out of all proportion, or (pooling) with windows of padding
    /// alone.
    #[error("{window:?} is no window for this operation")]
    Window {
        /// The window.
        window: Window,
    },
    /// Two writers of one buffer; the feed counts as one.
    #[error("buffer {buffer} is written twice")]
    WrittenTwice {
        /// The buffer.
        buffer: usize,
    },
}

impl Program {
    /// Refuses a program that is not well formed; the module says what holds afterwards.
    ///
    /// # Errors
    /// [`ProgramError`] with the first fault found.
    pub fn check(&self) -> Result<(), ProgramError> {
        let at = |place| move |fault| ProgramError { program: self.name.clone(), place, fault };
        for (number, &shape) in self.buffers.iter().enumerate() {
            check_size(shape).map_err(at(Place::Buffer(number)))?;
        }
        let mut written = vec![false; self.buffers.len()];
        self.check_buffer(self.input).map_err(at(Place::Input))?;
        written[self.input.0] = true;
        for (number, step) in self.steps.iter().enumerate() {
            self.check_step(step, &mut written).map_err(at(Place::Step(number)))?;
        }
        if self.outputs.is_empty() {
            return Err(at(Place::Output(0))(Fault::NoOutput));
        }
        for (number, output) in self.outputs.iter().enumerate() {
            self.check_read(output.buffer, &written).map_err(at(Place::Output(number)))?;
        }
        Ok(())
    }

    fn check_buffer(&self, buffer: BufferId) -> Result<(), Fault> {
        if buffer.0 < self.buffers.len() {
            return Ok(());
        }
        Err(Fault::Buffer { buffer: buffer.0, buffers: self.buffers.len() })
    }

    fn check_read(&self, buffer: BufferId, written: &[bool]) -> Result<(), Fault> {
        self.check_buffer(buffer)?;
        if written[buffer.0] {
            return Ok(());
        }
        Err(Fault::NotYetWritten { buffer: buffer.0 })
    }

    fn check_step(&self, step: &Step, written: &mut [bool]) -> Result<(), Fault> {
        check_arity(step)?;
        for &input in &step.inputs {
            self.check_read(input, written)?;
        }
        self.check_buffer(step.output)?;
        if written[step.output.0] {
            return Err(Fault::WrittenTwice { buffer: step.output.0 });
        }
        let output = self.check_op(step)?;
        self.check_shape(step.output, output)?;
        written[step.output.0] = true;
        Ok(())
    }

    /// Checks inputs and weights, and gives the shape that the output must have.
    fn check_op(&self, step: &Step) -> Result<Shape, Fault> {
        let input = self.shape(step.inputs[0]);
        let held = self.shape(step.output);
        match step.op {
            Op::Add { activation } => {
                self.check_shape(step.inputs[1], input)?;
                self.check_activation(activation, input.c)?;
                Ok(input)
            }
            Op::Affine { scale, shift, activation } => {
                self.check_weight(scale, Some(input.c))?;
                self.check_weight(shift, Some(input.c))?;
                self.check_activation(activation, input.c)?;
                Ok(input)
            }
            Op::Concat => self.check_concat(step),
            Op::Conv2d { window, weights, bias, activation } => {
                let output = windowed(&window, input, held.c)?;
                self.check_weight(
                    weights,
                    product(&[window.kernel[0], window.kernel[1], input.c, held.c]),
                )?;
                self.check_tail(step, bias, activation, output)?;
                Ok(output)
            }
            Op::Dense { weights, bias, activation } => {
                let output = Shape { h: 1, w: 1, c: held.c };
                self.check_weight(weights, product(&[input.len(), held.c]))?;
                self.check_weight(bias, Some(held.c))?;
                self.check_activation(activation, held.c)?;
                Ok(output)
            }
            Op::Depthwise { window, weights, bias, activation } => {
                let output = windowed(&window, input, input.c)?;
                self.check_weight(
                    weights,
                    product(&[window.kernel[0], window.kernel[1], input.c]),
                )?;
                self.check_tail(step, bias, activation, output)?;
                Ok(output)
            }
            Op::GlobalAverage => Ok(Shape { h: 1, w: 1, c: input.c }),
            Op::MaxPool { window } => {
                let [rows, columns] = window.kernel;
                let [top, left, bottom, right] = window.pad;
                if top >= rows || bottom >= rows || left >= columns || right >= columns {
                    return Err(Fault::Window { window });
                }
                windowed(&window, input, input.c)
            }
            Op::Scale => {
                self.check_shape(step.inputs[1], Shape { h: 1, w: 1, c: input.c })?;
                Ok(input)
            }
            Op::Softmax => Ok(input),
            Op::Upsample { factor } => {
                if factor == 0 {
                    return Err(Fault::Upsample);
                }
                let (h, w) = (input.h.saturating_mul(factor), input.w.saturating_mul(factor));
                Ok(Shape { h, w, c: input.c })
            }
        }
    }

    fn check_concat(&self, step: &Step) -> Result<Shape, Fault> {
        let first = self.shape(step.inputs[0]);
        let mut channels = 0;
        for &buffer in &step.inputs {
            let c = self.shape(buffer).c;
            self.check_shape(buffer, Shape { c, ..first })?;
            channels += c;
        }
        Ok(Shape { c: channels, ..first })
    }

    /// What a convolution ends with: bias, residual, activation.
    fn check_tail(
        &self,
        step: &Step,
        bias: WeightId,
        activation: Activation,
        output: Shape,
    ) -> Result<(), Fault> {
        if let Some(&residual) = step.inputs.get(1) {
            self.check_shape(residual, output)?;
        }
        self.check_weight(bias, Some(output.c))?;
        self.check_activation(activation, output.c)
    }

    fn check_activation(&self, activation: Activation, channels: usize) -> Result<(), Fault> {
        match activation {
            Activation::Prelu(slope) => self.check_weight(slope, Some(channels)),
            Activation::Identity | Activation::Relu | Activation::Sigmoid => Ok(()),
        }
    }

    fn check_shape(&self, buffer: BufferId, needed: Shape) -> Result<(), Fault> {
        let held = self.shape(buffer);
        if held == needed {
            return Ok(());
        }
        Err(Fault::Shape { buffer: buffer.0, held, needed })
    }

    /// `needed` is `None` where the length would not fit a `usize`: no weight has it.
    fn check_weight(&self, weight: WeightId, needed: Option<usize>) -> Result<(), Fault> {
        let weights = self.weights.len();
        let Some(values) = self.weights.get(weight.0) else {
            return Err(Fault::Weight { weight: weight.0, weights });
        };
        if Some(values.len()) == needed {
            return Ok(());
        }
        let needed = needed.unwrap_or(usize::MAX);
        Err(Fault::WeightLength { weight: weight.0, held: values.len(), needed })
    }
}

fn product(factors: &[usize]) -> Option<usize> {
    factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor))
}

fn check_size(shape: Shape) -> Result<(), Fault> {
    let Shape { h, w, c } = shape;
    match product(&[h, w, c]) {
        Some(values) if (1..=BUFFER_VALUES_MAX).contains(&values) => Ok(()),
        _ => Err(Fault::BufferSize { h, w, c, most: BUFFER_VALUES_MAX }),
    }
}

fn check_arity(step: &Step) -> Result<(), Fault> {
    let (fits, needed) = match step.op {
        Op::Add { .. } | Op::Scale => (step.inputs.len() == 2, "2"),
        Op::Concat => (!step.inputs.is_empty(), "1 or more"),
        Op::Conv2d { .. } | Op::Depthwise { .. } => {
            ((1..=2).contains(&step.inputs.len()), "1, or 2 with a residual")
        }
        Op::Affine { .. }
        | Op::Dense { .. }
        | Op::GlobalAverage
        | Op::MaxPool { .. }
        | Op::Softmax
        | Op::Upsample { .. } => (step.inputs.len() == 1, "1"),
    };
    if fits { Ok(()) } else { Err(Fault::Inputs { held: step.inputs.len(), needed }) }
}

/// Shape of what `window` gives over `input`; zero rows or columns fail against any buffer.
fn windowed(window: &Window, input: Shape, channels: usize) -> Result<Shape, Fault> {
    let sides = [window.kernel, window.stride];
    let positive = sides.iter().flatten().all(|side| (1..=WINDOW_SIDE_MAX).contains(side));
    if !positive || window.pad.iter().any(|&pad| pad > WINDOW_SIDE_MAX) {
        return Err(Fault::Window { window: *window });
    }
    let [h, w] = window.output(input.h, input.w);
    Ok(Shape { h, w, c: channels })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ops::program::{ChannelOrder, Output};

    const SQUARE: Shape = Shape { h: 4, w: 4, c: 2 };

    /// conv 3×3 with a residual, over a square.
    fn program() -> Program {
        let window = Window { kernel: [3, 3], stride: [1, 1], pad: [1; 4] };
        let (weights, bias) = (WeightId(0), WeightId(1));
        let activation = Activation::Prelu(WeightId(1));
        Program {
            name: "square".to_owned(),
            input: BufferId(0),
            channels: ChannelOrder::Rgb,
            buffers: vec![SQUARE, SQUARE],
            weights: vec![Arc::from([0.0; 36]), Arc::from([0.0; 2])],
            steps: vec![Step {
                op: Op::Conv2d { window, weights, bias, activation },
                inputs: vec![BufferId(0), BufferId(0)],
                output: BufferId(1),
            }],
            outputs: vec![Output { name: "out".to_owned(), buffer: BufferId(1) }],
        }
    }

    fn fault(change: impl FnOnce(&mut Program)) -> (Place, Fault) {
        let mut program = program();
        change(&mut program);
        let error = program.check().expect_err("the change broke it");
        (error.place, error.fault)
    }

    fn with_op(op: Op, inputs: usize) -> impl FnOnce(&mut Program) {
        move |program| {
            program.steps[0].op = op;
            program.steps[0].inputs = vec![BufferId(0); inputs];
        }
    }

    #[test]
    fn a_whole_program_passes() {
        assert_eq!(program().check(), Ok(()));
    }

    #[test]
    fn buffers_and_their_order_are_checked() {
        let none = Shape { h: 0, w: 4, c: 2 };
        let most = BUFFER_VALUES_MAX;
        let size = |h, w| Fault::BufferSize { h, w, c: 2, most };
        assert_eq!(fault(|p| p.buffers[0] = none), (Place::Buffer(0), size(0, 4)));
        let huge = Shape { h: usize::MAX, w: 4, c: 2 };
        assert_eq!(fault(|p| p.buffers[1] = huge), (Place::Buffer(1), size(usize::MAX, 4)));
        let absent = Fault::Buffer { buffer: 9, buffers: 2 };
        assert_eq!(fault(|p| p.input = BufferId(9)), (Place::Input, absent.clone()));
        assert_eq!(fault(|p| p.steps[0].inputs[1] = BufferId(9)), (Place::Step(0), absent.clone()));
        assert_eq!(fault(|p| p.outputs[0].buffer = BufferId(9)), (Place::Output(0), absent));
        let early = Fault::NotYetWritten { buffer: 1 };
        assert_eq!(fault(|p| p.steps[0].inputs[0] = BufferId(1)), (Place::Step(0), early.clone()));
        assert_eq!(fault(|p| p.steps.clear()), (Place::Output(0), early));
        let twice = (Place::Step(0), Fault::WrittenTwice { buffer: 0 });
        assert_eq!(fault(|p| p.steps[0].output = BufferId(0)), twice);
        assert_eq!(fault(|p| p.outputs.clear()), (Place::Output(0), Fault::NoOutput));
    }

    #[test]
    fn weights_are_checked() {
        let absent = Fault::Weight { weight: 1, weights: 1 };
        assert_eq!(fault(|p| p.weights.truncate(1)).1, absent);
        let short = Fault::WeightLength { weight: 0, held: 35, needed: 36 };
        assert_eq!(fault(|p| p.weights[0] = Arc::from([0.0; 35])).1, short);
        let short = Fault::WeightLength { weight: 1, held: 1, needed: 2 };
        assert_eq!(fault(|p| p.weights[1] = Arc::from([0.0; 1])).1, short);
    }

    #[test]
    fn shapes_follow_from_the_inputs() {
        let narrow = Shape { w: 3, ..SQUARE };
        let needed = Fault::Shape { buffer: 1, held: narrow, needed: SQUARE };
        assert_eq!(fault(|p| p.buffers[1] = narrow).1, needed);
        let doubled = Shape { c: 4, ..SQUARE };
        let needed = |needed| Fault::Shape { buffer: 1, held: SQUARE, needed };
        assert_eq!(fault(with_op(Op::Concat, 2)).1, needed(doubled));
        let mean = Shape { h: 1, w: 1, c: 2 };
        assert_eq!(fault(with_op(Op::GlobalAverage, 1)).1, needed(mean));
        let twice = Shape { h: 8, w: 8, c: 2 };
        assert_eq!(fault(with_op(Op::Upsample { factor: 2 }, 1)).1, needed(twice));
        assert_eq!(fault(with_op(Op::Upsample { factor: 0 }, 1)).1, Fault::Upsample);
        let gate = Fault::Shape { buffer: 0, held: SQUARE, needed: mean };
        assert_eq!(fault(with_op(Op::Scale, 2)).1, gate);
    }

    #[test]
    fn windows_and_arity_are_checked() {
        let window = Window { kernel: [2, 2], stride: [1, 1], pad: [2, 0, 0, 0] };
        let pooled = fault(with_op(Op::MaxPool { window }, 1)).1;
        assert_eq!(pooled, Fault::Window { window });
        let still = Window { kernel: [2, 2], stride: [1, 0], pad: [0; 4] };
        let pooled = fault(with_op(Op::MaxPool { window: still }, 1)).1;
        assert_eq!(pooled, Fault::Window { window: still });
        let three = fault(|p| p.steps[0].inputs.push(BufferId(0))).1;
        assert_eq!(three, Fault::Inputs { held: 3, needed: "1, or 2 with a residual" });
        assert_eq!(fault(with_op(Op::Softmax, 0)).1, Fault::Inputs { held: 0, needed: "1" });
    }

    #[test]
    fn the_message_says_where_and_what() {
        let mut program = program();
        program.steps[0].output = BufferId(0);
        let said = program.check().expect_err("written twice").to_string();
        assert_eq!(said, "program square, step 0: buffer 0 is written twice");
    }
}
