//! A network on the device: a recording per batch size, results alone come back.
//!
//! ```text
//! feeds ─► host memory ─► cargo ─► fit / warp / narrow ─► recorded launches ─► results ─► host
//!          └ stream of copies ┘    └──────────────── stream of launches ───────────────────┘
//! ```
//!
//! There are two of everything that host and device share: while the device computes one batch, the
//! host fills the next, and hands it over ([`Network::begin`]); the copies of it go up beside the
//! launches. A batch that the device's memory does not hold at once goes in several flights, which
//! follow each other in the same way. Launches of different flights never overlap: they share the
//! program's memory, in the order of one stream.
//!
//! The last work of every flight zeroes what it left in the device's memory; what host and device
//! share is zeroed when it has landed. What a flight that failed midway left is zeroed behind the
//! next one, or by `wipe`.
//!
//! Invariant: everything but the room for pixels is made when the network is loaded; that room
//! grows to the largest batch of frames. `load` compiles and loads every kernel of every batch
//! size, and runs those of one item and of the largest batch once, so that the first batch is not
//! the one that waits. What is absent: results of a batch that failed; they are not to be read.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

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
    /// Bytes of cargo, from the beginning, that may still hold something.
    used_cargo: usize,
    /// Cargo has come up, and has been taken out.
    came: Event,
    taken: Event,
    /// Results of all items, one result after the other.
    down: HostMemory,
}

