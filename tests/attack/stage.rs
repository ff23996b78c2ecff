//! The stage in the engine line, turned by hand over scripted networks.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use portcullis::{
    backend::{BackendError, Network},
    face::attack::{AttackDetector, AttackNetwork, region, to_frame},
    meter::Stage,
    ops::program::{BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step, ToFrame},
    pipeline::{
        AttackDetection, Desk, EngineLine, MatchLine, Order, Presentation, Reference, Reply, Task,
        slot::Captured,
    },
    policy::{AttackRule, Guards},
    time::{Clock, SimulatedClock},
    types::{Action, Attack, Outcome},
};

use crate::scene::{EDGE_PX, PICTURE_BYTES, Scene, Shows};

/// What the third byte of a picture tells the scripted networks: an attack score in hundredths, or
/// one of these.
const FAILS: u8 = 251;
const PANICS: u8 = 252;
const NO_NUMBER: u8 = 253;

/// Scales of the scripted networks, and the edge of their inputs.
const SCALES: [f64; 2] = [2.7, 1.2];
const INPUT_PX: usize = 80;

/// A network that reads its answer from the picture, and notes what it was shown.
struct Scripted {
    /// Added to the score in hundredths, so that two networks differ.
    bias: i16,
    outputs: Vec<[f32; 3]>,
    shown: Arc<Mutex<Vec<ToFrame>>>,
    holds: Arc<AtomicBool>,
    clock: Arc<SimulatedClock>,
}

impl Network for Scripted {
    fn batch_max(&self) -> usize {
        4
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        assert!((1..=self.batch_max()).contains(&feeds.len()));
        self.holds.store(true, Ordering::SeqCst);
        self.clock.advance_us(1_500);
        self.outputs.clear();
        for feed in feeds {
            let Feed::Warp { frame, to_frame } = feed else { panic!("a region of a frame") };
            self.shown.lock().expect("no panic while noting").push(*to_frame);
            let attack = match frame.pixels()[2] {
                FAILS => return Err(BackendError::Lost { what: "scripted", why: "so".into() }),
                PANICS => panic!("as scripted"),
                NO_NUMBER => f32::NAN,
                score => f32::from(i16::from(score) + self.bias) / 100.0,
            };
            self.outputs.push([attack, 1.0 - attack, 0.0]);
        }
        Ok(())
    }

    fn output(&self, _index: usize, item: usize) -> &[f32] {
        &self.outputs[item]
    }

    fn wipe(&mut self) {
        self.outputs.clear();
        self.holds.store(false, Ordering::SeqCst);
    }
}

fn detector() -> AttackDetector {
    let program = Program {
        name: "scripted".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers: vec![Shape { h: INPUT_PX, w: INPUT_PX, c: 3 }, Shape { h: 1, w: 1, c: 3 }],
        weights: Vec::new(),
        steps: vec![Step { op: Op::Softmax, inputs: vec![BufferId(0)], output: BufferId(1) }],
        outputs: vec![Output { name: "prob".into(), buffer: BufferId(1) }],
    };
    let network = |scale| AttackNetwork { program: &program, scale, bona_fide: 1 };
    AttackDetector::for_networks(&SCALES.map(network)).expect("two networks")
}

/// A gate whose lines are turned by hand.
struct Gate {
    scene: Scene,
    clock: Arc<SimulatedClock>,
    desk: Arc<Desk>,
    engine_line: EngineLine,
    match_line: MatchLine,
    shown: Arc<Mutex<Vec<ToFrame>>>,
    holds: Arc<AtomicBool>,
}

impl Gate {
    /// With a detector, or with none.
    fn new(detects: bool, rule: AttackRule, enrolments: bool) -> Self {
        let clock = Arc::new(SimulatedClock::at(1_000));
        let told = Arc::clone(&clock) as Arc<dyn Clock>;
        let (scene, mut parts) = Scene::new(8, 1, 0, told, Arc::new(|| {}));
        let (shown, holds) = (Arc::default(), Arc::default());
        if detects {
            let network = |bias| -> Box<dyn Network> {
                let (shown, holds) = (Arc::clone(&shown), Arc::clone(&holds));
                let clock = Arc::clone(&clock);
                Box::new(Scripted { bias, outputs: Vec::new(), shown, holds, clock })
            };
            parts.engine.attack = vec![network(0), network(10)];
            parts.attack = Some(AttackDetection { detector: detector(), enrolments });
        }
        parts.policy = Arc::new(Guards::new(rule));
        let (desk, engine_line, match_line) = parts.assemble();
        Self { scene, clock, desk, engine_line, match_line, shown, holds }
    }

