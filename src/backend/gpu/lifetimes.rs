//! Buffers in slots of device memory, by how long they live.
//!
//! A slot is free again after the last step that reads the buffer in it, so that a deep network
//! needs a few slots and not one per layer. Results and the input keep theirs until the next run,
//! because they are copied after the last step and before the first.
//!
//! Invariant: what one step reads and what it writes never share a slot.

use crate::ops::program::{BufferId, Program, Step};

/// What one step reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Touch {
    pub(in crate::backend) reads: Vec<BufferId>,
    pub(in crate::backend) writes: Vec<BufferId>,
}

impl Touch {
    /// Of a step as it stands.
    pub(in crate::backend) fn of(step: &Step) -> Self {
        Self { reads: step.inputs.clone(), writes: vec![step.output] }
    }
}

/// Slots, and which buffer lies in which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::backend) struct Slots {
    /// Size of one item in each.
    pub(in crate::backend) sizes: Vec<usize>,
    /// Slot of each buffer that is read or written; the input's is the first.
    pub(in crate::backend) of: Vec<Option<usize>>,
}

impl Slots {
    /// Slots for the buffers that `touches` name, in their order; `size` is that of one item.
    pub(in crate::backend) fn new(
        program: &Program,
        touches: &[Touch],
        size: impl Fn(BufferId) -> usize,
    ) -> Self {
        let forever = touches.len();
        let mut last_read = vec![0; program.buffers.len()];
        for (number, touch) in touches.iter().enumerate() {
            touch.reads.iter().for_each(|read| last_read[read.0] = number);
        }
        last_read[program.input.0] = forever;
        program.outputs.iter().for_each(|output| last_read[output.buffer.0] = forever);
        let mut slots =
            Self { sizes: vec![size(program.input)], of: vec![None; program.buffers.len()] };
        slots.of[program.input.0] = Some(0);
        let mut free: Vec<usize> = Vec::new();
        for (number, touch) in touches.iter().enumerate() {
            for &written in &touch.writes {
                slots.place(written, size(written), &mut free);
            }
            // A buffer that nobody reads is done with when it is written.
            let mut done: Vec<usize> =
                touch.reads.iter().chain(&touch.writes).map(|buffer| buffer.0).collect();
            done.sort_unstable();
            done.dedup();
            done.retain(|&buffer| last_read[buffer] <= number);
            free.extend(done.iter().filter_map(|&buffer| slots.of[buffer]));
        }
        slots
    }

    fn place(&mut self, buffer: BufferId, size: usize, free: &mut Vec<usize>) {
        // The smallest that is large enough, else the largest, which grows.
        free.sort_unstable_by_key(|&slot| self.sizes[slot]);
        let fitting = free.iter().position(|&slot| self.sizes[slot] >= size);
        let slot = match fitting.or(free.len().checked_sub(1)) {
            Some(at) => free.remove(at),
            None => {
                self.sizes.push(0);
                self.sizes.len() - 1
            }
        };
        self.sizes[slot] = self.sizes[slot].max(size);
        self.of[buffer.0] = Some(slot);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ops::program::{ChannelOrder, Op, Output, Shape};

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
        let program = chain(9);
        let touches: Vec<Touch> = program.steps.iter().map(Touch::of).collect();
        let slots = Slots::new(&program, &touches, |buffer| program.shape(buffer).len());
        assert_eq!(slots.sizes, [12; 3]);
        for step in &program.steps {
            assert_ne!(slots.of[step.inputs[0].0], slots.of[step.output.0]);
        }
    }

    #[test]
    fn two_results_of_one_step_lie_apart_and_live_as_long_as_they_are_read() {
        let program = chain(5);
        // The first step also writes what the fourth reads beside its input.
        let mut touches: Vec<Touch> = program.steps.iter().map(Touch::of).collect();
        touches[0].writes.push(BufferId(3));
        touches.remove(2);
        let slots = Slots::new(&program, &touches, |_| 1);
        let of = |buffer: usize| slots.of[buffer].expect("it is touched");
        assert!(of(1) != of(3) && of(2) != of(3) && of(0) != of(3), "{slots:?}");
    }
}
