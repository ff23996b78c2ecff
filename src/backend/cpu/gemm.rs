//! Matrix products with weights packed once: the register block, and the packing of both sides.
//!
//! A block is up to `S::ROWS` output pixels times one panel of up to 2 · `S::LANES` output
//! channels, held in registers over the whole depth; bias, residual and activation are applied
//! before the only store. Weights lie panel by panel, `[depth][panel width]`, so that a block reads
//! them in sequence. Pixels are read in place where the distance between two is one of
//! [`DIRECT_PITCHES`] (then all addresses of a block are constants beside one base), and otherwise
//! copied, run by run, into blocks of `[depth / 128][rows][128]`: no im2col of a whole layer exists
//! at any time.
//!
//! faer's product is measured against this by `portcullis-bench products`: bare it is a little
//! closer to the peak in middle sizes, but a network would have to copy the left side in and leave
//! bias and activation to another pass, and then it is slower (docs/notes/cpu-networks.md).

use super::{
    curve::{bent, padded},
    memory::{Layout, Lines},
    vector::{Kernel, Pixels, Simd},
};

/// Depth of a packed block; its pixels lie this far apart.
pub(super) const PACKED_PITCH: usize = 128;
/// Distances between pixels that a block reads in place.
pub(super) const DIRECT_PITCHES: [usize; 6] = [3, 6, 16, 32, 64, PACKED_PITCH];
/// Most rows of any instruction set's block.
pub(super) const ROWS_MAX: usize = 14;
/// Most rows of a kernel that is read in place.
pub(super) const PIECES_MAX: usize = 16;

/// A panel of output channels: one or two registers wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panel {
    /// First channel.
    pub(super) start: usize,
    /// Registers.
    pub(super) registers: usize,
    /// Channels that exist, at most `registers` · lanes.
    pub(super) channels: usize,
}

/// Divides `channels` into panels for registers of `lanes`.
pub(super) fn panels(channels: usize, lanes: usize) -> Vec<Panel> {
    let mut panels = Vec::new();
    let mut start = 0;
    while start < channels {
        let registers = if channels - start > lanes { 2 } else { 1 };
        let here = (channels - start).min(registers * lanes);
        panels.push(Panel { start, registers, channels: here });
        start += registers * lanes;
    }
    panels
}

/// `weights[depth][channels]`, panel by panel; missing channels are zero. The panel that starts at
/// channel `s` begins at `s · depth`.
pub(super) fn packed_weights(weights: &[f32], channels: usize, lanes: usize) -> Lines {
    let depth = weights.len() / channels;
    let mut lines = Lines::zeros(depth * channels.next_multiple_of(lanes));
    for panel in panels(channels, lanes) {
        let width = panel.registers * lanes;
        let to = &mut lines.values_mut()[panel.start * depth..][..depth * width];
        for (to, from) in to.chunks_exact_mut(width).zip(weights.chunks_exact(channels)) {
            to[..panel.channels].copy_from_slice(&from[panel.start..][..panel.channels]);
        }
    }
    lines
}

/// One value per output channel, with zeros for the missing ones.
pub(super) fn packed_channels(values: &[f32], lanes: usize) -> Lines {
    padded(values, lanes)
}

/// Where pixel after pixel of a strip lies in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    at: usize,
    left: usize,
    width: usize,
    channels: usize,
    jump: usize,
}

impl Cursor {
    /// From pixel `first` of a strip that lies as `layout` says, at channel `channel`.
    pub(super) fn new(layout: &Layout, first: usize, channel: usize) -> Self {
        let (width, channels) = (layout.shape.w, layout.shape.c);
        let (row, x) = (first / width, first % width);
        Self {
            at: row * layout.pitch + layout.start() + x * channels + channel,
            left: width - x,
            width,
            channels,
            jump: layout.pitch - width * channels,
        }
    }

    /// Passes `count` pixels, which do not reach beyond their row.
    #[inline(always)]
    fn skip(&mut self, count: usize) {
        self.at += count * self.channels;
        self.left -= count;
        if self.left == 0 {
            self.at += self.jump;
            self.left = self.width;
        }
    }

