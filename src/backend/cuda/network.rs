//! A network on the device: a recording per batch size, results alone come back.
//!
//! ```text
//! feeds ─► host memory ─► cargo ─► fit / warp / narrow ─► recorded launches ─► results ─► host
//!          └ stream of copies ┘    └──────────────── stream of launches ───────────────────┘
//! ```
//!
//! A batch that the device's memory does not hold at once goes in several flights. There are two of
//! everything that host and device share: while the device computes one flight, the host fills the
//! next and the copies of it go up.
//!
//! Invariant: everything but the room for pixels is made when the network is loaded; that room
//! grows to the largest batch of frames. `load` compiles and loads every kernel of every batch
//! size, and runs those of one item and of the largest batch once, so that the first batch is not
//! the one that waits. What is absent: results of a batch that failed; they are not to be read.

use std::{collections::HashMap, sync::Arc};

use bytemuck::{bytes_of, cast_slice_mut};
use zeroize::Zeroize;

use super::{
    device::Gpu,
    driver::{
        Driven, Event,
        launch::{Function, Recording, Stream},
        memory::{HostMemory, Memory},
    },
    kernels::{self, Kernel},
    layout::{Job, Picture},
    plan::{Bound, Entry, Launch, Plan, VALUE, plan, tensor_bytes},
    timing::between,
};
use crate::{
    backend::{
        BackendError, Network, Precision,
        gpu::shown::{Frame, How, Shown, admit, pixels},
    },
    ops::program::{ChannelOrder, Feed, Program, Shape, ToFrame},
    types::FrameView,
};

/// Where tensors begin in cargo: an f32 each.
const ALIGNMENT: usize = VALUE;
/// Batch sizes that are recorded when the network is loaded; others when they first come.
const RECORDED_MAX: usize = 32;

/// Memory of the device that a program works in.
struct Rooms {
    /// Items that they hold.
    items: usize,
    slots: Vec<Memory>,
    results: Vec<Memory>,
    sums: Option<Memory>,
}

/// What host and device share for one flight.
struct Flight {
    up: HostMemory,
    /// Pixels and tensors.
    cargo: Memory,
    /// Cargo has come up, and has been taken out.
    came: Event,
    taken: Event,
    /// Results of all items, one result after the other.
    down: HostMemory,
}

/// A program with its buffers.
pub(super) struct Loaded {
    gpu: Arc<Gpu>,
    input: Shape,
    channels: ChannelOrder,
    batch_max: usize,
    /// Items of the last run; outputs of others are not to be read.
    batch: usize,
    plan: Plan,
    /// Place of each of the program's outputs among the results.
    places: Vec<usize>,
    functions: HashMap<Kernel, Arc<Function>>,
    weights: Vec<Memory>,
    rooms: Rooms,
    recordings: HashMap<usize, Recording>,
    copies: Arc<Stream>,
    launches: Arc<Stream>,
    flights: [Flight; 2],
    /// Every item's outputs: item by item, in the order of the program's.
    outputs: Vec<Vec<f32>>,
    /// Items, and bytes of cargo, that may still hold something of a batch.
    used_items: usize,
    used_cargo: usize,
}

impl Rooms {
    fn new(gpu: &Gpu, plan: &Plan, items: usize) -> Driven<Self> {
        let zeroed = |bytes| Memory::zeroed(&gpu.context, bytes);
        let slots = plan.slots.sizes.iter().map(|bytes| zeroed(bytes * items));
        let results = plan.results.iter().map(|result| zeroed(result.values * VALUE * items));
        let sums = plan.sums_bytes(items, gpu.machine);
        Ok(Self {
            items,
            slots: slots.collect::<Driven<_>>()?,
            results: results.collect::<Driven<_>>()?,
            sums: (sums > 0).then(|| zeroed(sums)).transpose()?,
        })
    }

