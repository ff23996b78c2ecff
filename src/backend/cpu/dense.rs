//! `Dense`: few rows, many weights. At batch 1 it reads each weight once, so its bound is bytes,
//! not operations; large matrices are therefore kept in half precision with one f32 factor per
//! output (half the bytes; the relative error of a weight is at most 2^-11 of the column's
//! largest).
//!
//! Threads divide the output channels. Each gathers the flattened inputs of all items into packed
//! blocks, multiplies its panels, and leaves bare sums; a second, tiny stage adds the bias, applies
//! the activation and writes the output.

use super::{
    curve::{Curve, Sigmoid, padded},
    gemm::{Division, PACKED_PITCH, Panel, ROWS_MAX, pack, packed_len, packed_weights, panels},
    memory::{Lines, ReadRows},
    vector::{Kernel, Pixels, Simd},
};
use crate::ops::program::{Activation, Program, WeightId};

/// Bytes of f32 weights from which on they are halved: beyond any core's own cache.
const HALVED_FROM_BYTES: usize = 16 << 20;

/// A dense layer made ready.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) panels: Vec<Panel>,
    weights: Weights,
    /// Per output, what bare sums are multiplied by.
    factors: Vec<f32>,
    bias: Vec<f32>,
    curve: Curve,
    lanes: usize,
}

#[derive(Debug)]
enum Weights {
    Single(Lines),
    Half(Vec<u16>),
}

impl Dense {
    /// Packs the weights of one step for registers of `lanes`.
    pub(super) fn new(
        program: &Program,
        weights: WeightId,
        bias: WeightId,
        activation: Activation,
        lanes: usize,
    ) -> Self {
        let bias = program.weight(bias).to_vec();
        let outputs = bias.len();
        let values = program.weight(weights);
        let factors = if size_of_val(values) < HALVED_FROM_BYTES {
            vec![1.0; outputs]
        } else {
            column_largest(values, outputs)
        };
        let halved = size_of_val(values) >= HALVED_FROM_BYTES;
        let single = packed_weights(values, outputs, lanes);
        let weights = if halved {
            Weights::Half(halves(&single, &factors, values.len() / outputs, lanes))
        } else {
            Weights::Single(single)
        };
        Self {
            inputs: values.len() / outputs,
            outputs,
            panels: panels(outputs, lanes),
            weights,
            factors,
            bias,
            curve: Curve::new(program, activation, outputs, |slopes| padded(slopes, lanes)),
            lanes,
        }
    }

    /// Values of a panel's row of sums.
    pub(super) fn panel_width(&self) -> usize {
        2 * self.lanes
    }

    /// Room that [`Dense::gather`] needs for `items` items.
    pub(super) fn packed_len(&self, items: usize) -> usize {
        packed_len(items, self.inputs)
    }

    /// Copies item `item` of `items` into `packed`.
    pub(super) fn gather<S: Simd>(
        &self,
        item: usize,
        items: usize,
        input: &ReadRows<'_>,
        packed: &mut [f32],
    ) {
        let layout = *input.layout();
        let block = Division::new(items, S::ROWS)
            .blocks()
            .find(|(first, count)| (*first..first + count).contains(&item));
        let (first, count) = block.expect("an item of the batch lies in a block");
        let room = &mut packed[packed_len(first, self.inputs)..];
        for y in 0..layout.shape.h {
            let run = &input.row(y)[layout.start()..layout.end()];
            pack(room, count, item - first, y * run.len(), run);
        }
    }

    /// Bare sums of panel `panel` for `items` gathered items, one row of `panel_width` each.
    pub(super) fn sums<S: Simd>(
        &self,
        simd: S,
        panel: usize,
        items: usize,
        packed: &[f32],
        sums: &mut [f32],
    ) {
        let Panel { start, registers, .. } = self.panels[panel];
        let width = self.panel_width();
        for (first, count) in Division::new(items, S::ROWS).blocks() {
            let block = Sums {
                pixels: &packed[packed_len(first, self.inputs)..][..packed_len(count, self.inputs)],
                weights: &self.weights,
                from: start * self.inputs,
                depth: self.inputs,
                sums: &mut sums[first * width..][..count * width],
            };
            sized(simd, count, registers, block);
        }
    }

