//! Concurrency models: random schedules over the real slots, tables, queues and lines.
//!
//! A scheduler switches threads wherever the code under test reaches the world: while a slot is
//! filled, when the clock is read, while a network runs, at every sleep and wake-up. Between these
//! points the code runs as one step; that each step of the lock-free queue is one, is what its own
//! authors prove.

mod scene;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use portcullis::{
    backend::{
        Backend, BackendError, Description, Engine, Network, Pinned, Tiles,
        reference::Reference as Oracle,
    },
    capture::{
        Arrival, Encoded, Source, SourceFault,
        keeper::{Keeper, Open, Turn},
        lane::{Lane, LaneState, LaneTerms},
        runner::keep,
    },
    gallery::Gallery,
    meter::{LaneKind, Meter, Offered},
    model::Calibration,
    ops::{
        program::Program,
        search::{Probe, RowHits},
        tile::TileSource,
    },
    pipeline::{
        Desk, EngineLine, MatchLine, Matching, Order, Parts, Priority, Reference, Refused, Task,
        engine_loop, match_loop,
        slot::{CaptureError, SlotPool},
    },
    time::Clock,
    types::Action,
};
use scene::{Scene, Shows, picture};
use shuttle::{
    sync::{Condvar, Mutex},
    thread,
};

/// A parker of the scheduler's: a wake-up before the sleep is remembered.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
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

/// Gives another thread its turn whenever somebody asks for the time.
struct YieldingClock;

impl Clock for YieldingClock {
    fn monotonic_us(&self) -> u64 {
        thread::yield_now();
        1
    }

    fn civil_s(&self) -> i64 {
        1
    }
}

