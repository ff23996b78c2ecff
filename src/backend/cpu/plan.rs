//! From a program to stages: what is fused, where buffers lie, how large everything is. Decided
//! once per load; a run allocates nothing.
//!
//! Steps whose output row needs only some rows of their input are linked into **chains**. A chain
//! is walked row by row: each link keeps only the rows that the next one still needs, in a ring
//! that fits the core's cache, and the large activations between them are never written to memory.
//! Threads take bands of the last link's rows; the rows above and below a band are then computed by
//! both neighbours, so a windowed link is only fused where that costs less than writing the buffer
//! would.
//!
//! What is not here: `Dense`, `GlobalAverage` and `Concat` read everything at once and are stages
//! of their own.

use super::{
    chain::{Chain, Link, Reach, RowKernel},
    conv::{Conv, Weights},
    curve::{Curve, period, repeated},
    dense::Dense,
    depthwise::Depthwise,
    fuse::{Group, LINKS_MAX, by_rows, groups, reach, window},
    memory::{LINE, Layout, Place},
    rows::REACH_MAX,
    siblings::{View, merge},
};
use crate::ops::program::{BufferId, Op, Program, Shape, Step};

/// Pixels of a strip of a packed convolution: enough register blocks to read its weights for.
const STRIP_PIXELS: usize = 112;
/// Packed left side of a strip, in bytes.
const STRIP_BYTES_MAX: usize = 512 << 10;

/// What the kernels are compiled for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Values of a register.
    pub(super) lanes: usize,
    /// Threads.
    pub(super) threads: usize,
}

/// One stage between two barriers.
#[derive(Debug)]
pub(super) enum Stage {
    /// Fused rows.
    Chain(Chain),
    /// Bare sums of a dense layer; then its output.
    Dense {
        /// The layer.
        dense: Dense,
        /// Its input.
        input: Place,
        /// One row of sums per panel.
        sums: Place,
        /// Its output.
        output: Place,
    },
    /// Mean over all positions.
    Average {
        /// Read.
        input: Place,
        /// Written.
        output: Place,
    },
    /// Channels one after the other.
    Concat {
        /// Read.
        inputs: Vec<Place>,
        /// Written.
        output: Place,
    },
}

/// Where an output of the program lies, and what is left to do to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) place: Place,
    pub(super) view: View,
}

/// A program made ready.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) stages: Vec<Stage>,
    /// Where the feed goes; none where the chain that reads it makes it row by row.
    pub(super) input: Option<Place>,
    pub(super) outputs: Vec<Answer>,
    /// Values of the largest chunk of each slot.
    pub(super) slot_lens: Vec<usize>,
    /// Values of each link's ring, for the largest chain.
    pub(super) ring_lens: Vec<usize>,
    /// Values of the largest packed left side.
    pub(super) packed_len: usize,
    /// Values of the longest row.
    pub(super) row_len: usize,
}

/// Why a step cannot run here.
pub(super) struct Refused {
    pub(super) step: usize,
    pub(super) why: String,
}

/// Plans `program` for `batch_max` items.
pub(super) fn plan(program: &Program, batch_max: usize, target: Target) -> Result<Plan, Refused> {
    for (number, step) in program.steps.iter().enumerate() {
        if let Some(window) = window(&step.op)
            && window.kernel[0] > REACH_MAX
        {
            let why = format!("a window of {} rows; at most {REACH_MAX}", window.kernel[0]);
            return Err(Refused { step: number, why });
        }
    }
    let (merged, views) = merge(program);
    let groups = groups(&merged, target);
    Ok(Planner::new(&merged, target, &groups).plan(batch_max, &groups, &views))
}

struct Planner<'a> {
    program: &'a Program,
    target: Target,
    layouts: Vec<Layout>,
    /// First and last stage that needs a buffer; outputs live for ever.
    lives: Vec<Option<(usize, usize)>>,
    places: Vec<Option<Place>>,
    slot_lens: Vec<usize>,
    /// Last stage that needs what lies in a slot.
    slot_ends: Vec<usize>,
    /// Whether a chain makes the input itself.
    fed: bool,
}

impl<'a> Planner<'a> {
    fn new(program: &'a Program, target: Target, groups: &[Group]) -> Self {
        let layouts = (0..program.buffers.len()).map(|id| layout(program, BufferId(id), target));
        let mut lives: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
        let mut touch = |buffer: BufferId, stage: usize| {
            let life = lives[buffer.0].get_or_insert((stage, stage));
            *life = (life.0.min(stage), life.1.max(stage));
        };
        // Stage 0 is the feed.
        touch(program.input, 0);
        for (number, group) in groups.iter().enumerate() {
            let inner = |buffer: &BufferId| {
                let steps = group.steps.iter().take(group.steps.len() - 1);
                steps.clone().any(|&step| program.steps[step].output == *buffer)
            };
            for &step in &group.steps {
                let step = &program.steps[step];
                for buffer in step.inputs.iter().chain([&step.output]).filter(|one| !inner(one)) {
                    touch(*buffer, number + 1);
                }
            }
        }
        for output in &program.outputs {
            touch(output.buffer, groups.len() + 1);
        }
        Self {
            program,
            target,
            layouts: layouts.collect(),
            lives,
            places: vec![None; program.buffers.len()],
            slot_lens: Vec::new(),
            slot_ends: Vec::new(),
            fed: false,
        }
    }