    /// Makes the output of one item of its panels' sums.
    pub(super) fn finish<S: Simd>(&self, simd: S, sums: &ReadRows<'_>, out: &mut [f32]) {
        for (number, panel) in self.panels.iter().enumerate() {
            let row = sums.row(number);
            for (channel, sum) in row.iter().enumerate().take(panel.channels) {
                let c = panel.start + channel;
                let value = sum.mul_add(self.factors[c], self.bias[c]);
                let slope = self.curve.slopes().map_or(1.0, |slopes| slopes[c]);
                out[c] = if value < 0.0 { value * slope } else { value };
            }
        }
        if self.curve.sigmoid {
            simd.call(Sigmoid(&mut out[..self.outputs]));
        }
    }
}

/// The largest magnitude of each column; 1 where a column is zero.
fn column_largest(values: &[f32], columns: usize) -> Vec<f32> {
    let mut largest = vec![0.0_f32; columns];
    for row in values.chunks_exact(columns) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = largest.max(value.abs());
        }
    }
    largest.into_iter().map(|value| if value > 0.0 { value } else { 1.0 }).collect()
}

/// Packed weights over their factors, in half precision.
fn halves(single: &Lines, factors: &[f32], depth: usize, lanes: usize) -> Vec<u16> {
    let mut to = vec![0; single.values().len()];
    for panel in panels(factors.len(), lanes) {
        let width = panel.registers * lanes;
        let range = panel.start * depth..panel.start * depth + depth * width;
        let rows = to[range.clone()].chunks_exact_mut(width);
        for (to, from) in rows.zip(single.values()[range].chunks_exact(width)) {
            for channel in 0..panel.channels {
                to[channel] = half(from[channel] / factors[panel.start + channel]);
            }
        }
    }
    to
}

/// The nearest half-precision number to `value`, |value| ≤ 1; ties to even.
fn half(value: f32) -> u16 {
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = value.abs();
    // Adding 2^(e+13) rounds to 10 bits of mantissa at exponent e, and to multiples of 2^-24 below
    // the smallest normal number 2^-14.
    let exponent = (magnitude.to_bits() >> 23).max(127 - 14);
    let anchor = f32::from_bits((exponent + 13) << 23);
    let rounded = (magnitude + anchor) - anchor;
    let scaled = rounded * f32::from_bits((127 - 112) << 23);
    sign | (scaled.to_bits() >> 13) as u16
}

/// One block of items times one panel.
struct Sums<'a> {
    pixels: &'a [f32],
    weights: &'a Weights,
    from: usize,
    depth: usize,
    sums: &'a mut [f32],
}

struct Sized<'a, const ROWS: usize, const COLUMNS: usize>(Sums<'a>);

impl<const ROWS: usize, const COLUMNS: usize> Kernel for Sized<'_, ROWS, COLUMNS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Sums { pixels, weights, from, depth, sums } = self.0;
        let pixels = Pixels::Packed { block: pixels, depth };
        let all = match weights {
            Weights::Single(lines) => {
                simd.fma_block::<ROWS, COLUMNS, PACKED_PITCH>(pixels, &lines.values()[from..])
            }
            Weights::Half(halves) => {
                simd.fma_block_half::<ROWS, COLUMNS, PACKED_PITCH>(pixels, &halves[from..])
            }
        };
        for (row, sums) in all.iter().zip(sums.chunks_exact_mut(2 * S::LANES)) {
            for (j, &sum) in row.iter().enumerate() {
                simd.store(sum, sums, j * S::LANES);
            }
        }
    }
}

fn sized<S: Simd>(simd: S, rows: usize, registers: usize, block: Sums<'_>) {
    macro_rules! at_rows {
        ($columns:literal, $($rows:literal)+) => {
            match rows {
                $($rows if const { $rows <= S::ROWS } => {
                    simd.call(Sized::<$rows, $columns>(block));
                })+
                _ => unreachable!("{rows} rows are more than a block has"),
            }
        };
    }
    const { assert!(S::ROWS <= ROWS_MAX, "every number of rows is compiled") };
    match registers {
        1 => at_rows!(1, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
        _ => at_rows!(2, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::cpu::portable::Portable;

    #[test]
    fn halving_and_widening_is_within_half_a_unit() {
        for step in 0..20_000_u32 {
            let value = (f64::from(step) / 19_999.0 * 2.0 - 1.0) as f32;
            let [widened, ..] = Portable.load_half(&[half(value); 8], 0);
            let unit = (value.abs() * 2.0_f32.powi(-11)).max(2.0_f32.powi(-25));
            assert!((widened - value).abs() <= unit, "{value} became {widened}");
        }
        for exact in [0.0, 1.0, -1.0, 0.5, 2.0_f32.powi(-14), 2.0_f32.powi(-24)] {
            assert_eq!(Portable.load_half(&[half(exact); 8], 0)[0], exact);
        }
    }
}
