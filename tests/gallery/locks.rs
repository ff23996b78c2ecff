//! Publishing, holders and the arena of keys under every schedule: the product's own files, with
//! the scheduler's locks, so that threads are switched at each of them.
//!
//! What stands in for a tile is who is in it, and a key of the arena; what stands in for the index
//! is a map. A wake-up that got lost would end in a deadlock, which the scheduler reports.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use shuttle::{Config, Runner, scheduler::RandomScheduler, thread};

use crate::{
    arena::{KeyArena, KeySlot},
    handover::Handover,
    holders::{Erasure, Held, Holders, Receipt},
};

const SCHEDULES: usize = 3_000;
const STACK_BYTES: usize = 1 << 18;
/// Who is erased while others read.
const ERASED: u8 = 2;

/// Says that a tile with the erased is there, until its key is gone.
struct Alive(Option<Arc<AtomicUsize>>);

impl Drop for Alive {
    fn drop(&mut self) {
        if let Some(alive) = &self.0 {
            alive.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

struct Tile {
    people: Vec<u8>,
    content: u8,
    // Dropped in this order.
    key: KeySlot,
    _alive: Alive,
}

struct Generation {
    tiles: Held<Vec<Arc<Tile>>>,
}

type Index = BTreeMap<u8, usize>;

#[derive(Default)]
struct Counted {
    holders: Arc<Holders>,
    arena: KeyArena,
    contents: AtomicU8,
    /// Tiles with the erased.
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn tile(&self, people: &[u8]) -> Arc<Tile> {
        let content = self.contents.fetch_add(1, Ordering::SeqCst) + 1;
        let key = self.arena.admit(&mut [content; 32]).expect("a page can be locked");
        let counts = people.contains(&ERASED).then(|| Arc::clone(&self.alive));
        if let Some(alive) = &counts {
            alive.fetch_add(1, Ordering::SeqCst);
        }
        Arc::new(Tile { people: people.to_vec(), content, key, _alive: Alive(counts) })
    }

    fn generation(&self, number: u64, tiles: Vec<Arc<Tile>>) -> Generation {
        Generation { tiles: self.holders.hold(number, tiles) }
    }

    fn erasure(&self, generation: u64) -> Erasure {
        let receipt = Receipt {
            subjects: Vec::new(),
            gone: Vec::new(),
            rows: 1,
            generation,
            epoch_destroyed: 1,
            custodian: "none",
            at_s: 0,
        };
        Erasure { holders: Arc::clone(&self.holders), since: 0, receipt }
    }
}

/// Who is in a generation, by tile; every key is read.
fn read(generation: &Generation) -> Vec<(usize, u8)> {
    let mut people = Vec::new();
    for (number, tile) in generation.tiles.iter().enumerate() {
        assert_eq!(*tile.key.expose(), [tile.content; 32], "the key of a tile that is held");
        people.extend(tile.people.iter().map(|&person| (number, person)));
    }
    people
}

/// A search: holds the newest generation while it reads.
fn search(handover: &Handover<Generation, Index>, is_erased: &AtomicBool) {
    let was_erased = is_erased.load(Ordering::SeqCst);
    let held = handover.newest();
    let first = read(&held);
    let finds = first.iter().any(|&(_, person)| person == ERASED);
    assert!(!(was_erased && finds), "erased, and found by the next scan");
    assert_eq!(read(&held), first, "a generation never changes");
}

/// A lookup of one subject.
fn look_up(handover: &Handover<Generation, Index>, person: u8) {
    let make = |generation: &Generation| {
        let people = read(generation).into_iter().map(|(tile, person)| (person, tile));
        Ok::<_, Infallible>(people.collect::<Index>())
    };
    let found = handover.with_index(make, |index| index.get(&person).copied());
    let Ok((place, of)) = found;
    let expected = of.tiles.iter().position(|tile| tile.people.contains(&person));
    assert_eq!(place, expected, "the index of another generation, asked for {person}");
}

fn change_beside_readers() {
    let counted = Counted::default();
    let first = vec![counted.tile(&[0, 1]), counted.tile(&[ERASED, 3])];
    let handover = Arc::new(Handover::of(counted.generation(0, first)));
    let is_erased = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for _ in 0..2 {
        let (handover, is_erased) = (Arc::clone(&handover), Arc::clone(&is_erased));
        readers.push(thread::spawn(move || (0..2).for_each(|_| search(&handover, &is_erased))));
    }
    for person in [ERASED, 4] {
        let handover = Arc::clone(&handover);
        readers.push(thread::spawn(move || (0..2).for_each(|_| look_up(&handover, person))));
    }

    let mut tiles = handover.newest().tiles.clone();
    tiles.push(counted.tile(&[4]));
    handover.publish(counted.generation(1, tiles.clone()), |index| {
        let known = index.iter_mut().filter_map(|index| index.insert(4, 2)).count();
        assert_eq!(known, 0, "they are new");
    });
    tiles[1] = counted.tile(&[3]);
    handover.publish(counted.generation(2, tiles.clone()), |index| {
        index.iter_mut().for_each(|index| {
            index.remove(&ERASED);
        });
    });
    is_erased.store(true, Ordering::SeqCst);
    let erasure = counted.erasure(2);
    // No time passes here: it returns when it is woken and nobody holds it, or never.
    erasure.wait(Duration::ZERO).expect("woken once nobody holds it");
    let alive = counted.alive.load(Ordering::SeqCst);
    assert_eq!(alive, 0, "complete, and the key of a tile with the erased is still there");
    assert!(erasure.is_complete());
    // Every row may have moved; keys that were given back are given out again.
    let packed = vec![counted.tile(&[0, 1, 3]), counted.tile(&[4])];
    drop(tiles);
    handover.publish(counted.generation(3, packed), |index| *index = None);
    look_up(&handover, 3);
    readers.into_iter().for_each(|reader| reader.join().expect("no panic"));
    assert_eq!(counted.holders.oldest(), Some(3));
}

#[test]
fn publishing_holders_and_keys_under_every_schedule() {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(RandomScheduler::new(SCHEDULES), config).run(change_beside_readers);
}
