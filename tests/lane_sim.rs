//! A gate from one seed, in one thread: a lane whose frames come and go, a transaction that judges
//! them, a pipeline whose parts fail, a gate that cancels, a clock that runs. A failing seed is
//! printed; `PORTCULLIS_SEED` replays it.
#![allow(clippy::disallowed_methods, reason = "tests read what `./test` exports")]

#[path = "common/png.rs"]
mod png;
mod scene;

use std::{
    collections::BTreeMap,
    env, panic,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use png::{Png, RGB};
use portcullis::{
    capture::{
        Encoded,
        lane::{Lane, LaneTerms},
    },
    limits::{COMPARISONS_MAX, LET_GO_US},
    meter::{LaneKind, Offered, Shed},
    pipeline::{Desk, EngineLine, Known, MatchLine, Reference, Task},
    random::SeededEntropy,
    time::{Clock, SimulatedClock},
    transaction::{
        Closing, Ended, Opened, Opening, Register,
        bell::Bell,
        journal::{Journal, Remembered},
        machine::{Terms, Told},
        passage::{Against, Passage, Surroundings, Turn},
        register::Open,
    },
    types::{
        Action, Asked, AtLane, Attack, Caller, CaptureFact, Obligations, Outcome, Purpose, Role,
        Template, Threshold, TransactionId,
    },
};
use scene::{Dice, EDGE_PX, Scene, Shows};

const SEEDS: u64 = 200;
const SEEDS_LONG: u64 = 10_000;
const SLOTS: usize = 4;
const TRAVELLER: u8 = 1;
const TIMEOUT_US: u64 = 2_000_000;

/// A picture of the scene as a gate's camera would send it; each is written once.
fn picture(shows: Shows, person: u8) -> Encoded {
    static WRITTEN: Mutex<BTreeMap<(u8, u8), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = written.entry((shows as u8, person)).or_insert_with(|| png_of(shows, person));
    Encoded::new(bytes.clone())
}

fn png_of(shows: Shows, person: u8) -> Vec<u8> {
    let edge = EDGE_PX as usize;
    let mut pixels: Vec<u8> = (0..edge * edge * 3).map(|at| 60 + (at * 37 % 128) as u8).collect();
    (pixels[0], pixels[1]) = (shows as u8, person);
    let rows: Vec<Vec<u8>> = pixels.chunks_exact(edge * 3).map(<[u8]>::to_vec).collect();
    Png::new(EDGE_PX, EDGE_PX, 8, RGB, false).rows(&rows).end()
}

/// Scripted panics are expected; their messages would bury a real one.
fn hush_scripted_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            let payload = panicked.payload().downcast_ref::<&str>();
            if !payload.is_some_and(|text| text.starts_with("as ")) {
                loud(panicked);
            }
        }));
    });
}

/// The traveller's passport photograph, made ready.
struct Passport {
    prepared: Arc<Known>,
    threshold: Threshold,
}

impl Passport {
    fn of(template: Template, threshold: Threshold) -> Self {
        let (capture, document) = (CaptureFact::Usable, None);
        let prepared = Arc::new(Known { capture, template: Some(template), document });
        Self { prepared, threshold }
    }
}

impl Against for Passport {
    fn task(&mut self) -> Result<Task, &'static str> {
        let references = vec![Reference::Known(Arc::clone(&self.prepared))];
        Ok(Task::Verify { references, threshold: self.threshold.clone() })
    }
}

struct Gate {
    dice: Dice,
    clock: Arc<SimulatedClock>,
    scene: Scene,
    desk: Arc<Desk>,
    engine_line: EngineLine,
    match_line: MatchLine,
    lane: Arc<Lane>,
    register: Register,
    /// A frame that may open: of the traveller, and bona fide to the lane's detector.
    good_frames: u32,
    /// The engine is not turned any more.
    hangs: bool,
}

