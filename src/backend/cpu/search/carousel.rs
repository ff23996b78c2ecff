//! Scan sharing. Callers that search generations of one gallery at the same time ride one scan:
//!
//! ```text
//!             ┌──────────── tiles 0 … n-1, round and round ───────────┐
//! cursor ─────┼──►  stretch ─► claimed by a thread of the crew        │
//!             │     everybody aboard whose set has these tiles        │
//! a caller ───┴─ joins at the cursor, leaves one revolution later ────┘
//! ```
//!
//! So a burst costs one scan, and nobody waits for a scan that is under way to end. Each caller
//! rides with its own generation; a tile that is equal in several is opened once for all of them.
//!
//! One of the callers drives: it lends its time to the crew, until its own revolution is complete,
//! and then hands over to another who is still aboard. The others sleep. A driver steps back when
//! somebody else waits for the crew's threads, and queues up again behind them.
//!
//! Invariant: every tile of a caller's set is claimed for it exactly once. A caller returns when
//! all of its stretches are reported, and nobody but itself then holds its set. A stretch is
//! reported also when its thread panics; those aboard of it fail, and only they.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{Crew, rider::Rider, stock::Key};
use crate::backend::{BackendError, cpu::NAME};

/// Most tiles of a stretch: long enough to make the lock cheap, short enough to join soon.
const STRETCH_TILES_MAX: usize = 8;
/// Stretches per thread and revolution at least, where there are tiles enough: so that the threads
/// end together.
const STRETCHES_LEAST: usize = 8;
/// Stretches that a thread scans before it looks whether others wait for it.
const STRETCHES_IN_A_ROW: usize = 16;

/// All scans of a backend.
#[derive(Default)]
pub(super) struct Carousel(Mutex<HashMap<Key, Arc<Ring>>>);

/// One scan.
#[derive(Default)]
struct Ring(Mutex<State>);

#[derive(Default)]
struct State {
    /// Next tile.
    cursor: usize,
    seats: Vec<Seat>,
}

/// One caller's place.
struct Seat {
    rider: Arc<Rider>,
    /// Tiles not yet claimed.
    left: usize,
    /// Stretches claimed and not yet reported.
    open: usize,
    /// Whether its caller lends its time to the crew.
    drives: bool,
    failed: Option<BackendError>,
}

impl Seat {
    fn is_done(&self) -> bool {
        self.left == 0 && self.open == 0
    }
}

/// Tiles that one thread scans, and for whom.
pub(super) struct Stretch {
    /// First tile, and the one after the last.
    pub(super) tiles: Range<usize>,
    /// Everybody aboard.
    pub(super) seats: Vec<Claim>,
}

/// A caller's part in a stretch.
pub(super) struct Claim {
    /// The caller.
    pub(super) rider: Arc<Rider>,
    /// The tiles that it still needs.
    pub(super) tiles: Range<usize>,
    /// Why it has no answer.
    pub(super) failed: Option<BackendError>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Carousel {
    /// Takes `rider` once round; `serve` scans a stretch on a thread of the crew.
    pub(super) fn ride(
        &self,
        key: Key,
        rider: &Arc<Rider>,
        crew: &dyn Crew,
        serve: &(dyn Fn(usize, &mut Stretch) + Sync),
    ) -> Result<(), BackendError> {
        let ticket = self.board(key, rider);
        let scan = |thread: usize| {
            let mut stretches = 0;
            while stretches < STRETCHES_IN_A_ROW || !crew.is_wanted() {
                let Some(stretch) = ticket.ring.claim(rider, crew.threads()) else { break };
                let mut report = Report { ring: &ticket.ring, stretch };
                serve(thread, &mut report.stretch);
                stretches += 1;
            }
        };
        loop {
            match ticket.ring.next(rider) {
                Next::Leave(outcome) => return outcome,
                Next::Sleep => rider.bell.wait(),
                Next::Drive => crew.each(&scan),
            }
        }
    }

    /// Joins the scan of `key` at its next tile, or begins one.
    fn board(&self, key: Key, rider: &Arc<Rider>) -> Ticket<'_> {
        let mut rings = held(&self.0);
        let ring = Arc::clone(rings.entry(key).or_default());
        let mut state = held(&ring.0);
        let drives = state.seats.iter().all(|seat| !seat.drives);
        let left = rider.stock.set().tiles.len();
        let rider = Arc::clone(rider);
        state.seats.push(Seat { rider: Arc::clone(&rider), left, open: 0, drives, failed: None });
        drop(state);
        Ticket { carousel: self, key, ring, rider }
    }
}

