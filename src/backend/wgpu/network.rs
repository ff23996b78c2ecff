//! A network on the device: one submission per batch, results alone come back.
//!
//! ```text
//! feeds ─► staging ─► pixels, input ─► fit / warp ─► steps ─► results ─► readback, zeros
//!          └───────────────────── one list of commands ───────────────────────┘
//! ```
//!
//! There are two of everything that host and device share: while the device computes one batch, the
//! host fills the next and hands it over ([`Network::begin`]). A batch whose items or pixels do not
//! fit the device's bindings at once goes in several flights, which follow each other in the same
//! way.
//!
//! The last commands of every flight zero what it left in the device's memory but its results; the
//! staging is zeroed when it has landed, the readback by the next flight that it is used for, or by
//! `wipe`.
//!
//! Invariant: everything but the room for pixels is made when the network is loaded; that room
//! grows to the largest batch of frames. `load` runs every shader once, so that the first batch is
//! not the one that waits for a compiler. What is absent: results of a batch that failed; they are
//! zeros.

use std::{collections::VecDeque, sync::Arc};

use ::wgpu::{
    BindGroup, BindingResource, Buffer, BufferBinding, BufferUsages, CommandEncoder,
    ComputePassDescriptor, SubmissionIndex,
};
use bytemuck::{bytes_of, cast_slice_mut};
use zeroize::Zeroize;

use super::{
    device::{Gpu, Program as Compiled},
    feed::{Pictures, Placed},
    layout::Job,
    plan::{Bound, Bounds, Dispatch, Plan, plan},
    transfer::{Readback, Staging},
    turns::SIMULATED_TURNS_MAX,
    weights::{Unfit, Weights, packed},
};
use crate::{
    backend::{BackendError, Network, gpu::shown::admit},
    ops::program::{ChannelOrder, Feed, Program, Shape, ToFrame},
    types::FrameView,
};

/// Bytes of a value.
const VALUE: u64 = size_of::<f32>() as u64;

/// One dispatch, ready.
struct Ready {
    program: Arc<Compiled>,
    bound: BindGroup,
    groups: [u32; 2],
    items_each: u32,
}

/// One result: its slot, and its values per item.
struct Product {
    slot: usize,
    values: usize,
    /// Where it lies in a readback, item after item.
    at: u64,
}

/// What host and device share for one flight.
struct Flight {
    staging: Staging,
    readback: Readback,
}

/// A flight under way.
struct Underway {
    submission: SubmissionIndex,
    /// Which of the two it is.
    flight: usize,
    /// Which outputs it fills, from which item on, and of how many.
    into: usize,
    first: usize,
    items: usize,
}

/// Batches that may be under way at once: as many as there are flights.
const DEPTH: usize = 2;

/// A program with its buffers.
pub(super) struct Loaded {
    gpu: Arc<Gpu>,
    input: Shape,
    channels: ChannelOrder,
    batch_max: usize,
    /// Items of one flight.
    items: usize,
    /// Items of the last run; outputs of others are not to be read.
    batch: usize,
    slots: Vec<Buffer>,
    pictures: Pictures,
    steps: Vec<Ready>,
    results: Vec<Product>,
    flights: [Flight; DEPTH],
    /// The last flight of every batch under way, the oldest first.
    under_way: VecDeque<Underway>,
    /// Every item's results, of two batches: item by item, in the order of the program's.
    outputs: [Vec<Vec<f32>>; DEPTH],
    /// Which of them are to be read.
    shown: usize,
    /// Whether something of a batch may still be there.
    used: bool,
}

