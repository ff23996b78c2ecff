//! `fpga`: the 1:N search in hardware, a streaming engine of `hw/rtl/` behind a register map.
//!
//! ```text
//! search ─► driver (probes, packets, proof of the answer) ─► Card ┬ soft: the twin, always there
//! pin ─► resident (a tile, a region; zeroed at the end) ─► memory ├ pipe: the Verilated RTL
//!                                                                 └ mapped: a BAR or UIO device
//! more probes, candidates, values or rows than the core has: elsewhere, the engine beside it
//! ```
//!
//! Why the host opens tiles: the core has no key, and so none can be read out of it. A set that is
//! pinned lies as plaintext in the card's memory, which [`Fpga::describe`] says; dropping it zeroes
//! that memory. A source is streamed tile by tile and lies nowhere.
//!
//! Invariant: every answer is proved from its counts before it leaves ([`answer`]); a card that
//! breaks the protocol is lost, and never asked again. What is absent: networks, which go to the
//! engine beside it; more than one search at a time, because a core has one stream; and a card: the
//! mapped transport has met no hardware.

pub mod answer;
pub mod bar;
pub mod card;
mod driver;
pub mod mapped;
pub mod packet;
pub mod pipe;
mod plan;
pub mod regs;
mod resident;
mod room;
pub mod sizes;
pub mod soft;
pub mod twin;

use std::{
    any::Any,
    path::Path,
    sync::{Arc, Mutex},
};

use bytemuck::{Zeroable, cast_slice_mut};
use zeroize::Zeroize;

use self::{
    bar::Bar,
    card::Card,
    driver::{Driver, Found},
    mapped::Mapped,
    packet::{BEAT_BYTES, Shape},
    resident::{Held, InMemory, Resident, Shared, Shelf, alone},
    sizes::Sizes,
    soft::Soft,
};
use super::{Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles, Unavailable};
use crate::{
    ops::{
        ALL,
        program::Program,
        search::{Probe, RowHit, RowHits, admit},
        tile::{Row, TileError, TilePart, TileSet, TileSource},
    },
    types::{Certificate, Score, Template},
};

/// Its name in [`super::FACTORIES`].
pub const NAME: &str = "fpga";

/// Beats of the twin's memory: one gibibyte, taken as it is used.
const SOFT_MEMORY_BEATS: u32 = 1 << 24;

/// The backend.
pub struct Fpga {
    shared: Shared,
    shelf: Shelf,
    sizes: Sizes,
    device: String,
    plaintext: Plaintext,
    elsewhere: Arc<dyn Backend>,
}

impl Fpga {
    /// A card, and the engine for what is beyond it.
    ///
    /// # Errors
    /// [`Unavailable`] when the card is not one of this protocol.
    pub fn new(card: Box<dyn Card>, elsewhere: Arc<dyn Backend>) -> Result<Self, Unavailable> {
        let (device, plaintext) = (card.device(), card.plaintext());
        let driver = Driver::open(card)?;
        let sizes = driver.sizes;
        let shared = Arc::new(Mutex::new(driver));
        Ok(Self { shared, shelf: Shelf::default(), sizes, device, plaintext, elsewhere })
    }

    /// The twin in place of a card.
    ///
    /// # Errors
    /// As [`Fpga::new`].
    pub fn twin(elsewhere: Arc<dyn Backend>) -> Result<Self, Unavailable> {
        Self::new(Box::new(Soft::new(Sizes::DEFAULT, SOFT_MEMORY_BEATS)), elsewhere)
    }

    /// The card whose registers are mapped at `path`.
    ///
    /// # Errors
    /// As [`Fpga::new`], and when nothing can be mapped there.
    pub fn mapped(path: &Path, elsewhere: Arc<dyn Backend>) -> Result<Self, Unavailable> {
        let unavailable =
            |why: String| Unavailable { what: NAME, why: format!("{}: {why}", path.display()) };
        let bar = Bar::open(path).map_err(|error| unavailable(error.to_string()))?;
        let device = format!("card mapped at {}", path.display());
        let card = Mapped::open(bar, device).map_err(|error| unavailable(error.to_string()))?;
        Self::new(Box::new(card), elsewhere)
    }

