//! The buffers of one search at a time; kept from search to search.

use std::sync::Arc;

use ::wgpu::{
    BindGroup, BindingResource, Buffer, BufferBinding, BufferUsages, CommandEncoder,
    ComputePassDescriptor,
};

use super::{load::Loader, slab::Slab};
use crate::backend::{
    BackendError,
    wgpu::{
        device::{Gpu, Program},
        layout::{Hit, Search},
        shaders::{Lists, Shader},
        transfer::{Readback, Staging},
    },
};

/// Tallies per probe: ineligible, accepted, rescored.
pub(super) const TALLIES: usize = 3;
/// Bytes of one tally.
pub(super) const TALLY: usize = size_of::<u32>();

/// Buffers that grow to the largest search.
pub(super) struct Desk {
    gpu: Arc<Gpu>,
    pub(super) loader: Loader,
    pub(super) staging: Staging,
    /// For sources: where windows lie, in turn.
    pub(super) windows: Vec<Arc<Slab>>,
    told: Buffer,
    pieces: Buffer,
    values: Buffer,
    lists: Buffer,
    tallies: Buffer,
    results: Buffer,
    readback: Option<Readback>,
}

/// What a search needs, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needed {
    pub(super) told: u64,
    pub(super) pieces: u64,
    pub(super) values: u64,
    pub(super) lists: u64,
    pub(super) tallies: u64,
    pub(super) results: u64,
}

/// One group of probes over one run of pieces in one slab.
pub(super) struct Pass {
    /// Where its struct, its pieces and its templates begin.
    pub(super) told: u64,
    pub(super) pieces: u64,
    pub(super) pieces_bytes: u64,
    pub(super) values: u64,
    pub(super) values_bytes: u64,
    /// Pieces, and probes of the group.
    pub(super) many: u32,
    pub(super) probes: u32,
}