impl Loaded {
    /// Makes `program`, which is sound, ready for `batch_max` items, and runs it once.
    pub(super) fn new(
        gpu: &Arc<Gpu>,
        program: &Program,
        batch_max: usize,
    ) -> Result<Self, BackendError> {
        let refuse = |step: usize, why: String| BackendError::Program {
            program: program.name.clone(),
            step,
            why,
        };
        let bounds = Bounds {
            groups: gpu.limits.max_compute_workgroups_per_dimension,
            turns: if gpu.is_simulated() { SIMULATED_TURNS_MAX } else { u64::MAX },
        };
        let items = items_of_a_flight(gpu, program, batch_max).map_err(|why| refuse(0, why))?;
        let plan = plan(program, items, bounds).map_err(|r| refuse(r.step, r.why))?;
        let room = |values: &usize| gpu.storage("slot", *values as u64 * VALUE * items as u64);
        let slots: Vec<Buffer> = plan.slots.sizes.iter().map(room).collect::<Result<_, _>>()?;
        let steps = steps(gpu, program, &plan, &slots).map_err(|why| match why {
            Unfit::Form(why) => refuse(0, why),
            Unfit::Device(error) => error,
        })?;
        let mut bytes = 0;
        let results: Vec<Product> = program
            .outputs
            .iter()
            .map(|output| {
                let values = program.shape(output.buffer).len();
                let slot = plan.slots.of[output.buffer.0].expect("a result was written");
                let at = bytes;
                bytes += values as u64 * VALUE * items as u64;
                Product { slot, values, at }
            })
            .collect();
        let blank = || results.iter().map(|result| vec![0.0; result.values]);
        let outputs = || (0..batch_max).flat_map(|_| blank()).collect();
        let outputs = [outputs(), outputs()];
        let flight = || -> Result<Flight, BackendError> {
            Ok(Flight { staging: Staging::new(gpu), readback: Readback::new(gpu, bytes)? })
        };
        let mut loaded = Self {
            gpu: Arc::clone(gpu),
            input: program.shape(program.input),
            channels: program.channels,
            batch_max,
            items,
            batch: 0,
            pictures: Pictures::new(gpu, items, &slots[0])?,
            slots,
            steps,
            results,
            flights: [flight()?, flight()?],
            under_way: VecDeque::with_capacity(DEPTH),
            outputs,
            shown: 0,
            used: false,
        };
        loaded.warm_up()?;
        Ok(loaded)
    }

