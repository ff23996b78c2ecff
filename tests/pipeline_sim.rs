//! The whole pipeline from one seed, in one thread: cameras, lanes, orders, priorities, deadlines,
//! galleries that change; clocks that jump; sources, networks, engines, searches and audits that
//! fail. A failing seed is printed; `PORTCULLIS_SEED` replays it.
//!
//! Checked at every step: a free slot is zero. At every answer: it is the only one, it is recorded,
//! it is called late when it is, and no fault and no lateness (of an engine, of the audit) led to
//! Admit. At the end: every
//! ticket, slot and claim is back, and the account of frames agrees with a count of our own.
#![allow(clippy::disallowed_methods, reason = "tests read what `./test` exports")]

#[path = "pipeline_sim/lanes.rs"]
mod lanes;
#[path = "pipeline_sim/overload.rs"]
mod overload;
mod scene;

use std::{
    env, panic,
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lanes::Gate;
use portcullis::{
    gallery::{Enrolment, Gallery},
    meter::{LaneKind, Offered, Shed},
    ops::tile::TileLayout,
    pipeline::{
        Claim, Desk, EngineLine, MatchLine, Matching, Order, Pipeline, Priority, Reference,
        Refused, Reply, Task, slot::Captured,
    },
    time::{Clock, SimulatedClock, SystemClock},
    types::{Action, Attack, CaptureFact, Outcome, SubjectId, TransactionId},
};
use scene::{BONA_FIDE, Dice, Scene, Shows, picture};

const SEEDS: u64 = 200;
const SEEDS_LONG: u64 = 10_000;
const STEPS: usize = 110;
const PERSONS: u32 = 4;

/// What an order may at best lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    /// Admit, and nothing else when nothing fails.
    Admit,
    /// Admit or not: the gallery changes.
    Either,
    /// Anything but Admit.
    NoAdmit,
}

struct Waiting {
    transaction: TransactionId,
    frames: usize,
    hope: Hope,
    deadline_us: u64,
    answers: Arc<AtomicUsize>,
}

/// Scripted panics are expected; their messages would bury a real one.
fn hush_scripted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let scripted = panicked
                .payload()
                .downcast_ref::<&str>()
                .is_some_and(|text| text.starts_with("as "));
            if !scripted {
                loud(panicked);
            }
        }));
    });
}

struct Sim {
    dice: Dice,
    clock: Arc<SimulatedClock>,
    scene: Arc<Scene>,
    gallery: Gallery,
    desk: Arc<Desk>,
    engine_line: EngineLine,
    /// Turned by two owners.
    match_lines: [MatchLine; 2],
    faulty: bool,
    waiting: Vec<Waiting>,
    /// Frames of orders that are not answered yet.
    frames: Arc<AtomicUsize>,
    outcomes: Arc<Mutex<[u32; 3]>>,
    gate: Gate,
    /// Time that somebody set aside and holds.
    claims: Vec<Claim>,
    account: Arc<Account>,
    drained: bool,
}

/// The simulation's own count of frames.
#[derive(Default)]
struct Account {
    offered: AtomicU64,
    answered: AtomicU64,
    late: AtomicU64,
    refused: [AtomicU64; 3],
}

