//! A chain of links, walked row by row through rings.

use std::array;

use super::{
    conv::{Conv, Strip},
    curve::{Curve, Sigmoid},
    depthwise::Depthwise,
    elementwise::{AddRow, AffineRow, ScaleRow, softmax_row, upsample_row},
    fuse::{EXTRAS_MAX, LINKS_MAX},
    image::FeedRows,
    memory::{Layout, Lines, Place, ReadRows, Store},
    pool2d::MaxPoolRow,
    rows::{OutRows, Rows},
    vector::Simd,
};
use crate::ops::program::{ChannelOrder, Feed, Window};

/// Steps that hand rows on to each other.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    /// None where the first link is the feed.
    pub(super) source: Option<Place>,
    /// Buffers read beside the source: residuals, summands, gates.
    pub(super) extras: Vec<Place>,
    pub(super) output: Place,
}

/// One step of a chain.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) kernel: RowKernel,
    pub(super) reach: Reach,
    pub(super) input: Layout,
    pub(super) output: Layout,
    /// Rows computed together, where as many are wanted.
    pub(super) strip: usize,
    /// Rows of the ring that it writes; the last link writes no ring.
    pub(super) ring_rows: usize,
    /// Which of the chain's extras it reads.
    pub(super) extra: Option<usize>,
}

/// What a link computes.
#[derive(Debug)]
pub(super) enum RowKernel {
    Add {
        curve: Curve,
        period: usize,
    },
    Affine {
        scale: Lines,
        shift: Lines,
        curve: Curve,
        period: usize,
    },
    Conv(Conv),
    Depthwise(Depthwise),
    /// The network's input, made row by row from what it is fed.
    Feed(ChannelOrder),
    MaxPool(Window),
    Scale,
    Softmax,
    Upsample(usize),
}

/// Which input rows some output rows need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) top: usize,
    /// Output rows per input row.
    pub(super) factor: usize,
}

impl Reach {
    /// Most input rows that `count` output rows need.
    pub(super) fn count(&self, count: usize) -> usize {
        if self.factor > 1 {
            return (count - 1).div_ceil(self.factor) + 1;
        }
        (count - 1) * self.stride + self.kernel
    }

    /// The same rows, counted from `top` above the picture: first and number.
    fn padded(&self, y: usize, count: usize) -> (usize, usize) {
        if self.factor > 1 {
            let first = y / self.factor;
            return (first, (y + count - 1) / self.factor + 1 - first);
        }
        (y * self.stride, self.count(count))
    }

    /// First row and end of what `count` output rows from `y` on need of `height` input rows; empty
    /// where they need none, or see nothing but padding.
    pub(super) fn clamped(&self, y: usize, count: usize, height: usize) -> (usize, usize) {
        if count == 0 {
            return (0, 0);
        }
        let (first, rows) = self.padded(y, count);
        let end = (first + rows).saturating_sub(self.top).min(height);
        (first.saturating_sub(self.top).min(end), end)
    }
}

impl Link {
    /// Room that a strip's packed left side needs.
    pub(super) fn packed_len(&self) -> usize {
        match &self.kernel {
            RowKernel::Conv(conv) => conv.packed_len(self.strip * self.output.shape.w),
            _ => 0,
        }
    }
}

/// Memory of one thread.
#[derive(Debug)]
pub(super) struct Scratch {
    /// One per link.
    pub(super) rings: Vec<Lines>,
    /// The packed left side of a strip.
    pub(super) packed: Lines,
    /// A row of zeros.
    pub(super) zeros: Lines,
}

/// One item's band of one chain on its way.
struct Walk<'a, S> {
    simd: S,
    chain: &'a Chain,
    store: &'a Store,
    item: usize,
    feed: &'a Feed<'a>,
    source: Option<ReadRows<'a>>,
    extras: [Option<ReadRows<'a>>; EXTRAS_MAX],
    /// Next row of each link.
    next: [usize; LINKS_MAX],
    /// Row at which each link ends.
    end: [usize; LINKS_MAX],
}