    /// Runs every shader of the network once: drivers compile when a program is first run.
    fn warm_up(&mut self) -> Result<(), BackendError> {
        let frame = FrameView::new(&[0; 3], 1, 1).expect("one pixel");
        let to_frame = ToFrame([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let zeros = vec![0.0; self.input.len()];
        if self.input.c == 3 {
            for feed in [Feed::Fit { frame }, Feed::Warp { frame, to_frame }] {
                self.take_off(&[feed])?;
                self.land_oldest()?;
            }
        } else {
            self.take_off(&[Feed::Tensor(&zeros)])?;
            self.land_oldest()?;
        }
        self.clear()
    }

    /// Hands all feeds over, flight after flight; the last one is then under way. Where another
    /// batch is, its flight is left alone, and those of this one take turns in the other.
    fn take_off(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        self.used = true;
        let other = self.under_way.front().map(|other| (other.flight, other.into));
        let into = other.map_or(self.shown, |(_, into)| 1 - into);
        let mut before: Option<Underway> = None;
        let mut first = 0;
        while first < feeds.len() {
            let flight = match (other, &before) {
                (Some((taken, _)), _) => 1 - taken,
                (None, before) => before.as_ref().map_or(0, |before| 1 - before.flight),
            };
            // The one flight that is left must have landed.
            if other.is_some()
                && let Some(before) = before.take()
            {
                self.land(&before)?;
            }
            let placed = self.place(&feeds[first..]);
            let items = placed.len();
            let submission = self.launch(flight, &placed)?;
            let next = Underway { submission, flight, into, first, items };
            if let Some(before) = before.replace(next) {
                self.land(&before)?;
            }
            first += items;
        }
        self.under_way.extend(before);
        Ok(())
    }

    /// Waits for the oldest batch, and shows its outputs.
    fn land_oldest(&mut self) -> Result<(), BackendError> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        self.land(&oldest)?;
        self.shown = oldest.into;
        self.batch = oldest.first + oldest.items;
        Ok(())
    }

    /// The feeds of one flight: as many as fit, at least one.
    fn place<'a>(&self, feeds: &[Feed<'a>]) -> Vec<Placed<'a>> {
        let most = self.gpu.binding_bytes_max();
        let mut placed = Vec::with_capacity(self.items);
        let mut bytes = 0_u64;
        for (item, feed) in feeds.iter().take(self.items).enumerate() {
            let next = Placed::new(feed, self.input, self.channels, item, bytes / 4);
            let more = if next.is_picture() { whole_words(next.bytes) } else { 0 };
            if item > 0 && bytes + more > most {
                break;
            }
            bytes += more;
            placed.push(next);
        }
        placed
    }

    /// Fills the staging of `flight`, and hands one list of commands over.
    fn launch(
        &mut self,
        flight: usize,
        placed: &[Placed<'_>],
    ) -> Result<SubmissionIndex, BackendError> {
        let told = self.pictures.stride() * placed.len() as u64;
        let pictures = || placed.iter().filter(|placed| placed.is_picture());
        let pixels: u64 = pictures().map(|placed| whole_words(placed.bytes)).sum();
        let all: u64 = placed.iter().map(|placed| whole_words(placed.bytes)).sum();
        let mut encoder = self.gpu.encoder();
        self.pictures.make_room(&self.gpu, &mut encoder, pixels)?;
        let stride = self.pictures.stride();
        // It may hold results of an earlier flight with more items.
        self.flights[flight].readback.wipe(&mut encoder);
        let staging = &mut self.flights[flight].staging;
        // Pictures first, so that all pixels lie together.
        let mut tensors = Vec::new();
        staging.write(told + all, |view| {
            let mut write = |at: u64, bytes: &[u8]| {
                view.slice(at as usize..at as usize + bytes.len()).copy_from_slice(bytes);
            };
            let (mut pixel, mut tensor) = (told, told + pixels);
            for (item, placed) in (0..).zip(placed) {
                write(item * stride, bytes_of(&placed.picture));
                let place = if placed.is_picture() { &mut pixel } else { &mut tensor };
                if !placed.is_picture() {
                    tensors.push((*place, item, placed.bytes.len() as u64));
                }
                write(*place, placed.bytes);
                *place += whole_words(placed.bytes);
            }
            Ok(())
        })?;
        let staging = &self.flights[flight].staging;
        staging.copy(&mut encoder, 0, self.pictures.told(), 0, told);
        if pixels > 0 {
            staging.copy(&mut encoder, told, self.pictures.pixels(), 0, pixels);
        }
        for (from, item, bytes) in tensors {
            staging.copy(&mut encoder, from, &self.slots[0], item * bytes, bytes);
        }
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        self.pictures.dispatch(&mut pass, placed, self.input);
        let items = u32::try_from(placed.len()).expect("a batch is small");
        for step in &self.steps {
            pass.set_pipeline(&step.program.pipeline);
            pass.set_bind_group(0, &step.bound, &[]);
            let [x, y] = step.groups;
            pass.dispatch_workgroups(x, y, items.div_ceil(step.items_each));
        }
        drop(pass);
        for result in &self.results {
            let bytes = result.values as u64 * VALUE * u64::from(items);
            let readback = &self.flights[flight].readback;
            readback.copy(&mut encoder, &self.slots[result.slot], 0, result.at, bytes);
        }
        self.clear_device(&mut encoder);
        let submission = self.gpu.submit(encoder);
        self.flights[flight].staging.submitted(&submission);
        Ok(submission)
    }

    /// Waits for a flight, takes its results, and zeroes what went up.
    fn land(&mut self, underway: &Underway) -> Result<(), BackendError> {
        let Flight { staging, readback } = &mut self.flights[underway.flight];
        let (results, outputs) = (&self.results, &mut self.outputs[underway.into]);
        readback.read(readback.bytes(), &underway.submission, |bytes| {
            let items = outputs.chunks_mut(results.len()).skip(underway.first);
            for (item, outputs) in items.take(underway.items).enumerate() {
                for (result, values) in results.iter().zip(outputs) {
                    let held = cast_slice_mut::<f32, u8>(values);
                    let at = result.at as usize + item * held.len();
                    held.copy_from_slice(&bytes[at..at + held.len()]);
                }
            }
        })?;
        staging.wipe()
    }

    /// Zeroes what only the device reaches.
    fn clear_device(&self, encoder: &mut CommandEncoder) {
        for slot in self.slots.iter().chain([self.pictures.pixels()]) {
            encoder.clear_buffer(slot, 0, None);
        }
    }

    /// Zeroes the device's memory and what host and device share.
    fn clear(&mut self) -> Result<(), BackendError> {
        self.forget();
        if !self.used {
            return Ok(());
        }
        let mut encoder = self.gpu.encoder();
        self.clear_device(&mut encoder);
        for flight in &self.flights {
            flight.readback.wipe(&mut encoder);
        }
        let submission = self.gpu.submit(encoder);
        self.gpu.wait(&submission)?;
        for flight in &mut self.flights {
            flight.staging.wipe()?;
        }
        self.used = false;
        Ok(())
    }

    /// Gives up what is under way, and zeroes what came back.
    fn forget(&mut self) {
        self.under_way.clear();
        self.outputs.iter_mut().flatten().for_each(|values| values.as_mut_slice().zeroize());
    }
}

