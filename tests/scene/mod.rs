//! A lane without cameras: pictures that say in their first pixel what a detector would find in
//! them, networks that believe it, and parts that fail when a seed says so. Everything behind the
//! networks is the product's own.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "a private module of several test targets; each uses its part of it"
)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use portcullis::{
    audit::{AuditEntry, AuditError, AuditSink},
    backend::{
        Backend, BackendError, Description, Engine, Network, Pinned, Tiles, reference::Reference,
    },
    face::{
        Detector, FaceRules,
        attack::{AttackDetector, AttackNetwork},
    },
    meter::{LaneKind, Meter},
    model::Calibration,
    ops::{
        program::{BufferId, ChannelOrder, Feed, Op, Output, Program, Shape, Step},
        search::{Probe, RowHits},
        tile::TileSource,
    },
    pipeline::{
        AttackDetection, Order, Parts, Presentation, Priority, Standby, Supply, Task,
        slot::{Captured, SlotPool},
    },
    policy::{AttackRule, Guards},
    time::Clock,
    types::{Action, Asked, Caller, Obligations, Outcome, Purpose, Role, TransactionId},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Width and height of every picture and of the detector's input.
pub const EDGE_PX: u32 = 128;
/// Bytes of one picture.
pub const PICTURE_BYTES: usize = (EDGE_PX * EDGE_PX * 3) as usize;
/// Cells of the detector's three grids.
const GRIDS: [(usize, usize); 3] = [(8, 256), (16, 64), (32, 16)];
/// Landmarks of the aligned face, moved to the middle of the picture.
const LANDMARKS_PX: [[f32; 2]; 5] =
    [[46.3, 59.7], [81.5, 59.5], [64.0, 79.7], [49.5, 100.4], [78.7, 100.2]];

/// The attack score of a face that is one; exact, as is what remains of one.
pub const BONA_FIDE: f32 = 0.125;
/// Search engines that stand by.
const SPARE_SEARCHES: u64 = 3;

/// What a picture shows, and what goes wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Shows {
    /// Nobody.
    Nobody,
    /// One face.
    Face,
    /// Two faces of one size.
    Two,
    /// The detector's backend reports an error.
    DetectFails,
    /// The detector panics.
    DetectPanics,
    /// A face; the embedder's backend reports an error.
    EmbedFails,
    /// A face; the embedder panics.
    EmbedPanics,
    /// A face whose embedding is all zeros.
    EmbedsNothing,
    /// A face by which the attack detector is alarmed.
    Spoof,
    /// A face; the attack detector's backend reports an error.
    AttackFails,
    /// A face; the attack detector panics.
    AttackPanics,
    /// A face of which the attack detector says no number.
    AttackSaysNothing,
}

impl Shows {
    pub const FAULTS: [Self; 5] = [
        Self::DetectFails,
        Self::DetectPanics,
        Self::EmbedFails,
        Self::EmbedPanics,
        Self::EmbedsNothing,
    ];

    /// What only an attack detector finds wrong.
    pub const ATTACKS: [Self; 4] =
        [Self::Spoof, Self::AttackFails, Self::AttackPanics, Self::AttackSaysNothing];

    /// Whether it is a face like any other to whoever detects no attacks, as in a reference.
    pub fn is_face(self) -> bool {
        self == Self::Face || Self::ATTACKS.contains(&self)
    }

    fn of(code: u8) -> Self {
        let known = [
            Self::Nobody,
            Self::Face,
            Self::Two,
            Self::DetectFails,
            Self::DetectPanics,
            Self::EmbedFails,
            Self::EmbedPanics,
            Self::EmbedsNothing,
            Self::Spoof,
            Self::AttackFails,
            Self::AttackPanics,
            Self::AttackSaysNothing,
        ];
        known.into_iter().find(|shows| *shows as u8 == code).expect("a picture of this scene")
    }
}

/// A picture in a slot; `None` when all are taken.
pub fn picture(slots: &Arc<SlotPool>, shows: Shows, person: u8) -> Option<Captured> {
    let draw = |pixels: &mut [u8]| -> Result<(u32, u32), Infallible> {
        paint(&mut pixels[..PICTURE_BYTES], shows, person);
        Ok((EDGE_PX, EDGE_PX))
    };
    slots.capture(draw).ok()
}