/// Computes rows `from..to` of the chain's output for one item, which was fed `feed`.
pub(super) fn walk<S: Simd>(
    simd: S,
    chain: &Chain,
    store: &Store,
    (item, feed): (usize, &Feed<'_>),
    (from, to): (usize, usize),
    scratch: &mut Scratch,
) {
    let extra = |at: usize| chain.extras.get(at).map(|place| store.read(place, item));
    let mut walk = Walk {
        simd,
        chain,
        store,
        item,
        feed,
        source: chain.source.as_ref().map(|place| store.read(place, item)),
        extras: array::from_fn(extra),
        next: [0; LINKS_MAX],
        end: [0; LINKS_MAX],
    };
    let (mut first, mut end) = (from, to);
    for (at, link) in chain.links.iter().enumerate().rev() {
        walk.next[at] = first;
        walk.end[at] = end;
        (first, end) = link.reach.clamped(first, end - first, link.input.shape.h);
    }
    walk.advance(chain.links.len() - 1, to, scratch);
}

impl<S: Simd> Walk<'_, S> {
    /// Computes rows of link `at` until those below `until` are there.
    fn advance(&mut self, at: usize, until: usize, scratch: &mut Scratch) {
        let link = &self.chain.links[at];
        let last = at + 1 == self.chain.links.len();
        while self.next[at] < until {
            let y = self.next[at];
            let mut count = link.strip.min(self.end[at] - y);
            if last || link.extra.is_some() {
                // Rows of a stored buffer are contiguous within a chunk only.
                count = count.min(link.output.chunk_rows - y % link.output.chunk_rows);
            }
            if !last {
                count = count.min(link.ring_rows - y % link.ring_rows);
            }
            if at > 0 {
                let (_, end) = link.reach.clamped(y, count, link.input.shape.h);
                self.advance(at - 1, end, scratch);
            }
            self.strip(at, y, count, scratch);
            self.next[at] = y + count;
        }
    }

    /// Computes `count` rows of link `at` from row `y` on.
    fn strip(&self, at: usize, y: usize, count: usize, scratch: &mut Scratch) {
        let link = &self.chain.links[at];
        let (before, here) = scratch.rings.split_at_mut(at);
        let ring = before.last().map(Lines::values);
        let input = match link.kernel {
            RowKernel::Feed(_) => Rows::none(&link.input),
            _ => self.input(at, y, count, ring, scratch.zeros.values()),
        };
        let packed = scratch.packed.values_mut();
        let layout = &link.output;
        let len = count * layout.pitch;
        if at + 1 == self.chain.links.len() {
            let chunk = y / layout.chunk_rows;
            let mut lines = self.store.write(&self.chain.output, self.item, chunk);
            let values = &mut lines.values_mut()[y % layout.chunk_rows * layout.pitch..][..len];
            self.compute(link, y, count, &input, OutRows { values, layout }, packed);
        } else {
            let start = y % link.ring_rows * layout.pitch;
            let values = &mut here[0].values_mut()[start..start + len];
            self.compute(link, y, count, &input, OutRows { values, layout }, packed);
        }
    }

    /// The input rows of a strip.
    fn input<'r>(
        &'r self,
        at: usize,
        y: usize,
        count: usize,
        ring: Option<&'r [f32]>,
        zeros: &'r [f32],
    ) -> Rows<'r> {
        let link = &self.chain.links[at];
        let layout = &link.input;
        let (first, rows) = link.reach.padded(y, count);
        let mut input = Rows::none(layout);
        for i in 0..rows {
            let y = (first + i).checked_sub(link.reach.top).filter(|&y| y < layout.shape.h);
            input.inside[i] = y.is_some();
            input.rows[i] = match (y, ring) {
                (None, _) => &zeros[..layout.pitch],
                (Some(y), None) => self.source.as_ref().map_or(&[], |source| source.row(y)),
                (Some(y), Some(ring)) => {
                    let ring_rows = self.chain.links[at - 1].ring_rows;
                    &ring[y % ring_rows * layout.pitch..][..layout.pitch]
                }
            };
        }
        input
    }

    fn extra(&self, link: &Link) -> Option<&ReadRows<'_>> {
        link.extra.and_then(|extra| self.extras[extra].as_ref())
    }

    fn compute(
        &self,
        link: &Link,
        y: usize,
        count: usize,
        input: &Rows<'_>,
        mut out: OutRows<'_>,
        packed: &mut [f32],
    ) {
        link.output.pad(out.values);
        match &link.kernel {
            RowKernel::Feed(channels) => {
                let values = &mut *out.values;
                let out = OutRows { values, layout: out.layout };
                self.simd.call(FeedRows { feed: self.feed, channels: *channels, y, out });
            }
            RowKernel::Conv(conv) => {
                let residual = self.extra(link).map(|extra| (extra.rows(y), extra.layout()));
                let values = &mut *out.values;
                let strip = OutRows { values, layout: out.layout };
                conv.run(self.simd, Strip { input, residual, out: strip, count, packed });
                if conv.curve.sigmoid {
                    for row in 0..count {
                        self.simd.call(Sigmoid(out.pixels(row)));
                    }
                }
            }
            _ => {
                for row in 0..count {
                    self.row(link, y, row, input, out.pixels(row));
                }
            }
        }
    }

    /// One output row of anything but a convolution.
    fn row(&self, link: &Link, y: usize, row: usize, input: &Rows<'_>, out: &mut [f32]) {
        let simd = self.simd;
        let extra_row = |y: usize| {
            let extra = self.extra(link).expect("the plan gave this link its second input");
            &extra.row(y)[extra.layout().start()..extra.layout().end()]
        };
        let sigmoid = match &link.kernel {
            RowKernel::Add { curve, period } => {
                let inputs = [input.pixels(row), extra_row(y + row)];
                simd.call(AddRow { curve, period: *period, inputs, out });
                curve.sigmoid
            }
            RowKernel::Affine { scale, shift, curve, period } => {
                let input = input.pixels(row);
                simd.call(AffineRow { scale, shift, curve, period: *period, input, out });
                curve.sigmoid
            }
            RowKernel::Depthwise(depthwise) => {
                let residual = link.extra.map(|_| extra_row(y + row));
                depthwise.run(simd, input, row * link.reach.stride, residual, out);
                depthwise.curve.sigmoid
            }
            RowKernel::MaxPool(window) => {
                let first = row * link.reach.stride;
                simd.call(MaxPoolRow { window: *window, input, first, out });
                false
            }
            RowKernel::Scale => {
                simd.call(ScaleRow { gate: extra_row(0), input: input.pixels(row), out });
                false
            }
            RowKernel::Softmax => {
                softmax_row(input.pixels(row), link.output.shape.c, out);
                false
            }
            RowKernel::Upsample(factor) => {
                // Rows of the reach count from the first output row's source.
                let source = (y + row) / factor - y / factor;
                upsample_row(input.pixels(source), link.output.shape.c, *factor, out);
                false
            }
            RowKernel::Conv(_) | RowKernel::Feed(_) => {
                unreachable!("convolutions and feeds are computed by strips")
            }
        };
        if sigmoid {
            simd.call(Sigmoid(out));
        }
    }
}