impl Sim {
    fn new(seed: u64, faulty: bool) -> Self {
        let clock = Arc::new(SimulatedClock::at(1_000));
        let (pace, ticking) = (Dice::new(seed ^ 3), Arc::clone(&clock));
        let meanwhile = Arc::new(move || ticking.advance_us(u64::from(pace.below(9_000))));
        let faults_in_256 = if faulty { 12 } else { 0 };
        let (scene, parts) = {
            let clock = Arc::clone(&clock) as Arc<dyn Clock>;
            Scene::with_attack_detection(12, seed, faults_in_256, clock, meanwhile)
        };
        // What is judged in time may be recorded too late.
        let (pace, ticking) = (Dice::new(seed ^ 4), Arc::clone(&clock));
        let medium = move || ticking.advance_us(u64::from(pace.below(3_000)));
        assert!(scene.ledger.meanwhile.set(Arc::new(medium)).is_ok(), "set once");
        // Half of the seeds have a detector that takes a batch while it computes another.
        scene.engines.deep.store(seed % 2 == 1, Ordering::SeqCst);
        let layout = TileLayout { rows: 3, ..scene.calibration.layout() };
        let gallery = Gallery::in_memory(scene.calibration.kind(), layout);
        let (desk, engine_line, match_line) = parts.assemble();
        let gate = Gate::new(&scene, &clock, seed, faulty);
        Self {
            dice: Dice::new(seed),
            clock,
            scene: Arc::new(scene),
            gallery,
            desk,
            engine_line,
            match_lines: [match_line.another(), match_line],
            faulty,
            waiting: Vec::new(),
            frames: Arc::default(),
            outcomes: Arc::default(),
            gate,
            claims: Vec::new(),
            account: Arc::default(),
            drained: false,
        }
    }

    fn step(&mut self) {
        match self.dice.below(20) {
            0..=3 => self.order(),
            4..=6 => {
                self.engine_line.turn();
            }
            7..=8 => {
                self.match_lines[self.dice.below(2) as usize].turn();
            }
            9 => self.clock.advance_us(u64::from(self.dice.below(20_000))),
            10 => self.enrol(),
            11 => drop(self.gallery.erase(subject(self.person()))),
            12..=14 => self.gate.turn(),
            15 => self.gate.traveller(),
            16 | 17 => self.look(),
            18 => self.claim(),
            _ => self.mishap(),
        }
        assert_eq!(self.scene.slots.residue_bytes(), 0, "a free slot is zero");
    }

    fn person(&self) -> u8 {
        self.dice.below(PERSONS) as u8
    }

    fn enrol(&self) {
        let person = self.person();
        let templates = vec![self.scene.template(person)];
        // A subject with four references takes no more: a refusal is part of the run.
        let _ = self.gallery.enrol(subject(person), templates, Enrolment::default());
    }

    fn shows(&self) -> Shows {
        match self.dice.below(16) {
            0 => Shows::Nobody,
            1 => Shows::Two,
            2 if self.faulty => Shows::FAULTS[self.dice.below(5) as usize],
            3 if self.faulty => Shows::ATTACKS[self.dice.below(4) as usize],
            3 => Shows::Spoof,
            _ => Shows::Face,
        }
    }

    /// A picture of a request; every slot may be taken.
    fn picture(&self, shows: Shows, person: u8) -> Option<Captured> {
        let captured = picture(&self.scene.slots, shows, person)?;
        self.account.offered.fetch_add(1, Ordering::SeqCst);
        Some(captured.counted(Offered::new(&self.scene.meter)))
    }

    /// The traveller at the gate is looked at.
    fn look(&mut self) {
        let Some(frame) = self.gate.look() else { return };
        let person = frame.captured.view().pixels()[1];
        let threshold = self.scene.calibration.threshold(1e-4).expect("a row");
        let references = vec![Reference::Template(self.scene.template(person))];
        let task = Task::Verify { references, threshold };
        let hope = match frame.captured.view().pixels()[0] {
            shown if shown == Shows::Face as u8 => Hope::Admit,
            _ => Hope::NoAdmit,
        };
        let deadline_us = self.clock.monotonic_us() + 1_000_000;
        let order = self.scene.order(Action::Verify, frame.captured, task, deadline_us);
        self.submit(Order { lane: LaneKind::Command, ..order }, hope);
    }

    /// Somebody sets time aside, and perhaps lets go of it.
    fn claim(&mut self) {
        let priority = Priority::ALL[self.dice.below(2) as usize];
        let deadline_us = self.clock.monotonic_us() + u64::from(self.dice.below(200_000));
        match self.desk.claim(1, Matching::Compare, priority, deadline_us) {
            Ok(claim) if self.dice.happens(64) => self.claims.push(claim),
            Ok(_) => {}
            Err(refused) => assert!(matches!(refused, Refused::TooLate { .. }), "{refused}"),
        }
    }

