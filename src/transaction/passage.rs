//! One transaction at work: the lane's tap, the machine and the pipeline, put together.
//!
//! Whoever carries out the command turns the passage on its own thread; a test turns it by hand.
//! One frame is in the pipeline at a time, always the newest that the lane has.
//!
//! A transaction that is cancelled, left or out of time while a frame is in the pipeline gives it
//! up: the pipeline works on it no further, and no later than an engine has ended its batch it is
//! zero. The end waits for that, so that whoever is told of it can rely on it, but no longer than
//! [`LET_GO_US`]: an engine that hangs keeps its batch, and a gate is not kept waiting for it.
//!
//! Invariant: when [`Passage::run`] returns, the tap is closed, the references are dropped, and but
//! for an engine that hangs no slot holds a frame of the transaction. A reply that comes after the
//! end goes nowhere, and is no Admit.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::{
    Closing,
    machine::{Event, Machine, Step, Terms, Told},
    register::Open,
};
use crate::{
    capture::lane::{Frame, Tap},
    limits::LET_GO_US,
    pipeline::{Desk, Order, Pipeline, Presentation, Priority, Refused, Reply, Task},
    random::{Entropy, random_id},
    time::Clock,
    types::{Asked, Hash256, Obligations, TransactionId},
};

/// Takes a reply; called once.
pub type ReplyTo = Box<dyn FnOnce(Reply) + Send>;

/// Who judges frames.
pub trait Judges {
    /// Takes an order; `reply` is called once, from another thread.
    ///
    /// # Errors
    /// [`Refused`]; `reply` is then never called.
    fn submit(&self, order: Order, reply: ReplyTo) -> Result<(), Refused>;
}

impl Judges for Pipeline {
    fn submit(&self, order: Order, reply: ReplyTo) -> Result<(), Refused> {
        Pipeline::submit(self, order, reply)
    }
}

impl Judges for Desk {
    fn submit(&self, order: Order, reply: ReplyTo) -> Result<(), Refused> {
        Desk::submit(self, order, reply)
    }
}

/// What each frame is held against.
pub trait Against {
    /// The task of the next frame. An enrolled subject is looked up for each, so that one who is
    /// erased meanwhile is compared with nobody.
    ///
    /// # Errors
    /// A stable code: there is nothing to compare with any more.
    fn task(&mut self) -> Result<Task, &'static str>;
}

/// What a passage works with.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Who judges.
    pub judges: &'a dyn Judges,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// Where the names of frames come from.
    pub entropy: &'a dyn Entropy,
}

/// What follows a turn.
pub enum Turn {
    /// Something happened; turn again.
    Again,
    /// Nothing to do before this time, or before the bell rings.
    Sleep {
        /// On the appliance's clock.
        until_us: u64,
    },
    /// It is over.
    Ended(Box<Closing>),
}

/// One transaction, at work.
pub struct Passage<'a> {
    open: Arc<Open>,
    machine: Machine,
    tap: Tap,
    against: Box<dyn Against + 'a>,
    asked: Asked,
    owed: Obligations,
    around: Surroundings<'a>,
    /// Frames that were handed in, each with the hash of its picture; nothing where none is taken.
    inputs: Vec<(TransactionId, Hash256)>,
    /// Set when nobody waits for the frame in the pipeline any more.
    given_up: Arc<AtomicBool>,
    /// The pipeline holds it, too, as long as it has a frame.
    held: Arc<()>,
    /// How it ended, and how long a frame may hold that back.
    closing: Option<(Box<Closing>, u64)>,
}

impl<'a> Passage<'a> {
    /// A passage of `open`, whose bell `tap` rings for each frame.
    #[must_use]
    pub fn new(
        open: Arc<Open>,
        terms: Terms,
        tap: Tap,
        against: Box<dyn Against + 'a>,
        (asked, owed): (Asked, Obligations),
        around: Surroundings<'a>,
    ) -> Self {
        Self {
            open,
            machine: Machine::new(terms),
            tap,
            against,
            asked,
            owed,
            around,
            inputs: Vec::new(),
            given_up: Arc::default(),
            held: Arc::default(),
            closing: None,
        }
    }