    /// A face whose third byte says what the detector says.
    fn probe(&self, code: u8) -> Captured {
        let paint = |pixels: &mut [u8]| -> Result<(u32, u32), Infallible> {
            for (at, pixel) in pixels[..PICTURE_BYTES].iter_mut().enumerate() {
                *pixel = 60 + (at * 37 % 128) as u8;
            }
            pixels[..3].copy_from_slice(&[Shows::Face as u8, 1, code]);
            Ok((EDGE_PX, EDGE_PX))
        };
        self.scene.slots.capture(paint).expect("a free slot")
    }

    fn order(&mut self, action: Action, code: u8, presentation: Presentation) -> Order {
        let task = match action {
            Action::Verify => Task::Verify {
                references: vec![Reference::Template(self.scene.template(1))],
                threshold: self.scene.calibration.threshold(1e-4).expect("a row"),
            },
            _ => Task::Template,
        };
        let deadline_us = self.clock.monotonic_us() + 1_000_000;
        let order = self.scene.order(action, self.probe(code), task, deadline_us);
        Order { presentation, ..order }
    }

    /// Submits all of them, and turns the lines until each is answered.
    fn answers(&mut self, orders: Vec<Order>) -> Vec<Reply> {
        let replies = Arc::new(Mutex::new(Vec::new()));
        let transactions: Vec<_> = orders.iter().map(|order| order.transaction).collect();
        for order in orders {
            let (replies, holds) = (Arc::clone(&replies), Arc::clone(&self.holds));
            let submitted = self.desk.submit(order, move |reply: Reply| {
                assert!(!holds.load(Ordering::SeqCst), "a network holds pixels");
                replies.lock().expect("no panic while replying").push(reply);
            });
            submitted.expect("the desk takes it");
        }
        while self.engine_line.turn() | self.match_line.turn() {}
        assert_eq!(self.scene.slots.residue_bytes(), 0, "a free slot is zero");
        let mut replies = std::mem::take(&mut *replies.lock().expect("no panic"));
        let place = |reply: &Reply| transactions.iter().position(|held| *held == reply.transaction);
        replies.sort_by_key(|reply| place(reply).expect("an order of these"));
        assert_eq!(replies.len(), transactions.len(), "each order is answered once");
        replies
    }

    fn verify(&mut self, code: u8, presentation: Presentation) -> Reply {
        let order = self.order(Action::Verify, code, presentation);
        self.answers(vec![order]).pop().expect("one answer")
    }
}

/// The score that the two scripted networks give together.
fn fused(code: u8) -> f32 {
    f32::from(code) / 100.0 + 0.05
}

fn codes(reply: &Reply) -> Vec<&'static str> {
    reply.verdict.reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn the_score_of_the_compared_frame_decides_and_is_recorded() {
    let mut gate = Gate::new(true, AttackRule::Required, false);
    for (code, outcome) in [
        (0, Outcome::Admit),
        (30, Outcome::Admit),
        (44, Outcome::Admit),
        (46, Outcome::Refer),
        (90, Outcome::Refer),
    ] {
        let reply = gate.verify(code, Presentation::default());
        let Attack::Score(score) = reply.attack else { panic!("a detector ran") };
        assert!((score - fused(code)).abs() < 1e-5, "{score} for {code}");
        assert_eq!(reply.verdict.outcome, outcome, "{code}: {:?}", codes(&reply));
        assert!(reply.comparisons[0].matched, "the comparison stands for itself");
        assert_eq!(reply.spent.attack_us, 3_000, "two networks of 1.5 ms");
        assert_eq!(reply.spent.embed_us, 0, "the time of one stage is not the next one's");
        let entries = gate.scene.ledger.entries.lock().expect("no panic");
        assert_eq!(entries.last().expect("an entry").attack, reply.attack);
    }
    assert_eq!(gate.scene.meter.latency(Stage::Attack).count, 5);
    let told = gate.scene.meter.expose(gate.clock.monotonic_us());
    for line in ["{finding=\"passed\"} 3", "{finding=\"suspected\"} 2"] {
        assert!(told.contains(&format!("portcullis_attack_detections_total{line}")), "{told}");
    }
}

#[test]
fn each_network_is_shown_its_own_region_of_the_face() {
    let mut gate = Gate::new(true, AttackRule::Required, false);
    let reply = gate.verify(10, Presentation::default());
    let face = reply.face.expect("a face").face;
    let shown = gate.shown.lock().expect("no panic").clone();
    let expected = SCALES.map(|scale| {
        let region = region(face.rect_px, [EDGE_PX, EDGE_PX], scale).expect("a box");
        to_frame(region, [INPUT_PX, INPUT_PX])
    });
    assert_eq!(shown, expected);
    assert_ne!(shown[0], shown[1]);
}

