//! More than the engine can do: what is accepted is answered in time, what cannot be is refused at
//! once, and the engine works for nobody who has gone. In simulated time, from one seed.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use portcullis::{
    limits::TRANSACTIONS_MAX,
    meter::{Offered, Shed},
    pipeline::{Desk, EngineLine, MatchLine, Order, Priority, Reference, Refused, Task},
    time::{Clock, SimulatedClock},
    types::{Action, Outcome},
};

use crate::scene::{Dice, Scene, Shows, picture};

/// What a network takes for a batch, whatever its size.
const RUN_US: u64 = 10_000;
const DEADLINE_US: u64 = 300_000;
const SECOND_US: u64 = 1_000_000;
/// What a hung device, or a machine that slept, takes for one run.
const STALL_US: u64 = 120 * SECOND_US;

struct Load {
    clock: Arc<SimulatedClock>,
    scene: Scene,
    desk: Arc<Desk>,
    engine_line: EngineLine,
    match_line: MatchLine,
    dice: Dice,
    /// Answered in time, by priority.
    good: Arc<[AtomicU64; 2]>,
    /// Answered late, by priority.
    late: Arc<[AtomicU64; 2]>,
    refused: u64,
    /// What the next run takes longer, once.
    stall_us: Arc<AtomicU64>,
}

impl Load {
    fn new() -> Self {
        let clock = Arc::new(SimulatedClock::at(1_000));
        let (ticking, stall_us) = (Arc::clone(&clock), Arc::new(AtomicU64::new(0)));
        let stalled_us = Arc::clone(&stall_us);
        let meanwhile = Arc::new(move || {
            ticking.advance_us(RUN_US + stalled_us.swap(0, Ordering::SeqCst));
        });
        let handed = Arc::clone(&clock) as Arc<dyn Clock>;
        let (scene, parts) = Scene::new(TRANSACTIONS_MAX + 8, 3, 0, handed, meanwhile);
        let (desk, engine_line, match_line) = parts.assemble();
        let (dice, good, late) = (Dice::new(11), Arc::default(), Arc::default());
        let refused = 0;
        Self { clock, scene, desk, engine_line, match_line, dice, good, late, refused, stall_us }
    }

    fn ask(&mut self, priority: Priority) {
        let probe = picture(&self.scene.slots, Shows::Face, 0).expect("as many as transactions");
        let probe = probe.counted(Offered::new(&self.scene.meter));
        let references = vec![Reference::Template(self.scene.template(0))];
        let threshold = self.scene.calibration.threshold(1e-4).expect("a row");
        let task = Task::Verify { references, threshold };
        let deadline_us = self.clock.monotonic_us() + DEADLINE_US;
        let order = self.scene.order(Action::Verify, probe, task, deadline_us);
        let (good, late) = (Arc::clone(&self.good), Arc::clone(&self.late));
        let asked = self.desk.submit(Order { priority, ..order }, move |reply| {
            if reply.late {
                assert_ne!(reply.verdict.outcome, Outcome::Admit, "late is never admitted");
                late[priority as usize].fetch_add(1, Ordering::SeqCst);
            } else {
                assert_eq!(reply.verdict.outcome, Outcome::Admit);
                good[priority as usize].fetch_add(1, Ordering::SeqCst);
            }
        });
        match asked {
            Ok(()) => {}
            Err(Refused::TooLate { needed_ms, retry_after_s }) => {
                assert!(needed_ms > DEADLINE_US / 1_000 && retry_after_s >= 1);
                self.refused += 1;
            }
            Err(Refused::Busy { .. }) => self.refused += 1,
            Err(Refused::Stopping) => panic!("nobody stops it"),
        }
    }

    /// Answers everybody who waits; how many of them in time.
    fn work_off(&mut self) -> u64 {
        let before = self.good();
        while self.engine_line.turn() | self.match_line.turn() {}
        self.good() - before
    }

