//! `reference`: the scalar loops of [`crate::ops`], one after the other on the calling thread.
//!
//! What every other backend is compared with, and what is left when no other is at hand. It is a
//! backend of its own, not a mode of another: nothing here is shared with what it judges, except
//! the check of a program and the words of the ops.
//!
//! Invariant: every buffer of a network is allocated when it is loaded; a batch runs item by item
//! through one set of buffers, and only outputs are kept per item. A pinned set is a decoded copy
//! in the process's memory, wiped when dropped. What is not here: speed, and locked memory.

use std::{any::Any, sync::Arc};

use zeroize::{Zeroize, Zeroizing};

use super::{Backend, BackendError, Description, Network, Pinned, Plaintext, Tiles};
use crate::ops::{
    fit::fit,
    item::{Item, ItemMut},
    program::{Feed, Program},
    search::{self, Probe, RowHits},
    step,
    tile::{TileError, TilePart, TileSet, TileSource},
    warp::warp,
};

/// Its name in [`super::FACTORIES`].
pub const NAME: &str = "reference";

/// The backend; it holds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Reference {
    /// Always at hand.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Backend for Reference {
    fn describe(&self) -> Description {
        Description {
            name: NAME,
            device: "host processor".to_owned(),
            detail: "scalar loops, f64 sums".to_owned(),
            threads: 1,
            missing: Vec::new(),
            plaintext: Plaintext::Host,
        }
    }

    fn load(&self, program: &Program, batch_max: usize) -> Result<Box<dyn Network>, BackendError> {
        program.check()?;
        if batch_max == 0 {
            return Err(BackendError::Batch { held: 0, most: batch_max });
        }
        Ok(Box::new(Loaded::new(program.clone(), batch_max)))
    }

    fn pin(&self, source: &Arc<dyn TileSource>) -> Result<Arc<dyn Pinned>, BackendError> {
        Ok(Arc::new(Decoded::open(source.as_ref())?))
    }

    fn search(&self, probes: &[Probe<'_>], tiles: &Tiles) -> Result<Vec<RowHits>, BackendError> {
        match tiles {
            Tiles::Source(source) => Ok(search::scan(probes, source.as_ref())?),
            Tiles::Pinned(set) => {
                let own = (set.as_ref() as &dyn Any).downcast_ref::<Decoded>();
                let generation = set.generation();
                let own = own.ok_or(BackendError::ForeignSet { what: NAME, generation })?;
                Ok(search::scan(probes, own)?)
            }
        }
    }
}

/// A program with its buffers.
struct Loaded {
    program: Program,
    batch_max: usize,
    /// Items of the last run; outputs of others are not to be read.
    batch: usize,
    /// One item's buffers, in the order of the program's.
    buffers: Vec<Vec<f32>>,
    /// Every item's outputs: item by item, in the order of the program's.
    outputs: Vec<Vec<f32>>,
}

impl Loaded {
    fn new(program: Program, batch_max: usize) -> Self {
        let buffers = program.buffers.iter().map(|shape| vec![0.0; shape.len()]).collect();
        let outputs = (0..batch_max)
            .flat_map(|_| &program.outputs)
            .map(|output| vec![0.0; program.shape(output.buffer).len()])
            .collect();
        Self { program, batch_max, batch: 0, buffers, outputs }
    }

    /// Refuses what cannot be fed, before anything is computed.
    fn admit(&self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        if feeds.is_empty() || feeds.len() > self.batch_max {
            return Err(BackendError::Batch { held: feeds.len(), most: self.batch_max });
        }
        let input = self.program.shape(self.program.input);
        for (item, feed) in feeds.iter().enumerate() {
            match feed {
                Feed::Tensor(values) if values.len() != input.len() => {
                    let (held, needed) = (values.len(), input.len());
                    return Err(BackendError::Input { item, needed, held });
                }
                Feed::Fit { .. } | Feed::Warp { .. } if input.c != 3 => {
                    return Err(BackendError::Picture { item, channels: input.c });
                }
                Feed::Fit { .. } | Feed::Tensor(_) | Feed::Warp { .. } => {}
            }
        }
        Ok(())
    }

    fn feed(&mut self, feed: &Feed<'_>) {
        let Program { input, channels, .. } = self.program;
        let shape = self.program.shape(input);
        let buffer = &mut self.buffers[input.0];
        match feed {
            Feed::Fit { frame } => fit(*frame, channels, &mut ItemMut::new(shape, buffer)),
            Feed::Tensor(values) => buffer.copy_from_slice(values),
            Feed::Warp { frame, to_frame } => {
                warp(*frame, to_frame, channels, &mut ItemMut::new(shape, buffer));
            }
        }
    }

    fn run_steps(&mut self) {
        for step in &self.program.steps {
            let mut values = std::mem::take(&mut self.buffers[step.output.0]);
            let item = |id| Item::new(self.program.shape(id), &self.buffers[id.0]);
            let inputs: Vec<Item<'_>> = step.inputs.iter().map(|&id| item(id)).collect();
            let mut out = ItemMut::new(self.program.shape(step.output), &mut values);
            step::execute(&self.program, step, &inputs, &mut out);
            self.buffers[step.output.0] = values;
        }
    }

