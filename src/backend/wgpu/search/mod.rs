//! 1:N search on the device: one pass over the hot plane, candidate lists merged where they lie.
//!
//! ```text
//! search ─► ask (probes in groups) ─► desk (buffers) ─► scan, merge ─► tallies, best rows
//!                                        ▲
//!           pinned set: pieces in slabs ─┤ one submission
//!           source: windows of tiles ────┘ one submission each, the next is opened meanwhile
//! ```
//!
//! Invariant: the answer is the oracle's ([`crate::ops::search::scan`]), hit for hit, and so are
//! all counts, since nothing but the threshold prunes here. No score leaves the device but those of
//! the best rows. Of a source the device holds plaintext only while a search lasts.
//!
//! What is absent: a second look at a source. Hot and cold plane of a tile go up together, since
//! asking back for survivors would cost a round trip per window; a gallery that is searched often
//! is pinned.

mod ask;
mod desk;
mod load;
mod slab;

use std::sync::{Arc, Mutex};

use ::wgpu::CommandEncoder;
use bytemuck::{bytes_of, pod_read_unaligned};

use self::{
    ask::Place,
    desk::{Desk, Needed, Pass, TALLIES, TALLY, list_bytes},
    load::Wanted,
    slab::{Bench, Planes, Slab, slots_max},
};
use super::{
    NAME,
    device::Gpu,
    layout::{Hit, Search},
    shaders::Lists,
};
use crate::{
    backend::{
        BackendError, Pinned, Tiles,
        gpu::{
            locked,
            nobody::search_nobody,
            opened::{must_ask, window_tiles},
            pack::SlotShape,
            shelf::{self, Shelf},
            stock::Stock,
        },
    },
    limits::CANDIDATES_MAX,
    ops::{
        search::{Probe, RowHit, RowHits, admit},
        tile::{TileSet, TileSource},
    },
    types::{Certificate, Score},
};

/// Pieces of one pass: bounds the memory of their candidate lists.
const PASS_PIECES_MAX: usize = 2048;
/// Pieces of one pass on Mesa's simulated device, which stops a lane after 65,535 turns of its
/// loops ([`super::turns`]): the lists of so many pieces are merged with fewer, however they come.
pub(super) const PASS_PIECES_SIMULATED: usize = 128;
/// Pieces of one pass where everything is divided finely.
const PASS_PIECES_TIGHT: usize = 2;

/// Probes that one variant of the shaders or another takes at a time.
const PROBES: [usize; 4] = [1, 2, 4, 8];

/// A resident set.
type Pin = shelf::Pin<Bench>;

/// The search of one backend.
pub(super) struct Searcher {
    gpu: Arc<Gpu>,
    shelf: Arc<Shelf<Bench>>,
    desks: Mutex<Vec<Desk>>,
}

/// One search: what is asked, how it is divided, and where everything lies.
struct Inquiry<'a> {
    set: &'a TileSet,
    shape: SlotShape,
    probes: &'a [Probe<'a>],
    lists: Lists,
    /// Runs of pieces; those of one run lie in one slab.
    runs: Vec<Vec<Place>>,
    /// Run by run, one per group.
    passes: Vec<Pass>,
    needed: Needed,
}

