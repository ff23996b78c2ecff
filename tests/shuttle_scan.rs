//! A concurrency model of shared scans: random schedules over the real engine, whose threads, bells
//! and sources are the scheduler's. Callers join, sets are handed over, tiles fail, and an erasure
//! waits for the old sets. A thread may be switched wherever a tile is opened, a bell is waited for
//! or the crew is handed work; the engine's own locks are held for single steps.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicUsize, Ordering},
};

use bytemuck::{bytes_of, cast_slice};
use portcullis::{
    backend::{
        BackendError, Tiles,
        cpu::{
            Isa,
            search::{Bell, Crew, Scans},
        },
    },
    ops::{
        score::rest_norm,
        search::{Probe, scan},
        tile::{Common, Row, TileError, TileLayout, TilePart, TileRef, TileSet, TileSource},
    },
    types::{Hash256, Score, Template, TemplateKind},
};
use shuttle::{
    sync::{Condvar, Mutex},
    thread,
};

const LAYOUT: TileLayout = TileLayout { dims: 4, hot_dims: 2, rows: 2 };
const KIND: TemplateKind = TemplateKind {
    model: Hash256::from_bytes([1; 32]),
    calibration: Hash256::from_bytes([2; 32]),
    dims: 4,
};

/// What a tile that does not open does.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Damaged,
    Panic,
}

/// One generation of one gallery; opening a tile lets another thread run.
struct Generation {
    set: TileSet,
    rows: Vec<[i8; 4]>,
    fault: Option<(usize, Fault)>,
    /// Times that a hot part was opened, in all generations.
    opened: Arc<AtomicUsize>,
}

impl Generation {
    /// `contents` numbers the tiles; a row's values follow from its tile's content.
    fn new(
        number: u64,
        contents: &[u64],
        fault: Option<(usize, Fault)>,
        opened: &Arc<AtomicUsize>,
    ) -> Arc<Self> {
        let row = Row {
            subject: [7; 16],
            class_bits: 1,
            not_before_s: 0,
            expiry_s: 100,
            group: 0,
            flags: 0,
        };
        let common = Common::of(&[row]);
        let tile = |&content| TileRef { rows: LAYOUT.rows, content, common };
        let tiles = contents.iter().map(tile).collect();
        let rows = contents.iter().flat_map(|&content| {
            let x = i8::try_from(content).expect("a small number");
            [[x, 1, 2, -x], [1, x, x, 3]]
        });
        let set = TileSet { generation: number, kind: KIND, layout: LAYOUT, tiles };
        Arc::new(Self { set, rows: rows.collect(), fault, opened: Arc::clone(opened) })
    }
}

impl TileSource for Generation {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        thread::yield_now();
        if part == TilePart::Hot {
            self.opened.fetch_add(1, Ordering::SeqCst);
        }
        match self.fault {
            Some((at, Fault::Damaged)) if at == tile => {
                return Err(TileError::Damaged { tile, part });
            }
            Some((at, Fault::Panic)) if at == tile => panic!("a medium that breaks"),
            _ => {}
        }
        let rows = &self.rows[tile * LAYOUT.rows..][..LAYOUT.rows];
        let bytes: Vec<u8> = match part {
            TilePart::Hot => {
                let values = rows.iter().flat_map(|row| cast_slice(&row[..2]).to_vec());
                let norm = |row: &[i8; 4]| u16::try_from(rest_norm(&row[2..])).expect("small");
                values.chain(rows.iter().flat_map(|row| norm(row).to_le_bytes())).collect()
            }
            TilePart::Cold => {
                rows.iter().flat_map(|row| cast_slice::<i8, u8>(&row[2..]).to_vec()).collect()
            }
            TilePart::Rows => {
                let row = Row {
                    subject: [7; 16],
                    class_bits: 1,
                    not_before_s: 0,
                    expiry_s: 100,
                    group: 0,
                    flags: 0,
                };
                rows.iter().flat_map(|_| bytes_of(&row).to_vec()).collect()
            }
        };
        scratch.copy_from_slice(&bytes);
        Ok(())
    }

    fn origin(&self) -> u64 {
        5
    }
}