    /// An engine is unplugged, or a clock is set.
    fn mishap(&mut self) {
        if self.dice.happens(128) {
            let civil_s = i64::from(self.dice.roll()) - i64::from(u32::MAX / 2);
            return self.clock.set_civil_s(civil_s);
        }
        // Where nothing else fails another engine stands by, and nobody must notice.
        let spare = if self.faulty { self.dice.below(3) } else { 1 };
        self.scene.engines.lose(spare);
    }

    fn order(&mut self) {
        let (shows, person) = (self.shows(), self.person());
        let Some(probe) = self.picture(shows, person) else {
            return; // every slot is taken: the caller says "busy"
        };
        let (action, task, mut hope) = match self.dice.below(4) {
            0 => (Action::Identify, self.identify(), Hope::Either),
            1 => (Action::Enrol, Task::Template, Hope::Admit),
            _ => match self.verify(person) {
                Some((task, hope)) => (Action::Verify, task, hope),
                None => return,
            },
        };
        if shows != Shows::Face {
            hope = Hope::NoAdmit;
        }
        let patience_us = [6_000, 60_000, 10_000_000, 10_000_000][self.dice.below(4) as usize];
        let deadline_us = self.clock.monotonic_us() + patience_us;
        let mut order = self.scene.order(action, probe, task, deadline_us);
        order.claim = self.claims.pop();
        self.submit(order, hope);
    }

    fn verify(&self, person: u8) -> Option<(Task, Hope)> {
        let mut hope = Hope::Admit;
        let mut references = Vec::new();
        for _ in 0..self.dice.below(4) {
            let other = if self.dice.happens(200) { person } else { self.person() };
            if other != person {
                hope = Hope::NoAdmit;
            }
            references.push(if self.dice.happens(128) {
                Reference::Template(self.scene.template(other))
            } else {
                let shows = self.shows();
                if !shows.is_face() {
                    hope = Hope::NoAdmit;
                }
                Reference::Image(self.picture(shows, other)?)
            });
        }
        if references.is_empty() {
            hope = Hope::NoAdmit;
        }
        let threshold = self.scene.calibration.threshold(1e-4).expect("a row");
        Some((Task::Verify { references, threshold }, hope))
    }

    fn identify(&self) -> Task {
        let threshold = self.scene.calibration.threshold(1e-4).expect("a row");
        let tiles = self.gallery.source();
        Task::Identify { tiles, threshold, doubt_from: None, best: 5, class_bits: 1, group: None }
    }

    /// Somebody to be found in the gallery; false when no slot is free.
    fn comes(&mut self) -> bool {
        let Some(probe) = self.picture(Shows::Face, 0) else { return false };
        let order = self.scene.order(Action::Identify, probe, self.identify(), u64::MAX);
        self.submit(order, Hope::Either);
        true
    }

