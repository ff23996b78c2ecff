//! From ticket to verdict nothing is allocated, once everything has been used: counted by an
//! allocator, on the one thread that turns both lines.
//!
//! The networks of this test allocate nothing either, so that what is counted is the pipeline's
//! own. What the product's backend allocates while it runs a network is counted apart.

#![allow(unsafe_code, reason = "an allocator; it only counts and passes on")]

mod common;
#[path = "common/models.rs"]
mod models;
mod scene;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis::{
    backend::{Backend, BackendError, Engine, Network, cpu::Cpu},
    model::{self, defaults::EMBEDDER},
    ops::program::{ChannelOrder, Feed, ToFrame},
    pipeline::{Reference, Task},
    policy::{AttackRule, Guards, Policy},
    time::{Clock, SimulatedClock},
    types::{Action, Attack, Facts, FrameView, Outcome, Verdict},
};
use scene::{BONA_FIDE, EDGE_PX, PICTURE_BYTES, Scene, Shows, detections, paint, picture};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the thread pool's library sets aside for each run: the list of its jobs, one per thread.
const POOL_ALLOCATIONS_MAX: usize = 1;

struct Counting;

thread_local! {
    /// Allocations of this thread, and how many there were when the last verdict was made.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static AT_VERDICT: Cell<usize> = const { Cell::new(0) };
}

/// Allocations of every thread.
static ANYWHERE: AtomicUsize = AtomicUsize::new(0);

fn count() {
    ANYWHERE.fetch_add(1, Ordering::Relaxed);
    let _gone = COUNT.try_with(|count| count.set(count.get() + 1));
}

fn counted() -> usize {
    COUNT.with(Cell::get)
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local
// cell without a destructor and an atomic, and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Gives every picture one answer that was made before.
struct Still {
    outputs: Vec<Vec<f32>>,
}

impl Network for Still {
    fn batch_max(&self) -> usize {
        4
    }

    fn run(&mut self, _feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        Ok(())
    }

    fn output(&self, index: usize, _item: usize) -> &[f32] {
        &self.outputs[index]
    }

    fn wipe(&mut self) {}
}

/// The built-in rules; notes how much had been allocated when a verdict was made.
struct Noting(Guards);

impl Policy for Noting {
    fn decide(&self, facts: &Facts) -> Verdict {
        let verdict = self.0.decide(facts);
        AT_VERDICT.with(|at| at.set(counted()));
        verdict
    }
}

#[test]
fn the_counter_counts() {
    let before = counted();
    let boxed = Box::new(counted());
    assert_eq!(counted(), before + 1, "{boxed}");
}

#[test]
fn from_ticket_to_verdict_nothing_is_allocated() {
    let clock = Arc::new(SimulatedClock::at(1_000)) as Arc<dyn Clock>;
    let (scene, parts) = Scene::with_attack_detection(9, 1, 0, clock, Arc::new(|| {}));
    let mut embedding = vec![0.0; 128];
    embedding[0] = 3.0;
    let engine = Engine {
        detect: Box::new(Still { outputs: detections(&[0.0]) }),
        attack: vec![Box::new(Still { outputs: vec![vec![BONA_FIDE, 1.0 - BONA_FIDE]] })],
        embed: Box::new(Still { outputs: vec![embedding] }),
        ..parts.engine
    };
    let policy = Arc::new(Noting(Guards::new(AttackRule::NotRequired)));
    let parts = portcullis::pipeline::Parts { engine, policy, ..parts };
    let (desk, mut engine_line, mut match_line) = parts.assemble();
    let threshold = scene.calibration.threshold(1e-4).expect("a row");
    for round in 0..12 {
        // Each round is larger than the one before, up to the largest that a verification may be.
        let images = (round % 8).min(7);
        let face = || picture(&scene.slots, Shows::Face, 0).expect("a slot");
        let mut references = vec![Reference::Template(scene.template(0))];
        references.extend((0..images).map(|_| Reference::Image(face())));
        let task = Task::Verify { references, threshold: threshold.clone() };
        let order = scene.order(Action::Verify, face(), task, u64::MAX);
        let (told, verdict) = std::sync::mpsc::channel();
        let answered = desk.submit(order, move |reply| {
            told.send((reply.verdict.outcome, reply.attack)).expect("the test waits");
        });
        answered.expect("nothing else is in flight");
        let before = counted();
        while engine_line.turn() {}
        let embedded = counted();
        match_line.turn();
        assert_eq!(verdict.try_recv(), Ok((Outcome::Admit, Attack::Score(BONA_FIDE))));
        if round >= 8 {
            assert_eq!(embedded - before, 0, "{images} images: batch, detect, attack, embed");
            assert_eq!(
                AT_VERDICT.with(Cell::get) - embedded,
                0,
                "{images} images: compare, decide"
            );
        }
    }
}

#[test]
fn the_cpu_backend_allocates_no_more_than_its_thread_pool_does() {
    let Some((path, bytes)) = models::cached("allocations of the CPU backend", &EMBEDDER) else {
        return;
    };
    let name = path.display().to_string();
    let program = model::load(&bytes, &name, ChannelOrder::Rgb, None).expect("it lowers");
    let cpu = Cpu::new(2).expect("every machine has one");
    let mut network = cpu.load(&program, 2).expect("it runs");
    let mut pixels = vec![0; PICTURE_BYTES];
    paint(&mut pixels, Shows::Face, 0);
    let frame = FrameView::new(&pixels, EDGE_PX, EDGE_PX).expect("a picture");
    let to_frame = ToFrame([1.0, 0.0, 8.0, 0.0, 1.0, 8.0]);
    let feeds = [Feed::Warp { frame, to_frame }; 2];
    for _ in 0..3 {
        network.run(&feeds).expect("it runs");
        network.wipe();
    }
    // Other tests of this target allocate at the same time: the quietest run is proof enough.
    let least = (0..50).map(|_| {
        let before = ANYWHERE.load(Ordering::Relaxed);
        network.run(&feeds).expect("it runs");
        network.wipe();
        ANYWHERE.load(Ordering::Relaxed) - before
    });
    let least = least.min().expect("fifty runs");
    // All threads run, and all wipe.
    assert!(least <= 2 * POOL_ALLOCATIONS_MAX, "every run allocated {least} times and more");
}
