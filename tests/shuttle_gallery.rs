//! Concurrency models: random schedules of readers, a writer and an erasure that waits.
//!
//! Here over the whole gallery: a scheduler switches threads at every call to the medium, which is
//! where a scan and a change spend their time; what a gallery does between two of them runs as one
//! step. Those steps are taken apart in `gallery/locks.rs`: the files that hand generations,
//! holders and keys over are compiled once more, with the scheduler's locks.

#[path = "../src/keys/arena.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of what the product uses")]
mod arena;
#[path = "../src/gallery/handover.rs"]
mod handover;
#[path = "../src/gallery/holders.rs"]
#[allow(dead_code, unreachable_pub, reason = "the models use a part of what the product uses")]
mod holders;
#[path = "gallery/locks.rs"]
mod locks;

/// In the place of `src/sync.rs`.
mod sync {
    pub(crate) use shuttle::{
        sync::{Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard},
        thread_local,
    };
}

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use portcullis::{
    gallery::{Enrolment, Gallery, Means, Media, MemoryMedia, Settings},
    keys::{custodian::MemoryCustodian, memory},
    ops::tile::{ROW_VACANT, Row, TileLayout, TilePart, TileSource},
    random::{self, SeededEntropy},
    time::SimulatedClock,
    types::{self, Hash256, SubjectId, Template, TemplateKind},
};
use shuttle::{Config, Runner, scheduler::RandomScheduler, thread};

const LAYOUT: TileLayout = TileLayout { dims: 8, hot_dims: 6, rows: 2 };
/// Of a modelled thread: superblocks and a cipher's wiped stack need more than the default.
const STACK_BYTES: usize = 1 << 20;
/// Who is erased while others read.
const ERASED: u8 = 2;

/// A medium at every call to which another thread may get its turn.
struct Yielding(MemoryMedia);

impl Media for Yielding {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        thread::yield_now();
        self.0.read(at, bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        thread::yield_now();
        self.0.write(at, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        thread::yield_now();
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        thread::yield_now();
        self.0.sync()
    }
}

fn kind() -> TemplateKind {
    TemplateKind {
        model: Hash256::from_bytes([1; 32]),
        calibration: Hash256::from_bytes([2; 32]),
        dims: 8,
    }
}

fn enrol(gallery: &Gallery, number: u8) {
    let values = (1..=8).map(|at| (number * 9 + at).cast_signed()).collect();
    let template = Template::new(values, kind()).expect("in range");
    let done = gallery.enrol(subject(number), vec![template], Enrolment::default());
    done.expect("there is room");
}

fn subject(number: u8) -> SubjectId {
    SubjectId::from_bytes([number; 16])
}

fn gallery() -> Gallery {
    let means = Means {
        custodian: Arc::new(MemoryCustodian::new(Arc::new(SeededEntropy::new(1)))),
        entropy: Arc::new(SeededEntropy::new(2)),
        clock: Arc::new(SimulatedClock::at(0)),
    };
    let media = Arc::new(Yielding(MemoryMedia::new()));
    let gallery = Gallery::create(media, means, kind(), LAYOUT, Settings::default());
    let gallery = gallery.expect("a new gallery");
    (0..5).for_each(|number| enrol(&gallery, number));
    gallery
}

/// Who is in `source`, with every value checked: a row that was overwritten while it was read does
/// not open, or is somebody else's.
fn scan(source: &dyn TileSource) -> Vec<u8> {
    let set = source.set();
    let mut people = Vec::new();
    for (number, tile) in set.tiles.iter().enumerate() {
        let open = |part| {
            let mut bytes = vec![0; LAYOUT.part_bytes(part, tile.rows)];
            source.open(number, part, &mut bytes).expect("a held generation opens");
            bytes
        };
        let (hot, cold, table) = (open(TilePart::Hot), open(TilePart::Cold), open(TilePart::Rows));
        for (at, row) in table.chunks_exact(size_of::<Row>()).enumerate() {
            let row: Row = bytemuck::pod_read_unaligned(row);
            if row.flags & ROW_VACANT != 0 {
                continue;
            }
            let stored = hot[at * 6..][..6].iter().chain(&cold[at * 2..][..2]);
            let stored: Vec<i8> = stored.map(|byte| byte.cast_signed()).collect();
            let mut values = vec![0; 8];
            source.transform().expect("it has one").undo(&stored, &mut values);
            let expected: Vec<i8> =
                (1..=8).map(|at| (row.subject[0] * 9 + at).cast_signed()).collect();
            assert_eq!(values, expected);
            people.push(row.subject[0]);
        }
    }
    people
}

/// A search: takes the newest generation, and holds it while it reads.
fn search(gallery: &Gallery, erased_at: &AtomicUsize, holders: &AtomicUsize) {
    let was_erased = erased_at.load(Ordering::SeqCst) != 0;
    let source = gallery.source();
    let holds = !was_erased && source.set().generation < generation_of(erased_at);
    if holds {
        holders.fetch_add(1, Ordering::SeqCst);
    }
    let first = scan(source.as_ref());
    assert!(!(was_erased && first.contains(&ERASED)), "erased, and found by the next scan");
    thread::yield_now();
    assert_eq!(scan(source.as_ref()), first, "a generation never changes");
    if first.contains(&ERASED) {
        let gone = erased_at.load(Ordering::SeqCst);
        assert!(gone == 0 || source.newer().is_some(), "it can tell that it is out of date");
    }
    // In one step: between these two nobody else has a turn.
    if holds {
        holders.fetch_sub(1, Ordering::SeqCst);
    }
    drop(source);
}

/// The first generation without the erased; later than any while nobody was erased.
fn generation_of(erased_at: &AtomicUsize) -> u64 {
    match erased_at.load(Ordering::SeqCst) {
        0 => u64::MAX,
        generation => generation as u64,
    }
}

#[test]
fn readers_keep_their_generation_and_an_erasure_waits_for_them() {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(200), config).run(|| {
        let gallery = Arc::new(gallery());
        let erased_at = Arc::new(AtomicUsize::new(0));
        let holders = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let gallery = Arc::clone(&gallery);
                let (erased_at, holders) = (Arc::clone(&erased_at), Arc::clone(&holders));
                thread::spawn(move || {
                    (0..2).for_each(|_| search(&gallery, &erased_at, &holders));
                })
            })
            .collect();
        enrol(&gallery, 6);
        let erasure = gallery.erase(subject(ERASED)).expect("enrolled");
        let generation = usize::try_from(erasure.generation()).expect("small");
        erased_at.store(generation, Ordering::SeqCst);
        // Other changes take free bytes; none of them is one that a reader still reads.
        enrol(&gallery, 7);
        gallery.rotate().expect("a new epoch");
        while !erasure.is_complete() {
            thread::yield_now();
        }
        let held = holders.load(Ordering::SeqCst);
        assert_eq!(held, 0, "complete, and somebody still reads a generation with the row");
        readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
        assert_eq!(scan(gallery.source().as_ref()).len(), 6);
    });
}