/// The picture's pixels.
pub fn paint(pixels: &mut [u8], shows: Shows, person: u8) {
    for (at, pixel) in pixels.iter_mut().enumerate() {
        *pixel = 60 + (at * 37 % 128) as u8; // textured and mid-grey: sharp, well exposed
    }
    pixels[0] = shows as u8;
    pixels[1] = person;
}

/// Something that happens with a probability of so many in 256.
pub struct Dice(Mutex<ChaCha8Rng>);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(ChaCha8Rng::seed_from_u64(seed)))
    }

    pub fn roll(&self) -> u32 {
        self.0.lock().expect("no panic while rolling").next_u32()
    }

    pub fn below(&self, bound: u32) -> u32 {
        self.roll() % bound
    }

    pub fn happens(&self, in_256: u32) -> bool {
        self.roll() % 256 < in_256
    }
}

/// What a network does while it runs: lets time pass, or gives another thread its turn.
pub type Meanwhile = Arc<dyn Fn() + Send + Sync>;

/// Engines by number: those below `lost_below` are lost, and so many may still be made ready.
#[derive(Default)]
pub struct Engines {
    at_work: AtomicU32,
    lost_below: AtomicU32,
    spare: AtomicU32,
    /// Whether the detector takes a batch while it computes the one before.
    pub deep: AtomicBool,
    /// What such a detector was told: `true` for a batch that was handed over.
    pub told: Mutex<Vec<bool>>,
}

impl Engines {
    /// The engine at work is lost from now on; `spare` others can take over.
    pub fn lose(&self, spare: u32) {
        self.spare.store(spare, Ordering::SeqCst);
        self.lost_below.store(self.at_work.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    /// Whether every engine is lost.
    pub fn are_lost(&self) -> bool {
        let at_work = self.at_work.load(Ordering::SeqCst);
        at_work < self.lost_below.load(Ordering::SeqCst) && self.spare.load(Ordering::SeqCst) == 0
    }

    /// How often one took over from another.
    pub fn replaced(&self) -> u32 {
        self.at_work.load(Ordering::SeqCst)
    }
}

/// What the scene's networks are made of.
#[derive(Clone)]
struct Workshop {
    engines: Arc<Engines>,
    holds: [Arc<AtomicBool>; 3],
    meanwhile: Meanwhile,
    search: Arc<Flaky>,
    /// Whether its engines detect attacks.
    detects_attacks: bool,
}

/// What a network is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Works {
    Detect,
    Embed,
    Attack,
}

impl Workshop {
    fn engine(&self) -> Engine {
        let network = |works: Works| -> Box<dyn Network> {
            let holds = Arc::clone(&self.holds[works as usize]);
            let (engines, meanwhile) = (Arc::clone(&self.engines), Arc::clone(&self.meanwhile));
            let number = engines.at_work.load(Ordering::SeqCst);
            let (outputs, under_way) = (Vec::new(), VecDeque::new());
            Box::new(Scripted { works, outputs, under_way, holds, meanwhile, engines, number })
        };
        let number = self.engines.at_work.load(Ordering::SeqCst);
        Engine {
            networks: Description {
                device: format!("scripted networks {number}"),
                ..self.search.describe()
            },
            detect: network(Works::Detect),
            attack: self.detects_attacks.then(|| network(Works::Attack)).into_iter().collect(),
            embed: network(Works::Embed),
            search: Arc::clone(&self.search) as Arc<dyn Backend>,
        }
    }
}

impl Supply for Workshop {
    fn again(&mut self) -> Option<Engine> {
        Some(self.engine())
    }

    fn next(&mut self) -> Option<Engine> {
        let take = |spare: u32| spare.checked_sub(1);
        self.engines.spare.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).ok()?;
        self.engines.at_work.fetch_add(1, Ordering::SeqCst);
        Some(self.engine())
    }
}

/// A network that reads its answer from the picture's first pixels.
struct Scripted {
    works: Works,
    engines: Arc<Engines>,
    number: u32,
    outputs: Vec<Vec<Vec<f32>>>,
    /// Outputs of batches that were handed over.
    under_way: VecDeque<Vec<Vec<Vec<f32>>>>,
    holds: Arc<AtomicBool>,
    meanwhile: Meanwhile,
}

