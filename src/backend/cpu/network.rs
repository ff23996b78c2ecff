//! A program with its memory, run stage by stage by all threads together.

use std::sync::{Arc, Mutex, PoisonError};

use super::{
    barrier::Barrier,
    chain::{Scratch, walk},
    curve::Sigmoid,
    dense::Dense,
    image::FeedRows,
    memory::{self, Lines, Place, Store},
    plan::{Plan, Stage},
    pool::Pool,
    rows::OutRows,
    siblings::View,
    vector::Simd,
};
use crate::{
    backend::{BackendError, Network},
    ops::program::{ChannelOrder, Feed, Program, Shape},
};

/// A loaded network.
pub(super) struct Loaded<S> {
    simd: S,
    plan: Plan,
    pool: Arc<Pool>,
    store: Store,
    scratch: Vec<Mutex<Scratch>>,
    /// Every item's outputs, item by item.
    results: Vec<Vec<f32>>,
    input: Shape,
    channels: ChannelOrder,
    batch_max: usize,
    /// Items of the last run.
    batch: usize,
}

impl<S: Simd> Loaded<S> {
    /// Allocates everything that `plan` needs for `batch_max` items.
    pub(super) fn new(
        simd: S,
        program: &Program,
        plan: Plan,
        pool: Arc<Pool>,
        batch_max: usize,
    ) -> Self {
        let threads = pool.threads();
        let scratch = || Scratch {
            rings: plan.ring_lens.iter().map(|&len| Lines::zeros(len)).collect(),
            packed: Lines::zeros(plan.packed_len),
            zeros: Lines::zeros(plan.row_len),
        };
        let outputs = (0..batch_max).flat_map(|_| &program.outputs);
        Self {
            simd,
            store: Store::new(&plan.slot_lens, batch_max, threads),
            scratch: (0..threads).map(|_| Mutex::new(scratch())).collect(),
            results: outputs.map(|one| vec![0.0; program.shape(one.buffer).len()]).collect(),
            plan,
            pool,
            input: program.shape(program.input),
            channels: program.channels,
            batch_max,
            batch: 0,
        }
    }

    /// Refuses what cannot be fed, before anything is computed.
    fn admit(&self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        if feeds.is_empty() || feeds.len() > self.batch_max {
            return Err(BackendError::Batch { held: feeds.len(), most: self.batch_max });
        }
        for (item, feed) in feeds.iter().enumerate() {
            match feed {
                Feed::Tensor(values) if values.len() != self.input.len() => {
                    let (held, needed) = (values.len(), self.input.len());
                    return Err(BackendError::Input { item, needed, held });
                }
                Feed::Fit { .. } | Feed::Warp { .. } if self.input.c != 3 => {
                    return Err(BackendError::Picture { item, channels: self.input.c });
                }
                Feed::Fit { .. } | Feed::Tensor(_) | Feed::Warp { .. } => {}
            }
        }
        Ok(())
    }