    /// What the core takes at once.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Whether the core can take this search whole.
    fn takes(&self, probes: &[Probe<'_>], set: &TileSet) -> bool {
        probes.len() <= self.sizes.probes
            && probes.iter().all(|probe| probe.best <= self.sizes.best)
            && self.holds(set)
    }

    /// Whether rows of this set fit the core.
    fn holds(&self, set: &TileSet) -> bool {
        self.sizes.fits(Shape::of(set.layout)) && set.rows() < u64::from(u32::MAX)
    }

    fn search_source(
        &self,
        probes: &[Probe<'_>],
        source: &Arc<dyn TileSource>,
    ) -> Result<Vec<RowHits>, BackendError> {
        if !self.takes(probes, source.set()) {
            return self.elsewhere.search(probes, &Tiles::Source(Arc::clone(source)));
        }
        let found = alone(&self.shared).search_source(probes, source.as_ref())?;
        let mut names = Names::of(source.as_ref());
        answers(probes, source.set(), &found, |row| names.subject(row))
    }

    fn search_memory(
        &self,
        probes: &[Probe<'_>],
        set: &TileSet,
        held: &InMemory,
    ) -> Result<Vec<RowHits>, BackendError> {
        let tiles = held.tiles(probes);
        let found = alone(&self.shared).search_memory(probes, set.layout, &tiles)?;
        answers(probes, set, &found, |row| Ok(held.subject(row)))
    }
}

impl Backend for Fpga {
    fn describe(&self) -> Description {
        let Sizes { probes, best, probe_beats, .. } = self.sizes;
        let elsewhere = self.elsewhere.describe().name;
        let detail = format!(
            "{probes} probes of up to {} values at once, the best {best} rows of each; what is \
             beyond, and every network, goes to {elsewhere}; a pinned set lies in the card's \
             memory as plaintext until it is dropped",
            probe_beats * BEAT_BYTES,
        );
        Description {
            name: NAME,
            device: self.device.clone(),
            detail,
            threads: 1,
            missing: ALL.iter().map(|row| row.name).filter(|&name| name != "search").collect(),
            plaintext: self.plaintext,
        }
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        self.elsewhere.load(program, batch_max)
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        let in_memory = if self.holds(source.set()) {
            self.shelf.pin(&self.shared, source.as_ref())?
        } else {
            None
        };
        let held = match in_memory {
            Some(held) => Held::Memory(held),
            None => Held::Elsewhere(self.elsewhere.pin(source)?),
        };
        let (source, plaintext) = (Arc::clone(source), self.plaintext);
        Ok(Arc::new(Resident { source, held, plaintext }))
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        let (source, held) = match tiles {
            Tiles::Source(source) => (source, None),
            Tiles::Pinned(set) => {
                let own = (set.as_ref() as &dyn Any).downcast_ref::<Resident>();
                let generation = set.generation();
                let own = own.ok_or(BackendError::ForeignSet { what: NAME, generation })?;
                (&own.source, Some(&own.held))
            }
        };
        let set = source.set();
        admit(probes, set)?;
        match held {
            _ if probes.is_empty() => Ok(Vec::new()),
            None => self.search_source(probes, source),
            Some(Held::Memory(held)) if self.takes(probes, set) => {
                self.search_memory(probes, set, held)
            }
            Some(Held::Memory(_)) => {
                self.elsewhere.search(probes, &Tiles::Source(Arc::clone(source)))
            }
            Some(Held::Elsewhere(set)) => {
                self.elsewhere.search(probes, &Tiles::Pinned(Arc::clone(set)))
            }
        }
    }

    fn score(&self, a: &Template, b: &Template) -> Score {
        self.elsewhere.score(a, b)
    }
}

/// Names rows, and adds what was not streamed to the counts.
fn answers(
    probes: &[Probe<'_>],
    set: &TileSet,
    found: &Found,
    mut subject: impl FnMut(u32) -> Result<[u8; 16], TileError>,
) -> Result<Vec<RowHits>, BackendError> {
    let answer = |(probe, tally): (&Probe<'_>, &answer::Tally)| {
        let places = tally.places.iter().take(probe.best);
        let hits = places.map(|place| {
            let (row, score) = (u64::from(place.row), Score(place.score));
            Ok(RowHit { row, score, subject: subject(place.row)? })
        });
        let hits = hits.collect::<Result<Vec<_>, TileError>>()?;
        let counts = tally.counts;
        let certificate = Certificate {
            generation: set.generation,
            rows_total: set.rows(),
            ineligible: u64::from(counts.ineligible) + found.spared,
            accepted: u64::from(counts.accepted),
            pruned: u64::from(counts.pruned),
            rescored: u64::from(counts.rescored),
        };
        if !certificate.holds() {
            let why = "its counts are not those of the gallery".to_owned();
            return Err(BackendError::Lost { what: NAME, why });
        }
        Ok(RowHits { hits, certificate })
    };
    probes.iter().zip(&found.finished.tallies).map(answer).collect()
}

/// Opens the row tables that hits stand in, one at a time.
struct Names<'a> {
    source: &'a dyn TileSource,
    open: Option<usize>,
    rows: Vec<Row>,
}

impl<'a> Names<'a> {
    fn of(source: &'a dyn TileSource) -> Self {
        Self { source, open: None, rows: Vec::new() }
    }

    fn subject(&mut self, row: u32) -> Result<[u8; 16], TileError> {
        let set = self.source.set();
        let (tile, row) = (row as usize / set.layout.rows, row as usize % set.layout.rows);
        if self.open != Some(tile) {
            self.wipe();
            self.rows.resize(set.tiles[tile].rows, Row::zeroed());
            self.source.open(tile, TilePart::Rows, cast_slice_mut(&mut self.rows))?;
            self.open = Some(tile);
        }
        Ok(self.rows[row].subject)
    }

    fn wipe(&mut self) {
        cast_slice_mut::<Row, u8>(&mut self.rows).zeroize();
        self.rows.clear();
        self.open = None;
    }
}

impl Drop for Names<'_> {
    fn drop(&mut self) {
        self.wipe();
    }
}