    #[inline(always)]
    fn next(&mut self) -> usize {
        let at = self.at;
        self.at += self.channels;
        self.left -= 1;
        if self.left == 0 {
            self.at += self.jump;
            self.left = self.width;
        }
        at
    }
}

/// What some register blocks of equal size compute, and where it goes.
pub(super) struct Blocks<'a> {
    /// Left side, from the first block on; the others follow.
    pub(super) pixels: Pixels<'a>,
    /// Blocks.
    pub(super) count: usize,
    /// The panel's weights.
    pub(super) weights: &'a [f32],
    /// The panel's biases.
    pub(super) bias: &'a [f32],
    /// The panel's slopes.
    pub(super) slopes: Option<&'a [f32]>,
    /// Added before the activation.
    pub(super) residual: Option<(&'a [f32], Cursor)>,
    /// Output.
    pub(super) out: &'a mut [f32],
    /// Where in `out`.
    pub(super) cursor: Cursor,
    /// Channels to write.
    pub(super) channels: usize,
}

/// Blocks whose size is known when they are compiled.
struct Sized<'a, const ROWS: usize, const COLUMNS: usize, const PITCH: usize>(Blocks<'a>);

impl<const ROWS: usize, const COLUMNS: usize, const PITCH: usize> Kernel
    for Sized<'_, ROWS, COLUMNS, PITCH>
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut work = self.0;
        for number in 0..work.count {
            let pixels = match work.pixels {
                Pixels::Direct { rows, from, depth } => {
                    Pixels::Direct { rows, from: from + number * ROWS * PITCH, depth }
                }
                Pixels::Packed { block, depth } => {
                    let len = packed_len(ROWS, depth);
                    Pixels::Packed { block: &block[number * len..][..len], depth }
                }
            };
            let sums = simd.fma_block::<ROWS, COLUMNS, PITCH>(pixels, work.weights);
            work.finish(simd, sums);
        }
    }
}

impl Blocks<'_> {
    /// Bias, residual, activation, and the only store.
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        sums: [[S::V; COLUMNS]; ROWS],
    ) {
        let whole = self.channels == COLUMNS * S::LANES;
        if whole && self.residual.is_none() && self.cursor.left >= ROWS {
            let out = &mut self.out[self.cursor.at..];
            simd.store_block(sums, self.bias, self.slopes, out, self.cursor.channels);
            self.cursor.skip(ROWS);
            return;
        }
        // An array of its own: one that is indexed by a variable lives in memory, and `sums` must
        // not, for the sake of the way above.
        let sums = &{ sums };
        for row in sums {
            let at = self.cursor.next();
            let residual = self.residual.as_mut().map(|(values, cursor)| (*values, cursor.next()));
            for (j, &sum) in row.iter().enumerate() {
                let first = j * S::LANES;
                let mut value = simd.add(sum, simd.load(self.bias, first));
                if whole {
                    if let Some((values, at)) = residual {
                        value = simd.add(value, simd.load(values, at + first));
                    }
                    simd.store(bent(simd, value, self.slopes, first), self.out, at + first);
                    continue;
                }
                let count = self.channels.saturating_sub(first).min(S::LANES);
                if let Some((values, at)) = residual {
                    value = simd.add(value, simd.load_part(values, at + first, count));
                }
                simd.store_part(bent(simd, value, self.slopes, first), self.out, at + first, count);
            }
        }
    }
}

/// Computes blocks of `rows` pixels and `registers` registers, pixels `pitch` values apart.
pub(super) fn multiply<S: Simd>(
    simd: S,
    rows: usize,
    registers: usize,
    pitch: usize,
    work: Blocks<'_>,
) {
    macro_rules! at_pitch {
        ($($pitch:literal),+) => {
            match (pitch, registers) {
                $(($pitch, 1) => at_rows!(1, $pitch), ($pitch, _) => at_rows!(2, $pitch),)+
                _ => unreachable!("pitch {pitch} is not one of DIRECT_PITCHES"),
            }
        };
    }
    macro_rules! at_rows {
        ($columns:literal, $pitch:literal) => {
            at_rows!(@ $columns, $pitch, 1 2 3 4 5 6 7 8 9 10 11 12 13 14)
        };
        (@ $columns:literal, $pitch:literal, $($rows:literal)+) => {
            match rows {
                $($rows if const { $rows <= S::ROWS } => {
                    simd.call(Sized::<$rows, $columns, $pitch>(work));
                })+
                _ => unreachable!("{rows} rows are more than a block has"),
            }
        };
    }
    at_pitch!(3, 6, 16, 32, 64, 128);
}