    /// For as many of `items` as the memory holds, but for one at least.
    fn fitting(gpu: &Gpu, plan: &Plan, mut items: usize) -> Result<Self, BackendError> {
        loop {
            match Self::new(gpu, plan, items).map_err(BackendError::from) {
                Err(BackendError::Full { .. }) if items > 1 => items = items.div_ceil(2),
                made => return made,
            }
        }
    }
}

impl Flight {
    fn new(gpu: &Gpu, copies: &Arc<Stream>, launches: &Arc<Stream>, down: usize) -> Driven<Self> {
        Ok(Self {
            up: HostMemory::new(copies, 0)?,
            cargo: Memory::zeroed(&gpu.context, 0)?,
            came: Event::plain(&gpu.context)?,
            taken: Event::plain(&gpu.context)?,
            down: HostMemory::new(launches, down)?,
        })
    }
}

impl Loaded {
    /// Makes `program`, which is sound, ready for `batch_max` items, and launches it once.
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
        let plan = plan(program, batch_max).map_err(|r| refuse(r.step, r.why))?;
        let (copies, launches) = (gpu.stream()?, gpu.stream()?);
        let weights = weights(gpu, program, &plan, &copies).map_err(|why| match why {
            Unfit::Form(why) => refuse(0, why),
            Unfit::Device(error) => error,
        })?;
        let items = if gpu.tight { 1 } else { batch_max };
        let rooms = Rooms::fitting(gpu, &plan, items)?;
        let mut functions = HashMap::new();
        for kernel in plan.kernels(rooms.items, gpu.machine).into_iter().chain(FEEDS) {
            functions.insert(kernel, gpu.function(kernel)?);
        }
        let down = plan.results.iter().map(|result| result.values * VALUE * rooms.items).sum();
        let flight = || Flight::new(gpu, &copies, &launches, down);
        let place = |buffer| plan.results.iter().position(|held| held.buffer == buffer);
        let places = program.outputs.iter().map(|output| place(output.buffer));
        let places: Vec<usize> = places.map(|at| at.expect("every output is a result")).collect();
        let blank = || places.iter().map(|&at| vec![0.0; plan.results[at].values]);
        let outputs = (0..batch_max).flat_map(|_| blank()).collect();
        let flights = [flight()?, flight()?];
        let mut loaded = Self {
            gpu: Arc::clone(gpu),
            input: program.shape(program.input),
            channels: program.channels,
            batch_max,
            batch: 0,
            plan,
            places,
            functions,
            weights,
            rooms,
            recordings: HashMap::new(),
            copies,
            launches,
            flights,
            outputs,
            used_items: 0,
            used_cargo: 0,
        };
        loaded.warm_up()?;
        Ok(loaded)
    }

    /// Runs what every feed and one item need, records the batch sizes that will come, and replays
    /// the largest.
    fn warm_up(&mut self) -> Result<(), BackendError> {
        let frame = FrameView::new(&[0; 3], 1, 1).expect("one pixel");
        let to_frame = ToFrame([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let zeros = vec![0.0; self.input.len()];
        if self.input.c == 3 {
            self.fly(&[Feed::Fit { frame }])?;
            self.fly(&[Feed::Warp { frame, to_frame }])?;
        }
        self.fly(&[Feed::Tensor(&zeros)])?;
        for items in 1..=self.rooms.items.min(RECORDED_MAX) {
            self.record(items)?;
        }
        let largest = self.rooms.items;
        self.record(largest)?;
        // It works on zeros, all of which is zeroed again.
        self.used_items = largest;
        self.recordings.get_mut(&largest).expect("it was recorded").replay()?;
        self.clear()
    }

    /// The steps for `items` items, from now on replayed.
    fn record(&mut self, items: usize) -> Result<(), BackendError> {
        if !self.recordings.contains_key(&items) {
            let launches = Arc::clone(&self.launches);
            let recording = launches.record(|| self.steps(items))?;
            self.recordings.insert(items, recording);
        }
        Ok(())
    }

    /// Hands every step over, for `items` items.
    fn steps(&self, items: usize) -> Driven<()> {
        for launch in &self.plan.launches {
            let (first, second) = launch.entries(items, self.gpu.machine);
            for entry in [Some(first), second].into_iter().flatten() {
                let job = self.told(launch, &entry);
                let function = &self.functions[&entry.kernel];
                self.launches.launch(function, entry.extent, bytes_of(&job))?;
            }
        }
        Ok(())
    }

    /// What the kernel of `entry` is told: its job with addresses.
    fn told(&self, launch: &Launch, entry: &Entry) -> Job {
        let at = |bound| match bound {
            Bound::Nothing => 0,
            Bound::Buffer(id) => {
                let slot = self.plan.slots.of[id.0].expect("it is read or written");
                self.rooms.slots[slot].address(0)
            }
            Bound::Result(place) => self.rooms.results[place].address(0),
            Bound::Weight(place) => self.weights[place].address(0),
        };
        let sums = match &self.rooms.sums {
            Some(sums) if entry.sums_bytes > 0 => {
                assert!(entry.sums_bytes <= sums.bytes(), "partial sums find room");
                sums.address(0)
            }
            _ => 0,
        };
        let bindings = launch.bindings;
        Job {
            input: at(bindings.input),
            second: at(bindings.second),
            weights: at(bindings.weights),
            bias: at(bindings.bias),
            scale: at(bindings.scale),
            slopes: at(bindings.slopes),
            out: at(bindings.out),
            after_scale: at(bindings.after_scale),
            after_shift: at(bindings.after_shift),
            after: at(bindings.after),
            sums,
            ..entry.job
        }
    }

    /// Runs all feeds, flight after flight, two under way at most.
    fn fly(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        let mut before: Option<(usize, usize, usize)> = None;
        let mut first = 0;
        for (number, some) in feeds.chunks(self.rooms.items).enumerate() {
            let shown: Vec<_> = some.iter().map(|feed| Shown::new(feed, self.input)).collect();
            self.launch(number % 2, &shown)?;
            if let Some(before) = before.replace((number % 2, first, some.len())) {
                self.land(before)?;
            }
            first += some.len();
        }
        Ok(before.map_or(Ok(()), |last| self.land(last))?)
    }

    /// Fills the host's memory of `flight`, and hands everything over.
    fn launch(&mut self, number: usize, shown: &[Shown<'_>]) -> Result<(), BackendError> {
        let (places, bytes) = stowed(shown);
        self.used_items = self.used_items.max(shown.len());
        self.used_cargo = self.used_cargo.max(bytes);
        self.make_room(number, bytes)?;
        let flight = &mut self.flights[number];
        let held = flight.up.write(bytes)?;
        for (shown, &at) in shown.iter().zip(&places) {
            held[at..at + shown.bytes.len()].copy_from_slice(shown.bytes);
        }
        self.copies.after(&flight.taken)?;
        flight.up.up(0..bytes, &flight.cargo, 0)?;
        self.copies.mark(&flight.came)?;
        self.launches.after(&flight.came)?;
        self.feed(number, shown, &places)?;
        self.launches.mark(&self.flights[number].taken)?;
        self.record(shown.len())?;
        self.recordings.get_mut(&shown.len()).expect("it was recorded").replay()?;
        let flight = &mut self.flights[number];
        let mut at = 0;
        for (result, held) in self.plan.results.iter().zip(&self.rooms.results) {
            let bytes = result.values * VALUE * shown.len();
            flight.down.down(held, 0..bytes, at)?;
            at += bytes;
        }
        Ok(())
    }

    /// Makes room for `bytes` bytes of cargo.
    fn make_room(&mut self, number: usize, bytes: usize) -> Driven<()> {
        let flight = &mut self.flights[number];
        if flight.cargo.bytes() < bytes || flight.up.bytes() < bytes {
            // What goes was taken out; both are zeroed when they are given back.
            flight.taken.wait()?;
            let room = bytes.next_power_of_two();
            flight.cargo = Memory::zeroed(&self.gpu.context, room)?;
            flight.up = HostMemory::new(&self.copies, room)?;
        }
        Ok(())
    }

    /// Turns cargo into the inputs of its items.
    fn feed(&self, number: usize, shown: &[Shown<'_>], places: &[usize]) -> Driven<()> {
        let (cargo, input) = (&self.flights[number].cargo, &self.rooms.slots[0]);
        let of_item = tensor_bytes(self.input);
        let mut item = 0;
        while item < shown.len() {
            // Tensors that follow each other lie so.
            let run = shown[item..].iter().take_while(|shown| shown.how == How::Tensor).count();
            let from = cargo.address(places[item]);
            let (kernel, extent) = match shown[item].how {
                How::Tensor => {
                    let job = narrowed(self.input, run, from, input.address(item * of_item));
                    let octets = of_item / 16 * run;
                    let function = &self.functions[&Kernel::Narrow];
                    self.launches.launch(function, kernels::elementwise(octets), bytes_of(&job))?;
                    item += run;
                    continue;
                }
                How::Fit { .. } => (Kernel::Fit, kernels::picture(self.input.w, self.input.h)),
                How::Warp { .. } => (Kernel::Warp, kernels::picture(self.input.w, self.input.h)),
            };
            let blank = Picture {
                pixels: from,
                out: input.address(0),
                item: pixels(item),
                out_h: pixels(self.input.h),
                out_w: pixels(self.input.w),
                blue_first: u32::from(self.channels == ChannelOrder::Bgr),
                ..Picture::default()
            };
            let told = pictured(blank, shown[item].how);
            self.launches.launch(&self.functions[&kernel], extent, bytes_of(&told))?;
            item += 1;
        }
        Ok(())
    }

    /// Runs `feeds`, which must be one flight, so that [`Loaded::replay_ms`] has their inputs.
    pub(super) fn take_off(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        admit(feeds, self.rooms.items, self.input)?;
        self.fly(feeds)
    }

    /// Milliseconds of one replay over the `items` items of the last flight.
    pub(super) fn replay_ms(
        &mut self,
        items: usize,
        marks: &[Event; 2],
    ) -> Result<f32, BackendError> {
        let recording = self.recordings.get_mut(&items).expect("it took off with so many");
        between(&self.launches, marks, || Ok(recording.replay()?))
    }

    /// Waits for a flight and takes its results.
    fn land(&mut self, (number, first, items): (usize, usize, usize)) -> Driven<()> {
        let values = |place: usize| self.plan.results[place].values;
        let starts: Vec<usize> = (0..self.plan.results.len())
            .scan(0, |at, place| {
                let start = *at;
                *at += values(place) * VALUE * items;
                Some(start)
            })
            .collect();
        let bytes = (0..self.plan.results.len()).map(|place| values(place) * VALUE * items).sum();
        let held = self.flights[number].down.read(bytes)?;
        let outputs = self.outputs.chunks_mut(self.places.len()).skip(first).take(items);
        for (item, outputs) in outputs.enumerate() {
            for (&place, output) in self.places.iter().zip(outputs) {
                let output = cast_slice_mut::<f32, u8>(output);
                let at = starts[place] + item * output.len();
                output.copy_from_slice(&held[at..at + output.len()]);
            }
        }
        Ok(())
    }

    /// Zeroes the device's memory and what host and device share, as far as it was used.
    fn clear(&mut self) -> Result<(), BackendError> {
        self.outputs.iter_mut().for_each(|values| values.as_mut_slice().zeroize());
        let items = std::mem::take(&mut self.used_items);
        let cargo = std::mem::take(&mut self.used_cargo);
        if items == 0 {
            return Ok(());
        }
        for (slot, bytes) in self.rooms.slots.iter().zip(&self.plan.slots.sizes) {
            self.launches.clear(slot, 0..bytes * items)?;
        }
        for (held, result) in self.rooms.results.iter().zip(&self.plan.results) {
            self.launches.clear(held, 0..result.values * VALUE * items)?;
        }
        if let Some(sums) = &self.rooms.sums {
            self.launches.clear(sums, 0..sums.bytes())?;
        }
        for flight in &self.flights {
            self.launches.clear(&flight.cargo, 0..cargo.min(flight.cargo.bytes()))?;
        }
        self.launches.wait()?;
        for flight in &mut self.flights {
            flight.up.wipe()?;
            flight.down.wipe()?;
        }
        Ok(())
    }
}

/// The kernels that turn cargo into inputs.
const FEEDS: [Kernel; 3] = [Kernel::Fit, Kernel::Narrow, Kernel::Warp];

/// Where each feed begins in cargo, and how much it is.
fn stowed(shown: &[Shown<'_>]) -> (Vec<usize>, usize) {
    let mut at = 0_usize;
    let places = shown.iter().map(|shown| {
        let place = at.next_multiple_of(ALIGNMENT);
        at = place + shown.bytes.len();
        place
    });
    let places = places.collect();
    (places, at)
}

/// What `narrow` is told of `items` tensors that lie at `from`.
fn narrowed(shape: Shape, items: usize, from: u64, to: u64) -> Job {
    let (h, w, c) = (pixels(shape.h), pixels(shape.w), pixels(shape.c));
    Job {
        input: from,
        out: to,
        items: pixels(items),
        in_h: h,
        in_w: w,
        in_c: c,
        out_h: h,
        out_w: w,
        out_c: c,
        splits: 1,
        ..Job::default()
    }
}

fn pictured(blank: Picture, how: How) -> Picture {
    let framed = |of: Frame| {
        let Frame { first_row, rows, width, height } = of;
        Picture { first_row, rows, width, height, ..blank }
    };
    match how {
        How::Tensor => blank,
        How::Fit { of, plan } => Picture {
            new_h: pixels(plan.new_h),
            new_w: pixels(plan.new_w),
            input: pixels(plan.input),
            frame: pixels(plan.frame),
            ..framed(of)
        },
        How::Warp { of, to_frame } => {
            let [m0, m1, m2, m3, m4, m5] = to_frame.0;
            Picture { m0, m1, m2, m3, m4, m5, ..framed(of) }
        }
    }
}

/// Why weights do not come up.
enum Unfit {
    Form(String),
    Device(BackendError),
}

/// Brings every weight of `plan` up, in the form that it is read in.
fn weights(
    gpu: &Gpu,
    program: &Program,
    plan: &Plan,
    copies: &Arc<Stream>,
) -> Result<Vec<Memory>, Unfit> {
    let device = |fault| Unfit::Device(BackendError::from(fault));
    let mut held = Vec::with_capacity(plan.weights.len());
    for &(weight, form) in &plan.weights {
        let bytes = form.of(program.weight(weight)).map_err(Unfit::Form)?;
        let memory = Memory::zeroed(&gpu.context, bytes.len()).map_err(device)?;
        let mut up = HostMemory::new(copies, bytes.len()).map_err(device)?;
        up.write(bytes.len()).map_err(device)?.copy_from_slice(&bytes);
        up.up(0..bytes.len(), &memory, 0).map_err(device)?;
        held.push(memory);
    }
    copies.wait().map_err(device)?;
    Ok(held)
}

impl Network for Loaded {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn precision(&self) -> Precision {
        Precision::Half
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        self.batch = 0;
        admit(feeds, self.batch_max, self.input)?;
        let gpu = Arc::clone(&self.gpu);
        gpu.guard(|| self.fly(feeds))?;
        self.batch = feeds.len();
        Ok(())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        let outputs = self.places.len();
        assert!(index < outputs, "this network has {outputs} outputs, not {}", index + 1);
        assert!(item < self.batch, "the last run had {} items, not {}", self.batch, item + 1);
        &self.outputs[item * outputs + index]
    }

    fn wipe(&mut self) {
        let gpu = Arc::clone(&self.gpu);
        // A lost device has no memory left to be wiped; what is the host's is wiped in any case.
        let _ = gpu.guard(|| self.clear());
        self.outputs.iter_mut().for_each(|values| values.as_mut_slice().zeroize());
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.wipe();
    }
}