    fn plan(mut self, batch_max: usize, groups: &[Group], views: &[View]) -> Plan {
        let input = (!self.feeds_a_chain(groups)).then(|| self.place(self.program.input));
        self.fed = input.is_none();
        let stages: Vec<Stage> = groups
            .iter()
            .enumerate()
            .map(|(number, group)| self.stage(number + 1, group))
            .collect();
        let answer = |&view: &View| Answer { place: self.place(view.buffer), view };
        let outputs = views.iter().map(answer).collect();
        let mut ring_lens = Vec::new();
        let (mut packed_len, mut row_len) = (0, 0);
        for stage in &stages {
            match stage {
                Stage::Chain(chain) => {
                    ring_lens.resize(ring_lens.len().max(chain.links.len()), 0);
                    for (len, link) in ring_lens.iter_mut().zip(&chain.links) {
                        *len = (*len).max(link.ring_rows * link.output.pitch);
                        packed_len = packed_len.max(link.packed_len());
                        row_len = row_len.max(link.input.pitch);
                    }
                }
                Stage::Dense { dense, .. } => {
                    let sums = batch_max * dense.panel_width();
                    packed_len = packed_len.max(dense.packed_len(batch_max));
                    ring_lens.resize(ring_lens.len().max(1), 0);
                    ring_lens[0] = ring_lens[0].max(sums);
                }
                Stage::Average { .. } | Stage::Concat { .. } => {}
            }
        }
        Plan { stages, input, outputs, slot_lens: self.slot_lens, ring_lens, packed_len, row_len }
    }

    /// Whether the input is read by the first step of one chain and by nothing else.
    fn feeds_a_chain(&self, groups: &[Group]) -> bool {
        let input = self.program.input;
        let readers =
            self.program.steps.iter().flat_map(|step| &step.inputs).filter(|&&read| read == input);
        let is_output = self.program.outputs.iter().any(|output| output.buffer == input);
        let opens = |group: &&Group| {
            let first = &self.program.steps[group.steps[0]];
            by_rows(&first.op) && first.inputs[0] == input && group.steps.len() < LINKS_MAX
        };
        readers.count() == 1 && !is_output && groups.iter().filter(opens).count() == 1
    }

    /// The link that makes the network's input.
    fn feed(&self) -> Link {
        let layout = self.layouts[self.program.input.0];
        let reach = Reach { kernel: 1, stride: 1, top: 0, factor: 1 };
        let kernel = RowKernel::Feed(self.program.channels);
        Link { kernel, reach, input: layout, output: layout, strip: 1, ring_rows: 0, extra: None }
    }

    /// Where a buffer lies; a slot is found when it is first asked for.
    fn place(&mut self, buffer: BufferId) -> Place {
        if let Some(place) = self.places[buffer.0] {
            return place;
        }
        let layout = self.layouts[buffer.0];
        let (from, to) = self.lives[buffer.0].unwrap_or((0, 0));
        let place = Place { slot: self.slot(layout, from, to), layout };
        self.places[buffer.0] = Some(place);
        place
    }

    /// A slot that is free from stage `from` to stage `to`: the one that grows least.
    fn slot(&mut self, layout: Layout, from: usize, to: usize) -> usize {
        let len = layout.chunk_rows * layout.pitch;
        let free = (0..self.slot_lens.len()).filter(|&slot| self.slot_ends[slot] < from);
        let growth = |slot: &usize| len.saturating_sub(self.slot_lens[*slot]);
        let waste = |slot: &usize| self.slot_lens[*slot].saturating_sub(len);
        let slot = free.min_by_key(|slot| (growth(slot), waste(slot))).unwrap_or_else(|| {
            self.slot_lens.push(0);
            self.slot_ends.push(0);
            self.slot_lens.len() - 1
        });
        self.slot_lens[slot] = self.slot_lens[slot].max(len);
        self.slot_ends[slot] = to;
        slot
    }

    fn stage(&mut self, number: usize, group: &Group) -> Stage {
        let step = &self.program.steps[group.steps[0]];
        match step.op {
            Op::Dense { weights, bias, activation } => {
                let lanes = self.target.lanes;
                let dense = Dense::new(self.program, weights, bias, activation, lanes);
                let rows = Shape { h: dense.panels.len(), w: 1, c: dense.panel_width() };
                let layout = Layout::new(rows, 0, 0, self.target.threads);
                let input = self.place(step.inputs[0]);
                let output = self.place(step.output);
                let sums = Place { slot: self.slot(layout, number, number), layout };
                Stage::Dense { dense, input, sums, output }
            }
            Op::GlobalAverage => {
                let input = self.place(step.inputs[0]);
                Stage::Average { input, output: self.place(step.output) }
            }
            Op::Concat => {
                let inputs = step.inputs.iter().map(|&input| self.place(input)).collect();
                Stage::Concat { inputs, output: self.place(step.output) }
            }
            _ => Stage::Chain(self.chain(group)),
        }
    }