impl Scripted {
    fn answer(&self, shows: Shows, person: u8) -> Result<Vec<Vec<f32>>, BackendError> {
        let lost = BackendError::Lost { what: "scripted", why: "the picture says so".into() };
        match (self.works, shows) {
            (Works::Detect, Shows::DetectFails)
            | (Works::Embed, Shows::EmbedFails)
            | (Works::Attack, Shows::AttackFails) => Err(lost),
            (Works::Detect, Shows::DetectPanics)
            | (Works::Embed, Shows::EmbedPanics)
            | (Works::Attack, Shows::AttackPanics) => panic!("as scripted"),
            (Works::Detect, Shows::Nobody) => Ok(detections(&[])),
            (Works::Detect, Shows::Two) => Ok(detections(&[-32.0, 32.0])),
            (Works::Detect, _) => Ok(detections(&[0.0])),
            (Works::Attack, shows) => {
                let attack = match shows {
                    Shows::Spoof => 0.9,
                    Shows::AttackSaysNothing => f32::NAN,
                    _ => BONA_FIDE,
                };
                Ok(vec![vec![attack, 1.0 - attack]])
            }
            (Works::Embed, shows) => {
                let mut embedding = vec![0.0; 128];
                embedding[usize::from(person)] =
                    if shows == Shows::EmbedsNothing { 0.0 } else { 3.0 };
                Ok(vec![embedding])
            }
        }
    }
}

impl Network for Scripted {
    fn batch_max(&self) -> usize {
        // Whoever takes over may take less at a time, and so may not hinder anybody.
        [4, 1, 3][self.number as usize % 3]
    }

    fn depth(&self) -> usize {
        if self.works == Works::Detect && self.engines.deep.load(Ordering::SeqCst) { 2 } else { 1 }
    }

    fn begin(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        if self.depth() == 1 {
            return self.run(feeds);
        }
        assert!(self.under_way.len() < 2, "two are under way");
        self.engines.told.lock().expect("no panic while telling").push(true);
        self.run(feeds)?;
        // As a device that zeroes behind itself what is no result.
        self.holds.store(false, Ordering::SeqCst);
        self.under_way.push_back(std::mem::take(&mut self.outputs));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BackendError> {
        if self.depth() == 2 {
            self.engines.told.lock().expect("no panic while telling").push(false);
            self.outputs = self.under_way.pop_front().expect("a batch is under way");
            if self.number < self.engines.lost_below.load(Ordering::SeqCst) {
                return Err(BackendError::Lost { what: "scripted", why: "unplugged".into() });
            }
        }
        Ok(())
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        assert!((1..=self.batch_max()).contains(&feeds.len()), "{} items", feeds.len());
        self.holds.store(true, Ordering::SeqCst);
        (self.meanwhile)();
        if self.number < self.engines.lost_below.load(Ordering::SeqCst) {
            return Err(BackendError::Lost { what: "scripted", why: "it was unplugged".into() });
        }
        self.outputs.clear();
        for feed in feeds {
            let frame = match (self.works, feed) {
                (Works::Detect, Feed::Fit { frame })
                | (Works::Embed | Works::Attack, Feed::Warp { frame, .. }) => frame,
                _ => panic!("a detector is fed whole frames, the others regions of them"),
            };
            let (shows, person) = (Shows::of(frame.pixels()[0]), frame.pixels()[1]);
            let answer = self.answer(shows, person)?;
            self.outputs.push(answer);
        }
        Ok(())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        &self.outputs[item][index]
    }

    fn wipe(&mut self) {
        self.outputs.clear();
        self.under_way.clear();
        self.holds.store(false, Ordering::SeqCst);
    }
}

/// The detector's twelve outputs for faces moved sideways by so many pixels.
pub fn detections(moved_px: &[f32]) -> Vec<Vec<f32>> {
    let values = |kind: usize| [1, 1, 4, 10][kind];
    let mut outputs: Vec<Vec<f32>> =
        (0..4).flat_map(|kind| GRIDS.map(|(_, cells)| vec![0.0; cells * values(kind)])).collect();
    for (face, &moved_px) in moved_px.iter().enumerate() {
        let (row, column) = (8, 7 + face);
        let cell = row * 16 + column;
        outputs[0][cell] = 0.99;
        outputs[3][cell] = 0.99;
        let (width_px, height_px) = (if moved_px == 0.0 { 80.0_f32 } else { 56.0 }, 100.0_f32);
        let place = |px: f32, cell: usize| px / 8.0 - cell as f32;
        let rect = [
            place(64.0 + moved_px, column),
            place(72.0, row),
            (width_px / 8.0).ln(),
            (height_px / 8.0).ln(),
        ];
        outputs[6][cell * 4..][..4].copy_from_slice(&rect);
        for (point, [x, y]) in LANDMARKS_PX.iter().enumerate() {
            outputs[9][cell * 10 + point * 2] = place(x + moved_px, column);
            outputs[9][cell * 10 + point * 2 + 1] = place(*y, row);
        }
    }
    outputs
}

/// The shape of such a detector; it has no steps, because the script is its weights.
fn detector() -> Detector {
    let edge = EDGE_PX as usize;
    let mut buffers = vec![Shape { h: edge, w: edge, c: 3 }];
    let mut outputs = Vec::new();
    for (kind, values) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
        for (stride, cells) in GRIDS {
            outputs
                .push(Output { name: format!("{kind}_{stride}"), buffer: BufferId(buffers.len()) });
            buffers.push(Shape { h: 1, w: cells, c: values });
        }
    }
    let program = Program {
        name: "scripted".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers,
        weights: Vec::new(),
        steps: Vec::new(),
        outputs,
    };
    Detector::for_program(&program).expect("the shape of a detector")
}

