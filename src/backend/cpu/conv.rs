//! `Conv2d` over a strip of output rows: a matrix product whose left side is read in place or
//! packed per strip.

use super::{
    curve::Curve,
    gemm::{
        Blocks, Cursor, DIRECT_PITCHES, Division, PACKED_PITCH, PIECES_MAX, Panel, Run, multiply,
        pack, packed_channels, packed_len, packed_weights, panels,
    },
    memory::{Layout, Lines},
    rows::{OutRows, Rows},
    vector::{Pixels, Simd},
};
use crate::ops::program::{Activation, Program, Shape, WeightId, Window};

/// A convolution made ready: weights packed, way of reading chosen.
#[derive(Debug)]
pub(super) struct Conv {
    pub(super) window: Window,
    pub(super) curve: Curve,
    panels: Vec<Panel>,
    weights: Lines,
    bias: Lines,
    /// Values of one run: a kernel row's pixels are contiguous.
    run: usize,
    /// Values between the runs of two neighbouring output pixels.
    pitch: usize,
    direct: bool,
}

/// The weights of one step.
pub(super) struct Weights {
    pub(super) weights: WeightId,
    pub(super) bias: WeightId,
    pub(super) activation: Activation,
}

/// One strip of work.
pub(super) struct Strip<'a> {
    /// Input rows that the strip reaches.
    pub(super) input: &'a Rows<'a>,
    /// The rows of the residual that stand where the output rows do, and how they lie.
    pub(super) residual: Option<(&'a [f32], &'a Layout)>,
    /// Output rows.
    pub(super) out: OutRows<'a>,
    /// Output rows to compute.
    pub(super) count: usize,
    /// Room for [`Conv::packed_len`] values.
    pub(super) packed: &'a mut [f32],
}

impl Conv {
    /// Packs the weights of one step for registers of `lanes`.
    pub(super) fn new(
        program: &Program,
        window: Window,
        input: Shape,
        output: Shape,
        own: &Weights,
        lanes: usize,
    ) -> Self {
        let pitch = window.stride[1] * input.c;
        let lay = |values: &[f32]| packed_channels(values, lanes);
        Self {
            window,
            curve: Curve::new(program, own.activation, output.c, lay),
            panels: panels(output.c, lanes),
            weights: packed_weights(program.weight(own.weights), output.c, lanes),
            bias: packed_channels(program.weight(own.bias), lanes),
            run: window.kernel[1] * input.c,
            pitch,
            direct: DIRECT_PITCHES.contains(&pitch) && window.kernel[0] <= PIECES_MAX,
        }
    }

    /// Values of one output pixel's left side.
    fn depth(&self) -> usize {
        self.window.kernel[0] * self.run
    }

    /// Whether pixels are read in place.
    pub(super) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Room that a strip of `pixels` needs.
    pub(super) fn packed_len(&self, pixels: usize) -> usize {
        if self.direct { 0 } else { packed_len(pixels, self.depth()) }
    }

    /// Computes a strip.
    pub(super) fn run<S: Simd>(&self, simd: S, strip: Strip<'_>) {
        if self.direct { self.run_direct(simd, strip) } else { self.run_packed(simd, strip) }
    }

    fn run_direct<S: Simd>(&self, simd: S, mut strip: Strip<'_>) {
        let [height, _] = self.window.kernel;
        let width = strip.out.layout.shape.w;
        for row in 0..strip.count {
            let first = row * self.window.stride[0];
            let mut rows: [&[f32]; PIECES_MAX] = [&[]; PIECES_MAX];
            for (i, to) in rows.iter_mut().enumerate().take(height) {
                *to = strip.input.padded(first + i, self.window.pad[1]);
            }
            for panel in &self.panels {
                for run in Division::new(width, S::ROWS).runs() {
                    let pixels = Pixels::Direct {
                        rows: &rows[..height],
                        from: run.first * self.pitch,
                        depth: self.run,
                    };
                    let run = Run { first: row * width + run.first, ..run };
                    self.multiply(simd, panel, pixels, run, &mut strip);
                }
            }
        }
    }

    fn run_packed<S: Simd>(&self, simd: S, mut strip: Strip<'_>) {
        let division = Division::new(strip.count * strip.out.layout.shape.w, S::ROWS);
        let packed = std::mem::take(&mut strip.packed);
        for (first, count) in division.blocks() {
            let start = packed_len(first, self.depth());
            let room = &mut packed[start..][..packed_len(count, self.depth())];
            self.pack_block(&strip, (first, count), room);
        }
        for panel in &self.panels {
            for run in division.runs() {
                let block = &packed[packed_len(run.first, self.depth())..];
                let pixels = Pixels::Packed { block, depth: self.depth() };
                self.multiply(simd, panel, pixels, run, &mut strip);
            }
        }
    }

    /// Copies the runs of `count` pixels from pixel `first` of the strip.
    fn pack_block(&self, strip: &Strip<'_>, (first, count): (usize, usize), room: &mut [f32]) {
        let width = strip.out.layout.shape.w;
        for pixel in 0..count {
            let (row, x) = ((first + pixel) / width, (first + pixel) % width);
            for i in 0..self.window.kernel[0] {
                let input = strip.input.padded(row * self.window.stride[0] + i, self.window.pad[1]);
                let run = &input[x * self.pitch..][..self.run];
                pack(room, count, pixel, i * self.run, run);
            }
        }
    }

    /// Computes one panel of some blocks of the strip.
    fn multiply<S: Simd>(
        &self,
        simd: S,
        panel: &Panel,
        pixels: Pixels<'_>,
        run: Run,
        strip: &mut Strip<'_>,
    ) {
        let cursor = |layout: &Layout| Cursor::new(layout, run.first, panel.start);
        let work = Blocks {
            pixels,
            count: run.count,
            weights: &self.weights.values()[panel.start * self.depth()..],
            bias: &self.bias.values()[panel.start..],
            slopes: self.curve.slopes().map(|slopes| &slopes[panel.start..]),
            residual: strip.residual.map(|(values, layout)| (values, cursor(layout))),
            cursor: cursor(strip.out.layout),
            out: strip.out.values,
            channels: panel.channels,
        };
        let pitch = if self.direct { self.pitch } else { PACKED_PITCH };
        multiply(simd, run.rows, panel.registers, pitch, work);
    }
}