/// What a caller does next.
enum Next {
    /// Its revolution is complete, or it failed.
    Leave(Result<(), BackendError>),
    /// It lends its time.
    Drive,
    /// It waits.
    Sleep,
}

impl Ring {
    fn next(&self, rider: &Arc<Rider>) -> Next {
        let mut state = held(&self.0);
        let seat = state.seat(rider).expect("a caller has its seat until it leaves");
        if seat.is_done() {
            return Next::Leave(seat.failed.take().map_or(Ok(()), Err));
        }
        if seat.drives { Next::Drive } else { Next::Sleep }
    }

    /// The next stretch, unless the driver's own tiles are all claimed.
    fn claim(&self, driver: &Arc<Rider>, threads: usize) -> Option<Stretch> {
        let mut state = held(&self.0);
        if state.seat(driver).is_none_or(|seat| seat.left == 0) {
            return None;
        }
        let waiting = state.seats.iter().filter(|seat| seat.left > 0);
        let tiles = waiting.map(|seat| seat.rider.stock.set().tiles.len()).max()?;
        if state.cursor >= tiles {
            state.cursor = 0;
        }
        let long = (tiles / (threads * STRETCHES_LEAST)).clamp(1, STRETCH_TILES_MAX);
        let from = state.cursor;
        let to = (from + long).min(tiles);
        state.cursor = to;
        let mut seats = Vec::with_capacity(state.seats.len());
        for seat in state.seats.iter_mut().filter(|seat| seat.left > 0) {
            let own = to.min(seat.rider.stock.set().tiles.len()).min(from + seat.left);
            if own > from {
                seat.left -= own - from;
                seat.open += 1;
                let rider = Arc::clone(&seat.rider);
                seats.push(Claim { rider, tiles: from..own, failed: None });
            }
        }
        Some(Stretch { tiles: from..to, seats })
    }
}

impl State {
    fn seat(&mut self, rider: &Arc<Rider>) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| Arc::ptr_eq(&seat.rider, rider))
    }
}

/// Reports a stretch when it is dropped.
struct Report<'a> {
    ring: &'a Ring,
    stretch: Stretch,
}

impl Drop for Report<'_> {
    fn drop(&mut self) {
        let mut state = held(&self.ring.0);
        let mut done = Vec::new();
        for mut claim in self.stretch.seats.drain(..) {
            let Some(seat) = state.seat(&claim.rider) else { continue };
            seat.open -= 1;
            if thread::panicking() {
                let why = "a thread of the scan panicked".to_owned();
                claim.failed = Some(BackendError::Lost { what: NAME, why });
            }
            if claim.failed.is_some() {
                seat.failed = claim.failed;
                seat.left = 0;
            }
            if seat.is_done() {
                done.push(Arc::clone(&seat.rider.bell));
            }
        }
        // The claims are gone before anybody can wake up and look, and nobody rings under a lock.
        drop(state);
        done.iter().for_each(|bell| bell.ring());
    }
}

/// A caller's seat, given up when this is dropped.
struct Ticket<'a> {
    carousel: &'a Carousel,
    key: Key,
    ring: Arc<Ring>,
    rider: Arc<Rider>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut rings = held(&self.carousel.0);
        let mut state = held(&self.ring.0);
        let at = state.seats.iter().position(|seat| Arc::ptr_eq(&seat.rider, &self.rider));
        let left = at.map(|at| state.seats.swap_remove(at));
        let mut next = None;
        if left.as_ref().is_some_and(|seat| seat.drives)
            && let Some(seat) = state.seats.iter_mut().find(|seat| !seat.is_done())
        {
            seat.drives = true;
            next = Some(Arc::clone(&seat.rider.bell));
        }
        let empty = state.seats.is_empty();
        drop(state);
        if empty && rings.get(&self.key).is_some_and(|ring| Arc::ptr_eq(ring, &self.ring)) {
            rings.remove(&self.key);
        }
        drop(rings);
        drop(left);
        if let Some(bell) = next {
            bell.ring();
        }
    }
}
