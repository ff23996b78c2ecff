//! Weights from the order of the file to the order of the program, in one pass that stays in cache:
//! the default embedder has ten million of them, and a cold start has one second.
//!
//! Weights are shared memory from here on; nobody else holds them until the program is made.

use std::sync::Arc;

/// Edge of a tile that is turned at a time: one cache line. Rows of real networks lie powers of two
/// apart, so that neither their lines nor the target's survive in a cache until the next value.
const TILE: usize = 16;

/// `[out][channel][position]` → `[position][channel][out]`, times `factor`.
///
/// `values` holds `out · channels · positions` values; the callers checked it.
pub(super) fn by_position(
    values: &[f32],
    channels: usize,
    positions: usize,
    factor: f32,
) -> Arc<[f32]> {
    let inputs = channels * positions;
    let outputs = values.len() / inputs;
    let mut turned = zeros(values.len());
    let target = only(&mut turned);
    for start in (0..inputs).step_by(TILE) {
        let columns = TILE.min(inputs - start);
        for first in (0..outputs).step_by(TILE) {
            let rows = TILE.min(outputs - first);
            let mut tile = [[0.0; TILE]; TILE];
            for row in 0..rows {
                let from = (first + row) * inputs + start;
                for (line, value) in tile.iter_mut().zip(&values[from..from + columns]) {
                    line[row] = value * factor;
                }
            }
            for (line, column) in tile.iter().zip(start..start + columns) {
                let line_to = column % positions * channels + column / positions;
                let to = line_to * outputs + first;
                target[to..to + rows].copy_from_slice(&line[..rows]);
            }
        }
    }
    turned
}

/// `[channel][position][out]` → `[position][channel][out]`, times `factor`.
pub(super) fn rows_by_position(
    values: &[f32],
    channels: usize,
    positions: usize,
    factor: f32,
) -> Arc<[f32]> {
    let outputs = values.len() / (channels * positions);
    let mut turned = zeros(values.len());
    let target = only(&mut turned);
    for (line, row) in values.chunks_exact(outputs).enumerate() {
        let to = (line % positions * channels + line / positions) * outputs;
        for (to, value) in target[to..to + outputs].iter_mut().zip(row) {
            *to = value * factor;
        }
    }
    turned
}

/// So many zeros, to be written by their only holder.
pub(super) fn zeros(count: usize) -> Arc<[f32]> {
    std::iter::repeat_n(0.0, count).collect()
}

/// The values of a weight that is still being made.
pub(super) fn only(weights: &mut Arc<[f32]>) -> &mut [f32] {
    Arc::get_mut(weights).expect("weights are not shared before the program is made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lands_where_the_loops_say() {
        let (outputs, channels, positions) = (37, 7, 6);
        let count = outputs * channels * positions;
        let values: Vec<f32> = (0..count).map(|value| value as f32).collect();
        let turned = by_position(&values, channels, positions, 2.0);
        let rows = rows_by_position(&values, channels, positions, 2.0);
        for output in 0..outputs {
            for channel in 0..channels {
                for position in 0..positions {
                    let to = (position * channels + channel) * outputs + output;
                    let from = (output * channels + channel) * positions + position;
                    assert_eq!(turned[to], values[from] * 2.0);
                    let from = (channel * positions + position) * outputs + output;
                    assert_eq!(rows[to], values[from] * 2.0);
                }
            }
        }
    }
}