impl Searcher {
    /// An engine without galleries.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        let shelf = Arc::new(Shelf::new(&Arc::new(Bench(Arc::clone(gpu)))));
        Self { gpu: Arc::clone(gpu), shelf, desks: Mutex::default() }
    }

    /// Runs every variant of the search's shaders.
    pub(super) fn warm_up(&self) -> Result<(), BackendError> {
        let sizes = [1, CANDIDATES_MAX].into_iter();
        let asked = sizes.flat_map(|best| PROBES.map(|probes| (probes, best)));
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
        let stock: Stock<Bench> = Stock::of(tiles, NAME)?;
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
            desk.wipe(done.is_err())?;
            locked(&self.desks).push(desk);
            done
        })
    }

    /// One submission over the slabs of a resident set.
    fn search_pinned(
        &self,
        desk: &mut Desk,
        probes: &[Probe<'_>],
        pin: &Pin,
    ) -> Result<Vec<RowHits>, BackendError> {
        let shape = SlotShape::of(pin.set.layout, self.gpu.tight);
        let most = self.pass_pieces();
        let (mut runs, mut lie) = (Vec::new(), Vec::new());
        for (slab, places) in pin.table() {
            for run in places.chunks(most) {
                runs.push(run.to_vec());
                lie.push(slab.as_ref());
            }
        }
        let inquiry = self.inquire(&pin.set, shape, probes, runs);
        let mut encoder = self.begin(desk, &inquiry)?;
        let groups = inquiry.groups();
        for (run, slab) in lie.iter().enumerate() {
            for pass in &inquiry.passes[run * groups..][..groups] {
                desk.pass(&mut encoder, inquiry.lists, slab, pass);
            }
        }
        self.finish(desk, &inquiry, encoder)
    }

    /// One submission per window of tiles; the host opens one while the device scans the other.
    fn search_source(
        &self,
        desk: &mut Desk,
        probes: &[Probe<'_>],
        source: &dyn TileSource,
    ) -> Result<Vec<RowHits>, BackendError> {
        let set = source.set();
        let shape = SlotShape::of(set.layout, self.gpu.tight);
        let per_tile = shape.stretches(set.layout.rows).count().max(1);
        let most = self.pass_pieces().min(slots_max(&self.gpu, shape)).max(per_tile);
        let window = window_tiles(shape, per_tile).min(most / per_tile).max(1);
        let tiles: Vec<usize> = (0..set.tiles.len()).collect();
        let windows: Vec<&[usize]> = tiles.chunks(window).collect();
        let runs = windows.iter().map(|tiles| window_places(set, shape, tiles)).collect();
        let inquiry = self.inquire(set, shape, probes, runs);
        let slots = window * per_tile;
        desk.windows.retain(|slab| slab.shape == shape && slab.held.slots >= slots);
        while desk.windows.len() < 2.min(windows.len()) {
            let planes = Planes::new(&self.gpu, shape, slots)?;
            desk.windows.push(Arc::new(Slab::new(shape, slots, planes)));
        }
        let mut encoder = self.begin(desk, &inquiry)?;
        let groups = inquiry.groups();
        for (number, tiles) in windows.iter().enumerate() {
            let slab = Arc::clone(&desk.windows[number % 2]);
            let mut slot = 0;
            let wanted = tiles.iter().map(|&tile| {
                let pieces = shape.stretches(set.tiles[tile].rows).count();
                let slots = (slot..slot + pieces).map(|slot| (slab.as_ref(), slot)).collect();
                slot += pieces;
                Wanted { tile, facts: must_ask(set, tile, probes), slots }
            });
            let wanted: Vec<Wanted<'_>> = wanted.collect();
            desk.loader.load(&mut encoder, source, &wanted)?;
            for pass in &inquiry.passes[number * groups..][..groups] {
                desk.pass(&mut encoder, inquiry.lists, &slab, pass);
            }
            let submission = self.gpu.submit(encoder);
            desk.loader.submitted(&submission);
            desk.staging.submitted(&submission);
            encoder = self.gpu.encoder();
        }
        self.finish(desk, &inquiry, encoder)
    }

    fn pass_pieces(&self) -> usize {
        match (self.gpu.tight, self.gpu.is_simulated()) {
            (true, _) => PASS_PIECES_TIGHT,
            (false, true) => PASS_PIECES_SIMULATED,
            (false, false) => PASS_PIECES_MAX,
        }
    }

    /// Lays one search out.
    fn inquire<'a>(
        &self,
        set: &'a TileSet,
        shape: SlotShape,
        probes: &'a [Probe<'a>],
        runs: Vec<Vec<Place>>,
    ) -> Inquiry<'a> {
        let best = probes.iter().map(|probe| probe.best).max().unwrap_or(0);
        let lists = Lists::of(probes.len(), best);
        let aligned = |bytes: usize| (bytes as u64).next_multiple_of(self.gpu.offset_alignment());
        let told_bytes = aligned(size_of::<Search>());
        let values_bytes = (shape.probe_bytes() * lists.probes) as u64;
        let groups = probes.len().div_ceil(lists.probes);
        let mut passes = Vec::with_capacity(runs.len() * groups);
        let mut pieces = 0;
        for run in &runs {
            let pieces_bytes = (run.len() * PIECE) as u64;
            for (group, probes) in (0..).zip(probes.chunks(lists.probes)) {
                passes.push(Pass {
                    told: passes.len() as u64 * told_bytes,
                    pieces,
                    pieces_bytes,
                    values: group * aligned(values_bytes as usize),
                    values_bytes,
                    many: u32::try_from(run.len()).expect("a pass is bounded"),
                    probes: u32::try_from(probes.len()).expect("a group is bounded"),
                });
                pieces += aligned(pieces_bytes as usize);
            }
        }
        let longest = runs.iter().map(Vec::len).max().unwrap_or(0);
        let results = groups * lists.probes * list_bytes(lists);
        let needed = Needed {
            told: passes.len() as u64 * told_bytes,
            pieces,
            values: groups as u64 * aligned(values_bytes as usize),
            lists: (longest * lists.probes * list_bytes(lists)) as u64,
            tallies: (groups * lists.probes * TALLIES * TALLY) as u64,
            results: results as u64,
        };
        Inquiry { set, shape, probes, lists, runs, passes, needed }
    }

    /// Stages structs, pieces and templates, and begins a list of commands with them.
    fn begin(
        &self,
        desk: &mut Desk,
        inquiry: &Inquiry<'_>,
    ) -> Result<CommandEncoder, BackendError> {
        let needed = &inquiry.needed;
        desk.make_room(needed)?;
        let staged = needed.told + needed.pieces + needed.values;
        desk.staging.write(staged, |view| {
            let mut write = |at: u64, bytes: &[u8]| {
                view.slice(at as usize..at as usize + bytes.len()).copy_from_slice(bytes);
            };
            let groups: Vec<_> = inquiry.probes.chunks(inquiry.lists.probes).collect();
            let mut told = Vec::new();
            for (number, pass) in inquiry.passes.iter().enumerate() {
                let (run, group) = (number / groups.len(), number % groups.len());
                let (places, probes) = (&inquiry.runs[run], groups[group]);
                let hot_dims = inquiry.set.layout.hot_dims;
                let struct_of = ask::search(inquiry.shape, probes, group, places.len(), hot_dims);
                write(pass.told, bytes_of(&struct_of));
                told.clear();
                ask::pieces(inquiry.set, places, probes, &mut told);
                write(needed.told + pass.pieces, &told);
                if run == 0 {
                    let values = ask::values(inquiry.shape, probes, inquiry.lists);
                    write(needed.told + needed.pieces + pass.values, &values);
                }
            }
            Ok(())
        })?;
        let mut encoder = self.gpu.encoder();
        desk.begin(&mut encoder, needed);
        Ok(encoder)
    }

    /// Submits the last commands and reads the answers, without subjects.
    fn finish(
        &self,
        desk: &mut Desk,
        inquiry: &Inquiry<'_>,
        mut encoder: CommandEncoder,
    ) -> Result<Vec<RowHits>, BackendError> {
        desk.end(&mut encoder, &inquiry.needed);
        let submission = self.gpu.submit(encoder);
        desk.staging.submitted(&submission);
        let answers = desk.read(&inquiry.needed, &submission, |tallies, results| {
            let answer = |(number, probe)| inquiry.answer(number, probe, tallies, results);
            inquiry.probes.iter().enumerate().map(answer).collect::<Vec<_>>()
        })?;
        for answer in &answers {
            let counts = answer.certificate;
            if !counts.holds() {
                return Err(self.gpu.loss(&format!("a scan's counts do not add up: {counts:?}")));
            }
        }
        Ok(answers)
    }
}