    fn good(&self) -> u64 {
        self.good.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Answers in a second when somebody always waits, and nobody too long.
    fn capacity(&mut self) -> u64 {
        let (before, until_us) = (self.good(), self.clock.monotonic_us() + SECOND_US);
        while self.clock.monotonic_us() < until_us {
            (0..8).for_each(|_| self.ask(Priority::Gate));
            while self.engine_line.turn() | self.match_line.turn() {}
        }
        assert_eq!(self.refused, 0);
        self.good() - before
    }

    /// Poisson arrivals at `rate` a second for ten seconds; every fourth one is an enrolment.
    fn offer(&mut self, rate: u64) -> u64 {
        let offered = self.scene.meter.account().offered;
        let mut next_us = self.clock.monotonic_us();
        let until_us = next_us + 10 * SECOND_US;
        while next_us < until_us {
            while next_us <= self.clock.monotonic_us() {
                let priority =
                    if self.dice.happens(64) { Priority::Enrolment } else { Priority::Gate };
                self.ask(priority);
                let share = (f64::from(self.dice.roll()) + 1.0) / (f64::from(u32::MAX) + 1.0);
                next_us += (-share.ln() * SECOND_US as f64 / rate as f64) as u64;
            }
            if !(self.engine_line.turn() | self.match_line.turn()) {
                let now_us = self.clock.monotonic_us();
                self.clock.advance_us(next_us.saturating_sub(now_us));
            }
        }
        while self.engine_line.turn() | self.match_line.turn() {}
        self.scene.meter.account().offered - offered
    }
}

#[test]
fn at_half_as_much_again_as_it_can_do_it_does_what_it_can() {
    let mut load = Load::new();
    let capacity = load.capacity();
    let before = load.good();
    let offered = load.offer(capacity * 3 / 2);
    assert!(offered > 14 * capacity, "{offered} of {capacity} a second");
    let good = load.good() - before;
    assert!(good * 100 >= capacity * 10 * 95, "{good} good answers, capacity {capacity} a second");
    let account = load.scene.meter.account();
    assert_eq!(account.in_flight(), 0, "{account:?}");
    assert_eq!(account.answered, load.good());
    assert_eq!(account.shed(Shed::TooLate) + account.shed(Shed::Busy), load.refused);
    assert_eq!(account.offered, account.answered + account.late + load.refused);
    // A gate that was let in was answered in time, but for a few whose luck ran out; enrolments are
    // overtaken by gates that came after them.
    let [late, good] = [&load.late, &load.good].map(|count| count[0].load(Ordering::SeqCst));
    assert!(late * 50 <= good, "{late} gates were late, {good} in time");
}

#[test]
fn at_two_thirds_of_what_it_can_do_nobody_is_refused_or_late() {
    let mut load = Load::new();
    let capacity = load.capacity();
    load.offer(capacity * 2 / 3);
    let account = load.scene.meter.account();
    assert_eq!((account.offered, account.late, load.refused), (account.answered, 0, 0));
}

#[test]
fn after_a_stall_whoever_comes_at_rest_is_served_and_soon_everybody_is() {
    let mut load = Load::new();
    load.capacity();
    load.stall_us.store(STALL_US, Ordering::SeqCst);
    load.ask(Priority::Gate);
    assert_eq!(load.work_off(), 0, "the stall cost this one its deadline");
    // The estimate is far beyond every deadline, and only work can correct it.
    load.ask(Priority::Gate);
    assert_eq!((load.work_off(), load.refused), (1, 0), "an engine at rest refuses nobody");
    (0..4).for_each(|_| load.ask(Priority::Gate));
    assert_eq!((load.work_off(), load.refused), (1, 3), "but what lies ahead still counts");
    // After as long a rest it is forgotten.
    load.clock.advance_us(STALL_US);
    load.refused = 0;
    (0..4).for_each(|_| load.ask(Priority::Gate));
    assert_eq!((load.work_off(), load.refused), (4, 0));
}

#[test]
fn the_time_in_which_another_engine_takes_over_is_no_pace() {
    let mut load = Load::new();
    load.capacity();
    load.stall_us.store(STALL_US, Ordering::SeqCst);
    load.scene.engines.lose(1);
    load.ask(Priority::Gate);
    assert_eq!((load.work_off(), load.scene.engines.replaced()), (0, 1));
    (0..4).for_each(|_| load.ask(Priority::Gate));
    assert_eq!((load.work_off(), load.refused), (4, 0), "the next engine is as fast as the last");
}

#[test]
fn an_admit_that_is_recorded_too_late_is_told_as_late() {
    let mut load = Load::new();
    let ticking = Arc::clone(&load.clock);
    let slow = move || ticking.advance_us(DEADLINE_US);
    assert!(load.scene.ledger.meanwhile.set(Arc::new(slow)).is_ok(), "set once");
    load.ask(Priority::Gate);
    assert_eq!(load.work_off(), 0, "decided in time, told after it");
    assert_eq!(load.late[0].load(Ordering::SeqCst), 1);
    let entries = load.scene.ledger.entries.lock().expect("no panic");
    let told: Vec<_> = entries.iter().map(|entry| (entry.outcome, entry.reasons[0])).collect();
    assert_eq!(told[0].0, Some(Outcome::Admit));
    assert_eq!(told[1..], [(Some(Outcome::Refer), "ENGINE_LATE")], "the audit says what was told");
}