    fn keep_outputs(&mut self, item: usize) {
        let first = item * self.program.outputs.len();
        for (output, kept) in self.program.outputs.iter().zip(&mut self.outputs[first..]) {
            kept.copy_from_slice(&self.buffers[output.buffer.0]);
        }
    }
}

impl Network for Loaded {
    fn batch_max(&self) -> usize {
        self.batch_max
    }

    fn run(&mut self, feeds: &[Feed<'_>]) -> Result<(), BackendError> {
        self.batch = 0;
        self.admit(feeds)?;
        for (item, feed) in feeds.iter().enumerate() {
            self.feed(feed);
            self.run_steps();
            self.keep_outputs(item);
        }
        self.batch = feeds.len();
        Ok(())
    }

    fn output(&self, index: usize, item: usize) -> &[f32] {
        let outputs = self.program.outputs.len();
        assert!(index < outputs, "this network has {outputs} outputs, not {}", index + 1);
        assert!(item < self.batch, "the last run had {} items, not {}", self.batch, item + 1);
        &self.outputs[item * outputs + index]
    }

    fn wipe(&mut self) {
        for buffer in self.buffers.iter_mut().chain(&mut self.outputs) {
            buffer.as_mut_slice().zeroize();
        }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// A generation, decoded; a source like any other, so that one scan serves both.
struct Decoded {
    set: TileSet,
    /// Hot, cold and row part of each tile.
    tiles: Vec<[Zeroizing<Vec<u8>>; 3]>,
}

/// Order of the parts in [`Decoded::tiles`].
const PARTS: [TilePart; 3] = [TilePart::Hot, TilePart::Cold, TilePart::Rows];

impl Decoded {
    fn open(source: &dyn TileSource) -> Result<Self, TileError> {
        let set = source.set().clone();
        let mut tiles = Vec::with_capacity(set.tiles.len());
        for (number, tile) in set.tiles.iter().enumerate() {
            let mut parts =
                PARTS.map(|part| Zeroizing::new(vec![0; set.layout.part_bytes(part, tile.rows)]));
            for (part, bytes) in PARTS.into_iter().zip(&mut parts) {
                source.open(number, part, bytes)?;
            }
            tiles.push(parts);
        }
        Ok(Self { set, tiles })
    }
}

impl TileSource for Decoded {
    fn set(&self) -> &TileSet {
        &self.set
    }

    fn open(&self, tile: usize, part: TilePart, scratch: &mut [u8]) -> Result<(), TileError> {
        let parts = self.tiles.get(tile).ok_or(TileError::Absent {
            tile,
            generation: self.set.generation,
            tiles: self.tiles.len(),
        })?;
        let bytes = match part {
            TilePart::Hot => &parts[0],
            TilePart::Cold => &parts[1],
            TilePart::Rows => &parts[2],
        };
        if scratch.len() != bytes.len() {
            let (needed, held) = (bytes.len(), scratch.len());
            return Err(TileError::Scratch { tile, part, needed, held });
        }
        scratch.copy_from_slice(bytes);
        Ok(())
    }
}

impl Pinned for Decoded {
    fn generation(&self) -> u64 {
        self.set.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ops::program::{BufferId, ChannelOrder, Op, Output, Shape, Step},
        types::FrameView,
    };

    /// Enlarges one pixel to four; gives both.
    fn program() -> Program {
        let output = |name: &str, buffer| Output { name: name.to_owned(), buffer };
        Program {
            name: "square".to_owned(),
            input: BufferId(0),
            channels: ChannelOrder::Bgr,
            buffers: vec![Shape { h: 1, w: 1, c: 3 }, Shape { h: 2, w: 2, c: 3 }],
            weights: Vec::new(),
            steps: vec![Step {
                op: Op::Upsample { factor: 2 },
                inputs: vec![BufferId(0)],
                output: BufferId(1),
            }],
            outputs: vec![output("large", BufferId(1)), output("small", BufferId(0))],
        }
    }

    #[test]
    fn a_batch_keeps_every_output_of_every_item_until_it_is_wiped() {
        let mut network = Reference::new().load(&program(), 2).expect("a sound program");
        let frame = FrameView::new(&[1, 2, 3], 1, 1).expect("a pixel");
        network.run(&[Feed::Fit { frame }, Feed::Tensor(&[7.0; 3])]).expect("two items");
        assert_eq!(network.output(0, 0), [3.0, 2.0, 1.0].repeat(4));
        assert_eq!(
            (network.output(1, 0), network.output(1, 1)),
            (&[3.0, 2.0, 1.0][..], &[7.0; 3][..])
        );
        network.wipe();
        assert!(network.output(0, 0).iter().chain(network.output(1, 1)).all(|&v| v == 0.0));
    }

    #[test]
    #[should_panic(expected = "the last run had 1 items")]
    fn an_earlier_batch_cannot_be_read() {
        let mut network = Reference::new().load(&program(), 2).expect("a sound program");
        network.run(&[Feed::Tensor(&[1.0; 3]), Feed::Tensor(&[2.0; 3])]).expect("two items");
        network.run(&[Feed::Tensor(&[3.0; 3])]).expect("one item");
        let _ = network.output(0, 1);
    }
}
