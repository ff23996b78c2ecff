//! Jobs: what is known about each transaction on its way, in a table of fixed size.
//!
//! A job's ticket is its place in the table; only tickets cross queues. Whoever holds a ticket owns
//! the job, so the places' mutexes are never contended: they are safe Rust's proof of that.
//!
//! A job is made with everything that its way to the verdict writes to (places for its templates,
//! for its scores and for the facts), so that nothing is allocated from ticket to verdict.
//!
//! Invariant: a job is settled once; `pending` counts its samples that are not.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_queue::ArrayQueue;

use super::{
    Claim, Known, Matching, Order, Presentation, Priority, Reference, Reply, Spent, Task,
    slot::Captured,
};
use crate::{
    face::FaceReport,
    meter::{LaneKind, Offered},
    model::Calibration,
    ops::{program::ToFrame, tile::TileSource},
    types::{
        Attack, Authenticity, Candidate, CaptureFact, Certificate, ComparisonFact, EngineFact,
        Facts, IdentificationFact, Score, Template, Threshold, TransactionId,
    },
};

/// Takes the answer to the caller; called once.
pub(super) type ReplyTo = Box<dyn FnOnce(Reply) + Send>;

/// What the templates are for; [`Task`] without its references, which are samples here.
pub(super) enum Goal {
    Verify {
        threshold: Threshold,
    },
    Identify {
        tiles: Arc<dyn TileSource>,
        threshold: Threshold,
        doubt_from: Option<Score>,
        best: usize,
        class_bits: u64,
        group: Option<u32>,
    },
    Template,
    Reference,
}

/// One face on its way from frame to template.
#[derive(Default)]
pub(super) struct Sample {
    /// Until it is embedded or found unusable.
    pub(super) captured: Option<Captured>,
    pub(super) capture: Option<CaptureFact>,
    pub(super) face: Option<FaceReport>,
    pub(super) to_frame: Option<ToFrame>,
    pub(super) template: Option<Template>,
    /// The place that was set aside for the template of an image.
    pub(super) blank: Option<Template>,
    /// In the place of a template: one that others hold, too.
    pub(super) prepared: Option<Arc<Known>>,
    /// What the document that it comes from was found to be.
    pub(super) document: Option<Authenticity>,
    /// It came as an image that is counted; settled with the answer.
    pub(super) offered: Option<Offered>,
    settled: bool,
}

/// What a search found, folded to subjects.
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// Subjects at or above the threshold among the best rows, also beyond those asked for.
    pub(super) subjects: u32,
    /// Subjects below it who leave a doubt, among the best rows.
    pub(super) doubtful: u32,
    pub(super) certificate: Certificate,
    pub(super) current: bool,
}

/// One transaction.
pub(super) struct Job {
    pub(super) transaction: TransactionId,
    /// What was asked, and all that was found; complete when it is decided.
    pub(super) facts: Facts,
    pub(super) priority: Priority,
    pub(super) lane: LaneKind,
    pub(super) deadline_us: u64,
    pub(super) submitted_us: u64,
    /// When its last sample was settled.
    pub(super) embedded_us: u64,
    pub(super) goal: Goal,
    /// What follows when its templates are there.
    pub(super) matching: Matching,
    pub(super) engine: EngineFact,
    pub(super) presentation: Presentation,
    /// What presentation attack detection has said of the probe so far.
    pub(super) attack: Attack,
    /// The probe, then the references.
    pub(super) samples: Vec<Sample>,
    /// One per reference, once compared.
    pub(super) scores: Vec<Option<Score>>,
    pub(super) found: Option<Found>,
    pub(super) spent: Spent,
    pub(super) reply: ReplyTo,
    /// The engines' time that was set aside for it.
    _claim: Claim,
    given_up: Option<Arc<AtomicBool>>,
    pending: usize,
    /// The last batch whose time was counted, so that two frames in one batch count it once.
    batch: u64,
}

impl Job {
    pub(super) fn new(
        order: Order,
        claim: Claim,
        submitted_us: u64,
        calibration: &Calibration,
        reply: ReplyTo,
    ) -> Self {
        let Order { transaction, asked, owed, probe, task, priority, lane, deadline_us, .. } =
            order;
        let (slots_us, matching) = (order.slots_us, task.matching());
        let (presentation, given_up) = (order.presentation, order.given_up);
        let (goal, references) = match task {
            Task::Verify { references, threshold } => (Goal::Verify { threshold }, references),
            Task::Identify { tiles, threshold, doubt_from, best, class_bits, group } => {
                let goal = Goal::Identify { tiles, threshold, doubt_from, best, class_bits, group };
                (goal, Vec::new())
            }
            Task::Template => (Goal::Template, Vec::new()),
            Task::Reference => (Goal::Reference, Vec::new()),
        };
        let references =
            references.into_iter().map(|reference| Sample::of_reference(reference, calibration));
        let probe = Sample::of(probe, calibration);
        let samples: Vec<Sample> = std::iter::once(probe).chain(references).collect();
        let frames = || samples.iter().filter_map(|sample| sample.captured.as_ref());
        let spent = Spent {
            slots_us,
            capture_us: frames().map(Captured::capture_us).sum(),
            ..Spent::default()
        };
        let pending = frames().count();
        let facts = Facts {
            asked,
            owed,
            probe: CaptureFact::NoFace,
            attack: Attack::NotPerformed,
            comparisons: Vec::with_capacity(samples.len()),
            identification: None,
            engine: EngineFact::Sound,
        };
        Self {
            transaction,
            facts,
            priority,
            lane,
            deadline_us,
            submitted_us,
            embedded_us: submitted_us,
            goal,
            matching,
            engine: EngineFact::Sound,
            presentation,
            attack: presentation.result(),
            scores: Vec::with_capacity(samples.len()),
            samples,
            found: None,
            spent,
            reply,
            _claim: claim,
            given_up,
            pending,
            batch: 0,
        }
    }