impl Gate {
    fn new(seed: u64, faults_in_256: u32) -> Self {
        let clock = Arc::new(SimulatedClock::at(1_000));
        let (pace, ticking) = (Dice::new(seed ^ 3), Arc::clone(&clock));
        let meanwhile = Arc::new(move || ticking.advance_us(u64::from(pace.below(9_000))));
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let (scene, parts) = Scene::new(SLOTS, seed, faults_in_256, Arc::clone(&shared), meanwhile);
        let terms = LaneTerms {
            name: "gate-1".parse().expect("a name"),
            kind: LaneKind::Http,
            deadline_ms: TIMEOUT_US / 1_000,
            external_detector: Some("the camera's own".to_owned()),
        };
        let lane = Lane::new(terms, Arc::clone(&scene.slots), shared, Arc::clone(&scene.meter));
        let (desk, engine_line, match_line) = parts.assemble();
        Self {
            dice: Dice::new(seed),
            clock,
            scene,
            desk,
            engine_line,
            match_line,
            lane,
            register: Register::new(Journal::in_memory(), Remembered::default()),
            good_frames: 0,
            hangs: false,
        }
    }

    fn push(&mut self, shows: Shows, person: u8, attack: Option<f32>) {
        let offered = Offered::new(&self.scene.meter);
        let taken = self.lane.push(picture(shows, person), attack, offered);
        let taken = taken.expect("a picture");
        let is_good = shows == Shows::Face && person == TRAVELLER;
        let is_tested = attack.is_some_and(|score| score < 0.5);
        self.good_frames += u32::from(taken.kept && is_good && is_tested);
    }

    /// A frame of whoever, or whatever, the seed puts before the camera.
    fn push_something(&mut self, kind: u32) {
        let shows = match (kind, self.dice.below(12)) {
            (0, 0..=5) => Shows::Nobody,
            (0, _) | (_, 3) => Shows::Two,
            (_, 0..=2) => Shows::Nobody,
            (1, 4) => Shows::FAULTS[self.dice.below(5) as usize],
            (_, _) => Shows::Face,
        };
        let person = if kind == 2 && self.dice.happens(64) { TRAVELLER } else { 2 };
        let attack = match self.dice.below(8) {
            0 if kind == 1 => None,
            1 if kind == 1 => Some(0.9),
            _ => Some(0.1),
        };
        self.push(shows, person, attack);
    }

    fn open(&self, number: u8) -> (Arc<Open>, Terms) {
        let opening = Opening {
            transaction: TransactionId::from_bytes([number; 16]),
            lane: self.lane.name().clone(),
            retry_of: None,
            is_document_false: false,
        };
        let bell = Bell::new(Box::new(|| {}));
        let Ok(Opened::New(open)) = self.register.open(&opening, bell) else {
            panic!("a new id at a free lane");
        };
        let opened_us = self.clock.monotonic_us();
        (open, Terms { opened_us, deadline_us: opened_us + TIMEOUT_US, may_retry: true })
    }

    fn asked(&self, open: &Open) -> Asked {
        let standing = open.standing();
        Asked {
            caller: Caller { role: Role::Gate, client: "gate-1".parse().expect("a name") },
            action: Action::Verify,
            purpose: Purpose::Boarding,
            gallery: None,
            at_lane: Some(AtLane { lane: standing.lane, transaction: standing.transaction }),
            subject: None,
        }
    }

    /// Turns everything, in an order that `next` decides, until the transaction ends.
    fn run(&mut self, number: u8, mut next: impl FnMut(&mut Self, &Open)) -> Box<Closing> {
        let (open, terms) = self.open(number);
        let ringing = Arc::clone(&open);
        let tap = self.lane.tap(Arc::new(move || ringing.bell.frame())).expect("nobody looks");
        let threshold = self.scene.calibration.threshold(1e-4).expect("a row of the table");
        let passport = Passport::of(self.scene.template(TRAVELLER), threshold);
        let (clock, desk) = (Arc::clone(&self.clock), Arc::clone(&self.desk));
        let entropy = SeededEntropy::new(u64::from(self.dice.roll()));
        let around =
            Surroundings { judges: desk.as_ref(), clock: clock.as_ref(), entropy: &entropy };
        let asked = self.asked(&open);
        let granted = (asked, Obligations::NONE);
        let mut passage =
            Passage::new(Arc::clone(&open), terms, tap, Box::new(passport), granted, around);
        let closing = loop {
            next(self, &open);
            let turned_us = clock.monotonic_us();
            match passage.turn() {
                Turn::Ended(closing) => {
                    let in_time = turned_us < terms.deadline_us;
                    assert!(in_time || closing.outcome != Outcome::Admit, "nobody is let in late");
                    break closing;
                }
                Turn::Again | Turn::Sleep { .. } => {
                    // A frame that an engine works on may hold the end back, nothing else may.
                    let until_us =
                        terms.deadline_us + if self.desk.is_empty() { 0 } else { LET_GO_US };
                    assert!(turned_us < until_us, "it ends when its time is up");
                }
            }
        };
        // Before anybody is told: nothing of the traveller is left in the pipeline.
        if !self.hangs {
            let slots = &self.scene.slots;
            assert_eq!(
                (slots.free(), slots.residue_bytes()),
                (SLOTS, 0),
                "{}",
                closing.ended.name()
            );
            assert!(self.desk.is_empty());
        }
        drop(passage);
        let standing = self
            .register
            .close(&open, &closing, &|| clock.monotonic_us() < terms.deadline_us)
            .expect("a journal in memory");
        assert_eq!(standing.outcome, Some(closing.outcome));
        assert_eq!(open.wait(Duration::ZERO), Some(standing));
        closing
    }