/// Bytes of a piece.
const PIECE: usize = size_of::<super::layout::Piece>();

/// The pieces of a window of tiles, in slots one after the other.
fn window_places(set: &TileSet, shape: SlotShape, tiles: &[usize]) -> Vec<Place> {
    let of = |&tile: &usize| {
        let stretches = shape.stretches(set.tiles[tile].rows);
        stretches.map(move |stretch| (tile, stretch))
    };
    let places = tiles.iter().flat_map(of).enumerate();
    places.map(|(slot, (tile, stretch))| Place { tile, stretch, slot }).collect()
}

impl Inquiry<'_> {
    fn groups(&self) -> usize {
        self.probes.len().div_ceil(self.lists.probes)
    }

    /// What the device found for one probe.
    fn answer(&self, number: usize, probe: &Probe<'_>, tallies: &[u8], results: &[u8]) -> RowHits {
        let tally = |which: usize| {
            let at = (number * TALLIES + which) * TALLY;
            u64::from(pod_read_unaligned::<u32>(&tallies[at..at + TALLY]))
        };
        let (ineligible, accepted, rescored) = (tally(0), tally(1), tally(2));
        let rows_total = self.set.rows();
        let pruned = rows_total.saturating_sub(ineligible + rescored);
        let generation = self.set.generation;
        let certificate =
            Certificate { generation, rows_total, ineligible, accepted, pruned, rescored };
        let list = &results[number * list_bytes(self.lists)..][..list_bytes(self.lists)];
        let mut entries = list.chunks_exact(size_of::<Hit>()).map(pod_read_unaligned::<Hit>);
        let many = entries.next().map_or(0, |head| head.row as usize).min(probe.best);
        let hit = |hit: Hit| RowHit {
            row: u64::from(hit.row),
            score: Score(hit.score),
            subject: [0; 16],
        };
        RowHits { hits: entries.take(many).map(hit).collect(), certificate }
    }
}