    fn submit(&mut self, order: Order, hope: Hope) {
        let frames = 1 + match &order.task {
            Task::Verify { references, .. } => {
                references.iter().filter(|one| matches!(one, Reference::Image(_))).count()
            }
            Task::Identify { .. } | Task::Template | Task::Reference => 0,
        };
        let answers = Arc::new(AtomicUsize::new(0));
        let waiting = Waiting {
            transaction: order.transaction,
            frames,
            hope,
            deadline_us: order.deadline_us,
            answers: Arc::clone(&answers),
        };
        self.frames.fetch_add(frames, Ordering::SeqCst);
        let (scene, clock) = (Arc::clone(&self.scene), Arc::clone(&self.clock));
        let (unanswered, outcomes) = (Arc::clone(&self.frames), Arc::clone(&self.outcomes));
        let account = Arc::clone(&self.account);
        let (deadline_us, transaction, faulty) =
            (order.deadline_us, order.transaction, self.faulty);
        let taken = self.desk.submit(order, move |reply| {
            assert_eq!(reply.transaction, transaction);
            answers.fetch_add(1, Ordering::SeqCst);
            let rest = unanswered.fetch_sub(frames, Ordering::SeqCst) - frames;
            let taken = scene.slots.slots() - scene.slots.free();
            assert!(taken <= rest, "{taken} slots taken for {rest} unanswered frames");
            assert!(!scene.networks_hold_something(), "a network holds pixels");
            let late = clock.monotonic_us() >= deadline_us;
            assert!(reply.late || !late, "an answer after its deadline is called on time");
            let fates = if reply.late { &account.late } else { &account.answered };
            fates.fetch_add(frames as u64, Ordering::SeqCst);
            check(&reply, hope, reply.late, faulty, &scene);
            outcomes.lock().expect("no panic")[reply.verdict.outcome as usize] += 1;
        });
        match taken {
            Ok(()) => self.waiting.push(waiting),
            Err(refused) => {
                self.frames.fetch_sub(frames, Ordering::SeqCst);
                let reason = match refused {
                    Refused::Busy { .. } => 0,
                    Refused::TooLate { .. } => 1,
                    Refused::Stopping => 2,
                };
                self.account.refused[reason].fetch_add(frames as u64, Ordering::SeqCst);
            }
        }
    }

    /// Answers what is in flight, then looks at everything once more.
    fn finish(mut self) -> [u32; 3] {
        self.claims.clear();
        self.drained = self.dice.happens(64);
        if self.drained {
            self.desk.drain(0);
        } else {
            self.desk.stop();
        }
        while !self.desk.is_done() {
            let [one, other] = &mut self.match_lines;
            let worked = self.engine_line.turn() | one.turn() | other.turn();
            assert!(worked, "an order is stuck");
        }
        for waiting in &self.waiting {
            let Waiting { transaction, frames, hope, deadline_us, answers } = waiting;
            let answers = answers.load(Ordering::SeqCst);
            let told = format!("{transaction}: {frames} frames, {hope:?}, until {deadline_us}");
            assert_eq!(answers, 1, "{told}");
            assert!(self.scene.ledger.outcomes(*transaction).len() <= 2, "{told}");
        }
        self.settle_account();
        let slots = &self.scene.slots;
        assert_eq!((slots.free(), slots.residue_bytes()), (slots.slots(), 0));
        let everybody = self.gallery.erase_all().expect("memory takes it");
        assert!(everybody.is_complete(), "nobody holds a generation any more");
        let outcomes = *self.outcomes.lock().expect("no panic");
        assert_eq!(outcomes.iter().sum::<u32>() as usize, self.waiting.len());
        outcomes
    }

    /// Every frame that came in has one fate, and it is the one that we saw.
    fn settle_account(&mut self) {
        self.gate.traveller();
        let status = self.gate.lane.status();
        if status.tapped {
            self.gate.traveller();
        }
        let account = self.scene.meter.account();
        let seen = |count: &AtomicU64| count.load(Ordering::SeqCst);
        assert_eq!(account.in_flight(), 0, "{account:?}");
        assert_eq!(account.offered, seen(&self.account.offered) + status.frames);
        assert_eq!(account.answered, seen(&self.account.answered));
        assert_eq!(account.late, seen(&self.account.late));
        let refused = [Shed::Busy, Shed::TooLate, Shed::Stopping].map(|why| account.shed(why));
        assert_eq!(refused, [0, 1, 2].map(|reason| seen(&self.account.refused[reason])));
        assert_eq!(account.shed(Shed::Unreadable), status.unreadable);
    }
}

