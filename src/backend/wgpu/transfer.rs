//! Memory that host and device both reach: what goes up, and what comes back.
//!
//! Invariant: nothing that was part of a face, and no template, stays in it. What was written is
//! overwritten with zeros by [`Staging::wipe`], and when it is dropped; what came back is copied
//! out and overwritten on the device by its owner. The driver stack's own staging is never used for
//! such values, since nobody could wipe it.

use std::sync::{Arc, Mutex, mpsc};

use ::wgpu::{
    Buffer, BufferAsyncError, BufferUsages, BufferViewMut, CommandEncoder, MapMode, SubmissionIndex,
};

use super::device::Gpu;
use crate::backend::{BackendError, gpu::locked};

/// Memory that the host writes and the device copies from.
pub(super) struct Staging {
    gpu: Arc<Gpu>,
    buffer: Option<Buffer>,
    /// Bytes from the beginning that may hold something.
    used: u64,
    /// The last commands that read it.
    busy: Mutex<Option<SubmissionIndex>>,
}

/// Copies between buffers are counted in words.
const WORD: u64 = 4;

impl Staging {
    /// Nothing yet.
    pub(super) fn new(gpu: &Arc<Gpu>) -> Self {
        Self { gpu: Arc::clone(gpu), buffer: None, used: 0, busy: Mutex::default() }
    }

    /// Writes `bytes` bytes through `fill`, when the device has read what was there before. It
    /// grows to the largest that was asked for.
    pub(super) fn write<T>(
        &mut self,
        bytes: u64,
        fill: impl FnOnce(&mut BufferViewMut) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let bytes = bytes.max(WORD).next_multiple_of(WORD);
        if self.buffer.as_ref().is_none_or(|held| held.size() < bytes) {
            self.wipe()?;
            let room = bytes.next_power_of_two().min(self.gpu.limits.max_buffer_size).max(bytes);
            let usage = BufferUsages::MAP_WRITE | BufferUsages::COPY_SRC;
            self.buffer = Some(self.gpu.buffer("staging", room, usage)?);
        }
        self.used = self.used.max(bytes);
        self.mapped(bytes, fill)
    }

    fn mapped<T>(
        &self,
        bytes: u64,
        fill: impl FnOnce(&mut BufferViewMut) -> Result<T, BackendError>,
    ) -> Result<T, BackendError> {
        let buffer = self.buffer.as_ref().expect("there is one before anything is written");
        if let Some(submission) = locked(&self.busy).take() {
            self.gpu.wait(&submission)?;
        }
        map(&self.gpu, buffer, MapMode::Write, bytes, None)?;
        let view = buffer.slice(..bytes).get_mapped_range_mut();
        let mut view = view.map_err(|error| self.gpu.loss(&error.to_string()))?;
        let filled = fill(&mut view);
        drop(view);
        buffer.unmap();
        filled
    }

    /// Copies what was written at `from` to `to` in `target`.
    pub(super) fn copy(
        &self,
        encoder: &mut CommandEncoder,
        from: u64,
        target: &Buffer,
        to: u64,
        bytes: u64,
    ) {
        if bytes == 0 {
            return;
        }
        let buffer = self.buffer.as_ref().expect("it was written before it is copied");
        encoder.copy_buffer_to_buffer(buffer, from, target, to, bytes.next_multiple_of(WORD));
    }

    /// Notes the commands that copy from it.
    pub(super) fn submitted(&self, submission: &SubmissionIndex) {
        *locked(&self.busy) = Some(submission.clone());
    }

    /// Overwrites with zeros what may hold something.
    pub(super) fn wipe(&mut self) -> Result<(), BackendError> {
        if self.used > 0 {
            self.mapped(self.used, |view| {
                view.slice(..).fill(0);
                Ok(())
            })?;
            self.used = 0;
        }
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // A lost device has no memory left to be wiped.
        let gpu = Arc::clone(&self.gpu);
        let _ = gpu.guard(|| self.wipe());
    }
}

/// Memory that the device copies results to and the host reads.
pub(super) struct Readback {
    gpu: Arc<Gpu>,
    buffer: Buffer,
}

impl Readback {
    /// Room for `bytes` bytes.
    pub(super) fn new(gpu: &Arc<Gpu>, bytes: u64) -> Result<Self, BackendError> {
        let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
        Ok(Self { gpu: Arc::clone(gpu), buffer: gpu.buffer("readback", bytes, usage)? })
    }

    /// How much it holds.
    pub(super) fn bytes(&self) -> u64 {
        self.buffer.size()
    }

    /// Copies `bytes` bytes of `source` from `from` to `to`.
    pub(super) fn copy(
        &self,
        encoder: &mut CommandEncoder,
        source: &Buffer,
        from: u64,
        to: u64,
        bytes: u64,
    ) {
        encoder.copy_buffer_to_buffer(source, from, &self.buffer, to, bytes);
    }

    /// Reads the first `bytes` bytes when `submission` is done.
    pub(super) fn read<T>(
        &self,
        bytes: u64,
        submission: &SubmissionIndex,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, BackendError> {
        let bytes = bytes.max(WORD).next_multiple_of(WORD);
        map(&self.gpu, &self.buffer, MapMode::Read, bytes, Some(submission))?;
        let view = self.buffer.slice(..bytes).get_mapped_range();
        let view = view.map_err(|error| self.gpu.loss(&error.to_string()))?;
        let value = read(&view);
        drop(view);
        self.buffer.unmap();
        Ok(value)
    }

    /// Overwrites it with zeros, as the last of `encoder`'s commands that touch it.
    pub(super) fn wipe(&self, encoder: &mut CommandEncoder) {
        encoder.clear_buffer(&self.buffer, 0, None);
    }
}

/// Maps the first `bytes` bytes and waits for it.
fn map(
    gpu: &Gpu,
    buffer: &Buffer,
    mode: MapMode,
    bytes: u64,
    after: Option<&SubmissionIndex>,
) -> Result<(), BackendError> {
    let (told, tell) = mpsc::channel();
    buffer.slice(..bytes).map_async(mode, move |mapped: Result<(), BufferAsyncError>| {
        // Nobody waits any more when the device was lost meanwhile.
        let _ = told.send(mapped);
    });
    match after {
        Some(submission) => gpu.wait(submission)?,
        None => gpu.look()?,
    }
    // Memory that no command uses maps at once; the word of it may still be under way.
    for _ in 0..MAP_POLLS_MAX {
        match tell.try_recv() {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => return Err(gpu.loss(&format!("its memory does not map: {error}"))),
            Err(mpsc::TryRecvError::Empty) => gpu.drain()?,
            Err(mpsc::TryRecvError::Disconnected) => break,
        }
    }
    Err(gpu.loss("its memory does not map"))
}

/// Waits for the word that memory is mapped, each for everything that was submitted.
const MAP_POLLS_MAX: usize = 3;