/// Threads of the scheduler's.
struct Model {
    threads: usize,
    /// How many callers must sleep before anybody scans: they have boarded then.
    company: usize,
    asleep: Arc<Asleep>,
}

impl Model {
    fn of(threads: usize) -> Self {
        Self { threads, company: 0, asleep: Arc::default() }
    }
}

/// Callers that wait for their bells, or have.
#[derive(Default)]
struct Asleep {
    count: Mutex<usize>,
    changed: Condvar,
}

#[derive(Default)]
struct Chime {
    rung: Mutex<bool>,
    changed: Condvar,
    asleep: Arc<Asleep>,
}

impl Bell for Chime {
    fn ring(&self) {
        *self.rung.lock().expect("no panic") = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        *self.asleep.count.lock().expect("no panic") += 1;
        self.asleep.changed.notify_all();
        let mut rung = self.rung.lock().expect("no panic");
        while !*rung {
            rung = self.changed.wait(rung).expect("no panic");
        }
        *rung = false;
    }
}

impl Crew for Model {
    fn threads(&self) -> usize {
        self.threads
    }

    fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        let mut asleep = self.asleep.count.lock().expect("no panic");
        while *asleep < self.company {
            asleep = self.asleep.changed.wait(asleep).expect("no panic");
        }
        drop(asleep);
        thread::scope(|scope| {
            for number in 1..self.threads {
                scope.spawn(move || work(number));
            }
            work(0);
        });
    }

    fn is_wanted(&self) -> bool {
        false
    }

    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(Chime { asleep: Arc::clone(&self.asleep), ..Chime::default() })
    }
}

fn template(values: [i8; 4]) -> Template {
    Template::new(values.into(), KIND).expect("a template")
}

fn probe(template: &Template) -> Probe<'_> {
    Probe { template, threshold: Score(3), best: 5, class_bits: 1, group: None, now_s: 50 }
}

/// Asks, and holds the answer against the oracle's on the same generation.
fn ask(scans: &Scans, source: &Arc<Generation>, values: [i8; 4]) -> Result<(), BackendError> {
    let template = template(values);
    let tiles = Tiles::Source(Arc::clone(source) as Arc<dyn TileSource>);
    let answer = scans.search(&[probe(&template)], &tiles)?;
    let alone = Generation { fault: None, rows: source.rows.clone(), ..copy(source) };
    assert_eq!(answer, scan(&[probe(&template)], &alone).expect("it opens"));
    Ok(())
}

fn copy(source: &Generation) -> Generation {
    Generation {
        set: source.set.clone(),
        rows: source.rows.clone(),
        fault: None,
        opened: Arc::default(),
    }
}

/// Callers of two generations that share most tiles, joining whenever the scheduler lets them.
#[test]
fn every_caller_gets_the_answer_of_its_own_generation() {
    for threads in [1, 2] {
        shuttle::check_random(
            move || {
                let opened = Arc::default();
                let old = Generation::new(1, &[1, 2, 3, 4], None, &opened);
                let new = Generation::new(2, &[1, 9, 3, 4, 5, 6], None, &opened);
                let scans = Arc::new(Scans::new(Isa::Portable, Arc::new(Model::of(threads))));
                let callers: Vec<_> = [&old, &new, &old, &new]
                    .into_iter()
                    .zip(1_i8..)
                    .map(|(source, x)| {
                        let (scans, source) = (Arc::clone(&scans), Arc::clone(source));
                        thread::spawn(move || ask(&scans, &source, [x, 1, -x, 2]))
                    })
                    .collect();
                for caller in callers {
                    caller.join().expect("no panic").expect("every tile opens");
                }
                assert!(opened.load(Ordering::SeqCst) <= 4 + 6 + 4 + 6, "no tile twice for one");
            },
            600,
        );
    }
}