impl Desk {
    /// Without room for anything.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Result<Self, BackendError> {
        let told = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        Ok(Self {
            gpu: Arc::clone(gpu),
            loader: Loader::new(gpu),
            staging: Staging::new(gpu),
            windows: Vec::new(),
            told: gpu.buffer("probes", 0, told)?,
            pieces: gpu.storage("pieces", 0)?,
            values: gpu.storage("values", 0)?,
            lists: gpu.storage("lists", 0)?,
            tallies: gpu.storage("tallies", 0)?,
            results: gpu.storage("results", 0)?,
            readback: None,
        })
    }

    /// Makes room. What was in smaller buffers was wiped after its search.
    pub(super) fn make_room(&mut self, needed: &Needed) -> Result<(), BackendError> {
        let gpu = &self.gpu;
        let usage = BufferUsages::UNIFORM | BufferUsages::COPY_DST;
        if self.told.size() < needed.told {
            self.told = gpu.buffer("probes", needed.told.next_power_of_two(), usage)?;
        }
        let buffers = [
            (&mut self.pieces, "pieces", needed.pieces),
            (&mut self.values, "values", needed.values),
            (&mut self.lists, "lists", needed.lists),
            (&mut self.tallies, "tallies", needed.tallies),
            (&mut self.results, "results", needed.results),
        ];
        for (buffer, label, bytes) in buffers {
            if buffer.size() < bytes {
                *buffer = gpu.storage(label, bytes.next_power_of_two())?;
            }
        }
        let back = needed.tallies + needed.results;
        if self.readback.as_ref().is_none_or(|readback| readback.bytes() < back) {
            self.readback = Some(Readback::new(gpu, back.next_power_of_two())?);
        }
        Ok(())
    }

    /// Brings up what `staging` holds: structs, pieces, templates, one after the other; begins all
    /// results anew.
    pub(super) fn begin(&self, encoder: &mut CommandEncoder, needed: &Needed) {
        let mut at = 0;
        for (target, bytes) in [
            (&self.told, needed.told),
            (&self.pieces, needed.pieces),
            (&self.values, needed.values),
        ] {
            self.staging.copy(encoder, at, target, 0, bytes);
            at += bytes;
        }
        encoder.clear_buffer(&self.tallies, 0, None);
        encoder.clear_buffer(&self.results, 0, None);
    }

    /// Scans one run of pieces in `slab` for one group, and merges what was found.
    pub(super) fn pass(
        &self,
        encoder: &mut CommandEncoder,
        lists: Lists,
        slab: &Slab,
        pass: &Pass,
    ) {
        let scan = self.gpu.program(Shader::Scan(lists));
        let merge = self.gpu.program(Shader::Merge(lists));
        let bound = [&scan, &merge].map(|program| self.bind(program, slab, pass));
        let mut commands = encoder.begin_compute_pass(&ComputePassDescriptor::default());
        for ((program, bound), groups) in
            [&scan, &merge].into_iter().zip(&bound).zip([pass.many, pass.probes])
        {
            commands.set_pipeline(&program.pipeline);
            commands.set_bind_group(0, bound, &[]);
            commands.dispatch_workgroups(groups, 1, 1);
        }
    }

    fn bind(&self, program: &Program, slab: &Slab, pass: &Pass) -> BindGroup {
        let slice = |buffer, offset, bytes| {
            let size = std::num::NonZeroU64::new(bytes);
            BindingResource::Buffer(BufferBinding { buffer, offset, size })
        };
        let resources = [
            slice(&self.told, pass.told, size_of::<Search>() as u64),
            slab.held.hot.as_entire_binding(),
            slab.held.cold.as_entire_binding(),
            slab.held.facts.as_entire_binding(),
            slice(&self.pieces, pass.pieces, pass.pieces_bytes),
            slice(&self.values, pass.values, pass.values_bytes),
            self.lists.as_entire_binding(),
            self.tallies.as_entire_binding(),
            self.results.as_entire_binding(),
        ];
        self.gpu.bind(program, &resources)
    }

    /// Brings back tallies and results, and zeroes templates and everything that was made of them.
    pub(super) fn end(&self, encoder: &mut CommandEncoder, needed: &Needed) {
        let readback = self.readback.as_ref().expect("there is room for the results");
        readback.copy(encoder, &self.tallies, 0, 0, needed.tallies);
        readback.copy(encoder, &self.results, 0, needed.tallies, needed.results);
        self.clear(encoder);
    }

    fn clear(&self, encoder: &mut CommandEncoder) {
        for buffer in [&self.values, &self.lists, &self.tallies, &self.results] {
            encoder.clear_buffer(buffer, 0, None);
        }
        for slab in &self.windows {
            slab.held.clear(encoder, slab.shape, &(0..slab.held.slots));
        }
    }

    /// Reads what came back.
    pub(super) fn read<T>(
        &self,
        needed: &Needed,
        submission: &::wgpu::SubmissionIndex,
        read: impl FnOnce(&[u8], &[u8]) -> T,
    ) -> Result<T, BackendError> {
        let readback = self.readback.as_ref().expect("there is room for the results");
        let bytes = needed.tallies + needed.results;
        readback.read(bytes, submission, |bytes| {
            let (tallies, results) = bytes.split_at(needed.tallies as usize);
            read(tallies, results)
        })
    }

    /// Zeroes all that a search left, the scores and rows that came back among it: after one that
    /// failed also what `end` would have zeroed.
    pub(super) fn wipe(&mut self, failed: bool) -> Result<(), BackendError> {
        let mut encoder = self.gpu.encoder();
        if failed {
            self.clear(&mut encoder);
        }
        if let Some(readback) = &self.readback {
            readback.wipe(&mut encoder);
        }
        let submission = self.gpu.submit(encoder);
        self.gpu.wait(&submission)?;
        self.staging.wipe()?;
        self.loader.wipe()
    }
}

/// Bytes of one list.
pub(super) fn list_bytes(lists: Lists) -> usize {
    lists.entries() * size_of::<Hit>()
}