#[test]
fn no_ticket_is_lost_or_held_twice() {
    shuttle::check_random(
        || {
            let pool = SlotPool::new(2, 12);
            let owners: Arc<[AtomicUsize; 2]> = Arc::default();
            let threads: Vec<_> = (1..=3_u8)
                .map(|mark| {
                    let (pool, owners) = (Arc::clone(&pool), Arc::clone(&owners));
                    thread::spawn(move || {
                        for _ in 0..3 {
                            let captured = pool.capture(|pixels| {
                                assert!(pixels.iter().all(|&byte| byte == 0), "somebody's pixels");
                                pixels.fill(mark);
                                thread::yield_now();
                                Ok::<_, ()>((2, 2))
                            });
                            thread::yield_now();
                            match captured {
                                Ok(frame) => {
                                    let owner = &owners[frame.ticket() as usize];
                                    assert_eq!(owner.fetch_add(1, Ordering::SeqCst), 0);
                                    assert_eq!(frame.view().pixels(), [mark; 12]);
                                    thread::yield_now();
                                    owner.fetch_sub(1, Ordering::SeqCst);
                                }
                                Err(refused) => {
                                    assert_eq!(refused, CaptureError::Busy { slots: 2 });
                                }
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
            assert_eq!((pool.free(), pool.residue_bytes()), (2, 0));
        },
        500,
    );
}

/// The engine line's bell, and one for each of two match lines.
type Bells = [Arc<Bell>; 3];

/// The engine line and two match lines on threads of the scheduler's, with the runner's own loops.
fn spawn_lines(
    desk: &Arc<Desk>,
    (engine_line, match_line): (EngineLine, MatchLine),
    bells: &Bells,
) -> Vec<thread::JoinHandle<()>> {
    let [engine, matching @ ..] = bells.clone();
    let (one, own, others) = (Arc::clone(desk), Arc::clone(&engine), matching.clone());
    let wake = move || others.iter().for_each(|bell| bell.ring());
    let mut threads =
        vec![thread::spawn(move || engine_loop(&one, engine_line, &|| own.sleep(), &wake))];
    for own in matching {
        let (line, desk, back) = (match_line.another(), Arc::clone(desk), Arc::clone(&engine));
        let run = move || match_loop(&desk, line, &|| own.sleep(), &|| back.ring());
        threads.push(thread::spawn(run));
    }
    threads
}

#[test]
fn an_order_that_races_a_stop_is_answered_or_refused() {
    shuttle::check_random(
        || {
            let meanwhile = Arc::new(thread::yield_now);
            let (scene, parts) = Scene::new(4, 9, 0, Arc::new(YieldingClock), meanwhile);
            let scene = Arc::new(scene);
            let (desk, engine_line, match_line) = parts.assemble();
            let bells = Bells::default();
            let lines = spawn_lines(&desk, (engine_line, match_line), &bells);
            let counts: Arc<[AtomicUsize; 2]> = Arc::default();
            let lanes: Vec<_> = (0..2_u8)
                .map(|lane| {
                    let (desk, scene) = (Arc::clone(&desk), Arc::clone(&scene));
                    let (counts, bell) = (Arc::clone(&counts), Arc::clone(&bells[0]));
                    thread::spawn(move || {
                        let probe = picture(&scene.slots, Shows::Face, lane).expect("a slot");
                        let references = vec![Reference::Template(scene.template(lane))];
                        let threshold = scene.calibration.threshold(1e-4).expect("a row");
                        let task = Task::Verify { references, threshold };
                        let order = scene.order(Action::Verify, probe, task, u64::MAX);
                        let answered = Arc::clone(&counts);
                        let taken = desk.submit(order, move |_| {
                            answered[1].fetch_add(1, Ordering::SeqCst);
                        });
                        bell.ring();
                        match taken {
                            Ok(()) => {
                                counts[0].fetch_add(1, Ordering::SeqCst);
                            }
                            Err(refused) => assert_eq!(refused, Refused::Stopping),
                        }
                    })
                })
                .collect();
            thread::yield_now();
            desk.stop();
            bells.iter().for_each(|bell| bell.ring());
            for thread in lanes.into_iter().chain(lines) {
                thread.join().expect("no panic");
            }
            let [accepted, answered] = [0, 1].map(|at| counts[at].load(Ordering::SeqCst));
            assert_eq!(accepted, answered);
            assert_eq!((scene.slots.free(), scene.slots.residue_bytes()), (4, 0));
            assert!(!scene.networks_hold_something());
        },
        150,
    );
}

/// A search engine whose first search goes on until a second one has begun.
#[derive(Default)]
struct Meeting {
    searches: Mutex<usize>,
    changed: Condvar,
}

impl Meeting {
    /// Sleeps until so many searches have begun.
    fn begun(&self, count: usize) {
        let mut searches = self.searches.lock().expect("no panic");
        while *searches < count {
            searches = self.changed.wait(searches).expect("no panic");
        }
    }
}

impl Backend for Meeting {
    fn describe(&self) -> Description {
        Oracle.describe()
    }

    fn load(&self, program: &Program, most: usize) -> Result<Box<dyn Network>, BackendError> {
        Oracle.load(program, most)
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        Oracle.pin(source)
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        *self.searches.lock().expect("no panic") += 1;
        self.changed.notify_all();
        self.begun(2);
        Oracle.search(probes, tiles)
    }
}

/// Were there one match line, the second traveller would wait for a search that waits for it: the
/// scheduler would tell of threads that sleep for ever.
#[test]
fn a_search_that_runs_does_not_hold_up_the_next() {
    // Made on this thread: its cipher wants more of a stack than a modelled one has.
    let calibration = Calibration::sface_128();
    let gallery = Gallery::in_memory(calibration.kind(), calibration.layout());
    shuttle::check_random(
        move || {
            let meanwhile = Arc::new(thread::yield_now);
            let (scene, parts) = Scene::new(4, 9, 0, Arc::new(YieldingClock), meanwhile);
            let meeting = Arc::new(Meeting::default());
            let search = Arc::<Meeting>::clone(&meeting) as Arc<dyn Backend>;
            let engine = Engine { search, ..parts.engine };
            let (desk, engine_line, match_line) = Parts { engine, ..parts }.assemble();
            let bells = Bells::default();
            let lines = spawn_lines(&desk, (engine_line, match_line), &bells);
            let answered: Arc<AtomicUsize> = Arc::default();
            for traveller in 0..2_u8 {
                let probe = picture(&scene.slots, Shows::Face, traveller).expect("a slot");
                let (tiles, best) = (gallery.source(), 1);
                let threshold = scene.calibration.threshold(1e-4).expect("a row");
                let doubt_from = None;
                let task = Task::Identify {
                    tiles,
                    threshold,
                    doubt_from,
                    best,
                    class_bits: 1,
                    group: None,
                };
                let order = scene.order(Action::Identify, probe, task, u64::MAX);
                let counted = Arc::clone(&answered);
                let taken = desk.submit(order, move |_| {
                    counted.fetch_add(1, Ordering::SeqCst);
                });
                taken.expect("nobody stops it");
                bells[0].ring();
                // The second one comes while the first is searched for.
                meeting.begun(1);
            }
            desk.stop();
            bells.iter().for_each(|bell| bell.ring());
            lines.into_iter().for_each(|line| line.join().expect("no panic"));
            assert_eq!(answered.load(Ordering::SeqCst), 2);
            assert_eq!((scene.slots.free(), scene.slots.residue_bytes()), (4, 0));
        },
        60,
    );
}

fn lane(slots: &Arc<SlotPool>, meter: &Arc<Meter>) -> Arc<Lane> {
    let terms = LaneTerms {
        name: "gate-1".parse().expect("a name"),
        kind: LaneKind::Http,
        deadline_ms: 1_000,
        external_detector: None,
    };
    Lane::new(terms, Arc::clone(slots), Arc::new(YieldingClock), Arc::clone(meter))
}

/// A camera that has so many pictures, and a bell for whoever waits for its end.
struct Camera(u32);

impl Source for Camera {
    fn next(&mut self, _now_us: u64) -> Result<Arrival, SourceFault> {
        thread::yield_now();
        match self.0.checked_sub(1) {
            Some(rest) => {
                self.0 = rest;
                Ok(Arrival::Picture(Encoded::rgb(vec![7; 12], 2, 2)))
            }
            None => Ok(Arrival::NotBefore(u64::MAX)),
        }
    }
}

#[test]
fn the_newest_frame_reaches_whoever_looks_and_no_wake_up_is_lost() {
    const FRAMES: u64 = 3;
    shuttle::check_random(
        || {
            let (slots, meter) = (SlotPool::new(2, 12), Arc::new(Meter::new()));
            let lane = lane(&slots, &meter);
            let bell = Arc::new(Bell::default());
            let wake = Arc::clone(&bell);
            let tap = lane.tap(Arc::new(move || wake.ring())).expect("nobody looks");
            let clock: Arc<dyn Clock> = Arc::new(YieldingClock);
            let open: Open = Box::new(|_| Ok(Box::new(Camera(FRAMES as u32))));
            let mut keeper = Keeper::new(Arc::clone(&lane), open, clock);
            let camera = thread::spawn(move || while keeper.turn() == Turn::Now {});
            let traveller = thread::spawn(move || {
                let mut seen = 0;
                while seen < FRAMES {
                    bell.sleep();
                    while let Some(frame) = tap.newest() {
                        assert!(frame.sequence > seen, "frames come in order");
                        assert_eq!(frame.captured.view().pixels(), [7; 12]);
                        seen = frame.sequence;
                        thread::yield_now();
                    }
                }
            });
            camera.join().expect("no panic");
            traveller.join().expect("no panic");
            assert_eq!((slots.free(), slots.residue_bytes()), (2, 0));
            let account = meter.account();
            assert_eq!((account.offered, account.in_flight()), (FRAMES, 0));
        },
        500,
    );
}

#[test]
fn a_traveller_who_leaves_while_frames_arrive_leaves_nothing_behind() {
    shuttle::check_random(
        || {
            let (slots, meter) = (SlotPool::new(2, 12), Arc::new(Meter::new()));
            let lane = lane(&slots, &meter);
            let clock: Arc<dyn Clock> = Arc::new(YieldingClock);
            let open: Open = Box::new(|_| Ok(Box::new(Camera(4))));
            let mut keeper = Keeper::new(Arc::clone(&lane), open, clock);
            let camera = thread::spawn(move || while keeper.turn() == Turn::Now {});
            let travellers = thread::spawn(move || {
                let mut last = 0;
                for _ in 0..2 {
                    let tap = lane.tap(Arc::new(|| {})).expect("the one before has left");
                    for _ in 0..2 {
                        thread::yield_now();
                        if let Some(frame) = tap.newest() {
                            assert!(frame.sequence > last, "nobody sees another's frame");
                            last = frame.sequence;
                        }
                    }
                    drop(tap);
                    assert!(!lane.status().tapped);
                }
            });
            camera.join().expect("no panic");
            travellers.join().expect("no panic");
            assert_eq!((slots.free(), slots.residue_bytes()), (2, 0));
            let account = meter.account();
            assert_eq!((account.offered, account.in_flight()), (4, 0));
        },
        500,
    );
}

#[test]
fn a_lane_that_sleeps_hears_that_it_is_to_stop() {
    shuttle::check_random(
        || {
            let (slots, meter) = (SlotPool::new(1, 12), Arc::new(Meter::new()));
            let lane = lane(&slots, &meter);
            let open: Open = Box::new(|_| Ok(Box::new(Camera(1))));
            let keeper = Keeper::new(Arc::clone(&lane), open, Arc::new(YieldingClock));
            let (stop, bell) = (Arc::new(AtomicBool::new(false)), Arc::new(Bell::default()));
            let (heard, ear) = (Arc::clone(&stop), Arc::clone(&bell));
            let kept = thread::spawn(move || {
                keep(keeper, &heard, &YieldingClock, &|_| ear.sleep());
            });
            thread::yield_now();
            stop.store(true, Ordering::SeqCst);
            bell.ring();
            kept.join().expect("no panic");
            assert_eq!(lane.status().state, LaneState::Stopped);
        },
        300,
    );
}

#[test]
fn time_that_is_claimed_is_given_back_whoever_comes_together() {
    shuttle::check_random(
        || {
            let meanwhile = Arc::new(thread::yield_now);
            let (scene, parts) = Scene::new(4, 9, 0, Arc::new(YieldingClock), meanwhile);
            let scene = Arc::new(scene);
            let (desk, mut engine_line, mut match_line) = parts.assemble();
            let callers: Vec<_> = (0..2_u8)
                .map(|caller| {
                    let (desk, scene) = (Arc::clone(&desk), Arc::clone(&scene));
                    thread::spawn(move || {
                        let claim = desk.claim(1, Matching::Compare, Priority::Gate, u64::MAX);
                        let claim = claim.expect("time enough");
                        thread::yield_now();
                        let probe = picture(&scene.slots, Shows::Face, caller).expect("a slot");
                        let probe = probe.counted(Offered::new(&scene.meter));
                        let references = vec![Reference::Template(scene.template(caller))];
                        let threshold = scene.calibration.threshold(1e-4).expect("a row");
                        let task = Task::Verify { references, threshold };
                        let order = scene.order(Action::Verify, probe, task, u64::MAX);
                        let order = Order { claim: Some(claim), ..order };
                        desk.submit(order, |_| {}).expect("nobody stops it");
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().expect("no panic"));
            while engine_line.turn() | match_line.turn() {}
            let account = scene.meter.account();
            assert_eq!((account.offered, account.answered, account.in_flight()), (2, 2, 0));
            let claim = desk.claim(1, Matching::Compare, Priority::Gate, 1);
            assert!(claim.is_ok(), "nothing is ahead of it any more");
        },
        100,
    );
}