/// Callers that have all boarded before anybody scans cost one scan together: each tile is opened
/// once, and once more where two generations differ in it. Were each to scan for itself, nobody
/// would sleep, and the one that scans would wait for ever: the scheduler tells.
#[test]
fn callers_that_come_together_cost_one_scan() {
    for threads in [1, 2] {
        shuttle::check_random(
            move || {
                let opened = Arc::default();
                let old = Generation::new(1, &[1, 2, 3, 4], None, &opened);
                let new = Generation::new(2, &[1, 9, 3, 4], None, &opened);
                for (sources, tiles) in
                    [(vec![&old; 5], 4), (vec![&old, &new, &old, &new, &new], 4 + 1)]
                {
                    let crew = Model { company: sources.len() - 1, ..Model::of(threads) };
                    let scans = Arc::new(Scans::new(Isa::Portable, Arc::new(crew)));
                    let before = opened.load(Ordering::SeqCst);
                    let callers: Vec<_> = sources
                        .into_iter()
                        .zip(1_i8..)
                        .map(|(source, x)| {
                            let (scans, source) = (Arc::clone(&scans), Arc::clone(source));
                            thread::spawn(move || ask(&scans, &source, [x, 1, -x, 2]))
                        })
                        .collect();
                    for caller in callers {
                        caller.join().expect("no panic").expect("every tile opens");
                    }
                    assert_eq!(opened.load(Ordering::SeqCst) - before, tiles);
                }
            },
            200,
        );
    }
}

/// A tile that fails or panics in one generation fails those who ride with it, and nobody else.
#[test]
fn a_fault_concerns_only_those_who_share_the_tile() {
    for fault in [Fault::Damaged, Fault::Panic] {
        shuttle::check_random(
            move || {
                let opened = Arc::default();
                let sound = Generation::new(1, &[1, 2, 3, 4], None, &opened);
                let broken = Generation::new(2, &[1, 2, 8, 4], Some((2, fault)), &opened);
                let scans = Arc::new(Scans::new(Isa::Portable, Arc::new(Model::of(2))));
                let callers: Vec<_> = [&sound, &broken, &sound]
                    .into_iter()
                    .map(|source| {
                        let (scans, source) = (Arc::clone(&scans), Arc::clone(source));
                        thread::spawn(move || ask(&scans, &source, [1, 2, 3, 4]))
                    })
                    .collect();
                let told: Vec<_> =
                    callers.into_iter().map(|caller| caller.join().expect("no panic")).collect();
                assert_eq!((&told[0], &told[2]), (&Ok(()), &Ok(())));
                match fault {
                    Fault::Damaged => assert!(matches!(told[1], Err(BackendError::Tile(_)))),
                    Fault::Panic => assert!(matches!(told[1], Err(BackendError::Lost { .. }))),
                }
                ask(&scans, &sound, [4, 3, 2, 1]).expect("the engine goes on");
            },
            600,
        );
    }
}

/// What an erasure waits for: nobody holds the old set once its last caller has its answer, however
/// long others go on with the new one.
#[test]
fn an_old_set_is_let_go_with_its_last_caller() {
    shuttle::check_random(
        || {
            let opened = Arc::default();
            let old = Generation::new(1, &[1, 2, 3], None, &opened);
            let new = Generation::new(2, &[1, 2, 7], None, &opened);
            let scans = Arc::new(Scans::new(Isa::Portable, Arc::new(Model::of(2))));
            let others: Vec<_> = (0..2)
                .map(|_| {
                    let (scans, new) = (Arc::clone(&scans), Arc::clone(&new));
                    thread::spawn(move || ask(&scans, &new, [3, 1, 4, 1]))
                })
                .collect();
            let held: Weak<Generation> = Arc::downgrade(&old);
            let first = Arc::clone(&scans);
            let caller = thread::spawn(move || {
                ask(&first, &old, [2, 7, 1, 8]).expect("every tile opens");
                let held = Arc::downgrade(&old);
                drop(old);
                assert_eq!(held.strong_count(), 0, "the scan holds a set whose caller has left");
            });
            caller.join().expect("no panic");
            assert_eq!(held.strong_count(), 0);
            for other in others {
                other.join().expect("no panic").expect("every tile opens");
            }
        },
        800,
    );
}
