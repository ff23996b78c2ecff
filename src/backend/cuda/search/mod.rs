//! 1:N search on the device: one pass over the hot plane, lists merged where they lie.
//!
//! ```text
//! search ─► choice (which scan) ─► desk (memory) ─► scan, merge ─► tallies, best rows
//!                                     ▲
//!           pinned set: its table ────┤ one scan
//!           source: windows of tiles ─┘ one scan each, the next is opened meanwhile
//! ```
//!
//! Invariant: the answer is the oracle's ([`crate::ops::search::scan`]), hit for hit, and so are
//! all counts, since nothing but the threshold prunes here. No score leaves the device but those of
//! the best rows. Of a source the device holds plaintext only while a search lasts.
//!
//! What is absent: a second look at a source. Hot and cold plane of a tile go up together, since
//! asking back for survivors would cost a round trip per window; a gallery that is searched often
//! is pinned.

mod board;
mod choice;
mod desk;

use std::sync::{Arc, Mutex};

use bytemuck::cast_slice;

pub(super) use self::choice::MERGE_BYTES;
use self::{
    board::{Board, piece, stow},
    choice::{Choice, THREADS, beforehand},
    desk::{Desk, Places},
};
use super::{NAME, device::Gpu, driver::Event, kernels::Kernel, layout::Piece, timing::between};
use crate::{
    backend::{
        BackendError, Pinned, Tiles,
        gpu::{
            locked,
            nobody::search_nobody,
            opened::{must_ask, window_tiles},
            pack::SlotShape,
            shelf::{Pin, Shelf},
            stock::Stock,
        },
    },
    limits::CANDIDATES_MAX,
    ops::{
        search::{Probe, RowHits, admit},
        tile::{TileSet, TileSource},
    },
};

/// The search of one backend.
pub(super) struct Searcher {
    gpu: Arc<Gpu>,
    shelf: Arc<Shelf<Board>>,
    desks: Mutex<Vec<Desk>>,
}

/// One search: what is asked, and how it is divided.
struct Inquiry<'a> {
    set: &'a TileSet,
    shape: SlotShape,
    probes: &'a [Probe<'a>],
    choice: Choice,
    blocks: usize,
    places: Places,
}