    /// Lets the pipeline end what it has, and looks for anything that is left.
    fn leave_nothing(&mut self) {
        while self.engine_line.turn() || self.match_line.turn() || !self.desk.is_empty() {
            self.clock.advance_us(1_000);
        }
        assert_eq!((self.scene.slots.free(), self.scene.slots.residue_bytes()), (SLOTS, 0));
        assert!(!self.scene.networks_hold_something(), "a network holds something");
        assert!(!self.lane.status().tapped, "the lane is free for the next traveller");
        assert_eq!(self.register.open_count(), 0);
    }
}

/// Whatever the seed does, a gate opens only for the traveller, tested, in time; and nothing stays.
fn simulate(seed: u64, faulty: bool) -> [u32; 3] {
    let mut gate = Gate::new(seed, if faulty { 12 } else { 0 });
    let mut outcomes = [0; 3];
    for number in 0..3_u8 {
        gate.good_frames = 0;
        // Nobody to be seen; anything that can go wrong; a traveller among others.
        let kind = gate.dice.below(3);
        let closing = gate.run(number, |gate, open| match gate.dice.below(12) {
            0..=2 => gate.push_something(kind),
            3..=5 => drop(gate.engine_line.turn()),
            6..=8 => drop(gate.match_line.turn()),
            9 => gate.clock.advance_us(u64::from(gate.dice.below(60_000))),
            10 if gate.dice.happens(2) => open.bell.tell(Told::Left),
            _ => {}
        });
        outcomes[closing.outcome as usize] += 1;
        if closing.outcome == Outcome::Admit {
            assert!(gate.good_frames > 0, "admitted without a frame that may open");
            assert_eq!(closing.ended, Ended::Decided);
            let chosen = closing.chosen.as_ref().expect("a frame decided");
            assert!(matches!(chosen.attack, Attack::Score(score) if score < 0.5));
            // The frame that decided is the traveller's: nobody else matches the passport.
            let compared = &chosen.comparisons;
            assert!(compared.len() == 1 && compared[0].matched, "it shows somebody else");
            let entries = gate.scene.ledger.outcomes(chosen.transaction);
            assert_eq!(entries, [Some(Outcome::Admit)], "the audit knows the frame");
        }
        assert!(!closing.reasons.is_empty());
        gate.leave_nothing();
    }
    outcomes
}

fn seeds() -> Vec<u64> {
    if let Ok(seed) = env::var("PORTCULLIS_SEED") {
        return vec![seed.parse().expect("PORTCULLIS_SEED is a number")];
    }
    let long = env::var("PORTCULLIS_LONG").is_ok_and(|value| value == "1");
    (0..if long { SEEDS_LONG } else { SEEDS }).collect()
}

#[test]
fn no_seed_opens_a_gate_on_an_error_or_leaves_anything_behind() {
    hush_scripted_panics();
    let mut outcomes = [0; 3];
    for seed in seeds() {
        for faulty in [false, true] {
            let run = panic::catch_unwind(|| simulate(seed, faulty));
            let held = run.unwrap_or_else(|panicked| {
                let payload = panicked.downcast_ref::<String>();
                panic!("PORTCULLIS_SEED={seed} faulty={faulty}: {payload:?}")
            });
            for (sum, count) in outcomes.iter_mut().zip(held) {
                *sum += count;
            }
        }
    }
    let [admitted, retried, referred] = outcomes;
    let all = env::var("PORTCULLIS_SEED").is_err();
    assert!(!all || (admitted > 0 && retried > 0 && referred > 0), "{outcomes:?}");
}

/// Both lines and the clock go on.
fn go_on(gate: &mut Gate) {
    gate.engine_line.turn();
    gate.match_line.turn();
    gate.clock.advance_us(5_000);
}