    /// Fills in the facts from what was found. What was not found is not claimed.
    pub(super) fn find_facts(&mut self) {
        let threshold = match &self.goal {
            Goal::Identify { threshold, .. } | Goal::Verify { threshold } => threshold.score,
            Goal::Template | Goal::Reference => Score(i32::MAX),
        };
        let references = self.samples[1..].iter().enumerate();
        self.facts.comparisons.clear();
        self.facts.comparisons.extend(references.map(|(index, sample)| ComparisonFact {
            reference: sample.capture.unwrap_or(CaptureFact::NoFace),
            document: sample.document,
            score: self.scores.get(index).copied().flatten(),
            threshold,
        }));
        self.facts.probe = self.samples[0].capture.unwrap_or(CaptureFact::NoFace);
        self.facts.identification = self.found.as_ref().map(|found| {
            let &Found { subjects: candidates, doubtful, current, .. } = found;
            IdentificationFact { candidates, doubtful, current }
        });
        self.facts.attack = self.attack;
        self.facts.engine = self.engine;
    }

    /// Whether something is decided about somebody, rather than a reference made ready.
    pub(super) fn is_decided(&self) -> bool {
        !matches!(self.goal, Goal::Reference)
    }

    pub(super) fn probe(&self) -> &Sample {
        &self.samples[0]
    }

    /// The first thing that went wrong stands.
    pub(super) fn fail(&mut self, engine: EngineFact) {
        if self.engine == EngineFact::Sound {
            self.engine = engine;
        }
    }

    /// Whether nobody waits for its answer any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.as_ref().is_some_and(|given_up| given_up.load(Ordering::SeqCst))
    }

    /// Notices a deadline that has passed, or that nobody waits; whether the job is still worth
    /// working on.
    pub(super) fn is_sound_at(&mut self, now_us: u64) -> bool {
        if now_us >= self.deadline_us || self.is_given_up() {
            self.fail(EngineFact::Late);
        }
        self.engine == EngineFact::Sound
    }

    /// Frees the sample's frame. True when it was the last one, once.
    pub(super) fn settle(&mut self, sample: usize) -> bool {
        let sample = &mut self.samples[sample];
        sample.captured = None;
        if std::mem::replace(&mut sample.settled, true) {
            return false;
        }
        self.pending -= 1;
        self.pending == 0
    }

    /// Counts the time of batch number `batch`, once per job.
    pub(super) fn charge(&mut self, batch: u64, count: impl FnOnce(&mut Spent)) {
        if self.batch != batch {
            self.batch = batch;
            count(&mut self.spent);
        }
    }
}

impl Sample {
    /// What it is compared by.
    pub(super) fn template(&self) -> Option<&Template> {
        let prepared = || self.prepared.as_ref().and_then(|prepared| prepared.template.as_ref());
        self.template.as_ref().or_else(prepared)
    }

    fn of_reference(reference: Reference, calibration: &Calibration) -> Self {
        match reference {
            Reference::Image(captured) => Sample::of(captured, calibration),
            Reference::Portrait(captured, authenticity) => {
                Sample { document: Some(authenticity), ..Sample::of(captured, calibration) }
            }
            Reference::Template(template) => Sample {
                capture: Some(CaptureFact::Usable),
                template: Some(template),
                settled: true,
                ..Sample::default()
            },
            Reference::Known(prepared) => Sample {
                capture: Some(prepared.capture),
                document: prepared.document,
                prepared: Some(prepared),
                settled: true,
                ..Sample::default()
            },
        }
    }

    fn of(mut captured: Captured, calibration: &Calibration) -> Self {
        let offered = captured.take_offered();
        let blank = Some(calibration.blank());
        Self { captured: Some(captured), blank, offered, ..Self::default() }
    }
}

/// Every job in flight.
pub(super) struct JobTable {
    places: Box<[Mutex<Option<Job>>]>,
    free: ArrayQueue<u32>,
}

impl JobTable {
    pub(super) fn new(places: usize) -> Self {
        let count = u32::try_from(places).expect("jobs are counted in u32");
        let free = ArrayQueue::new(places);
        for ticket in 0..count {
            free.push(ticket).expect("the queue has one place per job");
        }
        Self { places: (0..places).map(|_| Mutex::new(None)).collect(), free }
    }

    /// A place of one's own, where about `kept_free` others stay free; `None` when there is none.
    pub(super) fn reserve(&self, kept_free: usize) -> Option<u32> {
        if kept_free > 0 && self.free.len() <= kept_free {
            return None;
        }
        self.free.pop()
    }

    pub(super) fn seat(&self, ticket: u32, job: Job) {
        *self.place(ticket) = Some(job);
    }

    /// Works on a job; the caller holds its ticket.
    pub(super) fn with<R>(&self, ticket: u32, work: impl FnOnce(&mut Job) -> R) -> R {
        work(self.place(ticket).as_mut().expect("a ticket in flight has a job"))
    }

    /// Takes the job out for its last steps; its place stays reserved until [`Self::release`].
    pub(super) fn take(&self, ticket: u32) -> Job {
        self.place(ticket).take().expect("a ticket in flight has a job")
    }

    pub(super) fn release(&self, ticket: u32) {
        self.free.push(ticket).expect("a ticket is returned once, to its own place");
    }

    pub(super) fn is_empty(&self) -> bool {
        self.free.is_full()
    }

    fn place(&self, ticket: u32) -> MutexGuard<'_, Option<Job>> {
        self.places[ticket as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