/// Items that every binding of the network has room for.
fn items_of_a_flight(gpu: &Gpu, program: &Program, batch_max: usize) -> Result<usize, String> {
    if gpu.tight {
        return Ok(1);
    }
    let largest = program.buffers.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let bytes = (largest as u64 * VALUE).max(1);
    let most = gpu.binding_bytes_max();
    match usize::try_from(most / bytes) {
        Ok(0) => Err(format!("a buffer of {bytes} bytes; the device binds at most {most}")),
        Ok(items) => Ok(items.min(batch_max)),
        Err(_) => Ok(batch_max),
    }
}

/// Bytes of a picture or tensor in staging and in memory.
fn whole_words(bytes: &[u8]) -> u64 {
    (bytes.len() as u64).next_multiple_of(4)
}

/// Binds every dispatch of `plan`.
fn steps(gpu: &Gpu, program: &Program, plan: &Plan, slots: &[Buffer]) -> Result<Vec<Ready>, Unfit> {
    let stride = (size_of::<Job>() as u64).next_multiple_of(gpu.offset_alignment());
    let mut told = vec![0; stride as usize * plan.dispatches.len().max(1)];
    for (slice, dispatch) in told.chunks_exact_mut(stride as usize).zip(&plan.dispatches) {
        slice[..size_of::<Job>()].copy_from_slice(bytes_of(&dispatch.job));
    }
    let jobs = gpu.constant("jobs", &told, BufferUsages::UNIFORM)?;
    let nothing = gpu.constant("nothing", &[0; 16], BufferUsages::STORAGE)?;
    let mut weights = Weights::new();
    let bind = |(number, dispatch): (u64, &Dispatch)| -> Result<Ready, Unfit> {
        let mut buffers: Vec<Buffer> = Vec::with_capacity(dispatch.bound.len());
        for &bound in &dispatch.bound {
            buffers.push(match bound {
                Bound::Buffer(id) => {
                    slots[plan.slots.of[id.0].expect("it is read or written")].clone()
                }
                Bound::Weight(id) => weights.plain(gpu, program, id)?.clone(),
                Bound::Packed(id) => packed(gpu, program, id, dispatch)?,
                Bound::Nothing => nothing.clone(),
            });
        }
        let job = BindingResource::Buffer(BufferBinding {
            buffer: &jobs,
            offset: number * stride,
            size: std::num::NonZeroU64::new(size_of::<Job>() as u64),
        });
        let mut resources = vec![job];
        resources.extend(buffers.iter().map(Buffer::as_entire_binding));
        let program = gpu.program(dispatch.shader);
        let bound = gpu.bind(&program, &resources);
        let (groups, items_each) = (dispatch.groups, dispatch.items_each);
        Ok(Ready { program, bound, groups, items_each })
    };
    (0..).zip(&plan.dispatches).map(bind).collect()
}

impl Network for Loaded {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        assert!(self.under_way.is_empty(), "a batch is under way");
        self.begin(feeds)?;
        self.finish()
    }

    fn depth(&self) -> usize {
        DEPTH
    }

    fn begin(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        assert!(self.under_way.len() < DEPTH, "{DEPTH} batches are under way");
        self.batch = 0;
        admit(feeds, self.batch_max, self.input)?;
        let gpu = Arc::clone(&self.gpu);
        gpu.guard(|| self.take_off(feeds))
    }

    fn finish(&mut self) -> Result<(), BackendError> {
        self.batch = 0;
        let gpu = Arc::clone(&self.gpu);
        gpu.guard(|| self.land_oldest())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        let outputs = self.results.len();
        assert!(index < outputs, "this network has {outputs} outputs, not {}", index + 1);
        assert!(item < self.batch, "the last run had {} items, not {}", self.batch, item + 1);
        &self.outputs[self.shown][item * outputs + index]
    }

    fn wipe(&mut self) {
        let gpu = Arc::clone(&self.gpu);
        // A lost device has no memory left to be wiped; what is the host's is wiped in any case.
        let _ = gpu.guard(|| self.clear());
        self.forget();
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.wipe();
    }
}
