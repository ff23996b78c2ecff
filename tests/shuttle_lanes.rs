//! A lane's transaction under random schedules: two requests with one id, a camera, the pipeline's
//! answers and a traveller who leaves meet at one bell. A wake-up that got lost would end in a
//! deadlock, which the scheduler reports.

#[path = "common/png.rs"]
mod png;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use png::{Png, RGB};
use portcullis::{
    capture::{
        Encoded,
        lane::{Lane, LaneTerms},
    },
    meter::{LaneKind, Meter, Offered},
    pipeline::{Order, Refused, Reply, Spent, Task, slot::SlotPool},
    random::SeededEntropy,
    time::Clock,
    transaction::{
        Opened, Opening, Register, Standing,
        bell::Bell,
        journal::{Journal, Remembered},
        machine::{Terms, Told},
        passage::{Against, Judges, Passage, ReplyTo, Surroundings},
        register::Open,
    },
    types::{
        Action, Asked, Attack, Caller, CaptureFact, Obligations, Outcome, Purpose, Reason, Role,
        TransactionId, Verdict,
    },
};
use shuttle::{
    Config, Runner,
    scheduler::RandomScheduler,
    sync::{Condvar, Mutex, mpsc},
    thread,
};

/// Schedules that are tried.
const SCHEDULES: usize = 500;
/// Of a modelled thread: reading a picture's header needs more than the default.
const STACK_BYTES: usize = 1 << 20;

/// A parker of the scheduler's: a wake-up before the sleep is remembered.
#[derive(Default)]
struct Parker {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Parker {
    fn ring(&self) {
        *self.rung.lock().expect("no panic") = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().expect("no panic");
        while !*rung {
            rung = self.changed.wait(rung).expect("no panic");
        }
        *rung = false;
    }
}

/// Gives another thread its turn whenever somebody asks for the time, which stands still.
struct YieldingClock;

impl Clock for YieldingClock {
    fn monotonic_us(&self) -> u64 {
        thread::yield_now();
        1_000_000
    }

    fn civil_s(&self) -> i64 {
        1
    }
}

/// A pipeline that hands every order to a thread of its own.
struct Line(Mutex<mpsc::Sender<(Order, ReplyTo)>>);

impl Judges for Line {
    fn submit(&self, order: Order, reply: ReplyTo) -> Result<(), Refused> {
        let sent = self.0.lock().expect("no panic").send((order, reply));
        sent.map_err(|_| Refused::Stopping)
    }
}

/// The frame is judged by somebody else.
struct Anything;

impl Against for Anything {
    fn task(&mut self) -> Result<Task, &'static str> {
        Ok(Task::Template)
    }
}

fn admit(order: &Order) -> Reply {
    Reply {
        transaction: order.transaction,
        verdict: Verdict {
            outcome: Outcome::Admit,
            reasons: [Reason { code: "SCRIPTED", text: "As scripted." }].into_iter().collect(),
            obligations: std::iter::empty().collect(),
        },
        probe: CaptureFact::Usable,
        face: None,
        attack: Attack::Score(0.1),
        comparisons: Vec::new(),
        candidates: Vec::new(),
        certificate: None,
        template: None,
        spent: Spent::default(),
        late: false,
    }
}

struct Site {
    register: Register,
    lane: Arc<Lane>,
    meter: Arc<Meter>,
    slots: Arc<SlotPool>,
    /// How often the transaction was turned, and how often judged.
    turned: AtomicUsize,
}

const ID: TransactionId = TransactionId::from_bytes([7; 16]);

impl Site {
    fn new() -> Arc<Self> {
        let slots = SlotPool::new(1, 16);
        let terms = LaneTerms {
            name: "gate-1".parse().expect("a name"),
            kind: LaneKind::Http,
            deadline_ms: 1_000,
            external_detector: None,
        };
        let clock = Arc::new(YieldingClock);
        let meter = Arc::new(Meter::new());
        let lane = Lane::new(terms, Arc::clone(&slots), clock, Arc::clone(&meter));
        let register = Register::new(Journal::in_memory(), Remembered::default());
        Arc::new(Self { register, lane, meter, slots, turned: AtomicUsize::new(0) })
    }