#[test]
fn what_was_not_performed_is_said_and_admits_nobody_where_it_is_required() {
    let mut gate = Gate::new(false, AttackRule::Required, false);
    let reply = gate.verify(0, Presentation::default());
    assert_eq!((reply.attack, reply.verdict.outcome), (Attack::NotPerformed, Outcome::Refer));
    assert_eq!(codes(&reply), ["ATTACK_DETECTION_NOT_PERFORMED"]);
    assert_eq!(reply.spent.attack_us, 0);
    let mut supervised = Gate::new(false, AttackRule::NotRequired, false);
    let desk = supervised.verify(0, Presentation::default());
    assert_eq!((desk.attack, desk.verdict.outcome), (Attack::NotPerformed, Outcome::Admit));
    // A lane's transaction needs a result, also under a policy that does not ask for one.
    let lane = supervised.verify(0, Presentation { required: true, external: None });
    assert_eq!((lane.attack, lane.verdict.outcome), (Attack::NotPerformed, Outcome::Refer));
    assert_eq!(codes(&lane), ["ATTACK_DETECTION_NOT_PERFORMED"]);
    let told = supervised.scene.meter.expose(supervised.clock.monotonic_us());
    assert!(
        told.contains("portcullis_attack_detections_total{finding=\"not-performed\"} 2"),
        "{told}"
    );
}

#[test]
fn an_external_detector_counts_and_the_more_alarmed_of_two_is_heard() {
    let of = |score| Presentation { external: Some(score), required: true };
    let mut without = Gate::new(false, AttackRule::Required, false);
    for (score, outcome) in [(0.1, Outcome::Admit), (0.5, Outcome::Refer), (1.5, Outcome::Refer)] {
        let reply = without.verify(0, of(score));
        assert_eq!((reply.attack, reply.verdict.outcome), (Attack::Score(score), outcome));
    }
    let nonsense = without.verify(0, of(f32::NAN));
    assert_eq!(codes(&nonsense), ["ATTACK_SCORE_INVALID"]);
    let mut with = Gate::new(true, AttackRule::Required, false);
    for (code, external, heard) in [(10, 0.8, 0.8), (80, 0.1, fused(80)), (10, 0.1, fused(10))] {
        let Attack::Score(score) = with.verify(code, of(external)).attack else {
            panic!("a score")
        };
        assert!((score - heard).abs() < 1e-5, "{score} of {code} and {external}");
    }
    assert_eq!(with.verify(10, of(-1.0)).verdict.outcome, Outcome::Refer, "nonsense is not hidden");
}

#[test]
fn a_detector_that_fails_refers_and_the_next_traveller_passes() {
    hush();
    let mut gate = Gate::new(true, AttackRule::NotRequired, false);
    for code in [FAILS, PANICS, NO_NUMBER] {
        let reply = gate.verify(code, Presentation::default());
        assert_eq!(reply.verdict.outcome, Outcome::Refer, "{code}");
        assert_eq!(reply.attack, Attack::NotPerformed, "a failed test is no result");
        assert!(!gate.holds.load(Ordering::SeqCst), "nothing of {code} is left");
        assert_eq!(gate.verify(5, Presentation::default()).verdict.outcome, Outcome::Admit);
    }
}

#[test]
fn scores_stay_with_their_travellers_in_a_batch() {
    let mut gate = Gate::new(true, AttackRule::Required, false);
    let kinds = [
        (Action::Verify, 10),
        (Action::Enrol, 90),
        (Action::Verify, 70),
        (Action::Verify, 20),
        (Action::Verify, 85),
    ];
    let orders = kinds.map(|(action, code)| gate.order(action, code, Presentation::default()));
    let replies = gate.answers(orders.into());
    for ((action, code), reply) in kinds.into_iter().zip(&replies) {
        match (action, reply.attack) {
            (Action::Verify, Attack::Score(score)) => {
                assert!((score - fused(code)).abs() < 1e-5, "{score} for {code}");
            }
            (Action::Enrol, Attack::NotPerformed) => {
                assert!(reply.template.is_some(), "a document's photograph may be enrolled");
            }
            (action, attack) => panic!("{action:?}: {attack:?}"),
        }
    }
}

#[test]
fn enrolments_are_tested_where_that_is_configured() {
    let mut gate = Gate::new(true, AttackRule::Required, true);
    let orders = [90, 10].map(|code| gate.order(Action::Enrol, code, Presentation::default()));
    let replies = gate.answers(orders.into());
    assert_eq!(replies[0].verdict.outcome, Outcome::Refer);
    assert!(replies[0].template.is_none() && replies[1].template.is_some());
}

/// Scripted panics are expected; their messages would bury a real one.
fn hush() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panicked| {
            let told = panicked.payload().downcast_ref::<&str>();
            if !told.is_some_and(|text| text.starts_with("as ")) {
                loud(panicked);
            }
        }));
    });
}