/// A flight under way.
struct Underway {
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
    flights: [Flight; DEPTH],
    /// The last flight of every batch under way, the oldest first.
    under_way: VecDeque<Underway>,
    /// Every item's outputs, of two batches: item by item, in the order of the program's.
    outputs: [Vec<Vec<f32>>; DEPTH],
    /// Which of them are to be read.
    shown: usize,
    /// Items whose memory on the device may still hold something.
    used_items: usize,
    /// Whether something of a batch may still be anywhere.
    used: bool,
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
            used_cargo: 0,
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
        let outputs = || (0..batch_max).flat_map(|_| blank()).collect();
        let outputs = [outputs(), outputs()];
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
            under_way: VecDeque::with_capacity(DEPTH),
            outputs,
            shown: 0,
            used_items: 0,
            used: false,
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
            for feed in [Feed::Fit { frame }, Feed::Warp { frame, to_frame }] {
                self.take_off(&[feed])?;
                self.land_oldest()?;
            }
        }
        self.take_off(&[Feed::Tensor(&zeros)])?;
        self.land_oldest()?;
        self.batch = 0;
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

    /// Hands all feeds over, flight after flight; the last one is then under way. Where another
    /// batch is, its flight is left alone, and those of this one take turns in the other.
    fn take_off(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        let other = self.under_way.front().map(|other| (other.flight, other.into));
        let into = other.map_or(self.shown, |(_, into)| 1 - into);
        let mut before: Option<Underway> = None;
        let mut first = 0;
        for some in feeds.chunks(self.rooms.items) {
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
            let shown: Vec<_> = some.iter().map(|feed| Shown::new(feed, self.input)).collect();
            self.launch(flight, &shown)?;
            self.scrub()?;
            let next = Underway { flight, into, first, items: some.len() };
            if let Some(before) = before.replace(next) {
                self.land(&before)?;
            }
            first += some.len();
        }
        self.under_way.extend(before);
        Ok(())
    }

    /// Waits for the oldest batch, and shows its outputs.
    fn land_oldest(&mut self) -> Driven<()> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        self.land(&oldest)?;
        self.shown = oldest.into;
        self.batch = oldest.first + oldest.items;
        Ok(())
    }

    /// Fills the host's memory of `flight`, and hands everything over.
    fn launch(&mut self, number: usize, shown: &[Shown<'_>]) -> Result<(), BackendError> {
        let (places, bytes) = stowed(shown);
        self.make_room(number, bytes)?;
        self.used = true;
        self.used_items = self.used_items.max(shown.len());
        let flight = &mut self.flights[number];
        flight.used_cargo = flight.used_cargo.max(bytes);
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
            // What goes has come and was taken out; both are zeroed when they are given back.
            flight.came.wait()?;
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

    /// Runs `feeds`, which must be one flight, and leaves their inputs to [`Loaded::replay_ms`].
    pub(super) fn prepare(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        admit(feeds, self.rooms.items, self.input)?;
        let shown: Vec<_> = feeds.iter().map(|feed| Shown::new(feed, self.input)).collect();
        self.launch(0, &shown)?;
        Ok(self.land(&Underway { flight: 0, into: self.shown, first: 0, items: feeds.len() })?)
    }

    /// Milliseconds of one replay over the `items` items that were prepared.
    pub(super) fn replay_ms(
        &mut self,
        items: usize,
        marks: &[Event; 2],
    ) -> Result<f32, BackendError> {
        let recording = self.recordings.get_mut(&items).expect("it was prepared with so many");
        between(&self.launches, marks, || Ok(recording.replay()?))
    }

    /// Waits for a flight, takes its results, and zeroes what host and device share.
    fn land(&mut self, underway: &Underway) -> Driven<()> {
        let items = underway.items;
        let values = |place: usize| self.plan.results[place].values;
        let starts: Vec<usize> = (0..self.plan.results.len())
            .scan(0, |at, place| {
                let start = *at;
                *at += values(place) * VALUE * items;
                Some(start)
            })
            .collect();
        let bytes = (0..self.plan.results.len()).map(|place| values(place) * VALUE * items).sum();
        let flight = &mut self.flights[underway.flight];
        let held = flight.down.read(bytes)?;
        let outputs = self.outputs[underway.into].chunks_mut(self.places.len());
        for (item, outputs) in outputs.skip(underway.first).take(items).enumerate() {
            for (&place, output) in self.places.iter().zip(outputs) {
                let output = cast_slice_mut::<f32, u8>(output);
                let at = starts[place] + item * output.len();
                output.copy_from_slice(&held[at..at + output.len()]);
            }
        }
        flight.up.wipe()?;
        flight.down.wipe()
    }

    /// Zeroes what flights left in the device's memory, behind all that was handed over. Results
    /// that are on their way to the host are copied before, in the order of the stream.
    fn scrub(&mut self) -> Driven<()> {
        let items = self.used_items;
        for (slot, bytes) in self.rooms.slots.iter().zip(&self.plan.slots.sizes) {
            self.launches.clear(slot, 0..bytes * items)?;
        }
        for (held, result) in self.rooms.results.iter().zip(&self.plan.results) {
            self.launches.clear(held, 0..result.values * VALUE * items)?;
        }
        if let Some(sums) = &self.rooms.sums
            && items > 0
        {
            self.launches.clear(sums, 0..sums.bytes())?;
        }
        self.used_items = 0;
        for flight in &mut self.flights {
            if flight.used_cargo == 0 {
                continue;
            }
            // Cargo of a flight that failed midway may still be coming up.
            self.launches.after(&flight.came)?;
            let bytes = flight.used_cargo.min(flight.cargo.bytes());
            self.launches.clear(&flight.cargo, 0..bytes)?;
            // The next cargo comes up behind the zeros.
            self.launches.mark(&flight.taken)?;
            flight.used_cargo = 0;
        }
        Ok(())
    }

    /// Zeroes the device's memory and what host and device share, as far as it was used.
    fn clear(&mut self) -> Result<(), BackendError> {
        self.forget();
        if !self.used {
            return Ok(());
        }
        if self.flights.iter().any(|flight| flight.used_cargo > 0) {
            // One failed midway: whatever still comes up comes before the zeros.
            self.copies.wait()?;
        }
        self.scrub()?;
        self.launches.wait()?;
        for flight in &mut self.flights {
            flight.up.wipe()?;
            flight.down.wipe()?;
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
        // Only a lost device lets nothing land, and then all that is under way is lost.
        gpu.guard(|| Ok(self.land_oldest()?)).inspect_err(|_| self.under_way.clear())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        let outputs = self.places.len();
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
