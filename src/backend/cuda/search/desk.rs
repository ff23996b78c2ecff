//! What one search at a time works with; kept from search to search.
//!
//! ```text
//! one stretch of device memory:  tallies | results | probes | values | lists
//!                                └ down ─────────┘ └ up ───────────┘
//! ```
//!
//! Invariant: all of it that a search used is zeroed by the last of its commands, and what the host
//! shares with the device before the search returns.

use std::{ops::Range, sync::Arc};

use bytemuck::{bytes_of, pod_read_unaligned};

use super::{
    board::{Loader, word},
    choice::{Choice, KEY, MERGE_BYTES, THREADS},
};
use crate::{
    backend::{
        BackendError,
        cuda::{
            device::Gpu,
            driver::{
                Driven, Event,
                launch::{Extent, Stream},
                memory::{HostMemory, Memory},
            },
            kernels::Kernel,
            layout::{Probe as Told, Search},
        },
        gpu::pack::SlotShape,
    },
    limits::CANDIDATES_MAX,
    ops::{
        score::rest_norm,
        search::{Probe, RowHit, RowHits},
        tile::TileSet,
    },
    types::{Certificate, Score},
};

/// Bytes of the tallies of one probe: ineligible, accepted, rescored, and one that stays zero.
const TALLIES: usize = 4 * size_of::<u32>();
/// Where stretches begin.
const ALIGNMENT: usize = 256;

/// Where everything of one search lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) tallies: Range<usize>,
    pub(super) results: Range<usize>,
    pub(super) probes: Range<usize>,
    pub(super) values: Range<usize>,
    pub(super) lists: Range<usize>,
}

impl Places {
    /// For `probes` probes, each with `blocks` lists.
    pub(super) fn of(probes: usize, shape: SlotShape, choice: Choice, blocks: usize) -> Self {
        let mut at = 0_usize;
        let mut place = |bytes: usize| {
            let begin = at.next_multiple_of(ALIGNMENT);
            at = begin + bytes;
            begin..at
        };
        Self {
            tallies: place(probes * TALLIES),
            results: place(probes * CANDIDATES_MAX * KEY),
            probes: place(probes * size_of::<Told>()),
            values: place(probes * shape.probe_bytes()),
            lists: place(probes * blocks * choice.pitch * KEY),
        }
    }
}

/// Memory that grows to the largest search.
pub(super) struct Desk {
    gpu: Arc<Gpu>,
    pub(super) stream: Arc<Stream>,
    pub(super) copies: Arc<Stream>,
    pub(super) loader: Loader,
    /// For sources: where windows lie, in turn; when each has come, and was scanned.
    pub(super) windows: Vec<Window>,
    memory: Memory,
    up: HostMemory,
    down: HostMemory,
    /// Bytes from the beginning that a search may have left.
    used: usize,
}

/// Room for the pieces of some tiles and their table.
pub(super) struct Window {
    pub(super) memory: Memory,
    pub(super) came: Event,
    pub(super) scanned: Event,
    /// Bytes from the beginning that a search may have left.
    pub(super) used: usize,
}