    /// One step, with whatever was rung.
    pub fn turn(&mut self) -> Turn {
        if let Some((closing, until_us)) = self.closing.take() {
            return self.close(closing, until_us);
        }
        let rung = self.open.bell.take();
        let was_idle = rung.is_none();
        let now_us = self.around.clock.monotonic_us();
        let mut step = self.machine.step(now_us, rung.unwrap_or(Event::Tick));
        if matches!(step, Step::Judge)
            && let Err(event) = self.hand_in()
        {
            step = self.machine.step(self.around.clock.monotonic_us(), event);
        }
        self.open.shows(self.machine.display());
        match step {
            Step::Close(closing) => {
                self.given_up.store(true, Ordering::SeqCst);
                let until_us = self.around.clock.monotonic_us().saturating_add(LET_GO_US);
                let closing = self.with_input(closing);
                self.close(closing, until_us)
            }
            Step::Wait { until_us } if was_idle => Turn::Sleep { until_us },
            Step::Wait { .. } | Step::Judge => Turn::Again,
        }
    }

    /// Turns until it is over; `sleep` returns when its time has come or the bell has rung.
    #[must_use]
    pub fn run(mut self, sleep: &dyn Fn(u64)) -> Box<Closing> {
        loop {
            match self.turn() {
                Turn::Again => {}
                Turn::Sleep { until_us } => sleep(until_us),
                Turn::Ended(closing) => return closing,
            }
        }
    }

    /// `closing` with the hash of the picture that it rests on.
    fn with_input(&self, mut closing: Box<Closing>) -> Box<Closing> {
        let chosen = closing.chosen.as_ref().map(|reply| reply.transaction);
        let held = self.inputs.iter().find(|(frame, _)| Some(*frame) == chosen);
        closing.input = held.map(|(_, input)| *input);
        closing
    }

    /// It is over as soon as the pipeline has let go of its frame, and at `until_us`.
    fn close(&mut self, closing: Box<Closing>, until_us: u64) -> Turn {
        if Arc::strong_count(&self.held) == 1 {
            return Turn::Ended(closing);
        }
        if self.around.clock.monotonic_us() >= until_us {
            let transaction = self.open.standing().transaction;
            tracing::error!(
                %transaction,
                patience_ms = LET_GO_US / 1_000,
                "the transaction has ended and the pipeline still holds its frame: the engine may \
                 hang, or be too slow or starved for its batch; the frame is zeroed when it ends"
            );
            return Turn::Ended(closing);
        }
        self.closing = Some((closing, until_us));
        Turn::Sleep { until_us }
    }

    /// Hands the newest frame in; what happened instead where that is not possible.
    fn hand_in(&mut self) -> Result<(), Event> {
        let frame = self.tap.newest().ok_or(Event::NotTaken(None))?;
        let Frame { captured, external_attack, input, .. } = frame;
        let transaction = TransactionId::from_bytes(random_id(self.around.entropy));
        self.inputs.extend(input.map(|input| (transaction, input)));
        let lane = self.tap.lane();
        // A result that nobody was told to trust is not one.
        let external = external_attack.filter(|_| lane.terms().external_detector.is_some());
        let order = Order {
            transaction,
            asked: self.asked.clone(),
            owed: self.owed,
            probe: captured,
            task: self.against.task().map_err(Event::Impossible)?,
            priority: Priority::Gate,
            lane: lane.kind(),
            deadline_us: self.machine.frame_deadline_us(),
            presentation: Presentation { external, required: true },
            slots_us: 0, // a lane has slots of its own
            claim: None,
            given_up: Some(Arc::clone(&self.given_up)),
        };
        let (open, held) = (Arc::clone(&self.open), Arc::clone(&self.held));
        let judged = move |reply| {
            drop(held); // whoever is woken sees that nothing is held any more
            open.bell.judged(reply);
        };
        let taken = self.around.judges.submit(order, Box::new(judged));
        taken.map_err(|refused| match refused {
            Refused::Stopping => Event::Told(Told::Stop),
            Refused::Busy { .. } | Refused::TooLate { .. } => Event::NotTaken(Some(refused.code())),
        })
    }
}