impl Searcher {
    /// An engine without galleries.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        let shelf = Arc::new(Shelf::new(&Arc::new(Board(Arc::clone(gpu)))));
        Self { gpu: Arc::clone(gpu), shelf, desks: Mutex::default() }
    }

    /// Compiles every kernel of the search, and runs those once that galleries of short templates
    /// lead to.
    pub(super) fn warm_up(&self) -> Result<(), BackendError> {
        let ready = |kernel| self.gpu.function(kernel).map(drop);
        self.gpu.guard(|| Kernel::of_search().try_for_each(ready))?;
        let asked = beforehand().map(|probes| (probes, CANDIDATES_MAX));
        search_nobody(asked, |probes, tiles| self.search(probes, tiles))
    }

    /// Makes a generation resident.
    pub(super) fn pin(&self, source: &dyn TileSource) -> Result<Arc<dyn Pinned>, BackendError> {
        self.at_desk(|desk| {
            let pin = self.shelf.pin(source, &mut desk.loader)?;
            Ok(Arc::new(pin) as Arc<dyn Pinned>)
        })
    }

    /// Searches every row of `tiles` for every probe.
    pub(super) fn search(
        &self,
        probes: &[Probe<'_>],
        tiles: &Tiles,
    ) -> Result<Vec<RowHits>, BackendError> {
        let stock: Stock<Board> = Stock::of(tiles, NAME)?;
        admit(probes, stock.set())?;
        if probes.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = self.at_desk(|desk| match &stock {
            Stock::Pinned(pin) => self.search_pinned(desk, probes, pin),
            Stock::Source(source) => self.search_source(desk, probes, source.as_ref()),
        })?;
        stock.name(&mut answers)?;
        Ok(answers)
    }

    /// Works at a desk that nobody else has, which is wiped afterwards.
    fn at_desk<T>(
        &self,
        work: impl FnOnce(&mut Desk) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        self.gpu.guard(|| {
            let kept = locked(&self.desks).pop();
            let mut desk = kept.map_or_else(|| Desk::new(&self.gpu), Ok)?;
            let done = work(&mut desk);
            if !matches!(done, Err(BackendError::Lost { .. })) {
                desk.wipe(done.is_err())?;
                locked(&self.desks).push(desk);
            }
            done
        })
    }

    /// Lays one search out that scans `pieces` pieces at a time.
    fn inquire<'a>(
        &self,
        set: &'a TileSet,
        probes: &'a [Probe<'a>],
        pieces: usize,
    ) -> Result<Inquiry<'a>, BackendError> {
        let shape = SlotShape::of(set.layout, self.gpu.tight);
        let choice = Choice::of(probes.len(), shape, self.gpu.machine);
        let scan = self.gpu.function(choice.kernel)?;
        let resident = scan.resident(THREADS, choice.shared_bytes)?;
        let work = (pieces, shape.rows);
        let blocks = choice.blocks(probes.len(), work, self.gpu.machine, resident);
        let places = Places::of(probes.len(), shape, choice, blocks);
        Ok(Inquiry { set, shape, probes, choice, blocks, places })
    }

    /// One scan over the table of a resident set.
    fn search_pinned(
        &self,
        desk: &mut Desk,
        probes: &[Probe<'_>],
        pin: &Pin<Board>,
    ) -> Result<Vec<RowHits>, BackendError> {
        let table = pin.table();
        let inquiry = self.inquire(&pin.set, probes, table.pieces)?;
        inquiry.begin(desk)?;
        inquiry.pass(desk, table.memory.address(0), table.pieces)?;
        self.finish(desk, &inquiry)
    }

    /// One scan per window of tiles; the host opens one while the device scans the other.
    fn search_source(
        &self,
        desk: &mut Desk,
        probes: &[Probe<'_>],
        source: &dyn TileSource,
    ) -> Result<Vec<RowHits>, BackendError> {
        let set = source.set();
        let shape = SlotShape::of(set.layout, self.gpu.tight);
        let per_tile = shape.stretches(set.layout.rows).count().max(1);
        let window = if self.gpu.tight { 1 } else { window_tiles(shape, per_tile) };
        let most = window * per_tile;
        let inquiry = self.inquire(set, probes, most)?;
        let table = most * shape.bytes();
        desk.make_windows(table + most * size_of::<Piece>())?;
        inquiry.begin(desk)?;
        let tiles: Vec<usize> = (0..set.tiles.len()).collect();
        for (number, tiles) in tiles.chunks(window).enumerate() {
            let pieces = inquiry.bring(desk, number % 2, source, tiles, table)?;
            let window = &desk.windows[number % 2];
            desk.stream.after(&window.came)?;
            inquiry.pass(desk, window.memory.address(table), pieces)?;
            desk.stream.mark(&window.scanned)?;
        }
        self.finish(desk, &inquiry)
    }

    /// Milliseconds of one scan and its merge over a resident set, between `marks`, right after a
    /// scan of the set `before`: it keeps the device busy until the host has handed all of the
    /// measured one over.
    pub(super) fn scan_ms(
        &self,
        probes: &[Probe<'_>],
        [before, tiles]: [&Tiles; 2],
        marks: &[Event; 2],
    ) -> Result<f32, BackendError> {
        let stocks: [Stock<Board>; 2] = [Stock::of(before, NAME)?, Stock::of(tiles, NAME)?];
        let [Stock::Pinned(before), Stock::Pinned(pin)] = &stocks else {
            let generation = stocks[1].set().generation;
            return Err(BackendError::ForeignSet { what: NAME, generation });
        };
        admit(probes, &pin.set)?;
        self.at_desk(|desk| {
            let (ahead, table) = (before.table(), pin.table());
            let inquiry = self.inquire(&pin.set, probes, table.pieces)?;
            inquiry.begin(desk)?;
            inquiry.pass(desk, ahead.memory.address(0), ahead.pieces)?;
            desk.begin_anew(&inquiry.places)?;
            let took = between(&desk.stream, marks, || {
                inquiry.pass(desk, table.memory.address(0), table.pieces)
            })?;
            self.finish(desk, &inquiry)?;
            Ok(took)
        })
    }

    /// Takes the answers, without subjects.
    fn finish(&self, desk: &mut Desk, inquiry: &Inquiry<'_>) -> Result<Vec<RowHits>, BackendError> {
        desk.end(&inquiry.places)?;
        let answers = desk.answers(&inquiry.places, inquiry.set, inquiry.probes)?;
        for answer in &answers {
            let counts = answer.certificate;
            if !counts.holds() {
                let why = format!("a scan's counts do not add up: {counts:?}");
                return Err(BackendError::Lost { what: NAME, why });
            }
        }
        Ok(answers)
    }
}

impl Inquiry<'_> {
    fn begin(&self, desk: &mut Desk) -> Result<(), BackendError> {
        let hot_dims = self.set.layout.hot_dims;
        Ok(desk.begin(&self.places, self.shape, self.probes, hot_dims)?)
    }

    fn pass(&self, desk: &Desk, table: u64, pieces: usize) -> Result<(), BackendError> {
        if pieces == 0 {
            return Ok(());
        }
        let how = (self.shape, self.choice);
        desk.pass(&self.places, how, (self.probes.len(), self.blocks), (table, pieces))
    }

    /// Opens `tiles` and brings them into a window, their table behind them at `table`; gives how
    /// many pieces they are.
    fn bring(
        &self,
        desk: &mut Desk,
        number: usize,
        source: &dyn TileSource,
        tiles: &[usize],
        table: usize,
    ) -> Result<usize, BackendError> {
        let (set, shape) = (self.set, self.shape);
        let Desk { loader, windows, copies, .. } = desk;
        let window = &mut windows[number];
        let (half, opened) = loader.next(window.memory.bytes())?;
        let held = half.write(window.memory.bytes())?;
        let (mut at, mut pieces) = (0, Vec::new());
        for &tile in tiles {
            let facts = must_ask(set, tile, self.probes);
            for (nth, stretch) in shape.stretches(set.tiles[tile].rows).enumerate() {
                let address = window.memory.address(at + nth * shape.bytes());
                pieces.push(piece(set, shape, (tile, stretch), address, facts));
            }
            at += stow(opened, source, (tile, shape), facts, &mut held[at..])?;
        }
        let bytes: &[u8] = cast_slice(&pieces);
        held[table..table + bytes.len()].copy_from_slice(bytes);
        // The table lies behind the tiles.
        window.used = window.used.max(table + bytes.len());
        copies.after(&window.scanned)?;
        half.up(0..at, &window.memory, 0)?;
        half.up(table..table + bytes.len(), &window.memory, table)?;
        copies.mark(&window.came)?;
        Ok(pieces.len())
    }
}