impl Desk {
    /// Without room for anything.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Result<Self, BackendError> {
        let (stream, copies) = (gpu.stream()?, gpu.stream()?);
        Ok(Self {
            gpu: Arc::clone(gpu),
            loader: Loader::new(&copies)?,
            windows: Vec::new(),
            memory: Memory::zeroed(&gpu.context, 0)?,
            up: HostMemory::new(&stream, 0)?,
            down: HostMemory::new(&stream, 0)?,
            used: 0,
            stream,
            copies,
        })
    }

    /// Makes two windows of `bytes` bytes.
    pub(super) fn make_windows(&mut self, bytes: usize) -> Driven<()> {
        self.windows.retain(|window| window.memory.bytes() >= bytes);
        while self.windows.len() < 2 {
            self.windows.push(Window {
                memory: Memory::zeroed(&self.gpu.context, bytes)?,
                came: Event::plain(&self.gpu.context)?,
                scanned: Event::plain(&self.gpu.context)?,
                used: 0,
            });
        }
        Ok(())
    }

    /// Brings probes up and begins all results anew.
    pub(super) fn begin(
        &mut self,
        places: &Places,
        shape: SlotShape,
        probes: &[Probe<'_>],
        hot_dims: usize,
    ) -> Driven<()> {
        let all = places.lists.end;
        if self.memory.bytes() < all {
            self.stream.wait()?;
            self.memory = Memory::zeroed(&self.gpu.context, all.next_power_of_two())?;
        }
        let (first, end) = (places.probes.start, places.values.end);
        if self.up.bytes() < end - first {
            self.up = HostMemory::new(&self.stream, (end - first).next_power_of_two())?;
        }
        if self.down.bytes() < places.results.end {
            self.down = HostMemory::new(&self.stream, places.results.end.next_power_of_two())?;
        }
        self.used = all;
        let held = self.up.write(end - first)?;
        held.fill(0);
        let (structs, values) = held.split_at_mut(places.values.start - first);
        for (to, probe) in structs.chunks_exact_mut(size_of::<Told>()).zip(probes) {
            to.copy_from_slice(bytes_of(&told(probe, hot_dims)));
        }
        for (to, probe) in values.chunks_exact_mut(shape.probe_bytes().max(1)).zip(probes) {
            shape.pack_probe(probe.template.values(), to);
        }
        self.up.up(0..end - first, &self.memory, first)?;
        self.begin_anew(places)
    }

    /// Begins tallies and results anew, for the probes that are there.
    pub(super) fn begin_anew(&self, places: &Places) -> Driven<()> {
        self.stream.clear(&self.memory, 0..places.results.end)
    }

    /// Scans `pieces` pieces whose table is at `table`, and merges what was found.
    pub(super) fn pass(
        &self,
        places: &Places,
        (shape, choice): (SlotShape, Choice),
        (probes, blocks): (usize, usize),
        (table, pieces): (u64, usize),
    ) -> Result<(), BackendError> {
        let at = |range: &Range<usize>| self.memory.address(range.start);
        let search = Search {
            pieces: table,
            probes: at(&places.probes),
            values: at(&places.values),
            lists: at(&places.lists),
            tallies: at(&places.tallies),
            results: at(&places.results),
            piece_count: word(pieces),
            probe_count: word(probes),
            hot_quads: word(shape.hot_quads()),
            cold_quads: word(shape.cold_quads()),
            rows: word(shape.rows),
            blocks: word(blocks),
            list_pitch: word(choice.pitch),
            spare: [0; 3],
        };
        let scan = choice.extent(probes, blocks);
        let merge = Extent {
            blocks: [word(probes), 1, 1],
            threads: [THREADS, 1],
            shared_bytes: MERGE_BYTES,
        };
        for (kernel, extent) in [(choice.kernel, scan), (Kernel::Merge, merge)] {
            self.gpu.launch(&self.stream, kernel, extent, bytes_of(&search))?;
        }
        Ok(())
    }

    /// Brings tallies and results back, and zeroes everything that a search leaves.
    pub(super) fn end(&mut self, places: &Places) -> Driven<()> {
        self.down.down(&self.memory, 0..places.results.end, 0)?;
        self.clear()
    }

    fn clear(&mut self) -> Driven<()> {
        let used = std::mem::take(&mut self.used);
        self.stream.clear(&self.memory, 0..used)?;
        for window in &mut self.windows {
            let used = std::mem::take(&mut window.used);
            if used == 0 {
                continue;
            }
            self.stream.clear(&window.memory, 0..used)?;
            // What comes next must not come before the zeros.
            self.stream.mark(&window.scanned)?;
        }
        Ok(())
    }

    /// What was found for each probe, without subjects, when it is there.
    pub(super) fn answers(
        &self,
        places: &Places,
        set: &TileSet,
        probes: &[Probe<'_>],
    ) -> Driven<Vec<RowHits>> {
        let held = self.down.read(places.results.end)?;
        let tallies = held[places.tallies.clone()].chunks_exact(TALLIES);
        let results = held[places.results.clone()].chunks_exact(CANDIDATES_MAX * KEY);
        let found = probes.iter().zip(tallies).zip(results);
        Ok(found.map(|((probe, tallies), keys)| answer(set, probe, tallies, keys)).collect())
    }

    /// Zeroes what a search left on the host's side, and after one that failed what `end` would
    /// have zeroed.
    pub(super) fn wipe(&mut self, failed: bool) -> Driven<()> {
        if failed {
            self.copies.wait()?;
            self.clear()?;
            self.stream.wait()?;
        }
        self.up.wipe()?;
        self.down.wipe()?;
        self.loader.wipe()
    }
}

/// What the kernels are told of a probe.
fn told(probe: &Probe<'_>, hot_dims: usize) -> Told {
    Told {
        class_bits: probe.class_bits,
        now_s: probe.now_s,
        threshold: probe.threshold.0,
        rest_norm: rest_norm(&probe.template.values()[hot_dims..]),
        best: word(probe.best),
        has_group: u32::from(probe.group.is_some()),
        group: probe.group.unwrap_or(0),
        spare: [0; 3],
    }
}

/// A hit of a key: a word that compares as hits do; zero is none.
fn hit(key: u64) -> Option<RowHit> {
    let (high, low) = ((key >> 32) as u32, key as u32);
    let score = Score((high ^ (1 << 31)).cast_signed());
    (key != 0).then(|| RowHit { row: u64::from(u32::MAX - low), score, subject: [0; 16] })
}

fn answer(set: &TileSet, probe: &Probe<'_>, tallies: &[u8], keys: &[u8]) -> RowHits {
    let tally = |which: usize| u64::from(pod_read_unaligned::<u32>(&tallies[which * 4..][..4]));
    let (ineligible, accepted, rescored) = (tally(0), tally(1), tally(2));
    let rows_total = set.rows();
    let pruned = rows_total.saturating_sub(ineligible + rescored);
    let generation = set.generation;
    let certificate =
        Certificate { generation, rows_total, ineligible, accepted, pruned, rescored };
    let keys = keys.chunks_exact(KEY).map(pod_read_unaligned::<u64>);
    RowHits { hits: keys.map_while(hit).take(probe.best).collect(), certificate }
}
