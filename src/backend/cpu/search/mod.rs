//! 1:N search and 1:1 comparison on the host's vector units.
//!
//! ```text
//! search ─► rider (probes copied, packed) ─► carousel (shared scans, tiles dealt out to threads)
//!                                                │ a tile, everybody who waits for it
//!           stock: pinned · resident · sealed ─► tile_scan ─► Lanes (avx512 · avx2 · neon ·
//!                    parts: opened, wiped            │                portable)
//!           answers: counts proved, subjects named ◄─┘
//! ```
//!
//! Invariant: the answer is the oracle's ([`crate::ops::search::scan`]), hit for hit; so are all
//! counts, as nothing but the threshold prunes here. Plaintext that was opened for a scan lies in a
//! thread's scratch only while its tile is scanned.
//!
//! What is absent: an order of the rows that would let a probe stop early. Every row of the
//! generation is looked at, and the certificate says so.

mod carousel;
mod ceiling;
mod lanes;
mod needle;
mod parts;
mod pin;
mod portable;
mod rider;
mod sift;
mod stock;
mod tile_scan;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(target_arch = "aarch64")]
use self::neon::Neon;
#[cfg(target_arch = "x86_64")]
use self::{avx2::Avx2, avx512::Avx512};
use self::{
    carousel::{Carousel, Stretch},
    lanes::{Kernel, Lanes},
    needle::Needle,
    parts::{Scratch, block_bytes, cold_block_bytes},
    pin::Shelf,
    portable::Portable,
    rider::Rider,
    stock::Stock,
    tile_scan::{Passenger, TileScan},
};
use super::{Isa, pool::Pool};
use crate::{
    backend::{BackendError, Pinned, Tiles},
    ops::{
        search::{Probe, RowHits, admit},
        tile::{TileError, TilePart, TileSource},
    },
    types::Score,
};

/// How a caller waits; a ring before the wait is not lost.
pub trait Bell: Send + Sync {
    /// Wakes the one who waits, or will.
    fn ring(&self);
    /// Sleeps until it is rung.
    fn wait(&self);
}

/// Who scans: the backend's threads, or a scheduler's in a model of them.
pub trait Crew: Send + Sync {
    /// How many they are.
    fn threads(&self) -> usize;
    /// Calls `work` once on every thread, with its number, and returns when all are done.
    fn each(&self, work: &(dyn Fn(usize) + Sync));
    /// Whether somebody else waits for the threads.
    fn is_wanted(&self) -> bool;
    /// A new bell.
    fn bell(&self) -> Arc<dyn Bell>;
}

/// The instruction set of the search; holding one proves that it is there.
#[derive(Debug, Clone, Copy)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    NeonDot(Neon<true>),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<false>),
    Portable(Portable),
}

impl Set {
    /// The best that `isa` stands for. A processor may have AVX-512 without the byte products of
    /// VNNI; it then searches with AVX2.
    fn of(isa: Isa) -> Self {
        let found = match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Avx512::detect().map(Self::Avx512).or_else(|| Avx2::detect().map(Self::Avx2))
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Self::Avx2),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => {
                Neon::detect().map(Self::NeonDot).or_else(|| Neon::detect().map(Self::Neon))
            }
            _ => None,
        };
        found.unwrap_or(Self::Portable(Portable))
    }

    fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot(_) => "NEON with dot products",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "NEON",
            Self::Portable(_) => "portable",
        }
    }
}

/// Evaluates an expression with `$lanes` bound to the set.
macro_rules! with_lanes {
    ($set:expr, $lanes:ident => $work:expr) => {
        match $set {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512($lanes) => $work,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2($lanes) => $work,
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot($lanes) => $work,
            #[cfg(target_arch = "aarch64")]
            Set::Neon($lanes) => $work,
            Set::Portable($lanes) => $work,
        }
    };
}

use with_lanes;

/// The search engine of one backend.
pub struct Scans {
    set: Set,
    crew: Arc<dyn Crew>,
    carousel: Carousel,
    shelf: Shelf,
    scratch: Mutex<Vec<Scratch>>,
}

