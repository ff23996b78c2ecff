//! Times as the device takes them, for measurements: between two marks of a stream, without what
//! the host does before and after.

use super::{
    Cuda,
    driver::{Driven, Event, launch::Stream, memory::Memory},
    network::Loaded,
};
use crate::{
    backend::{BackendError, Tiles},
    ops::{
        program::{Feed, Program},
        search::Probe,
    },
};

/// Copies of a network that are timed in turn.
const NETWORKS: usize = 2;

/// Milliseconds that `work` takes in `stream`.
pub(super) fn between(
    stream: &Stream,
    [begin, end]: &[Event; 2],
    work: impl FnOnce() -> Result<(), BackendError>,
) -> Result<f32, BackendError> {
    stream.mark(begin)?;
    work()?;
    stream.mark(end)?;
    end.wait()?;
    Ok(begin.milliseconds_to(end)?)
}

impl Cuda {
    fn marks(&self) -> Driven<[Event; 2]> {
        Ok([Event::timed(&self.gpu.context)?, Event::timed(&self.gpu.context)?])
    }

    /// Milliseconds of `rounds` copies of `bytes` bytes within the device; each reads and writes as
    /// many. What any kernel that is bound by memory is held against.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn copies_ms(&self, bytes: usize, rounds: usize) -> Result<Vec<f32>, BackendError> {
        self.gpu.guard(|| {
            let (from, to) = (
                Memory::zeroed(&self.gpu.context, bytes)?,
                Memory::zeroed(&self.gpu.context, bytes)?,
            );
            let (stream, marks) = (self.gpu.stream()?, self.marks()?);
            let once = || Ok(stream.copy((&from, 0), (&to, 0), bytes)?);
            (0..rounds).map(|_| between(&stream, &marks, once)).collect()
        })
    }

    /// Milliseconds of `rounds` scans with their merges, over the resident `sets` in turn, so that
    /// no cache keeps one: without copies, and without the host, since the device goes through the
    /// set before meanwhile.
    ///
    /// # Errors
    /// [`BackendError`]; [`BackendError::ForeignSet`] for what is not resident here.
    pub fn scans_ms(
        &self,
        probes: &[Probe<'_>],
        sets: &[Tiles],
        rounds: usize,
    ) -> Result<Vec<f32>, BackendError> {
        let marks = self.gpu.guard(|| Ok(self.marks()?))?;
        let set = |round: usize| &sets[round % sets.len()];
        (0..rounds)
            .map(|round| self.searcher.scan_ms(probes, [set(round), set(round + 1)], &marks))
            .collect()
    }

    /// Milliseconds of `rounds` runs of `program` over a batch of tensors: without feeds and
    /// results, and without the host. Copies of the network, each with weights and buffers of its
    /// own, run in turn, so that no cache keeps them.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn batches_ms(
        &self,
        program: &Program,
        inputs: &[Vec<f32>],
        rounds: usize,
    ) -> Result<Vec<f32>, BackendError> {
        program.check()?;
        self.gpu.guard(|| {
            let feeds: Vec<Feed<'_>> = inputs.iter().map(|input| Feed::Tensor(input)).collect();
            let marks = self.marks()?;
            let mut networks = Vec::with_capacity(NETWORKS);
            for _ in 0..NETWORKS {
                let mut network = Loaded::new(&self.gpu, program, inputs.len())?;
                network.prepare(&feeds)?;
                networks.push(network);
            }
            (0..rounds)
                .map(|round| networks[round % NETWORKS].replay_ms(feeds.len(), &marks))
                .collect()
        })
    }

    /// Registers of a thread of every kernel, and bytes that it spills, as the driver has them.
    ///
    /// # Errors
    /// [`BackendError`].
    pub fn resources(&self) -> Result<Vec<(&'static str, i32, i32)>, BackendError> {
        self.gpu.guard(|| {
            let all = super::kernels::Kernel::all().into_iter();
            all.map(|kernel| {
                let held = self.gpu.function(kernel)?.resources()?;
                Ok((kernel.entry(), held.registers, held.local_bytes))
            })
            .collect()
        })
    }
}