fn check(reply: &Reply, hope: Hope, late: bool, faulty: bool, scene: &Scene) {
    let Reply { verdict, transaction, .. } = reply;
    assert!(!verdict.reasons.is_empty());
    let code = verdict.reasons[0].code;
    let recorded = scene.ledger.outcomes(*transaction);
    if code == "AUDIT_UNAVAILABLE" {
        assert_eq!((recorded.len(), verdict.outcome), (0, Outcome::Refer));
        assert!(reply.comparisons.is_empty() && reply.candidates.is_empty());
        assert!(reply.template.is_none() && reply.certificate.is_none() && reply.face.is_none());
    } else {
        assert!(!recorded.is_empty(), "the entry is written before the reply leaves: {code}");
        // An Admit whose time was up when it was written is followed by what is told.
        let is_withheld = late && code == "ENGINE_LATE" && recorded[1..] == [Some(Outcome::Refer)];
        assert!(recorded.len() == 1 || is_withheld, "{recorded:?} {code}");
    }
    if verdict.outcome == Outcome::Admit {
        assert_ne!(hope, Hope::NoAdmit, "{verdict:?}");
        assert!(!late, "an answer after its deadline admits nobody");
        assert_eq!(reply.probe, CaptureFact::Usable);
        assert_eq!(reply.attack, Attack::Score(BONA_FIDE), "of the very frame");
    }
    if !faulty && !late && hope == Hope::Admit && code != "ENGINE_LATE" {
        assert_eq!(verdict.outcome, Outcome::Admit, "{verdict:?}");
    }
    if let Some(certificate) = reply.certificate {
        assert!(certificate.holds());
    }
}

fn subject(person: u8) -> SubjectId {
    SubjectId::from_bytes([person + 1; 16])
}

fn run(seed: u64) -> [u32; 3] {
    let faulty = !seed.is_multiple_of(4);
    let mut sim = Sim::new(seed, faulty);
    for _ in 0..STEPS {
        sim.step();
    }
    sim.finish()
}

#[test]
fn every_seed_answers_every_order_once_and_leaves_nothing() {
    hush_scripted_panics();
    if let Ok(seed) = env::var("PORTCULLIS_SEED") {
        run(seed.parse().expect("PORTCULLIS_SEED is a number"));
        return;
    }
    let long = env::var("PORTCULLIS_LONG").is_ok_and(|value| value == "1");
    let mut total = [0; 3];
    for seed in 0..if long { SEEDS_LONG } else { SEEDS } {
        let outcomes = panic::catch_unwind(|| run(seed)).unwrap_or_else(|panicked| {
            eprintln!("replay with PORTCULLIS_SEED={seed}");
            panic::resume_unwind(panicked)
        });
        (0..3).for_each(|outcome| total[outcome] += outcomes[outcome]);
    }
    assert!(total.iter().all(|&count| count as u64 > SEEDS), "each outcome is met: {total:?}");
}