impl fmt::Debug for Scans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scans").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Scans {
    /// An engine that scans with `crew`, on the best instructions that `isa` stands for.
    #[must_use]
    pub fn new(isa: Isa, crew: Arc<dyn Crew>) -> Self {
        let (carousel, shelf, scratch) = Default::default();
        Self { set: Set::of(isa), crew, carousel, shelf, scratch }
    }

    /// The instruction set in use, as shown to people.
    #[must_use]
    pub fn set_name(&self) -> &'static str {
        self.set.name()
    }

    /// Runs `rounds` rounds of a scan's multiply-adds from registers alone on every thread of
    /// `pool`, and gives the number of products of two bytes.
    pub(super) fn products(&self, pool: &Pool, rounds: u64) -> u64 {
        ceiling::products(self.set, pool, rounds)
    }

    /// Reads `words` once, with all threads of `pool`.
    pub(super) fn read(&self, pool: &Pool, words: &[u32]) {
        ceiling::read(self.set, pool, words);
    }

    /// Makes a generation resident, hot planes packed; what else lies in locked memory already is
    /// not copied.
    ///
    /// # Errors
    /// [`BackendError::Tile`]; [`BackendError::Lost`] when there is no memory.
    pub fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        Ok(Arc::new(with_lanes!(self.set, lanes => self.shelf.pin(lanes, source))?))
    }

    /// Searches every row of the generation for every probe. Callers at the same time share one
    /// scan; each gets the answer of the very generation it handed over.
    ///
    /// # Errors
    /// [`BackendError`]; there are then no partial answers.
    pub fn search(
        &self,
        probes: &[Probe<'_>],
        tiles: &Tiles,
    ) -> Result<Vec<RowHits>, BackendError> {
        let stock = Stock::of(tiles)?;
        admit(probes, stock.set())?;
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        with_lanes!(self.set, lanes => self.ride(lanes, probes, stock))
    }

    /// The comparison score of two templates' values: [`crate::ops::score::score`], faster.
    ///
    /// # Panics
    /// When the lengths differ: a shortened comparison must never look like a score.
    #[must_use]
    pub fn score(&self, a: &[i8], b: &[i8]) -> Score {
        assert_eq!(a.len(), b.len(), "only templates of one kind are compared");
        with_lanes!(self.set, lanes => lanes.call(Compare { a, b }))
    }

    fn ride<L: Lanes>(
        &self,
        lanes: L,
        probes: &[Probe<'_>],
        stock: Stock,
    ) -> Result<Vec<RowHits>, BackendError> {
        let needles = probes.iter().map(|probe| Needle::new::<L>(probe, stock.set()));
        let needles = needles.collect::<Result<Vec<_>, _>>()?;
        let key = stock.key();
        let crew = self.crew.as_ref();
        let rider = Arc::new(Rider::new(stock, needles, crew.threads(), crew.bell()));
        self.carousel.ride(key, &rider, crew, &|thread, stretch| {
            let mut scratch = self.take_scratch();
            serve(lanes, thread, stretch, &mut scratch);
            scratch.wipe();
            self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        })?;
        rider.answers()
    }

    fn take_scratch(&self) -> Scratch {
        let mut shelf = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.pop().unwrap_or_default()
    }
}

/// Scans a stretch for everybody aboard; who shares a tile that does not open, fails.
fn serve<L: Lanes>(lanes: L, thread: usize, stretch: &mut Stretch, scratch: &mut Scratch) {
    let riders: Vec<Arc<Rider>> =
        stretch.seats.iter().map(|seat| Arc::clone(&seat.rider)).collect();
    let mut tallies: Vec<_> = riders
        .iter()
        .map(|rider| rider.tallies[thread].lock().unwrap_or_else(PoisonError::into_inner))
        .collect();
    let mut passengers = Vec::with_capacity(riders.iter().map(|rider| rider.needles.len()).sum());
    let mut owners = Vec::with_capacity(passengers.capacity());
    for (seat, (rider, tallies)) in riders.iter().zip(&mut tallies).enumerate() {
        for (needle, tally) in rider.needles.iter().zip(tallies.iter_mut()) {
            passengers.push(Passenger { needle, tally });
            owners.push(seat);
        }
    }
    for tile in stretch.tiles.clone() {
        for seat in 0..riders.len() {
            let named = |other: usize| riders[other].stock.set().tiles.get(tile);
            let waits = |other: usize| {
                let claim = &stretch.seats[other];
                claim.tiles.contains(&tile) && claim.failed.is_none()
            };
            // Equal content is opened once, by the first who has it.
            let same = |other: usize| waits(other) && named(other) == named(seat);
            if !waits(seat) || (0..seat).any(same) {
                continue;
            }
            scratch.waiting.clear();
            scratch.waiting.extend((0..owners.len()).filter(|&at| same(owners[at])));
            let stock = &riders[seat].stock;
            // Unwind safety: those who wait for the tile fail, and nobody reads their tallies.
            let work = AssertUnwindSafe(|| scan_tile(lanes, stock, tile, &mut passengers, scratch));
            let failed = match catch_unwind(work) {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => BackendError::Tile(error),
                Err(panic) => panicked(panic.as_ref()),
            };
            for &passenger in &scratch.waiting {
                stretch.seats[owners[passenger]].failed = Some(failed.clone());
            }
        }
    }
}

/// What a panic while a tile was scanned is told as.
fn panicked(panic: &(dyn Any + Send)) -> BackendError {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let why = format!("the scan panicked: {}", said.unwrap_or("it did not say why"));
    BackendError::Lost { what: super::NAME, why }
}

/// One tile for everybody in `scratch.waiting`.
fn scan_tile<L: Lanes>(
    lanes: L,
    stock: &Stock,
    tile: usize,
    passengers: &mut [Passenger<'_>],
    scratch: &mut Scratch,
) -> Result<(), TileError> {
    let set = stock.set();
    let Scratch { parts: [hot, cold, table], block, cold_block, .. } = scratch;
    let Scratch { bitmaps, aboard, waiting, survivors, .. } = scratch;
    lanes.call(TileScan {
        layout: set.layout,
        rows: set.tiles[tile].rows,
        first: tile as u64 * set.layout.rows as u64,
        common: set.tiles[tile].common,
        hot: stock.hot(tile, hot),
        cold: stock.part(tile, TilePart::Cold, cold),
        table: stock.part(tile, TilePart::Rows, table),
        block: block.room(block_bytes(set.layout)),
        cold_block: cold_block.room(cold_block_bytes(set.layout)),
        bitmaps,
        aboard,
        survivors,
        passengers,
        waiting,
        next: stock.ahead(tile + 1),
    })
}

/// One product, 1:1.
struct Compare<'a> {
    a: &'a [i8],
    b: &'a [i8],
}

impl Kernel for Compare<'_> {
    type Output = Score;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> Score {
        Score(lanes.product(self.a, self.b))
    }
}