    fn chain(&mut self, group: &Group) -> Chain {
        let mut links: Vec<Link> = Vec::with_capacity(group.steps.len());
        let mut extras = Vec::new();
        let mut source = None;
        let mut before = None;
        for &number in &group.steps {
            let step = &self.program.steps[number];
            let from = match before {
                Some(before) if step.inputs.contains(&before) => before,
                _ => step.inputs[0],
            };
            if before.is_none() {
                if self.fed && from == self.program.input {
                    links.push(self.feed());
                } else {
                    source = Some(self.place(from));
                }
            }
            let position = step.inputs.iter().position(|&input| input == from).unwrap_or(0);
            let others = step.inputs.iter().enumerate().filter(|(at, _)| *at != position);
            let mut extra = None;
            for (_, &other) in others {
                extra = Some(extras.len());
                extras.push(self.place(other));
            }
            links.push(self.link(step, from, extra));
            before = Some(step.output);
        }
        for at in 1..links.len() {
            let strip = links[at].strip;
            let wanted = links[at].reach.count(strip);
            let writer = &mut links[at - 1];
            // A whole number of strips, so that after the first none is cut where the ring wraps.
            writer.ring_rows = (wanted + writer.strip - 1).next_multiple_of(writer.strip);
        }
        let last = &self.program.steps[group.steps[group.steps.len() - 1]];
        Chain { source, output: self.place(last.output), links, extras }
    }

    fn link(&self, step: &Step, from: BufferId, extra: Option<usize>) -> Link {
        let (input, output) = (self.layouts[from.0], self.layouts[step.output.0]);
        let kernel = self.kernel(step, input.shape, output.shape);
        let reach = reach(&step.op);
        let strip = match &kernel {
            RowKernel::Conv(conv) if !conv.is_direct() => {
                let row_bytes = conv.packed_len(output.shape.w) * size_of::<f32>();
                let by_bytes = (STRIP_BYTES_MAX / row_bytes).max(1);
                let by_reach = (REACH_MAX - reach.kernel) / reach.stride + 1;
                let by_pixels = STRIP_PIXELS.div_ceil(output.shape.w);
                by_pixels.min(by_bytes).min(by_reach).min(output.shape.h)
            }
            _ => 1,
        };
        Link { kernel, reach, input, output, strip, ring_rows: 0, extra }
    }

    fn kernel(&self, step: &Step, input: Shape, output: Shape) -> RowKernel {
        let lanes = self.target.lanes;
        let repeated_curve = |activation| {
            Curve::new(self.program, activation, output.c, |values| repeated(values, lanes))
        };
        match step.op {
            Op::Conv2d { window, weights, bias, activation } => {
                let own = Weights { weights, bias, activation };
                RowKernel::Conv(Conv::new(self.program, window, input, output, &own, lanes))
            }
            Op::Depthwise { window, weights, bias, activation } => RowKernel::Depthwise(
                Depthwise::new(self.program, window, weights, bias, activation, lanes),
            ),
            Op::MaxPool { window } => RowKernel::MaxPool(window),
            Op::Affine { scale, shift, activation } => RowKernel::Affine {
                scale: repeated(self.program.weight(scale), lanes),
                shift: repeated(self.program.weight(shift), lanes),
                curve: repeated_curve(activation),
                period: period(output.c, lanes),
            },
            Op::Add { activation } => RowKernel::Add {
                curve: repeated_curve(activation),
                period: period(output.c, lanes),
            },
            Op::Scale => RowKernel::Scale,
            Op::Softmax => RowKernel::Softmax,
            Op::Upsample { factor } => RowKernel::Upsample(factor),
            Op::Concat | Op::Dense { .. } | Op::GlobalAverage => {
                unreachable!("a stage of its own, never a link")
            }
        }
    }
}

/// How a buffer lies: with the padding of the widest window that reads it.
fn layout(program: &Program, buffer: BufferId, target: Target) -> Layout {
    let shape = program.shape(buffer);
    let (mut left, mut right) = (0, 0);
    for step in program.steps.iter().filter(|step| step.inputs[0] == buffer) {
        if let Op::Conv2d { window, .. } | Op::Depthwise { window, .. } = step.op {
            let width = program.shape(step.output).w;
            let reached = (width - 1) * window.stride[1] + window.kernel[1];
            left = left.max(window.pad[1]);
            right = right.max(reached.saturating_sub(window.pad[1] + shape.w));
        }
    }
    let row = Layout::new(shape, left, right, target.threads);
    debug_assert!(row.pitch.is_multiple_of(LINE), "rows begin on cache lines");
    row
}