    /// One thread's way through all stages.
    fn run_thread(&self, thread: usize, feeds: &[Feed<'_>], barrier: &Barrier) {
        let _hold = barrier.hold();
        let mut scratch = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = &self.plan.input {
            let chunks = place.layout.chunks();
            barrier.tasks(thread, feeds.len() * chunks, |task| {
                self.feed(place, &feeds[task / chunks], task / chunks, task % chunks);
            });
        }
        for stage in &self.plan.stages {
            if !barrier.wait() {
                return;
            }
            self.stage(stage, thread, feeds, barrier, &mut scratch);
        }
    }

    fn feed(&self, place: &Place, feed: &Feed<'_>, item: usize, chunk: usize) {
        let layout = &place.layout;
        let y = chunk * layout.chunk_rows;
        let rows = layout.chunk_rows.min(layout.shape.h - y);
        let mut lines = self.store.write(place, item, chunk);
        let values = &mut lines.values_mut()[..rows * layout.pitch];
        layout.pad(values);
        let out = OutRows { values, layout };
        self.simd.call(FeedRows { feed, channels: self.channels, y, out });
    }

    fn stage(
        &self,
        stage: &Stage,
        thread: usize,
        feeds: &[Feed<'_>],
        barrier: &Barrier,
        scratch: &mut Scratch,
    ) {
        let items = feeds.len();
        match stage {
            Stage::Chain(chain) => {
                let layout = &chain.output.layout;
                let bands = self.bands(items, layout.chunks());
                barrier.tasks(thread, items * bands, |task| {
                    let (item, band) = (task / bands, task % bands);
                    let rows = if bands == 1 {
                        (0, layout.shape.h)
                    } else {
                        let from = band * layout.chunk_rows;
                        (from, (from + layout.chunk_rows).min(layout.shape.h))
                    };
                    let item = (item, &feeds[item]);
                    walk(self.simd, chain, &self.store, item, rows, scratch);
                });
            }
            Stage::Dense { dense, input, sums, output } => {
                self.dense_sums(dense, [input, sums], thread, items, barrier, scratch);
                if barrier.wait() {
                    barrier
                        .tasks(thread, items, |item| self.dense_finish(dense, sums, output, item));
                }
            }
            Stage::Average { input, output } => {
                barrier.tasks(thread, items, |item| self.average(input, output, item));
            }
            Stage::Concat { inputs, output } => {
                barrier.tasks(thread, items, |item| self.concat(inputs, output, item));
            }
        }
    }

    /// Bands that each item is divided into: none when the items themselves keep all threads busy.
    fn bands(&self, items: usize, chunks: usize) -> usize {
        let threads = self.pool.threads();
        if items.is_multiple_of(threads) || items >= 4 * threads { 1 } else { chunks }
    }

    fn dense_sums(
        &self,
        dense: &Dense,
        [input, sums]: [&Place; 2],
        thread: usize,
        items: usize,
        barrier: &Barrier,
        scratch: &mut Scratch,
    ) {
        let layout = &sums.layout;
        let mut gathered = false;
        barrier.tasks(thread, layout.chunks(), |chunk| {
            let packed = scratch.packed.values_mut();
            if !gathered {
                for item in 0..items {
                    dense.gather::<S>(item, items, &self.store.read(input, item), packed);
                }
                gathered = true;
            }
            let width = dense.panel_width();
            let first = chunk * layout.chunk_rows;
            for row in 0..layout.chunk_rows.min(layout.shape.h - first) {
                let tile = &mut scratch.rings[0].values_mut()[..items * width];
                dense.sums(self.simd, first + row, items, packed, tile);
                for (item, tile) in tile.chunks_exact(width).enumerate() {
                    let mut lines = self.store.write(sums, item, chunk);
                    lines.values_mut()[row * layout.pitch..][..width].copy_from_slice(tile);
                }
            }
        });
    }

    fn dense_finish(&self, dense: &Dense, sums: &Place, output: &Place, item: usize) {
        let sums = self.store.read(sums, item);
        let layout = &output.layout;
        let mut lines = self.store.write(output, item, 0);
        let values = &mut lines.values_mut()[..layout.pitch];
        layout.pad(values);
        dense.finish(self.simd, &sums, &mut values[layout.start()..layout.end()]);
    }

    fn average(&self, input: &Place, output: &Place, item: usize) {
        let input = self.store.read(input, item);
        let from = *input.layout();
        let mut lines = self.store.write(output, item, 0);
        let values = &mut lines.values_mut()[..output.layout.pitch];
        values.fill(0.0);
        let means = &mut values[output.layout.start()..output.layout.end()];
        for y in 0..from.shape.h {
            let row = &input.row(y)[from.start()..from.end()];
            for pixel in row.chunks_exact(from.shape.c) {
                for (mean, value) in means.iter_mut().zip(pixel) {
                    *mean += value;
                }
            }
        }
        let positions = (from.shape.h * from.shape.w) as f32;
        for mean in means {
            *mean /= positions;
        }
    }

    fn concat(&self, inputs: &[Place], output: &Place, item: usize) {
        let layout = &output.layout;
        let mut start = 0;
        for input in inputs {
            let input = self.store.read(input, item);
            let from = *input.layout();
            for y in 0..from.shape.h {
                let mut lines = self.store.write(output, item, y / layout.chunk_rows);
                let row = &mut lines.values_mut()[y % layout.chunk_rows * layout.pitch..];
                let row = &mut row[..layout.pitch];
                if start == 0 {
                    layout.pad(row);
                }
                let to = row[layout.start()..layout.end()].chunks_exact_mut(layout.shape.c);
                let pixels = input.row(y)[from.start()..from.end()].chunks_exact(from.shape.c);
                for (to, pixel) in to.zip(pixels) {
                    to[start..start + pixel.len()].copy_from_slice(pixel);
                }
            }
            start += from.shape.c;
        }
    }
}

impl<S: Simd> Network for Loaded<S> {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        self.batch = 0;
        self.admit(feeds)?;
        let barrier = Barrier::new(self.pool.threads());
        self.pool.each(|thread| self.run_thread(thread, feeds, &barrier));
        for item in 0..feeds.len() {
            let first = item * self.plan.outputs.len();
            for (answer, result) in self.plan.outputs.iter().zip(&mut self.results[first..]) {
                let View { first, channels, sigmoid, .. } = answer.view;
                self.store.read(&answer.place, item).copy_to(first, channels, result);
                if sigmoid {
                    self.simd.call(Sigmoid(result));
                }
            }
        }
        self.batch = feeds.len();
        Ok(())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        let outputs = self.plan.outputs.len();
        assert!(index < outputs, "this network has {outputs} outputs, not {}", index + 1);
        assert!(item < self.batch, "the last run had {} items, not {}", self.batch, item + 1);
        &self.results[item * outputs + index]
    }

    fn wipe(&mut self) {
        let threads = self.pool.threads();
        self.pool.each(|thread| self.store.wipe(thread, threads));
        for scratch in &mut self.scratch {
            let scratch = scratch.get_mut().unwrap_or_else(PoisonError::into_inner);
            scratch.rings.iter_mut().for_each(Lines::wipe);
            scratch.packed.wipe();
        }
        for result in &mut self.results {
            memory::wipe(result);
        }
    }
}

impl<S> Drop for Loaded<S> {
    fn drop(&mut self) {
        for result in &mut self.results {
            memory::wipe(result);
        }
    }
}