#[test]
fn the_traveller_is_admitted_as_soon_as_a_frame_shows_it() {
    let mut gate = Gate::new(7, 0);
    let mut frames = [(Shows::Nobody, 0), (Shows::Face, 2), (Shows::Face, TRAVELLER)].into_iter();
    let closing = gate.run(1, |gate, _| {
        go_on(gate);
        if let Some((shows, person)) = frames.next() {
            for _ in 0..20 {
                go_on(gate);
            }
            gate.push(shows, person, Some(0.1));
        }
    });
    assert_eq!((closing.outcome, closing.ended), (Outcome::Admit, Ended::Decided));
    assert!(gate.clock.monotonic_us() < TIMEOUT_US, "long before its time was up");
    gate.leave_nothing();
}

#[test]
fn somebody_else_is_compared_so_often_and_no_more() {
    let mut gate = Gate::new(8, 0);
    let closing = gate.run(1, |gate, _| {
        gate.push(Shows::Face, 2, Some(0.1));
        gate.engine_line.turn();
        gate.match_line.turn();
    });
    assert_eq!((closing.outcome, closing.ended), (Outcome::Refer, Ended::Decided));
    assert_eq!(closing.reasons, ["SCORE_BELOW_THRESHOLD"]);
    let entries = gate.scene.ledger.entries.lock().expect("no panic").len();
    assert_eq!(entries, COMPARISONS_MAX as usize, "each comparison is in the audit");
    gate.leave_nothing();
}

#[test]
fn an_untested_traveller_and_a_suspected_attack_see_an_officer() {
    for (attack, code) in
        [(None, "ATTACK_DETECTION_NOT_PERFORMED"), (Some(0.9), "ATTACK_SUSPECTED")]
    {
        let mut gate = Gate::new(9, 0);
        let closing = gate.run(1, |gate, _| {
            gate.push(Shows::Face, TRAVELLER, attack);
            go_on(gate);
        });
        assert_eq!((closing.outcome, closing.ended), (Outcome::Refer, Ended::Decided));
        assert_eq!(closing.reasons, [code]);
        gate.leave_nothing();
    }
}

#[test]
fn a_traveller_who_leaves_frees_everything_before_anybody_is_told() {
    for (told, ended) in [(Told::Left, Ended::Left), (Told::Cancel, Ended::Cancelled)] {
        // The frame waits for a batch; it waits for the embedder; it waits to be compared.
        for engine_turns in 0..3 {
            let mut gate = Gate::new(10, 0);
            let mut turns = 0;
            let closing = gate.run(1, |gate, open| {
                turns += 1;
                match turns {
                    1 => gate.push(Shows::Face, TRAVELLER, Some(0.1)),
                    2 => {}
                    3 => {
                        assert!(!gate.desk.is_empty(), "a frame is in the pipeline");
                        for _ in 0..engine_turns {
                            gate.engine_line.turn();
                        }
                        gate.push(Shows::Face, 2, Some(0.1)); // and another one at the lane
                        open.bell.tell(told);
                    }
                    _ => go_on(gate),
                }
            });
            assert_eq!((closing.outcome, closing.ended), (Outcome::Refer, ended));
            let entries = gate.scene.ledger.entries.lock().expect("no panic").clone();
            let judged: Vec<_> = entries.iter().map(|entry| entry.outcome).collect();
            assert_eq!(judged, [Some(Outcome::Refer)], "it is no Admit after the end");
            assert_eq!(gate.scene.meter.account().shed(Shed::Cancelled), 2);
            gate.leave_nothing();
        }
    }
}

#[test]
fn an_engine_that_hangs_does_not_keep_a_gate_waiting() {
    let mut gate = Gate::new(11, 0);
    gate.hangs = true;
    let mut turns = 0;
    let closing = gate.run(1, |gate, open| {
        turns += 1;
        match turns {
            1 => gate.push(Shows::Face, TRAVELLER, Some(0.1)),
            3 => open.bell.tell(Told::Left),
            _ => gate.clock.advance_us(100_000),
        }
    });
    assert_eq!((closing.outcome, closing.ended), (Outcome::Refer, Ended::Left));
    assert!(gate.clock.monotonic_us() >= LET_GO_US, "it was given its time");
    assert!(!gate.desk.is_empty(), "its batch is still there");
    gate.leave_nothing();
}