#[test]
fn with_threads_it_answers_once_as_well() {
    hush_scripted_panics();
    let clock = Arc::new(SystemClock::start());
    let (scene, parts) = Scene::new(9, 5, 6, clock, Arc::new(std::thread::yield_now));
    let pipeline = Pipeline::start(parts);
    let (answers, accepted) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for lane in 0..3_u8 {
            let (scene, pipeline) = (&scene, &pipeline);
            let (answers, accepted) = (&answers, &accepted);
            scope.spawn(move || {
                for round in 0..200 {
                    let shows = if round % 16 == 0 { Shows::EmbedPanics } else { Shows::Face };
                    let Some(probe) = picture(&scene.slots, shows, lane) else {
                        std::thread::yield_now();
                        continue;
                    };
                    let reference = Reference::Template(scene.template(lane));
                    let threshold = scene.calibration.threshold(1e-4).expect("a row");
                    let task = Task::Verify { references: vec![reference], threshold };
                    let order = scene.order(Action::Verify, probe, task, u64::MAX);
                    let answers = Arc::clone(answers);
                    let counted = move |_| {
                        answers.fetch_add(1, Ordering::SeqCst);
                    };
                    if pipeline.submit(order, counted).is_ok() {
                        accepted.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(pipeline.stop(10_000), "no engine hangs");
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted > 0);
    assert_eq!(answers.load(Ordering::SeqCst), accepted);
    assert_eq!((scene.slots.free(), scene.slots.residue_bytes()), (9, 0));
    assert!(!scene.networks_hold_something());

    let probe = picture(&scene.slots, Shows::Face, 0).expect("a slot");
    let order = scene.order(Action::Enrol, probe, Task::Template, u64::MAX);
    assert_eq!(pipeline.submit(order, |_| {}), Err(Refused::Stopping));
    assert_eq!((scene.slots.free(), scene.slots.residue_bytes()), (9, 0));
}

#[test]
fn an_engine_that_hangs_is_left_behind_when_the_appliance_stops() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (began, hangs) = std::sync::mpsc::channel();
    let held = Mutex::new((began, held));
    // Until the sender is gone.
    let meanwhile = Arc::new(move || {
        let held = held.lock().expect("no panic");
        let _ = held.0.send(());
        let _ = held.1.recv();
    });
    let clock = Arc::new(SystemClock::start());
    let (scene, parts) = Scene::new(2, 5, 0, clock, meanwhile);
    let pipeline = Pipeline::start(parts);
    let probe = picture(&scene.slots, Shows::Face, 0).expect("a slot");
    let order = scene.order(Action::Enrol, probe, Task::Template, u64::MAX);
    pipeline.submit(order, |_| {}).expect("nothing is in flight");
    hangs.recv().expect("the engine takes it up");
    assert!(!pipeline.stop(0), "its line cannot end");
    drop(release);
}

#[test]
fn the_next_batch_is_handed_over_before_the_one_before_is_looked_at() {
    for deep in [false, true] {
        let mut sim = Sim::new(2, false);
        sim.scene.engines.deep.store(deep, Ordering::SeqCst);
        // Batches of four, four and one.
        for person in 0..9 {
            let probe = sim.picture(Shows::Face, person).expect("a slot");
            let threshold = sim.scene.calibration.threshold(1e-4).expect("a row");
            let references = vec![Reference::Template(sim.scene.template(person))];
            let task = Task::Verify { references, threshold };
            let order = sim.scene.order(Action::Verify, probe, task, u64::MAX);
            sim.submit(order, Hope::Admit);
        }
        while sim.engine_line.turn() {}
        let told = std::mem::take(&mut *sim.scene.engines.told.lock().expect("no panic"));
        let (over, back) = (true, false);
        let expected = if deep { vec![over, over, back, over, back, back] } else { Vec::new() };
        assert_eq!(told, expected);
        while sim.match_lines[0].turn() {}
        assert_eq!(sim.finish(), [9, 0, 0], "everybody is admitted all the same");
    }
}

#[test]
fn what_is_decided_together_is_recorded_in_one_write() {
    let mut sim = Sim::new(1, false);
    sim.enrol();
    (0..4).for_each(|_| assert!(sim.comes(), "there are slots for four"));
    let ledger = Arc::clone(&sim.scene.ledger);
    let before = ledger.writes.load(Ordering::SeqCst);
    let entries = ledger.entries.lock().expect("no panic").len();
    sim.finish();
    assert_eq!(ledger.entries.lock().expect("no panic").len() - entries, 4);
    assert_eq!(ledger.writes.load(Ordering::SeqCst) - before, 1);
}

#[test]
fn a_full_table_is_busy_and_an_erasure_ends_with_the_search() {
    let mut sim = Sim::new(1, false);
    sim.enrol();
    // Twelve slots, sixty-four places: the slots are what runs out first for pictures.
    let mut orders = 0;
    while sim.comes() {
        orders += 1;
    }
    assert_eq!(orders, 12);
    let erasure = sim.gallery.erase_all().expect("memory takes it");
    assert!(erasure.wait(Duration::from_millis(1)).is_err(), "orders hold the generation");
    sim.finish();
    assert!(erasure.is_complete());
}