    /// One request of the gate; what it was told, where it was not told to wait.
    fn request(&self, line: &Line) -> Option<Standing> {
        let parker = Arc::new(Parker::default());
        let waking = Arc::clone(&parker);
        let bell = Bell::new(Box::new(move || waking.ring()));
        let lane = self.lane.name().clone();
        let opening = Opening { transaction: ID, lane, retry_of: None, is_document_false: false };
        match self.register.open(&opening, bell).expect("one id, one lane") {
            Opened::New(open) => Some(self.turn(&open, line, &parker)),
            Opened::Running(_) => None,
            Opened::Ended(standing) => Some(standing),
        }
    }

    fn turn(&self, open: &Arc<Open>, line: &Line, parker: &Parker) -> Standing {
        self.turned.fetch_add(1, Ordering::SeqCst);
        let ringing = Arc::clone(open);
        let tap = self.lane.tap(Arc::new(move || ringing.bell.frame())).expect("nobody looks");
        let caller = Caller { role: Role::Gate, client: "gate-1".parse().expect("a name") };
        let (action, purpose) = (Action::Verify, Purpose::Boarding);
        let asked = Asked { caller, action, purpose, gallery: None, at_lane: None, subject: None };
        let terms = Terms { opened_us: 0, deadline_us: u64::MAX, may_retry: false };
        let entropy = SeededEntropy::new(1);
        let around = Surroundings { judges: line, clock: &YieldingClock, entropy: &entropy };
        let against = Box::new(Anything);
        let granted = (asked, Obligations::NONE);
        let passage = Passage::new(Arc::clone(open), terms, tap, against, granted, around);
        // Nothing but the bell may be waited for: time stands still.
        let closing = passage.run(&|_| parker.sleep());
        assert!(!self.lane.status().tapped, "the tap is closed before anybody is told");
        assert_eq!(self.slots.free(), 1, "no frame is held any more, either");
        self.register.close(open, &closing, &|| true).expect("a journal in memory")
    }

    /// The traveller leaves, whenever that is.
    fn leave(&self) {
        loop {
            thread::yield_now();
            match self.register.at(self.lane.name(), ID) {
                Ok(Opened::Running(open) | Opened::New(open)) => return open.bell.tell(Told::Left),
                Ok(Opened::Ended(_)) => return,
                Err(_) => {}
            }
        }
    }
}

fn model() {
    let site = Site::new();
    let (orders, taken) = mpsc::channel::<(Order, ReplyTo)>();
    let line = Arc::new(Line(Mutex::new(orders)));
    let judge = thread::spawn(move || {
        while let Ok((order, reply)) = taken.recv() {
            thread::yield_now();
            let admitted = admit(&order);
            drop(order); // its frame is zero before the reply leaves
            reply(admitted);
        }
    });
    let gates: Vec<_> = (0..2)
        .map(|_| {
            let (site, line) = (Arc::clone(&site), Arc::clone(&line));
            thread::spawn(move || site.request(&line))
        })
        .collect();
    let camera = {
        let site = Arc::clone(&site);
        let row = vec![vec![90; 6]; 2];
        let picture = Png::new(2, 2, 8, RGB, false).rows(&row).end();
        thread::spawn(move || {
            for _ in 0..2 {
                thread::yield_now();
                let offered = Offered::new(&site.meter);
                let taken = site.lane.push(Encoded::new(picture.clone()), None, offered);
                assert!(taken.is_ok(), "{taken:?}");
            }
        })
    };
    let traveller = {
        let site = Arc::clone(&site);
        thread::spawn(move || site.leave())
    };
    let told: Vec<Option<Standing>> =
        gates.into_iter().map(|gate| gate.join().expect("no panic")).collect();
    camera.join().expect("no panic");
    traveller.join().expect("no panic");
    drop(line);
    judge.join().expect("no panic");
    assert_eq!(site.turned.load(Ordering::SeqCst), 1, "one id is turned once");
    let kept = site.register.standing(site.lane.name(), ID).expect("known");
    assert!(kept.outcome.is_some());
    assert!(told.iter().flatten().all(|told| *told == kept), "{told:?}");
    assert_eq!((site.slots.free(), site.slots.residue_bytes()), (1, 0));
}

#[test]
fn one_id_is_decided_once_and_no_wake_up_is_lost() {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    let scheduler = RandomScheduler::new(SCHEDULES);
    Runner::new(scheduler, config).run(model);
}