/// The shape of an attack detector of one network.
pub fn attack_detector() -> AttackDetector {
    let output = BufferId(1);
    let program = Program {
        name: "scripted".into(),
        input: BufferId(0),
        channels: ChannelOrder::Bgr,
        buffers: vec![Shape { h: 80, w: 80, c: 3 }, Shape { h: 1, w: 1, c: 2 }],
        weights: Vec::new(),
        steps: vec![Step { op: Op::Softmax, inputs: vec![BufferId(0)], output }],
        outputs: vec![Output { name: "classes".into(), buffer: output }],
    };
    let network = AttackNetwork { program: &program, scale: 2.7, bona_fide: 1 };
    AttackDetector::for_networks(&[network]).expect("ends in probabilities")
}

/// The reference backend, that now and then fails or panics.
struct Flaky {
    inner: Reference,
    dice: Dice,
    faults_in_256: u32,
    meanwhile: Meanwhile,
}

impl Backend for Flaky {
    fn describe(&self) -> Description {
        self.inner.describe()
    }

    fn load(&self, program: &Program, batch: usize) -> Result<Box<dyn Network>, BackendError> {
        self.inner.load(program, batch)
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        self.inner.pin(source)
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        (self.meanwhile)();
        if self.dice.happens(self.faults_in_256) {
            return Err(BackendError::Lost { what: "flaky", why: "the seed says so".into() });
        }
        assert!(!self.dice.happens(self.faults_in_256), "as the seed says");
        self.inner.search(probes, tiles)
    }
}

/// An audit in memory, that now and then fails.
pub struct Ledger {
    pub entries: Mutex<Vec<AuditEntry>>,
    /// How often something was written.
    pub writes: AtomicU32,
    /// What the medium does while it writes, where a test says so.
    pub meanwhile: OnceLock<Meanwhile>,
    dice: Dice,
    faults_in_256: u32,
}

impl Ledger {
    /// What was recorded of a transaction, in its order.
    pub fn outcomes(&self, transaction: TransactionId) -> Vec<Option<Outcome>> {
        let entries = self.entries.lock().expect("no panic while recording");
        let of_it = entries.iter().filter(|entry| entry.transaction == transaction);
        of_it.map(|entry| entry.outcome).collect()
    }
}

impl AuditSink for Ledger {
    fn record(&self, entries: &[AuditEntry]) -> Result<(), AuditError> {
        if let Some(meanwhile) = self.meanwhile.get() {
            meanwhile();
        }
        if self.dice.happens(self.faults_in_256) {
            return Err(AuditError { place: "memory".into(), why: "the seed says so".into() });
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.entries.lock().expect("no panic while recording").extend_from_slice(entries);
        Ok(())
    }
}

/// Everything around the pipeline.
pub struct Scene {
    pub slots: Arc<SlotPool>,
    pub calibration: Arc<Calibration>,
    pub ledger: Arc<Ledger>,
    pub meter: Arc<Meter>,
    pub engines: Arc<Engines>,
    /// Whether the detector, the embedder, the attack detector holds anything of a picture.
    pub holds: [Arc<AtomicBool>; 3],
    transactions: AtomicU32,
}

impl Scene {
    /// A scene with `slots` slots; parts fail in so many of 256 cases.
    pub fn new(
        slots: usize,
        seed: u64,
        faults_in_256: u32,
        clock: Arc<dyn Clock>,
        meanwhile: Meanwhile,
    ) -> (Self, Parts) {
        Self::made((slots, seed, faults_in_256), clock, meanwhile, None)
    }

