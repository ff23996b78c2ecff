//! One transaction at work: the lane's tap, the machine and the pipeline, put together.
//!
//! Whoever carries out the command turns the passage on its own thread; a test turns it by hand.
//! One frame is in the pipeline at a time, always the newest that the lane has.
//!
//! Invariant: when [`Passage::run`] returns, the tap is closed and the references are dropped. A
//! frame that is still in the pipeline then is zeroed there, and its reply goes nowhere.

use std::sync::Arc;

use super::{
    Closing,
    machine::{Event, Machine, Step, Terms, Told},
    register::Open,
};
use crate::{
    capture::lane::{Frame, Tap},
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
        let (machine, inputs) = (Machine::new(terms), Vec::new());
        Self { open, machine, tap, against, asked, owed, around, inputs }
    }

    /// One step, with whatever was rung.
    pub fn turn(&mut self) -> Turn {
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
            Step::Close(closing) => Turn::Ended(self.with_input(closing)),
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

    /// Hands the newest frame in; what happened instead where that is not possible.
    fn hand_in(&mut self) -> Result<(), Event> {
        let frame = self.tap.newest().ok_or(Event::NotTaken)?;
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
        };
        let open = Arc::clone(&self.open);
        let taken =
            self.around.judges.submit(order, Box::new(move |reply| open.bell.judged(reply)));
        taken.map_err(|refused| match refused {
            Refused::Stopping => Event::Told(Told::Stop),
            _ => Event::NotTaken,
        })
    }
}