/// Blocks of one size, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// First pixel.
    pub(super) first: usize,
    /// Pixels of each block.
    pub(super) rows: usize,
    /// Blocks.
    pub(super) count: usize,
}

/// How `total` pixels are divided into blocks of at most `most`, as evenly as possible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Division {
    total: usize,
    blocks: usize,
}

impl Division {
    /// Of `total` pixels, at least one.
    pub(super) fn new(total: usize, most: usize) -> Self {
        Self { total, blocks: total.div_ceil(most) }
    }

    /// The blocks, by size: there are at most two sizes.
    pub(super) fn runs(self) -> impl Iterator<Item = Run> {
        let (rows, more) = (self.total / self.blocks, self.total % self.blocks);
        let large = Run { first: 0, rows: rows + 1, count: more };
        let small = Run { first: more * (rows + 1), rows, count: self.blocks - more };
        [large, small].into_iter().filter(|run| run.count > 0)
    }

    /// First pixel and number of pixels of each block.
    pub(super) fn blocks(self) -> impl Iterator<Item = (usize, usize)> {
        let (each, more) = (self.total / self.blocks, self.total % self.blocks);
        (0..self.blocks)
            .map(move |block| (block * each + block.min(more), each + usize::from(block < more)))
    }
}

/// Length of a packed block of `rows` pixels of `depth` values.
pub(super) fn packed_len(rows: usize, depth: usize) -> usize {
    rows * depth.div_ceil(PACKED_PITCH) * PACKED_PITCH
}

/// Copies `run` to depth `from` of pixel `row` of a packed block of `rows` pixels.
pub(super) fn pack(block: &mut [f32], rows: usize, row: usize, from: usize, run: &[f32]) {
    let (mut from, mut run) = (from, run);
    while !run.is_empty() {
        let (piece, inside) = (from / PACKED_PITCH, from % PACKED_PITCH);
        let count = run.len().min(PACKED_PITCH - inside);
        let to = (piece * rows + row) * PACKED_PITCH + inside;
        block[to..to + count].copy_from_slice(&run[..count]);
        from += count;
        run = &run[count..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisions_are_even_and_cover_every_pixel() {
        for total in 1..200 {
            for most in [2, 6, 14] {
                let mut next = 0;
                for (first, count) in Division::new(total, most).blocks() {
                    assert_eq!(first, next);
                    assert!((1..=most).contains(&count));
                    next += count;
                }
                assert_eq!(next, total);
                let each = Division::new(total, most).runs().flat_map(|run| {
                    (0..run.count).map(move |block| (run.first + block * run.rows, run.rows))
                });
                assert!(each.eq(Division::new(total, most).blocks()));
            }
        }
    }

    #[test]
    fn panels_cover_every_channel() {
        let last = |channels, lanes| panels(channels, lanes).pop().expect("a panel");
        assert_eq!(last(48, 16), Panel { start: 32, registers: 1, channels: 16 });
        assert_eq!(last(50, 16), Panel { start: 32, registers: 2, channels: 18 });
        assert_eq!(last(10, 16), Panel { start: 0, registers: 1, channels: 10 });
    }

    #[test]
    fn a_run_that_crosses_a_piece_is_split() {
        let run: Vec<f32> = (0..200).map(|value| value as f32).collect();
        let mut block = vec![0.0; packed_len(2, 300)];
        pack(&mut block, 2, 1, 100, &run);
        assert_eq!(block[PACKED_PITCH + 100..2 * PACKED_PITCH], run[..28]);
        assert_eq!(block[3 * PACKED_PITCH..4 * PACKED_PITCH], run[28..156]);
        assert_eq!(block[5 * PACKED_PITCH..][..44], run[156..]);
    }
}
