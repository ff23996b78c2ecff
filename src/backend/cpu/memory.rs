//! Where activations lie: aligned lines, rows with room for padding, and chunks of rows that
//! threads read and write without sharing.
//!
//! A buffer of one item is `h` rows; a row is `left` zero pixels, `w` pixels, and zeros up to
//! `pitch`, so that a window that hangs over the side reads zeros and needs no test. Rows are
//! grouped into chunks of `chunk_rows`, one per thread at most, and each chunk has its own lock: a
//! thread locks the chunks that its task writes, and shares those that it reads, once per task.
//! Locks are never contended (stages are separated by a barrier); they are how the borrow rules are
//! kept without `unsafe`.
//!
//! Buffers whose lives do not overlap share a slot; `plan.rs` decides. All memory is allocated when
//! the network is loaded, and zeroed by [`Store::wipe`] and on drop.

use std::{
    array,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytemuck::{Pod, Zeroable};
use zeroize::optimization_barrier;

use crate::{limits::ENGINE_THREADS_MAX, ops::program::Shape};

/// Values in a cache line; every row begins on one.
pub(super) const LINE: usize = 16;

/// A cache line of values.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Values on whole cache lines; zeroed when dropped.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<Line>,
    /// Whether anybody has had them to write since they were last zeros: a network loaded for many
    /// items and run with one then wipes what that one left, not the memory of all.
    touched: bool,
}

impl Lines {
    /// At least `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        Self { lines: vec![Line([0.0; LINE]); len.div_ceil(LINE)], touched: false }
    }

    /// The values.
    pub(super) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.lines)
    }

    /// The values, to write.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        self.touched = true;
        bytemuck::cast_slice_mut(&mut self.lines)
    }

    /// Zeroes every value; the optimiser may not remove it.
    pub(super) fn wipe(&mut self) {
        if self.touched {
            wipe(self.values_mut());
            self.touched = false;
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// Zeroes `values` with wide stores (value by value, as `Zeroize` does it for slices, a wipe takes
/// as long as a network); the barrier keeps the optimiser from dropping them as dead.
pub(super) fn wipe(values: &mut [f32]) {
    values.fill(0.0);
    optimization_barrier(values);
}

/// How a buffer of one item lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Rows, pixels, channels.
    pub(super) shape: Shape,
    /// Zero pixels before the first of a row.
    pub(super) left: usize,
    /// Values from one row to the next.
    pub(super) pitch: usize,
    /// Rows in a chunk.
    pub(super) chunk_rows: usize,
}

impl Layout {
    /// `shape` with `left` and `right` zero pixels, in at most `chunks` chunks.
    pub(super) fn new(shape: Shape, left: usize, right: usize, chunks: usize) -> Self {
        let pitch = ((left + shape.w + right) * shape.c).next_multiple_of(LINE);
        Self { shape, left, pitch, chunk_rows: shape.h.div_ceil(chunks).max(1) }
    }

    /// Chunks that hold at least one row.
    pub(super) fn chunks(&self) -> usize {
        self.shape.h.div_ceil(self.chunk_rows)
    }

    /// Where the first pixel of a row lies in it.
    pub(super) fn start(&self) -> usize {
        self.left * self.shape.c
    }

    /// Where the zeros after the last pixel begin.
    pub(super) fn end(&self) -> usize {
        (self.left + self.shape.w) * self.shape.c
    }

    /// Writes the zeros on both sides of each of the rows in `rows`.
    pub(super) fn pad(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.pitch) {
            row[..self.start()].fill(0.0);
            row[self.end()..].fill(0.0);
        }
    }
}

/// All buffers between stages: `slots × items × chunks`.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Vec<RwLock<Lines>>>,
    chunks: usize,
}

/// Names one buffer of one item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Slot of the buffer.
    pub(super) slot: usize,
    /// How it lies there.
    pub(super) layout: Layout,
}

impl Store {
    /// Room for `items` items of every slot; `chunk_lens` are the largest chunks of the slots.
    pub(super) fn new(chunk_lens: &[usize], items: usize, chunks: usize) -> Self {
        let slot = |&len: &usize| (0..items * chunks).map(move |_| RwLock::new(Lines::zeros(len)));
        Self { slots: chunk_lens.iter().map(|len| slot(len).collect()).collect(), chunks }
    }

    /// Shares every chunk of a buffer.
    pub(super) fn read(&self, place: &Place, item: usize) -> ReadRows<'_> {
        let chunks = &self.slots[place.slot][item * self.chunks..][..place.layout.chunks()];
        let guard = |chunk: usize| {
            let lock = chunks.get(chunk)?;
            Some(lock.read().unwrap_or_else(PoisonError::into_inner))
        };
        ReadRows { guards: array::from_fn(guard), layout: place.layout }
    }

    /// Takes chunk `chunk` of a buffer to write.
    pub(super) fn write(
        &self,
        place: &Place,
        item: usize,
        chunk: usize,
    ) -> RwLockWriteGuard<'_, Lines> {
        let lock = &self.slots[place.slot][item * self.chunks + chunk];
        lock.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Zeroes the share of `thread` among `threads`, mostly what it wrote itself; all of them
    /// together zero everything.
    pub(super) fn wipe(&self, thread: usize, threads: usize) {
        for lock in self.slots.iter().flatten().skip(thread).step_by(threads) {
            lock.write().unwrap_or_else(PoisonError::into_inner).wipe();
        }
    }
}

/// A buffer of one item, shared.
#[derive(Debug)]
pub(super) struct ReadRows<'a> {
    guards: [Option<RwLockReadGuard<'a, Lines>>; ENGINE_THREADS_MAX],
    layout: Layout,
}

impl ReadRows<'_> {
    /// Row `y`, with its padding.
    pub(super) fn row(&self, y: usize) -> &[f32] {
        &self.rows(y)[..self.layout.pitch]
    }

    /// Row `y` and the rows after it in its chunk.
    pub(super) fn rows(&self, y: usize) -> &[f32] {
        let guard = self.guards[y / self.layout.chunk_rows].as_ref();
        let lines = guard.expect("a row below the height lies in a chunk");
        &lines.values()[y % self.layout.chunk_rows * self.layout.pitch..]
    }

    /// How it lies.
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes `channels` channels of every pixel, from channel `first` on, to `to`.
    pub(super) fn copy_to(&self, first: usize, channels: usize, to: &mut [f32]) {
        let Layout { shape, .. } = self.layout;
        for (y, to) in to.chunks_exact_mut(shape.w * channels).take(shape.h).enumerate() {
            let row = &self.row(y)[self.layout.start()..self.layout.end()];
            if channels == shape.c {
                to.copy_from_slice(row);
                continue;
            }
            for (to, pixel) in to.chunks_exact_mut(channels).zip(row.chunks_exact(shape.c)) {
                // A handful of values: a loop is quicker than a call to copy memory.
                for (to, value) in to.iter_mut().zip(&pixel[first..]) {
                    *to = *value;
                }
            }
        }
    }
}