    /// The same with a presentation attack detector, also for whoever is enrolled.
    pub fn with_attack_detection(
        slots: usize,
        seed: u64,
        faults_in_256: u32,
        clock: Arc<dyn Clock>,
        meanwhile: Meanwhile,
    ) -> (Self, Parts) {
        let detection = AttackDetection { detector: attack_detector(), enrolments: true };
        Self::made((slots, seed, faults_in_256), clock, meanwhile, Some(detection))
    }

    fn made(
        (slots, seed, faults_in_256): (usize, u64, u32),
        clock: Arc<dyn Clock>,
        meanwhile: Meanwhile,
        attack: Option<AttackDetection>,
    ) -> (Self, Parts) {
        let scene = Self {
            slots: SlotPool::new(slots, PICTURE_BYTES + 100),
            calibration: Arc::new(Calibration::sface_128()),
            ledger: Arc::new(Ledger {
                entries: Mutex::default(),
                writes: AtomicU32::new(0),
                meanwhile: OnceLock::new(),
                dice: Dice::new(seed ^ 1),
                faults_in_256,
            }),
            meter: Arc::new(Meter::new()),
            engines: Arc::default(),
            holds: Default::default(),
            transactions: AtomicU32::new(0),
        };
        let busy = Arc::clone(&meanwhile);
        let search = move |number: u64| {
            let dice = Dice::new(seed ^ 2 ^ (number << 8));
            let meanwhile = Arc::clone(&busy);
            Arc::new(Flaky { inner: Reference::new(), dice, faults_in_256, meanwhile })
        };
        let workshop = Workshop {
            engines: Arc::clone(&scene.engines),
            holds: scene.holds.clone(),
            meanwhile,
            search: search(0),
            detects_attacks: attack.is_some(),
        };
        let parts = Parts {
            engine: workshop.engine(),
            detector: detector(),
            attack,
            calibration: Arc::clone(&scene.calibration),
            rules: FaceRules::still(),
            policy: Arc::new(Guards::new(AttackRule::NotRequired)),
            audit: Arc::clone(&scene.ledger) as Arc<dyn AuditSink>,
            clock,
            meter: Arc::clone(&scene.meter),
            slots: Arc::clone(&scene.slots),
            standby: Standby {
                engines: Box::new(workshop),
                searches: Box::new((1..=SPARE_SEARCHES).map(move |number| {
                    let spare: Arc<dyn Backend> = search(number);
                    spare
                })),
                ..Standby::default()
            },
        };
        (scene, parts)
    }

    /// An order with a name of its own.
    pub fn order(&self, action: Action, probe: Captured, task: Task, deadline_us: u64) -> Order {
        let number = self.transactions.fetch_add(1, Ordering::SeqCst);
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let asked = Asked {
            caller: Caller { role: Role::Gate, client: "lane-1".parse().expect("a name") },
            action,
            purpose: Purpose::Boarding,
            gallery: None,
            at_lane: None,
            subject: None,
        };
        let (transaction, presentation) = (TransactionId::from_bytes(id), Presentation::default());
        let priority = match action {
            Action::Identify | Action::Verify => Priority::Gate,
            _ => Priority::Enrolment,
        };
        Order {
            transaction,
            asked,
            owed: Obligations::NONE,
            probe,
            task,
            priority,
            lane: LaneKind::Request,
            deadline_us,
            presentation,
            slots_us: 0,
            claim: None,
            given_up: None,
        }
    }

    /// The template of a person, as the embedder would give it.
    pub fn template(&self, person: u8) -> portcullis::types::Template {
        let mut embedding = vec![0.0; 128];
        embedding[usize::from(person)] = 3.0;
        self.calibration.template(&embedding).expect("a direction")
    }

    /// Whether a network holds anything of a picture.
    pub fn networks_hold_something(&self) -> bool {
        self.holds.iter().any(|holds| holds.load(Ordering::SeqCst))
    }
}
